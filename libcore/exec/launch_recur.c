/* SPDX-License-Identifier: MIT */
/* launch_recur.c - launches of ops that carry a state from position to
 * position: the first row of a sequence takes all of its rows. */
#include <stdio.h>

#include "exec/launch.h"

static void arg_state(struct planner *p, size_t layer, size_t part)
{
	const struct exec_kv_layer *l = &p->r->kv->layer[layer];

	arg_mem(p, ((const struct cl_kv *)p->r->kv->device)->keys[layer]);
	arg_at(p, exec_kv_state(l, part));
	arg_at(p, exec_kv_state(l, KV_STATES));
}

int plan_conv(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);
	char options[64];

	snprintf(options, sizeof options, "-DTAPS=%zu %s", op->conv.taps, act_options(op));
	if (launch_table(p, op, row, options, row_groups(op->dst->n, row)) != 0)
		return -1;
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_places(p, op->layer);
	arg_int(p, op->dst->n);
	arg_mem(p, ((const struct cl_weight *)op->w->device)->chunk[0].data);
	arg_state(p, op->layer, op->conv.part);
	return launch_end(p);
}

int plan_decay(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);

	if (launch_table(p, op, row, "", row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	arg_int(p, op->dst->n / op->w->d.n_in);
	arg_mem(p, ((const struct cl_weight *)op->w->device)->chunk[0].data);
	arg_mem(p, ((const struct cl_weight *)op->b->device)->chunk[0].data);
	return launch_end(p);
}

/* An operand's place, from `at` on in a row of its slot. */
static void arg_part(struct planner *p, const struct slot *s, size_t at)
{
	arg_at(p, s->offset / sizeof(float) + at);
}

int plan_delta(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);
	const struct delta *d = &op->delta;
	char options[96];

	snprintf(options, sizeof options, "-DK_DIM=%zu -DV_DIM=%zu -DPER=%zu%s", d->k_dim, d->v_dim,
	         d->n_heads / d->n_key_heads, d->decay->n > d->n_heads ? " -DCHANNELS" : "");
	if (launch_table(p, op, row, options, d->n_heads * row_groups(d->v_dim, row)) != 0)
		return -1;
	arg_slot(p, op->dst);
	arg_part(p, d->q, d->q_at);
	arg_int(p, d->q->n);
	arg_part(p, d->k, d->k_at);
	arg_int(p, d->k->n);
	arg_part(p, d->v, d->v_at);
	arg_int(p, d->v->n);
	arg_slot(p, d->decay);
	arg_slot(p, d->beta);
	arg_places(p, d->layer);
	arg_int(p, d->n_heads);
	arg_float(p, d->eps);
	arg_state(p, d->layer, d->part);
	return launch_end(p);
}
