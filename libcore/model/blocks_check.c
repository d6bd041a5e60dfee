/* SPDX-License-Identifier: MIT */
/* blocks_check.c - whole models in GGUF blocks against logits computed from
 * the dequantized weights in float32 by an independent implementation */
#include "model/model.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_IDS = 24 };

static const char *const models[] = {
	"tiny-llama-a-Q4_K_M",
	"tiny-llama-c-Q6_K",
	"tiny-qwen2-b-Q8_0",
	"tiny-qwen2-d-IQ4_XS",
};
static const struct {
	const char *device;
	unsigned flags;
	double worst, kl;
} runs[] = {
	{ "ref", EXEC_EXACT, 1e-4, 1e-4 },
	{ "cpu", EXEC_EXACT, 1e-4, 1e-4 },
	{ "opencl", EXEC_EXACT, 1e-4, 1e-4 },
	{ "cpu", 0, 1, 1e-4 },
};
enum { N_MODELS = 4, N_RUNS = sizeof runs / sizeof *runs };

static void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static void read_ids(int32_t out[N_IDS], const char *model)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	char key[64];
	cJSON *json;

	snprintf(key, sizeof key, "%s", model);
	ok(file_read(&text, "tests/data/gguf-models/tokens.json", 1 << 20, &e), &e);
	json = json_parse(buf_bytes(&text), &e);
	ck_assert_msg(json != NULL, "%s", e.text);
	ck_assert_int_eq(cJSON_GetArraySize(json_get(json, key)), N_IDS);
	for (int i = 0; i < N_IDS; i++)
		out[i] = cJSON_GetArrayItem(json_get(json, key), i)->valueint;
	cJSON_Delete(json);
	buf_release(&text);
}

static void compare(const float *have, const struct tensor *want, const char *model, size_t run)
{
	size_t vocab = want->shape.dim[1];
	double worst = 0, kl = 0;

	ck_assert_int_eq(want->dtype, DT_F32);
	for (size_t r = 0; r < N_IDS; r++) {
		double zp = 0, zq = 0, row = 0;
		float p, q;

		for (size_t i = 0; i < vocab; i++) {
			memcpy(&p, want->data.p + (r * vocab + i) * sizeof p, sizeof p);
			q = have[r * vocab + i];
			worst = fmax(worst, fabs((double)p - (double)q));
			zp += exp((double)p);
			zq += exp((double)q);
		}
		for (size_t i = 0; i < vocab; i++) {
			memcpy(&p, want->data.p + (r * vocab + i) * sizeof p, sizeof p);
			q = have[r * vocab + i];
			row += exp((double)p) / zp * ((double)p - log(zp) - (double)q + log(zq));
		}
		kl += row / N_IDS;
	}
	ck_assert_msg(worst <= runs[run].worst, "%s on %s: off by %g", model, runs[run].device,
	              worst);
	ck_assert_msg(kl <= runs[run].kl, "%s on %s: KL %g", model, runs[run].device, kl);
}

START_TEST(block_models)
{
	const char *model = models[_i / N_RUNS];
	size_t run = (size_t)_i % N_RUNS;
	struct exec_options xo = { .device = runs[run].device,
		                   .flags = runs[run].flags,
		                   .threads = 2 };
	struct arena a = { 0 };
	struct file_map npy;
	struct tensor want;
	struct source *s;
	struct exec *x;
	struct model *m;
	struct kv_seq *seq;
	const float *logits;
	int32_t ids[N_IDS];
	struct err e = { 0 };
	char path[256];

	if (exec_open(&x, &xo, &e)) {
		ck_assert_msg(!strcmp(xo.device, "opencl"), "%s", e.text);
		return;
	}
	snprintf(path, sizeof path, "tests/data/gguf-models/%s.gguf", model);
	ok(source_open(&s, path, &e), &e);
	ok(model_open(&m, s, x, NULL, &e), &e);
	snprintf(path, sizeof path, "tests/data/gguf-models/%s.logits.npy", model);
	ok(file_map(&npy, path, &e), &e);
	ok(npy_parse(&want, npy.bytes, &a, &e), &e);
	read_ids(ids, model);
	ok(kv_seq_open(&seq, model_pool(m), &e), &e);
	ok(kv_append(seq, ids, N_IDS, &e), &e);
	ok(model_run(m, &(struct model_work){ seq, N_IDS, WANT_ALL }, 1, &logits, &e), &e);
	compare(logits, &want, model, run);
	kv_seq_close(seq);
	model_close(m);
	source_close(s);
	exec_close(x);
	file_unmap(&npy);
	arena_release(&a);
}
END_TEST

Suite *blocks_suite(void);
Suite *blocks_suite(void)
{
	Suite *s = suite_create("blocks");
	TCase *t = tcase_create("blocks");

	tcase_set_timeout(t, 240);
	tcase_add_loop_test(t, block_models, 0, N_MODELS * N_RUNS);
	suite_add_tcase(s, t);
	return s;
}
