/* SPDX-License-Identifier: MIT */
/* check.h - what the suites of kv/ share: a small pool on the reference
 * device, and positions that tell whose they are.
 *
 * Nothing is computed: "computing" a position writes numbers that depend on
 * every id up to it, so a page that is shared, copied or kept wrongly shows
 * at once. */
#ifndef CLM_KV_CHECK_H
#define CLM_KV_CHECK_H

#include "kv/pages.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DIM = 4, WINDOW = 40, N_LAYERS = 2, ROW = 2 * 2 * DIM };

/* Layer 0 has more heads, layer 1 longer values. */
static const struct exec_kv_layer check_layers[N_LAYERS] = {
	{ 2, DIM, DIM, .group = 0 },
	{ 1, DIM, 2 * DIM, .group = 1 },
};
static struct exec *check_exec;
static struct kv_pool *pool;

/* The windows of layers 0 and 1; 0 sees everything. */
static inline void open_pool(size_t tokens, size_t window0, size_t window1, unsigned flags)
{
	size_t windows[2] = { window0, window1 };
	struct kv_shape shape = { check_layers, N_LAYERS, 2, windows, NULL, 0 };
	struct exec_options o = { .device = "ref", .cache_dir = "", .flags = flags };
	struct err e;

	ck_assert_msg(!exec_open(&check_exec, &o, &e), "%s", e.text);
	ck_assert_msg(!kv_pool_open(&pool, check_exec, &shape, tokens, &e), "%s", e.text);
}

/* No sequence is open: every page is free or idle, and nothing leaks. */
static inline void close_pool(void)
{
	for (size_t g = 0; g < 2; g++) {
		struct group *t = &pool->group[g];
		size_t idle = 0;

		ck_assert_uint_eq(t->n_free + t->n_idle, t->n);
		for (int32_t i = t->oldest; i != NONE; i = t->page[i].newer)
			idle++;
		ck_assert_uint_eq(idle, t->n_idle);
	}
	kv_pool_close(pool);
	ck_assert_uint_eq(exec_bytes(check_exec), 0);
	exec_close(check_exec);
}

static inline struct kv_seq *open_seq(void)
{
	struct kv_seq *s;
	struct err e;

	ck_assert(!kv_seq_open(&s, pool, &e));
	return s;
}

static inline void count_up(int32_t *id, size_t n, int32_t from)
{
	for (size_t i = 0; i < n; i++)
		id[i] = from + (int32_t)i;
}

/* ---- what a position holds: 10 bits of a hash, exact in f16 */

static inline uint32_t hash_of(const int32_t *id, size_t pos)
{
	uint32_t h = 1;

	for (size_t i = 0; i <= pos; i++)
		h = (h ^ (uint32_t)id[i]) * 16777619u;
	return h;
}

static inline float value(uint32_t hash, size_t layer, size_t head, bool keys, size_t at)
{
	hash = (hash ^ (uint32_t)(layer * 7 + head * 3 + keys)) * 2654435761u;
	return (float)(hash >> 22) + (float)at;
}

/* A position of a layer: [head][dim] keys or values. Gives their number. */
static inline size_t row_of(float out[ROW], uint32_t hash, size_t layer, bool keys)
{
	const struct exec_kv_layer *l = &check_layers[layer];
	size_t dim = keys ? l->k_dim : l->v_dim;

	for (size_t i = 0; i < l->n_heads * dim; i++)
		out[i] = value(hash, layer, i / dim, keys, i % dim);
	return l->n_heads * dim;
}

static inline void compute(struct kv_seq *s, size_t n)
{
	enum dtype t = exec_kv_dtype(pool->store);
	struct err e;

	for (size_t pos = kv_computed(s), end = pos + n; pos < end; pos++) {
		uint32_t hash = hash_of(kv_ids(s), pos);

		for (size_t l = 0; l < N_LAYERS; l++) {
			float row[ROW], k[ROW], v[ROW];
			size_t n_pages;
			int32_t page = kv_pages(s, check_layers[l].group,
			                        &n_pages)[pos / PAGE_POSITIONS];

			dtype_from_f32(t, k, row, row_of(row, hash, l, true));
			dtype_from_f32(t, v, row, row_of(row, hash, l, false));
			ck_assert(!exec_kv_import(pool->store, l, page, pos % PAGE_POSITIONS, 1, k,
			                          v, &e));
		}
	}
	kv_done(s, n);
}

static inline void add(struct kv_seq *s, const int32_t *id, size_t n)
{
	struct err e;

	ck_assert_msg(!kv_append(s, id, n, &e), "%s", e.text);
	compute(s, n);
}

static inline void verify_row(const void *have, uint32_t hash, size_t pos, size_t layer, bool keys,
                              double within)
{
	float want[ROW], got[ROW];
	size_t n = row_of(want, hash, layer, keys);

	dtype_to_f32(exec_kv_dtype(pool->store), got, have, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabs((double)got[i] - (double)want[i]) <= within,
		              "layer %zu, position %zu, element %zu: %g, expected %g", layer, pos,
		              i, (double)got[i], (double)want[i]);
}

/* Every position that the next one sees holds what it should, to `within`. */
static inline void verify_rows(const struct kv_seq *s, const int32_t *id, size_t n, double within)
{
	struct err e;

	ck_assert_uint_eq(kv_len(s), n);
	ck_assert_uint_eq(kv_computed(s), n);
	for (size_t l = 0; l < N_LAYERS; l++) {
		size_t n_pages, g = check_layers[l].group;
		const int32_t *table = kv_pages(s, (unsigned)g, &n_pages);

		ck_assert_uint_eq(n_pages, (n + PAGE_POSITIONS - 1) / PAGE_POSITIONS);
		for (size_t pos = kv_first_seen(pool->group[g].window, n); pos < n; pos++) {
			uint32_t hash = hash_of(id, pos);
			float k[ROW], v[ROW];

			ck_assert_int_ge(table[pos / PAGE_POSITIONS], 0);
			ck_assert(!exec_kv_export(pool->store, l, table[pos / PAGE_POSITIONS],
			                          pos % PAGE_POSITIONS, 1, k, v, &e));
			verify_row(k, hash, pos, l, true, within);
			verify_row(v, hash, pos, l, false, within);
		}
	}
}

static inline void verify(const struct kv_seq *s, const int32_t *id, size_t n)
{
	verify_rows(s, id, n, 0);
	if (n)
		ck_assert_mem_eq(kv_ids(s), id, n * sizeof *id);
}

#endif
