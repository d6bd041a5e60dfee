/* SPDX-License-Identifier: MIT */
/* pick.c - the numeric pieces of sampling
 *
 * Inner loops run over blocks of a constant length, the form that compilers
 * turn into vector code without being asked. */
#include "gen/pick.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, STRIDE = 1024 };

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

/* ---- sums */

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
	uint64_t above = 0;

	while (from < to) {
		size_t at = from;
		uint64_t part = 0;
		struct cand pivot;

		chance = chance * 1664525u + 1013904223u;
		swap(&c[from + (size_t)(chance >> 8) % (to - from)], &c[to - 1]);
		pivot = c[to - 1];
		for (size_t i = from; i + 1 < to; i++)
			if (before(&c[i], &pivot)) {
				part += by_count ? 1 : c[i].mass;
				swap(&c[i], &c[at++]);
			}
		swap(&c[at], &c[to - 1]);
		if ((double)(above + part) >= mass) {
			to = at;
		} else {
			above += part + (by_count ? 1 : pivot.mass);
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
