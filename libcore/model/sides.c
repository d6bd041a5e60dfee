/* SPDX-License-Identifier: MIT */
/* sides.c - adapters bound to the weights of a model
 *
 * Given the weights with the paths they were found by, and sets of adapters;
 * gives for each weight what its product gets besides. Rows carry the number
 * of their set: every strength is a vector with a run per set, zero where the
 * set lacks the adapter, so that rows of different sets share a pass. An
 * adapter that several sets use is bound once. sides_record.c records them. */
#include "model/sides_in.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- floats on the device */

static int upload(struct binding *b, struct weight **out, const float *v, size_t n_out, size_t n_in,
                  struct err *e)
{
	struct weight_desc d = { .name = b->side->path, .form = FORM_FLOAT, .dtype = DT_F32,
		                 .n_out = n_out, .n_in = n_in, .data = v };
	struct sides *s = b->s;

	if (weight_open(out, b->x, &d, e))
		return -1;
	s->all[s->n_all++] = *out;
	return 0;
}

static float *floats(struct binding *b, size_t n, struct err *e)
{
	return arena_new(&b->s->arena, n, sizeof(float), e);
}

/* The side's row that belongs to row r of the weight. */
static size_t row_of(const struct binding *b, size_t r)
{
	size_t d = b->head_rows, i;

	if (!d)
		return b->first + r;
	i = r % d;
	return b->first + r - i + i % 2 * (d / 2) + i / 2;
}

static float *turn(struct binding *b, const float *x, size_t rows, size_t cols, struct err *e)
{
	float *y = floats(b, rows * cols, e);

	for (size_t i = 0; y && i < rows; i++)
		for (size_t k = 0; k < cols; k++)
			y[k * rows + i] = x[i * cols + k];
	return y;
}

/* ---- gains: a run of n for each set */

/* Runs of n, all of them `v` at first. */
static int gains_open(struct binding *b, struct gains *g, size_t n, float v, struct err *e)
{
	size_t all = (b->s->n_sets + 1) * n;

	if (g->at)
		return 0;
	g->n = n;
	g->at = floats(b, all, e);
	for (size_t i = 0; g->at && i < all; i++)
		g->at[i] = v;
	return g->at ? 0 : -1;
}

/* Times 1 + strength * (v - 1); v by the side's rows, or as it is. */
static int gain_by(struct binding *b, struct gains *g, const float *v, size_t n, bool rows,
                   struct err *e)
{
	if (gains_open(b, g, n, 1, e))
		return -1;
	for (size_t i = 0; i < (b->s->n_sets + 1) * n; i++) {
		size_t k = rows ? row_of(b, i % n) : i % n;

		g->at[i] *= (float)(1 + b->strength[i / n] * ((double)v[k] - 1));
	}
	return 0;
}

/* A low side's strength for every set, `n` wide, times by[k] where given. */
struct weight *sides_strengths(struct binding *b, const float *by, size_t n, struct err *e)
{
	size_t runs = b->s->n_sets + 1;
	float *v = floats(b, runs * n, e);
	struct weight *w;

	for (size_t i = 0; v && i < runs * n; i++)
		v[i] = (float)(b->strength[i / n] * (by ? (double)by[i % n] : 1));
	return v && !upload(b, &w, v, 1, runs * n, e) ? w : NULL;
}

/* ---- DoRA: m / |W + B A| of each row */

static void read_row(float *out, const struct weight_desc *d, size_t row)
{
	size_t q = d->n_in * (d->form == FORM_AFFINE ? d->bits : 0) / 8;
	size_t size = dtype_info(d->dtype)->block_bytes;
	const unsigned char *p = d->data;

	if (d->form == FORM_AFFINE)
		affine_dequantize_row(out, p + row * q,
		                      (const unsigned char *)d->scales + row * (d->n_in / d->group) * size,
		                      (const unsigned char *)d->biases + row * (d->n_in / d->group) * size,
		                      d->dtype, d->n_in, d->bits, d->group);
	else
		dtype_to_f32(d->dtype, out, p + row * d->n_in * size, d->n_in);
}

static double side_row(float *w, const struct side *s, size_t row)
{
	const float *b = s->b ? s->b + row * s->rank : NULL;
	double sum = 0;

	for (size_t i = 0; i < s->n_in; i++) {
		double v = (double)w[i];

		for (size_t k = 0; b && k < s->rank; k++)
			v += (double)b[k] * (double)s->a[k * s->n_in + i];
		w[i] = (float)v;
		sum += v * v;
	}
	return sum > 0 ? sqrt(sum) : 1;
}

static float *factors(struct binding *b, struct err *e)
{
	const struct weight_desc *d = &b->at->d;
	float *row = floats(b, d->n_in, e), *g = row ? floats(b, d->n_out, e) : NULL;

	for (size_t r = 0; g && r < d->n_out; r++) {
		size_t from = row_of(b, r);

		read_row(row, d, r);
		g[r] = (float)((double)b->side->m[from] / side_row(row, b->side, from));
	}
	return g;
}

