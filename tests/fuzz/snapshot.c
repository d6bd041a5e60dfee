/* SPDX-License-Identifier: MIT */
/* snapshot.c - any bytes as a prompt-cache file: they are refused and the
 * sequence stays empty, or its positions are there; no page is lost. */
#include "kv/kv.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Two layers, the second one sliding over 8 positions. */
static struct kv_pool *open_pool(void)
{
	static const struct exec_kv_layer layers[] = { { 2, 4, 4, .group = 0 },
	                                               { 1, 4, 4, .group = 1 } };
	static const size_t windows[] = { 0, 8 };
	struct kv_shape shape = { layers, 2, 2, windows, NULL, 0 };
	struct exec_options o = { .device = "ref", .cache_dir = "" };
	struct kv_pool *pool;
	struct exec *x;
	struct err e;

	if (exec_open(&x, &o, &e) || kv_pool_open(&pool, x, &shape, 256, &e))
		abort();
	return pool;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct kv_pool *pool;
	struct kv_seq *s;
	bool has_ids;
	struct err e;

	if (!pool)
		pool = open_pool();
	if (kv_seq_open(&s, pool, &e))
		abort();
	if (kv_load_bytes(s, (struct bytes){ data, n }, "d", &has_ids, &e)) {
		if (kv_len(s) || e.kind == ERR_NONE)
			abort();
	} else if (!kv_len(s) || kv_computed(s) != kv_len(s)) {
		abort();
	}
	kv_seq_close(s);
	if (kv_pool_room(pool) != 256)
		abort();
	return 0;
}
