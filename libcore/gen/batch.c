/* SPDX-License-Identifier: MIT */
/* batch.c - many sessions in one pass (continuous batching)
 *
 * Each pass carries one row for every session that decodes, and as many rows
 * of prompts beside them as a chunk allows, prompts taking turns. Sessions
 * come and go between passes. A row's bits depend on its own session alone,
 * so who runs together, how prompts are cut, and who had to give way changes
 * no token. Yu et al., 2022, "Orca"; Agrawal et al., 2023, arXiv:2308.16369 */
#include "gen/batch.h"

#include <stdlib.h>
#include <string.h>

enum { PRIORITIES = 100, PRIORITY_STEP = 64 };
enum { DEFAULT_SESSIONS = 64, DEFAULT_CHUNK = 512, GROWTH = PAGE_POSITIONS };

/* ---- open, close */

int batch_open(struct batch **out, struct model *m, const struct tokenizer *t,
               const struct batch_options *o, const struct batch_events *ev, struct err *e)
{
	struct batch *b = calloc(1, sizeof *b);
	size_t n = o->max_sessions ? o->max_sessions : DEFAULT_SESSIONS;

	if (!b)
		return err_memory(e, sizeof *b);
	/* every running session may want an output, and a row must be left
	 * for a prompt: it has an output, and so a row, of its own */
	b->max_sessions = n < model_max_out(m) ? n : model_max_out(m);
	/* an output that no session can want in the same pass */
	b->max_told = model_max_out(m) - b->max_sessions + 1;
	b->chunk = o->chunk ? o->chunk : DEFAULT_CHUNK;
	b->paced = o->paced;
	pace_init(&b->pace);
	latency_init(&b->latency, o->target, b->max_sessions);
	b->last = &b->first;
	b->running = calloc(b->max_sessions, sizeof(struct session *));
	b->worker = calloc(b->max_sessions, sizeof(struct session *));
	b->work = calloc(b->max_sessions, sizeof *b->work);
	if (!b->running || !b->worker || !b->work) {
		err_memory(e, b->max_sessions * sizeof *b->work);
		goto fail;
	}
	if (sessions_open(&b->talk, m, t, o, ev, e) ||
	    outputs_open(&b->outputs, m, b->max_sessions, o->draw_threads, e))
		goto fail;
	*out = b;
	return 0;
fail:
	batch_close(b);
	return -1;
}

static struct session *dequeue(struct batch *b)
{
	struct session *s = b->first;

	b->first = s->next;
	if (!b->first)
		b->last = &b->first;
	b->n_queued--;
	s->next = NULL;
	return s;
}

static void retire(struct session *s)
{
	if (!s->ended)
		session_end(s, END_CANCELLED, NULL);
	session_close(s);
}

void batch_close(struct batch *b)
{
	struct talk *t = b ? &b->talk : NULL;

	if (!b)
		return;
	b->closing = true;
	while (b->n_running)
		retire(b->running[--b->n_running]);
	while (b->first)
		retire(dequeue(b));
	talk_close_masks(t);
	outputs_close(b->outputs);
	sessions_close(t);
	free(b->running);
	free(b->worker);
	free(b->work);
	free(b);
}

/* ---- coming and going */

void batch_enqueue(struct batch *b, struct session *s, bool ran)
{
	struct session **at = &b->first;

	while (*at && ((*at)->number < s->number || (!ran && (*at)->number == s->number)))
		at = &(*at)->next;
	s->next = *at;
	*at = s;
	if (!s->next)
		b->last = &s->next;
	b->n_queued++;
}

int batch_add(struct batch *b, struct session **out, const int32_t *id, size_t n,
              const struct request *r, struct kv_seq *take_seq, void *user, struct err *e)
{
	struct session *s;

	if (b->closing) {
		kv_seq_close(take_seq);
		return err_set(e, ERR_INTERRUPTED, "the batch is closing");
	}
	if (session_open(&s, &b->talk, id, n, r, take_seq, user, e))
		return -1;
	/* nobody waits for ever: those who come much later come after */
	s->number = ++b->arrivals + (uint64_t)(PRIORITIES + s->r.priority) * PRIORITY_STEP;
	batch_enqueue(b, s, false);
	if (out)
		*out = s;
	return 0;
}

