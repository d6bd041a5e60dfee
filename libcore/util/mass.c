/* SPDX-License-Identifier: MIT */
/* mass.c - exponentials as integers
 *
 * No product is fused with a sum, here or on a device, so that the bits are
 * the same whatever the vectors. */
#include "util/mass.h"

#include <math.h>
#include <string.h>

enum { LANES = 32 };
/* A mass in two parts of 32 bits: what vectors of any kind can make and add up. */
enum { HIGH_BITS = 20, LOW_BITS = MASS_BITS - HIGH_BITS };

#define INSIDE static inline __attribute__((always_inline))

/* exp(x) of LANES values at most 0: x = k ln 2 + r, |r| <= ln 2 / 2, and the
 * series of exp(r) to degree 7; 0 below the normal numbers. NaN gives 0. */
INSIDE void exp_lanes(float *w, const float *x)
{
	const float round = 0x1.8p23f; /* adding it leaves the integer in the low bits */
	float t[LANES], r[LANES], p[LANES];
	uint32_t k[LANES];

	for (size_t j = 0; j < LANES; j++)
		r[j] = x[j] > -87.0f ? x[j] : -87.0f;
	for (size_t j = 0; j < LANES; j++)
		t[j] = r[j] * 0x1.715476p+0f + round;
	memcpy(k, t, sizeof k);
	for (size_t j = 0; j < LANES; j++)
		t[j] -= round;
	for (size_t j = 0; j < LANES; j++)
		r[j] = (r[j] - t[j] * 0x1.62e4p-1f) - t[j] * 0x1.7f7d1cp-20f;
	for (size_t j = 0; j < LANES; j++) {
		float q = 1.0f / 5040;

		q = q * r[j] + 1.0f / 720;
		q = q * r[j] + 1.0f / 120;
		q = q * r[j] + 1.0f / 24;
		q = q * r[j] + 1.0f / 6;
		q = q * r[j] + 0.5f;
		q = q * r[j] + 1.0f;
		p[j] = q * r[j] + 1.0f;
	}
	for (size_t j = 0; j < LANES; j++)
		k[j] = (k[j] + 127) << 23;
	memcpy(t, k, sizeof t);
	for (size_t j = 0; j < LANES; j++)
		w[j] = x[j] > -87.0f ? p[j] * t[j] : 0.0f;
}

INSIDE void add_masses(int32_t *high, int32_t *low, const float *x, float max, float scale)
{
	float in[LANES], w[LANES];
	int32_t h[LANES];

	for (size_t j = 0; j < LANES; j++)
		in[j] = (x[j] - max) * scale;
	exp_lanes(w, in);
	for (size_t j = 0; j < LANES; j++)
		w[j] *= (float)(1 << HIGH_BITS);
	for (size_t j = 0; j < LANES; j++)
		h[j] = (int32_t)w[j];
	for (size_t j = 0; j < LANES; j++)
		high[j] += h[j];
	for (size_t j = 0; j < LANES; j++)
		low[j] += (int32_t)((w[j] - (float)h[j]) * (float)(1 << LOW_BITS));
}

/* Fewer than LANES, and then nothing. */
INSIDE void fill_up(float *out, const float *x, size_t n)
{
	for (size_t j = 0; j < LANES; j++)
		out[j] = j < n ? x[j] : -INFINITY;
}

INSIDE uint64_t whole(int32_t high, int32_t low)
{
	return ((uint64_t)high << LOW_BITS) + (uint64_t)low;
}

INSIDE uint64_t sum_block(const float *x, size_t n, float max, float scale)
{
	int32_t high[LANES] = { 0 }, low[LANES] = { 0 };
	uint64_t sum = 0;
	float rest[LANES];
	size_t i = 0;

	for (; i + LANES <= n; i += LANES)
		add_masses(high, low, x + i, max, scale);
	if (i < n) {
		fill_up(rest, x + i, n - i);
		add_masses(high, low, rest, max, scale);
	}
	for (size_t j = 0; j < LANES; j++)
		sum += whole(high[j], low[j]);
	return sum;
}

INSIDE uint64_t sum_blocks(uint64_t *block, const float *x, size_t n, float max, float scale)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i += MASS_BLOCK) {
		uint64_t m = sum_block(x + i, n - i < MASS_BLOCK ? n - i : MASS_BLOCK, max, scale);

		if (block)
			block[i / MASS_BLOCK] = m;
		sum += m;
	}
	return sum;
}

/* Wider vectors where there are any. */
#ifdef __x86_64__
__attribute__((target("avx512f"))) static uint64_t sum_64(uint64_t *block, const float *x, size_t n,
                                                          float max, float scale)
{
	return sum_blocks(block, x, n, max, scale);
}

__attribute__((target("avx2"))) static uint64_t sum_32(uint64_t *block, const float *x, size_t n,
                                                       float max, float scale)
{
	return sum_blocks(block, x, n, max, scale);
}
#endif

uint64_t mass_sum(uint64_t *block, const float *x, size_t n, float max, float scale)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return sum_64(block, x, n, max, scale);
	if (__builtin_cpu_supports("avx2"))
		return sum_32(block, x, n, max, scale);
#endif
	return sum_blocks(block, x, n, max, scale);
}

void mass_each(uint64_t *mass, const float *x, size_t n, float max, float scale)
{
	float in[LANES];

	for (size_t i = 0; i < n; i += LANES) {
		size_t m = n - i < LANES ? n - i : LANES;
		int32_t high[LANES] = { 0 }, low[LANES] = { 0 };

		fill_up(in, x + i, m);
		add_masses(high, low, in, max, scale);
		for (size_t j = 0; j < m; j++)
			mass[i + j] = whole(high[j], low[j]);
	}
}

uint64_t mass_share(uint64_t mass, uint32_t chance)
{
	return (mass >> 32) * chance + ((mass & UINT32_MAX) * chance >> 32);
}

size_t mass_find(const uint64_t *block, const float *x, size_t n, float max, float scale,
                 uint64_t at)
{
	uint64_t mass[MASS_BLOCK], sum = 0;
	size_t i = 0, m, k = 0;

	for (; i + MASS_BLOCK < n && sum + block[i / MASS_BLOCK] <= at; i += MASS_BLOCK)
		sum += block[i / MASS_BLOCK];
	m = n - i < MASS_BLOCK ? n - i : MASS_BLOCK;
	mass_each(mass, x + i, m, max, scale);
	while (k + 1 < m && (sum += mass[k]) <= at)
		k++;
	return i + k;
}

double mass_log(uint64_t mass, float max)
{
	return (double)max + log((double)mass) - MASS_BITS * 0x1.62e42fefa39efp-1;
}
