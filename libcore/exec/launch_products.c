/* SPDX-License-Identifier: MIT */
/* launch_products.c - products as launches of the CPU rows.
 *
 * The input is prepared once for each way in which the parts read it; prepared
 * inputs lie behind the slots. One live row, some, and many have rows of their
 * own: the launches of all three are made, and a step runs one. */
#include "exec/cpu_rows.h"
#include "exec/launch.h"

#include <stdio.h>

enum {
	PANELS_FROM = 32,      /* live rows whose lanes are then the rows: panel.cl */
};

/* How a part reads the input. */
struct input {
	const struct weight_desc *w;
	bool affine, exact;
	bool one;              /* one token's inputs are prepared in another way */
	size_t n_chunks, chunk; /* of a row, floats of one */
	size_t floats;          /* a row */
	size_t at;              /* floats before it, a row */
	struct cpu_panel panel;
	size_t n_tiles;         /* of panels, that an item has; 0: none fits a group's memory */
};

static void choose_panels(struct input *in, const struct opencl *d)
{
	in->panel = (struct cpu_panel){ d->width, in->w->n_in, in->w->n_out,
	                                in->affine ? in->w->group : 0, 2 };
	in->n_tiles = in->exact ? 0 : cpu_panel_tiles(&in->panel, (size_t)d->x->info.units);
	while (in->n_tiles && cpu_panel_bytes(&in->panel, in->n_tiles) > d->local_memory)
		in->n_tiles--;
}

static void choose_input(struct input *in, const struct exec *x, const struct weight_desc *w)
{
	const struct opencl *d = x->device;
	size_t width = d->width, columns;

	in->w = w;
	in->affine = w->form == FORM_AFFINE;
	in->exact = in->affine && (x->flags & EXEC_EXACT);
	in->one = in->affine && !in->exact;
	columns = in->affine ? w->group * width : CPU_FLOAT_CHUNK;
	in->n_chunks = (w->n_in + columns - 1) / columns;
	in->chunk = !in->affine ? columns : width * (in->exact ? w->group : w->group / 2 + 2);
	/* one more: the vectors of a lane of a panel are made odd */
	in->floats = in->n_chunks * in->chunk + width;
	choose_panels(in, d);
}

static bool same_input(const struct input *a, const struct input *b)
{
	return a->affine == b->affine &&
	       (!a->affine || (a->w->bits == b->w->bits && a->w->group == b->w->group));
}

/* The inputs of an op's parts, which may be one; floats a row of them all. */
static size_t choose_inputs(struct input *in, const struct exec *x, const struct op *op)
{
	size_t total = 0;

	for (size_t i = 0; i < op->n_parts; i++) {
		size_t k = 0;

		choose_input(&in[i], x, &op->part[i].w->d);
		while (k < i && !same_input(&in[k], &in[i]))
			k++;
		in[i].at = k < i ? in[k].at : total;
		total += k < i ? 0 : in[i].floats;
	}
	return total;
}

static size_t most_rows(const struct record *r, const struct op *op)
{
	return op->src->out ? r->max_out : r->max_rows;
}

/* Rows that prepared inputs have room for: whole panels, where there may be any. */
static size_t room_rows(const struct record *r, const struct op *op)
{
	size_t width = ((const struct opencl *)r->x->device)->width, rows = most_rows(r, op);

	return rows < PANELS_FROM ? rows : (rows + width - 1) / width * width;
}

size_t cpu_inputs(const struct record *r)
{
	struct input in[OP_PARTS];
	size_t most = 0;

	for (size_t i = 0; i < r->n_ops; i++) {
		size_t n;

		if (r->op[i].kind != OP_MATMUL)
			continue;
		n = choose_inputs(in, r->x, &r->op[i]) * room_rows(r, &r->op[i]);
		most = n > most ? n : most;
	}
	return most;
}

static void form_option(char *out, size_t room, const struct input *in)
{
	*out = 0;
	if (in->affine)
		snprintf(out, room, " -DBITS=%u -DGROUP=%u", in->w->bits, in->w->group);
}

static void arg_input(struct planner *p, const struct op *op, const struct input *in)
{
	arg_room(p, ROOM_SCRATCH);
	arg_at(p, p->p->input_at + in->at * room_rows(p->r, op));
}

/* The form of the codes that the launch reads or prepares for. */
static void set_form(struct planner *p, const struct input *in)
{
	if (!p->last || !in->affine)
		return;
	p->last->bits = in->w->bits;
	p->last->group = in->w->group;
}

