/* SPDX-License-Identifier: MIT */
/* launch_blas.c - a product as launches for the library: so many rows of its
 * weight made f32 behind the slots, multiplied, and the next; then the bias. */
#include "exec/blas.h"

/* floats of a weight that are unpacked at a time */
enum { UNPACKED = 1 << 24, ANY_ROWS = 1 << 30 };

static bool is_plain(const struct weight *w)
{
	return w->d.form == FORM_FLOAT && ((const struct cl_weight *)w->device)->dtype == DT_F32;
}

static size_t rows_at_once(const struct weight *w)
{
	size_t rows = UNPACKED / w->d.n_in;

	return is_plain(w) ? w->d.n_out : rows ? rows : 1;
}

size_t blas_inputs(const struct record *r)
{
	size_t most = 0;

	for (size_t i = 0; i < r->n_ops; i++)
		for (size_t k = 0; r->op[i].kind == OP_MATMUL && k < r->op[i].n_parts; k++) {
			const struct weight *w = r->op[i].part[k].w;
			size_t rows = rows_at_once(w), n;

			n = (rows < w->d.n_out ? rows : w->d.n_out) * w->d.n_in;
			if (!is_plain(w) && n > most)
				most = n;
		}
	return most;
}

static int plan_unpack(struct planner *p, const struct op *op, const struct piece *piece,
                       size_t first, size_t n)
{
	const struct kernel_row *row = kernel_find(p->d, OP_MATMUL, UNPACK_WEIGHT, 1);
	const struct weight *w = piece->part->w;
	size_t items = n * ((w->d.n_in + 7) / 8);
	char form[128];

	if (launch_table(p, op, row, form_options(form, sizeof form, w),
	                 row_groups(items, row)) != 0)
		return -1;
	if (p->last) {
		p->last->name = piece->part->dst->name;
		p->last->tokens = ANY_ROWS;
	}
	set_extent(p, op->src);
	arg_at(p, p->p->input_at);
	arg_int(p, first);
	arg_int(p, n);
	arg_int(p, w->d.n_in);
	arg_mem(p, piece->chunk->data);
	if (w->d.form == FORM_AFFINE) {
		arg_mem(p, piece->chunk->scales);
		arg_mem(p, piece->chunk->biases);
	}
	return launch_end(p);
}

/* The call of the library, in the place of a launch. */
static int plan_call(struct planner *p, const struct op *op, const struct piece *piece,
                     size_t first, size_t n)
{
	const struct op_product *part = piece->part;
	struct blas_call *c;

	if (p->dry)
		return 0;
	c = arena_new(&p->r->arena, 1, sizeof *c, p->e);
	if (!c)
		return -1;
	*c = (struct blas_call){
		.b = is_plain(part->w) ? piece->chunk->data : NULL,
		.b_at = is_plain(part->w) ? first * part->w->d.n_in : p->p->input_at,
		.x_at = op->src->offset / sizeof(float),
		.y_at = part->dst->offset / sizeof(float) + piece->chunk->first + first,
		.n = n, .k = part->w->d.n_in, .width = part->dst->n, .add = op->add,
	};
	if (launch_call(p, op, c) != 0)
		return -1;
	set_extent(p, op->src);
	return 0;
}

static int plan_bias(struct planner *p, const struct op *op, const struct piece *piece)
{
	const struct kernel_row *row = kernel_find(p->d, OP_MATMUL, UNPACK_BIAS, 1);
	const struct cl_weight *b = piece->part->b->device;

	if (launch_table(p, op, row, "", row_groups(piece->chunk->n, row)) != 0)
		return -1;
	set_extent(p, op->src);
	arg_slot(p, piece->part->dst);
	arg_int(p, count_at(op->src));
	arg_int(p, piece->chunk->n);
	arg_int(p, piece->chunk->first);
	arg_int(p, piece->part->dst->n);
	arg_mem(p, b->chunk[0].data);
	return launch_end(p);
}

static int plan_piece(struct planner *p, const struct op *op, const struct piece *piece)
{
	size_t step = rows_at_once(piece->part->w), all = piece->chunk->n;

	for (size_t at = 0; at < all; at += step) {
		size_t n = step < all - at ? step : all - at;

		if ((!is_plain(piece->part->w) && plan_unpack(p, op, piece, at, n) != 0) ||
		    plan_call(p, op, piece, at, n) != 0)
			return -1;
	}
	return piece->part->b ? plan_bias(p, op, piece) : 0;
}

int plan_blas(struct planner *p, const struct op *op, const struct piece *piece, size_t n,
              size_t first)
{
	struct blas_choice c = {
		.w = piece[0].part->w, .first = first, .lib = p->p->n_launches,
		.most = op->src->out ? p->r->max_out : p->r->max_rows,
	};
	void *array = p->p->choice;

	for (size_t i = 0; i < n; i++) {
		if (plan_piece(p, op, &piece[i]) != 0)
			return -1;
		c.work += piece[i].chunk->n * piece[i].part->w->d.n_in;
	}
	if (p->dry)
		return 0;
	c.end = p->p->n_launches;
	if (record_grow(p->r, &array, p->p->n_choices, &p->p->room_choices, sizeof c) != 0)
		return err_memory(p->e, sizeof c);
	p->p->choice = array;
	p->p->choice[p->p->n_choices++] = c;
	return 0;
}
