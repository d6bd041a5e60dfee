/* SPDX-License-Identifier: MIT */
/* walk.c - the places of a grammar, found as they are needed
 *
 * Stacks share their tails and are numbered, so a place is a sorted list of
 * pairs of numbers; equal lists are one place. A call after which nothing is
 * left to do needs no frame: right recursion does not grow. */
#include "gen/walk.h"

#include <stdlib.h>
#include <string.h>

enum { FEW = 6, UNKNOWN = UINT32_MAX };

struct frame {
	uint32_t below, node, depth;
};
struct spot {
	struct way *way;
	uint32_t n;
	uint8_t flags, n_few;
	uint8_t few_byte[FEW];
	uint32_t few[FEW];
	uint32_t *next; /* [256]; UNKNOWN where not asked for yet */
};
struct index { /* open addressing: numbers of things, by their hash */
	uint32_t *slot;
	size_t room, n;
};

struct walk {
	struct grammar *g;
	struct frame *frame;
	size_t n_frames, frame_room;
	struct spot *spot;
	size_t n_spots, spot_room;
	struct index frames, spots;
	size_t n_bytes; /* that places take */
	/* of the place being found */
	struct way *way, *todo;
	size_t n_way, n_todo, way_room, todo_room;
	unsigned flags;
	uint32_t *seen; /* index of ways, by hash: number + 1 of way[] */
	size_t seen_room;
};

static uint64_t mix(uint64_t a, uint64_t b)
{
	a = (a ^ b) * 0x9E3779B97F4A7C15u;
	return a ^ (a >> 29);
}

static int grow(void *list, size_t *room, size_t n, size_t size, struct err *e)
{
	size_t more_room = *room ? *room : 64;
	void *more, **at = list;

	if (n < *room)
		return 0;
	while (more_room <= n)
		more_room *= 2;
	more = realloc(*at, more_room * size);
	if (!more)
		return err_memory(e, more_room * size);
	*at = more;
	*room = more_room;
	return 0;
}

/* ---- indexes */

static int index_grow(struct index *x, struct err *e,
                      uint64_t (*hash)(const struct walk *, uint32_t), const struct walk *w)
{
	struct index new = { .room = x->room ? 2 * x->room : 256, .n = x->n };

	if (2 * x->n < x->room)
		return 0;
	new.slot = calloc(new.room, sizeof *new.slot);
	if (!new.slot)
		return err_memory(e, new.room * sizeof *new.slot);
	for (size_t i = 0; i < x->room; i++) {
		size_t at;

		if (!x->slot[i])
			continue;
		at = hash(w, x->slot[i] - 1) & (new.room - 1);
		while (new.slot[at])
			at = (at + 1) & (new.room - 1);
		new.slot[at] = x->slot[i];
	}
	free(x->slot);
	*x = new;
	return 0;
}

static uint64_t frame_hash_of(uint32_t below, uint32_t node)
{
	return mix(mix(below, 1), node);
}

static uint64_t frame_hash(const struct walk *w, uint32_t i)
{
	return frame_hash_of(w->frame[i].below, w->frame[i].node);
}

static uint64_t ways_hash(const struct way *way, size_t n, unsigned flags)
{
	uint64_t h = mix(n, flags);

	for (size_t i = 0; i < n; i++)
		h = mix(h, (uint64_t)way[i].stack << 32 | way[i].node);
	return h;
}

static uint64_t spot_hash(const struct walk *w, uint32_t i)
{
	return ways_hash(w->spot[i].way, w->spot[i].n, w->spot[i].flags);
}

/* ---- stacks */

