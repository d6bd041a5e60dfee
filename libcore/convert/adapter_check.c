/* SPDX-License-Identifier: MIT */
/* adapter_check.c - adapters against logits of an independent implementation:
 * at run time and after a turn through MLX's layout and back; stacked;
 * beside rows without any; refused */
#include "convert/check.h"

Suite *adapter_suite(void);

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
