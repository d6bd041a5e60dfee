/* SPDX-License-Identifier: MIT */
/* adapter_check.c - adapters against logits of an independent implementation:
 * at run time and after a turn through MLX's layout and back; stacked;
 * beside rows without any; refused */
#include "convert/convert.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *adapter_suite(void);

enum { MAX_IDS = 64 };
#define BASE "tests/data/golden/llama"
#define ADAPTERS "tests/data/golden/adapters"

static const char *const kinds[] = { "peft_lora", "peft_rslora_all", "peft_dora", "peft_partial" };
static int32_t ids[MAX_IDS];
static size_t n_ids, vocab;
static char dir[64]; /* of this check's own files and cache */

static void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static const char *in_dir(const char *name)
{
	static char text[4][160];
	static int i;

	i = (i + 1) % 4;
	snprintf(text[i], sizeof text[i], "%s/%s", dir, name);
	return text[i];
}

static void set_up(void)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	const cJSON *v;
	cJSON *json;

	snprintf(dir, sizeof dir, "build/check/adapter.%ld", (long)getpid());
	ok(file_mkdirs(dir, &e), &e);
	setenv("XDG_CACHE_HOME", dir, 1);
	ok(file_read(&text, BASE "/golden.json", 1 << 20, &e), &e);
	json = json_parse(buf_bytes(&text), &e);
	n_ids = 0;
	cJSON_ArrayForEach(v, json_get(json, "ids")) if (n_ids < MAX_IDS) ids[n_ids++] = v->valueint;
	cJSON_Delete(json);
	buf_release(&text);
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static float *golden(const char *kind)
{
	char path[160];
	struct file_map m;
	struct arena a = { 0 };
	struct err e = { 0 };
	struct tensor t;
	float *out;

	snprintf(path, sizeof path, "%s/logits.npy", kind);
	ok(file_map(&m, path, &e), &e);
	ok(npy_parse(&t, m.bytes, &a, &e), &e);
	vocab = t.shape.dim[1];
	out = malloc(t.data.n);
	memcpy(out, t.data.p, t.data.n);
	arena_release(&a);
	file_unmap(&m);
	return out;
}

struct rig {
	struct source *source;
	struct exec *exec;
	struct model *model;
};

static void rig_open(struct rig *r, const char *device, const char *base,
                     const struct adapter_set *sets, size_t n_sets)
{
	struct exec_options xo = { .device = device, .flags = EXEC_EXACT, .threads = 2 };
	struct model_options mo = { .kv_tokens = 512, .max_rows = 2 * MAX_IDS,
		                    .max_out = 2 * MAX_IDS, .sets = sets, .n_sets = n_sets };
	struct err e = { 0 };

	*r = (struct rig){ 0 };
	ok(source_open(&r->source, base, &e), &e);
	ok(exec_open(&r->exec, &xo, &e), &e);
	ok(model_open(&r->model, r->source, r->exec, &mo, &e), &e);
}

static void rig_close(struct rig *r)
{
	model_close(r->model);
	exec_close(r->exec);
	source_close(r->source);
}

/* All logits of the ids, under the adapter that new sequences begin with. */
static float *run(const char *device, const char *base, const struct adapter_set *sets,
                  size_t n_sets)
{
	struct err e = { 0 };
	const float *logits;
	struct kv_seq *seq;
	struct rig r;
	float *out;

	rig_open(&r, device, base, sets, n_sets);
	ok(kv_seq_open(&seq, model_pool(r.model), &e), &e);
	ok(kv_append(seq, ids, n_ids, &e), &e);
	ok(model_run(r.model, &(struct model_work){ seq, n_ids, WANT_ALL }, 1, &logits, &e), &e);
	vocab = model_config(r.model)->vocab;
	out = malloc(n_ids * vocab * sizeof *out);
	memcpy(out, logits, n_ids * vocab * sizeof *out);
	kv_seq_close(seq);
	rig_close(&r);
	return out;
}

static struct adapter *open_adapter(const char *path)
{
	struct adapter *a = NULL;
	struct err e = { 0 };

