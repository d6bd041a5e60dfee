/* SPDX-License-Identifier: MIT */
/* filters.h - which candidates may be drawn. Private to gen/. */
#ifndef CLM_GEN_FILTERS_H
#define CLM_GEN_FILTERS_H

#include "gen/gen.h"
#include "gen/pick.h"
#include "gen/rng.h"

struct cands {
	struct cand *c;
	size_t n;
	float max;     /* of the whole vocabulary */
	uint64_t mass; /* and its mass, where filters_weigh() */
	bool more;     /* there may be others, each after all of these */
	bool lost;     /* what the filters leave depends on those others */
};
struct filtering {
	const struct request *r;
	struct rng *rng;
	const int32_t *exempt; /* from XTC */
	size_t n_exempt;
};

bool filters_set(const struct request *r);
/* Whether they read masses. */
bool filters_weigh(const struct request *r);
/* Of the n logits of a vocabulary those below this are dropped in any case, and without a look at
 * their mass. room: [n] */
float filters_floor(const struct request *r, const float *logit, size_t n, float max,
                    struct cand *room);
/* Leaves those that may be drawn; false: that depends on others. */
bool filters_run(const struct filtering *f, struct cands *c);

#endif
