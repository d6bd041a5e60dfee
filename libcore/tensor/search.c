/* SPDX-License-Identifier: MIT */
/* search.c - scales by least squares over a few starts, and the codes that
 * go with them */
#include "tensor/search.h"

#include <math.h>
#include <stddef.h>

enum { MOST = 32, PASSES = 5 };
static const float nothing = 1e-15f;

static void clear(uint8_t *code, int n)
{
	for (int i = 0; i < n; i++)
		code[i] = 0;
}

static int clip(float v, int lo, int hi)
{
	float r = rintf(v);

	if (!(r > (float)lo)) /* what is no number is the least */
		return lo;
	return r > (float)hi ? hi : (int)r;
}

float search_extreme(const float *x, int n)
{
	float top = 0, value = 0;

	for (int i = 0; i < n; i++)
		if (fabsf(x[i]) > top) {
			top = fabsf(x[i]);
			value = x[i];
		}
	return value;
}

/* sum w x l and sum w l l of the codes that this inverse scale gives */
static void fit(int *l, float *a, float *b, const float *x, const float *w, int n, float inverse,
                int lo, int hi)
{
	*a = *b = 0;
	for (int i = 0; i < n; i++) {
		float weight = w ? w[i] : x[i] * x[i];

		l[i] = clip(inverse * x[i], lo, hi);
		*a += weight * x[i] * (float)l[i];
		*b += weight * (float)l[i] * (float)l[i];
	}
}

static void keep(uint8_t *code, const int *l, int n, int offset)
{
	for (int i = 0; i < n; i++)
		code[i] = (uint8_t)(l[i] + offset);
}

float search_centred(uint8_t *code, const float *x, const float *w, int n, int top)
{
	float most = search_extreme(x, n), a, b, scale, best;
	int l[MOST];

	clear(code, n);
	if (fabsf(most) < nothing)
		return 0;
	fit(l, &a, &b, x, w, n, -(float)top / most, -top, top - 1);
	keep(code, l, n, top);
	scale = b != 0 ? a / b : 0;
	best = scale * a;
	for (int k = -9; k <= 9; k++) {
		if (!k)
			continue;
		fit(l, &a, &b, x, w, n, -((float)top + 0.1f * (float)k) / most, -top, top - 1);
		if (b > 0 && a * a > best * b) {
			keep(code, l, n, top);
			scale = a / b;
			best = scale * a;
		}
	}
	return scale;
}

/* One code at a time, while that betters a * a / b. */
static void refine(int *l, float *a, float *b, const float *x, const float *w, int n, int lo,
                   int hi, bool need_b)
{
	for (int pass = 0, changed = 1; pass < PASSES && changed; pass++) {
		changed = 0;
		for (int i = 0; i < n; i++) {
			float weight = w ? w[i] : x[i] * x[i], old = (float)l[i];
			float a1 = *a - weight * x[i] * old, b1 = *b - weight * old * old, v;
			int k;

			if (!(a1 > 0) || (need_b && !(b1 > 0)))
				continue;
			k = clip(x[i] * b1 / a1, lo, hi);
			if (k == l[i])
				continue;
			v = (float)k;
			a1 += weight * x[i] * v;
			b1 += weight * v * v;
			if (b1 > 0 && a1 * a1 * *b > *a * *a * b1) {
				l[i] = k;
				*a = a1;
				*b = b1;
				changed = 1;
			}
		}
	}
}

float search_three_bits(uint8_t *code, const float *x, int n)
{
	float most = search_extreme(x, n), a, b;
	int l[MOST];

	clear(code, n);
	if (fabsf(most) < nothing)
		return 0;
	fit(l, &a, &b, x, NULL, n, -4.0f / most, -4, 3);
	refine(l, &a, &b, x, NULL, n, -4, 3, false);
	keep(code, l, n, 4);
	return b > 0 ? a / b : 0;
}

