/* SPDX-License-Identifier: MIT */
/* score.c - how likely given tokens are, many texts in a pass
 *
 * A lane runs one window of a text: it is fed like a prompt up to the first
 * scored place, from where on every row gives logits. Lanes share each pass
 * as far as its rows and outputs go; a window waits until the cache has room
 * for the whole of it. Sums are made at a text's end, in order of place. */
#include "gen/gen.h"

#include "gen/pick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LANES = 64, SORTED = 256 };

struct entry {
	struct entry *next;
	struct score_text *text;
	size_t at;             /* the next window begins here */
	size_t n_lanes;        /* that run for it */
	struct err err;        /* of a window of it */
};
struct lane {
	struct entry *entry;   /* NULL: it is free */
	struct kv_seq *seq;
	int32_t *id;           /* [n], the window's own copy */
	size_t begin, n, end;  /* place in the text; rows that are run */
};
struct scorer {
	struct model *m;
	size_t vocab, rows, outs;
	void (*ended)(void *arg, struct score_text *t, const struct err *err);
	void *arg;
	struct entry *first, **last;
	size_t n_active;
	struct lane lane[LANES];
	struct model_work work[LANES];
	struct lane *worker[LANES];
	struct cand *cand;     /* [vocab], once it is needed */
};

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

int scorer_open(struct scorer **out, struct model *m,
                void (*end)(void *arg, struct score_text *t, const struct err *err), void *arg,
                struct err *e)
{
	struct scorer *s = calloc(1, sizeof *s);

	if (!s)
		return err_memory(e, sizeof *s);
	s->m = m;
	s->vocab = model_config(m)->vocab;
	s->rows = model_max_rows(m);
	s->outs = least(s->rows, model_max_out(m));
	s->ended = end;
	s->arg = arg;
	s->last = &s->first;
	*out = s;
	return 0;
}

static void free_lane(struct lane *l)
{
	kv_seq_close(l->seq);
	free(l->id);
	*l = (struct lane){ 0 };
}

void scorer_close(struct scorer *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < LANES; i++)
		free_lane(&s->lane[i]);
	while (s->first) {
		struct entry *t = s->first;

		s->first = t->next;
		free(t);
	}
	free(s->cand);
	free(s);
}

size_t scorer_active(const struct scorer *s)
{
	return s->n_active;
}

static int check(const struct scorer *s, const struct score_text *t, struct err *e)
{
	const struct score_options *o = &t->o;
	size_t window = o->window ? o->window : t->n, max_pos = model_config(s->m)->max_pos;

	if (o->first < 1 || (o->window && o->first >= o->window && !o->top))
		return err_set(e, ERR_MISUSE,
		               "the first scored position: expected 1 to %zu, found %zu",
		               window - 1, o->first);
	if (o->top && (!t->n || t->n > window))
		return err_set(e, ERR_INPUT, "what comes next: expected 1 to %zu tokens, found %zu",
		               window, t->n);
	if (window > max_pos)
		return err_set(e, ERR_INPUT, "a window of %zu tokens, the model's context has %zu",
		               window, max_pos);
	for (size_t i = 0; i < t->n; i++)
		if (t->id[i] < 0 || (size_t)t->id[i] >= s->vocab)
			return err_set(e, ERR_INPUT,
			               "token %zu: expected an id from 0 to %zu, found %d", i,
			               s->vocab - 1, (int)t->id[i]);
	if (o->bos >= 0 && (size_t)o->bos >= s->vocab)
		return err_set(e, ERR_INPUT, "bos: expected an id from 0 to %zu, found %d",
		               s->vocab - 1, (int)o->bos);
	return 0;
}

int scorer_add(struct scorer *s, struct score_text *t, struct err *e)
{
	struct entry *n;

	if (check(s, t, e))
		return -1;
	n = calloc(1, sizeof *n);
	if (!n)
		return err_memory(e, sizeof *n);
	n->text = t;
	for (size_t i = 0; i < t->n; i++)
		t->logprob[i] = NAN;
	t->n_scored = t->n_top = 0;
	t->nll = 0;
	t->greedy = true;
	*s->last = n;
	s->last = &n->next;
	s->n_active++;
	return 0;
}

/* ---- windows to lanes */

/* Passes over windows in which nothing is scored; false: none is left. */
static bool next_window(struct entry *t, size_t *n)
{
	const struct score_text *x = t->text;
	size_t window = x->o.window ? x->o.window : x->n;

	for (; t->at < x->n && t->err.kind == ERR_NONE; t->at += *n) {
		*n = least(window, x->n - t->at);
		if (*n < window && x->o.whole_only)
			break;
		if (*n > x->o.first || x->o.top)
			return true;
	}
	t->at = x->n;
	return false;
}

/* 1: it runs; 0: there is no room for it now. */
static int fill_lane(struct scorer *s, struct lane *l, struct entry *t, size_t n, struct err *e)
{
	const struct score_text *x = t->text;
	size_t known = least(x->o.first, n);

	l->id = malloc((n + 1) * sizeof *l->id);
	if (!l->id)
		return err_memory(e, n * sizeof *l->id);
	memcpy(l->id, x->id + t->at, n * sizeof *l->id);
	if (x->o.bos >= 0)
		l->id[0] = x->o.bos;
	if (kv_seq_open(&l->seq, model_pool(s->m), e))
		return -1;
	kv_seq_use(l->seq, x->o.adapter);
	if (known > 1)
		known = kv_match(l->seq, l->id, known);
	else
		known = 0;
	if (kv_append(l->seq, l->id + known, n - known, e))
		return e->kind == ERR_MACHINE ? 0 : -1;
	l->entry = t;
	l->begin = t->at;
	l->n = n;
	l->end = x->o.top ? n : n - 1;
	t->at += n;
	t->n_lanes++;
	return 1;
}

