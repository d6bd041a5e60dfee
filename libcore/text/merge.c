/* SPDX-License-Identifier: MIT */
/* merge.c - short texts by looking at every pair each time, which is fastest
 * there; long ones by a heap of pairs. Both take the best pair first and of
 * equals the leftmost. */
#include "text/merge.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT = 24 };

/* ---- the table of pairs */

static int grow(struct merges *m, size_t n_slots, struct err *e)
{
	struct merge_slot *slot = malloc(n_slots * sizeof *slot), *old = m->slot;
	size_t n_old = m->n_slots;

	if (!slot)
		return err_memory(e, n_slots * sizeof *slot);
	for (size_t i = 0; i < n_slots; i++)
		slot[i].key = MERGE_FREE;
	for (size_t i = 0; i < n_old; i++) {
		size_t k = hash_u64(old[i].key) & (n_slots - 1);

		if (old[i].key == MERGE_FREE)
			continue;
		while (slot[k].key != MERGE_FREE)
			k = (k + 1) & (n_slots - 1);
		slot[k] = old[i];
	}
	free(old);
	m->slot = slot;
	m->n_slots = n_slots;
	return 0;
}

int merges_init(struct merges *m, size_t n_expected, struct err *e)
{
	size_t n_slots = 16;

	memset(m, 0, sizeof *m);
	while (n_slots * 2 < 3 * n_expected && n_slots < (size_t)1 << 23)
		n_slots *= 2;
	return grow(m, n_slots, e);
}

void merges_release(struct merges *m)
{
	free(m->slot);
	memset(m, 0, sizeof *m);
}

int merges_add(struct merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id,
               bool replace, struct err *e)
{
	uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
	size_t k;

	if (3 * m->n >= 2 * m->n_slots && grow(m, m->n_slots * 2, e))
		return -1;
	k = hash_u64(key) & (m->n_slots - 1);
	while (m->slot[k].key != MERGE_FREE && m->slot[k].key != key)
		k = (k + 1) & (m->n_slots - 1);
	if (m->slot[k].key == key) {
		if (replace)
			m->slot[k].rank = rank;
		return 0;
	}
	m->slot[k] = (struct merge_slot){ key, rank, id };
	m->n++;
	return 0;
}

/* ---- symbols */

struct heap_entry {
	uint32_t order; /* the lower, the sooner */
	uint32_t left;
	uint32_t n; /* bytes of the pair: stale when they changed */
	int32_t id;
};

void merge_room_release(struct merge_room *m)
{
	free(m->symbol);
	free(m->heap);
	memset(m, 0, sizeof *m);
}

int merge_add(struct merge_room *m, uint32_t at, uint32_t n, int32_t id, bool frozen, struct err *e)
{
	size_t room = m->room ? m->room * 2 : 256;
	struct symbol *symbol;

	if (m->n == m->room) {
		symbol = realloc(m->symbol, room * sizeof *symbol);
		if (!symbol)
			return err_memory(e, room * sizeof *symbol);
		m->symbol = symbol;
		m->room = room;
	}
	m->symbol[m->n++] = (struct symbol){ .at = at, .n = n, .id = id, .frozen = frozen };
	return 0;
}

/* Scores from high to low as numbers from low to high. */
static uint32_t order_of(float score)
{
	uint32_t u;

	memcpy(&u, &score, sizeof u);
	u = u >> 31 ? ~u : u | UINT32_C(0x80000000);
	return ~u;
}

static bool join_by_text(const struct joiner *j, const unsigned char *text, const struct symbol *a,
                         const struct symbol *b, struct heap_entry *out)
{
	int32_t id;
	const struct token *t;

	if (a->frozen || b->frozen)
		return false;
	id = vocab_find(j->vocab, (struct bytes){ text + a->at, (size_t)a->n + b->n });
	if (id < 0)
		return false;
	t = &j->vocab->token[id];
	if (t->type != TOKEN_NORMAL && t->type != TOKEN_USER && t->type != TOKEN_UNUSED)
		return false;
	if (t->type == TOKEN_UNUSED && j->unused)
		j->unused(j->arg, id, a->n);
	out->order = order_of((float)t->score);
	out->id = id;
	return true;
}

static inline bool join(const struct joiner *j, const unsigned char *text, const struct symbol *a,
                        const struct symbol *b, struct heap_entry *out)
{
	const struct merge_slot *m;

	if (!j->merges)
		return join_by_text(j, text, a, b, out);
	if (a->id < 0 || b->id < 0)
		return false;
	m = merges_find(j->merges, a->id, b->id);
	if (!m)
		return false;
	out->order = m->rank;
	out->id = m->id;
	return true;
}

/* ---- few symbols */

struct pair {
	bool there;
	struct heap_entry e;
};

