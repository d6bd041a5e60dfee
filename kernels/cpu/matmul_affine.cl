/* SPDX-License-Identifier: MIT */
/* matmul_affine.cl - y[t][o] (+)= sum over i of (scale * code + base) x[t][i]
 * (+ bias[o]), codes of BITS bits in groups of GROUP along a row.
 *
 * In OpenCL C the host gives BITS and GROUP and gets one form; as C every
 * form is built. Offsets (_at) count elements of the pointer's type.
 *
 *   w            codes, [n_out][n_in * BITS / 8] bytes
 *   s, b         scales and bases, [n_out][n_in / GROUP] of s_type (STORED_)
 *   q            prepared inputs, below
 *   y, bias      [n_rows][n_out] and [n_out] f32; flags: MATMUL_ADD adds to
 *                y, MATMUL_BIAS adds bias, which is not read otherwise
 *
 * affine_prepare        x [n_rows][n_in] f32 to q, [chunk][row][XCHUNK][WIDTH]
 *                       ints: a scale and a sum per group, then pairs of 16-
 *                       bit integers. Items: chunks * n_rows, where a chunk is
 *                       WIDTH groups and chunks = ceil(n_in / GROUP / WIDTH);
 *                       XCHUNK is GROUP / 2 + 2
 * affine_prepare_exact  the same in f32, XEXACT = GROUP vectors a chunk
 * affine_vec            n_rows == 1; items: ceil(n_out / n_block)
 * affine_few            n_rows <= FEW (8 of width 16, else
 *                       4); items: ceil(n_out / n_block), n_block a
 *                       multiple of 16; scratch: FEW * n_block *
 *                       WIDTH ints
 * affine_tile           any n_rows; items: ceil(n_out / n_block) *
 *                       ceil(n_rows / n_tokens), n_block a multiple of 16;
 *                       scratch: n_block * WIDTH * (XCHUNK + n_tokens) ints
 * affine_exact          the same over affine_prepare_exact(); scratch:
 *                       n_block * WIDTH * (XEXACT + n_tokens)
 *
 * affine_vec, _few and _tile give the same bits: a group's products add up
 * exactly in integers, and lane g of a row's sum adds up, in rising order,
 * the groups g + n * WIDTH. */
#include "matmul.clh"

#define AFFINE_WEIGHT __global const uchar *w, ulong w_at, __global const uchar *s, ulong s_at, \
	__global const uchar *b, ulong b_at, int s_type

/* Where in 32-bit words each lane's 24 or 20 bits lie, low part and high. */
#if WIDTH == 16
#define BITS24_LOW 0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8, 9, 9, 10, 11
#define BITS24_HIGH 0, 1, 2, 2, 3, 4, 5, 5, 6, 7, 8, 8, 9, 10, 11, 11
#define BITS24_RIGHT VCONST(0, 24, 16, 8, 0, 24, 16, 8, 0, 24, 16, 8, 0, 24, 16, 8)
#define BITS24_LEFT VCONST(24, 8, 16, 24, 24, 8, 16, 24, 24, 8, 16, 24, 24, 8, 16, 24)
#define BITS20_LOW 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 6, 6, 7, 8, 8, 9
#define BITS20_HIGH 0, 1, 1, 2, 3, 3, 4, 4, 5, 6, 6, 7, 8, 8, 9, 9
#define BITS20_RIGHT VCONST(0, 20, 8, 28, 16, 4, 24, 12, 0, 20, 8, 28, 16, 4, 24, 12)
#define BITS20_LEFT VCONST(20, 12, 24, 4, 16, 28, 8, 20, 20, 12, 24, 4, 16, 28, 8, 20)
#elif WIDTH == 8
#define BITS24_LOW 0, 0, 1, 2, 3, 3, 4, 5
#define BITS24_HIGH 0, 1, 2, 2, 3, 4, 5, 5
#define BITS24_RIGHT VCONST(0, 24, 16, 8, 0, 24, 16, 8)
#define BITS24_LEFT VCONST(24, 8, 16, 24, 24, 8, 16, 24)
#define BITS20_LOW 0, 0, 1, 1, 2, 3, 3, 4
#define BITS20_HIGH 0, 1, 1, 2, 3, 3, 4, 4
#define BITS20_RIGHT VCONST(0, 20, 8, 28, 16, 4, 24, 12)
#define BITS20_LEFT VCONST(20, 12, 24, 4, 16, 28, 8, 20)
#else
#define BITS24_LOW 0, 0, 1, 2
#define BITS24_HIGH 0, 1, 2, 2
#define BITS24_RIGHT VCONST(0, 24, 16, 8)
#define BITS24_LEFT VCONST(24, 8, 16, 24)
#define BITS20_LOW 0, 0, 1, 1
#define BITS20_HIGH 0, 1, 1, 2
#define BITS20_RIGHT VCONST(0, 20, 8, 28)
#define BITS20_LEFT VCONST(20, 12, 24, 4)
#endif

