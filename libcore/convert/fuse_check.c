/* SPDX-License-Identifier: MIT */
/* fuse_check.c - adapters that become part of the weights against the same
 * adapters at run time and against logits of an independent implementation;
 * on floats, codes and GGUF blocks; NPZ adapters; sides of tables and heads */
#include "convert/check.h"

Suite *fuse_suite(void);

/* ---- an adapter of numbers made here */

struct made {
	const char *name;
	size_t n0, n1;         /* n1 0: a vector */
	float about;           /* numbers lie about it */
};

static void write_adapter(const char *path, const char *config, const struct made *t, size_t n)
{
	struct writer_options o = { .container = CONTAINER_SAFETENSORS };
	struct err e = { 0 };
	char file[192];
	struct writer *w;
	uint32_t seed = 5;

	ok(file_mkdirs(path, &e), &e);
	snprintf(file, sizeof file, "%s/%s", path, strstr(config, "peft_type") ?
	         "adapter_model.safetensors" : "adapters.safetensors");
	ok(writer_open(&w, file, false, &o, &e), &e);
	for (size_t i = 0; i < n; i++) {
		struct shape s = { t[i].n1 ? 2 : 1, { t[i].n0, t[i].n1 } };

		ok(writer_declare(w, t[i].name, DT_F32, &s, &e), &e);
	}
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < t[i].n0 * (t[i].n1 ? t[i].n1 : 1); k++) {
			float v;

			seed = seed * 1664525u + 1013904223u;
			v = t[i].about + ((float)(seed >> 8) * 0x1p-24f - 0.5f) * 0.4f;
			ok(writer_data(w, &v, sizeof v, &e), &e);
		}
	ok(writer_commit(w, &e), &e);
	snprintf(file, sizeof file, "%s/adapter_config.json", path);
	put(file, config);
}

/* ---- ways to use one */

static const char *fused(const char *name, const char *base, const struct fuse_use *use, size_t n,
                         enum dtype dtype)
{
	const char *out = in_dir(name);
	struct convert_options o;
	struct err e = { 0 };

	convert_options_init(&o);
	o.fuse = use;
	o.n_fuse = n;
	o.dtype = dtype;
	ok(convert_model(base, out, &o, &e), &e);
	return out;
}

static const char *turned(const char *name, const char *base, unsigned bits, enum dtype blocks)
{
	const char *out = in_dir(name);
	struct convert_options o;
	struct err e = { 0 };

	convert_options_init(&o);
	o.bits = bits;
	o.group = 32;
	o.blocks = blocks;
	ok(convert_model(base, out, &o, &e), &e);
	return out;
}

static float *run_stack(const char *base, const struct fuse_use *use, size_t n)
{
	struct adapter_use with[4];
	struct adapter *a[4];
	float *out;

	for (size_t i = 0; i < n; i++) {
		a[i] = open_adapter(use[i].path);
		with[i] = (struct adapter_use){ a[i], use[i].scale };
	}
	out = run("cpu", base, &(struct adapter_set){ with, n }, 1);
	for (size_t i = 0; i < n; i++)
		adapter_close(a[i]);
	return out;
}

static float *run_plain(const char *base)
{
	return run("cpu", base, NULL, 0);
}

/* The fused model is the model with them, and they change something. */
static void same_fused(const char *base, const struct fuse_use *use, size_t n, const char *what)
{
	float *with = run_stack(base, use, n), *without = run_plain(base);

	near(run_plain(fused("same", base, use, n, DT_F32)), with, 1e-3, what);
	ck_assert_msg(worst(with, without) > 1e-2, "%s: changes nothing", what);
	free(without);
	free(with);
}

/* ---- the checks */

START_TEST(golden_kinds)
{
	char path[160], mlx[160];
	struct err e = { 0 };
	float *want;

	snprintf(path, sizeof path, "%s/%s", ADAPTERS, kinds[_i]);
	snprintf(mlx, sizeof mlx, "%s", in_dir("mlx"));
	want = golden(path);
	near(run_plain(fused("peft", BASE, &(struct fuse_use){ path, 1 }, 1, DT_F32)), want, 1e-3,
	     "fused");
	ok(convert_adapter(path, mlx, ADAPTER_AUTO, &e), &e);
	near(run_plain(fused("turned", BASE, &(struct fuse_use){ mlx, 1 }, 1, DT_F32)), want, 1e-3,
	     "MLX, fused");
	free(want);
}
END_TEST

