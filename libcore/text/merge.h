/* SPDX-License-Identifier: MIT */
/* merge.h - join neighbouring symbols, best pair first, until none joins.
 *
 * Two orders share the work: by rank, where a table says which pairs of ids
 * join (BPE: Sennrich et al., 2016, arXiv:1508.07909), and by score, where a
 * pair joins when its text is a token (SentencePiece's). */
#ifndef CLM_TEXT_MERGE_H
#define CLM_TEXT_MERGE_H

#include "text/hash.h"
#include "text/vocab.h"

struct merge_slot {
	uint64_t key; /* left id << 32 | right id; MERGE_FREE */
	uint32_t rank;
	int32_t id; /* what the pair becomes */
};
#define MERGE_FREE UINT64_MAX

struct merges {
	struct merge_slot *slot;
	size_t n_slots, n;
};
NEED int merges_init(struct merges *m, size_t n_expected, struct err *e);
void merges_release(struct merges *m);
/* A pair that is there already keeps its rank unless `replace`. */
NEED int merges_add(struct merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id,
                    bool replace, struct err *e);

static inline const struct merge_slot *merges_find(const struct merges *m, int32_t left,
                                                   int32_t right)
{
	uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
	size_t k = hash_u64(key) & (m->n_slots - 1);

	for (; m->slot[k].key != key; k = (k + 1) & (m->n_slots - 1))
		if (m->slot[k].key == MERGE_FREE)
			return NULL;
	return &m->slot[k];
}

struct symbol {
	uint32_t at, n;      /* its bytes in the text */
	int32_t id;          /* -1: no token */
	bool frozen;         /* joins nothing */
	uint32_t prev, next; /* neighbours; SYMBOL_END */
};
enum { SYMBOL_END = (int)0xFFFFFFFF };

/* What pairs join. */
struct joiner {
	const struct merges *merges; /* by rank; or */
	const struct vocab *vocab;   /* by score */
	/* Told of each pair whose text is an unused token; may be NULL. */
	void (*unused)(void *arg, int32_t id, uint32_t n_left);
	void *arg;
};

struct merge_room {
	struct symbol *symbol;
	size_t n, room;
	struct heap_entry *heap;
	size_t n_heap, heap_room;
};
void merge_room_release(struct merge_room *m);
/* Adds a symbol at the end. */
NEED int merge_add(struct merge_room *m, uint32_t at, uint32_t n, int32_t id, bool frozen,
                   struct err *e);
/* Merges the m->n symbols; those left are 0 .. m->n - 1 afterwards. In the
 * worst case n log n. */
NEED int merge_run(struct merge_room *m, const struct joiner *j, const unsigned char *text,
                   struct err *e);

#endif
