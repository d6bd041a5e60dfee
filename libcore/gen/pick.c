/* SPDX-License-Identifier: MIT */
/* pick.c - the numeric pieces of sampling
 *
 * Inner loops run over blocks of a constant length, the form that compilers
 * turn into vector code without being asked. */
#include "gen/pick.h"

#include <math.h>
#include <string.h>

enum { LANES = 32, STRIDE = 1024 };

/* ---- best */

static float max_of(const float *x, size_t n)
{
	float lane[LANES], best = -INFINITY;
	size_t i = 0;

	for (size_t j = 0; j < LANES; j++)
		lane[j] = -INFINITY;
	for (; i + LANES <= n; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	for (; i < n; i++)
		lane[0] = x[i] > lane[0] ? x[i] : lane[0];
	for (size_t j = 0; j < LANES; j++)
		best = lane[j] > best ? lane[j] : best;
	return best;
}

size_t pick_best(const float *x, size_t n)
{
	float best = -INFINITY;
	size_t from = 0;

	for (size_t i = 0; i < n; i += STRIDE) {
		float m = max_of(x + i, n - i < STRIDE ? n - i : STRIDE);

		if (m > best) {
			best = m;
			from = i;
		}
	}
	for (size_t i = from; i < n; i++)
		if (x[i] == best)
			return i;
	return 0;
}

/* ---- weights */

#define INSIDE static inline __attribute__((always_inline))

/* exp(x) of LANES values at most 0: x = k ln 2 + r, |r| <= ln 2 / 2, and the
 * series of exp(r) to degree 7; 0 below the normal numbers. NaN gives 0. */
INSIDE void exp_block(float *w, const float *x)
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

INSIDE double weights(float *w, const float *x, size_t n, float max, float scale)
{
	double sum[LANES] = { 0 }, all = 0;

	for (size_t i = 0; i < n; i += LANES) {
		size_t m = n - i < LANES ? n - i : LANES;
		float in[LANES], out[LANES];

		if (m == LANES) {
			memcpy(in, x + i, sizeof in);
		} else {
			for (size_t j = 0; j < LANES; j++)
				in[j] = j < m ? x[i + j] : -INFINITY;
		}
		for (size_t j = 0; j < LANES; j++)
			in[j] = (in[j] - max) * scale;
		exp_block(out, in);
		for (size_t j = 0; j < LANES; j++)
			sum[j] += (double)out[j];
		if (m == LANES)
			memcpy(w + i, out, sizeof out);
		else
			memcpy(w + i, out, m * sizeof *out);
	}
	for (size_t j = 0; j < LANES; j++)
		all += sum[j];
	return all;
}

/* Wider vectors where there are any: no product is fused with a sum, so their
 * bits are the same. */
#ifdef __x86_64__
__attribute__((target("avx512f"))) static double weights_64(float *w, const float *x, size_t n,
                                                            float max, float scale)
{
	return weights(w, x, n, max, scale);
}

__attribute__((target("avx2"))) static double weights_32(float *w, const float *x, size_t n,
                                                         float max, float scale)
{
	return weights(w, x, n, max, scale);
}
#endif

double pick_weights(float *w, const float *x, size_t n, float max, float scale)
{
#ifdef __x86_64__
	if (__builtin_cpu_supports("avx512f"))
		return weights_64(w, x, n, max, scale);
	if (__builtin_cpu_supports("avx2"))
		return weights_32(w, x, n, max, scale);
#endif
	return weights(w, x, n, max, scale);
}

double pick_logsumexp(const float *x, size_t n)
{
	double max = max_of(x, n), sum = 0;

	if (!isfinite(max))
		return max;
	for (size_t i = 0; i < n; i++)
		if (x[i] - max > -50) /* less than 2e-22 of the largest: no bit of the sum */
			sum += exp(x[i] - max);
	return max + log(sum);
}

/* ---- selection */

static int before(const struct cand *a, const struct cand *b)
{
	return a->logit > b->logit || (a->logit == b->logit && a->id < b->id);
}

static void swap(struct cand *a, struct cand *b)
{
	struct cand t = *a;

	*a = *b;
	*b = t;
}

/* Hoare's selection, 1961, by mass instead of by rank. The pivots come from
 * a fixed stream, so that no order of logits is slow on purpose. */
size_t pick_select(struct cand *c, size_t n, double mass, int by_count)
{
	size_t from = 0, to = n;
	uint32_t chance = 1;
	double above = 0;

	while (from < to) {
		size_t at = from;
		double part = 0;
		struct cand pivot;

		chance = chance * 1664525u + 1013904223u;
		swap(&c[from + (size_t)(chance >> 8) % (to - from)], &c[to - 1]);
		pivot = c[to - 1];
		for (size_t i = from; i + 1 < to; i++)
			if (before(&c[i], &pivot)) {
				part += by_count ? 1 : c[i].weight;
				swap(&c[i], &c[at++]);
			}
		swap(&c[at], &c[to - 1]);
		if (above + part >= mass) {
			to = at;
		} else {
			above += part + (by_count ? 1 : pivot.weight);
			from = at + 1;
		}
	}
	return from;
}

static int lower_id(const struct cand *a, const struct cand *b)
{
	return a->id < b->id;
}

/* Shell's sort, 1959: in place, where the library's may allocate. */
static void sort(struct cand *c, size_t n, int (*less)(const struct cand *, const struct cand *))
{
	static const size_t gaps[] = { 701, 301, 132, 57, 23, 10, 4, 1 }; /* Ciura, 2001 */

	for (size_t k = 0; k < sizeof gaps / sizeof *gaps; k++)
		for (size_t i = gaps[k]; i < n; i++) {
			struct cand one = c[i];
			size_t at = i;

			for (; at >= gaps[k] && less(&one, &c[at - gaps[k]]); at -= gaps[k])
				c[at] = c[at - gaps[k]];
			c[at] = one;
		}
}

void pick_sort_best(struct cand *c, size_t n)
{
	sort(c, n, before);
}

void pick_sort_id(struct cand *c, size_t n)
{
	sort(c, n, lower_id);
}

size_t pick_at(const float *w, size_t n, double at)
{
	double sum = 0;
	size_t i = 0;

	for (; i + LANES <= n; i += LANES) {
		double part = 0;

		for (size_t j = 0; j < LANES; j++)
			part += w[i + j];
		if (sum + part > at)
			break;
		sum += part;
	}
	for (; i < n; i++) {
		sum += w[i];
		if (sum > at)
			return i;
	}
	while (i > 1 && !(w[i - 1] > 0))
		i--;
	return i - 1;
}
