/* SPDX-License-Identifier: MIT */
/* launch_ops.c - each op as launches of the portable rows.
 *
 * Every portable kernel takes the step table and the scratch first; places in
 * the scratch are in floats, in the table in words. Groups run along the
 * width, then along the live rows. */
#include "exec/blas.h"

#include <stdio.h>
#include <string.h>

int launch_table(struct planner *p, const struct op *op, const struct kernel_row *row,
                 const char *options, size_t groups)
{
	if (launch_begin(p, op, row, options, groups) != 0)
		return -1;
	arg_room(p, ROOM_TABLE);
	arg_room(p, ROOM_SCRATCH);
	return 0;
}

static const struct kernel_row *only_row(struct planner *p, const struct op *op)
{
	return kernel_find(p->d, op->kind, 0, 1);
}

size_t count_at(const struct slot *s)
{
	return s->out ? STEP_OUT : STEP_ROWS;
}

void set_extent(struct planner *p, const struct slot *s)
{
	if (p->last)
		p->last->out = s->out;
}

const char *form_options(char *out, size_t room, const struct weight *w)
{
	const struct cl_weight *c = w->device;
	const char *scale = w->d.dtype == DT_F32 ? "F32" : w->d.dtype == DT_F16 ? "F16" : "BF16";
	const char *aligned = c->aligned ? " -DALIGNED" : "";

	if (c->tiled && w->d.form == FORM_AFFINE)
		snprintf(out, room, "-DTILED -DW_AFFINE -DBITS=%u -DGROUP=%u -DS_%s", w->d.bits, w->d.group,
		         scale);
	else if (c->tiled)
		snprintf(out, room, "-DTILED -DW_%s", scale);
	else if (w->d.form == FORM_AFFINE)
		snprintf(out, room, "-DW_AFFINE -DBITS=%u -DGROUP=%u -DS_%s%s", w->d.bits, w->d.group,
		         scale, aligned);
	else
		snprintf(out, room, "-DW_%s%s",
		         c->dtype == DT_F32 ? "F32" : c->dtype == DT_F16 ? "F16" :
		         c->dtype == DT_BF16 ? "BF16" : c->dtype == DT_F8_E4M3 ? "E4M3" : "E5M2",
		         aligned);
	return out;
}

static void arg_chunk(struct planner *p, const struct weight *w, const struct chunk *c)
{
	const struct cl_weight *whole = w->device;

	arg_mem(p, c->data);
	if (w->d.form == FORM_AFFINE) {
		arg_mem(p, c->scales);
		if (!whole->tiled)
			arg_mem(p, c->biases);
	}
}

static int plan_embed(struct planner *p, const struct op *op)
{
	const struct cl_weight *c = op->w->device;
	const struct kernel_row *row = kernel_find(p->d, op->kind,
	                                           c->tiled ? EMBED_TILES : EMBED_ROWS, 1);
	char options[128];

	form_options(options, sizeof options, op->w);
	for (size_t i = 0; i < c->n_chunks; i++) {
		if (launch_table(p, op, row, options, row_groups(op->dst->n, row)) != 0)
			return -1;
		arg_slot(p, op->dst);
		arg_int(p, op->by_position ? p->p->pos_at : p->p->token_at);
		arg_int(p, op->dst->n);
		arg_int(p, c->chunk[i].first);
		arg_int(p, c->chunk[i].n);
		arg_chunk(p, op->w, &c->chunk[i]);
		if (launch_end(p) != 0)
			return -1;
	}
	return 0;
}

static int plan_norm(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);
	size_t n = op->w->d.n_in;

	if (launch_table(p, op, row, "", op->dst->n / n) != 0)
		return -1;
	set_extent(p, op->dst);
	leave_to_tokens(p, op);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_int(p, count_at(op->dst));
	arg_int(p, n);
	arg_float(p, op->eps);
	arg_mem(p, ((const struct cl_weight *)op->w->device)->chunk[0].data);
	return launch_end(p);
}

void set_rows(struct planner *p, const struct kernel_row *row, const struct piece *piece,
              size_t min_rows)
{
	if (!p->last)
		return;
	p->last->name = piece->part->dst->name;
	p->last->rows_first = true;
	p->last->min_rows = min_rows;
	p->last->max_rows = row->max_tokens ? row->max_tokens : SIZE_MAX;
}