/* What `below` is with one more to return to; UNKNOWN where that is too deep. */
static int push(struct walk *w, uint32_t below, uint32_t node, uint32_t *out, struct err *e)
{
	size_t at;

	if (index_grow(&w->frames, e, frame_hash, w))
		return -1;
	at = frame_hash_of(below, node) & (w->frames.room - 1);
	for (; w->frames.slot[at]; at = (at + 1) & (w->frames.room - 1)) {
		const struct frame *f = &w->frame[w->frames.slot[at] - 1];

		if (f->below == below && f->node == node) {
			*out = w->frames.slot[at] - 1;
			return 0;
		}
	}
	*out = UNKNOWN;
	if (w->frame[below].depth >= WALK_DEPTH)
		return 0;
	if (grow(&w->frame, &w->frame_room, w->n_frames, sizeof *w->frame, e))
		return -1;
	w->frame[w->n_frames] = (struct frame){ below, node, w->frame[below].depth + 1 };
	*out = (uint32_t)w->n_frames++;
	w->frames.slot[at] = *out + 1;
	w->frames.n++;
	return 0;
}

/* ---- a place being found */

static void clear(struct walk *w)
{
	for (size_t i = 0; i < w->n_todo; i++) {
		size_t at = mix(w->todo[i].stack, w->todo[i].node) & (w->seen_room - 1);

		while (w->seen[at]) {
			w->seen[at] = 0;
			at = (at + 1) & (w->seen_room - 1);
		}
	}
	w->n_way = w->n_todo = 0;
	w->flags = 0;
}

static int seen_grow(struct walk *w, struct err *e)
{
	size_t room = w->seen_room ? 2 * w->seen_room : 256;
	uint32_t *more;

	if (2 * w->n_todo < w->seen_room)
		return 0;
	more = calloc(room, sizeof *more);
	if (!more)
		return err_memory(e, room * sizeof *more);
	for (size_t i = 0; i < w->n_todo; i++) {
		size_t at = mix(w->todo[i].stack, w->todo[i].node) & (room - 1);

		while (more[at])
			at = (at + 1) & (room - 1);
		more[at] = (uint32_t)i + 1;
	}
	free(w->seen);
	w->seen = more;
	w->seen_room = room;
	return 0;
}

/* Once each: to be looked at. */
static int meet(struct walk *w, uint32_t stack, uint32_t node, struct err *e)
{
	size_t at;

	if (w->g->node[node].kind == NODE_DEAD)
		return 0;
	if (seen_grow(w, e))
		return -1;
	at = mix(stack, node) & (w->seen_room - 1);
	for (; w->seen[at]; at = (at + 1) & (w->seen_room - 1)) {
		const struct way *k = &w->todo[w->seen[at] - 1];

		if (k->stack == stack && k->node == node)
			return 0;
	}
	if (w->n_todo >= 4 * WALK_WAYS)
		return err_set(e, ERR_INPUT, "the grammar: too many ways to read the text at once");
	if (grow(&w->todo, &w->todo_room, w->n_todo, sizeof *w->todo, e))
		return -1;
	w->todo[w->n_todo++] = (struct way){ stack, node };
	w->seen[at] = (uint32_t)w->n_todo;
	return 0;
}

static int look(struct walk *w, struct way k, struct err *e)
{
	const struct node *n = &w->g->node[k.node];
	uint32_t stack = k.stack;

	switch (n->kind) {
	case NODE_BYTES:
		if (w->n_way >= WALK_WAYS)
			return err_set(e, ERR_INPUT,
			               "the grammar: too many ways to read the text at once");
		if (grow(&w->way, &w->way_room, w->n_way, sizeof *w->way, e))
			return -1;
		w->way[w->n_way++] = k;
		return 0;
	case NODE_SPLIT:
		return meet(w, stack, n->a, e) || meet(w, stack, n->b, e) ? -1 : 0;
	case NODE_CALL:
		if (w->g->node[n->b].kind == NODE_DEAD)
			return 0;
		if (n->b != GRAPH_END && push(w, k.stack, n->b, &stack, e))
			return -1;
		return stack == UNKNOWN ? 0 : meet(w, stack, w->g->rule[n->a], e);
	case NODE_END:
		if (stack == STACK_EMPTY)
			w->flags |= PLACE_MAY_END;
		else if (stack == STACK_OPEN)
			w->flags |= PLACE_RETURNS;
		else
			return meet(w, w->frame[stack].below, w->frame[stack].node, e);
		return 0;
	default:
		return 0;
	}
}

