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