	ok(convert_adapter_open(&a, path, &e), &e);
	return a;
}

static float *run_with(const char *device, const char *path)
{
	struct adapter *a = open_adapter(path);
	struct adapter_use use = { a, 1 };
	float *out = run(device, BASE, &(struct adapter_set){ &use, 1 }, 1);

	adapter_close(a);
	return out;
}

static double worst(const float *a, const float *b)
{
	double most = 0;

	for (size_t i = 0; i < n_ids * vocab; i++)
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
	return most;
}

/* Frees what was run. */
static void near(float *have, const float *want, double bound, const char *what)
{
	double d = worst(have, want);

	ck_assert_msg(d <= bound, "%s: differs by %g", what, d);
	free(have);
}

START_TEST(golden_kinds)
{
	char path[160], mlx[160], peft[160];
	const char *kind = kinds[_i];
	struct err e = { 0 };
	float *want, *base;

	snprintf(path, sizeof path, "%s/%s", ADAPTERS, kind);
	snprintf(mlx, sizeof mlx, "%s", in_dir("mlx"));
	snprintf(peft, sizeof peft, "%s", in_dir("peft"));
	want = golden(path);
	near(run_with("ref", path), want, 1e-3, "ref");
	near(run_with("cpu", path), want, 1e-3, "cpu");
	near(run_with("cpu", path), want, 1e-3, "from the cache");
	ok(convert_adapter(path, mlx, ADAPTER_AUTO, &e), &e);
	near(run_with("cpu", mlx), want, 1e-3, "MLX");
	ok(convert_adapter(mlx, peft, ADAPTER_AUTO, &e), &e);
	near(run_with("cpu", peft), want, 1e-3, "PEFT again");
	base = golden(BASE);
	ck_assert_msg(worst(base, want) > 1e-2, "the adapter changes nothing");
	free(base);
	free(want);
}
END_TEST

START_TEST(on_opencl)
{
	float *want = golden(ADAPTERS "/peft_dora");

	near(run_with("opencl", ADAPTERS "/peft_dora"), want, 1e-3, "opencl");
	free(want);
}
END_TEST

/* Halves of one add up to it, and a strength of 0 changes no bit. */
START_TEST(stacked)
{
	struct adapter *a = open_adapter(ADAPTERS "/peft_dora"),
		       *b = open_adapter(ADAPTERS "/peft_rslora_all");
	struct adapter_use whole[] = { { a, 1 }, { b, 1 } };
	struct adapter_use parts[] = { { b, 0.25 }, { a, 0.5 }, { b, 0.75 }, { a, 0.5 } };
	struct adapter_use none[] = { { a, 0 }, { b, 0 } };
	float *sum = run("cpu", BASE, &(struct adapter_set){ whole, 2 }, 1);
	float *base = run("cpu", BASE, NULL, 0);

	near(run("cpu", BASE, &(struct adapter_set){ parts, 4 }, 1), sum, 1e-4, "parts");
	near(run("cpu", BASE, &(struct adapter_set){ none, 2 }, 1), base, 0, "none");
	free(sum);
	free(base);
	adapter_close(a);
	adapter_close(b);
}
END_TEST

