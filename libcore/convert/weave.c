/* SPDX-License-Identifier: MIT */
/* weave.c - weights whose rows lie otherwise in the output's container
 *
 * Latent attention's W_k and W_v stand together in Hugging Face's kv_b_proj,
 * and each in a stack, W_k turned, in a GGUF; the delta rule's q, k, v and z
 * by groups of heads, or one after the other; gpt-oss's gates and ups in
 * turns, or each in a stack; gates and ups of a stack in one. Given the
 * weights of a plan; gives those that the output has, each row of them drawn
 * from rows or columns of others. */
#include "convert/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

struct spot weave_spot(const struct weave *w, size_t row)
{
	size_t q = row / w->period, j = row % w->period;
	const struct section *s = w->section;

	for (; j >= s->rows; s++)
		j -= s->rows;
	return (struct spot){ s->piece, s->base + q * s->per_period + j / s->inner * s->outer +
		              j % s->inner * s->each, s->step };
}

static struct weave of(const struct section *s, size_t n)
{
	struct weave w = { 0 };

	for (size_t i = 0; i < n; i++) {
		w.section[i] = s[i];
		w.section[i].inner = s[i].inner ? s[i].inner : s[i].rows;
		w.period += s[i].rows;
	}
	return w;
}

/* ---- how rows lie; sections are of rows, places of elements */

static struct weave keys_of(const struct config *c)
{
	size_t r = c->kv_rank, head = (c->nope_dim + c->value_dim) * r;

	return of(&(struct section){ .rows = r, .per_period = head, .each = 1, .step = r }, 1);
}

static struct weave values_of(const struct config *c)
{
	size_t r = c->kv_rank, head = (c->nope_dim + c->value_dim) * r;

	return of(&(struct section){ .rows = c->value_dim, .base = c->nope_dim * r,
		                     .per_period = head, .each = r, .step = 1 }, 1);
}

static struct weave heads_of(const struct config *c)
{
	size_t r = c->kv_rank, n = c->nope_dim, v = c->value_dim;

	return of((struct section[]){
		{ .rows = n, .per_period = r * n, .each = 1, .step = n },
		{ .rows = v, .piece = 1, .per_period = v * r, .each = r, .step = 1 } }, 2);
}

/* Rows of a head of keys, and those of its heads of values. */
struct groups { size_t n, key, value, all, cols; };

static struct groups groups_of(const struct config *c)
{
	struct groups g = { .n = c->delta_key_heads, .key = c->delta_k, .cols = c->hidden };

	g.value = c->delta_heads / g.n * c->delta_v;
	g.all = 2 * g.key + 2 * g.value;
	return g;
}

static struct weave qkv_of(const struct config *c)
{
	struct groups g = groups_of(c);
	size_t d = g.cols, next = g.all * d;

	return of((struct section[]){
		{ .rows = g.n * g.key, .inner = g.key, .outer = next, .each = d, .step = 1 },
		{ .rows = g.n * g.key, .base = g.key * d, .inner = g.key, .outer = next, .each = d,
		  .step = 1 },
		{ .rows = g.n * g.value, .base = 2 * g.key * d, .inner = g.value, .outer = next,
		  .each = d, .step = 1 } }, 3);
}

static struct weave z_of(const struct config *c)
{
	struct groups g = groups_of(c);

	return of(&(struct section){ .rows = g.value, .base = (2 * g.key + g.value) * g.cols,
		                     .per_period = g.all * g.cols, .each = g.cols, .step = 1 }, 1);
}

static struct weave qkvz_of(const struct config *c)
{
	struct groups g = groups_of(c);
	size_t d = g.cols, all = g.n * g.key * d;

	return of((struct section[]){
		{ .rows = g.key, .per_period = g.key * d, .each = d, .step = 1 },
		{ .rows = g.key, .base = all, .per_period = g.key * d, .each = d, .step = 1 },
		{ .rows = g.value, .base = 2 * all, .per_period = g.value * d, .each = d, .step = 1 },
		{ .rows = g.value, .piece = 1, .per_period = g.value * d, .each = d, .step = 1 } }, 4);
}

/* ---- one weight of the output */

/* The same form, so that rows of one may follow rows of the other. */
static bool alike(const struct item *a, const struct item *b)
{
	return a->in == b->in && a->weight->dtype == b->weight->dtype && a->in_bits == b->in_bits &&
	       a->in_group == b->in_group && a->in_coding == b->in_coding &&
	       (!a->scales || a->scales->dtype == b->scales->dtype);
}

