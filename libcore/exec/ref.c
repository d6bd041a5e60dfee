/* SPDX-License-Identifier: MIT */
/* ref.c - each op as plain C loops on one thread: its meaning.
 *
 * Sums are taken in double and rounded to f32 once, so that what another
 * backend differs by is that backend's own error. Weights are read row by
 * row as they lie. Pages hold keys and values as [head][position][dim]. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/ref.h"

static bool ref_takes(const char *device)
{
	return !strcmp(device, "ref");
}

static int ref_list(struct buf *out, struct err *e)
{
	buf_printf(out, "ref\tref\tplain loops\t1\t0\n");
	return buf_check(out, e);
}

static int ref_open(struct exec *x, const struct exec_options *o, struct err *e)
{
	(void)o;
	x->device = calloc(1, sizeof(struct ref));
	if (!x->device)
		return err_memory(e, sizeof(struct ref));
	snprintf(x->device_name, sizeof x->device_name, "plain loops");
	snprintf(x->rows_name, sizeof x->rows_name, "ref");
	x->info.units = 1;
	return 0;
}

static void ref_close(struct exec *x)
{
	struct ref *d = x->device;

	exec_host_end(x, d->scratch);
	exec_host_end(x, d->row);
	free(d);
}

static int ref_weight(struct weight *w, struct err *e)
{
	(void)w, (void)e;
	return 0;
}

static void ref_weight_end(struct weight *w)
{
	(void)w;
}

/* ---- the cache */
static size_t kv_size(const struct exec_kv *k)
{
	return dtype_info(k->dtype)->block_bytes;
}

static void ref_kv_end(struct exec_kv *k)
{
	struct ref_kv *layer = k->device;

	for (size_t i = 0; layer && i < k->n_layers; i++) {
		exec_host_end(k->x, layer[i].keys);
		exec_host_end(k->x, layer[i].values);
	}
	free(layer);
}

static int ref_kv(struct exec_kv *k, struct err *e)
{
	struct ref_kv *layer = calloc(k->n_layers + 1, sizeof *layer);

	k->device = layer;
	if (!layer)
		return err_memory(e, k->n_layers * sizeof *layer);
	for (size_t i = 0; i < k->n_layers; i++) {
		const struct exec_kv_layer *l = &k->layer[i];
		size_t n = k->n_pages[l->group];

		layer[i].keys = exec_host_new(k->x, n * kv_page_bytes(k, i, false, l->k_dim), e);
		layer[i].values = exec_host_new(k->x, n * kv_page_bytes(k, i, true, l->v_dim), e);
		if (!layer[i].keys || !layer[i].values) {
			ref_kv_end(k);
			return -1;
		}
	}
	return 0;
}

static int ref_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e)
{
	const struct ref_kv *layer = k->device;

	(void)e;
	for (size_t i = 0; i < k->n_layers; i++) {
		const struct exec_kv_layer *l = &k->layer[i];
		size_t nk = kv_page_bytes(k, i, false, l->k_dim);
		size_t nv = kv_page_bytes(k, i, true, l->v_dim);

		if (l->group != group || dst == src)
			continue;
		memcpy(layer[i].keys + (size_t)dst * nk, layer[i].keys + (size_t)src * nk, nk);
		memcpy(layer[i].values + (size_t)dst * nv, layer[i].values + (size_t)src * nv, nv);
	}
	return 0;
}

/* Positions first .. first + n of a page, all heads, to or from rows. */
static void move_rows(bool in, unsigned char *page, unsigned char *rows, size_t n_heads,
                      size_t first, size_t n, size_t row_bytes)
{
	for (size_t h = 0; h < n_heads; h++) {
		unsigned char *p = page + (h * PAGE_POSITIONS + first) * row_bytes;
		unsigned char *o = rows + h * n * row_bytes;

		if (in)
			memcpy(p, o, n * row_bytes);
		else
			memcpy(o, p, n * row_bytes);
	}
}

static int ref_kv_move(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first,
                       size_t n, void *keys, void *values, struct err *e)
{
	const struct ref_kv *pages = (const struct ref_kv *)k->device + layer;
	const struct exec_kv_layer *l = &k->layer[layer];
	size_t k_row = l->k_dim * kv_size(k), v_row = l->v_dim * kv_size(k);
	size_t at = (size_t)page * l->n_heads * PAGE_POSITIONS;

	(void)e;
	if (exec_kv_state(l, KV_STATES)) {
		size_t bytes = kv_page_bytes(k, layer, false, 0);
		unsigned char *p = pages->keys + (size_t)page * bytes;

		memcpy(in ? (void *)p : keys, in ? keys : (void *)p, bytes);
		return 0;
	}
	move_rows(in, pages->keys + at * k_row, keys, l->n_heads, first, n, k_row);
	if (!l->v_in_k)
		move_rows(in, pages->values + at * v_row, values, l->n_heads, first, n, v_row);
	return 0;
}

