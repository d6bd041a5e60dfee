/* SPDX-License-Identifier: MIT */
/* launch_cpu.c - each op as launches of the CPU rows (kernels/cpu/).
 *
 * There an item is a unit of work and a group; numbers of the step come as
 * arguments. A product prepares its input once for each way in which its
 * parts read it; prepared inputs lie behind the slots. */
#include "exec/cpu_rows.h"
#include "exec/launch.h"

#include <stdio.h>
#include <string.h>

enum { FLOAT_CHUNK = 512, STATE_HEAD = 16 };
/* as in kernels/cpu: types of numbers, and what is done to a result */
enum { STORED_F32, STORED_F16, STORED_BF16, STORED_E4M3, STORED_E5M2 };
enum { MATMUL_ADD = 1, MATMUL_BIAS = 2 };

static size_t stored(enum dtype t)
{
	return t == DT_F32 ? STORED_F32 : t == DT_F16 ? STORED_F16 : t == DT_BF16 ? STORED_BF16 :
	       t == DT_F8_E4M3 ? STORED_E4M3 : STORED_E5M2;
}

bool device_has_vnni(const struct opencl *d)
{
#if defined(__x86_64__)
	return d->width == 16 && __builtin_cpu_supports("avx512vnni");
#else
	(void)d;
	return false;
#endif
}

/* A launch whose items are `groups` for each `tokens` live rows of s. */
static int begin(struct planner *p, const struct op *op, const struct kernel_row *row,
                 const char *options, size_t groups, const struct slot *s)
{
	char all[128];

	snprintf(all, sizeof all, "-DWIDTH=%u%s%s", p->d->width, device_has_vnni(p->d) ? " -DVNNI" : "",
	         options);
	if (launch_begin(p, op, row, all, groups) != 0)
		return -1;
	if (p->last) {
		p->last->flat = true;
		p->last->out = s->out;
	}
	return 0;
}

static void arg_floats(struct planner *p, const struct slot *s)
{
	arg_room(p, ROOM_SCRATCH);
	arg_slot(p, s);
}

static void arg_whole(struct planner *p, cl_mem m)
{
	arg_mem(p, m);
	arg_at(p, 0);
}

static int cpu_norm(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);
	size_t n = op->w->d.n_in;

	if (begin(p, op, row, "", op->dst->n / n, op->dst) != 0)
		return -1;
	arg_floats(p, op->src);
	arg_floats(p, op->dst);
	arg_whole(p, ((const struct cl_weight *)op->w->device)->chunk[0].data);
	arg_int(p, n);
	arg_float(p, op->eps);
	return launch_end(p);
}

/* ---- products */
struct input {
	const struct weight_desc *w;
	bool affine, exact;
	size_t n_chunks, floats; /* a row */
	size_t at;             /* floats before it, a row */
};

