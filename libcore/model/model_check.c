/* SPDX-License-Identifier: MIT */
/* model_check.c - golden logits and greedy tokens of an independent
 * implementation (float32 arithmetic over the files' weights), on every
 * backend; chunks, forks and rewinds leave the bits alone */
#include "model/check.h"

#include "model/config.h"

static const char *const families[] = { "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2",
	"gemma3_text", "gemma4_text", "glm4", "olmo2", "phi3", "smollm3", "qwen3_moe",
	"deepseek_v3", "gpt_oss", "lfm2", "qwen3_next", "kimi_linear", "mixtral",
	"gemma4_shared", "gemma4_mixture" };
enum {
	N_FAMILIES = sizeof families / sizeof *families,
};

/* CLM_CHECK_FAMILY names one that is looked at alone. */
static bool left_out(const char *family)
{
	const char *one = getenv("CLM_CHECK_FAMILY");

	return one && strcmp(one, family);
}

static void compare(const struct golden *g, const float *have, const char *family, size_t b)
{
	double worst = 0, kl = mean_kl(g->logits, have, g->n, g->vocab);

	for (size_t i = 0; i < g->n * g->vocab; i++)
		worst = fmax(worst, fabs((double)have[i] - (double)g->logits[i]));
	if (getenv("CLM_CHECK_VERBOSE"))
		fprintf(stderr, "%s on %s%s: worst %.3g, KL %.3g\n", family, backends[b].device,
		        backends[b].flags ? " --exact" : "", worst, kl);
	if (backends[b].bound > 0)
		ck_assert_msg(worst <= backends[b].bound, "%s on %s: off by %g", family,
		              backends[b].device, worst);
	ck_assert_msg(kl <= 1e-4, "%s on %s: KL %g", family, backends[b].device, kl);
}

START_TEST(golden_logits)
{
	const char *family = families[_i / N_BACKENDS];
	size_t b = (size_t)_i % N_BACKENDS;
	struct golden g;
	struct rig r;
	char path[256];
	float *have;

	snprintf(path, sizeof path, "tests/data/golden/%s", family);
	if (left_out(family) || !rig_open(&r, path, backends[b].device, backends[b].flags))
		return;
	golden_open(&g, family);
	have = malloc(g.n * g.vocab * sizeof *have);
	struct kv_seq *s = seq_of(&r);

	feed(&r, s, g.ids, g.n, 64, have);
	compare(&g, have, family, b);
	int32_t id = (int32_t)best(have + (g.n - 1) * g.vocab, g.vocab);

	for (size_t i = 0; backends[b].bound > 0 && i < GREEDY; i++) {
		ck_assert_msg(id == g.greedy[i], "%s on %s: greedy token %zu is %d, not %d", family,
		              backends[b].device, i, id, g.greedy[i]);
		feed(&r, s, &id, 1, 1, have);
		id = (int32_t)best(have, g.vocab);
	}
	if (backends[b].bound > 0 && getenv("CLM_CHECK_VERBOSE"))
		fprintf(stderr, "%s on %s --exact: greedy %d\n", family, backends[b].device, GREEDY);
	free(have);
	kv_seq_close(s);
	golden_close(&g);
	rig_close(&r);
}
END_TEST

/* The same weights under GGUF's names, keys and conventions. */
START_TEST(golden_gguf)
{
	static const char *const names[] = { "gemma", "gemma2", "gemma3_text", "glm4", "olmo2",
		                             "phi3" };
	const char *family = names[_i];
	struct golden g;
	struct rig r;
	char path[256];
	float *have;

	snprintf(path, sizeof path, "tests/data/golden-gguf/%s.gguf", family);
	rig_open(&r, path, "cpu", EXEC_EXACT);
	golden_open(&g, family);
	have = malloc(g.n * g.vocab * sizeof *have);
	struct kv_seq *s = seq_of(&r);

	feed(&r, s, g.ids, g.n, 64, have);
	compare(&g, have, family, 1);
	free(have);
	kv_seq_close(s);
	golden_close(&g);
	rig_close(&r);
}
END_TEST

