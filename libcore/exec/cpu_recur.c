/* SPDX-License-Identifier: MIT */
/* cpu_recur.c - ops that carry a state from position to position: items are
 * parts of a state, each taken through all rows of a sequence. */
#include "exec/cpu.h"

enum { CONV_BLOCK = 64, DELTA_BLOCK = 32 }; /* as in kernels/cpu/conv.cl, delta.cl */

struct job {
	const struct cpu_run *run;
	const struct op *op;
};

/* Items of one part for all rows, so that sequences spread over threads: those
 * of rows that begin none are empty. */
static void share(struct job *j, size_t n_parts,
                  void (*work)(void *arg, size_t begin, size_t end, int thread))
{
	size_t n = n_parts * j->run->s->n_rows;

	pool_for(j->run->d->pool, n, cpu_grain(j->run->d, n), work, j);
}

static void conv_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu_run *run = j->run;
	const struct op *op = j->op;
	const struct step *s = run->s;
	const struct exec_kv_layer *l = &run->r->kv->layer[op->layer];
	const struct cpu_kv *pages = (const struct cpu_kv *)run->r->kv->device + op->layer;
	size_t n = op->dst->n;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		size_t row = i % s->n_rows, n_rows = step_run(s, row);

		if (n_rows)
			run->d->rows->conv(i / s->n_rows, cpu_slot(run->d, op->src), row * n,
			                   cpu_slot(run->d, op->dst), row * n, cpu_vector(op->w), 0,
			                   (float *)(void *)pages->keys, exec_kv_state(l, op->conv.part),
			                   exec_kv_state(l, KV_STATES),
			                   s->pages[l->group * s->n_seqs + (size_t)s->seq[row]],
			                   s->pos[row], (int)n_rows, (int)n, (int)op->conv.taps,
			                   (int)op->act);
	}
}

void cpu_conv(const struct cpu_run *run, const struct op *op)
{
	struct job j = { run, op };

	share(&j, (op->dst->n + CONV_BLOCK - 1) / CONV_BLOCK, conv_items);
}

static void delta_items(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	const struct cpu_run *run = j->run;
	const struct delta *d = &j->op->delta;
	const struct step *s = run->s;
	const struct exec_kv_layer *l = &run->r->kv->layer[d->layer];
	const struct cpu_kv *pages = (const struct cpu_kv *)run->r->kv->device + d->layer;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		size_t row = i % s->n_rows, n_rows = step_run(s, row);

		if (!n_rows)
			continue;
		run->d->rows->delta(i / s->n_rows, cpu_slot(run->d, d->q) + row * d->q->n + d->q_at,
		                    d->q->n, cpu_slot(run->d, d->k) + row * d->k->n + d->k_at, d->k->n,
		                    cpu_slot(run->d, d->v) + row * d->v->n + d->v_at, d->v->n,
		                    cpu_slot(run->d, d->decay) + row * d->decay->n,
		                    d->decay->n > d->n_heads,
		                    cpu_slot(run->d, d->beta) + row * d->n_heads,
		                    cpu_slot(run->d, j->op->dst) + row * j->op->dst->n,
		                    (float *)(void *)pages->keys, exec_kv_state(l, d->part),
		                    exec_kv_state(l, KV_STATES),
		                    s->pages[l->group * s->n_seqs + (size_t)s->seq[row]], s->pos[row],
		                    (int)n_rows, (int)d->n_heads, (int)(d->n_heads / d->n_key_heads),
		                    (int)d->k_dim, (int)d->v_dim, d->eps);
	}
}

void cpu_delta(const struct cpu_run *run, const struct op *op)
{
	struct job j = { run, op };

	share(&j, op->delta.n_heads * ((op->delta.v_dim + DELTA_BLOCK - 1) / DELTA_BLOCK),
	      delta_items);
}

static void decay_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct job *j = arg;
	size_t heads = j->op->w->d.n_in;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		j->run->d->rows->decay(i, cpu_slot(j->run->d, j->op->dst), 0, cpu_vector(j->op->w),
		                       cpu_vector(j->op->b), (int)heads, (int)(j->op->dst->n / heads));
}

void cpu_decay(const struct cpu_run *run, const struct op *op)
{
	struct job j = { run, op };
	size_t n = slot_rows(op->dst, run->s);

	pool_for(run->d->pool, n, cpu_grain(run->d, n), decay_rows, &j);
}
