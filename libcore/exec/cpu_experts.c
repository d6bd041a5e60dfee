/* SPDX-License-Identifier: MIT */
/* cpu_experts.c - products with stacks of matrices, on all threads at once.
 *
 * Runs (a row and one of the matrices it takes) are put in order of their
 * matrices, so that each matrix that is wanted is read once for all its rows,
 * and none that is not. Inputs of more than one run are gathered, prepared
 * and multiplied as rows of their own; results go back to where they belong.
 * A run's bits do not depend on the others: the products see to that. */
#include <string.h>

#include "exec/cpu.h"

enum { VEC_ROWS = 16, FEW_ROWS = 16, TILE_ROWS = 32, TILE_TOKENS = 128 };

struct part {
	const struct weight *w;
	struct slot *dst;
	const float *bias;
	const struct cpu_affine *rows; /* NULL: floats */
	bool exact;
	size_t n_chunks, run_bytes;    /* of an input; prepared */
	size_t input;                  /* the first part that reads its input alike */
	size_t q_at, y_at;             /* bytes of the room before them */
};
struct plan {
	struct part part[OP_PARTS];
	size_t x_at, group_at;         /* gathered inputs; the groups */
	size_t n_most;                 /* groups at most */
};
/* The runs of one matrix; the items of its products end there. */
struct group {
	size_t matrix, first, n;
	size_t end[OP_PARTS];
};
struct job {
	const struct cpu_run *run;
	const struct op *op;
	const struct plan *plan;
	struct group *group;
	int32_t *order;                /* [n_runs]: runs by matrix */
	size_t n_groups, n_runs, few;
};

/* Returns bytes of a thread's own memory. */
static size_t choose(struct part *p, const struct op_product *from, const struct exec *x)
{
	const struct cpu *d = x->device;
	const struct weight_desc *w = &from->w->d;
	size_t width = (size_t)d->rows->width, chunk, vectors;

	p->w = from->w;
	p->dst = from->dst;
	p->bias = from->b ? cpu_vector(from->b) : NULL;
	p->rows = w->form == FORM_AFFINE ? cpu_affine_rows(d, w) : NULL;
	p->exact = p->rows && (x->flags & EXEC_EXACT);
	chunk = p->rows ? w->group * width : CPU_FLOAT_CHUNK;
	vectors = !p->rows ? chunk / width : p->exact ? w->group : w->group / 2 + 2;
	p->n_chunks = (w->n_in + chunk - 1) / chunk;
	p->run_bytes = p->n_chunks * vectors * width * sizeof(float);
	return TILE_ROWS * (vectors + TILE_TOKENS) * width * sizeof(float);
}

static size_t room_of(size_t n)
{
	return (n + 63) / 64 * 64;
}

int cpu_experts_plan(struct record *r, struct op *op, struct err *e)
{
	struct plan *plan = arena_new(&r->arena, 1, sizeof *plan, e);
	size_t runs = (op->src->out ? r->max_out : r->max_rows) * op->n_used, at, n_in;

	if (!plan)
		return -1;
	op->plan = plan;
	n_in = op->part[0].w->d.n_in;
	plan->n_most = op->part[0].w->d.n_stack < runs ? op->part[0].w->d.n_stack : runs;
	plan->group_at = room_of(runs * sizeof(int32_t));
	plan->x_at = plan->group_at + room_of(plan->n_most * sizeof(struct group));
	at = plan->x_at + room_of(runs * n_in * sizeof(float));
	for (size_t i = 0; i < op->n_parts; i++) {
		struct part *p = &plan->part[i];
		size_t own = choose(p, &op->part[i], r->x), k = 0;

		while (plan->part[k].rows != p->rows)
			k++;
		p->input = k;
		p->q_at = k < i ? plan->part[k].q_at : at;
		at += k < i ? 0 : room_of(runs * p->run_bytes);
		p->y_at = at;
		at += room_of(runs * p->w->d.n_out / p->w->d.n_stack * sizeof(float));
		if (cpu_own_room(r->x, own, e) != 0)
			return -1;
	}
	return cpu_room(r->x, &((struct cpu *)r->x->device)->inputs, at, e);
}

