/* SPDX-License-Identifier: MIT */
/* mask.c - the tokens that a place of a grammar allows, found once
 *
 * Walking the whole tree of a big vocabulary takes milliseconds, so most of
 * it is done once for many places: what a token does within a rule does not
 * depend on where the rule returns to. For the nodes of a place, their calls
 * forgotten, one walk finds the tokens that stay within (they are allowed
 * whatever follows) and the points of the tree at which a text would return.
 * Only below these points the place itself is asked. */
#include "gen/mask.h"

#include <stdlib.h>
#include <string.h>

#include "gen/pieces.h"

enum { INNER = 96, OUTER = 48 };

/* Of nodes whose returns are not known. */
struct inner {
	uint32_t place; /* of the walk, with an open stack */
	uint64_t *bits;
	uint32_t *point; /* [n]: tree nodes at whose end it has returned */
	size_t n, room;
};
struct outer {
	uint32_t place;
	uint64_t *bits;
};

struct mask {
	unsigned n_holders;
	const struct pieces *pieces;
	struct mask_ends ends;
	struct grammar *grammar;
	struct walk *walk;
	struct inner inner[INNER];
	struct outer outer[OUTER];
	size_t next_inner, next_outer; /* which is given up next */
	size_t words;
	uint32_t *at;    /* [depth + 1]: places along a path */
	struct way *way; /* a copy of a place's */
	size_t way_room;
	uint64_t *bits; /* of the last question, with its ends */
};

/* ---- walking the tree */

static void set_bit(uint64_t *bits, int32_t id)
{
	bits[(size_t)id / 64] |= 1ull << ((unsigned)id % 64);
}

static void allow(const struct mask *m, uint64_t *bits, int32_t id)
{
	for (; id >= 0; id = m->pieces->twin[id])
		set_bit(bits, id);
}

/* The tokens from node `from` up to `to`, the places before them in m->at. */
static int scan(struct mask *m, uint64_t *bits, size_t from, size_t to, struct inner *points,
                struct err *e)
{
	const struct piece_node *node = m->pieces->node;
	size_t covered = 0;

	for (size_t i = from; i < to;) {
		const struct piece_node *k = &node[i];
		uint32_t place;
		struct place p;

		if (walk_step(m->walk, m->at[k->depth - 1], k->byte, &place, e))
			return -1;
		if (place == PLACE_NOWHERE) {
			i = k->skip;
			continue;
		}
		p = walk_place(m->walk, place);
		if (points && i >= covered && (p.flags & PLACE_RETURNS)) {
			if (points->n == points->room) {
				size_t room = points->room ? 2 * points->room : 64;
				uint32_t *more = realloc(points->point, room * sizeof *more);

				if (!more)
					return err_memory(e, room * sizeof *more);
				points->point = more;
				points->room = room;
			}
			points->point[points->n++] = (uint32_t)i;
			covered = k->skip;
		}
		if (k->id >= 0 && (p.n || (p.flags & PLACE_MAY_END)))
			allow(m, bits, k->id);
		m->at[k->depth] = place;
		i = p.n ? i + 1 : k->skip;
	}
	return 0;
}

static struct inner *inner_of(struct mask *m, uint32_t place, struct err *e)
{
	struct inner *k;

	for (size_t i = 0; i < INNER; i++)
		if (m->inner[i].bits && m->inner[i].place == place)
			return &m->inner[i];
	k = &m->inner[m->next_inner++ % INNER];
	k->n = 0;
	free(k->bits);
	k->bits = calloc(m->words, sizeof *k->bits);
	if (!k->bits) {
		err_memory(e, m->words * sizeof *k->bits);
		return NULL;
	}
	k->place = place;
	m->at[0] = place;
	if (scan(m, k->bits, 0, m->pieces->n, k, e)) {
		free(k->bits);
		k->bits = NULL;
		return NULL;
	}
	return k;
}