/* Some rows are columns of codes, or the pieces are not alike: they are decoded first, whole. */
static bool is_apart(const struct item *piece, size_t n, const struct weave *w)
{
	bool turned = false;

	for (size_t i = 0; i < WEAVE_SECTIONS && w->section[i].rows; i++)
		turned |= w->section[i].step != 1;
	for (size_t i = 0; i < n; i++)
		if (piece[i].tile_scales || (turned && piece[i].in != IN_FLOAT) ||
		    !alike(&piece[0], &piece[i]))
			return true;
	return false;
}

static int add(struct plan *p, struct item *out, const struct item *piece, size_t n,
               struct weave w, struct shape shape, size_t layer, const char *name, struct err *e)
{
	struct weave *keep = arena_new(&p->arena, 1, sizeof *keep, e);
	struct item *pieces = keep ? arena_new(&p->arena, n, sizeof *pieces, e) : NULL;
	struct tensor *plain;
	size_t count;

	if (!pieces)
		return -1;
	memcpy(pieces, piece, n * sizeof *pieces);
	*keep = w;
	keep->apart = is_apart(piece, n, &w);
	*out = piece[0];
	out->name = arena_printf(&p->arena, e, "model.layers.%zu.%s", layer, name);
	out->weave = keep;
	out->piece = pieces;
	out->n_pieces = n;
	out->shape = shape;
	out->n_cols = shape.dim[shape.rank - 1];
	if (!out->name || !shape_count(&count, &shape))
		return -1;
	out->n_rows = count / out->n_cols;
	if (!keep->apart)
		return 0;
	plain = arena_new(&p->arena, 1, sizeof *plain, e);
	if (!plain)
		return -1;
	*plain = *piece[0].weight;
	plain->dtype = DT_F32;
	out->weight = plain;
	out->scales = out->biases = out->tile_scales = NULL;
	out->in = IN_FLOAT;
	out->in_bits = out->in_group = 0;
	return 0;
}

static int check_rows(const struct item *t, size_t rows, size_t cols, struct err *e)
{
	if (t->n_rows == rows && t->n_cols == cols && t->in != IN_WHOLE)
		return 0;
	return err_set(e, ERR_INPUT, "%s: expected [%zu,%zu] of numbers", t->weight->name, rows, cols);
}

/* ---- weights that become two */

static int part_heads(struct plan *p, struct item *out, const struct item *t, size_t i,
                      struct err *e)
{
	const struct config *c = p->config;
	size_t h = c->n_heads, r = c->kv_rank;

	if (check_rows(t, h * (c->nope_dim + c->value_dim), r, e) ||
	    add(p, out, t, 1, keys_of(c), shape_of(3, h, r, c->nope_dim), i,
	        "self_attn.embed_q.weight", e))
		return -1;
	return add(p, out + 1, t, 1, values_of(c), shape_of(3, h, c->value_dim, r), i,
	           "self_attn.unembed_out.weight", e) ? -1 : 2;
}

static int part_qkvz(struct plan *p, struct item *out, const struct item *t, size_t i,
                     struct err *e)
{
	struct groups g = groups_of(p->config);

	if (check_rows(t, g.n * g.all, g.cols, e) ||
	    add(p, out, t, 1, qkv_of(p->config), shape_of(2, g.n * (2 * g.key + g.value), g.cols), i,
	        "linear_attn.in_proj_qkv.weight", e))
		return -1;
	return add(p, out + 1, t, 1, z_of(p->config), shape_of(2, g.n * g.value, g.cols), i,
	           "linear_attn.in_proj_z.weight", e) ? -1 : 2;
}

/* ---- gpt-oss's experts */

static const struct item *find(const struct plan *p, size_t layer, const char *name)
{
	char full[NAME_ROOM];

	snprintf(full, sizeof full, "model.layers.%zu.%s", layer, name);
	for (size_t i = 0; i < p->n_items; i++)
		if (!strcmp(p->item[i].name, full))
			return &p->item[i];
	return NULL;
}

/* Of parts gate, up and down of every expert: rows, columns, and which of the rows they are. */
struct experts { size_t n, rows, cols, first, step; const char *name; };

static struct experts experts_of(const struct config *c, size_t k)
{
	static const char *const names[] = { "gate_proj", "up_proj", "down_proj" };

	return k == 2 ? (struct experts){ c->n_experts, c->hidden, c->expert_ffn, 0, 1, names[k] } :
	                (struct experts){ c->n_experts, c->expert_ffn, c->hidden, k, 2, names[k] };
}

static int add_experts(struct plan *p, struct item *out, const struct item *t, size_t i,
                       const struct experts *x, bool turned, struct err *e)
{
	size_t all = x->rows * x->step, n = x->cols;
	struct section s = { .rows = x->rows, .per_period = all * n, .step = turned ? all : 1,
		             .base = turned ? x->first : x->first * n,
		             .each = turned ? x->step : x->step * n };
	char name[64];

	snprintf(name, sizeof name, "mlp.switch_mlp.%s.weight", x->name);
	return add(p, out, t, 1, of(&s, 1), shape_of(3, x->n, x->rows, n), i, name, e);
}