static bool is_busy(const struct scorer *s)
{
	for (size_t i = 0; i < LANES; i++)
		if (s->lane[i].entry)
			return true;
	return false;
}

/* A text whose window has no place even in an empty cache fails alone. */
static int fill_lanes(struct scorer *s, struct err *e)
{
	struct entry *t = s->first;
	size_t n, most = least(LANES, s->outs);

	for (size_t i = 0; i < most; i++) {
		struct lane *l = &s->lane[i];
		struct err why = { 0 };
		int rc;

		if (l->entry)
			continue;
		while (t && !next_window(t, &n))
			t = t->next;
		if (!t)
			break;
		rc = fill_lane(s, l, t, n, &why);
		if (rc > 0)
			continue;
		free_lane(l);
		if (rc < 0) {
			*e = why;
			return -1;
		}
		if (is_busy(s))
			break;
		t->err = why;
		i--;
	}
	return 0;
}

/* ---- a pass */

static size_t plan(struct scorer *s)
{
	size_t rows = s->rows, outs = s->outs, n = 0;

	for (size_t i = 0; i < LANES && rows; i++) {
		struct lane *l = &s->lane[i];
		size_t at, quiet, k;

		if (!l->entry)
			continue;
		at = kv_computed(l->seq);
		quiet = least(l->entry->text->o.first, l->end) - 1;
		k = at < quiet ? least(rows, quiet - at) : least(least(rows, outs), l->end - at);
		if (!k)
			continue;
		s->work[n] = (struct model_work){ l->seq, k, at < quiet ? WANT_NONE : WANT_ALL };
		s->worker[n++] = l;
		rows -= k;
		outs -= at < quiet ? 0 : k;
	}
	return n;
}

static int by_logit(const void *a, const void *b)
{
	const struct cand *x = a, *y = b;

	return x->logit != y->logit ? x->logit > y->logit ? -1 : 1 : x->id < y->id ? -1 : 1;
}

/* The most likely ids after a row, and what the others have together. */
static int take_top(struct scorer *s, struct score_text *t, const float *row, struct err *e)
{
	double sum = pick_logsumexp(row, s->vocab), mass = 1;

	if (!s->cand)
		s->cand = malloc(s->vocab * sizeof *s->cand);
	if (!s->cand)
		return err_memory(e, s->vocab * sizeof *s->cand);
	for (size_t i = 0; i < s->vocab; i++)
		s->cand[i] = (struct cand){ isnan(row[i]) ? -INFINITY : row[i], (int32_t)i, 0 };
	t->n_top = least(t->o.top, s->vocab);
	if (t->n_top < s->vocab)
		pick_select(s->cand, s->vocab, (double)t->n_top, 1);
	if (t->n_top <= SORTED)
		pick_sort_best(s->cand, t->n_top);
	else
		qsort(s->cand, t->n_top, sizeof *s->cand, by_logit);
	for (size_t i = 0; i < t->n_top; i++) {
		t->top_id[i] = s->cand[i].id;
		t->top_logprob[i] = (double)s->cand[i].logit - sum;
		mass -= exp(t->top_logprob[i]);
	}
	t->tail = t->n_top == s->vocab ? TAIL_NONE : mass > 1e-12 ? TAIL_MASS : TAIL_ZERO;
	t->tail_logprob = t->tail == TAIL_MASS ? log(mass) : 0;
	return 0;
}

static void take_row(struct scorer *s, const struct lane *l, size_t at, const float *row)
{
	struct score_text *t = l->entry->text;
	struct err *e = &l->entry->err;
	int32_t id;
	double p;

	if (at + 1 == l->n) {
		if (take_top(s, t, row, e))
			t->n_top = 0;
		return;
	}
	if (at + 1 < t->o.first)
		return;
	id = l->id[at + 1];
	p = (double)row[id] - pick_logsumexp(row, s->vocab);
	t->logprob[l->begin + at + 1] = isnan(p) ? -INFINITY : p;
	t->greedy &= (size_t)id == pick_best(row, s->vocab);
}

/* Texts none of whose windows is left. */
static void retire(struct scorer *s)
{
	struct entry **at = &s->first;

	while (*at) {
		struct entry *t = *at;
		struct score_text *x = t->text;
		size_t n;

		if (t->n_lanes || next_window(t, &n)) {
			at = &t->next;
			continue;
		}
		*at = t->next;
		s->n_active--;
		for (size_t i = 0; i < x->n; i++)
			if (!isnan(x->logprob[i])) {
				x->n_scored++;
				x->nll -= x->logprob[i];
			}
		s->ended(s->arg, x, t->err.kind == ERR_NONE ? NULL : &t->err);
		free(t);
	}
	s->last = at;
}

int scorer_step(struct scorer *s, struct err *e)
{
	const float *logits;
	size_t n;

	if (fill_lanes(s, e))
		return -1;
	n = plan(s);
	if (n && model_run(s->m, s->work, n, &logits, e))
		return -1;
	for (size_t i = 0; i < n; i++) {
		struct lane *l = s->worker[i];
		size_t to = kv_computed(l->seq), at = to - s->work[i].n;

		for (; s->work[i].want == WANT_ALL && at < to; at++, logits += s->vocab)
			take_row(s, l, at, logits);
		if (to < l->end)
			continue;
		l->entry->n_lanes--;
		free_lane(l);
	}
	retire(s);
	return 0;
}