static int by_way(const void *a, const void *b)
{
	const struct way *x = a, *y = b;

	if (x->stack != y->stack)
		return x->stack < y->stack ? -1 : 1;
	return x->node < y->node ? -1 : x->node > y->node;
}

/* The number of the place whose ways are in w->way. */
static int settle(struct walk *w, uint32_t *out, struct err *e)
{
	struct spot s = { .flags = (uint8_t)w->flags, .n = (uint32_t)w->n_way };
	size_t at, bytes = w->n_way * sizeof *w->way;

	*out = PLACE_NOWHERE;
	if (!w->n_way && !w->flags)
		return 0;
	if (w->n_way > 1)
		qsort(w->way, w->n_way, sizeof *w->way, by_way);
	if (index_grow(&w->spots, e, spot_hash, w))
		return -1;
	at = ways_hash(w->way, w->n_way, w->flags) & (w->spots.room - 1);
	for (; w->spots.slot[at]; at = (at + 1) & (w->spots.room - 1)) {
		const struct spot *k = &w->spot[w->spots.slot[at] - 1];

		if (k->n == s.n && k->flags == s.flags &&
		    !(bytes && memcmp(k->way, w->way, bytes))) {
			*out = w->spots.slot[at] - 1;
			return 0;
		}
	}
	if (w->n_bytes > WALK_HARD)
		return err_set(e, ERR_MACHINE, "the grammar: its places take more than %d MiB",
		               WALK_HARD >> 20);
	s.way = malloc(bytes ? bytes : 1);
	if (!s.way || grow(&w->spot, &w->spot_room, w->n_spots, sizeof s, e)) {
		free(s.way);
		return err_memory(e, bytes);
	}
	if (bytes)
		memcpy(s.way, w->way, bytes);
	w->n_bytes += bytes + sizeof s;
	w->spot[w->n_spots] = s;
	*out = (uint32_t)w->n_spots++;
	w->spots.slot[at] = *out + 1;
	w->spots.n++;
	return 0;
}

/* Follows all that was met to the nodes that read. */
static int close_over(struct walk *w, uint32_t *out, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; i < w->n_todo && rc == 0; i++)
		rc = look(w, w->todo[i], e);
	if (rc == 0)
		rc = settle(w, out, e);
	clear(w);
	return rc;
}

/* ---- steps */

static int find_step(struct walk *w, uint32_t place, unsigned char byte, uint32_t *out,
                     struct err *e)
{
	for (uint32_t i = 0; i < w->spot[place].n; i++) {
		struct way k = w->spot[place].way[i];
		const struct node *n = &w->g->node[k.node];

		if (byte >= n->lo && byte <= n->hi && meet(w, k.stack, n->a, e)) {
			clear(w);
			return -1;
		}
	}
	return close_over(w, out, e);
}

static int keep_step(struct walk *w, uint32_t place, unsigned char byte, uint32_t to, struct err *e)
{
	struct spot *s = &w->spot[place];

	if (!s->next && s->n_few < FEW) {
		s->few_byte[s->n_few] = byte;
		s->few[s->n_few++] = to;
		return 0;
	}
	if (!s->next) {
		s->next = malloc(256 * sizeof *s->next);
		if (!s->next)
			return err_memory(e, 256 * sizeof *s->next);
		w->n_bytes += 256 * sizeof *s->next;
		for (int i = 0; i < 256; i++)
			s->next[i] = UNKNOWN;
		for (int i = 0; i < s->n_few; i++)
			s->next[s->few_byte[i]] = s->few[i];
	}
	s->next[byte] = to;
	return 0;
}

int walk_step(struct walk *w, uint32_t place, unsigned char byte, uint32_t *out, struct err *e)
{
	const struct spot *s = &w->spot[place];

	if (s->next && s->next[byte] != UNKNOWN) {
		*out = s->next[byte];
		return 0;
	}
	for (int i = 0; i < s->n_few && !s->next; i++)
		if (s->few_byte[i] == byte) {
			*out = s->few[i];
			return 0;
		}
	return find_step(w, place, byte, out, e) || keep_step(w, place, byte, *out, e) ? -1 : 0;
}

