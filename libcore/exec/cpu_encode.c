/* SPDX-License-Identifier: MIT */
/* cpu_encode.c - what encoders add, shared out among the threads. */
#include "exec/cpu.h"

struct job {
	const struct cpu_run *run;
	const struct op *op;
	size_t first, n_rows;
};

static void encode_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;
	const struct op *op = j->op;
	uint64_t at = j->first * op->dst->n;

	for (size_t i = begin; i < end; i++)
		d->rows->encode(i, cpu_slot(d, op->src), at, cpu_slot(d, op->src2), at,
		                cpu_slot(d, op->more[0]), at, cpu_slot(d, op->dst), at,
		                (int)j->n_rows, (int)op->n_heads, (int)op->head_dim, op->scale,
		                cpu_own(d, thread));
}

int cpu_encode_plan(struct record *r, struct err *e)
{
	return cpu_own_room(r->x, r->max_rows * sizeof(float), e);
}

void cpu_encode(const struct cpu_run *run, const struct op *op)
{
	for (size_t row = 0, n; row < run->s->n_rows; row += n) {
		struct job j = { run, op, row, n = step_run(run->s, row) };

		pool_for(run->d->pool, n * op->n_heads, cpu_grain(run->d, n * op->n_heads),
		         encode_items, &j);
	}
}

static void norm_runs(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		d->rows->norm_layer(i, cpu_slot(d, j->op->src), 0, cpu_slot(d, j->op->dst), 0,
		                    cpu_vector(j->op->w), cpu_vector(j->op->b), (int)j->op->dst->n,
		                    j->op->eps);
}

void cpu_norm_layer(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op };
	size_t n = slot_rows(op->dst, run->s);

	pool_for(run->d->pool, n, cpu_grain(run->d, n), norm_runs, &j);
}

static void act_blocks(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu *d = j->run->d;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		d->rows->activate(i, cpu_slot(d, j->op->dst), 0, j->n_rows * j->op->dst->n,
		                  (int)j->op->act);
}

void cpu_act(const struct cpu_run *run, const struct op *op)
{
	struct job j = { .run = run, .op = op, .n_rows = slot_rows(op->dst, run->s) };
	size_t n = (j.n_rows * op->dst->n + CPU_BLOCK - 1) / CPU_BLOCK;

	pool_for(run->d->pool, n, cpu_grain(run->d, n), act_blocks, &j);
}
