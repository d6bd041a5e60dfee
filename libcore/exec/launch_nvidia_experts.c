/* SPDX-License-Identifier: MIT */
/* launch_nvidia_experts.c - experts whose stacks are repacked, as launches of
 * the rows for NVIDIA's matrix unit.
 *
 * Few rows read their matrices run by run. More are sorted on the device: a
 * list of tiles, each of slots for runs of one matrix, then those runs'
 * inputs in the order of the slots, then the products (kernels/nvidia/
 * experts.cl, prepare.cl, tokens.cl). The list lies where prepared inputs
 * begin, these behind it; it serves the products of one mixture in turn. */
#include "exec/launch.h"

#include <stdio.h>

enum { MOST_PAD = 64, LEAST_PAD = 16 };

size_t experts_tiles(size_t rows, size_t n_used, size_t n_stack, size_t pad)
{
	size_t runs = rows * n_used, matrices = runs < n_stack ? runs : n_stack;

	return (runs + matrices * (pad - 1)) / pad;
}

/* Where things lie, in floats from the first prepared input on. */
struct layout {
	size_t slots, x, sums, end;
	size_t stride;             /* slots that there is room for */
};

static struct layout layout_of(const struct record *r, const struct op *op,
                           const struct weight_desc *w)
{
	size_t rows = op->src->out ? r->max_out : r->max_rows;
	size_t tiles = experts_tiles(rows, op->n_used, w->n_stack, LEAST_PAD);
	struct layout o;

	o.stride = experts_tiles(rows, op->n_used, w->n_stack, MOST_PAD) * MOST_PAD;
	o.slots = (LIST_HEAD + tiles + MOST_PAD - 1) / MOST_PAD * MOST_PAD;
	o.x = o.slots + o.stride;
	o.sums = o.x + input_floats(w, o.stride);
	o.end = o.sums + (w->group ? o.stride * w->n_in / w->group : 0);
	return o;
}

static bool tiled(const struct op_product *part)
{
	return ((const struct cl_weight *)part->w->device)->tiled;
}

size_t experts_inputs(const struct record *r)
{
	size_t most = 0;

	for (size_t i = 0; i < r->n_ops; i++)
		for (size_t k = 0; r->op[i].kind == OP_EXPERTS && k < r->op[i].n_parts; k++)
			if (tiled(&r->op[i].part[k])) {
				size_t n = layout_of(r, &r->op[i], &r->op[i].part[k].w->d).end;

				most = n > most ? n : most;
			}
	return most;
}

static unsigned step_of(const struct weight_desc *w)
{
	return w->form == FORM_FLOAT ? EXPERTS_FLOAT : w->group == 128 ? EXPERTS_WIDE : EXPERTS_AFFINE;
}

/* A step's rows from `first` to `last`, by one kernel row. */
struct range { size_t first, last; const struct kernel_row *row; };

static void choose(struct range *o, const struct planner *p, const struct op *op,
                   const struct weight_desc *w, size_t first, size_t most)
{
	size_t runs = first * op->n_used / w->n_stack;

	o->row = kernel_find(p->d, OP_EXPERTS, step_of(w), runs);
	o->first = first;
	o->last = most;
	if (o->row->max_tokens) {
		size_t last = ((o->row->max_tokens + 1) * w->n_stack - 1) / op->n_used;

		o->last = last < most ? last : most;
	}
}

static void set_range(struct planner *p, const struct op *op, const struct piece *piece,
                      const struct range *range)
{
	set_extent(p, op->src);
	if (!p->last)
		return;
	p->last->name = piece->part->dst->name;
	p->last->min_rows = range->first;
	p->last->max_rows = range->last;
}

/* And as many groups as its slots may ask for. */
static void set_slots(struct planner *p, const struct op *op, const struct piece *piece,
                      const struct range *range)
{
	set_range(p, op, piece, range);
	if (!p->last)
		return;
	p->last->rows_first = true;
	p->last->n_used = op->n_used;
	p->last->n_stack = piece->part->w->d.n_stack;
	p->last->pad = range->row->tokens;
}