float search_positive(uint8_t *code, const float *x, const float *w, int n, int top)
{
	float most = 0, inverse, best = 0, a, b;
	int l[MOST];

	clear(code, n);
	for (int i = 0; i < n; i++)
		most = x[i] > most ? x[i] : most;
	if (most < nothing)
		return 0;
	inverse = (float)top / most;
	for (int k = -5; k <= 4; k++) { /* -5 stands for the start */
		float is = k == -5 ? inverse : (0.1f * (float)k + (float)top) / most;
		float r = 1 / is, err = 0;

		if (!k)
			continue;
		for (int i = 0; i < n; i++) {
			float t = x[i] - r * (float)clip(is * x[i], 0, k == -5 ? 255 : top);

			err += w[i] * t * t;
		}
		if (k == -5 || err < best) {
			best = err;
			inverse = is;
		}
	}
	fit(l, &a, &b, x, w, n, inverse, 0, top);
	refine(l, &a, &b, x, w, n, 0, top, true);
	keep(code, l, n, 0);
	return b > 0 ? a / b : 0;
}

struct based {
	const float *x, *w;
	int n, top;
	bool absolute;
	float lo, hi, sum_w, sum_x;
};

static float error_of(const struct based *s, const int *l, float scale, float minimum)
{
	float err = 0;

	for (int i = 0; i < s->n; i++) {
		float t = scale * (float)l[i] + minimum - s->x[i];

		err += s->w[i] * (s->absolute ? fabsf(t) : t * t);
	}
	return err;
}

/* Scale and minimum that suit the codes best; false: none does. */
static bool solve(const struct based *s, const int *l, float *scale, float *minimum)
{
	float l1 = 0, l2 = 0, xl = 0, d;

	for (int i = 0; i < s->n; i++) {
		l1 += s->w[i] * (float)l[i];
		l2 += s->w[i] * (float)l[i] * (float)l[i];
		xl += s->w[i] * (float)l[i] * s->x[i];
	}
	d = s->sum_w * l2 - l1 * l1;
	if (!(d > 0))
		return false;
	*scale = (s->sum_w * xl - s->sum_x * l1) / d;
	*minimum = (l2 * s->sum_x - l1 * xl) / d;
	if (*minimum > 0) {
		*minimum = 0;
		*scale = xl / l2;
	}
	return true;
}

static void codes_of(const struct based *s, int *l, float inverse)
{
	for (int i = 0; i < s->n; i++)
		l[i] = clip(inverse * (s->x[i] - s->lo), 0, s->top);
}

static void ranges(struct based *s)
{
	s->lo = s->hi = s->x[0];
	for (int i = 0; i < s->n; i++) {
		s->lo = s->x[i] < s->lo ? s->x[i] : s->lo;
		s->hi = s->x[i] > s->hi ? s->x[i] : s->hi;
		s->sum_w += s->w[i];
		s->sum_x += s->w[i] * s->x[i];
	}
	s->lo = s->lo > 0 ? 0 : s->lo;
}

float search_based(uint8_t *code, float *minimum, const float *x, const float *w, int n, int top,
                   const struct search_walk *walk)
{
	struct based s = { .x = x, .w = w, .n = n, .top = top, .absolute = walk->absolute };
	float scale, inverse, best;
	int l[MOST];

	ranges(&s);
	clear(code, n);
	*minimum = -s.lo;
	if (!(s.hi > s.lo))
		return 0;
	inverse = (float)top / (s.hi - s.lo);
	scale = 1 / inverse;
	codes_of(&s, l, inverse);
	keep(code, l, n, 0);
	best = error_of(&s, l, scale, s.lo);
	for (int k = 0; k <= walk->steps; k++) {
		float this_scale, this_lo, err;

		codes_of(&s, l, (walk->r0 + walk->dr * (float)k + (float)top) / (s.hi - s.lo));
		if (!solve(&s, l, &this_scale, &this_lo))
			continue;
		err = error_of(&s, l, this_scale, this_lo);
		if (err < best) {
			keep(code, l, n, 0);
			best = err;
			scale = this_scale;
			s.lo = this_lo;
		}
	}
	*minimum = -s.lo;
	return scale;
}