/* Below a point the place itself is asked: along the path, then the subtree. */
static int scan_below(struct mask *m, uint64_t *bits, uint32_t place, uint32_t point, struct err *e)
{
	const struct piece_node *k = &m->pieces->node[point];
	struct bytes path = pieces_text(m->pieces, k->under);

	m->at[0] = place;
	for (size_t d = 0; d + 1 < k->depth; d++) {
		if (walk_step(m->walk, m->at[d], path.p[d], &m->at[d + 1], e))
			return -1;
		if (m->at[d + 1] == PLACE_NOWHERE)
			return 0;
	}
	return scan(m, bits, point, k->skip, NULL, e);
}

/* The ways of one stack. */
static int add_group(struct mask *m, uint64_t *bits, const struct way *way, uint32_t n,
                     struct err *e)
{
	const struct inner *k;
	uint32_t open, place;

	if (walk_part(m->walk, way, n, true, &open, e) || !(k = inner_of(m, open, e)))
		return -1;
	for (size_t i = 0; i < m->words; i++)
		bits[i] |= k->bits[i];
	if (!k->n)
		return 0;
	if (walk_part(m->walk, way, n, false, &place, e))
		return -1;
	for (size_t i = 0; i < k->n; i++)
		if (scan_below(m, bits, place, k->point[i], e))
			return -1;
	return 0;
}

static int fill(struct mask *m, uint64_t *bits, uint32_t place, struct err *e)
{
	struct place p = walk_place(m->walk, place);

	if (p.n > m->way_room) {
		struct way *more = realloc(m->way, p.n * sizeof *more);

		if (!more)
			return err_memory(e, p.n * sizeof *more);
		m->way = more;
		m->way_room = p.n;
	}
	if (p.n)
		memcpy(m->way, p.way, p.n * sizeof *m->way);
	for (uint32_t i = 0, k; i < p.n; i = k) {
		for (k = i + 1; k < p.n && m->way[k].stack == m->way[i].stack; k++)
			;
		if (add_group(m, bits, m->way + i, k - i, e))
			return -1;
	}
	return 0;
}

static const uint64_t *bits_of(struct mask *m, uint32_t place, struct err *e)
{
	struct outer *k;

	for (size_t i = 0; i < OUTER; i++)
		if (m->outer[i].bits && m->outer[i].place == place)
			return m->outer[i].bits;
	k = &m->outer[m->next_outer++ % OUTER];
	free(k->bits);
	k->bits = calloc(m->words, sizeof *k->bits);
	k->place = place;
	if (!k->bits)
		err_memory(e, m->words * sizeof *k->bits);
	else if (fill(m, k->bits, place, e) == 0)
		return k->bits;
	free(k->bits);
	k->bits = NULL;
	return NULL;
}

/* ---- masks */

int mask_open(struct mask **out, const struct pieces *p, struct mask_ends ends, struct grammar *g,
              struct err *e)
{
	struct mask *m = calloc(1, sizeof *m);

	if (!m)
		return err_memory(e, sizeof *m);
	m->n_holders = 1;
	m->pieces = p;
	m->ends = ends;
	m->grammar = grammar_hold(g);
	m->words = (p->vocab + 63) / 64;
	m->at = calloc(p->depth + 1, sizeof *m->at);
	m->bits = calloc(m->words + 1, sizeof *m->bits);
	if (!m->at || !m->bits) {
		mask_release(m);
		return err_memory(e, p->depth * sizeof *m->at + m->words * sizeof *m->bits);
	}
	if (walk_open(&m->walk, g, e)) {
		mask_release(m);
		return -1;
	}
	*out = m;
	return 0;
}

struct mask *mask_hold(struct mask *m)
{
	m->n_holders++;
	return m;
}