static void set_live_rows(struct planner *p, size_t least, size_t most)
{
	if (!p->last)
		return;
	p->last->min_rows = least;
	p->last->max_rows = most;
}

/* ---- lanes along the columns; for so many live rows */
static int prepare(struct planner *p, const struct op *op, const struct input *in, unsigned step,
                   size_t least, size_t most)
{
	char form[64];

	form_option(form, sizeof form, in);
	if (cpu_begin(p, op, kernel_find(p->d, op->kind, step, 1), form, in->n_chunks, op->src) != 0)
		return -1;
	set_live_rows(p, least, most);
	set_form(p, in);
	arg_floats(p, op->src);
	arg_input(p, op, in);
	arg_live(p, LIVE_ROWS);
	arg_int(p, in->w->n_in);
	if (step == AFFINE_PREPARE || step == ONE_PREPARE)
		arg_int(p, CPU_MOST);
	return launch_end(p);
}

/* Tokens of a tile whose sums and weights fit a group's memory. */
static size_t tile_tokens(const struct opencl *d, const struct kernel_row *row,
                          const struct input *in, size_t *n_bytes)
{
	size_t tokens = row->tokens;

	while ((*n_bytes = row->rows * (in->chunk + tokens * d->width) * sizeof(float)) >
	       d->local_memory && tokens > 1)
		tokens /= 2;
	return tokens;
}

/* Weights and their form, prepared inputs, results, bias, what is done, sizes. */
static void arg_product(struct planner *p, const struct op *op, const struct op_product *part,
                        const struct input *in)
{
	const struct cl_weight *w = part->w->device, *b = part->b ? part->b->device : NULL;
	const struct chunk *c = w->chunk;

	arg_from(p, c->data);
	if (in->affine) {
		arg_from(p, c->scales);
		arg_from(p, c->biases);
	}
	arg_int(p, cpu_type(w->dtype));
	arg_input(p, op, in);
	arg_floats(p, part->dst);
	arg_from(p, b ? b->chunk[0].data : NULL);
	arg_int(p, (op->add ? CPU_ADD : 0) | (b ? CPU_BIAS : 0) | cpu_fetch_flags(true));
	arg_live(p, LIVE_ROWS);
	arg_int(p, in->w->n_out);
	arg_int(p, in->w->n_in);
}

/* A launch of the row for so many live rows; `tokens` of them an item. */
static int begin_product(struct planner *p, const struct op *op, const struct op_product *part,
                         const struct input *in, const struct kernel_row *row, size_t tokens)
{
	char form[64];

	form_option(form, sizeof form, in);
	if (cpu_begin(p, op, row, form, row_groups(in->w->n_out, row), op->src) != 0)
		return -1;
	if (p->last) {
		p->last->name = part->dst->name;
		p->last->tokens = tokens;
	}
	set_form(p, in);
	arg_product(p, op, part, in);
	arg_int(p, row->rows);
	return 0;
}

static int multiply_one(struct planner *p, const struct op *op, const struct op_product *part,
                        const struct input *in)
{
	const struct kernel_row *row =
		kernel_find(p->d, op->kind, in->affine ? AFFINE_VEC : FLOAT_VEC, 1);

	if (begin_product(p, op, part, in, row, 1) != 0)
		return -1;
	set_live_rows(p, 1, 1);
	return launch_end(p);
}

/* Tokens that codes meet at once: as FEW in matmul.clh. */
static size_t few_tokens(const struct opencl *d)
{
	return d->width == 16 ? 8 : 4;
}

static int multiply_few(struct planner *p, const struct op *op, const struct op_product *part,
                        const struct input *in)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, AFFINE_FEW, 2);
	size_t few = few_tokens(p->d);

	if (begin_product(p, op, part, in, row, few) != 0)
		return -1;
	set_live_rows(p, 2, few);
	arg_local(p, few * row->rows * p->d->width * sizeof(float));
	return launch_end(p);
}

static int multiply(struct planner *p, const struct op *op, const struct op_product *part,
                    const struct input *in, unsigned step, size_t min_rows)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, step, min_rows);
	size_t n_bytes, tokens = tile_tokens(p->d, row, in, &n_bytes);

	if (begin_product(p, op, part, in, row, tokens) != 0)
		return -1;
	set_live_rows(p, min_rows, in->n_tiles ? PANELS_FROM - 1 : SIZE_MAX);
	arg_int(p, tokens);
	arg_local(p, n_bytes);
	return launch_end(p);
}

