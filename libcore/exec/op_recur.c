/* SPDX-License-Identifier: MIT */
/* op_recur.c - ops that carry a state from position to position, and what
 * their decay is made of: shapes checked, put on the list. */
#include "exec/shapes.h"

#include <string.h>

static bool has_state(struct record *r, size_t layer, size_t part, const size_t size[3])
{
	const struct exec_kv_layer *l = op_layer(r, layer);

	if (!l)
		return false;
	if (part < KV_STATES && !memcmp(l->state[part], size, sizeof l->state[part]))
		return true;
	record_fail(r, "layer %zu: expected state %zu to be [%zu,%zu,%zu]", layer, part, size[0],
	            size[1], size[2]);
	return false;
}

void op_conv(struct record *r, struct slot *dst, struct slot *src, const struct conv *c)
{
	struct op *op = op_new(r, OP_CONV);

	if (!op || !op_reads(r, src) || !op_writes(r, dst) || !op_has_rows(r, dst) ||
	    !op_has_rows(r, src) || !op_has_width(r, dst, src->n) ||
	    !op_is_vector(r, c->w, src->n * c->taps))
		return;
	if (dst == src || c->taps < 2 || c->taps > CONV_TAPS) {
		record_fail(r, "slot %s: a convolution of %zu taps%s", src->name, c->taps,
		            dst == src ? " in place" : "");
		return;
	}
	if (!has_state(r, c->layer, c->part, (size_t[]){ 1, c->taps - 1, src->n }))
		return;
	op->dst = dst;
	op->src = src;
	op->w = c->w;
	op->act = c->act;
	op->layer = c->layer;
	op->conv = *c;
	r->recurs = true;
	r->n_ops++;
}

void op_decay(struct record *r, struct slot *x, const struct weight *rate,
              const struct weight *bias)
{
	struct op *op = op_new(r, OP_DECAY);

	if (!op || !op_reads(r, x) || !op_writes(r, x) || !op_is_vector(r, rate, 0) ||
	    !op_is_vector(r, bias, x->n))
		return;
	if (x->n % rate->d.n_in) {
		record_fail(r, "%s: %zu rates do not divide slot %s, %zu wide", rate->d.name,
		            rate->d.n_in, x->name, x->n);
		return;
	}
	op->dst = op->src = x;
	op->w = rate;
	op->b = bias;
	r->n_ops++;
}

/* An operand's `n` elements from `at` on of a slot of rows. */
static bool reads_part(struct record *r, struct slot *s, size_t at, size_t n)
{
	if (!op_reads(r, s) || !op_has_rows(r, s))
		return false;
	if (n <= s->n && at <= s->n - n)
		return true;
	record_fail(r, "slot %s: expected %zu elements at %zu, found a width of %zu", s->name, n, at,
	            s->n);
	return false;
}

void op_delta(struct record *r, struct slot *dst, const struct delta *d)
{
	struct op *op = op_new(r, OP_DELTA);

	if (!op)
		return;
	if (!d->n_heads || !d->n_key_heads || d->n_heads % d->n_key_heads || !d->k_dim ||
	    d->k_dim > DELTA_DIM || !d->v_dim || d->v_dim > DELTA_DIM) {
		record_fail(r, "%zu heads of %zu by %zu over %zu of keys: expected sizes up to %d",
		            d->n_heads, d->k_dim, d->v_dim, d->n_key_heads, DELTA_DIM);
		return;
	}
	if (!reads_part(r, d->q, d->q_at, d->n_key_heads * d->k_dim) ||
	    !reads_part(r, d->k, d->k_at, d->n_key_heads * d->k_dim) ||
	    !reads_part(r, d->v, d->v_at, d->n_heads * d->v_dim) ||
	    !reads_part(r, d->decay, 0, d->n_heads) || !reads_part(r, d->beta, 0, d->n_heads) ||
	    !op_writes(r, dst) || !op_has_rows(r, dst) ||
	    !op_has_width(r, dst, d->n_heads * d->v_dim) || !op_has_width(r, d->beta, d->n_heads) ||
	    (d->decay->n != d->n_heads && !op_has_width(r, d->decay, d->n_heads * d->k_dim)) ||
	    !has_state(r, d->layer, d->part, (size_t[]){ d->n_heads, d->k_dim, d->v_dim }))
		return;
	if (dst == d->q || dst == d->k || dst == d->v || dst == d->decay || dst == d->beta) {
		record_fail(r, "slot %s: a delta rule in place", dst->name);
		return;
	}
	op->dst = dst;
	op->src = d->q;
	op->layer = d->layer;
	op->delta = *d;
	r->recurs = true;
	r->n_ops++;
}