/* ---- runs in order of their matrices, each matrix's in rising order */
static size_t matrix_of(const struct job *j, size_t run)
{
	size_t n = j->op->n_used;

	if (!j->op->src2)
		return run % n;
	return (size_t)cpu_slot(j->run->d, j->op->src2)[run / n * 2 * n + run % n];
}

static void put_in_order(struct job *j)
{
	int32_t first[MOST_EXPERTS + 1] = { 0 };
	size_t n = j->op->part[0].w->d.n_stack;

	for (size_t i = 0; i < j->n_runs; i++)
		first[matrix_of(j, i) + 1]++;
	for (size_t m = 0; m < n; m++) {
		if (first[m + 1])
			j->group[j->n_groups++] = (struct group){
				.matrix = m, .first = (size_t)first[m], .n = (size_t)first[m + 1] };
		first[m + 1] += first[m];
	}
	for (size_t i = 0; i < j->n_runs; i++)
		j->order[first[matrix_of(j, i)]++] = (int32_t)i;
}

static float *input_of(const struct job *j, size_t run)
{
	size_t n = j->op->part[0].w->d.n_in, row = run / j->op->n_used;
	bool shared = j->op->src->n == n && j->op->n_used > 1;

	return cpu_slot(j->run->d, j->op->src) + (shared ? row : run) * n;
}

/* Whether a matrix has one run, which is read and written in place. */
static bool alone(const struct group *g)
{
	return g->n == 1;
}

static void prepare_groups(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;
	size_t n_in = j->op->part[0].w->d.n_in;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		const struct group *g = &j->group[i];
		float *x = (float *)(void *)(d->inputs.p + j->plan->x_at) + g->first * n_in;

		for (size_t k = 0; !alone(g) && k < g->n; k++)
			memcpy(x + k * n_in, input_of(j, (size_t)j->order[g->first + k]),
			       n_in * sizeof *x);
		if (alone(g))
			x = input_of(j, (size_t)j->order[g->first]);
		for (size_t k = 0; k < j->op->n_parts; k++) {
			const struct part *p = &j->plan->part[k];
			void *q = d->inputs.p + p->q_at + g->first * p->run_bytes;

			for (size_t c = 0; p->input == k && c < p->n_chunks * g->n; c++)
				if (!p->rows)
					d->rows->float_prepare(c, x, 0, q, 0, (int)g->n, (int)n_in);
				else if (p->exact)
					p->rows->prepare_exact(c, x, 0, q, 0, (int)g->n, (int)n_in);
				else
					(alone(g) ? p->rows->prepare_one : p->rows->prepare)(
						c, x, 0, q, 0, (int)g->n, (int)n_in, CPU_MOST);
		}
	}
}

/* Weight rows of an item, and items of a group's product. */
static size_t block_of(const struct job *j, const struct part *p, const struct group *g)
{
	if (alone(g) && !p->exact)
		return VEC_ROWS;
	return p->rows && !p->exact && g->n <= j->few ? FEW_ROWS : TILE_ROWS;
}

static size_t count_items(const struct job *j, const struct part *p, const struct group *g)
{
	size_t block = block_of(j, p, g), n = p->w->d.n_out / p->w->d.n_stack;
	bool tiles = block == TILE_ROWS;

	return (n + block - 1) / block * (tiles ? (g->n + TILE_TOKENS - 1) / TILE_TOKENS : 1);
}