/* Rows of one pass under none, one and another: as each alone, to the bit. */
START_TEST(rows_apart)
{
	struct adapter *a[] = { open_adapter(ADAPTERS "/peft_lora"),
		                open_adapter(ADAPTERS "/peft_partial") };
	struct adapter_use use[] = { { a[0], 1 }, { a[1], 1 } };
	struct adapter_set sets[] = { { &use[0], 1 }, { &use[1], 1 } };
	float *alone[] = { run("cpu", BASE, NULL, 0), run("cpu", BASE, &sets[0], 1),
		           run("cpu", BASE, &sets[1], 1) };
	struct model_work work[3];
	struct err e = { 0 };
	const float *logits;
	size_t n = 40;
	struct rig r;

	rig_open(&r, "cpu", BASE, sets, 2);
	for (int i = 0; i < 3; i++) {
		ok(kv_seq_open(&work[i].seq, model_pool(r.model), &e), &e);
		kv_seq_use(work[i].seq, i);
		ck_assert_uint_eq(kv_match(work[i].seq, ids, n), 0);
		ok(kv_append(work[i].seq, ids, n, &e), &e);
		work[i].n = n;
		work[i].want = WANT_ALL;
	}
	ok(model_run(r.model, work, 3, &logits, &e), &e);
	for (size_t i = 0; i < 3; i++)
		ck_assert_msg(!memcmp(logits + i * n * vocab, alone[i], n * vocab * sizeof *logits),
		              "rows of adapter %zu differ", i);
	for (int i = 0; i < 3; i++) {
		kv_seq_close(work[i].seq);
		free(alone[i]);
	}
	rig_close(&r);
	adapter_close(a[0]);
	adapter_close(a[1]);
}
END_TEST

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

static void refused(const char *path, const char *say)
{
	struct adapter *a = NULL;
	struct err e = { 0 };

	ck_assert_int_eq(convert_adapter_open(&a, path, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_msg(strstr(e.text, say) != NULL, "%s", e.text);
}

static const struct {
	const char *config, *say;
} bad[] = {
	{ "{\"peft_type\": \"LOHA\"}", "expected LORA or IA3, found LOHA" },
	{ "{\"peft_type\": \"LORA\", \"use_qalora\": true}", "use_qalora" },
	{ "{\"peft_type\": \"LORA\", \"layer_replication\": [[0, 1]]}", "layer_replication" },
	{ "{\"peft_type\": \"LORA\", \"init_lora_weights\": \"pissa\"}", "alters the base" },
	{ "{\"peft_type\": \"LORA\", \"alpha_pattern\": {\"(a|b)*\": 1}}", "alpha_pattern" },
	{ "{\"fine_tune_type\": \"full\"}", "full" },
	{ "{\"fine_tune_type\": \"lora\", \"lora_parameters\": {}}", "scale: missing" },
	{ "{", "adapter_config.json" },
};

START_TEST(refusals)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	FILE *f;

	refused(dir, "expected an adapter");
	ok(file_mkdirs(in_dir("bad"), &e), &e);
	ok(file_read(&text, ADAPTERS "/peft_lora/adapter_model.safetensors", 0, &e), &e);
	f = fopen(in_dir("bad/adapter_model.safetensors"), "w");
	ck_assert(f && fwrite(text.p, 1, text.n, f) == text.n && !fclose(f));
	buf_release(&text);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		put(in_dir("bad/adapter_config.json"), bad[i].config);
		refused(in_dir("bad"), bad[i].say);
	}
}
END_TEST

/* A model that has no such product, or one of another shape. */
START_TEST(other_model)
{
	struct adapter *a = open_adapter(ADAPTERS "/peft_lora");
	struct adapter_use use = { a, 1 };
	struct adapter_set set = { &use, 1 };
	struct model_options mo = { .sets = &set, .n_sets = 1 };
	struct exec_options xo = { .device = "ref" };
	struct rig r = { 0 };
	struct err e = { 0 };

	ok(source_open(&r.source, "tests/data/golden/phi3", &e), &e);
	ok(exec_open(&r.exec, &xo, &e), &e);
	ck_assert_int_eq(model_open(&r.model, r.source, r.exec, &mo, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_msg(strstr(e.text, "q_proj") != NULL, "%s", e.text);
	r.model = NULL;
	rig_close(&r);
	adapter_close(a);
}
END_TEST

Suite *adapter_suite(void)
{
	Suite *s = suite_create("adapter");
	TCase *t = tcase_create("adapters");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, golden_kinds, 0, 4);
	tcase_add_test(t, on_opencl);
	tcase_add_test(t, stacked);
	tcase_add_test(t, rows_apart);
	tcase_add_test(t, refusals);
	tcase_add_test(t, other_model);
	suite_add_tcase(s, t);
	return s;
}