/* ---- the ops */
float *ref_at(const struct record *r, const struct slot *s, size_t row)
{
	const struct ref *d = r->x->device;

	return d->scratch + s->offset / sizeof(float) + row * s->n;
}

static void ref_embed(const struct record *r, const struct op *op, const struct step *s)
{
	for (size_t i = 0; i < s->n_rows; i++)
		ref_row(ref_at(r, op->dst, i), op->w, (size_t)(op->by_position ? s->pos : s->token)[i]);
}

static void ref_norm_rms(const struct record *r, const struct op *op, const struct step *s)
{
	float *g = ((struct ref *)r->x->device)->row;
	size_t n = op->w->d.n_in, rows = slot_rows(op->dst, s) * (op->dst->n / n);
	const float *x = ref_at(r, op->src, 0);
	float *y = ref_at(r, op->dst, 0);

	ref_row(g, op->w, 0);
	for (size_t i = 0; i < rows; i++, x += n, y += n) {
		double sum = 0;
		float scale;

		for (size_t j = 0; j < n; j++)
			sum += (double)x[j] * (double)x[j];
		scale = (float)(1 / sqrt(sum / (double)n + (double)op->eps));
		for (size_t j = 0; j < n; j++)
			y[j] = x[j] * scale * g[j];
	}
}

static void ref_product(const struct record *r, const struct op *op, const struct op_product *p,
                        size_t n_rows)
{
	float *w = ((struct ref *)r->x->device)->row, b = 0;
	size_t n = p->w->d.n_in;

	for (size_t o = 0; o < p->w->d.n_out; o++) {
		if (p->b)
			dtype_to_f32(p->b->d.dtype, &b, (const unsigned char *)p->b->d.data +
			             o * dtype_info(p->b->d.dtype)->block_bytes, 1);
		ref_row(w, p->w, o);
		for (size_t i = 0; i < n_rows; i++) {
			const float *x = ref_at(r, op->src, i);
			float *y = ref_at(r, p->dst, i) + o;
			double sum = op->add ? (double)*y + (double)b : (double)b;

			for (size_t j = 0; j < n; j++)
				sum += (double)w[j] * (double)x[j];
			*y = (float)sum;
		}
	}
}

static void ref_matmul(const struct record *r, const struct op *op, const struct step *s)
{
	for (size_t i = 0; i < op->n_parts; i++)
		ref_product(r, op, &op->part[i], slot_rows(op->src, s));
}

static void rotate(float *x, const float *angle, size_t dims, bool interleaved)
{
	size_t half = dims / 2;
	float y[sizeof ((struct rope *)0)->inv_freq / sizeof(double) * 2];

	for (size_t i = 0; i < half; i++) {
		float a = interleaved ? x[2 * i] : x[i];
		float b = interleaved ? x[2 * i + 1] : x[half + i];
		float c = angle[i], s = angle[half + i];

		y[i] = a * c - b * s;
		y[half + i] = b * c + a * s;
	}
	memcpy(x, y, dims * sizeof *x);
}

static void ref_rope(const struct record *r, const struct op *op, const struct step *s)
{
	const struct rope *rope = &r->rope[op->rope];

	for (size_t i = 0; i < s->n_rows; i++)
		for (size_t h = 0; h < op->n_heads; h++)
			rotate(ref_at(r, op->dst, i) + h * op->head_dim,
			       r->angles[op->rope] + i * rope->dims, rope->dims,
			       rope->interleaved);
}

/* Element 0 of a position's key or value, in elements. */
static size_t kv_at(const struct exec_kv_layer *l, int32_t page, size_t head, size_t pos,
                    size_t dim)
{
	return (((size_t)page * l->n_heads + head) * PAGE_POSITIONS + pos % PAGE_POSITIONS) * dim;
}

