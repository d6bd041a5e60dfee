/* SPDX-License-Identifier: MIT */
/* cpu_recur.c - ops that carry a state from position to position: items are
 * parts of a state, each taken through all rows of a sequence. */
#include "exec/cpu.h"

enum { CONV_BLOCK = 64 };      /* as in kernels/cpu/conv.cl */

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