static void arg_stacks(struct planner *p, const struct piece *piece, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct op_product *part = piece[i].part;
		const struct cl_weight *b = part->b ? part->b->device : NULL;
		const struct chunk *c = piece[i].chunk;
		size_t rows = part->w->d.n_out / part->w->d.n_stack;

		arg_slot(p, part->dst);
		arg_int(p, rows);
		arg_int(p, c->first / rows);
		arg_int(p, c->n / rows);
		arg_mem(p, b ? b->chunk[0].data : NULL);
		arg_mem(p, c->data);
		if (part->w->d.form == FORM_AFFINE)
			arg_mem(p, c->scales);
	}
}

/* Groups along the rows of one matrix of each piece. */
static size_t groups_of(const struct piece *piece, size_t n, const struct kernel_row *row)
{
	size_t groups = 0;

	for (size_t i = 0; i < n; i++)
		groups += row_groups(piece[i].part->w->d.n_out / piece[i].part->w->d.n_stack, row);
	return groups;
}

/* Runs that have one row of inputs. */
static size_t share_of(const struct op *op, const struct weight_desc *w)
{
	return op->src->n == w->n_in ? op->n_used : 1;
}

static void arg_chosen(struct planner *p, const struct op *op)
{
	arg_slot(p, op->src2 ? op->src2 : op->src);
}

static int plan_few(struct planner *p, const struct op *op, const struct piece *piece, size_t n,
                    const char *options, size_t most)
{
	const struct weight_desc *w = &piece->part->w->d;
	unsigned step = w->n_in / TILE_COLUMNS > 8 ? EXPERTS_FEW : EXPERTS_FEW_SHORT;
	struct range range = { 1, most < TOKENS_FEW ? most : TOKENS_FEW,
	                       kernel_find(p->d, OP_EXPERTS, step, 1) };
	size_t groups = groups_of(piece, n, range.row);

	if (launch_table(p, op, range.row, options, op->n_used * groups) != 0)
		return -1;
	set_range(p, op, piece, &range);
	if (p->last)
		p->last->rows_first = true;
	arg_slot(p, op->src);
	arg_chosen(p, op);
	arg_int(p, op->src2 ? op->src2->n : 0);
	arg_int(p, count_at(op->src));
	arg_int(p, share_of(op, w));
	arg_int(p, op->n_used);
	arg_int(p, w->n_in);
	arg_int(p, groups);
	arg_stacks(p, piece, n);
	return launch_end(p);
}

static int plan_sort(struct planner *p, const struct op *op, const struct piece *piece,
                     const struct range *range, const struct layout *at)
{
	const struct kernel_row *row = kernel_find(p->d, OP_EXPERTS, EXPERTS_SORT, 1);
	size_t base = p->p->input_at;

	if (launch_table(p, op, row, "", 1) != 0)
		return -1;
	set_range(p, op, piece, range);
	if (p->last) /* one group sorts all rows */
		p->last->tokens = op->src->out ? p->r->max_out : p->r->max_rows;
	arg_chosen(p, op);
	arg_at(p, base);
	arg_at(p, base + at->slots);
	arg_int(p, op->src2 ? op->src2->n : 0);
	arg_int(p, count_at(op->src));
	arg_int(p, op->n_used);
	arg_int(p, piece->part->w->d.n_stack);
	arg_int(p, range->row->tokens);
	return launch_end(p);
}

