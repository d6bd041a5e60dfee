/* SPDX-License-Identifier: MIT */
/* embed_check.c - an encoder's hidden states and vector against those of an
 * independent implementation, on every backend; batches and rules */
#include "gen/gen.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *embed_suite(void);

enum { WIDTH = 64, MAX_IDS = 64 };
static const char *const devices[] = { "ref", "cpu", "opencl" };
static const char bert[] = "tests/data/golden/bert";

static void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

struct rig {
	struct source *source;
	struct exec *exec;
	struct model *model;
	int32_t id[MAX_IDS];
	size_t n;
};

static bool rig_open(struct rig *r, const char *path, const char *device, unsigned flags,
                     size_t rows)
{
	struct model_options o = { .kv_tokens = 4096, .max_rows = rows, .max_out = rows,
	                           .hidden = true };
	struct err e = { 0 };

	*r = (struct rig){ 0 };
	if (exec_open(&r->exec, &(struct exec_options){ .device = device, .flags = flags,
	                                                .threads = 2 }, &e)) {
		ck_assert_msg(!strcmp(device, "opencl"), "%s: %s", device, e.text);
		return false;
	}
	ok(source_open(&r->source, path, &e), &e);
	ok(model_open(&r->model, r->source, r->exec, &o, &e), &e);
	return true;
}

static void rig_close(struct rig *r)
{
	model_close(r->model);
	source_close(r->source);
	exec_close(r->exec);
}

static void golden_ids(struct rig *r)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	cJSON *json;
	const cJSON *v;

	ok(file_read(&text, "tests/data/golden/bert/golden.json", 1 << 20, &e), &e);
	json = json_parse(buf_bytes(&text), &e);
	ck_assert_msg(json != NULL, "%s", e.text);
	cJSON_ArrayForEach(v, json_get(json, "ids"))
		r->id[r->n++] = v->valueint;
	cJSON_Delete(json);
	buf_release(&text);
}

static double worst_of(const float *have, const char *name, size_t n)
{
	struct arena a = { 0 };
	struct err e = { 0 };
	struct file_map map;
	struct tensor t;
	char path[128];
	double worst = 0;
	float want;

	snprintf(path, sizeof path, "%s/%s", bert, name);
	ok(file_map(&map, path, &e), &e);
	ok(npy_parse(&t, map.bytes, &a, &e), &e);
	ck_assert_uint_eq(t.data.n, n * sizeof(float));
	for (size_t i = 0; i < n; i++) {
		memcpy(&want, t.data.p + i * sizeof want, sizeof want);
		worst = fmax(worst, fabs((double)have[i] - (double)want));
	}
	file_unmap(&map);
	arena_release(&a);
	return worst;
}

START_TEST(golden_vector)
{
	const char *device = devices[_i % 3];
	bool exact = _i < 3;
	struct embed_options o = { .pool = POOL_MEAN, .normalize = true };
	float vector[WIDTH];
	struct err e = { 0 };
	struct rig r;
	double worst;

	if (!rig_open(&r, bert, device, exact ? EXEC_EXACT : 0, 128))
		return;
	golden_ids(&r);
	ok(embed_texts(r.model, &(struct embed_text){ r.id, r.n }, 1, &o, vector, &e), &e);
	worst = worst_of(vector, "embedding.npy", WIDTH);
	if (getenv("CLM_CHECK_VERBOSE"))
		fprintf(stderr, "bert on %s%s: worst %.3g\n", device, exact ? " --exact" : "", worst);
	ck_assert_msg(worst <= 1e-4, "%s: off by %g", device, worst);
	rig_close(&r);
}
END_TEST

/* Many texts in a pass are each as though alone. */
START_TEST(batch_bits)
{
	const char *device = devices[_i % 3], *path = _i < 3 ? bert : "models/demo";
	enum { N = 9 };
	struct embed_options o = { .pool = _i < 3 ? POOL_MEAN : POOL_LAST };
	struct embed_text t[N];
	struct err e = { 0 };
	struct rig r;
	size_t width;

	if (!rig_open(&r, path, device, 0, _i < 3 ? 64 : 16))
		return;
	golden_ids(&r);
	width = model_config(r.model)->hidden;
	float *one = malloc(width * sizeof *one), *all = malloc(N * width * sizeof *all);

	for (size_t i = 0; i < N; i++) /* some longer than the decoder's pass */
		t[i] = (struct embed_text){ r.id + i, 1 + (i * 7) % (r.n - 9) };
	t[N - 1] = (struct embed_text){ r.id, r.n };
	ok(embed_texts(r.model, t, N, &o, all, &e), &e);
	for (size_t i = 0; i < N; i++) {
		ok(embed_texts(r.model, &t[i], 1, &o, one, &e), &e);
		ck_assert_msg(!memcmp(one, all + i * width, width * sizeof *one), "%s: text %zu",
		              device, i);
	}
	free(one);
	free(all);
	rig_close(&r);
}
END_TEST

START_TEST(pools)
{
	struct embed_options o = { .pool = POOL_CLS };
	float cls[WIDTH], mean[WIDTH], cut[3];
	struct err e = { 0 };
	struct rig r;

	ck_assert(rig_open(&r, bert, "cpu", 0, 32));
	golden_ids(&r);
	ok(embed_texts(r.model, &(struct embed_text){ r.id, 1 }, 1, &o, cls, &e), &e);
	o.pool = POOL_MEAN;
	ok(embed_texts(r.model, &(struct embed_text){ r.id, 1 }, 1, &o, mean, &e), &e);
	ck_assert(!memcmp(cls, mean, sizeof cls)); /* of one token */
	o.dimensions = 3;
	o.normalize = true;
	ok(embed_texts(r.model, &(struct embed_text){ r.id, r.n }, 1, &o, cut, &e), &e);
	ck_assert_double_eq_tol((double)(cut[0] * cut[0] + cut[1] * cut[1] + cut[2] * cut[2]), 1, 1e-6);
	o.dimensions = WIDTH + 1;
	ck_assert_int_eq(embed_texts(r.model, &(struct embed_text){ r.id, 1 }, 1, &o, cls, &e), -1);
	o.dimensions = 0;
	ck_assert_int_eq(embed_texts(r.model, &(struct embed_text){ r.id, 33 }, 1, &o, cls, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "expected 1 to 32 tokens, found 33"));
	rig_close(&r);
}
END_TEST

/* An encoder makes no text. */
START_TEST(no_text)
{
	struct err e = { 0 };
	struct source *s;
	struct exec *x;
	struct model *m = NULL;

	ok(exec_open(&x, &(struct exec_options){ .device = "ref" }, &e), &e);
	ok(source_open(&s, bert, &e), &e);
	ck_assert_int_eq(model_open(&m, s, x, NULL, &e), -1);
	ck_assert_ptr_nonnull(strstr(e.text, "an encoder makes no text"));
	source_close(s);
	exec_close(x);
}
END_TEST

Suite *embed_suite(void)
{
	Suite *s = suite_create("embed");
	TCase *t = tcase_create("embed"), *g = tcase_create("golden");

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(g, golden_vector, 0, 6);
	tcase_add_loop_test(t, batch_bits, 0, 5);
	tcase_add_test(t, pools);
	tcase_add_test(t, no_text);
	tcase_set_timeout(g, 120);
	suite_add_tcase(s, g);
	suite_add_tcase(s, t);
	return s;
}