static void ref_kv_write(const struct record *r, const struct op *op, const struct step *s)
{
	const struct ref_kv *kv = (const struct ref_kv *)r->kv->device + op->layer;
	const struct exec_kv_layer *l = &r->kv->layer[op->layer];
	size_t size = kv_size(r->kv);

	for (size_t i = 0; i < s->n_rows; i++)
		for (size_t h = 0; h < l->n_heads; h++) {
			size_t pos = (size_t)s->pos[i];
			int32_t page = step_page(s, l->group, i, pos);

			dtype_from_f32(r->kv->dtype, kv->keys + kv_at(l, page, h, pos, l->k_dim) * size,
			               ref_at(r, op->src, i) + h * l->k_dim, l->k_dim);
			if (l->v_in_k)
				continue;
			dtype_from_f32(r->kv->dtype, kv->values + kv_at(l, page, h, pos, l->v_dim) * size,
			               ref_at(r, op->src2, i) + h * l->v_dim, l->v_dim);
		}
}

static double capped(double x, float cap)
{
	return cap > 0 ? (double)cap * tanh(x / (double)cap) : x;
}

/* One row, one head: two passes over the context, the scores in `score`. */
static void attend(const struct record *r, const struct op *op, const struct step *s, size_t row,
                   size_t head, float *score, float *item)
{
	const struct ref_kv *kv = (const struct ref_kv *)r->kv->device + op->layer;
	const struct exec_kv_layer *l = &r->kv->layer[op->layer];
	size_t size = kv_size(r->kv), kv_head = head / (op->n_heads / l->n_heads);
	size_t pos = (size_t)s->pos[row], w = op->att.window, first = w && pos >= w ? pos + 1 - w : 0;
	const float *q = ref_at(r, op->src, row) + head * l->k_dim;
	float *y = ref_at(r, op->dst, row) + head * l->v_dim;
	double max = -INFINITY, total = 0, sink = -INFINITY, sum;

	if (op->att.sinks) {
		float v;

		dtype_to_f32(op->att.sinks->d.dtype, &v, (const unsigned char *)op->att.sinks->d.data +
		             head * dtype_info(op->att.sinks->d.dtype)->block_bytes, 1);
		max = sink = (double)v;
	}
	for (size_t p = first; p <= pos; p++) {
		size_t i = kv_at(l, step_page(s, l->group, row, p), kv_head, p, l->k_dim);

		dtype_to_f32(r->kv->dtype, item, kv->keys + i * size, l->k_dim);
		sum = 0;
		for (size_t j = 0; j < l->k_dim; j++)
			sum += (double)q[j] * (double)item[j];
		score[p - first] = (float)capped(sum * (double)op->att.scale, op->att.softcap);
		if ((double)score[p - first] > max)
			max = (double)score[p - first];
	}
	for (size_t p = first; p <= pos; p++)
		total += exp((double)score[p - first] - max);
	total += op->att.sinks ? exp(sink - max) : 0;
	for (size_t j = 0; j < l->v_dim; j++)
		y[j] = 0;
	for (size_t p = first; p <= pos; p++) {
		int32_t page = step_page(s, l->group, row, p);
		size_t k = kv_at(l, page, kv_head, p, l->k_dim) + l->k_dim - l->v_dim;
		size_t v = kv_at(l, page, kv_head, p, l->v_dim);
		float weight = (float)(exp((double)score[p - first] - max) / total);

		dtype_to_f32(r->kv->dtype, item, l->v_in_k ? kv->keys + k * size :
		                                             kv->values + v * size, l->v_dim);
		for (size_t j = 0; j < l->v_dim; j++)
			y[j] += weight * item[j];
	}
}

static void ref_attention(const struct record *r, const struct op *op, const struct step *s)
{
	const struct exec_kv_layer *l = &r->kv->layer[op->layer];
	float *item = ((struct ref *)r->x->device)->row;
	float *score = item + l->k_dim + l->v_dim;

	for (size_t i = 0; i < s->n_rows; i++)
		for (size_t h = 0; h < op->n_heads; h++)
			attend(r, op, s, i, h, score, item);
}

double ref_activate(enum activation act, double x)
{
	switch (act) {
	case ACT_GELU:
		return x / 2 * (1 + erf(x * M_SQRT1_2));
	case ACT_GELU_TANH:
		return x / 2 * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
	case ACT_NONE:
		return x;
	case ACT_SIGMOID:
		return 1 / (1 + exp(-x));
	default:
		return x / (1 + exp(-x));
	}
}

static void ref_add(const struct record *r, const struct op *op, const struct step *s)
{
	const float *x = ref_at(r, op->src, 0);
	size_t n = slot_rows(op->dst, s) * op->dst->n;
	float *y = ref_at(r, op->dst, 0);

	for (size_t i = 0; i < n; i++)
		y[i] += x[i];
}