/* The base's own gain 1 + sum of strength * (g - 1), and what keeps the bias
 * out of it. */
static int bind_factors(struct binding *b, struct sided *o, const float *g, struct err *e)
{
	const struct weight_desc *d = &b->at->bias;
	size_t n = b->at->d.n_out;
	float *bias = d->data ? floats(b, n, e) : NULL;

	if (gains_open(b, &o->gain, n, 1, e) ||
	    (d->data && (!bias || gains_open(b, &o->shift, n, 0, e))))
		return -1;
	if (bias)
		dtype_to_f32(d->dtype, bias, d->data, n);
	for (size_t i = 0; i < (b->s->n_sets + 1) * n; i++) {
		o->gain.at[i] += (float)(b->strength[i / n] * ((double)g[i % n] - 1));
		if (bias)
			o->shift.at[i] = bias[i % n] * (1 - o->gain.at[i]);
	}
	return 0;
}

/* ---- low sides */

static int bind_low(struct binding *b, struct sided *o, const float *a, const float *rows,
                    size_t n_a, size_t n_in, size_t n_out, const float *g, struct err *e)
{
	struct low *l = &o->low[o->n_low];
	size_t rank = b->side->rank;

	if (upload(b, &l->a, a, n_a, n_in, e) || upload(b, &l->b, rows, n_out, rank, e))
		return -1;
	l->rank = rank;
	l->n_out = n_out;
	*(g ? &l->wide : &l->mid) = sides_strengths(b, g, g ? n_out : rank, e);
	o->n_low++;
	return l->wide || l->mid ? 0 : -1;
}

static int bind_linear(struct binding *b, struct sided *o, struct err *e)
{
	const struct side *s = b->side;
	size_t n = b->at->d.n_out;
	float *g = NULL, *rows;

	if (s->m && (!(g = factors(b, e)) || bind_factors(b, o, g, e)))
		return -1;
	if (s->out && gain_by(b, &o->out, s->out, n, true, e))
		return -1;
	if (s->in && gain_by(b, &o->in, s->in, s->n_in, false, e))
		return -1;
	if (!s->a)
		return 0;
	rows = floats(b, n * s->rank, e);
	if (!rows)
		return -1;
	for (size_t r = 0; r < n; r++)
		memcpy(rows + r * s->rank, s->b + row_of(b, r) * s->rank, s->rank * sizeof *rows);
	return bind_low(b, o, s->a, rows, s->rank, s->n_in, n, g, e);
}

/* Of the table: rows of A are looked up; as a tied head the two change
 * places. */
static int bind_table(struct binding *b, struct sided *o, bool head, struct err *e)
{
	const struct side *s = b->side;
	float *ids = turn(b, s->a, s->rank, s->n_in, e), *back;

	if (!ids || !head)
		return !ids ||
		       bind_low(b, o, ids, s->b, s->n_in, s->rank, s->n_out, NULL, e) ? -1 : 0;
	back = turn(b, s->b, s->n_out, s->rank, e);
	return !back || bind_low(b, o, back, ids, s->rank, s->n_out, s->n_in, NULL, e) ? -1 : 0;
}

struct sided *sides_add(struct sides *s, const struct weight *w, const char *path, enum use use)
{
	struct sided *o = sides_find(s, w, use);

	if (o)
		return o;
	o = &s->sided[s->n_sided++];
	o->w = w;
	o->path = path;
	o->use = use;
	return o;
}

static struct sided *sided_of(struct binding *b, enum use use)
{
	return sides_add(b->s, b->at->w, b->at->path, use);
}

static int bad_shape(const struct side *s, size_t n_out, size_t n_in, struct err *e)
{
	return err_set(e, ERR_INPUT, "%s: a side of [%zu,%zu], the model has [%zu,%zu]", s->path,
	               s->n_out, s->n_in, n_out, n_in);
}

/* One weight that the side is of. */
static int bind_one(struct binding *b, const struct weights *w, struct err *e)
{
	const struct side *s = b->side;
	const struct bound *at = b->at;
	size_t total = at->total ? at->total : at->d.n_out;
	bool table = at->w == w->embed && strcmp(s->path, "lm_head");
	const char *end = strrchr(s->path, '.');

	if (table && (s->m || s->out || s->in))
		return err_set(e, ERR_INPUT, "%s: expected lora_a and lora_b alone", s->path);
	if (table && (s->n_in != at->d.n_out || s->n_out != at->d.n_in))
		return bad_shape(s, at->d.n_in, at->d.n_out, e);
	if (!table && ((s->n_out && s->n_out != total) || (s->n_in && s->n_in != at->d.n_in)))
		return bad_shape(s, total, at->d.n_in, e);
	if (table) {
		if (bind_table(b, sided_of(b, USE_TABLE), false, e))
			return -1;
		return w->head != w->embed || b->table_only ?
		       0 : bind_table(b, sided_of(b, USE_HEAD), true, e);
	}
	b->first = at->first;
	b->head_rows = 0;
	if (b->c->rope_interleaved && !b->c->rope_pairs_stay && end &&
	    (!strcmp(end, ".q_proj") || !strcmp(end, ".k_proj")))
		b->head_rows = b->c->head_dim;
	return bind_linear(b, sided_of(b, at->w == w->head ? USE_HEAD : USE_PRODUCT), e);
}

