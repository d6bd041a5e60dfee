/* SPDX-License-Identifier: MIT */
/* op.c - every op of a step: its shapes checked, then put on the list.
 *
 * An op that does not fit leaves the record failed, and a failed record
 * takes no more: record_end() reports the first failure. */
#include <string.h>

#include "exec/shapes.h"

struct op *op_new(struct record *r, enum op_kind kind)
{
	void *array = r->op;
	struct op *op;

	if (r->err.kind || record_grow(r, &array, r->n_ops, &r->room_ops, sizeof *r->op) != 0)
		return NULL;
	r->op = array;
	op = &r->op[r->n_ops];
	memset(op, 0, sizeof *op);
	op->kind = kind;
	return op;
}

/* The slot is there and holds something: this op reads it. */
bool op_reads(struct record *r, struct slot *s)
{
	if (!s)
		return record_fail(r, "no slot to read"), false;
	if (s->first == SIZE_MAX)
		return record_fail(r, "slot %s is read before it is written", s->name), false;
	s->last = r->n_ops;
	return true;
}

bool op_writes(struct record *r, struct slot *s)
{
	if (!s)
		return record_fail(r, "no slot to write"), false;
	if (s->first == SIZE_MAX)
		s->first = r->n_ops;
	s->last = r->n_ops;
	return true;
}

bool op_has_width(struct record *r, const struct slot *s, size_t n)
{
	if (s->n == n)
		return true;
	record_fail(r, "slot %s: expected a width of %zu, found %zu", s->name, n, s->n);
	return false;
}

bool op_same_rows(struct record *r, const struct slot *a, const struct slot *b)
{
	if (a->out == b->out)
		return true;
	record_fail(r, "slots %s and %s: one has rows, the other outputs", a->name, b->name);
	return false;
}

bool op_has_rows(struct record *r, const struct slot *s)
{
	if (!s->out)
		return true;
	record_fail(r, "slot %s has outputs, expected rows", s->name);
	return false;
}

bool op_is_vector(struct record *r, const struct weight *w, size_t n)
{
	if (w && w->d.form == FORM_FLOAT && w->d.n_out == 1 && (!n || w->d.n_in == n))
		return true;
	if (w && n)
		record_fail(r, "%s: expected %zu floats, found [%zu,%zu]%s", w->d.name, n,
		            w->d.n_out, w->d.n_in, w->d.form == FORM_FLOAT ? "" : " quantized");
	else
		record_fail(r, "%s: expected a vector of floats", w ? w->d.name : "weight");
	return false;
}

static bool is_matrix(struct record *r, const struct weight *w, size_t n_out, size_t n_in)
{
	if (w && (!n_out || w->d.n_out == n_out) && w->d.n_in == n_in)
		return true;
	if (!w)
		record_fail(r, "no weight");
	else
		record_fail(r, "%s: expected [%zu,%zu], found [%zu,%zu]", w->d.name,
		            n_out ? n_out : w->d.n_out, n_in, w->d.n_out, w->d.n_in);
	return false;
}

void op_embed(struct record *r, struct slot *dst, const struct weight *table)
{
	struct op *op = op_new(r, OP_EMBED);

	if (!op || !op_writes(r, dst) || !op_has_rows(r, dst) || !is_matrix(r, table, 0, dst->n))
		return;
	op->dst = dst;
	op->w = table;
	if (table->d.n_out < r->n_tokens)
		r->n_tokens = table->d.n_out;
	r->n_ops++;
}

void op_embed_position(struct record *r, struct slot *dst, const struct weight *table)
{
	size_t n_tokens = r->n_tokens;
	struct op *op;

	op_embed(r, dst, table);
	if (r->err.kind)
		return;
	op = &r->op[r->n_ops - 1];
	op->by_position = true;
	r->n_tokens = n_tokens;
	if (table->d.n_out < r->n_positions)
		r->n_positions = table->d.n_out;
}

void op_norm_layer(struct record *r, struct slot *dst, struct slot *src, const struct norm_layer *n)
{
	struct op *op = op_new(r, OP_NORM_LAYER);

	if (!op || !op_reads(r, src) || !op_writes(r, dst) || !op_has_width(r, dst, src->n) ||
	    !op_same_rows(r, dst, src) || !op_is_vector(r, n->g, src->n) ||
	    !op_is_vector(r, n->b, src->n))
		return;
	op->dst = dst;
	op->src = src;
	op->w = n->g;
	op->b = n->b;
	op->eps = n->eps;
	r->n_ops++;
}

void op_norm_rms(struct record *r, struct slot *dst, struct slot *src, const struct weight *g,
                 float eps)
{
	struct op *op = op_new(r, OP_NORM_RMS);

	if (!op || !op_reads(r, src) || !op_writes(r, dst) || !op_has_width(r, dst, src->n) ||
	    !op_same_rows(r, dst, src) || !op_is_vector(r, g, 0))
		return;
	if (src->n % g->d.n_in) {
		record_fail(r, "%s: %zu do not divide slot %s, %zu wide", g->d.name, g->d.n_in,
		            src->name, src->n);
		return;
	}
	op->dst = dst;
	op->src = src;
	op->w = g;
	op->eps = eps;
	r->n_ops++;
}

