/* SPDX-License-Identifier: MIT */
/* check.h - what the checks of sampling share: chance, and requests by it
 * (checks only) */
#ifndef CLM_GEN_CHECK_H
#define CLM_GEN_CHECK_H

#include "gen/gen.h"

static uint32_t stream = 7;

static double chance(void)
{
	stream = stream * 1664525u + 1013904223u;
	return (stream >> 8) / 16777216.0;
}

/* A temperature and filters, some of every kind. */
static inline void random_filters(struct request *r, int kind)
{
	request_init(r);
	r->has_seed = true;
	r->seed = (uint64_t)kind << 32 | (uint64_t)(chance() * 1e9);
	r->temp = kind % 16 ? 0.2 + 2 * chance() : 0;
	if (kind & 1)
		r->top_p = chance();
	if (kind & 2)
		r->min_p = chance() * chance() * chance();
	if (kind & 2 && kind & 64)
		r->min_keep = 1 + (size_t)(chance() * 300);
	if (kind & 4) {
		r->xtc_probability = chance();
		r->xtc_threshold = chance() / 8;
	}
	if (kind & 8)
		r->top_k = 1 + (size_t)(chance() * (kind & 32 ? 1200 : 30));
}

#endif