static void choose_input(struct input *in, const struct exec *x, const struct weight_desc *w)
{
	size_t width = ((const struct opencl *)x->device)->width, chunk;

	in->w = w;
	in->affine = w->form == FORM_AFFINE;
	in->exact = in->affine && (x->flags & EXEC_EXACT);
	chunk = in->affine ? w->group * width : FLOAT_CHUNK;
	in->n_chunks = (w->n_in + chunk - 1) / chunk;
	in->floats = in->n_chunks *
	             (!in->affine ? FLOAT_CHUNK : width * (in->exact ? w->group : w->group / 2 + 2));
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

size_t cpu_inputs(const struct record *r)
{
	struct input in[OP_PARTS];
	size_t most = 0;

	for (size_t i = 0; i < r->n_ops; i++) {
		size_t n;

		if (r->op[i].kind != OP_MATMUL)
			continue;
		n = choose_inputs(in, r->x, &r->op[i]) * most_rows(r, &r->op[i]);
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
	arg_at(p, p->p->input_at + in->at * most_rows(p->r, op));
}

static int prepare(struct planner *p, const struct op *op, const struct input *in)
{
	unsigned step = in->exact ? EXACT_PREPARE : in->affine ? AFFINE_PREPARE : FLOAT_PREPARE;
	char form[64];

	form_option(form, sizeof form, in);
	if (begin(p, op, kernel_find(p->d, op->kind, step, 1), form, in->n_chunks, op->src) != 0)
		return -1;
	arg_floats(p, op->src);
	arg_input(p, op, in);
	arg_live(p, LIVE_ROWS);
	arg_int(p, in->w->n_in);
	if (step == AFFINE_PREPARE)
		arg_int(p, CPU_MOST);
	return launch_end(p);
}

/* Tokens of a tile whose sums and weights fit a group's memory. */
static size_t tile_tokens(const struct opencl *d, const struct kernel_row *row,
                          const struct input *in, size_t *n_bytes)
{
	size_t tokens = row->tokens;

	while ((*n_bytes = row->rows * (in->floats / in->n_chunks + tokens * d->width) *
	        sizeof(float)) > d->local_memory && tokens > 1)
		tokens /= 2;
	return tokens;
}

static int multiply(struct planner *p, const struct op *op, const struct op_product *part,
                    const struct input *in, const struct kernel_row *row, size_t min_rows)
{
	const struct chunk *c = ((const struct cl_weight *)part->w->device)->chunk;
	const struct cl_weight *b = part->b ? part->b->device : NULL;
	size_t n_bytes, tokens = tile_tokens(p->d, row, in, &n_bytes);
	bool tile = row->tokens > 1;
	char form[64];

	form_option(form, sizeof form, in);
	if (begin(p, op, row, form, row_groups(in->w->n_out, row), op->src) != 0)
		return -1;
	if (p->last) {
		p->last->name = part->dst->name;
		p->last->min_rows = min_rows;
		p->last->max_rows = row->max_tokens ? row->max_tokens : SIZE_MAX;
		p->last->tokens = tile ? tokens : 1;
	}
	arg_whole(p, c->data);
	if (in->affine) {
		arg_whole(p, c->scales);
		arg_whole(p, c->biases);
	}
	arg_int(p, stored(((const struct cl_weight *)part->w->device)->dtype));
	arg_input(p, op, in);
	arg_floats(p, part->dst);
	arg_whole(p, b ? b->chunk[0].data : NULL);
	arg_int(p, (op->add ? MATMUL_ADD : 0) | (b ? MATMUL_BIAS : 0));
	arg_live(p, LIVE_ROWS);
	arg_int(p, in->w->n_out);
	arg_int(p, in->w->n_in);
	arg_int(p, row->rows);
	if (tile) {
		arg_int(p, tokens);
		arg_local(p, n_bytes);
	}
	return launch_end(p);
}

static int product(struct planner *p, const struct op *op, const struct op_product *part,
                   const struct input *in)
{
	unsigned vec = in->affine ? AFFINE_VEC : FLOAT_VEC;
	unsigned tile = in->affine ? AFFINE_TILE : FLOAT_TILE;
	size_t min_rows = 1;

	if (in->exact)
		return multiply(p, op, part, in, kernel_find(p->d, op->kind, EXACT_TILE, 1), 1);
	if (multiply(p, op, part, in, kernel_find(p->d, op->kind, vec, 1), min_rows) != 0)
		return -1;
	if (most_rows(p->r, op) == 1)
		return 0;
	return multiply(p, op, part, in, kernel_find(p->d, op->kind, tile, 2), min_rows + 1);
}

static int cpu_matmul(struct planner *p, const struct op *op)
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
		if (k == i && prepare(p, op, &in[i]) != 0)
			return -1;
	}
	for (size_t i = 0; i < op->n_parts; i++)
		if (product(p, op, &op->part[i], &in[i]) != 0)
			return -1;
	return 0;
}

static int cpu_rope(struct planner *p, const struct op *op)
{
	const struct rope *rope = &p->r->rope[op->rope];

	if (begin(p, op, kernel_find(p->d, op->kind, 0, 1), "", 1, op->dst) != 0)
		return -1;
	arg_floats(p, op->dst);
	arg_room(p, ROOM_TABLE);
	arg_at(p, p->p->angle_at[op->rope]);
	arg_int(p, op->n_heads);
	arg_int(p, op->head_dim);
	arg_int(p, rope->dims);
	arg_int(p, rope->interleaved);
	return launch_end(p);
}

/* ---- the cache. A row's sequence is the word where its pages begin, and the
 * step table is the table of pages. */
static void arg_cache(struct planner *p, size_t layer)
{
	const struct exec_kv *kv = p->r->kv;
	const struct cl_kv *c = kv->device;

	arg_whole(p, c->keys[layer]);
	arg_whole(p, kv->layer[layer].v_in_k ? NULL : c->values[layer]);
	arg_int(p, stored(kv->dtype));
	arg_room(p, ROOM_POS);
	arg_room(p, ROOM_SEQ + kv->layer[layer].group);
	arg_room(p, ROOM_TABLE);
	arg_at(p, 1);
}