static int add_bias(struct plan *p, struct item *out, const struct item *t, size_t i,
                    const struct experts *x, struct err *e)
{
	struct section s = { .rows = 1, .per_period = x->rows * x->step, .base = x->first,
		             .step = x->step };
	char name[64];

	snprintf(name, sizeof name, "mlp.switch_mlp.%s.bias", x->name);
	return add(p, out, t, 1, of(&s, 1), shape_of(2, x->n, x->rows), i, name, e);
}

/* mxfp4: X_blocks [experts][rows][groups][16], X_scales [experts][rows][groups], bytes. */
static int see_blocks(const struct plan *p, struct item *t, size_t i, const struct experts *x,
                      struct err *e)
{
	char name[64];
	const struct item *s;

	snprintf(name, sizeof name, "mlp.experts.%s_scales",
	         x->step == 2 ? "gate_up_proj" : "down_proj");
	s = find(p, i, name);
	if (!s || t->weight->dtype != DT_U8 || s->weight->dtype != DT_U8 || x->cols % 32 ||
	    t->n_rows * t->n_cols != x->n * x->rows * x->step * (x->cols / 2) ||
	    s->n_rows * s->n_cols != x->n * x->rows * x->step * (x->cols / 32))
		return err_set(e, ERR_INPUT, "%s: blocks and scales do not fit %zu experts of [%zu,%zu]",
		               t->weight->name, x->n, x->rows * x->step, x->cols);
	t->scales = s->weight;
	t->in = IN_CODED;
	t->in_coding = CODING_MXFP4;
	t->in_bits = 4;
	t->in_group = 32;
	t->n_cols = x->cols;
	t->n_rows = x->n * x->rows * x->step;
	return 0;
}

/* `rest` is behind "mlp.experts."; 0: none of these. */
static int part_experts(struct plan *p, struct item *out, const struct item *t, size_t i,
                        const char *rest, struct err *e)
{
	bool down = !strncmp(rest, "down_proj", 9);
	const char *end = rest + (down ? 9 : 12);
	size_t first = down ? 2 : 0, n = down ? 1 : 2;
	struct item whole = *t;

	if (!down && strncmp(rest, "gate_up_proj", 12))
		return 0;
	for (size_t k = 0; k < n; k++) {
		struct experts x = experts_of(p->config, first + k);
		size_t all = x.rows * x.step;
		int bad = 0;

		if (!strcmp(end, "_bias"))
			bad = check_rows(t, x.n, all, e) || add_bias(p, out + k, t, i, &x, e);
		else if (!*end)
			bad = check_rows(t, x.n * x.cols, all, e) ||
			      add_experts(p, out + k, t, i, &x, true, e);
		else if (!strcmp(end, "_blocks"))
			bad = (k == 0 && see_blocks(p, &whole, i, &x, e)) ||
			      add_experts(p, out + k, &whole, i, &x, false, e);
		else
			return 0;
		if (bad)
			return -1;
	}
	return (int)n;
}

/* ---- stacks of gates and ups in one, of any family from a GGUF, and Gemma's as published */

static int rename_to(struct plan *p, struct item *out, const struct item *t, size_t i,
                     const char *name, struct err *e)
{
	*out = *t;
	out->name = arena_printf(&p->arena, e, "model.layers.%zu.%s", i, name);
	return out->name ? 1 : -1;
}

static int part_halves(struct plan *p, struct item *out, const struct item *t, size_t i,
                       struct err *e)
{
	for (size_t k = 0; k < 2; k++) {
		struct experts x = experts_of(p->config, k);
		size_t n = x.rows * x.cols;
		struct section s = { .rows = x.rows, .base = k * n, .per_period = 2 * n,
			             .each = x.cols, .step = 1 };
		char name[64];

		snprintf(name, sizeof name, "mlp.switch_mlp.%s.weight", x.name);
		if (check_rows(t, x.n * 2 * x.rows, x.cols, e) ||
		    add(p, out + k, t, 1, of(&s, 1), shape_of(3, x.n, x.rows, x.cols), i, name, e))
			return -1;
	}
	return 2;
}

static int halves(struct plan *p, struct item *out, const struct item *t, size_t i,
                  const char *rest, struct err *e)
{
	static const char *const own[] = { "experts.gate_up_proj", "experts.down_proj" };
	static const char *const ours[] = { "mlp.switch_mlp.gate_up_proj.weight",
		                            "mlp.switch_mlp.down_proj.weight" };
	struct family_files f = { 0 };
	bool up, down, published;

	family_files(&f, p->config->model_type);
	published = f.halved_experts && p->format == CONVERT_SAFETENSORS;
	up = !strcmp(rest, ours[0]) || (f.halved_experts && !strcmp(rest, own[0]));
	down = f.halved_experts && (!strcmp(rest, ours[1]) || !strcmp(rest, own[1]));
	if (!up && !down)
		return 0;
	if (up && p->format != CONVERT_GGUF && !published)
		return part_halves(p, out, t, i, e);
	return rename_to(p, out, t, i, (published ? own : ours)[down], e);
}

