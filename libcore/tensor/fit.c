/* SPDX-License-Identifier: MIT */
/* fit.c - scale and bias of a group by search: ranges that clip the extremes
 * more and more, each followed by weighted least squares over its codes. */
#include "tensor/blocks.h"

#include <math.h>

struct group {
	const float *w, *weight;
	unsigned n;
	float top;
	enum dtype stored;
	float scale, bias;      /* the best yet, as stored */
	double error;
};

static float as_stored(enum dtype t, float v)
{
	if (t == DT_F16)
		return f32_of_f16(f16_of_f32(v));
	if (t == DT_BF16)
		return f32_of_bf16(bf16_of_f32(v));
	return v;
}

static float code_for(const struct group *g, unsigned i, float inverse, float bias)
{
	float v = rintf((g->w[i] - bias) * inverse);

	v = v > 0 ? v : 0;
	return v < g->top ? v : g->top;
}

/* Keeps scale and bias, once stored, if they do better. */
static void consider(struct group *g, float scale, float bias)
{
	float s = as_stored(g->stored, scale), b = as_stored(g->stored, bias), error = 0;

	if (!(s != 0) || !isfinite(s) || !isfinite(b))
		return;
	for (unsigned i = 0; i < g->n; i++) {
		float t = g->w[i] - (s * code_for(g, i, 1 / s, b) + b);

		error += g->weight[i] * t * t;
	}
	if (error < g->error) {
		g->error = error;
		g->scale = s;
		g->bias = b;
	}
}

/* The line through the codes that this scale and bias give. */
static bool refit(const struct group *g, float *scale, float *bias)
{
	double n = 0, q1 = 0, q2 = 0, w1 = 0, qw = 0, d;
	float inverse = 1 / *scale;

	for (unsigned i = 0; i < g->n; i++) {
		double h = (double)g->weight[i], q = (double)code_for(g, i, inverse, *bias);
		double w = (double)g->w[i];

		n += h;
		q1 += h * q;
		q2 += h * q * q;
		w1 += h * w;
		qw += h * q * w;
	}
	d = n * q2 - q1 * q1;
	if (!(d > 0))
		return false;
	*scale = (float)((n * qw - q1 * w1) / d);
	*bias = (float)((q2 * w1 - q1 * qw) / d);
	return *scale != 0 && isfinite(*scale) && isfinite(*bias);
}

static void search(struct group *g, float lo, float hi, unsigned bits)
{
	unsigned steps = bits <= 3 ? 20 : bits <= 5 ? 12 : 4;
	float least = bits <= 2 ? 0.4f : bits == 3 ? 0.5f : 0.75f, middle = (lo + hi) / 2;

	for (unsigned k = 0; k <= steps; k++) {
		float part = 1 - (1 - least) * (float)k / (float)steps;
		float scale = (hi - lo) * part / g->top, bias = middle - (hi - lo) * part / 2;

		consider(g, scale, bias);
		for (unsigned again = 0; again < 2 && refit(g, &scale, &bias); again++)
			consider(g, scale, bias);
	}
}

void affine_fit(uint8_t *code, float *scale, float *bias, const float *w, const float *weight,
                unsigned n, unsigned bits, enum dtype stored)
{
	struct group g = { .w = w, .weight = weight, .n = n, .top = (float)((1u << bits) - 1),
		           .stored = stored, .scale = as_stored(stored, 1e-7f), .error = INFINITY };
	float lo = w[0], hi = w[0];

	for (unsigned i = 1; i < n; i++) {
		lo = w[i] < lo ? w[i] : lo;
		hi = w[i] > hi ? w[i] : hi;
	}
	g.bias = as_stored(stored, lo);
	if (hi > lo)
		search(&g, lo, hi, bits);
	*scale = g.scale;
	*bias = g.bias;
	for (unsigned i = 0; i < n; i++)
		code[i] = (uint8_t)code_for(&g, i, 1 / g.scale, g.bias);
}