static int cpu_kv_write(struct planner *p, const struct op *op)
{
	const struct exec_kv_layer *l = &p->r->kv->layer[op->layer];

	if (begin(p, op, kernel_find(p->d, op->kind, 0, 1), "", l->n_heads, op->src) != 0)
		return -1;
	arg_floats(p, op->src);
	arg_floats(p, op->src2);
	arg_cache(p, op->layer);
	arg_int(p, l->n_heads);
	arg_idle(p, l->k_dim);
	arg_idle(p, l->v_in_k ? 0 : l->v_dim);
	return launch_end(p);
}

static size_t state_floats(const struct exec_kv_layer *l)
{
	return STATE_HEAD + (l->v_dim + 15) / 16 * 16;
}

static void arg_sinks(struct planner *p, const struct op *op)
{
	const struct cl_weight *s = op->att.sinks ? op->att.sinks->device : NULL;

	arg_mem(p, s ? s->chunk[0].data : NULL);
}

static int attend(struct planner *p, const struct op *op, unsigned step)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, step, 1);
	const struct exec_kv_layer *l = &p->r->kv->layer[op->att.layer];
	bool split = step == ATTENTION_SPLIT;

	if (begin(p, op, row, "", l->n_heads, op->dst) != 0)
		return -1;
	if (p->last) {
		p->last->when = split ? WHEN_SPLIT : WHEN_WHOLE;
		p->last->spans = split;
		p->last->tokens = split;
	}
	arg_floats(p, op->src);
	arg_floats(p, op->dst);
	arg_cache(p, op->att.layer);
	arg_live(p, LIVE_ROWS);
	arg_int(p, op->att.n_heads);
	arg_int(p, l->n_heads);
	arg_int(p, l->k_dim);
	arg_int(p, l->v_dim);
	arg_float(p, op->att.scale);
	arg_float(p, op->att.softcap);
	arg_int(p, op->att.window);
	arg_live(p, LIVE_TILE);
	if (split)
		arg_live(p, LIVE_SPANS);
	else
		arg_int(p, 0);
	arg_room(p, ROOM_SCRATCH);
	arg_at(p, p->p->part_at);
	arg_sinks(p, op);
	arg_local(p, row->tokens * (op->att.n_heads / l->n_heads) * 2 * state_floats(l) *
	          sizeof(float));
	return launch_end(p);
}

static int merge(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, ATTENTION_MERGE, 1);
	const struct exec_kv_layer *l = &p->r->kv->layer[op->att.layer];

	if (begin(p, op, row, "", op->att.n_heads, op->dst) != 0)
		return -1;
	if (p->last)
		p->last->when = WHEN_SPLIT;
	arg_room(p, ROOM_SCRATCH);
	arg_at(p, p->p->part_at);
	arg_floats(p, op->dst);
	arg_room(p, ROOM_POS);
	arg_int(p, op->att.n_heads);
	arg_int(p, l->v_dim);
	arg_int(p, op->att.window);
	arg_live(p, LIVE_SPANS);
	arg_sinks(p, op);
	arg_local(p, 2 * state_floats(l) * sizeof(float));
	return launch_end(p);
}

static int cpu_attention(struct planner *p, const struct op *op)
{
	if (attend(p, op, ATTENTION_WHOLE) != 0)
		return -1;
	if (!p->p->n_parts)
		return 0;
	return attend(p, op, ATTENTION_SPLIT) != 0 ? -1 : merge(p, op);
}

/* ---- elementwise: items over all elements of the live rows */
static int cpu_elements(struct planner *p, const struct op *op)
{
	if (begin(p, op, kernel_find(p->d, op->kind, 0, 1), "", 1, op->dst) != 0)
		return -1;
	if (p->last)
		p->last->width = op->dst->n;
	if (op->kind != OP_SCALE)
		arg_floats(p, op->src);
	if (op->kind == OP_GLU)
		arg_floats(p, op->src2);
	arg_floats(p, op->dst);
	arg_live(p, LIVE_ELEMENTS);
	if (op->kind == OP_GLU)
		arg_int(p, op->act);
	if (op->kind == OP_SCALE) {
		arg_float(p, op->scale);
		arg_float(p, op->cap);
	}
	return launch_end(p);
}

static int (*const ops[OP_COUNT])(struct planner *, const struct op *) = {
	[OP_NORM_RMS] = cpu_norm,        [OP_MATMUL] = cpu_matmul, [OP_ROPE] = cpu_rope,
	[OP_KV_WRITE] = cpu_kv_write,    [OP_ATTENTION] = cpu_attention,
	[OP_GLU] = cpu_elements,         [OP_ADD] = cpu_elements,
	[OP_SCALE] = cpu_elements,
};

int (*launch_cpu_op(enum op_kind kind))(struct planner *p, const struct op *op)
{
	return ops[kind];
}
