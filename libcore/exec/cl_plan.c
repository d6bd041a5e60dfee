/* SPDX-License-Identifier: MIT */
/* cl_plan.c - what a record needs before its first step: the layout of the
 * step table, room for the spans of attention, programs, launches.
 *
 * The table is what changes between steps, in 32-bit words written by one
 * command: four that count (rows, outputs, spans, runs), then arrays over the
 * record's rows (tokens, positions, where each row's pages begin, angles of
 * each rope) and last the page lists, as long as the step's sequences. */
#include <stdlib.h>

#include "exec/blas.h"

/* A split step has at most this many parts: enough to fill a big device. */
enum { MAX_PARTS = 1 << 15 };

size_t span_of(const struct opencl *d)
{
	return d->can & NEED_NVIDIA ? NVIDIA_SPAN : SPAN;
}

static size_t align(const struct record *r, size_t words)
{
	size_t border = ((const struct opencl *)r->x->device)->border / sizeof(int32_t);

	return (words + border - 1) / border * border;
}

/* Positions and page lists begin where a buffer of their own may begin. */
static int plan_table(struct record *r, struct cl_plan *p, struct err *e)
{
	size_t at = STEP_WORDS, n_groups = r->kv ? r->kv->n_groups : 0;

	p->angle_at = arena_new(&r->arena, r->n_ropes, sizeof *p->angle_at, e);
	if (!p->angle_at)
		return -1;
	p->token_at = at;
	p->out_at = at += r->max_rows;
	p->run_at = at += r->max_out;
	p->run_rows = pages_run(r);
	p->pos_at = at = align(r, at + r->max_rows + 1);
	p->row_pages_at = at = align(r, at + r->max_rows);
	p->row_pages_step = align(r, r->max_rows);
	at += n_groups * p->row_pages_step;
	for (size_t i = 0; i < r->n_ropes; i++) {
		p->angle_at[i] = at;
		at += r->max_rows * r->rope[i].dims;
	}
	p->adapter_at = at;
	if (r->n_adapters != INT32_MAX)
		at += r->max_rows;
	p->ask_at = at;
	if (r->asks)
		at += r->max_out * ASK_WORDS;
	p->end_at = at;
	return 0;
}

/* Room for the page lists of a full pool; a step whose sequences share more
 * makes it grow. */
static size_t table_bytes(const struct record *r, const struct cl_plan *p)
{
	size_t words = p->end_at;

	for (size_t g = 0; r->kv && g < r->kv->n_groups; g++)
		words += r->kv->n_pages[g] + r->max_rows;
	return words * sizeof(int32_t);
}

/* Parts of attention lie behind the slots; bytes. */
static size_t plan_parts(struct record *r, struct cl_plan *p)
{
	size_t heads = 0, width = 0, spans = 1;

	for (size_t i = 0; i < r->n_ops; i++) {
		const struct op *op = &r->op[i];
		const struct exec_kv_layer *l;
		size_t s;

		if (op->kind != OP_ATTENTION)
			continue;
		l = &r->kv->layer[op->att.layer];
		s = r->kv->n_pages[l->group] * PAGE_POSITIONS / span_of(r->x->device) + 1;
		heads = op->att.n_heads > heads ? op->att.n_heads : heads;
		width = l->v_dim > width ? l->v_dim : width; /* and a head, rounded up */
		spans = s > spans ? s : spans;
	}
	p->max_heads = heads;
	p->part_at = r->scratch_bytes / sizeof(float);
	if (spans > MAX_PARTS)
		spans = MAX_PARTS;
	p->n_parts = spans > 1 ? r->max_rows * heads * spans : 0;
	if (p->n_parts > MAX_PARTS)
		p->n_parts = MAX_PARTS;
	return p->n_parts * (width + 32) * sizeof(float);
}

static int plan_places(struct record *r, struct cl_plan *p, struct err *e)
{
	p->place = arena_new(&r->arena, p->n_places, sizeof *p->place, e);
	return p->place ? 0 : -1;
}

int opencl_plan(struct record *r, struct err *e)
{
	struct opencl *d = r->x->device;
	struct cl_plan *p = arena_new(&r->arena, 1, sizeof *p, e);
	size_t n_parts, n_inputs = 0, n_result;

	if (!p || plan_table(r, p, e) != 0)
		return -1;
	r->plan = p;
	/* never at the same time: both lie behind the slots */
	n_parts = plan_parts(r, p);
	p->input_at = p->part_at;
	if (d->can & NEED_CPU)
		n_inputs = cpu_inputs(r);
	else if (d->can & NEED_NVIDIA)
		n_inputs = tokens_inputs(r) > experts_inputs(r) ? tokens_inputs(r) : experts_inputs(r);
	else if (d->blas)
		n_inputs = blas_inputs(r);
	n_inputs *= sizeof(float);
	n_parts = n_inputs > n_parts ? n_inputs : n_parts;
	n_result = r->result ? r->max_out * r->result->n * sizeof(float) : 0;
	n_result += RESULT_FLAG;
	if (launches_make(r, true, e) != 0 || persist_make(r, true, e) != 0 ||
	    teams_make(r, true, e) != 0 || best_make(r, true, e) != 0 ||
	    programs_build(d, e) != 0 || launches_make(r, false, e) != 0 ||
	    persist_make(r, false, e) != 0 || teams_make(r, false, e) != 0 ||
	    best_make(r, false, e) != 0 || plan_places(r, p, e) != 0 ||
	    device_rooms(d, r->scratch_bytes + n_parts, table_bytes(r, p), n_result, e) != 0 ||
	    launches_warm(r, e) != 0 || blas_choose(r, e) != 0) {
		opencl_plan_end(r);
		return -1;
	}
	return 0;
}

void opencl_plan_end(struct record *r)
{
	struct cl_plan *p = r->plan;

	for (size_t i = 0; p && i < p->n_launches; i++)
		if (p->launch[i].kernel)
			clReleaseKernel(p->launch[i].kernel);
	for (size_t i = 0; p && p->place && i < p->n_places; i++)
		if (p->place[i])
			clReleaseMemObject(p->place[i]);
	if (p) {
		persist_end(r->x->device, &p->persist);
		teams_end(r->x->device, &p->teams);
		best_end(&p->best);
	}
	r->plan = NULL;
}