static void ref_scale(const struct record *r, const struct op *op, const struct step *s)
{
	size_t n = slot_rows(op->dst, s) * op->dst->n;
	float *y = ref_at(r, op->dst, 0);

	for (size_t i = 0; i < n; i++)
		y[i] = (float)capped((double)y[i] * (double)op->scale, op->cap);
}

static void ref_pick(const struct record *r, const struct op *op, const struct step *s)
{
	for (size_t i = 0; i < s->n_out; i++)
		memcpy(ref_at(r, op->dst, i), ref_at(r, op->src, (size_t)s->out[i]),
		       op->dst->n * sizeof(float));
}

static void ref_gain(const struct record *r, const struct op *op, const struct step *s)
{
	gain_rows(ref_at(r, op->dst, 0), op, s, 0, slot_rows(op->dst, s));
}

static void (*const ops[OP_COUNT])(const struct record *, const struct op *,
                                   const struct step *) = {
	[OP_EMBED] = ref_embed,
	[OP_NORM_RMS] = ref_norm_rms,
	[OP_MATMUL] = ref_matmul,
	[OP_ROPE] = ref_rope,
	[OP_KV_WRITE] = ref_kv_write,
	[OP_ATTENTION] = ref_attention,
	[OP_GLU] = ref_glu,
	[OP_ADD] = ref_add,
	[OP_SCALE] = ref_scale,
	[OP_PICK] = ref_pick,
	[OP_CONV] = ref_conv,
	[OP_DECAY] = ref_decay,
	[OP_DELTA] = ref_delta,
	[OP_GAIN] = ref_gain,
	[OP_NORM_LAYER] = ref_norm_layer,
	[OP_ACT] = ref_act,
	[OP_ENCODE] = ref_encode,
	[OP_COPY] = ref_copy,
	[OP_ROUTE] = ref_route,
	[OP_EXPERTS] = ref_experts,
	[OP_MIX] = ref_mix,
};

/* ---- records */
static int grow(struct exec *x, float **p, size_t *n, size_t want, struct err *e)
{
	float *new;

	if (want <= *n)
		return 0;
	new = exec_host_new(x, want, e);
	if (!new)
		return -1;
	exec_host_end(x, *p);
	*p = new;
	*n = want;
	return 0;
}

/* The longest of a weight's row, and a context with one key and value. */
static size_t row_room(const struct record *r)
{
	size_t n = 0, most = 0;

	for (size_t i = 0; i < r->n_ops; i++) {
		const struct op *op = &r->op[i];

		if (op->w && op->w->d.n_in + (op->b ? op->b->d.n_in : 0) > most)
			most = op->w->d.n_in + (op->b ? op->b->d.n_in : 0);
		if (op->kind == OP_ENCODE && r->max_rows > most)
			most = r->max_rows;
		for (size_t k = 0; k < op->n_parts; k++)
			if (op->part[k].w->d.n_in > most)
				most = op->part[k].w->d.n_in;
		if (op->kind != OP_ATTENTION)
			continue;
		n = r->kv->layer[op->layer].k_dim + r->kv->layer[op->layer].v_dim +
		    r->kv->n_pages[r->kv->layer[op->layer].group] * PAGE_POSITIONS;
		if (n > most)
			most = n;
	}
	return most;
}

static int ref_plan(struct record *r, struct err *e)
{
	struct ref *d = r->x->device;

	if (grow(r->x, &d->scratch, &d->n_scratch, r->scratch_bytes, e) != 0)
		return -1;
	return grow(r->x, &d->row, &d->n_row, row_room(r) * sizeof(float), e);
}

static void ref_plan_end(struct record *r)
{
	(void)r;
}

static int ref_run(struct record *r, const struct step *s, const float *const *angles,
                   struct err *e)
{
	(void)angles, (void)e;
	for (size_t i = 0; i < r->n_ops; i++)
		ops[r->op[i].kind](r, &r->op[i], s);
	return 0;
}

static const float *ref_output(const struct record *r)
{
	return ref_at(r, r->result, 0);
}

static int ref_limit(struct exec *x, enum limit what, double *value, struct err *e)
{
	(void)x, (void)what, (void)value, (void)e;
	return 0;
}

const struct backend backend_ref = {
	.name = "ref",
	.takes = ref_takes,
	.list = ref_list,
	.open = ref_open,
	.close = ref_close,
	.weight = ref_weight,
	.weight_end = ref_weight_end,
	.kv = ref_kv,
	.kv_end = ref_kv_end,
	.kv_copy = ref_kv_copy,
	.kv_move = ref_kv_move,
	.plan = ref_plan,
	.plan_end = ref_plan_end,
	.run = ref_run,
	.output = ref_output,
	.limit = ref_limit,
};