void mask_release(struct mask *m)
{
	if (!m || --m->n_holders)
		return;
	for (size_t i = 0; i < INNER; i++) {
		free(m->inner[i].bits);
		free(m->inner[i].point);
	}
	for (size_t i = 0; i < OUTER; i++)
		free(m->outer[i].bits);
	walk_close(m->walk);
	grammar_release(m->grammar);
	free(m->at);
	free(m->way);
	free(m->bits);
	free(m);
}

uint64_t mask_number(const struct mask *m)
{
	return m->grammar->number;
}

/* ---- guards */

int guard_open(struct guard *g, struct mask *m, struct err *e)
{
	*g = (struct guard){ .mask = mask_hold(m) };
	if (walk_begin(m->walk, &g->place, e) == 0)
		return 0;
	guard_release(g);
	return -1;
}

void guard_release(struct guard *g)
{
	mask_release(g->mask);
	g->mask = NULL;
}

static bool ends(const struct guard *g, int32_t id)
{
	for (size_t i = 0; i < g->mask->ends.n; i++)
		if (g->mask->ends.id[i] == id)
			return true;
	return false;
}

static bool may_end(const struct guard *g)
{
	return !g->endless && (walk_place(g->mask->walk, g->place).flags & PLACE_MAY_END);
}

static int after(struct guard *g, int32_t id, uint32_t *out, struct err *e)
{
	struct bytes t = { 0 };

	if (id >= 0 && (size_t)id < g->mask->pieces->vocab)
		t = pieces_text(g->mask->pieces, id);
	*out = t.n ? g->place : PLACE_NOWHERE;
	for (size_t i = 0; i < t.n && *out != PLACE_NOWHERE; i++)
		if (walk_step(g->mask->walk, *out, t.p[i], out, e))
			return -1;
	return 0;
}

int guard_allows(struct guard *g, int32_t id, bool *out, struct err *e)
{
	uint32_t place;

	if (ends(g, id)) {
		*out = may_end(g);
		return 0;
	}
	if (after(g, id, &place, e))
		return -1;
	*out = place != PLACE_NOWHERE;
	return 0;
}

int guard_bits(struct guard *g, const uint64_t **out, struct err *e)
{
	struct mask *m = g->mask;
	const uint64_t *bits = bits_of(m, g->place, e);

	if (!bits)
		return -1;
	memcpy(m->bits, bits, m->words * sizeof *bits);
	for (size_t i = 0; i < m->ends.n; i++) {
		size_t id = (size_t)m->ends.id[i];

		if (id >= m->pieces->vocab)
			continue;
		m->bits[id / 64] &= ~(1ull << id % 64);
		if (may_end(g))
			set_bit(m->bits, m->ends.id[i]);
	}
	*out = m->bits;
	return 0;
}

/* A walk that has found too much is left to those who go on in it. */
static int refresh(struct guard *g, struct err *e)
{
	struct mask *new;

	if (!walk_full(g->mask->walk))
		return 0;
	if (mask_open(&new, g->mask->pieces, g->mask->ends, g->mask->grammar, e))
		return -1;
	if (walk_move(new->walk, g->mask->walk, g->place, &g->place, e)) {
		mask_release(new);
		return -1;
	}
	mask_release(g->mask);
	g->mask = new;
	return 0;
}

int guard_take(struct guard *g, int32_t id, struct err *e)
{
	uint32_t place;

	if (after(g, id, &place, e))
		return -1;
	if (place == PLACE_NOWHERE)
		return err_set(e, ERR_INPUT, "the grammar does not allow token %d", (int)id);
	g->place = place;
	return refresh(g, e);
}

bool guard_is_whole(const struct guard *g)
{
	struct place p = walk_place(g->mask->walk, g->place);

	return !p.n && (p.flags & PLACE_MAY_END);
}

struct bytes guard_text(const struct guard *g, int32_t id)
{
	const struct pieces *p = g->mask->pieces;

	return p->special[id] ? (struct bytes){ 0 } : pieces_text(p, id);
}