int walk_begin(struct walk *w, uint32_t *out, struct err *e)
{
	if (meet(w, STACK_EMPTY, w->g->rule[0], e)) {
		clear(w);
		return -1;
	}
	return close_over(w, out, e);
}

struct place walk_place(const struct walk *w, uint32_t place)
{
	const struct spot *s = &w->spot[place];

	return (struct place){ s->way, s->n, s->flags };
}

int walk_part(struct walk *w, const struct way *way, uint32_t n, bool open, uint32_t *out,
              struct err *e)
{
	for (uint32_t i = 0; i < n; i++)
		if (meet(w, open ? (uint32_t)STACK_OPEN : way[i].stack, way[i].node, e)) {
			clear(w);
			return -1;
		}
	return close_over(w, out, e);
}

bool walk_full(const struct walk *w)
{
	return w->n_bytes + w->n_frames * sizeof *w->frame > WALK_SOFT;
}

/* ---- from one walk to another */

static int move_stack(struct walk *to, const struct walk *from, uint32_t stack, uint32_t *out,
                      struct err *e)
{
	uint32_t node[WALK_DEPTH + 1], at = STACK_EMPTY;
	size_t n = 0;

	for (; stack > STACK_OPEN; stack = from->frame[stack].below)
		node[n++] = from->frame[stack].node;
	while (n)
		if (push(to, at, node[--n], &at, e))
			return -1;
	*out = at;
	return 0;
}

int walk_move(struct walk *to, const struct walk *from, uint32_t place, uint32_t *out,
              struct err *e)
{
	const struct spot *s = &from->spot[place];
	int rc = 0;

	for (uint32_t i = 0; i < s->n && rc == 0; i++) {
		uint32_t stack;

		rc = move_stack(to, from, s->way[i].stack, &stack, e) ||
		                     meet(to, stack, s->way[i].node, e) ?
		             -1 :
		             0;
	}
	if (rc) {
		clear(to);
		return rc;
	}
	to->flags = s->flags;
	return close_over(to, out, e);
}

/* ---- open, close */

int walk_open(struct walk **out, struct grammar *g, struct err *e)
{
	struct walk *w = calloc(1, sizeof *w);

	if (!w)
		return err_memory(e, sizeof *w);
	w->g = grammar_hold(g);
	if (grow(&w->frame, &w->frame_room, 2, sizeof *w->frame, e) ||
	    grow(&w->spot, &w->spot_room, 1, sizeof *w->spot, e)) {
		walk_close(w);
		return -1;
	}
	w->frame[STACK_EMPTY] = w->frame[STACK_OPEN] = (struct frame){ 0, 0, 0 };
	w->n_frames = 2;
	w->spot[PLACE_NOWHERE] = (struct spot){ .n = 0 };
	w->n_spots = 1;
	*out = w;
	return 0;
}

void walk_close(struct walk *w)
{
	if (!w)
		return;
	for (size_t i = 0; i < w->n_spots; i++) {
		free(w->spot[i].way);
		free(w->spot[i].next);
	}
	free(w->spot);
	free(w->frame);
	free(w->frames.slot);
	free(w->spots.slot);
	free(w->way);
	free(w->todo);
	free(w->seen);
	grammar_release(w->g);
	free(w);
}

int grammar_takes(struct grammar *g, struct bytes text, bool *out, struct err *e)
{
	struct walk *w;
	uint32_t at;
	int rc;

	if (walk_open(&w, g, e))
		return -1;
	rc = walk_begin(w, &at, e);
	for (size_t i = 0; i < text.n && rc == 0 && at != PLACE_NOWHERE; i++)
		rc = walk_step(w, at, text.p[i], &at, e);
	*out = rc == 0 && at != PLACE_NOWHERE && (walk_place(w, at).flags & PLACE_MAY_END);
	walk_close(w);
	return rc;
}
