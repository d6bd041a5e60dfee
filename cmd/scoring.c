/* SPDX-License-Identifier: MIT */
/* scoring.c - many tasks through one scorer, told in order
 *
 * Texts are read as far ahead as keeps the passes full. A record that fails
 * is told as such; a text that fails ends the command, once those before it
 * were told. */
#include "scoring.h"

#include <stdlib.h>
#include <string.h>

enum { AHEAD = 256 };

static void on_end(void *arg, struct score_text *x, const struct err *err)
{
	struct scoring *s = arg;
	struct task *t = x->user;

	t->ended = true;
	if (err)
		t->err = *err;
	else if (known_keep(&s->known, t, &t->err) && s->err.kind == ERR_NONE)
		s->err = t->err;
}

static void take(struct scoring *s, struct task *t)
{
	int rc;

	*s->last = t;
	s->last = &t->next;
	s->n++;
	if (!t->ended && t->text.n < s->least) {
		err_set(&t->err, ERR_INPUT, "expected %zu tokens at least, found %zu", s->least, t->text.n);
		t->ended = true;
	}
	if (!t->ended && !s->tell.records && (t->op == TASK_NEXT) != (s->tell.top > 0)) {
		err_set(&t->err, ERR_INPUT, "a table has rows of one kind: expected %s",
		        s->tell.top ? "a prompt alone" : "a text or a completion");
		t->ended = true;
	}
	if (t->ended)
		return;
	s->n_tokens += t->text.n;
	rc = known_find(&s->known, t, &t->err);
	if (rc > 0)
		on_end(s, &t->text, NULL);
	else if (rc < 0 || scorer_add(s->scorer, &t->text, &t->err))
		t->ended = true;
}

/* Tells what is ready. -1: a text failed. */
static int show(struct scoring *s, struct err *e)
{
	while (s->first && s->first->ended) {
		struct task *t = s->first;
		bool failed = t->err.kind != ERR_NONE;

		if (failed && !s->records) {
			*e = t->err;
			return err_in(e, "%s: text %zu", feed_file(s->feed), t->number);
		}
		if (failed && !s->tell.records)
			cli_warn("record %zu: %s", t->number, t->err.text);
		else
			tell_task(&s->tell, t);
		s->n_failed += failed;
		s->n_done++;
		s->first = t->next;
		if (!s->first)
			s->last = &s->first;
		s->n--;
		task_free(t);
	}
	return 0;
}

/* The next task; NULL with *r FEED_ERROR: failed. */
static struct task *next_task(struct scoring *s, bool wait, enum feed_result *r, struct err *e)
{
	struct bytes text;
	struct task *t = NULL;
	size_t number;

	do {
		*r = feed_next(s->feed, wait, &text, e);
	} while (s->records && *r == FEED_TEXT && strspn((const char *)text.p, " \t\r") >= text.n);
	number = feed_number(s->feed);
	if (*r == FEED_LONG) {
		struct err why;

		err_set(&why, ERR_INPUT, "too long");
		t = task_refused(number, &why, e);
	} else if (*r == FEED_TEXT) {
		t = s->records ? task_of_record(&s->rules, number, text, e) :
		                 task_of_text(&s->rules, number, text, e);
	} else {
		return NULL;
	}
	if (!t)
		*r = FEED_ERROR;
	return t;
}

/* All texts as one, each ended by `end` unless it is there. */
static struct task *join_all(struct scoring *s, struct err *e)
{
	struct task *all = NULL, *t;
	enum feed_result r;

	while ((t = next_task(s, true, &r, e))) {
		struct ids *ids = all ? &all->ids : &t->ids;

		if (t->err.kind != ERR_NONE) {
			*e = t->err;
			err_in(e, "%s: text %zu", feed_file(s->feed), t->number);
			goto fail;
		}
		for (size_t i = 0; all && i < t->ids.n; i++)
			if (ids_add(ids, t->ids.id[i], e))
				goto fail;
		if (s->end >= 0 && (!ids->n || ids->id[ids->n - 1] != s->end) &&
		    ids_add(ids, s->end, e))
			goto fail;
		if (all)
			task_free(t);
		all = all ? all : t;
	}
	if (r == FEED_ERROR || !all) {
		task_free(all);
		return NULL;
	}
	free(all->text.logprob);
	free(all->text.top_id);
	free(all->text.top_logprob);
	if (task_prepare(all, &s->rules, &all->err))
		all->ended = true;
	return all;
fail:
	task_free(t == all ? NULL : t);
	task_free(all);
	return NULL;
}

static int run(struct scoring *s, struct err *e)
{
	enum feed_result r = FEED_TEXT;

	if (s->joined) {
		struct task *all = join_all(s, e);

		if (!all)
			return e->kind == ERR_NONE ? 0 : -1;
		take(s, all);
		r = FEED_END;
	}
	for (;;) {
		while (r != FEED_END && s->n < AHEAD && !cli_interrupted()) {
			struct task *t = next_task(s, !s->n, &r, e);

			if (r == FEED_ERROR)
				return -1;
			if (!t)
				break;
			take(s, t);
		}
		if (!s->n && r != FEED_LATER)
			return 0;
		s->n_passes += scorer_active(s->scorer) > 0;
		if (scorer_step(s->scorer, e) || show(s, e))
			return -1;
		if (s->err.kind != ERR_NONE) {
			*e = s->err;
			return -1;
		}
		if (cli_interrupted())
			return 0;
		if (r == FEED_LATER)
			r = FEED_TEXT;
	}
}

int scoring_run(struct scoring *s, struct model *m, struct err *e)
{
	s->last = &s->first;
	s->tell.vocab = model_config(m)->vocab;
	if (scorer_open(&s->scorer, m, on_end, s, e))
		return -1;
	tell_head(&s->tell);
	return run(s, e);
}

void scoring_release(struct scoring *s)
{
	scorer_close(s->scorer);
	while (s->first) {
		struct task *t = s->first;

		s->first = t->next;
		task_free(t);
	}
	known_abort(&s->known);
	feed_close(s->feed);
}
