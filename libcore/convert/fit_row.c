/* SPDX-License-Identifier: MIT */
/* fit_row.c - a row of a weight to affine codes that its inputs notice least
 *
 * With e the row's error, e H e^T is what a calibration text loses by it.
 * First a pass over the columns in which each makes up for those before it;
 * then rounds in which a group's scale and bias are fitted anew to its codes
 * (least squares under H) and each code takes its best value, all else held.
 * Every change is kept only as it lowers the loss, so no round does harm. */
#include "convert/moments.h"

#include <math.h>
#include <string.h>

enum { ROUNDS = 4 };

struct fit {
	const struct moments *m;
	const float *w;
	unsigned bits, group;
	enum dtype stored;
	float top;
	float *scale, *bias;
	float *aim;             /* [n_in]: of the first pass; then e */
	float *slope;           /* [n_in]: H e */
	uint8_t *code;          /* [n_in] */
};

struct span { size_t first, stop; };

/* The columns of i's block of H. */
static struct span block_of(const struct moments *m, size_t i)
{
	size_t first = i / m->block * m->block, stop = first + m->block;

	return (struct span){ first, stop < m->n_in ? stop : m->n_in };
}

/* y += a x, eight at a time for the compiler's sake */
static void add_to(float *restrict y, const float *restrict x, float a, size_t n)
{
	size_t i = 0;

	for (; i + 8 <= n; i += 8)
		for (size_t k = 0; k < 8; k++)
			y[i + k] += a * x[i + k];
	for (; i < n; i++)
		y[i] += a * x[i];
}

static float as_stored(enum dtype t, float v)
{
	if (t == DT_F16)
		return f16_to_f32(f16_from_f32(v));
	return t == DT_BF16 ? bf16_to_f32(bf16_from_f32(v)) : v;
}

static float clamped(const struct fit *f, float code)
{
	code = rintf(code);
	code = code > 0 ? code : 0; /* a NaN becomes 0 */
	return code < f->top ? code : f->top;
}

/* ---- the first pass */

static void code_columns(struct fit *f)
{
	const struct moments *m = f->m;

	memcpy(f->aim, f->w, m->n_in * sizeof *f->aim);
	for (size_t i = 0; i < m->n_in; i++) {
		size_t g = i / f->group, stop = block_of(m, i).stop, first = block_of(m, i).first;
		float v;

		if (i % f->group == 0)
			affine_fit(f->code + i, &f->scale[g], &f->bias[g], f->aim + i, m->pivot + i,
			           f->group, f->bits, f->stored);
		v = clamped(f, (f->aim[i] - f->bias[g]) / f->scale[g]);
		f->code[i] = (uint8_t)v;
		v = f->scale[g] * v + f->bias[g];
		add_to(f->aim + i + 1, m->f + i * m->block + (i + 1 - first), f->w[i] - v, stop - i - 1);
	}
}

/* ---- rounds */

/* What is changed at column i by `by` is added to e and to H e. */
static void change(struct fit *f, size_t i, float by)
{
	struct span s = block_of(f->m, i);

	f->aim[i] += by;
	add_to(f->slope + s.first, f->m->h + i * f->m->block, by, s.stop - s.first);
}

static void begin_rounds(struct fit *f)
{
	size_t n = f->m->n_in;

	memset(f->slope, 0, n * sizeof *f->slope);
	memset(f->aim, 0, n * sizeof *f->aim);
	for (size_t i = 0; i < n; i++) {
		size_t g = i / f->group;

		change(f, i, f->w[i] - (f->scale[g] * (float)f->code[i] + f->bias[g]));
	}
}

/* Sums over a group of the codes q and of ones: q H q, q H 1, 1 H 1, and
 * both times H e. */
struct normal { double qq, q1, ones, q, one; };

static struct normal sums_of(const struct fit *f, size_t at)
{
	struct normal n = { 0 };
	size_t first = block_of(f->m, at).first;

	for (unsigned i = 0; i < f->group; i++) {
		const float *h = f->m->h + (at + i) * f->m->block + (at - first);
		double c = (double)f->code[at + i], s = (double)f->slope[at + i];
		float q[8] = { 0 }, one[8] = { 0 }, hq = 0, h1 = 0;

		for (unsigned j = 0; j < f->group; j += 8)
			for (unsigned k = 0; k < 8; k++) {
				q[k] += h[j + k] * (float)f->code[at + j + k];
				one[k] += h[j + k];
			}
		for (unsigned k = 0; k < 8; k++) {
			hq += q[k];
			h1 += one[k];
		}
		n.qq += c * (double)hq;
		n.q1 += c * (double)h1;
		n.ones += (double)h1;
		n.q += c * s;
		n.one += s;
	}
	return n;
}

/* Scale and bias of group g by least squares, all codes held. */
static void refit(struct fit *f, size_t g)
{
	size_t at = g * f->group;
	struct normal n = sums_of(f, at);
	double d = n.qq * n.ones - n.q1 * n.q1, ds, db;
	float s, b;

	if (!(d > 1e-9 * n.qq * n.ones))
		return;
	s = as_stored(f->stored, f->scale[g] + (float)((n.ones * n.q - n.q1 * n.one) / d));
	b = as_stored(f->stored, f->bias[g] + (float)((n.qq * n.one - n.q1 * n.q) / d));
	ds = (double)s - (double)f->scale[g];
	db = (double)b - (double)f->bias[g];
	if (!(s != 0) || !isfinite(s) || !isfinite(b) ||
	    !(ds * ds * n.qq + 2 * ds * db * n.q1 + db * db * n.ones < 2 * (ds * n.q + db * n.one)))
		return;
	f->scale[g] = s;
	f->bias[g] = b;
	for (size_t i = at; i < at + f->group; i++)
		change(f, i, -(float)(ds * (double)f->code[i] + db));
}

/* Each code of group g at its best, all else held; how many have changed. */
static size_t recode(struct fit *f, size_t g)
{
	size_t changed = 0;

	for (size_t i = g * f->group; i < (g + 1) * f->group; i++) {
		float h = f->m->h[i * f->m->block + (i - block_of(f->m, i).first)];
		float c = (float)f->code[i], s = f->scale[g], v = clamped(f, c + f->slope[i] / (h * s));

		if (v == c)
			continue;
		f->code[i] = (uint8_t)v;
		change(f, i, -s * (v - c));
		changed++;
	}
	return changed;
}

static double loss_of(const struct fit *f)
{
	double sum = 0;

	for (size_t i = 0; i < f->m->n_in; i++)
		sum += (double)f->aim[i] * (double)f->slope[i];
	return sum > 0 ? sum : 0;
}

double fit_row(void *q, float *scales, float *biases, const float *w, const struct moments *m,
               unsigned bits, unsigned group, enum dtype t, float *room)
{
	struct fit f = { .m = m, .w = w, .bits = bits, .group = group, .stored = t,
		         .top = (float)((1u << bits) - 1), .scale = scales, .bias = biases,
		         .aim = room, .slope = room + m->n_in, .code = (uint8_t *)(room + 2 * m->n_in) };
	size_t changed = 1;

	code_columns(&f);
	begin_rounds(&f);
	for (unsigned k = 0; k < ROUNDS && changed; k++) {
		changed = 0;
		for (size_t g = 0; g < m->n_in / group; g++) {
			refit(&f, g);
			changed += recode(&f, g);
		}
	}
	for (size_t g = 0; g < m->n_in / group; g++)
		affine_pack((unsigned char *)q + g * (group * bits / 8), f.code + g * group, group, bits);
	return loss_of(&f);
}
