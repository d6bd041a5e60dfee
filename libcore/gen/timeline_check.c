/* SPDX-License-Identifier: MIT */
/* timeline_check.c - logits depend on the tokens before them and on nothing
 * else: chunks, forks, rewinds, shared prefixes and a file in between leave
 * every bit as it is */
#include "gen/gen.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 150, OUT = 16 };

static const struct {
	const char *device, *path;
} models[] = {
	{ "ref", "tests/data/golden/llama" },
	{ "ref", "tests/data/golden/mistral" }, /* slides over 16 positions */
	{ "cpu", "tests/data/golden/mistral" },
	{ "cpu", "models/demo" },
	{ "opencl", "tests/data/golden/llama" },
	{ "opencl", "tests/data/golden/mistral" },
};

static struct exec *x;
static struct source *source;
static struct model *model;
static size_t vocab;
static int32_t a[N], b[N];     /* alike up to N / 2 */
static float *want_a, *want_b; /* [N][vocab] */

/* Opens the pool afresh, so that nothing is shared that should not be. */
static bool open_model(int i)
{
	struct exec_options eo = { .device = models[i].device, .cache_dir = "", .threads = 2 };
	struct model_options mo = { .kv_tokens = 1024, .max_rows = 512, .max_out = OUT };
	struct err e;

	if (exec_open(&x, &eo, &e)) {
		ck_assert_str_eq(models[i].device, "opencl");
		return false;
	}
	ck_assert_msg(!source_open(&source, models[i].path, &e), "%s", e.text);
	ck_assert_msg(!model_open(&model, source, x, &mo, &e), "%s", e.text);
	vocab = model_config(model)->vocab;
	return true;
}

static void close_model(void)
{
	model_close(model);
	source_close(source);
	exec_close(x);
}

static struct kv_seq *open_seq(void)
{
	struct kv_seq *s;
	struct err e;

	ck_assert(!kv_seq_open(&s, model_pool(model), &e));
	return s;
}

/* Computes the next n of id and puts the logits of the last one into `out`. */
static void feed(struct kv_seq *s, const int32_t *id, size_t n, float *out)
{
	struct model_work w = { s, n, WANT_LAST };
	const float *logits;
	struct err e;

	ck_assert_msg(!kv_append(s, id + kv_len(s), n, &e), "%s", e.text);
	ck_assert_msg(!model_run(model, &w, 1, &logits, &e), "%s", e.text);
	memcpy(out, logits, vocab * sizeof *out);
}

/* The same in pieces, compared after each; up to position `to`. */
static void expect(struct kv_seq *s, const int32_t *id, const float *want, size_t chunk, size_t to)
{
	float *got = malloc(vocab * sizeof *got);

	while (kv_len(s) < to) {
		size_t left = to - kv_len(s);

		feed(s, id, chunk < left ? chunk : left, got);
		ck_assert_mem_eq(got, want + (kv_len(s) - 1) * vocab, vocab * sizeof *got);
	}
	free(got);
}

static bool set_up(int i)
{
	struct kv_seq *s;

	if (!open_model(i))
		return false;
	for (size_t k = 0; k < N; k++) {
		a[k] = b[k] = (int32_t)(3 + (k * 7919 + k * k) % (vocab - 3));
		if (k >= N / 2)
			b[k] = (int32_t)(3 + (k * 104729) % (vocab - 3));
	}
	want_a = malloc(2 * N * vocab * sizeof *want_a);
	want_b = want_a + N * vocab;
	s = open_seq();
	while (kv_len(s) < N)
		feed(s, a, 1, want_a + kv_len(s) * vocab);
	kv_seq_close(s);
	close_model();
	ck_assert(open_model(i));
	s = open_seq();
	while (kv_len(s) < N)
		feed(s, b, 1, want_b + kv_len(s) * vocab);
	kv_seq_close(s);
	close_model();
	return open_model(i);
}

static void tear_down(void)
{
	close_model();
	free(want_a);
}

