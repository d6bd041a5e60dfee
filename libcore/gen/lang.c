/* SPDX-License-Identifier: MIT */
/* lang.c - automata of strings: both of two, none of one, so many characters,
 * these words; and into a grammar's graph */
#include "gen/maker.h"

#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"

/* ---- both of two */

struct pair {
	uint32_t a, b;
};

static int meet(struct maker *k, struct names *t, const struct lang *a, const struct lang *b,
                struct pair p, struct pair **todo, size_t *n, struct err *e)
{
	const struct lang_state *x = &a->state[p.a], *y = &b->state[p.b];

	for (uint32_t i = 0, j = 0; i < x->n && j < y->n;) {
		const struct lang_edge *u = &x->edge[i], *v = &y->edge[j];
		uint32_t lo = u->lo > v->lo ? u->lo : v->lo, hi = u->hi < v->hi ? u->hi : v->hi, to;
		struct pair next = { u->to, v->to };
		bool new;

		if (lo <= hi) {
			if (maker_named(t, k, &next, sizeof next, &to, &new, e) ||
			    maker_edge(k, lo, hi, to, e))
				return -1;
			if (new)
				(*todo)[(*n)++] = next;
		}
		if (u->hi < v->hi)
			i++;
		else
			j++;
	}
	return 0;
}

int lang_and(struct lang *out, const struct lang *a, const struct lang *b, struct arena *m,
             struct err *e)
{
	struct maker k = { .m = m };
	struct names t = { .m = m };
	struct pair *todo = malloc((LANG_STATES + 1) * sizeof *todo), begin = { 0, 0 };
	size_t n = 0;
	uint32_t state;
	bool new;
	int rc = -1;

	if (!a->n || !b->n) {
		*out = (struct lang){ NULL, 0 };
		free(todo);
		return 0;
	}
	if (!todo || map_init(&t.map, 64, e)) {
		free(todo);
		return err_memory(e, LANG_STATES * sizeof *todo);
	}
	if (maker_named(&t, &k, &begin, sizeof begin, &state, &new, e))
		goto done;
	todo[n++] = begin;
	for (size_t i = 0; i < n; i++) /* in the order of their states */
		if (meet(&k, &t, a, b, todo[i], &todo, &n, e) ||
		    maker_end(&k, (uint32_t)i, a->state[todo[i].a].ends && b->state[todo[i].b].ends,
		              e))
			goto done;
	rc = maker_trim(out, &k, e);
done:
	map_release(&t.map);
	free(k.edge);
	free(todo);
	return rc;
}

/* ---- none of one */

int lang_not(struct lang *out, const struct lang *a, struct arena *m, struct err *e)
{
	struct maker k = { .m = m };
	uint32_t sink = (uint32_t)a->n, state;
	int rc = -1;

	for (size_t i = 0; i <= a->n; i++)
		if (maker_state(&k, &state, e))
			goto done;
	for (uint32_t i = 0; i <= sink; i++) {
		uint32_t at = 0;

		for (uint32_t w = 0; i < sink && w < a->state[i].n; w++) {
			const struct lang_edge *u = &a->state[i].edge[w];

			if ((u->lo > at && maker_edge(&k, at, u->lo - 1, sink, e)) ||
			    maker_edge(&k, u->lo, u->hi, u->to, e))
				goto done;
			at = u->hi + 1;
		}
		if ((at <= CHAR_MAX_CP && maker_edge(&k, at, CHAR_MAX_CP, sink, e)) ||
		    maker_end(&k, i, i == sink || !a->state[i].ends, e))
			goto done;
	}
	rc = maker_trim(out, &k, e);
done:
	free(k.edge);
	return rc;
}

/* ---- so many characters */

int lang_length(struct lang *out, size_t min, size_t max, struct arena *m, struct err *e)
{
	struct maker k = { .m = m };
	size_t n = max == SIZE_MAX ? min : max;
	uint32_t state;
	int rc = -1;

	*out = (struct lang){ NULL, 0 };
	if (min > max)
		return 0;
	if (n >= LANG_STATES)
		return maker_too_big(e);
	for (size_t i = 0; i <= n; i++)
		if (maker_state(&k, &state, e))
			goto done;
	for (size_t i = 0; i <= n; i++) {
		uint32_t to = (uint32_t)(i < n ? i + 1 : n);

		if ((i < n || max == SIZE_MAX) && maker_edge(&k, 0, CHAR_MAX_CP, to, e))
			goto done;
		if (maker_end(&k, (uint32_t)i, i >= min, e))
			goto done;
	}
	rc = maker_trim(out, &k, e);
done:
	free(k.edge);
	return rc;
}