/* Chunks, forks, rewinds and prefix hits are bit-equal to the plain run. */
START_TEST(same_bits)
{
	static const size_t chunks[] = { 1, 7, 48 };
	const char *device = backends[3 + _i % 3].device;
	struct golden g;
	struct rig r;
	char path[256];
	float *plain, *have;
	struct err e = { 0 };

	snprintf(path, sizeof path, "tests/data/golden/%s", families[_i / 3]);
	if (left_out(families[_i / 3]) || !rig_open(&r, path, device, 0))
		return;
	golden_open(&g, families[_i / 3]);
	size_t bytes = g.n * g.vocab * sizeof(float);

	plain = malloc(bytes);
	have = malloc(bytes);
	struct kv_seq *s = seq_of(&r), *fork, *hit;

	feed(&r, s, g.ids, g.n, 64, plain);
	for (size_t c = 0; c < 3; c++) {
		struct kv_seq *again = seq_of(&r);

		feed(&r, again, g.ids, g.n, chunks[c], have);
		ck_assert_msg(!memcmp(plain, have, bytes), "%s: chunks of %zu differ", device,
		              chunks[c]);
		kv_seq_close(again);
	}
	size_t cut = 37, row = g.vocab;

	ok(kv_fork(&fork, s, &e), &e);
	for (int side = 0; side < 2; side++) { /* rewind both sides of a fork, append on both */
		struct kv_seq *t = side ? s : fork;
		size_t at = kv_rewind(t, cut);

		feed(&r, t, g.ids + at, g.n - at, 5, have + at * row);
		ck_assert_msg(!memcmp(plain + at * row, have + at * row,
		                      (g.n - at) * row * sizeof(float)),
		              "%s: side %d of a fork differs", device, side);
	}
	hit = seq_of(&r);
	size_t got = kv_match(hit, g.ids, g.n);

	ck_assert_uint_eq(got % PAGE_POSITIONS, 0);
	ck_assert(model_config(r.model)->window || got);
	feed(&r, hit, g.ids + got, g.n - got, 64, have + got * row);
	ck_assert_msg(
		!memcmp(plain + got * row, have + got * row, (g.n - got) * row * sizeof(float)),
		"%s: after a prefix hit of %zu", device, got);
	kv_seq_close(hit);
	kv_seq_close(fork);
	kv_seq_close(s);
	free(plain);
	free(have);
	golden_close(&g);
	rig_close(&r);
}
END_TEST

/* Two sequences in one pass: each as though alone; a step makes no events. */
START_TEST(batch_bits)
{
	const char *device = backends[3 + _i % 3].device;
	static const char *const kinds[] = { "llama", "lfm2", "qwen3_moe", "deepseek_v3",
		                             "gpt_oss", "qwen3_next", "kimi_linear",
		                             "gemma4_text" };
	const char *family = kinds[_i / 3];
	struct golden g;
	struct rig r;
	struct err e = { 0 };
	const float *logits;
	float *plain;

	char path[64];

	snprintf(path, sizeof path, "tests/data/golden/%s", family);
	if (!rig_open(&r, path, device, 0))
		return;
	golden_open(&g, family);
	plain = malloc(g.n * g.vocab * sizeof *plain);
	struct kv_seq *s = seq_of(&r), *a = seq_of(&r), *b = seq_of(&r);

	feed(&r, s, g.ids, g.n, 64, plain);
	ok(kv_append(a, g.ids, g.n, &e) || kv_append(b, g.ids + 5, 20, &e), &e);
	struct model_work w[] = { { b, 17, WANT_NONE }, { a, 40, WANT_LAST } };
	size_t events = exec_events(r.exec);

	ok(model_run(r.model, w, 2, &logits, &e), &e);
	ck_assert(!memcmp(logits, plain + 39 * g.vocab, g.vocab * sizeof *plain));
	struct model_work w2[] = { { b, 3, WANT_LAST }, { a, g.n - 40, WANT_ALL } };

	ok(model_run(r.model, w2, 2, &logits, &e), &e);
	ck_assert(!memcmp(logits + g.vocab, plain + 40 * g.vocab,
	                  (g.n - 40) * g.vocab * sizeof *plain));
	ck_assert_uint_eq(exec_events(r.exec), events);
	kv_seq_close(a);
	kv_seq_close(b);
	kv_seq_close(s);
	free(plain);
	golden_close(&g);
	rig_close(&r);
}
END_TEST

/* A model whose weights take the special rows of every device: near ref, and
 * the same bits however a text longer than a span is cut. */
START_TEST(demo_bits)
{
	enum { N = 530, SHORT = 100, ONES = 30, VOCAB = 4096 };
	static const size_t chunks[] = { 7, 30, 200 };
	const char *device = backends[4 + _i].device;
	int32_t id[N];
	struct rig r;

	for (size_t i = 0; i < N; i++)
		id[i] = (int32_t)((i * i * 2654435761u >> 8) % VOCAB);
	if (!rig_open_rows(&r, "models/demo", device, 0, 512))
		return;
	float *plain = malloc(N * VOCAB * sizeof *plain), *have = malloc(N * VOCAB * sizeof *have);
	struct kv_seq *s = seq_of(&r);

	ck_assert_uint_eq(model_config(r.model)->vocab, VOCAB);
	feed(&r, s, id, N, 512, plain);
	kv_seq_close(s);
	for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++) {
		s = seq_of(&r);
		feed(&r, s, id, N - ONES, chunks[c], have);
		feed(&r, s, id + N - ONES, ONES, c ? chunks[c] : 1, have + (N - ONES) * VOCAB);
		for (size_t i = 0; i < N; i++)
			ck_assert_msg(!memcmp(plain + i * VOCAB, have + i * VOCAB, VOCAB * sizeof *have),
			              "%s: chunks of %zu differ at %zu", device, chunks[c], i);
		kv_seq_close(s);
	}
	rig_close(&r);
	ck_assert(rig_open(&r, "models/demo", "ref", EXEC_EXACT));
	s = seq_of(&r);
	feed(&r, s, id, SHORT, 64, have);
	double kl = mean_kl(have, plain, SHORT, VOCAB);

	if (getenv("CLM_CHECK_VERBOSE"))
		fprintf(stderr, "demo on %s: KL %.3g\n", device, kl);
	ck_assert_msg(kl <= 1e-4, "%s: KL %g", device, kl);
	kv_seq_close(s);
	rig_close(&r);
	free(plain);
	free(have);
}
END_TEST

