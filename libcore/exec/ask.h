/* SPDX-License-Identifier: MIT */
/* ask.h - what is wanted of an output row in its place, and what a device
 * found. Part of the door of exec/. */
#ifndef CLM_EXEC_ASK_H
#define CLM_EXEC_ASK_H

#include <stddef.h>
#include <stdint.h>

/* Bits; 0: the row itself. */
enum { ASK_BEST = 1, ASK_DRAW = 2, ASK_FEW = 4 };
enum { FEW_MOST = 256 };
struct ask {
	unsigned what;
	float scale;           /* DRAW: one over the temperature */
	uint32_t chance;       /* DRAW: the share of the mass to draw at, of 2^32 */
};
struct few {
	float logit;
	int32_t id;
};
struct answer {
	const float *row;      /* NULL, or the row: then nothing else is told */
	int32_t best;          /* its largest value's index, the lowest on ties; -1: none above -inf */
	float max;             /* that value; the following hold where it is finite */
	int32_t drawn;         /* DRAW: as mass_find() of util/mass.h has it */
	float logit;           /* and its value */
	uint64_t mass;         /* FEW: mass_sum() of the row at scale 1 */
	const struct few *few; /* the best, by value and then by the lower index, in no order */
	size_t n_few;          /* at most FEW_MOST; where less, no other value is above -inf */
};

#endif
