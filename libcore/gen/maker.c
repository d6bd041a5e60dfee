/* SPDX-License-Identifier: MIT */
/* maker.c - automata of strings, made a state at a time */
#include "gen/maker.h"

#include <stdlib.h>
#include <string.h>

int maker_too_big(struct err *e)
{
	return err_set(e, ERR_INPUT, "the strings: expected at most %d states, found more",
	               LANG_STATES);
}

int maker_state(struct maker *k, uint32_t *out, struct err *e)
{
	if (k->n >= LANG_STATES)
		return maker_too_big(e);
	if (k->n == k->room) {
		size_t room = k->room ? 2 * k->room : 32;
		struct lang_state *more = arena_new(k->m, room, sizeof *more, e);

		if (!more)
			return -1;
		if (k->n)
			memcpy(more, k->state, k->n * sizeof *more);
		k->state = more;
		k->room = room;
	}
	*out = (uint32_t)k->n++;
	return 0;
}

int maker_edge(struct maker *k, uint32_t lo, uint32_t hi, uint32_t to, struct err *e)
{
	struct lang_edge *last = k->n_edge ? &k->edge[k->n_edge - 1] : NULL;

	if (last && last->to == to && last->hi + 1 == lo) {
		last->hi = hi;
		return 0;
	}
	if (k->n_edge == k->edge_room) {
		size_t room = k->edge_room ? 2 * k->edge_room : 64;
		struct lang_edge *more = realloc(k->edge, room * sizeof *more);

		if (!more)
			return err_memory(e, room * sizeof *more);
		k->edge = more;
		k->edge_room = room;
	}
	k->edge[k->n_edge++] = (struct lang_edge){ lo, hi, to };
	return 0;
}

int maker_end(struct maker *k, uint32_t state, bool ends, struct err *e)
{
	struct lang_edge *edge;

	k->n_edges += k->n_edge;
	if (k->n_edges > LANG_EDGES)
		return maker_too_big(e);
	edge = arena_new(k->m, k->n_edge + 1, sizeof *edge, e);
	if (!edge)
		return -1;
	if (k->n_edge)
		memcpy(edge, k->edge, k->n_edge * sizeof *edge);
	k->state[state] = (struct lang_state){ edge, (uint32_t)k->n_edge, ends };
	k->n_edge = 0;
	return 0;
}

/* Which states lead to an end: passes until nothing changes, from the back. */
static void find_live(const struct lang *l, bool *live)
{
	bool more = true;

	while (more) {
		more = false;
		for (size_t i = l->n; i-- > 0;) {
			bool was = live[i];

			live[i] |= l->state[i].ends;
			for (uint32_t k = 0; k < l->state[i].n && !live[i]; k++)
				live[i] = live[l->state[i].edge[k].to];
			more |= live[i] != was;
		}
	}
}

int maker_trim(struct lang *out, struct maker *k, struct err *e)
{
	struct lang l = { k->state, k->n };
	bool *live = arena_new(k->m, l.n + 1, sizeof *live, e);

	if (!live)
		return -1;
	find_live(&l, live);
	for (size_t i = 0; i < l.n; i++) {
		struct lang_edge *edge = (struct lang_edge *)(uintptr_t)l.state[i].edge;
		uint32_t n = 0;

		for (uint32_t w = 0; w < l.state[i].n; w++)
			if (live[edge[w].to])
				edge[n++] = edge[w];
		l.state[i].n = n;
	}
	*out = l.n && live[0] ? l : (struct lang){ NULL, 0 };
	return 0;
}

int maker_named(struct names *t, struct maker *k, const void *name, size_t size, uint32_t *out,
                bool *new, struct err *e)
{
	struct bytes key = { name, size };
	int64_t at = map_get(&t->map, key);
	char *copy;

	*new = at == MAP_NONE;
	if (!*new) {
		*out = (uint32_t)at;
		return 0;
	}
	copy = arena_text(t->m, name, size, e);
	if (!copy || maker_state(k, out, e))
		return -1;
	key.p = (const unsigned char *)copy;
	return map_add(&t->map, key, *out, e) < 0 ? -1 : 0;
}
