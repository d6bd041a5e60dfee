/* SPDX-License-Identifier: MIT */
/* limits.cl - what a core can do at most: read memory, fused products,
 * dots of 16-bit and of 8-bit integers. Nothing of use is computed.
 * p: n bytes of each item, n a multiple of 32 vectors; out: [items] f32 that
 * depend on all of the work, so that none of it is left out. */
#include "vec.h"

enum { STREAMS = 8, CHAINS = 12, READ_AHEAD = 4096 };

KERNEL(limit_read)(ITEM __global const uchar *p, ulong n, __global float *out)
{
	__global const uchar *from = p + ITEM_ID * n;
	VU acc[STREAMS];

	UNROLL for (int k = 0; k < STREAMS; k++)
		acc[k] = SPLATU(0);
	for (ulong i = 0; i < n; i += STREAMS * 4 * WIDTH) {
		fetch_pages(from + i, PAGES_AHEAD, STREAMS * 4 * WIDTH);
		UNROLL for (int k = 0; k < STREAMS * 4 * WIDTH; k += 64)
			PREFETCH(from + i + READ_AHEAD + k);
		UNROLL for (int k = 0; k < STREAMS; k++)
			acc[k] |= LOADU_AT(from + i + k * 4 * WIDTH);
	}
	UNROLL for (int k = 1; k < STREAMS; k++)
		acc[0] |= acc[k];
	out[ITEM_ID] = sum(TOFLOAT(ASI(acc[0])));
}

/* Chains that wait for nothing but themselves; `zero` is 0, which the
 * compiler cannot know. */
KERNEL(limit_fma)(ITEM int zero, int n, __global float *out)
{
	VF acc[CHAINS], keep = SPLATF((float)(zero + 1)), add = SPLATF((float)zero);

	UNROLL for (int k = 0; k < CHAINS; k++)
		acc[k] = SPLATF((float)(zero + k));
	for (int i = 0; i < n; i++)
		UNROLL for (int k = 0; k < CHAINS; k++)
			acc[k] = FMA(acc[k], keep, add);
	UNROLL for (int k = 1; k < CHAINS; k++)
		acc[0] += acc[k];
	out[ITEM_ID] = sum(acc[0]);
}

#define DOTS(dot) \
	VI acc[CHAINS]; \
	VU a = SPLATU(zero); \
	UNROLL for (int k = 0; k < CHAINS; k++) \
		acc[k] = SPLATI(zero + k); \
	for (int i = 0; i < n; i++) \
		UNROLL for (int k = 0; k < CHAINS; k++) \
			acc[k] = dot(acc[k], a, acc[k]); \
	UNROLL for (int k = 1; k < CHAINS; k++) \
		acc[0] += acc[k]; \
	out[ITEM_ID] = sum(TOFLOAT(acc[0]))

KERNEL(limit_dot16)(ITEM int zero, int n, __global float *out)
{
	DOTS(dot2);
}

KERNEL(limit_dot8)(ITEM int zero, int n, __global float *out)
{
	DOTS(dot4);
}