START_TEST(chunks)
{
	static const size_t sizes[] = { 7, 512, 1, 32 };
	struct kv_seq *s;

	if (!set_up(_i))
		return;
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		s = open_seq();
		expect(s, a, want_a, sizes[i], N);
		kv_seq_close(s);
	}
	tear_down();
}
END_TEST

START_TEST(fork_and_append_on_both)
{
	struct kv_seq *s, *f;
	struct err e;

	if (!set_up(_i))
		return;
	s = open_seq();
	expect(s, a, want_a, 64, N / 2 - 4); /* within a page */
	ck_assert(!kv_fork(&f, s, &e));
	for (size_t to = N / 2; to < N; to += 5) {
		expect(s, a, want_a, 3, to);
		expect(f, b, want_b, 4, to);
	}
	kv_seq_close(s);
	expect(f, b, want_b, 512, N);
	kv_seq_close(f);
	tear_down();
}
END_TEST

START_TEST(rewind_and_redo)
{
	struct kv_seq *s;

	if (!set_up(_i))
		return;
	s = open_seq();
	expect(s, a, want_a, 512, N);
	for (size_t pos = N - 1; pos > N / 2; pos -= 13) {
		size_t at = kv_rewind(s, pos);

		ck_assert(at == pos || at == 0); /* 0: the window is gone */
		expect(s, a, want_a, 11, N);
	}
	ck_assert_uint_le(kv_rewind(s, N / 2), N / 2);
	expect(s, b, want_b, 512, N);
	ck_assert_uint_eq(kv_rewind(s, 0), 0);
	expect(s, a, want_a, 512, N);
	kv_seq_close(s);
	tear_down();
}
END_TEST

START_TEST(prefix_hit)
{
	struct kv_seq *s;

	if (!set_up(_i))
		return;
	s = open_seq();
	expect(s, a, want_a, 9, N);
	kv_seq_close(s);
	s = open_seq();
	ck_assert_uint_eq(kv_match(s, b, N), N / 2 / PAGE_POSITIONS * PAGE_POSITIONS);
	expect(s, b, want_b, 1, N);
	kv_seq_close(s);
	s = open_seq();
	ck_assert_uint_eq(kv_match(s, a, N), N / PAGE_POSITIONS * PAGE_POSITIONS);
	expect(s, a, want_a, 1, N);
	kv_seq_close(s);
	tear_down();
}
END_TEST

START_TEST(resume_from_a_file)
{
	char path[64];
	struct kv_file f = { "x", NULL, NULL, DT_F16 };
	struct kv_seq *s;
	bool has_ids;
	struct err e;

	if (!set_up(_i))
		return;
	snprintf(path, sizeof path, "/tmp/clm-timeline-%ld.safetensors", (long)getpid());
	f.dtype = exec_kv_dtype(kv_pool_store(model_pool(model)));
	s = open_seq();
	expect(s, a, want_a, 512, N / 2 + 3);
	ck_assert_msg(!kv_save(s, path, &f, &e), "%s", e.text);
	kv_seq_close(s);
	close_model();
	ck_assert(open_model(_i));
	s = open_seq();
	ck_assert_msg(!kv_load(s, path, NULL, &has_ids, &e), "%s", e.text);
	ck_assert(has_ids && kv_len(s) == N / 2 + 3);
	expect(s, a, want_a, 6, N);
	kv_seq_close(s);
	unlink(path);
	tear_down();
}
END_TEST

Suite *timeline_suite(void);
Suite *timeline_suite(void)
{
	Suite *s = suite_create("timeline");
	TCase *t = tcase_create("timeline");
	int n = sizeof models / sizeof *models;

	tcase_add_loop_test(t, chunks, 0, n);
	tcase_add_loop_test(t, fork_and_append_on_both, 0, n);
	tcase_add_loop_test(t, rewind_and_redo, 0, n);
	tcase_add_loop_test(t, prefix_hit, 0, n);
	tcase_add_loop_test(t, resume_from_a_file, 0, n);
	suite_add_tcase(s, t);
	return s;
}
