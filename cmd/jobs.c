/* SPDX-License-Identifier: MIT */
/* jobs.c - many texts through one batch, given back in order
 *
 * The batch ends its sessions in any order; here each waits for those that
 * came before it. The first in line is shown while it grows, so that one
 * text alone streams. */
#include "jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "answers.h"
#include "cli.h"

struct job *job_new(const struct request *r, struct err *e)
{
	struct job *j = calloc(1, sizeof *j);

	if (!j) {
		err_memory(e, sizeof *j);
		return NULL;
	}
	if (request_copy(&j->request, r, e)) {
		free(j);
		return NULL;
	}
	return j;
}

void job_free(struct job *j)
{
	if (!j)
		return;
	buf_release(&j->id);
	buf_release(&j->text);
	buf_release(&j->out);
	reply_close(j->reply);
	buf_release(&j->reasoning);
	buf_release(&j->calls);
	buf_release(&j->logprobs);
	ids_release(&j->prompt);
	ids_release(&j->made);
	request_release(&j->request);
	free(j);
}

/* ---- events of the batch */

static void add_logprob(struct buf *b, const struct tokenizer *t, int32_t id, float logprob)
{
	buf_printf(b, "{\"id\": %d, \"token\": ", (int)id);
	json_add_string(b, t ? tokenizer_piece(t, id) : (struct bytes){ 0 });
	buf_add_text(b, ", \"logprob\": ");
	json_add_f64(b, (double)logprob);
}

static void add_logprobs(struct job *j, const struct tokenizer *t, const struct token_event *v)
{
	struct buf *b = &j->logprobs;

	if (b->n)
		buf_add_text(b, ", ");
	add_logprob(b, t, v->id, v->logprob);
	buf_add_text(b, ", \"top\": [");
	for (size_t i = 0; i < v->n_top; i++) {
		buf_add_text(b, i ? ", " : "");
		add_logprob(b, t, v->top_id[i], v->top_logprob[i]);
		buf_add_byte(b, '}');
	}
	buf_add_text(b, "]}");
}

static int on_token(void *arg, struct session *s, void *user, const struct token_event *v)
{
	struct jobs *q = arg;
	struct job *j = user;

	(void)s;
	if (!q->made_tokens++)
		q->first_token = cli_seconds();
	if (answer_take(j, v->text, &j->err))
		return -1;
	if ((q->keep_ids || q->keep_cache) && ids_add(&j->made, v->id, &j->err))
		return -1;
	if (j->request.logprobs)
		add_logprobs(j, q->tokenizer, v);
	return buf_check(&j->logprobs, &j->err);
}

static void on_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	struct jobs *q = arg;
	struct job *j = user;
	struct err ignored;

	j->ended = true;
	j->reason = r;
	if (answer_take(j, text, &j->err) || answer_end(j, &j->err))
		j->reason = END_ERROR;
	j->n_prompt = session_prompt_tokens(s);
	j->n_made = session_made_tokens(s);
	j->session = NULL;
	q->prompt_tokens += j->n_prompt;
	if (r == END_ERROR && err)
		j->err = *err;
	else if (r == END_CANCELLED && j->err.kind)
		j->reason = END_ERROR; /* on_token() gave up */
	if (!q->keep_cache || !session_seq(s))
		return;
	if (kv_fork(&q->cache, session_seq(s), &ignored))
		q->cache = NULL;
	q->tail = j->made.n && r != END_STOP ? j->made.id[j->made.n - 1] : -1;
}

struct batch_events jobs_events(struct jobs *q)
{
	return (struct batch_events){ .arg = q, .token = on_token, .end = on_end };
}

/* ---- showing */

