/* SPDX-License-Identifier: MIT */
/* matmul_float.cl - y[t][o] (+)= sum over i of w[o][i] x[t][i] (+ bias[o]),
 * weights as floats of any stored type. Offsets (_at) count elements, in
 * bytes for w.
 *
 *   w            [n_out][n_in] of w_type (STORED_)
 *   q            prepared inputs, [chunk][row][CHUNK] f32, zeros past n_in
 *   y, bias      [n_rows][n_out] and [n_out] f32; flags: MATMUL_ADD adds to
 *                y, MATMUL_BIAS adds bias, which is not read otherwise
 *
 * float_prepare  x [n_rows][n_in] to q. Items: ceil(n_in / CHUNK) * n_rows
 * float_vec      n_rows == 1; items: ceil(n_out / n_block)
 * float_tile     any n_rows; items: ceil(n_out / n_block) * ceil(n_rows /
 *                n_tokens), n_block a multiple of 16; scratch: n_block *
 *                (CHUNK + n_tokens * WIDTH) floats
 *
 * Lane l of a row's sum adds up, in rising order, the columns l + n * WIDTH. */
#include "matmul.clh"

#define CHUNK 512
#define FLOAT_WEIGHT __global const uchar *w, ulong w_at, int w_type
#define STEP (4 * WIDTH)       /* columns between prefetches */

KERNEL(float_prepare)(ITEM __global const float *x, ulong x_at, __global float *q, ulong q_at,
                      int n_rows, int n_in)
{
	int c = (int)(ITEM_ID / n_rows), row = (int)(ITEM_ID % n_rows), i = 0;
	int n = min_int(n_in - c * CHUNK, CHUNK);
	__global const float *p = x + x_at + (ulong)row * n_in + (ulong)c * CHUNK;
	__global float *out = q + q_at + ((ulong)c * n_rows + row) * CHUNK;

	for (; i + WIDTH <= n; i += WIDTH)
		STOREF(LOADF(p + i), out + i);
	for (; i % WIDTH || i < n; i++)
		out[i] = i < n ? p[i] : 0;
}

/* R rows from `row` on; the next rows' heads are fetched towards the end. */
#define FLOAT_ROWS(TYPE, R) \
	do { \
		const int size = stored_size(TYPE); \
		ulong row_bytes = (ulong)n_in * size; \
		__global const uchar *p = w + w_at + row * row_bytes; \
		__global const float *x = q + q_at; \
		VF acc[R]; \
		int i = 0; \
		fetch_pages(p, PAGES_AHEAD, R * row_bytes); \
		UNROLL for (int r = 0; r < R; r++) \
			acc[r] = SPLATF(0.0f); \
		for (; i + STEP <= n_in; i += STEP) { \
			ulong ahead = (ulong)i * size + ROWS_AHEAD; \
			ahead += ahead < row_bytes ? 0 : (R - 1) * row_bytes; \
			UNROLL for (int r = 0; r < R; r++) \
				for (int k = 0; k < STEP * size; k += 64) \
					PREFETCH(p + r * row_bytes + ahead + k); \
			UNROLL for (int k = 0; k < STEP; k += WIDTH) { \
				VF v = LOADF(x + i + k); \
				UNROLL for (int r = 0; r < R; r++) \
					acc[r] = FMA(load_stored(TYPE, p + r * row_bytes, i + k), \
					             v, acc[r]); \
			} \
		} \
		for (; i + WIDTH <= n_in; i += WIDTH) \
			UNROLL for (int r = 0; r < R; r++) \
				acc[r] = FMA(load_stored(TYPE, p + r * row_bytes, i), \
				             LOADF(x + i), acc[r]); \
		if (i < n_in) \
			UNROLL for (int r = 0; r < R; r++) \
				acc[r] = FMA(load_stored_few(TYPE, p + r * row_bytes, i, \
				                             n_in - i), \
				             LOADF(x + i), acc[r]); \
		UNROLL for (int r = 0; r < R; r++) \
			put_one(y + y_at + row + r, sum(acc[r]), bias, bias_at + row + r, flags); \
	} while (0)

#define FLOAT_VEC(TYPE) \
	case TYPE: \
		for (; row + ROWS <= end; row += ROWS) \
			FLOAT_ROWS(TYPE, ROWS); \
		for (; row < end; row++) \
			FLOAT_ROWS(TYPE, 1); \
		break

KERNEL(float_vec)(ITEM FLOAT_WEIGHT, __global const float *q, ulong q_at, MATMUL_OUT,
                  int n_rows, int n_out, int n_in, int n_block)
{
	int row = (int)ITEM_ID * n_block, end = min_int(row + n_block, n_out);

	(void)n_rows;
	switch (w_type) {
	FLOAT_VEC(STORED_F32);
	FLOAT_VEC(STORED_F16);
	FLOAT_VEC(STORED_BF16);
	FLOAT_VEC(STORED_E4M3);
	FLOAT_VEC(STORED_E5M2);
	}
}

/* A chunk of a row as f32, zeros past the row up to a whole vector. */
static inline void unpack(LOCAL float *out, __global const uchar *p, int w_type, int n)
{
	int i = 0;

	switch (w_type) {
#define FLOAT_UNPACK(TYPE) \
	case TYPE: \
		for (; i + WIDTH <= n; i += WIDTH) { \
			PREFETCH(p + (i + CHUNK) * stored_size(TYPE)); \
			STOREF(load_stored(TYPE, p, i), out + i); \
		} \
		break
	FLOAT_UNPACK(STORED_F32);
	FLOAT_UNPACK(STORED_F16);
	FLOAT_UNPACK(STORED_BF16);
	FLOAT_UNPACK(STORED_E4M3);
	FLOAT_UNPACK(STORED_E5M2);
	}
	if (i < n)
		STOREF(load_stored_few(w_type, p, i, n - i), out + i);
}

KERNEL(float_tile)(ITEM FLOAT_WEIGHT, __global const float *q, ulong q_at, MATMUL_OUT, int n_rows,
                   int n_out, int n_in, int n_block, int n_tokens, LOCAL float *scratch)
{
	int token_blocks = (n_rows + n_tokens - 1) / n_tokens, size = stored_size(w_type);
	int row = (int)(ITEM_ID / token_blocks) * n_block;
	int token = (int)(ITEM_ID % token_blocks) * n_tokens;
	int tokens = min_int(n_tokens, n_rows - token);
	LOCAL float *acc = scratch + n_block * CHUNK;

	for (int c = 0; c * CHUNK < n_in; c++) {
		int n = min_int(n_in - c * CHUNK, CHUNK);

		for (int r = 0; r < n_block; r++)
			unpack(scratch + r * CHUNK, w + w_at + ((ulong)min_int(row + r, n_out - 1) *
			       n_in + (ulong)c * CHUNK) * size, w_type, n);
		tiles_float(tokens, c == 0, acc, n_block,
		            q + q_at + ((ulong)c * n_rows + token) * CHUNK, CHUNK,
		            scratch, CHUNK, (n + WIDTH - 1) / WIDTH);
	}
	for (int t = 0; t < tokens; t++)
		put_rows(acc + t * n_block * WIDTH, y + y_at + (ulong)(token + t) * n_out + row,
		         min_int(n_block, n_out - row), bias, bias_at + row, flags);
}
