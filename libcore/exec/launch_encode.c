/* SPDX-License-Identifier: MIT */
/* launch_encode.c - launches of what encoders add; portable rows on every
 * device. */
#include <stdio.h>

#include "exec/launch.h"

static cl_mem vector(const struct weight *w)
{
	return ((const struct cl_weight *)w->device)->chunk[0].data;
}

int plan_norm_layer(struct planner *p, const struct op *op)
{
	if (launch_table(p, op, kernel_find(p->d, op->kind, 0, 1), "", 1) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	arg_float(p, op->eps);
	arg_mem(p, vector(op->w));
	arg_mem(p, vector(op->b));
	return launch_end(p);
}

int plan_act(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);

	if (launch_table(p, op, row, act_options(op), row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	return launch_end(p);
}

int plan_encode(struct planner *p, const struct op *op)
{
	char options[64];

	snprintf(options, sizeof options, "-DHEADS=%zu -DDIM=%zu", op->n_heads, op->head_dim);
	if (launch_table(p, op, kernel_find(p->d, op->kind, 0, 1), options, op->n_heads) != 0)
		return -1;
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_slot(p, op->src2);
	arg_slot(p, op->more[0]);
	arg_int(p, p->p->row_pages_at);
	arg_float(p, op->scale);
	return launch_end(p);
}