/* ---- two weights that become one */

static const struct pair {
	const char *a, *b, *one;
	struct weave (*weave)(const struct config *);
} pairs[] = {
	{ "self_attn.embed_q.weight", "self_attn.unembed_out.weight", "self_attn.kv_b_proj.weight",
	  heads_of },
	{ "linear_attn.in_proj_qkv.weight", "linear_attn.in_proj_z.weight",
	  "linear_attn.in_proj_qkvz.weight", qkvz_of },
};
enum { N_PAIRS = sizeof pairs / sizeof *pairs, HEADS = 0 };

static int join(struct plan *p, struct item *out, const struct item *t, size_t i,
                const struct pair *pair, struct err *e)
{
	const struct item *other = find(p, i, pair->b);
	struct weave w = pair->weave(p->config);
	struct item both[2] = { *t };
	size_t rows = t->n_rows, cols = p->config->hidden;

	if (!other || t->in == IN_WHOLE || other->in == IN_WHOLE)
		return err_set(e, ERR_INPUT, "model.layers.%zu.%s: missing beside %s", i, pair->b, pair->a);
	both[1] = *other;
	rows += other->n_rows;
	if (pair == &pairs[HEADS]) {
		rows = p->config->n_heads * (p->config->nope_dim + p->config->value_dim);
		cols = p->config->kv_rank;
	}
	if (other->n_cols != cols || rows % w.period ||
	    t->n_rows * t->n_cols + other->n_rows * cols != rows * cols)
		return err_set(e, ERR_INPUT, "model.layers.%zu.%s: does not fit %s", i, pair->b, pair->a);
	return add(p, out, both, 2, w, shape_of(2, rows, cols), i, pair->one, e) ? -1 : 1;
}

static bool joins(const struct plan *p, const struct pair *pair)
{
	return p->format == CONVERT_SAFETENSORS ||
	       (p->format != CONVERT_GGUF && pair != &pairs[HEADS]); /* MLX keeps these apart */
}

/* ---- all of them */

/* What takes the place of the item: how many, at `out`; 0: it stays. */
static int replace(struct plan *p, struct item *out, const struct item *t, bool *gone,
                   struct err *e)
{
	static const char front[] = "model.layers.", experts[] = "mlp.experts.";
	char *rest;
	size_t i;

	*gone = false;
	if (strncmp(t->name, front, sizeof front - 1))
		return 0;
	i = strtoul(t->name + sizeof front - 1, &rest, 10);
	if (*rest++ != '.')
		return 0;
	for (size_t k = 0; k < N_PAIRS; k++) {
		if (!joins(p, &pairs[k]))
			continue;
		*gone |= !strcmp(rest, pairs[k].b) && find(p, i, pairs[k].a);
		if (!strcmp(rest, pairs[k].a))
			return join(p, out, t, i, &pairs[k], e);
	}
	if (p->config->n_experts) {
		int n = halves(p, out, t, i, rest, e);

		if (n)
			return n;
	}
	if (p->config->n_experts && p->format != CONVERT_SAFETENSORS &&
	    !strncmp(rest, experts, sizeof experts - 1)) {
		*gone = bytes_ends(bytes_of(rest), "_proj_scales");
		return part_experts(p, out, t, i, rest + sizeof experts - 1, e);
	}
	if (p->format != CONVERT_GGUF)
		return 0;
	if (p->config->kv_rank && !strcmp(rest, pairs[0].one))
		return part_heads(p, out, t, i, e);
	if (p->config->delta_heads && !strcmp(rest, pairs[1].one))
		return part_qkvz(p, out, t, i, e);
	return 0;
}

int plan_weave(struct plan *p, struct err *e)
{
	bool same = naming_of(p->source) == NAMING_GGUF && p->format == CONVERT_GGUF;
	struct item *item;
	size_t m = 0;

	if (!p->config || same)
		return 0;
	item = arena_new(&p->arena, 2 * p->n_items + 4, sizeof *item, e);
	if (!item)
		return -1;
	for (size_t i = 0; i < p->n_items; i++) {
		bool gone;
		int n = replace(p, item + m, &p->item[i], &gone, e);

		if (n < 0)
			return -1;
		if (!n && !gone)
			item[m++] = p->item[i];
		m += (size_t)n;
	}
	p->item = item;
	p->n_items = m;
	return 0;
}
