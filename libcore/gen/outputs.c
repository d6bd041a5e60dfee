/* SPDX-License-Identifier: MIT */
/* outputs.c - a pass, and what comes of it for its sessions
 *
 * Of each output its session asks what its next draw takes: an id, a few
 * candidates, or the row. Where what came back does not settle the draw, the
 * row is brought after all, for that session alone. */
#include "gen/outputs.h"

#include <stdlib.h>

#include "gen/draws.h"

struct output {
	int32_t id;
	float logprob;
	bool taken; /* the token is known */
};
struct outputs {
	struct model *model;
	struct draws *draws;     /* NULL: sessions draw for themselves */
	struct ask *ask;         /* [the model's outputs] */
	struct output *output;   /* [most] */
	const float **row;       /* [most]: to draw from, NULL: not from one */
};

int outputs_open(struct outputs **out, struct model *m, size_t most, size_t threads,
                 struct err *e)
{
	struct outputs *o = calloc(1, sizeof *o);

	if (!o)
		return err_memory(e, sizeof *o);
	o->model = m;
	o->ask = calloc(model_max_out(m), sizeof *o->ask);
	o->output = calloc(most, sizeof *o->output);
	o->row = calloc(most, sizeof(const float *));
	if (!o->ask || !o->output || !o->row) {
		err_memory(e, model_max_out(m) * sizeof *o->ask);
		goto fail;
	}
	if (threads > 1 && draws_open(&o->draws, threads, most, model_config(m)->vocab, e))
		goto fail;
	*out = o;
	return 0;
fail:
	outputs_close(o);
	return -1;
}

void outputs_close(struct outputs *o)
{
	if (!o)
		return;
	draws_close(o->draws);
	free(o->ask);
	free(o->output);
	free(o->row);
	free(o);
}

static size_t n_outputs(const struct model_work *w)
{
	return w->want == WANT_ALL ? w->n : w->want == WANT_LAST;
}

static void ask(struct outputs *o, struct session *const *worker, const struct model_work *work,
                size_t n)
{
	for (size_t i = 0, out = 0; i < n; out += n_outputs(&work[i]), i++)
		for (size_t k = 0; k < n_outputs(&work[i]); k++)
			if (work[i].want == WANT_LAST)
				session_ask(worker[i], &o->ask[out]);
			else
				o->ask[out + k] = (struct ask){ 0 };
}

/* The tokens that the answers settle; the rows of the others. */
static int settle(struct outputs *o, struct session *const *worker, const struct model_work *work,
                  size_t n, const struct answer *answer, struct err *e)
{
	for (size_t i = 0, out = 0; i < n; out += n_outputs(&work[i]), i++) {
		struct output *t = &o->output[i];

		*t = (struct output){ 0 };
		o->row[i] = NULL;
		if (work[i].want != WANT_LAST || worker[i]->cancelled)
			continue;
		o->row[i] = answer[out].row;
		if (o->row[i])
			continue;
		t->taken = session_settle(worker[i], &answer[out], &t->id, &t->logprob);
		if (!t->taken && model_row(o->model, out, &o->row[i], e))
			return -1;
	}
	return 0;
}

int outputs_run(struct outputs *o, struct session *const *worker, const struct model_work *work,
                size_t n, struct err *e)
{
	const struct answer *answer;

	ask(o, worker, work, n);
	if (model_run_asked(o->model, work, n, o->ask, &answer, e))
		return -1;
	if (settle(o, worker, work, n, answer, e))
		return -1;
	if (o->draws)
		draws_run(o->draws, worker, o->row, n);
	for (size_t i = 0, out = 0; i < n; out += n_outputs(&work[i]), i++) {
		const struct output *t = &o->output[i];
		float logprob;
		int32_t id;

		if (work[i].want == WANT_NONE || worker[i]->cancelled)
			continue;
		if (work[i].want == WANT_ALL)
			session_score(worker[i], kv_computed(work[i].seq) - work[i].n, work[i].n,
			              answer[out].row);
		else if (t->taken)
			session_take_id(worker[i], t->id, t->logprob);
		else if (o->draws && draws_take(o->draws, i, &id, &logprob))
			session_take_id(worker[i], id, logprob);
		else if (o->row[i])
			session_take(worker[i], o->row[i]);
	}
	return 0;
}
