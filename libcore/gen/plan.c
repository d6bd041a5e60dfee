/* SPDX-License-Identifier: MIT */
/* plan.c - what goes into a pass, and who gives way where there is no room
 *
 * First a row for every session that decodes, then rows of prompts, as many
 * as a chunk and the pace allow. When the cache is full the youngest session
 * goes back into the queue without its pages. */
#include "gen/batch.h"

#include <math.h>

/* ---- room: the youngest gives way */

static void drop_work(struct batch *b, const struct session *s)
{
	for (size_t i = 0; i < b->n_work; i++) {
		if (b->worker[i] != s)
			continue;
		b->n_rows -= b->work[i].n;
		b->n_told -= b->work[i].want == WANT_ALL ? b->work[i].n : 0;
		b->n_work--;
		for (; i < b->n_work; i++) {
			b->worker[i] = b->worker[i + 1];
			b->work[i] = b->work[i + 1];
		}
	}
}

/* Back into the queue, without pages: it is computed again when
 * there is room, and goes on where it was. */
static void preempt(struct batch *b, size_t i)
{
	struct session *s = b->running[i];

	batch_stop_running(b, i);
	drop_work(b, s);
	s->in_work = false;
	kv_seq_close(s->seq);
	s->seq = NULL;
	b->n_preempted++;
	batch_enqueue(b, s, true);
}

/* A cache that waits in the queue and could be computed again. */
static bool take_from_queue(struct batch *b)
{
	struct session *best = NULL;

	for (struct session *s = b->first; s; s = s->next)
		if (s->seq && !s->fixed)
			best = s;
	if (!best)
		return false;
	kv_seq_close(best->seq);
	best->seq = NULL;
	b->n_preempted++;
	best->n_reused = 0;
	return true;
}

/* How many positions s may append: at least one, or none when s itself had to
 * give way or ended, as nothing else could. */
static size_t make_room(struct batch *b, struct session *s)
{
	size_t room, i;
	struct err e;

	while (!(room = kv_room(s->seq))) {
		for (i = b->n_running; i-- > 0;)
			if (!b->running[i]->fixed && !b->running[i]->ended)
				break;
		if (i < b->n_running && (b->running[i] != s || b->n_running > 1)) {
			bool itself = b->running[i] == s;

			preempt(b, i);
			if (itself)
				return 0;
		} else if (!take_from_queue(b)) {
			err_set(&e, ERR_MACHINE,
			        "the cache is full: the session has %zu tokens, the cache room for "
			        "%zu",
			        s->n, kv_len(s->seq));
			session_end(s, END_ERROR, &e);
			return 0;
		}
	}
	return room;
}

/* ---- what goes into a pass */

/* Gives s the next n of its rows, fewer where there is less room. */
static void feed(struct batch *b, struct session *s, size_t n)
{
	size_t room = make_room(b, s), have;
	enum want want;
	struct err e;

	if (!room)
		return;
	n = n < room ? n : room;
	have = kv_len(s->seq);
	want = session_rows(s, have, b->max_told - b->n_told, &n);
	if (kv_append(s->seq, s->id + have, n, &e)) {
		session_end(s, END_ERROR, &e);
		return;
	}
	b->worker[b->n_work] = s;
	b->work[b->n_work++] = (struct model_work){ s->seq, n, want };
	b->n_rows += n;
	b->n_told += want == WANT_ALL ? n : 0;
	s->in_work = true;
}

static bool wants(const struct batch *b, const struct session *s, bool prompt)
{
	if (s->ended || s->in_work || s->paused || !session_pending(s) ||
	    (prompt && session_scores(s) && b->n_told == b->max_told))
		return false;
	return (session_pending(s) > 1) == prompt;
}

static struct session *next_decode(const struct batch *b)
{
	for (size_t i = 0; i < b->n_running; i++)
		if (wants(b, b->running[i], false))
			return b->running[i];
	return NULL;
}

/* The prompt after the one that had the last turn, by age, around. */
static struct session *next_prompt(const struct batch *b)
{
	struct session *first = NULL;

	for (size_t i = 0; i < b->n_running; i++) {
		struct session *s = b->running[i];

		if (!wants(b, s, true))
			continue;
		if (s->number > b->turn)
			return s;
		if (!first)
			first = s;
	}
	return first;
}

static size_t n_waiting(const struct batch *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_running; i++)
		n += wants(b, b->running[i], true);
	return n;
}

/* At most so many rows of the next prompt, and those that there is time for.
 * False: there is no prompt or no time. */
static bool feed_prompt(struct batch *b, size_t most, double seconds)
{
	struct session *s = next_prompt(b);
	size_t n, at;

	if (!s || seconds <= 0)
		return false;
	at = kv_len(s->seq);
	n = pace_fit(&b->pace, &b->load, seconds, at, session_scores(s));
	most = n < most ? n : most;
	if (!most)
		return false;
	n = session_pending(s);
	b->turn = s->number;
	feed(b, s, n < most ? n : most);
	if (s->in_work) {
		const struct model_work *w = &b->work[b->n_work - 1];

		pace_add(&b->load, at, w->n, w->want == WANT_ALL ? w->n : w->want == WANT_LAST);
	}
	return true;
}

void batch_plan(struct batch *b)
{
	size_t rows = model_max_rows(b->talk.model), most;
	double seconds = HUGE_VAL;
	struct session *s;

	b->n_work = b->n_rows = b->n_told = 0;
	b->load = (struct pace_load){ 0 };
	for (size_t i = 0; i < b->n_running; i++)
		b->running[i]->in_work = false;
	while ((s = next_decode(b)))
		feed(b, s, 1);
	b->n_decoding = b->n_rows;
	if (b->paced)
		seconds = pace_seconds_for(&b->pace, b->n_decoding, n_waiting(b));
	most = rows - b->n_rows < b->chunk ? rows - b->n_rows : b->chunk;
	while (b->load.rows < most && feed_prompt(b, most - b->load.rows, seconds))
		;
}