static bool add_product(struct record *r, const struct op_product *p, struct slot *src, bool adds)
{
	if (p->dst == src)
		return record_fail(r, "slot %s is multiplied into itself", src->name), false;
	if ((adds && !op_reads(r, p->dst)) || !op_writes(r, p->dst) || !op_same_rows(r, p->dst, src) ||
	    !is_matrix(r, p->w, p->dst->n, src->n))
		return false;
	return !p->b || op_is_vector(r, p->b, p->dst->n);
}

void op_matmul(struct record *r, const struct op_product *part, size_t n_parts, struct slot *src,
               bool adds)
{
	struct op *op = op_new(r, OP_MATMUL);

	if (!op || !op_reads(r, src))
		return;
	if (!n_parts || n_parts > OP_PARTS) {
		record_fail(r, "%zu products, expected 1 to %d", n_parts, OP_PARTS);
		return;
	}
	for (size_t i = 0; i < n_parts; i++) {
		if (!add_product(r, &part[i], src, adds))
			return;
		op->part[i] = part[i];
	}
	op->n_parts = n_parts;
	op->src = src;
	op->add = adds;
	r->n_ops++;
}

static bool same_rope(const struct rope *a, const struct rope *b)
{
	return a->dims == b->dims && a->interleaved == b->interleaved && a->scale == b->scale &&
	       a->dynamic_base == b->dynamic_base && a->dynamic_factor == b->dynamic_factor &&
	       a->dynamic_max_pos == b->dynamic_max_pos && a->far == b->far &&
	       (!a->far || !memcmp(a->far_inv_freq, b->far_inv_freq,
	                           a->dims / 2 * sizeof *a->far_inv_freq)) &&
	       !memcmp(a->inv_freq, b->inv_freq, a->dims / 2 * sizeof *a->inv_freq);
}

static bool find_rope(struct record *r, const struct rope *rope, size_t *index)
{
	void *array = r->rope;

	for (*index = 0; *index < r->n_ropes; ++*index)
		if (same_rope(&r->rope[*index], rope))
			return true;
	if (record_grow(r, &array, r->n_ropes, &r->room_ropes, sizeof *r->rope) != 0)
		return false;
	r->rope = array;
	r->rope[r->n_ropes++] = *rope;
	return true;
}

void op_rope(struct record *r, struct slot *x, size_t n_heads, size_t head_dim,
             const struct rope *rope)
{
	struct op *op = op_new(r, OP_ROPE);

	if (!op || !op_reads(r, x) || !op_has_rows(r, x) || !op_has_width(r, x, n_heads * head_dim))
		return;
	if (!rope->dims || rope->dims % 2 || rope->dims > head_dim ||
	    rope->dims / 2 > sizeof rope->inv_freq / sizeof *rope->inv_freq) {
		record_fail(r, "slot %s: %zu rotated dimensions of %zu", x->name, rope->dims,
		            head_dim);
		return;
	}
	if (!find_rope(r, rope, &op->rope))
		return;
	op->dst = x;
	op->n_heads = n_heads;
	op->head_dim = head_dim;
	r->n_ops++;
}

const struct exec_kv_layer *op_layer(struct record *r, size_t layer)
{
	if (r->kv && layer < r->kv->n_layers)
		return &r->kv->layer[layer];
	record_fail(r, "layer %zu: the cache has %zu", layer, r->kv ? r->kv->n_layers : 0);
	return NULL;
}

void op_kv_write(struct record *r, struct slot *k, struct slot *v, size_t layer)
{
	struct op *op = op_new(r, OP_KV_WRITE);
	const struct exec_kv_layer *l;

	l = op ? op_layer(r, layer) : NULL;
	if (!l || !op_reads(r, k) || !op_has_rows(r, k) ||
	    !op_has_width(r, k, l->n_heads * l->k_dim))
		return;
	if (!l->v_in_k && (!op_reads(r, v) || !op_has_rows(r, v) ||
	                   !op_has_width(r, v, l->n_heads * l->v_dim)))
		return;
	op->src = k;
	op->src2 = l->v_in_k ? k : v;
	op->layer = layer;
	r->n_ops++;
}

void op_attention(struct record *r, struct slot *dst, struct slot *q, const struct attention *a)
{
	struct op *op = op_new(r, OP_ATTENTION);
	const struct exec_kv_layer *l;

	if (!op || !op_reads(r, q) || !op_writes(r, dst) || !op_has_rows(r, dst) || !op_has_rows(r, q))
		return;
	if (dst == q) {
		record_fail(r, "slot %s: attention cannot work in place", q->name);
		return;
	}
	l = op_layer(r, a->layer);
	if (!l || !op_has_width(r, q, a->n_heads * l->k_dim) ||
	    !op_has_width(r, dst, a->n_heads * l->v_dim) ||
	    (a->sinks && !op_is_vector(r, a->sinks, a->n_heads)))
		return;
	if (a->n_heads % l->n_heads) {
		record_fail(r, "%zu heads over %zu heads of keys", a->n_heads, l->n_heads);
		return;
	}
	op->dst = dst;
	op->src = q;
	op->att = *a;
	op->layer = a->layer;
	op->n_heads = a->n_heads;
	op->head_dim = l->k_dim;
	r->n_ops++;
}

