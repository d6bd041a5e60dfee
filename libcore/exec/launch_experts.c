/* SPDX-License-Identifier: MIT */
/* launch_experts.c - copies and experts as launches of the portable rows. */
#include "exec/launch.h"

#include <stdio.h>
#include <string.h>

int plan_copy(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);
	const struct copy *c = &op->copy;

	if (launch_table(p, op, row, "", row_groups(c->n_runs * c->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	arg_int(p, op->src->n);
	arg_int(p, c->n_runs);
	arg_int(p, c->n);
	arg_int(p, c->to);
	arg_int(p, c->to_step);
	arg_int(p, c->from);
	arg_int(p, c->from_step);
	return launch_end(p);
}

int plan_route(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);
	const struct routing *how = &op->routing;
	const struct cl_weight *b = op->w ? op->w->device : NULL;
	char options[160];

	snprintf(options, sizeof options, "-DN=%zu -DK=%zu -DN_GROUPS=%zu -DTOP_GROUPS=%zu -D%s%s%s",
	         op->src->n, how->k, how->n_groups, how->top_groups,
	         how->score == SCORE_SIGMOID ? "SCORE_SIGMOID" :
	         how->score == SCORE_CHOSEN  ? "SCORE_CHOSEN" : "SCORE_SOFTMAX",
	         how->normalize ? " -DNORMALIZE" : "", how->gains ? " -DGAINS" : "");
	if (launch_table(p, op, row, options, 1) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_int(p, count_at(op->dst));
	arg_float(p, how->scale);
	arg_mem(p, b ? b->chunk[0].data : NULL);
	return launch_end(p);
}

static size_t most_rows(const struct planner *p, const struct op *op)
{
	return op->src->out ? p->r->max_out : p->r->max_rows;
}

/* Live rows from which on a matrix has two runs, if they are spread evenly. */
static size_t grouped_from(const struct op *op, const struct weight_desc *w)
{
	size_t n = (2 * w->n_stack + op->n_used - 1) / op->n_used;

	return n > 2 ? n : 2;
}

static int plan_stack(struct planner *p, const struct op *op, const struct op_product *part,
                      const struct chunk *c, unsigned step)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, step, 1);
	const struct weight_desc *w = &part->w->d;
	const struct cl_weight *b = part->b ? part->b->device : NULL;
	size_t n = w->n_out / w->n_stack;
	bool shared = op->src->n == w->n_in && op->n_used > 1;
	bool grouped = step == EXPERTS_GROUPED;
	char form[128];

	form_options(form, sizeof form, part->w);
	if (launch_table(p, op, row, form, (grouped ? c->n / n : op->n_used) * row_groups(n, row)))
		return -1;
	set_extent(p, op->src);
	if (p->last) {
		size_t from = grouped_from(op, w);

		p->last->name = part->dst->name;
		p->last->min_rows = grouped ? from : 1;
		p->last->max_rows = grouped ? SIZE_MAX : from - 1;
		if (grouped) /* one group along the rows: it looks through them all */
			p->last->tokens = most_rows(p, op);
	}
	arg_slot(p, op->src);
	arg_slot(p, part->dst);
	arg_slot(p, op->src2 ? op->src2 : op->src);
	arg_int(p, op->src2 ? op->src2->n : 0);
	arg_int(p, count_at(op->src));
	arg_int(p, op->src->n);
	arg_int(p, shared ? 0 : w->n_in);
	arg_int(p, op->n_used);
	arg_int(p, w->n_in);
	arg_int(p, n);
	arg_int(p, c->first / n);
	arg_int(p, c->n / n);
	arg_mem(p, b ? b->chunk[0].data : NULL);
	arg_mem(p, c->data);
	if (w->form == FORM_AFFINE) {
		arg_mem(p, c->scales);
		arg_mem(p, c->biases);
	}
	return launch_end(p);
}

int plan_experts(struct planner *p, const struct op *op)
{
	for (size_t i = 0; i < op->n_parts; i++) {
		const struct cl_weight *c = op->part[i].w->device;

		if (c->tiled)
			continue;
		bool many = most_rows(p, op) >= grouped_from(op, &op->part[i].w->d);

		for (size_t k = 0; k < c->n_chunks; k++)
			if (plan_stack(p, op, &op->part[i], &c->chunk[k], EXPERTS_EACH) != 0 ||
			    (many && plan_stack(p, op, &op->part[i], &c->chunk[k], EXPERTS_GROUPED) != 0))
				return -1;
	}
	return plan_together(p, op, true, plan_runs);
}

int plan_mix(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);

	if (launch_table(p, op, row, "", row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_slot(p, op->src2);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	arg_int(p, op->n_used);
	return launch_end(p);
}
