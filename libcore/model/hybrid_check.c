/* SPDX-License-Identifier: MIT */
/* hybrid_check.c - what a file keeps of a sequence: pages, states beside them,
 * latent vectors */
#include "model/check.h"

static const char *const families[] = { "lfm2", "qwen3_moe", "deepseek_v3", "gpt_oss",
	                                "qwen3_next", "kimi_linear", "gemma4_text" };
enum { N_FAMILIES = sizeof families / sizeof *families };

/* What a file keeps of a sequence, in another model's pool: it goes on, and
 * back, as though it had never left. */
START_TEST(snapshot_bits)
{
	const char *device = backends[3 + _i % 3].device, *path = "build/check-snapshot.safetensors";
	const char *family = families[_i / 3];
	struct kv_file file = { .model = "m", .digest = "d" };
	struct golden g;
	struct rig r;
	struct err e = { 0 };
	char dir[256];
	bool has_ids;

	snprintf(dir, sizeof dir, "tests/data/golden/%s", family);
	if (!rig_open(&r, dir, device, 0))
		return;
	golden_open(&g, family);
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
	ck_assert(rig_open(&r, dir, device, 0));
	s = seq_of(&r);
	ok(kv_load(s, path, "d", &has_ids, &e), &e);
	ck_assert(has_ids && kv_computed(s) == 37);
	remove(path);
	feed(&r, s, g.ids + 37, g.n - 37, 4, have + 37 * g.vocab);
	ck_assert_msg(!memcmp(plain + 37 * g.vocab, have + 37 * g.vocab,
	                      (g.n - 37) * g.vocab * sizeof *plain), "%s: after a file", device);
	const struct config *c = model_config(r.model);
	size_t at = kv_rewind(s, g.n - 5);

	/* a file has no state before its own, and no more than the window */
	ck_assert_uint_eq(at, config_state(c, 0) || c->window ? 0 : g.n - 5);
	feed(&r, s, g.ids + at, g.n - at, 7, have + at * g.vocab);
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
	tcase_add_loop_test(t, snapshot_bits, 0, 3 * N_FAMILIES);
	suite_add_tcase(s, t);
	return s;
}
