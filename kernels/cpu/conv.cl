/* SPDX-License-Identifier: MIT */
/* conv.cl - a convolution per channel over a run of rows of one sequence,
 * whose last inputs are kept: y[c] = act(sum over k of w[c][k] * x[c],
 * taps - 1 - k positions ago)
 * x, y: [n_rows][channels] f32; w: [channels][taps]; states: pages of `size`
 * f32, of which [taps - 1][channels] at `part` are ours; pages: those of the
 * sequence, pos: the first row's. Item: CONV_BLOCK channels. */
#include "gate.clh"

#define CONV_BLOCK 64
#define CONV_TAPS 8
#define PAGE_SIZE 32

static inline VF load_some(__global const float *p, int n)
{
	return n < WIDTH ? load_few(p, n) : LOADF(p);
}

static inline void store_some(VF v, __global float *p, int n)
{
	if (n < WIDTH)
		store_few(v, p, n);
	else
		STOREF(v, p);
}

/* n <= WIDTH channels from c on. */
static inline void convolve(__global const float *x, __global float *y, __global const float *w,
                            __global float *states, ulong size, __global const int *pages, int pos,
                            int n_rows, int channels, int taps, int act, int n)
{
	VF h[CONV_TAPS], by[CONV_TAPS];

	for (int k = 0; k < taps; k++) {
		float t[WIDTH];

		for (int i = 0; i < WIDTH; i++)
			t[i] = i < n ? w[i * taps + k] : 0;
		by[k] = LOADF(t);
	}
	for (int k = 0; k < taps - 1; k++)
		h[k] = pos > 0 ? load_some(states + pages[(pos - 1) / PAGE_SIZE] * size +
		                           (ulong)k * channels, n) : SPLATF(0.0f);
	for (int row = 0; row < n_rows; row++, pos++) {
		VF total = SPLATF(0.0f);

		h[taps - 1] = load_some(x + (ulong)row * channels, n);
		for (int k = 0; k < taps; k++)
			total = FMA(by[k], h[k], total);
		store_some(act == GLU_SILU ? silu(total) : total, y + (ulong)row * channels, n);
		for (int k = 0; k < taps - 1; k++)
			h[k] = h[k + 1];
		if (row + 1 < n_rows && pages[pos / PAGE_SIZE] == pages[(pos + 1) / PAGE_SIZE])
			continue;
		for (int k = 0; k < taps - 1; k++)
			store_some(h[k], states + pages[pos / PAGE_SIZE] * size + (ulong)k * channels, n);
	}
}

KERNEL(conv)(ITEM __global const float *x, ulong x_at, __global float *y, ulong y_at,
             __global const float *w, ulong w_at, __global float *states, ulong part, ulong size,
             __global const int *pages, int pos, int n_rows, int channels, int taps, int act)
{
	int c = (int)ITEM_ID * CONV_BLOCK, end = min_int(c + CONV_BLOCK, channels);

	for (; c < end; c += WIDTH)
		convolve(x + x_at + c, y + y_at + c, w + w_at + (ulong)c * taps, states + part + c, size,
		         pages, pos, n_rows, channels, taps, act, min_int(WIDTH, end - c));
}