void job_put_ids(struct job *j, bool echo)
{
	char text[16];

	for (size_t i = 0; echo && !j->begun && i < j->prompt.n; i++)
		cli_put(text, (size_t)snprintf(text, sizeof text, i ? " %d" : "%d", (int)j->prompt.id[i]));
	for (; j->n_shown < j->made.n; j->n_shown++) {
		bool first = j->n_shown == 0 && !(echo && j->prompt.n);

		cli_put(text, (size_t)snprintf(text, sizeof text, first ? "%d" : " %d",
		                               (int)j->made.id[j->n_shown]));
	}
	if (j->ended)
		cli_puts("\n");
}

void job_put_text(struct job *j, bool echo, struct bytes mark)
{
	if (echo && !j->begun)
		cli_put(j->text.p, j->text.n);
	cli_put(j->out.p, j->out.n);
	buf_clear(&j->out);
	if (j->ended)
		cli_put(mark.p, mark.n);
}

/* ---- the line */

void jobs_add(struct jobs *q, struct job *take_job, struct kv_seq *take_cache)
{
	struct job *j = take_job;

	if (!q->n_added)
		q->began = cli_seconds();
	j->number = ++q->n_added;
	if (q->last)
		q->last->next = j;
	else
		q->first = j;
	q->last = j;
	q->n++;
	if (j->ended) /* it failed before it came here */
		return;
	if (batch_add(q->batch, &j->session, j->prompt.id, j->prompt.n, &j->request, take_cache, j,
	              &j->err)) {
		j->ended = true;
		j->reason = END_ERROR;
	}
}

static void unlink_job(struct jobs *q, struct job **at)
{
	struct job *j = *at;

	*at = j->next;
	if (q->last == j) {
		q->last = q->first;
		while (q->last && q->last->next)
			q->last = q->last->next;
	}
	q->n--;
	q->n_failed += j->reason == END_ERROR;
	job_free(j);
}

void jobs_show(struct jobs *q)
{
	struct job **at = &q->first;

	while (*at) {
		struct job *j = *at;

		if (j->ended ||
		    (j == q->first && (j->out.n || j->reasoning.n || j->made.n > j->n_shown)))
			q->show(q->arg, j);
		if (j->ended)
			unlink_job(q, at);
		else if (q->unordered)
			at = &j->next;
		else
			break;
	}
}

int jobs_step(struct jobs *q, struct err *e)
{
	int rc = batch_active(q->batch) ? batch_step(q->batch, e) : 0;

	jobs_show(q);
	return rc;
}

void jobs_tell(const struct jobs *q, bool one)
{
	double end = cli_seconds(), all = end - q->began, prompt = q->first_token - q->began;
	struct rusage use;
	size_t prompt_tokens = q->prompt_tokens;

	if (!q->n_added)
		return;
	for (const struct job *j = q->first; j; j = j->next)
		prompt_tokens += j->session ? session_prompt_tokens(j->session) : 0;
	getrusage(RUSAGE_SELF, &use);
	if (one && q->made_tokens)
		cli_warn("prompt_tokens=%zu prompt_tps=%.1f made_tokens=%zu made_tps=%.1f "
		         "seconds=%.3f peak_mib=%.1f",
		         prompt_tokens, (double)prompt_tokens / prompt, q->made_tokens,
		         (double)(q->made_tokens - 1) / (end - q->first_token), all,
		         (double)use.ru_maxrss / 1024);
	else
		cli_warn("texts=%zu prompt_tokens=%zu made_tokens=%zu tps=%.1f seconds=%.3f peak_mib=%.1f",
		         q->n_added, prompt_tokens, q->made_tokens,
		         (double)(prompt_tokens + q->made_tokens) / all, all, (double)use.ru_maxrss / 1024);
}

void jobs_release(struct jobs *q)
{
	batch_close(q->batch);
	q->batch = NULL;
	while (q->first)
		unlink_job(q, &q->first);
	kv_seq_close(q->cache);
	q->cache = NULL;
}

void jobs_cut_short(const struct jobs *q, bool ids, struct bytes mark)
{
	if (!q->first || !q->first->begun)
		return;
	if (ids)
		cli_puts("\n");
	else
		cli_put(mark.p, mark.n);
}
