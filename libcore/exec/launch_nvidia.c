/* SPDX-License-Identifier: MIT */
/* launch_nvidia.c - products of many rows with repacked weights, and attention
 * by pages, as launches of the rows for NVIDIA's matrix units.
 *
 * A product's input is prepared once for all of its parts of one form; where
 * a norm or a gate makes this input and nobody else reads it, the preparation
 * does that too. Prepared inputs lie behind the slots. */
#include "exec/launch.h"

#include <stdio.h>

/* rows of x that tiles of any height may read */
enum { TOKENS_UP = 128 };
/* rows from which on four warps multiply together, where they can */
enum { GROUPED_FROM = 129 };
/* groups of TOKENS_FOUR_SETS that a unit holds well */
enum { FOUR_AT_ONCE = 3 };

static bool tiled(const struct weight *w)
{
	return w->d.form != FORM_FLOAT || w->d.n_out > 1 ?
		((const struct cl_weight *)w->device)->tiled : false;
}

static size_t rows_up(const struct record *r, const struct slot *s)
{
	size_t n = s->out ? r->max_out : r->max_rows;

	return (n + TOKENS_UP - 1) / TOKENS_UP * TOKENS_UP;
}

bool two_planes(const struct weight_desc *w)
{
	return w->form == FORM_FLOAT && w->dtype == DT_BF16;
}

size_t input_floats(const struct weight_desc *w, size_t rows)
{
	return rows * w->n_in / (two_planes(w) ? 1 : 2);
}

size_t tokens_inputs(const struct record *r)
{
	size_t most = 0;

	for (size_t i = 0; i < r->n_ops; i++)
		for (size_t k = 0; r->op[i].kind == OP_MATMUL && k < r->op[i].n_parts; k++) {
			const struct weight *w = r->op[i].part[k].w;
			size_t rows = rows_up(r, r->op[i].src), n = input_floats(&w->d, rows);

			if (w->d.group)
				n += rows * w->d.n_in / w->d.group;
			if (tiled(w) && n > most)
				most = n;
		}
	return most;
}

/* ---- a norm or a gate whose result only the next op reads */
static bool reads(const struct op *op, const struct slot *s)
{
	if (op->src == s || op->src2 == s)
		return true;
	for (size_t i = 0; i < OP_MORE; i++)
		if (op->more[i] == s)
			return true;
	if (op->kind == OP_ROPE || op->kind == OP_ADD)
		return op->dst == s;
	for (size_t i = 0; op->add && i < op->n_parts; i++)
		if (op->part[i].dst == s)
			return true;
	return false;
}

static bool writes(const struct op *op, const struct slot *s)
{
	if (op->dst == s)
		return true;
	for (size_t i = 0; i < op->n_parts; i++)
		if (op->part[i].dst == s)
			return true;
	return false;
}

/* Gates of runs, each for its own product. */
static bool gates_runs(const struct op *made, const struct op *op)
{
	return op->kind == OP_EXPERTS && made->kind == OP_GLU &&
	       op->src->n == op->part[0].w->d.n_in * op->n_used && op->src2 != made->dst;
}

bool tokens_feed(const struct record *r, const struct op *made, const struct op *op)
{
	const struct op *end = r->op + r->n_ops;

	if (op == end || (op->kind != OP_MATMUL && !gates_runs(made, op)) || op->src != made->dst ||
	    r->result == made->dst)
		return false;
	if (made->kind != OP_GLU && (made->kind != OP_NORM_RMS || made->w->d.n_in != made->dst->n))
		return false;
	for (size_t i = 0; i < op->n_parts; i++)
		if (!tiled(op->part[i].w) || writes(op, made->dst))
			return false;
	while (++op < end && !reads(op, made->dst))
		if (writes(op, made->dst))
			return true;
	return op == end;
}

void leave_to_tokens(struct planner *p, const struct op *op)
{
	if (p->last && tokens_feed(p->r, op, op + 1))
		p->last->max_rows = TOKENS_FEW;
}

