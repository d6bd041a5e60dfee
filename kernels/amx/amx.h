/* SPDX-License-Identifier: MIT */
/* amx.h - what products in a CPU's matrix unit share: the shape of the tiles,
 * and writing results. SIDE rows of weights meet SIDE tokens.
 *
 * Intel, Architecture Instruction Set Extensions, chapter 3. */
#ifndef CLM_AMX_H
#define CLM_AMX_H

#include "cpu/matmul.clh"

enum { SIDE = 16, TILE = SIDE * SIDE };  /* words of a tile of sums */

/* Stores are seen by the tile loads that follow: the compiler does not know
 * that these read memory. */
#define SETTLE() __asm__ volatile("" ::: "memory")

/* Rows, and bytes of a row, of each of the unit's tiles. */
struct shape {
	uint8_t palette, start, zero[14];
	uint16_t row_bytes[16];
	uint8_t rows[16];
} __attribute__((aligned(64)));

static inline void load_shape(const struct shape *s)
{
	SETTLE();
	_tile_loadconfig(s);
}

/* Results of up to 16 rows from `row` on: v[t] are those of token t. */
static inline void put_results(const VF *v, int tokens, float *y, long n_out, long row,
                               const float *bias, ulong bias_at, int flags)
{
	long rows = n_out - row;
	__mmask16 mask = (__mmask16)(rows >= SIDE ? 0xffff : rows > 0 ? (1u << rows) - 1 : 0);
	VF b = SPLATF(0.0f);

	if (flags & MATMUL_BIAS)
		b = (VF)_mm512_maskz_loadu_ps(mask, bias + bias_at + row);
	y += row;
	for (int t = 0; t < tokens; t++, y += n_out) {
		VF s = v[t];

		if (flags & MATMUL_BIAS)
			s += b;
		if (flags & MATMUL_ADD)
			s += (VF)_mm512_maskz_loadu_ps(mask, y);
		_mm512_mask_storeu_ps(y, mask, (__m512)s);
	}
}

#endif
