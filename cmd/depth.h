/* SPDX-License-Identifier: MIT */
/* depth.h - what lies before a measured position, made up: ids, keys and
 * values of no meaning, written where they belong, so that a depth costs no
 * prompt of that length. */
#ifndef CLM_CMD_DEPTH_H
#define CLM_CMD_DEPTH_H

#include "model/model.h"

enum { DEPTH_STEP = 512 };

struct depth {
	struct model *m;       /* borrowed */
	int32_t id[DEPTH_STEP];
	void *page;            /* keys, or values, of a page */
	uint64_t seed;
};
NEED int depth_open(struct depth *d, struct model *m, struct err *e);
void depth_close(struct depth *d);
/* Makes a sequence `n` positions long, all computed as far as it knows. */
NEED int depth_fill(struct depth *d, struct kv_seq *s, size_t n, struct err *e);
int32_t depth_id(struct depth *d); /* any id of the vocabulary */

#endif