static void look(const struct merge_room *m, const struct joiner *j, const unsigned char *text,
                 struct pair *pair, size_t i)
{
	pair[i].there = join(j, text, &m->symbol[i], &m->symbol[i + 1], &pair[i].e);
}

static void run_short(struct merge_room *m, const struct joiner *j, const unsigned char *text)
{
	struct pair pair[SHORT];
	struct symbol *s = m->symbol;

	for (size_t i = 0; i + 1 < m->n; i++)
		look(m, j, text, pair, i);
	for (;;) {
		size_t best = m->n, tail;

		for (size_t i = 0; i + 1 < m->n; i++)
			if (pair[i].there && (best == m->n || pair[i].e.order < pair[best].e.order))
				best = i;
		if (best == m->n)
			return;
		s[best].n += s[best + 1].n;
		s[best].id = pair[best].e.id;
		m->n--;
		tail = m->n - best - 1;
		memmove(&s[best + 1], &s[best + 2], tail * sizeof *s);
		memmove(&pair[best], &pair[best + 1], tail * sizeof *pair);
		if (best)
			look(m, j, text, pair, best - 1);
		if (best + 1 < m->n)
			look(m, j, text, pair, best);
	}
}

/* ---- many symbols */

static bool before(const struct heap_entry *a, const struct heap_entry *b)
{
	return a->order != b->order ? a->order < b->order : a->left < b->left;
}

static int push(struct merge_room *m, struct heap_entry x, struct err *e)
{
	size_t room = m->heap_room ? m->heap_room * 2 : 1024, i = m->n_heap;
	struct heap_entry *heap;

	if (m->n_heap == m->heap_room) {
		heap = realloc(m->heap, room * sizeof *heap);
		if (!heap)
			return err_memory(e, room * sizeof *heap);
		m->heap = heap;
		m->heap_room = room;
	}
	for (m->n_heap++; i && before(&x, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
		m->heap[i] = m->heap[(i - 1) / 2];
	m->heap[i] = x;
	return 0;
}

static struct heap_entry pop(struct merge_room *m)
{
	struct heap_entry top = m->heap[0], x = m->heap[--m->n_heap];
	size_t i = 0, k;

	for (; (k = 2 * i + 1) < m->n_heap; i = k) {
		if (k + 1 < m->n_heap && before(&m->heap[k + 1], &m->heap[k]))
			k++;
		if (!before(&m->heap[k], &x))
			break;
		m->heap[i] = m->heap[k];
	}
	if (m->n_heap)
		m->heap[i] = x;
	return top;
}

static int offer(struct merge_room *m, const struct joiner *j, const unsigned char *text,
                 uint32_t left, struct err *e)
{
	const struct symbol *a = &m->symbol[left], *b;
	struct heap_entry x = { .left = left };

	if (left == (uint32_t)SYMBOL_END || a->next == (uint32_t)SYMBOL_END)
		return 0;
	b = &m->symbol[a->next];
	if (!join(j, text, a, b, &x))
		return 0;
	x.n = a->n + b->n;
	return push(m, x, e);
}

/* Joins a symbol with its right neighbour, which is left without bytes. */
static void absorb(struct merge_room *m, struct symbol *a, int32_t id)
{
	struct symbol *b = &m->symbol[a->next];

	a->n += b->n;
	a->id = id;
	a->next = b->next;
	if (b->next != (uint32_t)SYMBOL_END)
		m->symbol[b->next].prev = (uint32_t)(a - m->symbol);
	b->n = 0;
}

static int run_long(struct merge_room *m, const struct joiner *j, const unsigned char *text,
                    struct err *e)
{
	size_t n = 0;

	m->n_heap = 0;
	for (size_t i = 0; i < m->n; i++) {
		m->symbol[i].prev = i ? (uint32_t)i - 1 : (uint32_t)SYMBOL_END;
		m->symbol[i].next = i + 1 < m->n ? (uint32_t)i + 1 : (uint32_t)SYMBOL_END;
	}
	for (size_t i = 0; i < m->n; i++)
		if (offer(m, j, text, (uint32_t)i, e))
			return -1;
	while (m->n_heap) {
		struct heap_entry x = pop(m);
		struct symbol *a = &m->symbol[x.left];

		if (!a->n || a->next == (uint32_t)SYMBOL_END || a->n + m->symbol[a->next].n != x.n)
			continue;
		absorb(m, a, x.id);
		if (offer(m, j, text, a->prev, e) || offer(m, j, text, x.left, e))
			return -1;
	}
	for (size_t i = 0; i < m->n; i++)
		if (m->symbol[i].n)
			m->symbol[n++] = m->symbol[i];
	m->n = n;
	return 0;
}

int merge_run(struct merge_room *m, const struct joiner *j, const unsigned char *text,
              struct err *e)
{
	if (m->n <= SHORT) {
		run_short(m, j, text);
		return 0;
	}
	return run_long(m, j, text, e);
}