/* ---- lanes along the rows */
static int prepare_panels(struct planner *p, const struct op *op, const struct input *in)
{
	const struct kernel_row *row =
		kernel_find(p->d, op->kind, in->affine ? CODES_PANELS : FLOAT_PANELS, 1);

	if (cpu_begin(p, op, row, "", cpu_panel_items(&in->panel, 1), op->src) != 0)
		return -1;
	set_live_rows(p, PANELS_FROM, SIZE_MAX);
	if (p->last)
		p->last->tokens = in->panel.width;
	arg_floats(p, op->src);
	arg_input(p, op, in);
	arg_live(p, LIVE_ROWS);
	arg_int(p, in->w->n_in);
	if (in->affine) {
		arg_int(p, in->w->bits);
		arg_int(p, in->w->group);
		arg_int(p, 0);
		arg_int(p, CPU_MOST);
	}
	return launch_end(p);
}

static int multiply_panels(struct planner *p, const struct op *op, const struct op_product *part,
                           const struct input *in)
{
	const struct kernel_row *row =
		kernel_find(p->d, op->kind, in->affine ? CODES_PANEL : FLOAT_PANEL, 1);
	size_t rows = cpu_panel_rows(in->panel.width) * in->n_tiles;

	if (cpu_begin(p, op, row, "", (in->w->n_out + rows - 1) / rows, op->src) != 0)
		return -1;
	set_live_rows(p, PANELS_FROM, SIZE_MAX);
	if (p->last) {
		p->last->name = part->dst->name;
		p->last->tokens = most_rows(p->r, op); /* an item does them all */
	}
	arg_product(p, op, part, in);
	if (in->affine) {
		arg_int(p, in->w->bits);
		arg_int(p, in->w->group);
		arg_int(p, 0);
	}
	arg_int(p, in->n_tiles);
	arg_local(p, cpu_panel_bytes(&in->panel, in->n_tiles));
	return launch_end(p);
}

/* ---- an op */
static int prepare_all(struct planner *p, const struct op *op, const struct input *in)
{
	unsigned step = in->exact ? EXACT_PREPARE : in->affine ? AFFINE_PREPARE : FLOAT_PREPARE;
	size_t most = in->n_tiles ? PANELS_FROM - 1 : SIZE_MAX;

	if (in->one && prepare(p, op, in, ONE_PREPARE, 1, 1) != 0)
		return -1;
	if ((!in->one || most_rows(p->r, op) > 1) &&
	    prepare(p, op, in, step, in->one ? 2 : 1, most) != 0)
		return -1;
	return in->n_tiles && most_rows(p->r, op) >= PANELS_FROM ? prepare_panels(p, op, in) : 0;
}

static int product(struct planner *p, const struct op *op, const struct op_product *part,
                   const struct input *in)
{
	size_t most = most_rows(p->r, op), done = in->affine ? few_tokens(p->d) : 1;

	if (in->exact)
		return multiply(p, op, part, in, EXACT_TILE, 1);
	if (multiply_one(p, op, part, in) != 0)
		return -1;
	if (in->affine && most > 1 && multiply_few(p, op, part, in) != 0)
		return -1;
	if (most > done &&
	    multiply(p, op, part, in, in->affine ? AFFINE_TILE : FLOAT_TILE, done + 1) != 0)
		return -1;
	return in->n_tiles && most >= PANELS_FROM ? multiply_panels(p, op, part, in) : 0;
}

int cpu_products(struct planner *p, const struct op *op)
{
	struct input in[OP_PARTS];

	for (size_t i = 0; i < op->n_parts; i++)
		/* results of a part of the rows would have the wrong stride */
		if (((const struct cl_weight *)op->part[i].w->device)->n_chunks > 1)
			return launch_op(OP_MATMUL)(p, op);
	choose_inputs(in, p->r->x, op);
	for (size_t i = 0; i < op->n_parts; i++) {
		size_t k = 0;

		while (!same_input(&in[k], &in[i]))
			k++;
		if (k == i && prepare_all(p, op, &in[i]) != 0)
			return -1;
	}
	for (size_t i = 0; i < op->n_parts; i++)
		if (product(p, op, &op->part[i], &in[i]) != 0)
			return -1;
	return 0;
}