void op_encode(struct record *r, struct slot *dst, const struct encode *a)
{
	struct op *op = op_new(r, OP_ENCODE);

	if (!op || !op_reads(r, a->q) || !op_reads(r, a->k) || !op_reads(r, a->v) ||
	    !op_writes(r, dst) ||
	    !op_has_rows(r, dst) || !op_has_rows(r, a->q) || !op_has_rows(r, a->k) ||
	    !op_has_rows(r, a->v) || !op_has_width(r, a->q, dst->n) || !op_has_width(r, a->k, dst->n) ||
	    !op_has_width(r, a->v, dst->n))
		return;
	if (dst == a->q || dst == a->k || dst == a->v || !a->n_heads || dst->n % a->n_heads ||
	    !r->kv || !r->kv->n_groups) {
		record_fail(r, "slot %s: %zu heads of attention%s", dst->name, a->n_heads,
		            r->kv ? "" : " without a cache");
		return;
	}
	op->dst = dst;
	op->src = a->q;
	op->src2 = a->k;
	op->more[0] = a->v;
	op->n_heads = a->n_heads;
	op->head_dim = dst->n / a->n_heads;
	op->scale = a->scale;
	r->recurs = true;
	r->n_ops++;
}

void op_act(struct record *r, struct slot *x, enum activation act)
{
	struct op *op = op_new(r, OP_ACT);

	if (!op || !op_reads(r, x) || !op_writes(r, x))
		return;
	if (act == ACT_CLIPPED) {
		record_fail(r, "slot %s: a clipped gate without what it gates", x->name);
		return;
	}
	op->dst = op->src = x;
	op->act = act;
	r->n_ops++;
}

void op_glu(struct record *r, struct slot *dst, struct slot *gate, struct slot *up,
            enum activation act)
{
	struct op *op = op_new(r, OP_GLU);

	if (!op || !op_reads(r, gate) || !op_reads(r, up) || !op_writes(r, dst) ||
	    !op_has_width(r, gate, dst->n) || !op_has_width(r, up, dst->n) ||
	    !op_same_rows(r, dst, gate) || !op_same_rows(r, dst, up))
		return;
	op->dst = dst;
	op->src = gate;
	op->src2 = up;
	op->act = act;
	r->n_ops++;
}

void op_add(struct record *r, struct slot *dst, struct slot *src)
{
	struct op *op = op_new(r, OP_ADD);

	if (!op || !op_reads(r, src) || !op_reads(r, dst) || !op_has_width(r, src, dst->n) ||
	    !op_same_rows(r, dst, src))
		return;
	op->dst = dst;
	op->src = src;
	r->n_ops++;
}

void op_scale(struct record *r, struct slot *x, float scale, float cap)
{
	struct op *op = op_new(r, OP_SCALE);

	if (!op || !op_reads(r, x) || !op_writes(r, x))
		return;
	op->dst = op->src = x;
	op->scale = scale;
	op->cap = cap;
	r->n_ops++;
}

void op_pick(struct record *r, struct slot *dst, struct slot *src)
{
	struct op *op = op_new(r, OP_PICK);

	if (!op || !op_reads(r, src) || !op_writes(r, dst) || !op_has_rows(r, src) ||
	    !op_has_width(r, dst, src->n))
		return;
	if (!dst->out) {
		record_fail(r, "slot %s has rows, expected outputs", dst->name);
		return;
	}
	op->dst = dst;
	op->src = src;
	r->n_ops++;
}

void op_gain(struct record *r, struct slot *x, const struct weight *gain,
             const struct weight *shift)
{
	struct op *op = op_new(r, OP_GAIN);

	if (!op || !op_reads(r, x) || !op_writes(r, x) || !op_is_vector(r, gain, 0) ||
	    (shift && !op_is_vector(r, shift, gain->d.n_in)))
		return;
	if (gain->d.dtype != DT_F32 || (shift && shift->d.dtype != DT_F32)) {
		record_fail(r, "%s: expected f32", gain->d.name);
		return;
	}
	if (gain->d.n_in % x->n) {
		record_fail(r, "%s: %zu gains for slot %s, %zu wide", gain->d.name, gain->d.n_in,
		            x->name, x->n);
		return;
	}
	if (gain->d.n_in / x->n < r->n_adapters)
		r->n_adapters = gain->d.n_in / x->n;
	op->dst = op->src = x;
	op->w = gain;
	op->shift = shift;
	r->n_ops++;
}
