/* SPDX-License-Identifier: MIT */
/* states.c - pages of recurrent states: one that moves on, and checkpoints
 *
 * A page of states holds what they are after one position. The page that a
 * sequence goes on with stands in the table for all positions that are
 * appended, so that a step carries the states in place, from entry to entry.
 * Where a checkpoint is wanted, at a border of pages of positions, the entries
 * after it get another page, and the one before stays what it was there.
 * Behind the computed positions an entry is a checkpoint, or NONE.
 *
 * States may be megabytes, so their pages are few: a checkpoint is kept while
 * that leaves pages for new sequences, and of one sequence the last few. Those
 * at every `stride`-th border, and where a sequence left what others had begun
 * with too, stay for others to find, as long as there is room; the rest goes
 * with the sequence. */
#include "kv/pages.h"

static size_t last_entry(size_t n)
{
	return (n - 1) / PAGE_POSITIONS;
}

/* No other sequence holds it. */
static bool is_own(const struct page *t)
{
	return t->refs == 1u + (t->node != NONE);
}

/* A page can be had that no new sequence will miss. */
static bool spare(const struct kv_pool *p, unsigned g)
{
	size_t left = pages_left(p, g), least = SIZE_MAX;

	for (unsigned k = 0; k < p->n_groups; k++)
		if (!p->group[k].state && pages_left(p, k) < least)
			least = pages_left(p, k);
	return left && (2 * left > p->group[g].n || left > least);
}

/* A checkpoint after `pages` of positions is for others too. */
static bool for_others(const struct kv_seq *s, unsigned g, size_t pages)
{
	return pages % s->pool->group[g].stride == 0 || pages == s->shared;
}

size_t states_needed(const struct kv_seq *s, unsigned g)
{
	return !s->n || !is_own(&s->pool->group[g].page[s->table[g][last_entry(s->n)]]);
}

/* The page with which to go on from the state in `page`, which is that of a
 * border of pages: another, where this one is to stay or is others' too. */
static int32_t go_on(struct kv_pool *p, unsigned g, int32_t page)
{
	if (spare(p, g) || !is_own(&p->group[g].page[page]))
		return page_take(p, g);
	if (p->group[g].page[page].node != NONE)
		prefix_forget(p, g, page);
	return page;
}

void states_append(struct kv_seq *s, unsigned g, size_t first, size_t end)
{
	int32_t page, *t = s->table[g];

	if (first == end)
		return;
	page = first ? t[first - 1] : page_take(s->pool, g);
	if (first && s->n % PAGE_POSITIONS == 0 && s->computed == s->n)
		page = go_on(s->pool, g, page);
	for (size_t i = first; i < end; i++)
		t[i] = page;
}

/* The entries from `at` on, which go on in place, get a page of their own. */
static void branch(struct kv_seq *s, unsigned g, size_t at)
{
	int32_t *t = s->table[g], old = t[at - 1], page;
	size_t end = last_entry(s->n) + 1;

	if (at >= end || t[at] != old || !spare(s->pool, g))
		return;
	page = page_take(s->pool, g);
	for (size_t i = at; i < end && t[i] == old; i++)
		t[i] = page;
}

void states_ready(struct kv_seq *s, unsigned g, size_t n)
{
	size_t last = last_entry(s->computed + n);
	bool ends = s->computed + n == s->n;

	for (size_t i = s->computed / PAGE_POSITIONS + 1; i <= last; i++)
		if (for_others(s, g, i) || (ends && i == last))
			branch(s, g, i);
}

void states_done(struct kv_seq *s, unsigned g, size_t from)
{
	size_t at = last_entry(s->computed);
	int32_t *t = s->table[g];

	if (s->computed % PAGE_POSITIONS == 0 && for_others(s, g, at + 1))
		branch(s, g, at + 1);
	for (size_t i = from ? last_entry(from) : 0; i < at; i++)
		if (t[i] == t[i + 1])
			t[i] = NONE;
}

bool states_rest(const struct kv_seq *s, unsigned g, size_t i)
{
	const int32_t *t = s->table[g];

	return i < last_entry(s->computed) || last_entry(s->n) == i || t[i] != t[i + 1];
}

void states_slide(struct kv_seq *s, unsigned g)
{
	struct kv_pool *p = s->pool;
	size_t at = last_entry(s->computed), kept = 0;
	int32_t *t = s->table[g];

	for (size_t i = at; i-- > s->given[g];) {
		struct page *page = t[i] == NONE ? NULL : &p->group[g].page[t[i]];

		if (!page || ++kept <= KEPT_STATES)
			continue;
		if (!for_others(s, g, i + 1) && page->node != NONE && is_own(page))
			prefix_forget(p, g, t[i]);
		page_drop(p, g, t[i]);
		t[i] = NONE;
	}
	while (s->given[g] < at && t[s->given[g]] == NONE)
		s->given[g]++;
}

/* ---- rewind, fork */

bool states_reach(const struct kv_seq *s, unsigned g, size_t pos)
{
	size_t i = last_entry(pos);

	return s->table[g][i] != NONE ||
	       (i < s->n_nodes && s->pool->node[s->node[i]].page[g] != NONE);
}

void states_take_back(struct kv_seq *s, unsigned g, size_t pos)
{
	size_t i = last_entry(pos);

	if (s->table[g][i] == NONE) {
		s->table[g][i] = s->pool->node[s->node[i]].page[g];
		page_hold(s->pool, g, s->table[g][i]);
	}
	if (s->given[g] > i)
		s->given[g] = i;
}

void states_cut(struct kv_seq *s, unsigned g, size_t keep, size_t end)
{
	int32_t *t = s->table[g];

	for (size_t i = end; i > keep; i--)
		if (t[i - 1] != NONE && (i < 2 || t[i - 2] != t[i - 1]))
			page_drop(s->pool, g, t[i - 1]);
}

int states_fork(struct kv_seq *f, const struct kv_seq *s, unsigned g, struct err *e)
{
	struct kv_pool *p = s->pool;
	size_t at;

	if (!s->computed)
		return 0;
	at = last_entry(s->computed);
	for (size_t i = 0; i <= at; i++) {
		f->table[g][i] = s->table[g][i];
		if (f->table[g][i] != NONE && (i < at || s->computed == s->n))
			page_hold(p, g, f->table[g][i]);
	}
	f->given[g] = s->given[g];
	if (s->computed == s->n)
		return 0;
	/* it is about to go on in place: the fork begins from a copy */
	f->table[g][at] = NONE;
	if (!pages_left(p, g))
		return err_set(e, ERR_MACHINE, "the cache is full: no room for a state");
	f->table[g][at] = page_take(p, g);
	return exec_kv_copy(p->store, g, f->table[g][at], s->table[g][at], e);
}
