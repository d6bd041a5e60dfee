/* SPDX-License-Identifier: MIT */
/* cache.h - the ids of short words met before, in fixed memory. A word goes
 * where its hash says and the last one there wins. */
#ifndef CLM_TEXT_CACHE_H
#define CLM_TEXT_CACHE_H

#include "text/hash.h"
#include "util/bytes.h"

enum { CACHE_WORDS = 1 << 14, CACHE_BYTES = 28, CACHE_IDS = 8 };

struct word {
	uint8_t n_bytes, n_ids; /* n_bytes 0: free */
	unsigned char text[CACHE_BYTES];
	int32_t id[CACHE_IDS];
};

struct cache {
	struct word word[CACHE_WORDS];
};

/* The word's place; the caller looks whether it is there. w.n is 1 to
 * CACHE_BYTES. */
static inline struct word *cache_at(struct cache *c, struct bytes w)
{
	return &c->word[hash_bytes(w.p, w.n) % CACHE_WORDS];
}

static inline bool cache_has(const struct word *at, struct bytes w)
{
	return at->n_bytes == w.n && !memcmp(at->text, w.p, w.n);
}

static inline void cache_put(struct word *at, struct bytes w, const int32_t *id, size_t n)
{
	if (n > CACHE_IDS)
		return;
	at->n_bytes = (uint8_t)w.n;
	at->n_ids = (uint8_t)n;
	memcpy(at->text, w.p, w.n);
	memcpy(at->id, id, n * sizeof *id);
}

#endif