static void item(const struct job *j, size_t k, const struct group *g, size_t i, void *own)
{
	const struct part *p = &j->plan->part[k];
	const struct weight_desc *w = &p->w->d;
	const struct cpu *d = j->run->d;
	size_t n = w->n_out / w->n_stack, row = g->matrix * n;
	struct weight_piece m = weight_rows(w, &row);
	const unsigned char *data = (const unsigned char *)m.data + row * weight_row_bytes(w);
	const unsigned char *s = m.scales, *z = m.biases;
	size_t scale = row * weight_scale_bytes(w);
	void *q = d->inputs.p + p->q_at + g->first * p->run_bytes;
	float *y = alone(g) ? cpu_slot(d, p->dst) + (size_t)j->order[g->first] * n :
	                      (float *)(void *)(d->inputs.p + p->y_at) + g->first * n;
	const float *bias = p->bias ? p->bias + g->matrix * n : NULL;
	int flags = (bias ? CPU_BIAS : 0) | d->fetch;
	int rows = (int)g->n, n_out = (int)n, n_in = (int)w->n_in;
	int type = cpu_stored(w->dtype);

	if (!p->rows && alone(g))
		d->rows->float_vec(i, data, 0, type, q, 0, y, 0, bias, 0, flags, rows, n_out, n_in,
		                   VEC_ROWS);
	else if (!p->rows)
		d->rows->float_tile(i, data, 0, type, q, 0, y, 0, bias, 0, flags, rows, n_out, n_in,
		                    TILE_ROWS, TILE_TOKENS, own);
	else if (p->exact)
		p->rows->exact(i, data, 0, s + scale, 0, z + scale, 0, type, q, 0, y, 0, bias, 0,
		               flags, rows, n_out, n_in, TILE_ROWS, TILE_TOKENS, own);
	else if (alone(g))
		p->rows->vec(i, data, 0, s + scale, 0, z + scale, 0, type, q, 0, y, 0, bias, 0,
		             flags, rows, n_out, n_in, VEC_ROWS);
	else if (g->n <= j->few)
		p->rows->few(i, data, 0, s + scale, 0, z + scale, 0, type, q, 0, y, 0, bias, 0,
		             flags, rows, n_out, n_in, FEW_ROWS, own);
	else
		p->rows->tile(i, data, 0, s + scale, 0, z + scale, 0, type, q, 0, y, 0, bias, 0,
		              flags, rows, n_out, n_in, TILE_ROWS, TILE_TOKENS, own);
}

static void product_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	void *own = cpu_own(j->run->d, thread);
	const struct group *g = j->group;
	size_t last = j->op->n_parts - 1, before = 0;

	for (size_t i = begin; i < end; i++) {
		size_t k = 0;

		while (i >= g->end[last])
			before = (g++)->end[last];
		while (i >= g->end[k])
			k++;
		item(j, k, g, i - (k ? g->end[k - 1] : before), own);
	}
}

static void scatter_groups(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		const struct group *g = &j->group[i];

		for (size_t k = 0; !alone(g) && k < j->op->n_parts; k++) {
			const struct part *p = &j->plan->part[k];
			size_t n = p->w->d.n_out / p->w->d.n_stack;
			const float *y = (const float *)(void *)(d->inputs.p + p->y_at) +
			                 g->first * n;

			for (size_t r = 0; r < g->n; r++)
				memcpy(cpu_slot(d, p->dst) + (size_t)j->order[g->first + r] * n,
				       y + r * n, n * sizeof *y);
		}
	}
}

void cpu_experts(const struct cpu_run *run, const struct op *op)
{
	const struct plan *plan = op->plan;
	struct cpu *d = run->d;
	struct job j = {
		.run = run,
		.op = op,
		.plan = plan,
		.group = (struct group *)(void *)(d->inputs.p + plan->group_at),
		.order = (int32_t *)(void *)d->inputs.p,
		.n_runs = slot_rows(op->src, run->s) * op->n_used,
		.few = d->rows->width == 16 ? 8 : 4,
	};
	size_t n = 0;

	if (!j.n_runs)
		return;
	put_in_order(&j);
	for (size_t i = 0; i < j.n_groups; i++)
		for (size_t k = 0; k < op->n_parts; k++)
			j.group[i].end[k] = n += count_items(&j, &plan->part[k], &j.group[i]);
	pool_for(d->pool, j.n_groups, cpu_grain(d, j.n_groups), prepare_groups, &j);
	pool_for(d->pool, n, cpu_grain(d, n), product_items, &j);
	if (j.n_runs > j.n_groups)
		pool_for(d->pool, j.n_groups, cpu_grain(d, j.n_groups), scatter_groups, &j);
}
