/* SPDX-License-Identifier: MIT */
/* launch_cpu.c - each op as launches of the CPU rows (kernels/cpu/).
 *
 * There an item is a unit of work and a group; numbers of the step come as
 * arguments. Products are in launch_products.c. */
#include "exec/cpu_rows.h"
#include "exec/launch.h"

#include <stdio.h>
#include <string.h>

enum { STATE_HEAD = 16 };

size_t cpu_type(enum dtype t)
{
	return t == DT_F32 ? CPU_F32 : t == DT_F16 ? CPU_F16 : t == DT_BF16 ? CPU_BF16 :
	       t == DT_F8_E4M3 ? CPU_E4M3 : CPU_E5M2;
}

bool cpu_dots_bytes(const struct opencl *d)
{
#if defined(__x86_64__)
	return d->width == 16 && d->inline_asm && __builtin_cpu_supports("avx512vnni");
#else
	(void)d;
	return false;
#endif
}

const char *cpu_options(char *out, size_t room, const struct opencl *d, const char *more)
{
	snprintf(out, room, "-DWIDTH=%u%s%s%s", d->width, cpu_dots_bytes(d) ? " -DVNNI" : "",
	         d->inline_asm ? "" : " -DNO_ASM", more);
	return out;
}

int cpu_begin(struct planner *p, const struct op *op, const struct kernel_row *row,
              const char *options, size_t groups, const struct slot *s)
{
	char all[128];

	cpu_options(all, sizeof all, p->d, options);
	if (launch_begin(p, op, row, all, groups) != 0)
		return -1;
	if (p->last) {
		p->last->flat = true;
		p->last->out = s->out;
	}
	return 0;
}

void arg_floats(struct planner *p, const struct slot *s)
{
	arg_room(p, ROOM_SCRATCH);
	arg_slot(p, s);
}

void arg_from(struct planner *p, cl_mem m)
{
	arg_mem(p, m);
	arg_at(p, 0);
}

static int cpu_norm(struct planner *p, const struct op *op)
{
	const struct kernel_row *row = kernel_find(p->d, op->kind, 0, 1);
	size_t n = op->w->d.n_in;

	if (cpu_begin(p, op, row, "", op->dst->n / n, op->dst) != 0)
		return -1;
	arg_floats(p, op->src);
	arg_floats(p, op->dst);
	arg_from(p, ((const struct cl_weight *)op->w->device)->chunk[0].data);
	arg_int(p, n);
	arg_float(p, op->eps);
	return launch_end(p);
}

static int cpu_rope(struct planner *p, const struct op *op)
{
	const struct rope *rope = &p->r->rope[op->rope];

	if (cpu_begin(p, op, kernel_find(p->d, op->kind, 0, 1), "", 1, op->dst) != 0)
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

	arg_from(p, c->keys[layer]);
	arg_from(p, kv->layer[layer].v_in_k ? NULL : c->values[layer]);
	arg_int(p, cpu_type(kv->dtype));
	arg_room(p, ROOM_POS);
	arg_room(p, ROOM_SEQ + kv->layer[layer].group);
	arg_room(p, ROOM_TABLE);
	arg_at(p, 1);
}

static int cpu_kv_write(struct planner *p, const struct op *op)
{
	const struct exec_kv_layer *l = &p->r->kv->layer[op->layer];

	if (cpu_begin(p, op, kernel_find(p->d, op->kind, 0, 1), "", l->n_heads, op->src) != 0)
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

	if (cpu_begin(p, op, row, "", l->n_heads, op->dst) != 0)
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

	if (cpu_begin(p, op, row, "", op->att.n_heads, op->dst) != 0)
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
	if (cpu_begin(p, op, kernel_find(p->d, op->kind, 0, 1), "", 1, op->dst) != 0)
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
	[OP_NORM_RMS] = cpu_norm,        [OP_MATMUL] = cpu_products, [OP_ROPE] = cpu_rope,
	[OP_KV_WRITE] = cpu_kv_write,    [OP_ATTENTION] = cpu_attention,
	[OP_GLU] = cpu_elements,         [OP_ADD] = cpu_elements,
	[OP_SCALE] = cpu_elements,
};

int (*launch_cpu_op(enum op_kind kind))(struct planner *p, const struct op *op)
{
	return ops[kind];
}