void batch_cancel(struct batch *b, struct session *s)
{
	(void)b;
	s->cancelled = true;
}

void batch_pause(struct batch *b, struct session *s, bool paused)
{
	(void)b;
	s->paused = paused;
}

size_t batch_preempted(const struct batch *b)
{
	return b->n_preempted;
}

size_t batch_rows(const struct batch *b)
{
	return b->n_rows;
}

size_t batch_active(const struct batch *b)
{
	return b->n_running + b->n_queued;
}

/* Into the running ones, by age. */
static void run(struct batch *b, struct session *s)
{
	size_t i = b->n_running++;

	for (; i && b->running[i - 1]->number > s->number; i--)
		b->running[i] = b->running[i - 1];
	b->running[i] = s;
}

void batch_stop_running(struct batch *b, size_t i)
{
	b->n_running--;
	memmove(b->running + i, b->running + i + 1, (b->n_running - i) * sizeof *b->running);
}

/* Takes away those that ended or were cancelled, running or queued. */
static void sweep(struct batch *b)
{
	struct session **at = &b->first;

	for (size_t i = b->n_running; i-- > 0;) {
		struct session *s = b->running[i];

		if (!s->ended && !s->cancelled)
			continue;
		batch_stop_running(b, i);
		retire(s);
	}
	while (*at) {
		struct session *s = *at;

		if (!s->cancelled) {
			at = &s->next;
			continue;
		}
		*at = s->next;
		if (b->last == &s->next)
			b->last = at;
		b->n_queued--;
		retire(s);
	}
}

/* Positions that the running ones have yet to claim. */
static size_t claims(const struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_running; i++)
		n += b->running[i]->n - kv_len(b->running[i]->seq) + GROWTH;
	return n;
}

/* The next in the queue, if there is room for all that it knows. Alone it
 * comes in any case: it may reuse what fills the pool, or else says so. */
static bool admit_one(struct batch *b, struct err *e)
{
	struct session *s = b->first;
	struct kv_pool *pool = model_pool(b->talk.model);
	size_t known = s->seq ? kv_len(s->seq) : 0;

	if (b->n_running && kv_pool_room(pool) < claims(b) + s->n - known + GROWTH)
		return false;
	dequeue(b);
	if (!s->seq) {
		if (kv_seq_open(&s->seq, pool, e)) {
			session_end(s, END_ERROR, e);
			session_close(s);
			return true;
		}
		if (s->r.adapter > 0)
			kv_seq_use(s->seq, s->r.adapter - 1);
		known = kv_match(s->seq, s->id, session_may_reuse(s));
		if (!s->begun)
			s->n_reused = known;
	}
	s->begun = true;
	run(b, s);
	return true;
}

/* ---- a pass */

/* Sessions that only had a prompt to compute are done when it is. */
static void end_prompts(struct batch *b)
{
	for (size_t i = 0; i < b->n_running; i++)
		if (!b->running[i]->ended && !session_pending(b->running[i]))
			session_end(b->running[i], END_LENGTH, NULL);
}

int batch_step(struct batch *b, struct err *e)
{
	double began = pace_clock(), took;
	size_t n_ran;

	sweep(b);
	while (b->first && b->n_running < b->latency.limit)
		if (!admit_one(b, e))
			break;
	batch_plan(b);
	n_ran = b->n_running;
	if (b->n_work && outputs_run(b->outputs, b->worker, b->work, b->n_work, e)) {
		for (size_t i = 0; i < b->n_work; i++)
			kv_rewind(b->work[i].seq, kv_computed(b->work[i].seq));
		return -1;
	}
	end_prompts(b);
	sweep(b);
	took = pace_clock() - began;
	/* unless one that decoded gave way to a prompt */
	if (b->n_rows == b->n_decoding + b->load.rows)
		pace_note(&b->pace, b->n_decoding, &b->load, took);
	latency_note(&b->latency, b->n_decoding, n_ran, b->first != NULL, took);
	return 0;
}
