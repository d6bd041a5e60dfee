/* SPDX-License-Identifier: MIT */
/* map.c - hash map from a byte view to an index.
 *
 * Linear probing over a table at most three quarters full.
 * Aumasson and Bernstein, 2012, "SipHash: a fast short-input PRF". */
#include "util/map.h"
#include "util/num.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

struct map_entry {
	struct bytes key;
	uint32_t tag; /* high half of the hash: most misses stop here */
	bool used;
	int64_t value;
};

static uint64_t rotate(uint64_t v, int by)
{
	return v << by | v >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32) + v[3];
	v[2] += v[1];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[2] = rotate(v[2], 32);
}

static uint64_t hash(struct bytes b, uint64_t seed)
{
	uint64_t v[4] = {
		UINT64_C(0x736f6d6570736575) ^ seed,
		UINT64_C(0x646f72616e646f6d) ^ ~seed,
		UINT64_C(0x6c7967656e657261) ^ seed,
		UINT64_C(0x7465646279746573) ^ ~seed,
	};
	uint64_t word, last = (uint64_t)b.n << 56;
	size_t i = 0;

	for (; b.n - i >= 8; i += 8) {
		memcpy(&word, b.p + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	for (int shift = 0; i < b.n; i++, shift += 8)
		last |= (uint64_t)b.p[i] << shift;
	v[3] ^= last;
	sip_round(v);
	v[0] ^= last;
	v[2] ^= 0xff;
	for (int k = 0; k < 3; k++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t map_hash(struct bytes b)
{
	return hash(b, 0);
}

/* The entry of the key, or the free one where it would go. */
static struct map_entry *find(const struct map *m, struct bytes key, uint64_t h)
{
	size_t at = (size_t)h & (m->room - 1);
	struct map_entry *t;

	for (;; at = (at + 1) & (m->room - 1)) {
		t = &m->entry[at];
		if (!t->used || (t->tag == h >> 32 && bytes_equal(t->key, key)))
			return t;
	}
}

static int resize(struct map *m, size_t room, struct err *e)
{
	struct map old = *m;
	size_t n_bytes;

	if (!num_mul(&n_bytes, room, sizeof *m->entry))
		return err_memory(e, SIZE_MAX);
	m->entry = calloc(1, n_bytes);
	if (!m->entry) {
		*m = old;
		return err_memory(e, n_bytes);
	}
	m->room = room;
	for (size_t i = 0; i < old.room; i++) {
		struct map_entry *t = &old.entry[i];

		if (t->used)
			*find(m, t->key, hash(t->key, m->seed)) = *t;
	}
	free(old.entry);
	return 0;
}

int map_init(struct map *m, size_t n_expected, struct err *e)
{
	size_t room = 16;

	*m = (struct map){ 0 };
	if (getrandom(&m->seed, sizeof m->seed, GRND_NONBLOCK) != sizeof m->seed)
		m->seed = (uint64_t)time(NULL) ^ (uintptr_t)m;
	if (n_expected > SIZE_MAX / 4)
		return err_memory(e, SIZE_MAX);
	while (room / 4 * 3 < n_expected)
		room *= 2;
	return resize(m, room, e);
}

void map_release(struct map *m)
{
	if (!m)
		return;
	free(m->entry);
	*m = (struct map){ 0 };
}

int map_add(struct map *m, struct bytes key, int64_t value, struct err *e)
{
	uint64_t h = hash(key, m->seed);
	struct map_entry *t;

	if (m->n >= m->room / 4 * 3 && resize(m, m->room * 2, e))
		return -1;
	t = find(m, key, h);
	if (t->used)
		return 1;
	*t = (struct map_entry){ key, (uint32_t)(h >> 32), true, value };
	m->n++;
	return 0;
}

int64_t map_get(const struct map *m, struct bytes key)
{
	const struct map_entry *t;

	if (m->n == 0)
		return MAP_NONE;
	t = find(m, key, hash(key, m->seed));
	return t->used ? t->value : MAP_NONE;
}