void arg_pieces(struct planner *p, const struct piece *piece, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct cl_weight *b = piece[i].part->b ? piece[i].part->b->device : NULL;

		arg_slot(p, piece[i].part->dst);
		arg_int(p, piece[i].chunk->n);
		arg_int(p, piece[i].chunk->first);
		arg_int(p, piece[i].part->dst->n);
		arg_mem(p, b ? b->chunk[0].data : NULL);
		arg_chunk(p, piece[i].part->w, piece[i].chunk);
	}
}

/* Products of one form by one row, for min_rows live rows on. */
static int plan_pieces(struct planner *p, const struct op *op, const struct kernel_row *row,
                       const struct piece *piece, size_t n, size_t min_rows)
{
	char form[128], options[160];
	size_t groups = 0;

	for (size_t i = 0; i < n; i++)
		groups += row_groups(piece[i].chunk->n, row);
	snprintf(options, sizeof options, "-DPARTS=%zu %s", n,
	         form_options(form, sizeof form, piece[0].part->w));
	if (launch_table(p, op, row, options, groups) != 0)
		return -1;
	set_rows(p, row, piece, min_rows);
	set_extent(p, op->src);
	arg_slot(p, op->src);
	arg_int(p, count_at(op->src));
	arg_int(p, op->src->n);
	arg_int(p, op->add);
	arg_pieces(p, piece, n);
	return launch_end(p);
}

/* Products of one form, by each row that some count of live rows asks for. */
static int plan_batch(struct planner *p, const struct op *op, const struct piece *piece, size_t n)
{
	const struct weight *w = piece[0].part->w;
	bool tiled = ((const struct cl_weight *)w->device)->tiled;
	unsigned step = tiled ? MATMUL_TILES : w->d.form == FORM_AFFINE ? MATMUL_AFFINE : MATMUL;
	size_t min_rows = 1, most = op->src->out ? p->r->max_out : p->r->max_rows;
	size_t first = p->p->n_launches;

	while (min_rows <= most) {
		const struct kernel_row *row = kernel_find(p->d, op->kind, step, min_rows);

		if (plan_pieces(p, op, row, piece, n, min_rows) != 0)
			return -1;
		if (!row->max_tokens)
			return p->d->blas ? plan_blas(p, op, piece, n, first) : 0;
		min_rows = row->max_tokens + 1;
		if (tiled)
			break;
	}
	return min_rows <= most ? plan_tokens(p, op, piece, n, min_rows, most) : 0;
}

int plan_together(struct planner *p, const struct op *op, bool tiled,
                  int (*plan)(struct planner *p, const struct op *op, const struct piece *piece,
                              size_t n))
{
	struct piece piece[OP_PARTS];
	char form[128], other[128];
	size_t n = 0;

	for (size_t i = 0; i < op->n_parts; i++) {
		const struct cl_weight *c = op->part[i].w->device;

		form_options(form, sizeof form, op->part[i].w);
		for (size_t j = 0; (c->tiled || !tiled) && j < c->n_chunks; j++) {
			if (n == OP_PARTS ||
			    (n > 0 && strcmp(form, form_options(other, sizeof other, piece[0].part->w)))) {
				if (plan(p, op, piece, n) != 0)
					return -1;
				n = 0;
			}
			piece[n++] = (struct piece){ &op->part[i], &c->chunk[j] };
		}
	}
	return n ? plan(p, op, piece, n) : 0;
}

static int plan_matmul(struct planner *p, const struct op *op)
{
	return plan_together(p, op, false, plan_batch);
}

/* ---- the cache */
void arg_layer(struct planner *p, size_t layer)
{
	const struct cl_kv *c = p->r->kv->device;

	arg_mem(p, c->keys[layer]);
	arg_mem(p, p->r->kv->layer[layer].v_in_k ? c->keys[layer] : c->values[layer]);
}