START_TEST(stacked)
{
	const struct fuse_use two[] = { { ADAPTERS "/peft_dora", 0.5 },
		                        { ADAPTERS "/peft_rslora_all", 0.7 } };
	const struct fuse_use low[] = { { ADAPTERS "/peft_lora", 1 },
		                        { ADAPTERS "/peft_partial", -0.5 } };
	float *want = run_stack(BASE, low, 2);

	same_fused(BASE, two, 2, "two adapters");
	near(run_stack(fused("one", BASE, low, 1, DT_F32), low + 1, 1), want, 1e-3,
	     "one in the weights, one beside them");
	free(want);
}
END_TEST

static const char *dense(const char *name, const char *base, const struct fuse_use *use)
{
	const char *out = in_dir(name);
	struct convert_options o;
	struct err e = { 0 };

	convert_options_init(&o);
	o.fuse = use;
	o.n_fuse = 1;
	o.dequantize = true;
	o.dtype = DT_F32;
	ok(convert_model(base, out, &o, &e), &e);
	return out;
}

static void same_bytes(const char *a, const char *b, const char *name)
{
	struct err e = { 0 };
	struct source *s[2];
	const struct tensor *t[2];

	ok(source_open(&s[0], a, &e), &e);
	ok(source_open(&s[1], b, &e), &e);
	for (int i = 0; i < 2; i++)
		ck_assert((t[i] = source_find(s[i], name)) != NULL);
	ck_assert_int_eq(t[0]->dtype, t[1]->dtype);
	ck_assert_uint_eq(t[0]->data.n, t[1]->data.n);
	ck_assert_msg(!memcmp(t[0]->data.p, t[1]->data.p, t[0]->data.n), "%s differs", name);
	source_close(s[0]);
	source_close(s[1]);
}

/* On codes: what run time computes; and coded anew in the form that was
 * there, as if the sum had been quantized to it. */
START_TEST(on_codes)
{
	const struct fuse_use use = { ADAPTERS "/peft_lora", 1 };
	char base[160], floats[160], coded[160];
	float *want;

	snprintf(base, sizeof base, "%s", turned("q4", BASE, 4, DT_COUNT));
	want = run_stack(base, &use, 1);
	snprintf(floats, sizeof floats, "%s", dense("dense", base, &use));
	near(run_plain(floats), want, 1e-3, "fused and dense");
	snprintf(coded, sizeof coded, "%s", fused("coded", base, &use, 1, DT_COUNT));
	same_bytes(coded, base, "model.layers.0.self_attn.k_proj.weight");
	same_bytes(coded, base, "model.layers.0.self_attn.k_proj.scales");
	same_bytes(coded, turned("anew", floats, 4, DT_COUNT),
	           "model.layers.0.self_attn.q_proj.weight");
	free(run_plain(coded));
	free(want);
}
END_TEST

/* Rows of a GGUF's q and k lie in pairs, an adapter's in halves. */
START_TEST(on_blocks)
{
	const struct fuse_use use = { ADAPTERS "/peft_dora", 1 };
	char base[160], coded[160];
	float *want = golden(ADAPTERS "/peft_dora");

	snprintf(base, sizeof base, "%s", turned("f.gguf", BASE, 0, DT_COUNT));
	near(run_stack(base, &use, 1), want, 1e-3, "GGUF, at run time");
	near(run_plain(fused("fused.gguf", base, &use, 1, DT_F32)), want, 1e-3, "GGUF to GGUF");
	near(run_plain(fused("mlx", base, &use, 1, DT_F32)), want, 1e-3, "GGUF to MLX");
	near(run_plain(fused("to.gguf", BASE, &use, 1, DT_F32)), want, 1e-3, "MLX to GGUF");
	free(want);
	snprintf(base, sizeof base, "%s", turned("q8.gguf", BASE, 8, DT_Q8_0));
	want = run_stack(base, &use, 1);
	near(run_plain(dense("q8-dense.gguf", base, &use)), want, 1e-3, "Q8_0, dense");
	snprintf(coded, sizeof coded, "%s", fused("q8-fused.gguf", base, &use, 1, DT_COUNT));
	same_bytes(coded, turned("anew.gguf", in_dir("q8-dense.gguf"), 8, DT_Q8_0),
	           "blk.1.attn_q.weight");
	same_bytes(coded, base, "blk.1.ffn_up.weight");
	free(want);
}
END_TEST