START_TEST(names)
{
	char out[128];

	ck_assert(name_in(out, sizeof out, NAMING_GGUF, "blk.12.attn_q.weight"));
	ck_assert_str_eq(out, "model.layers.12.self_attn.q_proj.weight");
	ck_assert(name_out(out, sizeof out, NAMING_META, "model.layers.3.mlp.down_proj.scales"));
	ck_assert_str_eq(out, "layers.3.feed_forward.w2.scales");
	ck_assert(name_in(out, sizeof out, NAMING_META, "output.weight"));
	ck_assert_str_eq(out, "lm_head.weight");
	ck_assert(!name_in(out, sizeof out, NAMING_GGUF, "rope_freqs.weight"));
	ck_assert(!name_in(out, sizeof out, NAMING_GGUF, "blk.012.attn_q.weight"));
	ck_assert(!name_in(out, sizeof out, NAMING_GGUF, "blk..attn_q.weight"));
	ck_assert(!name_in(out, 8, NAMING_META, "output.weight"));
}
END_TEST

/* Scalings against values worked out by hand from their definitions. */
START_TEST(rope_scalings)
{
	struct config c = { .rope_dims = 64,
		            .rope_theta = 10000,
		            .rope_factor = 4,
		            .rope_original = 2048,
		            .rope_beta_fast = 32,
		            .rope_beta_slow = 1,
		            .rope_truncate = true };
	struct rope r;

	c.rope_kind = ROPE_LINEAR;
	config_rope(&c, &r, false);
	ck_assert_double_eq_tol(r.inv_freq[0], 0.25, 1e-12);
	c.rope_kind = ROPE_YARN;
	config_rope(&c, &r, false);
	ck_assert_double_eq_tol(r.inv_freq[0], 1, 1e-12); /* fast pairs keep */
	ck_assert_double_eq_tol(r.inv_freq[31], pow(10000, -62.0 / 64) / 4, 1e-12);
	ck_assert_double_eq_tol((double)r.scale, 0.1 * log(4) + 1, 1e-6);
	c.rope_kind = ROPE_LONG;
	c.rope_attention_factor = 1.19;
	c.has_rope_divisor = true;
	for (size_t i = 0; i < 32; i++)
		c.rope_divisor[i] = 2, c.rope_far_divisor[i] = 8;
	config_rope(&c, &r, false);
	ck_assert_uint_eq(r.far, 2048);
	ck_assert_double_eq_tol(r.inv_freq[0], 1.0 / 2, 1e-12);
	ck_assert_double_eq_tol(r.far_inv_freq[31], pow(10000, -62.0 / 64) / 8, 1e-12);
	ck_assert_double_eq_tol((double)r.scale, 1.19, 1e-6);
	c.has_rope_divisor = false;
	c.rope_kind = ROPE_LLAMA3;
	c.rope_factor = 8, c.rope_low = 1, c.rope_high = 4, c.rope_theta = 500000,
	c.rope_original = 8192;
	config_llama3_divisors(&c);
	config_rope(&c, &r, false);
	ck_assert_double_eq_tol(r.inv_freq[0], 1, 1e-12);
	ck_assert_double_eq_tol(r.inv_freq[31], pow(500000, -62.0 / 64) / 8, 1e-15);
}
END_TEST

Suite *model_suite(void);
Suite *model_suite(void)
{
	Suite *s = suite_create("model");
	TCase *t = tcase_create("model"), *g = tcase_create("golden");

	tcase_set_timeout(t, 120);
	tcase_set_timeout(g, 120);
	tcase_add_test(t, names);
	tcase_add_test(t, rope_scalings);
	tcase_add_loop_test(g, golden_logits, 0, N_FAMILIES * N_BACKENDS);
	tcase_add_loop_test(g, golden_gguf, 0, 6);
	tcase_add_loop_test(t, same_bits, 0, N_FAMILIES * 3);
	tcase_add_loop_test(t, batch_bits, 0, 24);
	tcase_add_loop_test(t, demo_bits, 0, 2);
	suite_add_tcase(s, g);
	suite_add_tcase(s, t);
	return s;
}
