/* SPDX-License-Identifier: MIT */
/* kv.c - a sequence: append, done, rewind, fork, match
 *
 * A sequence is its ids and, per page group, a table of pages. Given ids it
 * finds pages for their positions; what is written into them is left to the
 * step that computes them. */
#include "kv/pages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_ROOM = 8 * PAGE_POSITIONS };

static size_t pages_of(size_t n)
{
	return (n + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
}

int kv_seq_open(struct kv_seq **out, struct kv_pool *p, struct err *e)
{
	struct kv_seq *s = calloc(1, sizeof *s);

	if (!s)
		return err_memory(e, sizeof *s);
	s->pool = p;
	s->adapter = p->adapter;
	*out = s;
	return 0;
}

void kv_seq_use(struct kv_seq *s, int32_t adapter)
{
	assert(!s->n && adapter >= 0);
	s->adapter = adapter;
}

void kv_pool_use(struct kv_pool *p, int32_t adapter)
{
	p->adapter = adapter;
}

int32_t kv_adapter(const struct kv_seq *s)
{
	return s->adapter;
}

void kv_seq_close(struct kv_seq *s)
{
	if (!s)
		return;
	kv_rewind(s, 0);
	for (size_t g = 0; g < KV_GROUPS; g++)
		free(s->table[g]);
	free(s->node);
	free(s->id);
	free(s);
}

/* ---- facts */

size_t kv_len(const struct kv_seq *s)
{
	return s->n;
}

size_t kv_computed(const struct kv_seq *s)
{
	return s->computed;
}

const int32_t *kv_ids(const struct kv_seq *s)
{
	return s->id;
}

const int32_t *kv_pages(const struct kv_seq *s, unsigned group, size_t *n)
{
	*n = pages_of(s->n);
	return s->table[group];
}

/* The last page has room, but others hold it too. */
static bool last_is_shared(const struct kv_seq *s, unsigned g)
{
	int32_t last;

	if (s->n % PAGE_POSITIONS == 0)
		return false;
	last = s->table[g][s->n / PAGE_POSITIONS];
	return s->pool->group[g].page[last].refs > 1;
}

size_t kv_room(const struct kv_seq *s)
{
	size_t least = SIZE_MAX,
	       slack = s->n % PAGE_POSITIONS ? PAGE_POSITIONS - s->n % PAGE_POSITIONS : 0;

	for (unsigned g = 0; g < s->pool->n_groups; g++) {
		size_t left = pages_left(s->pool, g);

		if (s->pool->group[g].state) {
			if (states_needed(s, g) > left)
				return 0;
			continue;
		}
		if (last_is_shared(s, g)) {
			if (!left)
				return 0;
			left--;
		}
		if (slack + left * PAGE_POSITIONS < least)
			least = slack + left * PAGE_POSITIONS;
	}
	return least;
}

/* ---- append */

static int grow_table(int32_t **table, size_t n, struct err *e)
{
	int32_t *more = realloc(*table, n * sizeof *more);

	if (!more)
		return err_memory(e, n * sizeof *more);
	*table = more;
	return 0;
}

/* Host room for n ids and the tables of their pages. */
static int reserve(struct kv_seq *s, size_t n, struct err *e)
{
	size_t room = s->room ? s->room : FIRST_ROOM;

	if (n <= s->room)
		return 0;
	while (room < n)
		room *= 2;
	if (grow_table(&s->id, room, e) || grow_table(&s->node, room / PAGE_POSITIONS, e))
		return -1;
	for (size_t g = 0; g < s->pool->n_groups; g++)
		if (grow_table(&s->table[g], room / PAGE_POSITIONS, e))
			return -1;
	s->room = room;
	return 0;
}

/* A page of the sequence's own under its last positions, where it is shared. */
static int own_last(struct kv_seq *s, struct err *e)
{
	struct kv_pool *p = s->pool;
	size_t at = s->n / PAGE_POSITIONS;

	for (unsigned g = 0; g < p->n_groups; g++) {
		int32_t page;

		if (!last_is_shared(s, g))
			continue;
		page = page_take(p, g);
		if (exec_kv_copy(p->store, g, page, s->table[g][at], e)) {
			page_drop(p, g, page);
			return -1;
		}
		page_drop(p, g, s->table[g][at]);
		s->table[g][at] = page;
	}
	return 0;
}

int kv_append(struct kv_seq *s, const int32_t *id, size_t n, struct err *e)
{
	size_t room = kv_room(s);

	if (!n)
		return 0;
	if (n > room)
		return err_set(e, ERR_MACHINE,
		               "the cache is full: room for %zu more positions, %zu wanted", room,
		               n);
	if (reserve(s, s->n + n, e) || own_last(s, e))
		return -1;
	for (unsigned g = 0; g < s->pool->n_groups; g++) {
		if (s->pool->group[g].state)
			continue;
		for (size_t i = pages_of(s->n); i < pages_of(s->n + n); i++)
			s->table[g][i] = page_take(s->pool, g);
	}
	for (unsigned g = 0; g < s->pool->n_groups; g++)
		if (s->pool->group[g].state)
			states_append(s, g, pages_of(s->n), pages_of(s->n + n));
	memcpy(s->id + s->n, id, n * sizeof *id);
	s->n += n;
	return 0;
}

/* ---- done */

/* Makes the pages that are full by now findable. */
static void publish(struct kv_seq *s)
{
	struct kv_pool *p = s->pool;

	while (!s->private && s->n_nodes < s->computed / PAGE_POSITIONS) {
		size_t i = s->n_nodes;
		int32_t *page[KV_GROUPS], node, none = NONE;

		for (unsigned g = 0; g < p->n_groups; g++)
			page[g] = p->group[g].state && !states_rest(s, g, i) ? &none :
			                                                       &s->table[g][i];
		node = prefix_publish(p, i ? s->node[i - 1] : -1 - s->adapter, s->id + i * PAGE_POSITIONS,
		                      page);
		if (node == NONE)
			return;
		s->node[s->n_nodes++] = node;
	}
}

/* Gives back what no position to come can see. One position more is kept:
 * mlx-lm's rotating cache holds a whole window even between steps. */
static void slide(struct kv_seq *s)
{
	struct kv_pool *p = s->pool;

	for (unsigned g = 0; g < p->n_groups; g++) {
		size_t keep = kv_first_seen(p->group[g].window, s->computed);

		if (p->group[g].state)
			states_slide(s, g);
		if (!keep || p->group[g].state)
			continue;
		keep = (keep - 1) / PAGE_POSITIONS;
		for (; s->given[g] < keep; s->given[g]++) {
			page_drop(p, g, s->table[g][s->given[g]]);
			s->table[g][s->given[g]] = NONE;
		}
	}
}

void kv_ready(struct kv_seq *s, size_t n)
{
	assert(n && n <= s->n - s->computed);
	for (unsigned g = 0; g < s->pool->n_groups; g++)
		if (s->pool->group[g].state)
			states_ready(s, g, n);
}

void kv_done(struct kv_seq *s, size_t n)
{
	size_t from = s->computed;

	s->computed += n;
	for (unsigned g = 0; n && g < s->pool->n_groups; g++)
		if (s->pool->group[g].state)
			states_done(s, g, from);
	publish(s);
	slide(s);
}

/* ---- rewind */

/* Takes back, from the prefix nodes, what sliding groups and states need for
 * position `pos` to be computed next. False where it is gone. */
static bool reach(struct kv_seq *s, size_t pos)
{
	struct kv_pool *p = s->pool;
	size_t want[KV_GROUPS];

	for (unsigned g = 0; g < p->n_groups; g++) {
		want[g] = kv_first_seen(p->group[g].window, pos) / PAGE_POSITIONS;
		if (p->group[g].state) {
			if (!states_reach(s, g, pos))
				return false;
			continue;
		}
		for (size_t i = want[g]; i < s->given[g] && i < pages_of(pos); i++)
			if (i >= s->n_nodes || p->node[s->node[i]].page[g] == NONE)
				return false;
	}
	for (unsigned g = 0; g < p->n_groups; g++) {
		if (p->group[g].state)
			states_take_back(s, g, pos);
		while (!p->group[g].state && s->given[g] > want[g]) {
			size_t i = --s->given[g];

			if (i >= pages_of(pos))
				continue;
			s->table[g][i] = p->node[s->node[i]].page[g];
			page_hold(p, g, s->table[g][i]);
		}
	}
	return true;
}

/* The last position up to `pos` that can be computed next. */
static size_t reachable(struct kv_seq *s, size_t pos)
{
	if (pos >= s->computed)
		return pos;
	if (!s->pool->recurs)
		return reach(s, pos) ? pos : 0;
	for (pos -= pos % PAGE_POSITIONS; pos && !reach(s, pos);)
		pos -= PAGE_POSITIONS;
	return pos;
}

size_t kv_rewind(struct kv_seq *s, size_t pos)
{
	struct kv_pool *p = s->pool;

	pos = reachable(s, pos < s->n ? pos : s->n);
	for (unsigned g = 0; g < p->n_groups; g++) {
		if (p->group[g].state)
			states_cut(s, g, pages_of(pos), pages_of(s->n));
		for (size_t i = pages_of(s->n); !p->group[g].state && i > pages_of(pos); i--)
			if (s->table[g][i - 1] != NONE)
				page_drop(p, g, s->table[g][i - 1]);
		if (s->given[g] > pages_of(pos))
			s->given[g] = pages_of(pos);
	}
	while (s->n_nodes > pos / PAGE_POSITIONS)
		prefix_leave(p, s->node[--s->n_nodes]);
	s->n = pos;
	if (s->computed > pos)
		s->computed = pos;
	if (!pos)
		s->private = false;
	return pos;
}

/* ---- sharing */

int kv_fork(struct kv_seq **out, struct kv_seq *s, struct err *e)
{
	struct kv_pool *p = s->pool;
	struct kv_seq *f = NULL;
	/* a state that is yet to go on is not shared: each side moves its own */
	size_t n = p->recurs ? s->computed : s->n;

	if (kv_seq_open(&f, p, e))
		return -1;
	if (reserve(f, s->n, e)) {
		kv_seq_close(f);
		return -1;
	}
	for (unsigned g = 0; g < p->n_groups; g++) {
		for (size_t i = 0; i < pages_of(n); i++) {
			f->table[g][i] = p->group[g].state ? NONE : s->table[g][i];
			if (f->table[g][i] != NONE)
				page_hold(p, g, f->table[g][i]);
		}
		f->given[g] = s->given[g];
	}
	for (; f->n_nodes < s->n_nodes; f->n_nodes++) {
		f->node[f->n_nodes] = s->node[f->n_nodes];
		prefix_use(p, f->node[f->n_nodes]);
	}
	if (n)
		memcpy(f->id, s->id, n * sizeof *s->id);
	f->n = n;
	f->computed = s->computed;
	f->private = s->private;
	f->adapter = s->adapter;
	for (unsigned g = 0; g < p->n_groups; g++)
		if (p->group[g].state && states_fork(f, s, g, e)) {
			kv_seq_close(f);
			return -1;
		}
	if (kv_append(f, s->id + n, s->n - n, e)) {
		kv_seq_close(f);
		return -1;
	}
	*out = f;
	return 0;
}

/* How many of the first nodes can be used: the last page at which every
 * sliding group has its window. */
static size_t usable(const struct kv_seq *s, size_t n)
{
	const struct kv_pool *p = s->pool;
	size_t from[KV_GROUPS] = { 0 }, best = 0; /* from: first page of the run without a gap */

	for (size_t i = 0; i < n; i++) {
		bool good = true;

		for (size_t g = 0; g < p->n_groups; g++) {
			size_t next = (i + 1) * PAGE_POSITIONS;

			if (p->node[s->node[i]].page[g] == NONE)
				from[g] = i + 1;
			good &= from[g] <= kv_first_seen(p->group[g].window, next) / PAGE_POSITIONS;
		}
		if (good)
			best = i + 1;
	}
	return best;
}

size_t kv_match(struct kv_seq *s, const int32_t *id, size_t n)
{
	struct kv_pool *p = s->pool;
	struct err e;
	size_t found = 0;
	int32_t at = -1 - s->adapter;

	if (s->n || !n || reserve(s, n, &e))
		return 0;
	while ((found + 1) * PAGE_POSITIONS < n) {
		at = prefix_find(p, at, id + found * PAGE_POSITIONS);
		if (at == NONE)
			break;
		s->node[found++] = at;
	}
	s->shared = found;
	found = usable(s, found);
	for (; s->n_nodes < found; s->n_nodes++)
		prefix_use(p, s->node[s->n_nodes]);
	s->n = s->computed = found * PAGE_POSITIONS;
	if (found)
		memcpy(s->id, id, s->n * sizeof *id);
	for (unsigned g = 0; g < p->n_groups; g++) {
		s->given[g] = kv_first_seen(p->group[g].window, s->n) / PAGE_POSITIONS;
		for (size_t i = 0; i < found; i++) {
			s->table[g][i] = i < s->given[g] ? NONE : p->node[s->node[i]].page[g];
			if (s->table[g][i] != NONE)
				page_hold(p, g, s->table[g][i]);
		}
	}
	return s->n;
}
