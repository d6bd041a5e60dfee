/* SPDX-License-Identifier: MIT */
/* hybrid_check.c - models with states beside their pages: what a file keeps */
#include "model/check.h"

/* What a file keeps of a sequence, in another model's pool: it goes on, and
 * back, as though it had never left. */
START_TEST(snapshot_bits)
{
	const char *device = backends[3 + _i % 3].device, *path = "build/check-snapshot.safetensors";
	struct kv_file file = { .model = "m", .digest = "d" };
	struct golden g;
	struct rig r;
	struct err e = { 0 };
	bool has_ids;

	if (!rig_open(&r, "tests/data/golden/lfm2", device, 0))
		return;
	golden_open(&g, "lfm2");
	float *plain = malloc(g.n * g.vocab * sizeof *plain);
	float *have = malloc(g.n * g.vocab * sizeof *have);
	struct kv_seq *s = seq_of(&r);

	file.dtype = exec_kv_dtype(kv_pool_store(model_pool(r.model)));
	feed(&r, s, g.ids, g.n, 64, plain);
	kv_rewind(s, 0);
	feed(&r, s, g.ids, 37, 64, have);
	ok(kv_save(s, path, &file, &e), &e);
	kv_seq_close(s);
	rig_close(&r);
	ck_assert(rig_open(&r, "tests/data/golden/lfm2", device, 0));
	s = seq_of(&r);
	ok(kv_load(s, path, "d", &has_ids, &e), &e);
	ck_assert(has_ids && kv_computed(s) == 37);
	remove(path);
	feed(&r, s, g.ids + 37, g.n - 37, 4, have + 37 * g.vocab);
	ck_assert_msg(!memcmp(plain + 37 * g.vocab, have + 37 * g.vocab,
	                      (g.n - 37) * g.vocab * sizeof *plain), "%s: after a file", device);
	/* no state before the file's was kept */
	ck_assert_uint_eq(kv_rewind(s, g.n - 5), 0);
	feed(&r, s, g.ids, g.n, 7, have);
	ck_assert_msg(!memcmp(plain, have, g.n * g.vocab * sizeof *plain), "%s: again", device);
	free(plain);
	free(have);
	kv_seq_close(s);
	golden_close(&g);
	rig_close(&r);
}
END_TEST

Suite *hybrid_suite(void);
Suite *hybrid_suite(void)
{
	Suite *s = suite_create("hybrid");
	TCase *t = tcase_create("hybrid");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, snapshot_bits, 0, 3);
	suite_add_tcase(s, t);
	return s;
}