static int plan_inputs(struct planner *p, const struct op *op, const struct piece *piece,
                       const struct range *range, const struct layout *at)
{
	const struct weight_desc *w = &piece->part->w->d;
	const struct kernel_row *row = kernel_find(p->d, OP_EXPERTS, w->n_in > 1024 ?
	                                           EXPERTS_PREPARE : EXPERTS_PREPARE_SHORT, 1);
	const struct op *made = op > p->r->op && tokens_feed(p->r, op - 1, op) ? op - 1 : NULL;
	char options[96], group[32] = "";
	size_t base = p->p->input_at;

	if (w->group)
		snprintf(group, sizeof group, " -DGROUP=%u", w->group);
	snprintf(options, sizeof options, "%s%s%s%s", two_planes(w) ? "-DBF16" : "-DF16", group,
	         made ? " -DGLU " : "", made ? act_options(made) : "");
	if (launch_table(p, op, row, options, row_groups(w->n_in, row)) != 0)
		return -1;
	set_slots(p, op, piece, range);
	if (p->last)
		p->last->tokens = 1;
	arg_slot(p, made ? made->src : op->src);
	arg_slot(p, made ? made->src2 : op->src);
	arg_at(p, base + at->x);
	arg_at(p, base + at->sums);
	arg_int(p, at->stride);
	arg_int(p, count_at(op->src));
	arg_int(p, w->n_in);
	arg_float(p, 0);
	arg_mem(p, NULL);
	arg_at(p, base);
	arg_at(p, base + at->slots);
	arg_int(p, range->row->tokens);
	arg_int(p, share_of(op, w));
	return launch_end(p);
}

static int plan_tiles(struct planner *p, const struct op *op, const struct piece *piece, size_t n,
                      const char *options, const struct range *range, const struct layout *at)
{
	size_t base = p->p->input_at;

	if (launch_table(p, op, range->row, options, groups_of(piece, n, range->row)) != 0)
		return -1;
	set_slots(p, op, piece, range);
	arg_at(p, base + at->x);
	arg_at(p, base + at->sums);
	arg_int(p, at->stride);
	arg_int(p, count_at(op->src));
	arg_int(p, piece->part->w->d.n_in);
	arg_int(p, 0);
	arg_at(p, base);
	arg_at(p, base + at->slots);
	arg_stacks(p, piece, n);
	return launch_end(p);
}

/* The last product before this one that sorted runs by the same choice, if
 * its list is still there. */
static bool sorted_before(const struct planner *p, const struct op *op, const struct weight_desc *w)
{
	const struct op *o = op;

	while (o-- > p->r->op) {
		bool experts = o->kind == OP_EXPERTS;
		size_t last = 0;

		if (!experts && o->kind != OP_GLU && o->kind != OP_GAIN && o->kind != OP_ADD)
			return false;
		if (o->dst && o->dst == op->src2)
			return false;
		for (size_t i = 0; experts && i < o->n_parts; i++)
			last = tiled(&o->part[i]) ? i + 1 : last;
		if (!last)
			continue;
		const struct weight_desc *v = &o->part[last - 1].w->d;
		return o->src2 == op->src2 && o->n_used == op->n_used && v->n_stack == w->n_stack &&
		       o->src->out == op->src->out && step_of(v) == step_of(w);
	}
	return false;
}

int plan_runs(struct planner *p, const struct op *op, const struct piece *piece, size_t n)
{
	const struct weight_desc *w = &piece->part->w->d;
	size_t most = op->src->out ? p->r->max_out : p->r->max_rows;
	bool first = piece->part == op->part && piece->chunk->first == 0;
	bool sorted = first && sorted_before(p, op, w);
	struct layout at = layout_of(p->r, op, w);
	struct range range = { .last = TOKENS_FEW };
	char form[128], options[160];

	snprintf(options, sizeof options, "-DPARTS=%zu %s", n,
	         form_options(form, sizeof form, piece->part->w));
	if (plan_few(p, op, piece, n, options, most) != 0)
		return -1;
	while (range.last < most) {
		choose(&range, p, op, w, range.last + 1, most);
		if ((!sorted && plan_sort(p, op, piece, &range, &at) != 0) ||
		    plan_inputs(p, op, piece, &range, &at) != 0 ||
		    plan_tiles(p, op, piece, n, options, &range, &at) != 0)
			return -1;
	}
	return 0;
}