const char *layer_options(char *out, size_t room, const struct planner *p, size_t layer)
{
	const struct exec_kv_layer *l = &p->r->kv->layer[layer];

	snprintf(out, room, "-DKV_HEADS=%zu -DK_DIM=%zu -DV_DIM=%zu -DK_STEP=%zu%s%s", l->n_heads,
	         l->k_dim, l->v_dim, kv_key_step(l), p->r->kv->dtype == DT_F32 ? " -DKV_F32" : "",
	         l->v_in_k ? " -DV_IN_K" : "");
	return out;
}

void arg_places(struct planner *p, size_t layer)
{
	arg_int(p, p->p->pos_at);
	arg_int(p, p->p->row_pages_at + p->r->kv->layer[layer].group * p->p->row_pages_step);
}

static const char *rope_options(char *out, size_t room, const struct rope *rope)
{
	snprintf(out, room, "-DDIMS=%zu%s", rope->dims, rope->interleaved ? " -DINTERLEAVED" : "");
	return out;
}

/* Whether a rope of queries, one of keys and the writing of these follow. */
static bool turns(const struct record *r, const struct op *q)
{
	const struct op *k = q + 1, *w = q + 2;

	return w < r->op + r->n_ops && k->kind == OP_ROPE && w->kind == OP_KV_WRITE &&
	       k->rope == q->rope && k->head_dim == q->head_dim && k->dst != q->dst &&
	       w->src == k->dst && w->src2 != k->dst && w->src2 != q->dst &&
	       r->kv->layer[w->layer].k_dim == k->head_dim;
}

static int plan_turn(struct planner *p, const struct op *q, const struct op *k,
                     const struct op *w)
{
	const struct kernel_row *row = kernel_find(p->d, OP_ROPE, ROPE_TURN, 1);
	char rope[64], layer[128], options[256];

	snprintf(options, sizeof options, "-DHEADS=%zu %s %s", q->n_heads,
	         rope_options(rope, sizeof rope, &p->r->rope[q->rope]),
	         layer_options(layer, sizeof layer, p, w->layer));
	if (launch_table(p, q, row, options, row_groups(q->n_heads + 2 * k->n_heads, row)) != 0)
		return -1;
	arg_slot(p, q->dst);
	arg_slot(p, k->dst);
	arg_slot(p, w->src2);
	arg_int(p, p->p->angle_at[q->rope]);
	arg_places(p, w->layer);
	arg_layer(p, w->layer);
	p->n_taken = 2;
	return launch_end(p);
}

static int plan_rope(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);
	const struct rope *rope = &p->r->rope[op->rope];
	char options[64];

	if (turns(p->r, op))
		return plan_turn(p, op, op + 1, op + 2);
	rope_options(options, sizeof options, rope);
	if (launch_table(p, op, row, options, row_groups(op->n_heads, row)) != 0)
		return -1;
	arg_slot(p, op->dst);
	arg_int(p, p->p->angle_at[op->rope]);
	arg_int(p, op->n_heads);
	arg_int(p, op->head_dim);
	return launch_end(p);
}

static int plan_kv_write(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);
	char options[128];

	layer_options(options, sizeof options, p, op->layer);
	if (launch_table(p, op, row, options, row_groups(op->src->n + op->src2->n, row)) != 0)
		return -1;
	arg_slot(p, op->src);
	arg_slot(p, op->src2);
	arg_places(p, op->layer);
	arg_layer(p, op->layer);
	return launch_end(p);
}

static int plan_attention_step(struct planner *p, const struct op *op, unsigned step)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, step, 1);
	const struct cl_weight *sinks = op->att.sinks ? op->att.sinks->device : NULL;
	char layer[128], cap[40] = "", options[200];

	if (op->att.softcap > 0)
		snprintf(cap, sizeof cap, " -DCAP=%af", (double)op->att.softcap);
	snprintf(options, sizeof options, "-DHEADS=%zu %s%s", op->att.n_heads,
	         layer_options(layer, sizeof layer, p, op->att.layer), cap);
	if (launch_table(p, op, row, options, op->att.n_heads) != 0)
		return -1;
	if (p->last) {
		p->last->when = step == ATTENTION_WHOLE ? WHEN_WHOLE : WHEN_SPLIT;
		p->last->spans = step == ATTENTION_SPLIT;
	}
	if (step == ATTENTION_SPLIT)
		arg_at(p, p->p->part_at);
	else
		arg_slot(p, op->dst);
	if (step == ATTENTION_MERGE) {
		arg_at(p, p->p->part_at);
		arg_int(p, p->p->pos_at);
		arg_int(p, op->att.window);
		arg_mem(p, sinks ? sinks->chunk[0].data : NULL);
		return launch_end(p);
	}
	arg_slot(p, op->src);
	arg_places(p, op->att.layer);
	arg_int(p, op->att.window);
	arg_float(p, op->att.scale);
	arg_layer(p, op->att.layer);
	if (step == ATTENTION_WHOLE)
		arg_mem(p, sinks ? sinks->chunk[0].data : NULL);
	return launch_end(p);
}

