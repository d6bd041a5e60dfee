/* SPDX-License-Identifier: MIT */
/* launch.c - a record as a flat list of launches: the list, and the arguments
 * of a launch. Which launches an op is made of is in launch_ops.c and
 * launch_cpu.c. */
#include "exec/launch.h"

#include <assert.h>
#include <string.h>

/* ---- arguments, in order */
static void arg(struct planner *p, size_t size, const void *value)
{
	if (!p->last)
		return;
	if (!p->status)
		p->status = clSetKernelArg(p->last->kernel, p->n_args, size, value);
	if (value && p->last->flat && p->n_args < MAX_WORDS)
		memcpy(&p->last->word[p->n_args], value, size);
	p->n_args++;
}

void arg_at(struct planner *p, size_t at)
{
	arg(p, sizeof(cl_ulong), &(cl_ulong){ at });
}

void arg_slot(struct planner *p, const struct slot *s)
{
	arg_at(p, s->offset / sizeof(float));
}

void arg_int(struct planner *p, size_t v)
{
	arg(p, sizeof(cl_int), &(cl_int){ (cl_int)v });
}

void arg_float(struct planner *p, float v)
{
	arg(p, sizeof(cl_float), &v);
}

void arg_mem(struct planner *p, cl_mem m)
{
	if (p->last && m && p->n_args < MAX_WORDS)
		p->last->memory |= UINT32_C(1) << p->n_args;
	arg(p, sizeof m, m ? &m : NULL);
}

void arg_local(struct planner *p, size_t n_bytes)
{
	if (p->last)
		p->last->n_local = n_bytes;
	arg(p, n_bytes, NULL);
}

void arg_room(struct planner *p, unsigned room)
{
	struct launch *l = p->last;

	if (!l)
		return;
	assert(l->n_bound < MAX_BINDINGS);
	l->bound[l->n_bound].arg = p->n_args++;
	l->bound[l->n_bound++].room = room;
	if (room >= ROOM_POS && room - ROOM_POS >= p->p->n_places)
		p->p->n_places = room - ROOM_POS + 1;
}

void arg_live(struct planner *p, enum live_number what)
{
	struct launch *l = p->last;

	if (!l)
		return;
	assert(l->n_live < MAX_LIVE);
	l->live[l->n_live].arg = p->n_args++;
	l->live[l->n_live].value = SIZE_MAX;
	l->live[l->n_live++].what = what;
}

void arg_idle(struct planner *p, size_t v)
{
	struct launch *l = p->last;

	if (l) {
		assert(l->n_idle < MAX_IDLE);
		l->idle[l->n_idle].arg = p->n_args;
		l->idle[l->n_idle++].value = (cl_int)v;
	}
	arg_int(p, v);
}

/* ---- launches */
int launch_end(struct planner *p)
{
	if (p->status)
		return cl_fail(p->e, p->status, "argument %u of kernel %s", p->n_args - 1,
		               p->last->row->entry);
	return 0;
}

/* Room for one more. */
static struct launch *launch_room(struct planner *p)
{
	void *array = p->p->launch;

	if (record_grow(p->r, &array, p->p->n_launches, &p->p->room_launches,
	                sizeof *p->p->launch) != 0) {
		err_memory(p->e, sizeof *p->p->launch);
		return NULL;
	}
	p->p->launch = array;
	return &p->p->launch[p->p->n_launches];
}

int launch_call(struct planner *p, const struct op *op, const struct blas_call *c)
{
	struct launch *l = launch_room(p);

	if (!l)
		return -1;
	*l = (struct launch){
		.blas = c, .row = kernel_find(p->d, OP_MATMUL, UNPACK_WEIGHT, 1),
		.name = op->part[0].dst->name, .min_rows = 1, .max_rows = SIZE_MAX,
	};
	p->p->n_launches++;
	p->last = l;
	return 0;
}

int launch_begin(struct planner *p, const struct op *op, const struct kernel_row *row,
                 const char *options, size_t groups)
{
	struct program *program = program_want(p->d, row, options, p->e);
	struct launch *l;

	if (!program)
		return -1;
	p->last = NULL;
	p->status = CL_SUCCESS;
	p->n_args = 0;
	if (p->dry)
		return 0;
	l = launch_room(p);
	if (!l)
		return -1;
	*l = (struct launch){
		.row = row,
		.first = program_first(program, row->step),
		.name = op->dst ? op->dst->name : op->src->name,
		.min_rows = 1,
		.max_rows = SIZE_MAX,
		.groups = groups,
		.tokens = row->tokens,
	};
	l->kernel = program_kernel(program, row->entry, p->e);
	if (!l->kernel)
		return -1;
	p->p->n_launches++;
	p->last = l;
	return 0;
}

size_t row_groups(size_t n, const struct kernel_row *row)
{
	return (n + row->rows - 1) / row->rows;
}

int launches_make(struct record *r, bool dry, struct err *e)
{
	struct planner p = { .r = r, .d = r->x->device, .p = r->plan, .dry = dry, .e = e };

	for (size_t i = 0; i < r->n_ops; i++) {
		const struct op *op = &r->op[i];
		int (*make)(struct planner *, const struct op *) = NULL;

		if (p.d->can & NEED_CPU)
			make = launch_cpu_op(op->kind);
		if (!make)
			make = launch_op(op->kind);
		if (make(&p, op) != 0)
			return -1;
		i += p.n_taken;
		p.n_taken = 0;
	}
	return 0;
}
