/* SPDX-License-Identifier: MIT */
/* penalties.h - repetition, presence and frequency penalties. Private to
 * sampler.c, which owns the room. */
#ifndef CLM_GEN_PENALTIES_H
#define CLM_GEN_PENALTIES_H

#include "gen/sampler.h"

struct sampler_room {
	size_t vocab;
	float *logit; /* the processed copy, where there is one */
	float *laid;     /* logits of what may be drawn */
	uint64_t *block; /* their masses */
	struct cand *cand;
	uint32_t *seen;    /* the walk that counted this id last */
	uint32_t *count;   /* and how often */
	int32_t *distinct; /* ids of a walk */
	uint32_t walk;
};

bool penalties_set(const struct request *r);
/* Changes the logits [vocab] of the ids in history [n]. */
void penalties_apply(const struct request *r, struct sampler_room *room, float *logit,
                     const int32_t *history, size_t n);

#endif
