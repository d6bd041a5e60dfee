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
 *                y, MATMUL_BIAS adds bias, which is not read otherwise;
 *                FETCH_ says how one token's codes and scales are fetched
 *
 * affine_prepare        x [n_rows][n_in] f32 to q, [chunk][row][XCHUNK][WIDTH]
 *                       ints: a scale and a sum per group, then pairs of 16-
 *                       bit integers, `most` the largest. Items: chunks * n_rows, where a chunk is
 *                       WIDTH groups and chunks = ceil(n_in / GROUP / WIDTH);
 *                       XCHUNK is GROUP / 2 + 2
 * affine_prepare_exact  the same in f32, XEXACT = GROUP vectors a chunk
 * affine_vec            n_rows == 1; items: ceil(n_out / n_block)
 * affine_prepare_one    one token's, as affine_vec reads them, [chunk][XCHUNK][WIDTH] ints:
 *                       scales and sums, then what meets each vector of units, in the order
 *                       of the row: pairs of its PLANES; or, of 2, 4 or 8 bits where dot4()
 *                       is one instruction, the higher bytes that meet its PARTS and the
 *                       lower, `most` at most 32639. Items: chunks
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

#include "units.clh"
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

#define ROW(bits, group) { \
	AFFINE(affine_prepare, bits, group), AFFINE(affine_prepare_one, bits, group), \
	AFFINE(affine_prepare_exact, bits, group), AFFINE(affine_vec, bits, group), \
	AFFINE(affine_few, bits, group), AFFINE(affine_tile, bits, group), \
	AFFINE(affine_exact, bits, group) }
#define AFFINE(name, bits, group) CAT(name##_##bits##_##group##_, ISA)
#define GROUPS(bits) { ROW(bits, 16), ROW(bits, 32), ROW(bits, 64), ROW(bits, 128) }
const struct cpu_affine NAME(affine_rows)[CPU_AFFINE_BITS][CPU_AFFINE_GROUPS] = {
	GROUPS(2), GROUPS(3), GROUPS(4), GROUPS(5), GROUPS(6), GROUPS(8),
};
#endif