/* mlx-examples' adapters: an NPZ alone, of scale 20. */
START_TEST(from_npz)
{
	const char *const config = "{\"lora_parameters\": {\"scale\": 5}}";
	static const struct made t[] = {
		{ "model.layers.2.self_attn.q_proj.lora_a", 64, 3, 0 },
		{ "model.layers.2.self_attn.q_proj.lora_b", 3, 64, 0 },
	};
	char npz[160], from[160];
	struct convert_options o;
	struct err e = { 0 };
	float *want;

	write_adapter(in_dir("safe"), config, t, 2);
	want = run_stack(BASE, &(struct fuse_use){ in_dir("safe"), 1 }, 1);
	unlink(in_dir("safe/adapter_config.json"));
	convert_options_init(&o);
	o.format = CONVERT_NPZ;
	ok(file_mkdirs(in_dir("npz"), &e), &e);
	snprintf(npz, sizeof npz, "%s", in_dir("npz/adapters.npz"));
	snprintf(from, sizeof from, "%s", in_dir("safe/adapters.safetensors"));
	ok(convert_model(from, npz, &o, &e), &e);
	near(run_stack(BASE, &(struct fuse_use){ in_dir("npz"), 0.25 }, 1), want, 1e-5,
	     "at run time");
	near(run_plain(fused("from", BASE, &(struct fuse_use){ npz, 0.25 }, 1, DT_F32)), want, 1e-3,
	     "fused");
	free(want);
}
END_TEST

/* Sides of embeddings that are the head too: both change, the embeddings
 * alone, the head alone. */
START_TEST(tied)
{
	static const struct made table[] = {
		{ "model.embed_tokens.lora_a", 320, 4, 0 },
		{ "model.embed_tokens.lora_b", 4, 64, 0 },
	};
	static const struct made head[] = {
		{ "lm_head.lora_a", 64, 4, 0 }, { "lm_head.lora_b", 4, 320, 0 },
	};
	const char *const both = "{\"lora_parameters\": {\"scale\": 1.5}}";
	const char *const alone = "{\"clm_table_only\": true, \"lora_parameters\": {\"scale\": 1.5}}";

	write_adapter(in_dir("both"), both, table, 2);
	same_fused(BASE, &(struct fuse_use){ in_dir("both"), 1 }, 1, "embeddings and head");
	write_adapter(in_dir("table"), alone, table, 2);
	same_fused(BASE, &(struct fuse_use){ in_dir("table"), 1 }, 1, "embeddings");
	write_adapter(in_dir("head"), both, head, 2);
	same_fused(BASE, &(struct fuse_use){ in_dir("head"), 0.5 }, 1, "head");
}
END_TEST

/* Gains of outputs, with a bias, and of inputs. */
START_TEST(gains)
{
	static const struct made t[] = {
		{ "base_model.model.model.layers.0.self_attn.k_proj.ia3_l", 32, 1, 1 },
		{ "base_model.model.model.layers.1.self_attn.v_proj.ia3_l", 32, 1, 1 },
		{ "base_model.model.model.layers.1.mlp.down_proj.ia3_l", 1, 160, 1 },
	};

	write_adapter(in_dir("ia3"), "{\"peft_type\": \"IA3\"}", t, 3);
	same_fused("tests/data/golden/qwen2", &(struct fuse_use){ in_dir("ia3"), 0.7 }, 1, "gains");
}
END_TEST

static void refused(const char *base, const struct fuse_use *use, const char *say)
{
	struct convert_options o;
	struct err e = { 0 };

	convert_options_init(&o);
	o.fuse = use;
	o.n_fuse = 1;
	ck_assert_int_eq(convert_model(base, in_dir("none"), &o, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_msg(strstr(e.text, say) != NULL, "%s", e.text);
	ck_assert(!file_is_dir(in_dir("none")));
}

START_TEST(refusals)
{
	static const struct made wide[] = {
		{ "model.layers.2.self_attn.q_proj.lora_a", 65, 3, 0 },
		{ "model.layers.2.self_attn.q_proj.lora_b", 3, 64, 0 },
	};
	const struct fuse_use lora = { ADAPTERS "/peft_lora", 1 };

	refused("tests/data/golden/phi3", &lora, "q_proj: the model has no such product");
	write_adapter(in_dir("wide"), "{\"lora_parameters\": {\"scale\": 1}}", wide, 2);
	refused(BASE, &(struct fuse_use){ in_dir("wide"), 1 },
	        "a side of [64,65], the model has [64,64]");
	write_adapter(in_dir("noscale"), "{}", wide, 2);
	refused(BASE, &(struct fuse_use){ in_dir("noscale"), 1 }, "lora_parameters.scale");
	refused(BASE, &(struct fuse_use){ BASE, 1 }, "expected an adapter");
}
END_TEST

Suite *fuse_suite(void)
{
	Suite *s = suite_create("fuse");
	TCase *t = tcase_create("fused");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 300);
	tcase_add_loop_test(t, golden_kinds, 0, 4);
	tcase_add_test(t, stacked);
	tcase_add_test(t, on_codes);
	tcase_add_test(t, on_blocks);
	tcase_add_test(t, from_npz);
	tcase_add_test(t, tied);
	tcase_add_test(t, gains);
	tcase_add_test(t, refusals);
	suite_add_tcase(s, t);
	return s;
}