/* A chunk's scales or biases at the row's end or the weight's. */
NOINLINE VF last_scales(int type, __global const uchar *s, ulong at,
                                                int left, bool all_there)
{
	if (all_there)
		return keep_first(load_stored(type, s, at), left);
	return load_stored_few(type, s, at, left);
}

/* A chunk's scales or biases, zero past the row; reads only what is there. */
INLINE VF chunk_scales(int type, __global const uchar *s, int groups, int row, int c, int n_out)
{
	ulong at = (ulong)row * groups + c * WIDTH, all = (ulong)groups * n_out;
	int left = groups - c * WIDTH;

	if (left < WIDTH)
		return last_scales(type, s, at, left, at + WIDTH <= all);
	if (type == STORED_F16)
		return LOADHALF(s + 2 * at);
	if (type == STORED_BF16)
		return ASF(LOAD16(s + 2 * at) << 16);
	return LOADF_AT(s + 4 * at);
}

#include "pairs.clh"

#ifdef __OPENCL_C_VERSION__
#include "affine.clh"
#else
#include "exec/cpu_rows.h"

#define BITS 2
#define GROUP 16
#include "affine.clh"
#define BITS 2
#define GROUP 32
#include "affine.clh"
#define BITS 2
#define GROUP 64
#include "affine.clh"
#define BITS 2
#define GROUP 128
#include "affine.clh"
#define BITS 3
#define GROUP 16
#include "affine.clh"
#define BITS 3
#define GROUP 32
#include "affine.clh"
#define BITS 3
#define GROUP 64
#include "affine.clh"
#define BITS 3
#define GROUP 128
#include "affine.clh"
#define BITS 4
#define GROUP 16
#include "affine.clh"
#define BITS 4
#define GROUP 32
#include "affine.clh"
#define BITS 4
#define GROUP 64
#include "affine.clh"
#define BITS 4
#define GROUP 128
#include "affine.clh"
#define BITS 5
#define GROUP 16
#include "affine.clh"
#define BITS 5
#define GROUP 32
#include "affine.clh"
#define BITS 5
#define GROUP 64
#include "affine.clh"
#define BITS 5
#define GROUP 128
#include "affine.clh"
#define BITS 6
#define GROUP 16
#include "affine.clh"
#define BITS 6
#define GROUP 32
#include "affine.clh"
#define BITS 6
#define GROUP 64
#include "affine.clh"
#define BITS 6
#define GROUP 128
#include "affine.clh"
#define BITS 8
#define GROUP 16
#include "affine.clh"
#define BITS 8
#define GROUP 32
#include "affine.clh"
#define BITS 8
#define GROUP 64
#include "affine.clh"
#define BITS 8
#define GROUP 128
#include "affine.clh"

#define ROW(bits, group) { AFFINE(affine_prepare, bits, group), \
	AFFINE(affine_prepare_exact, bits, group), AFFINE(affine_vec, bits, group), \
	AFFINE(affine_few, bits, group), AFFINE(affine_tile, bits, group), \
	AFFINE(affine_exact, bits, group) }
#define AFFINE(name, bits, group) CAT(name##_##bits##_##group##_, ISA)
#define GROUPS(bits) { ROW(bits, 16), ROW(bits, 32), ROW(bits, 64), ROW(bits, 128) }
const struct cpu_affine NAME(affine_rows)[CPU_AFFINE_BITS][CPU_AFFINE_GROUPS] = {
	GROUPS(2), GROUPS(3), GROUPS(4), GROUPS(5), GROUPS(6), GROUPS(8),
};
#endif