static int plan_attention(struct planner *p, const struct op *op)
{
	bool pages = pages_take(p, op);
	unsigned last = p->p->n_parts ? ATTENTION_MERGE : ATTENTION_WHOLE;

	for (unsigned step = ATTENTION_WHOLE; step <= last; step++)
		if ((pages ? plan_pages : plan_attention_step)(p, op, step) != 0)
			return -1;
	return 0;
}

/* ---- elementwise */
const char *act_options(const struct op *op)
{
	static const char *const options[] = {
		[ACT_SILU] = "-DACT_SILU",           [ACT_GELU] = "-DACT_GELU",
		[ACT_GELU_TANH] = "-DACT_GELU_TANH", [ACT_NONE] = "-DACT_NONE",
		[ACT_SIGMOID] = "-DACT_SIGMOID",     [ACT_CLIPPED] = "-DACT_CLIPPED",
	};

	return options[op->act];
}

static int plan_glu(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);

	if (launch_table(p, op, row, act_options(op), row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	leave_to_tokens(p, op);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_slot(p, op->src2);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	return launch_end(p);
}

static int plan_add(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);

	if (launch_table(p, op, row, "", row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	return launch_end(p);
}

static int plan_scale(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);

	if (launch_table(p, op, row, op->cap > 0 ? "-DCAP" : "", row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	arg_float(p, op->scale);
	arg_float(p, op->cap);
	return launch_end(p);
}

static int plan_pick(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);

	if (launch_table(p, op, row, "", row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_slot(p, op->src);
	arg_int(p, p->p->out_at);
	arg_int(p, op->dst->n);
	return launch_end(p);
}

static int plan_gain(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = only_row(p, op);
	char options[32];

	snprintf(options, sizeof options, "%s%s", op->shift ? "-DSHIFT " : "",
	         op->dst->out ? "-DOUTS" : "");
	if (launch_table(p, op, row, options, row_groups(op->dst->n, row)) != 0)
		return -1;
	set_extent(p, op->dst);
	arg_slot(p, op->dst);
	arg_int(p, count_at(op->dst));
	arg_int(p, op->dst->n);
	arg_int(p, p->p->adapter_at);
	arg_int(p, p->p->out_at);
	arg_mem(p, ((const struct cl_weight *)op->w->device)->chunk[0].data);
	if (op->shift)
		arg_mem(p, ((const struct cl_weight *)op->shift->device)->chunk[0].data);
	return launch_end(p);
}

static int (*const ops[OP_COUNT])(struct planner *, const struct op *) = {
	[OP_EMBED] = plan_embed,         [OP_NORM_RMS] = plan_norm, [OP_MATMUL] = plan_matmul,
	[OP_ROPE] = plan_rope,           [OP_KV_WRITE] = plan_kv_write,
	[OP_ATTENTION] = plan_attention, [OP_GLU] = plan_glu,       [OP_ADD] = plan_add,
	[OP_SCALE] = plan_scale,         [OP_PICK] = plan_pick,
	[OP_CONV] = plan_conv,
	[OP_DECAY] = plan_decay,
	[OP_DELTA] = plan_delta,
	[OP_GAIN] = plan_gain,
	[OP_NORM_LAYER] = plan_norm_layer,
	[OP_ACT] = plan_act,
	[OP_ENCODE] = plan_encode,
	[OP_COPY] = plan_copy,           [OP_ROUTE] = plan_route,   [OP_EXPERTS] = plan_experts,
	[OP_MIX] = plan_mix,
};

int (*launch_op(enum op_kind kind))(struct planner *p, const struct op *op)
{
	return ops[kind];
}