/* ---- products */
static int plan_prepare(struct planner *p, const struct op *op, const struct weight_desc *w,
                        unsigned step, size_t stride, size_t min_rows, size_t most)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, step, min_rows);
	const struct op *made = op > p->r->op && tokens_feed(p->r, op - 1, op) ? op - 1 : NULL;
	const struct cl_weight *gain = NULL;
	char options[96], group[32] = "";

	if (made && made->kind == OP_NORM_RMS)
		gain = made->w->device;
	if (w->group)
		snprintf(group, sizeof group, " -DGROUP=%u", w->group);
	snprintf(options, sizeof options, "%s%s%s%s", two_planes(w) ? "-DBF16" : "-DF16", group,
	         gain ? " -DNORM" : made ? " -DGLU " : "", made && !gain ? act_options(made) : "");
	if (launch_table(p, op, row, options, row_groups(w->n_in, row)) != 0)
		return -1;
	set_extent(p, op->src);
	if (p->last) {
		p->last->name = op->src->name;
		p->last->min_rows = min_rows;
		p->last->max_rows = most;
	}
	arg_slot(p, made ? made->src : op->src);
	arg_slot(p, made && !gain ? made->src2 : op->src);
	arg_at(p, p->p->input_at);
	arg_at(p, p->p->input_at + input_floats(w, stride));
	arg_int(p, stride);
	arg_int(p, count_at(op->src));
	arg_int(p, op->src->n);
	arg_float(p, gain ? made->eps : 0);
	arg_mem(p, gain ? gain->chunk[0].data : NULL);
	return launch_end(p);
}

static size_t groups_of(const struct piece *piece, size_t n, const struct kernel_row *row)
{
	size_t groups = 0;

	for (size_t i = 0; i < n; i++)
		groups += row_groups(piece[i].chunk->n, row);
	return groups;
}

/* A range of live rows by one kernel row. */
struct range { size_t first, last; const struct kernel_row *row; };

static bool grouped(const struct planner *p, const struct weight_desc *w)
{
	return p->d->can & NEED_HOPPER && !two_planes(w) && w->group <= 64;
}

static bool at_once(const struct planner *p, const struct piece *piece, size_t n,
                    const struct range *o, const struct kernel_row *row, size_t each)
{
	return row && o->row->tokens >= row->tokens &&
	       groups_of(piece, n, row) * ((o->last + row->tokens - 1) / row->tokens) <=
		       each * (size_t)p->r->x->info.units;
}

/* Weights of 4 bits: tiles of many rows for all live rows, as long as every
 * unit gets one. */
static const struct kernel_row *tall(const struct planner *p, const struct piece *piece, size_t n,
                                     const struct range *o)
{
	const struct kernel_row *row = kernel_find(p->d, OP_MATMUL, TOKENS_FOUR, o->first);

	return row && o->last > o->row->tokens &&
		       groups_of(piece, n, row) >= (size_t)p->r->x->info.units ? row : NULL;
}

/* Where few groups would run, sets of warps share the columns, as long as
 * their groups all run at once: of the small ones of 4 bits several to a unit. */
static void choose(struct range *o, const struct planner *p, const struct piece *piece, size_t n,
                   size_t first, size_t most)
{
	const struct weight_desc *w = &piece[0].part->w->d;
	bool four = w->form != FORM_FLOAT && w->bits == 4 && w->group <= 64;
	unsigned step = w->form == FORM_FLOAT ? TOKENS_FLOAT :
	                w->group == 128       ? TOKENS_WIDE : TOKENS_AFFINE;
	unsigned shared = w->form == FORM_FLOAT ? TOKENS_FLOAT_SETS : TOKENS_AFFINE_SETS;
	const struct kernel_row *row;

	if (first >= GROUPED_FROM && grouped(p, w)) {
		step = w->form == FORM_FLOAT ? GROUPED_FLOAT : GROUPED_AFFINE;
		*o = (struct range){ first, most, kernel_find(p->d, OP_MATMUL, step, first) };
		return;
	}

	o->row = kernel_find(p->d, OP_MATMUL, step, first);
	o->first = first;
	o->last = o->row->max_tokens && o->row->max_tokens < most ? o->row->max_tokens : most;
	if (step == TOKENS_WIDE)
		return;
	if (four && (row = tall(p, piece, n, o))) {
		o->row = row;
		return;
	}
	row = four ? kernel_find(p->d, OP_MATMUL, TOKENS_FOUR_SETS, first) : NULL;
	if (at_once(p, piece, n, o, row, FOUR_AT_ONCE)) {
		o->row = row;
		return;
	}
	row = kernel_find(p->d, OP_MATMUL, shared, first);
	if (at_once(p, piece, n, o, row, 1))
		o->row = row;
}

