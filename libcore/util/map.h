/* SPDX-License-Identifier: MIT */
/* map.h - hash map from a byte view to an index. Keys are borrowed: they
 * must outlive the map. SipHash-1-3 with a seed per map (files choose the
 * keys, so they must not choose the collisions), open addressing. */
#ifndef CLM_UTIL_MAP_H
#define CLM_UTIL_MAP_H

#include "util/bytes.h"
#include "util/err.h"

struct map_entry;
struct map {
	struct map_entry *entry;
	size_t n, room; /* room: a power of two */
	uint64_t seed;
};

enum { MAP_NONE = -1 };

NEED int map_init(struct map *m, size_t n_expected, struct err *e);
void map_release(struct map *m);
/* Adds key -> value; 1 if the key was there (value untouched), 0 if added,
 * -1 without memory. value >= 0. */
NEED int map_add(struct map *m, struct bytes key, int64_t value, struct err *e);
int64_t map_get(const struct map *m, struct bytes key); /* MAP_NONE if absent */
uint64_t map_hash(struct bytes b);                      /* the same in every run */

#endif