/* ---- words: a tree of their characters */

static int by_bytes(const void *a, const void *b)
{
	const struct bytes *x = a, *y = b;
	int c = memcmp(x->p, y->p, x->n < y->n ? x->n : y->n);

	return c ? c : x->n < y->n ? -1 : x->n > y->n;
}

/* Words that share what comes before `at` have a state; those of one
 * character more are neighbours. */
struct span {
	size_t from, to, at;
};

static int split(struct maker *k, const struct bytes *w, struct span s, struct span *todo,
                 size_t *n, struct err *e)
{
	for (size_t i = s.from, j; i < s.to; i = j) {
		uint32_t cp, to;
		size_t len;

		for (j = i; j < s.to && w[i].n == s.at && w[j].n == s.at; j++)
			;
		if (j > i)
			continue;
		len = (size_t)utf8_decode(&cp, w[i].p + s.at, w[i].n - s.at);
		for (j = i + 1;
		     j < s.to && w[j].n >= s.at + len && !memcmp(w[j].p + s.at, w[i].p + s.at, len);
		     j++)
			;
		if (maker_state(k, &to, e) || maker_edge(k, cp, cp, to, e))
			return -1;
		todo[(*n)++] = (struct span){ i, j, s.at + len };
	}
	return 0;
}

int lang_words(struct lang *out, const struct bytes *word, size_t n_words, struct arena *m,
               struct err *e)
{
	struct maker k = { .m = m };
	struct span *todo = malloc((LANG_STATES + 1) * sizeof *todo);
	struct bytes *w = arena_new(m, n_words + 1, sizeof *w, e);
	size_t n = 0;
	uint32_t state;
	int rc = -1;

	*out = (struct lang){ NULL, 0 };
	if (!todo || !w) {
		free(todo);
		return w ? err_memory(e, LANG_STATES * sizeof *todo) : -1;
	}
	for (size_t i = 0; i < n_words; i++)
		w[i] = word[i];
	if (n_words > 1)
		qsort(w, n_words, sizeof *w, by_bytes);
	if (maker_state(&k, &state, e))
		goto done;
	todo[n++] = (struct span){ 0, n_words, 0 };
	for (size_t i = 0; i < n; i++) {
		struct span s = todo[i];
		bool ends = s.from < s.to && w[s.from].n == s.at;

		if (split(&k, w, s, todo, &n, e) || maker_end(&k, (uint32_t)i, ends, e))
			goto done;
	}
	rc = maker_trim(out, &k, e);
done:
	free(k.edge);
	free(todo);
	return rc;
}

bool lang_takes(const struct lang *l, struct bytes text)
{
	uint32_t at = 0, cp;

	if (!l->n)
		return false;
	for (size_t i = 0; i < text.n;) {
		int len = utf8_decode(&cp, text.p + i, text.n - i);
		const struct lang_state *s = &l->state[at];
		uint32_t w = 0;

		while (w < s->n && s->edge[w].hi < cp)
			w++;
		if (len <= 0 || w == s->n || s->edge[w].lo > cp)
			return false;
		at = s->edge[w].to;
		i += (size_t)len;
	}
	return l->state[at].ends;
}

/* ---- into a graph */

uint32_t graph_lang(struct grammar *g, const struct lang *l, bool json, uint32_t next,
                    struct arena *m)
{
	struct err ignored;
	uint32_t *begin;

	if (!l->n || next == GRAPH_NONE)
		return GRAPH_NONE;
	begin = arena_new(m, l->n, sizeof *begin, g->err ? g->err : &ignored);
	if (!begin) {
		g->failed = true;
		return GRAPH_NONE;
	}
	for (size_t i = 0; i < l->n; i++)
		begin[i] = graph_loop(g);
	for (size_t i = 0; i < l->n && !g->failed; i++) {
		const struct lang_state *s = &l->state[i];
		uint32_t way = GRAPH_NONE;

		for (uint32_t w = 0; w < s->n; w++) {
			const struct lang_edge *k = &s->edge[w];

			way = graph_or(g,
			               json ? json_chars(g, k->lo, k->hi, begin[k->to]) :
			                      graph_chars(g, k->lo, k->hi, begin[k->to]),
			               way);
		}
		graph_loop_set(g, begin[i], way, s->ends ? next : GRAPH_NONE);
	}
	return begin[0];
}