int plan_tokens(struct planner *p, const struct op *op, const struct piece *piece, size_t n,
                size_t min_rows, size_t most)
{
	const struct weight_desc *w = &piece[0].part->w->d;
	size_t stride = rows_up(p->r, op->src);
	size_t plain = grouped(p, w) && most >= GROUPED_FROM ? GROUPED_FROM - 1 : most;
	char form[128], options[160];

	if (min_rows <= plain && plan_prepare(p, op, w, TOKENS_PREPARE, stride, min_rows, plain) != 0)
		return -1;
	if (plain < most && plan_prepare(p, op, w, GROUPED_PREPARE, stride, GROUPED_FROM, most) != 0)
		return -1;
	snprintf(options, sizeof options, "-DPARTS=%zu %s", n,
	         form_options(form, sizeof form, piece[0].part->w));
	while (min_rows <= most) {
		struct range range;

		choose(&range, p, piece, n, min_rows, min_rows <= plain ? plain : most);
		if (launch_table(p, op, range.row, options, groups_of(piece, n, range.row)) != 0)
			return -1;
		set_rows(p, range.row, piece, range.first);
		if (p->last)
			p->last->max_rows = range.last;
		set_extent(p, op->src);
		arg_at(p, p->p->input_at);
		arg_at(p, p->p->input_at + input_floats(w, stride));
		arg_int(p, stride);
		arg_int(p, count_at(op->src));
		arg_int(p, op->src->n);
		arg_int(p, op->add);
		arg_pieces(p, piece, n);
		if (launch_end(p) != 0)
			return -1;
		min_rows = range.last + 1;
	}
	return 0;
}

/* ---- attention */
size_t pages_run(const struct record *r)
{
	size_t least = PAGE_QUERIES;

	for (size_t i = 0; i < r->n_ops; i++)
		if (r->op[i].kind == OP_ATTENTION) {
			size_t share = r->op[i].att.n_heads / r->kv->layer[r->op[i].att.layer].n_heads;
			size_t n = PAGE_QUERIES / share;

			least = n < least ? n : least;
		}
	return least ? least : 1;
}

bool pages_take(const struct planner *p, const struct op *op)
{
	const struct exec_kv_layer *l = &p->r->kv->layer[op->att.layer];

	return p->d->can & NEED_NVIDIA && p->r->kv->dtype == DT_F16 && !op->att.softcap &&
	       !op->att.sinks && !l->v_in_k && l->k_dim % 32 == 0 && l->v_dim % 16 == 0 &&
	       l->k_dim <= 128 && l->v_dim <= 128 &&
	       op->att.n_heads / l->n_heads <= PAGE_QUERIES;
}

int plan_pages(struct planner *p, const struct op *op, unsigned step)
{
	static const unsigned rows[] = {
		[ATTENTION_WHOLE] = PAGES_WHOLE,
		[ATTENTION_SPLIT] = PAGES_SPLIT,
		[ATTENTION_MERGE] = PAGES_MERGE,
	};
	const struct kernel_row *row = kernel_find(p->d, op->kind, rows[step], 1);
	size_t kv_heads = p->r->kv->layer[op->att.layer].n_heads;
	bool merge = step == ATTENTION_MERGE;
	char layer[128], options[160];

	snprintf(options, sizeof options, "-DHEADS=%zu %s", op->att.n_heads,
	         layer_options(layer, sizeof layer, p, op->att.layer));
	if (launch_table(p, op, row, options, merge ? op->att.n_heads : kv_heads) != 0)
		return -1;
	if (p->last) {
		p->last->when = step == ATTENTION_WHOLE ? WHEN_WHOLE : WHEN_SPLIT;
		p->last->spans = step == ATTENTION_SPLIT;
		p->last->runs = !merge;
	}
	if (step == ATTENTION_SPLIT)
		arg_at(p, p->p->part_at);
	else
		arg_slot(p, op->dst);
	if (merge) {
		arg_at(p, p->p->part_at);
		arg_int(p, p->p->pos_at);
		arg_int(p, op->att.window);
		return launch_end(p);
	}
	arg_slot(p, op->src);
	arg_int(p, p->p->run_at);
	arg_places(p, op->att.layer);
	arg_int(p, op->att.window);
	arg_float(p, op->att.scale * 1.44269504088896341f);
	arg_layer(p, op->att.layer);
	return launch_end(p);
}