static int bind_side(struct binding *b, const struct weights *w, struct err *e)
{
	const char *path = b->side->path;
	bool head = w->head == w->embed && !strcmp(path, "lm_head");
	size_t n = 0;

	if (b->side->m && !b->side->a)
		return err_set(e, ERR_INPUT, "%s.lora_a: missing", path);
	for (size_t i = 0; i < w->n_bound; i++) {
		b->at = &w->bound[i];
		if (strcmp(b->at->path, path) && !(head && b->at->w == w->embed))
			continue;
		if (bind_one(b, w, e))
			return -1;
		n++;
	}
	return n ? 0 : err_set(e, ERR_INPUT, "%s: the model has no such product", path);
}

/* ---- all of them */

/* What each set has of the adapter. */
static void strength_of(double *out, const struct adapter *a, const struct model_options *o)
{
	for (size_t i = 0; i < o->n_sets; i++) {
		out[i + 1] = 0;
		for (size_t k = 0; k < o->sets[i].n; k++)
			if (o->sets[i].use[k].adapter == a)
				out[i + 1] += o->sets[i].use[k].scale;
	}
}

/* Adapters, each once, in order. */
static size_t distinct(const struct adapter **out, const struct model_options *o)
{
	size_t n = 0;

	for (size_t i = 0; i < o->n_sets; i++)
		for (size_t k = 0; k < o->sets[i].n; k++) {
			size_t j = 0;

			while (j < n && out[j] != o->sets[i].use[k].adapter)
				j++;
			if (j == n)
				out[n++] = o->sets[i].use[k].adapter;
		}
	return n;
}

static int open_rooms(struct sides *s, const struct weights *w, size_t n, struct err *e)
{
	size_t most = 2 * w->n_bound + 1;

	s->sided = arena_new(&s->arena, most, sizeof *s->sided, e);
	s->all = s->sided ? arena_new(&s->arena, most * (4 + 6 * n), sizeof *s->all, e) : NULL;
	for (size_t i = 0; s->all && i < most; i++) {
		s->sided[i].low = arena_new(&s->arena, 2 * n, sizeof *s->sided[i].low, e);
		if (!s->sided[i].low)
			return -1;
	}
	return s->all ? 0 : -1;
}

static int upload_gains(struct binding *b, struct err *e)
{
	struct side named = { 0 };
	struct binding own = *b;

	b = &own;
	own.side = &named;
	for (size_t i = 0; i < b->s->n_sided; i++) {
		struct sided *o = &b->s->sided[i];
		struct gains *g[] = { &o->in, &o->gain, &o->shift, &o->out };

		named.path = o->path;
		for (size_t k = 0; k < 4; k++)
			if (g[k]->at &&
			    upload(b, &g[k]->w, g[k]->at, 1, (b->s->n_sets + 1) * g[k]->n, e))
				return -1;
	}
	return 0;
}

static int bind_all(struct binding *b, const struct weights *w, const struct model_options *o,
                    struct err *e)
{
	size_t most = 0, n;
	const struct adapter **a;
	double *strength;

	for (size_t i = 0; i < o->n_sets; i++)
		most += o->sets[i].n;
	a = arena_new(&b->s->arena, most, sizeof *a, e);
	strength = a ? arena_new(&b->s->arena, o->n_sets + 1, sizeof *strength, e) : NULL;
	if (!strength)
		return -1;
	n = distinct(a, o);
	if (open_rooms(b->s, w, n, e))
		return -1;
	b->strength = strength;
	for (size_t i = 0; i < n; i++) {
		strength_of(strength, a[i], o);
		b->table_only = a[i]->table_only;
		for (size_t k = 0; k < a[i]->n_sides; k++) {
			b->side = &a[i]->side[k];
			if (!sides_of_experts(b->c, b->side) && bind_side(b, w, e))
				return -1;
		}
		if (sides_bind_experts(b, a[i], w, e))
			return -1;
	}
	return upload_gains(b, e);
}

int sides_open(struct sides **out, const struct weights *w, const struct config *c,
               const struct model_options *o, struct exec *x, struct err *e)
{
	struct binding b = { .c = c, .x = x };

	*out = NULL;
	if (!o || !o->n_sets)
		return 0;
	b.s = calloc(1, sizeof *b.s);
	if (!b.s)
		return err_memory(e, sizeof *b.s);
	b.s->n_sets = o->n_sets;
	if (bind_all(&b, w, o, e)) {
		sides_close(b.s);
		return err_in(e, "adapter");
	}
	*out = b.s;
	return 0;
}

void sides_close(struct sides *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_all; i++)
		weight_close(s->all[i]);
	arena_release(&s->arena);
	free(s);
}
