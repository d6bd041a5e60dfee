/* SPDX-License-Identifier: MIT */
/* mlx_check.c - the same weights as Hugging Face and as MLX lay them out give
 * the same bits: taps turned, experts stacked, norms whole */
#include "model/check.h"

static const char *const families[] = { "qwen3_next", "kimi_linear" };
static const char dir[] = "build/check-mlx";

/* Replaces the first `from` in a name. */
static void change(char name[256], const char *from, const char *to)
{
	char old[256], *at;

	snprintf(old, sizeof old, "%s", name);
	at = strstr(old, from);
	if (at)
		snprintf(name, 256, "%.*s%s%s", (int)(at - old), old, to, at + strlen(from));
}

struct place {
	char name[256];
	struct shape shape;
	enum dtype dtype;
	bool skip, stack, whole;
};

static bool ends(const char *name, const char *end)
{
	size_t n = strlen(name), k = strlen(end);

	return n >= k && !strcmp(name + n - k, end);
}

/* Where a tensor of Hugging Face's goes in MLX's layout. */
static struct place place_of(const struct tensor *t, bool norms, size_t n_experts)
{
	static const char *const norm[] = { "layernorm.weight", "model.norm.weight",
		                            "q_norm.weight", "k_norm.weight" };
	struct place p = { .shape = t->shape, .dtype = t->dtype };
	const char *expert = strstr(t->name, ".experts.");

	snprintf(p.name, sizeof p.name, "%s", t->name);
	p.skip = expert && strncmp(expert, ".experts.0.", 11);
	p.stack = expert && !p.skip;
	if (p.stack)
		p.shape = shape_of(3, n_experts, t->shape.dim[0], t->shape.dim[1]);
	if (strstr(t->name, "conv1d"))
		p.shape = shape_of(3, t->shape.dim[0], t->shape.dim[2], (size_t)1);
	for (size_t i = 0; norms && i < sizeof norm / sizeof *norm; i++)
		p.whole |= ends(t->name, norm[i]);
	if (p.whole)
		p.dtype = DT_F32;
	change(p.name, "block_sparse_moe.", "mlp.");
	change(p.name, "experts.0.w1", "switch_mlp.gate_proj");
	change(p.name, "experts.0.w2", "switch_mlp.down_proj");
	change(p.name, "experts.0.w3", "switch_mlp.up_proj");
	change(p.name, "experts.0.", "switch_mlp.");
	change(p.name, "gate.e_score", "e_score");
	for (int c = 0; c < 3; c++) {
		char from[16], to[16];

		snprintf(from, sizeof from, "%c_conv1d", "qkv"[c]);
		snprintf(to, sizeof to, "%c_conv.conv", "qkv"[c]);
		change(p.name, from, to);
	}
	return p;
}

static void write_one(struct writer *w, struct source *s, const struct tensor *t,
                      const struct place *p, size_t n_experts)
{
	struct err e = { 0 };
	float f[256];

	if (p->whole) {
		ck_assert_uint_le(t->shape.dim[0], 256);
		dtype_to_f32(t->dtype, f, t->data.p, t->shape.dim[0]);
		for (size_t i = 0; i < t->shape.dim[0]; i++)
			f[i] += 1;
		ok(writer_data(w, f, t->shape.dim[0] * sizeof *f, &e), &e);
		return;
	}
	for (size_t j = 0; j < (p->stack ? n_experts : 1); j++) {
		char name[256], number[32];

		snprintf(name, sizeof name, "%s", t->name);
		snprintf(number, sizeof number, ".experts.%zu.", j);
		change(name, ".experts.0.", number);
		const struct tensor *one = source_find(s, name);

		ck_assert_msg(one != NULL, "%s", name);
		ok(writer_data(w, one->data.p, one->data.n, &e), &e);
	}
}

static void write_mlx(const char *from, bool norms, size_t n_experts)
{
	struct writer_options o = { .container = CONTAINER_SAFETENSORS };
	struct source *s;
	struct writer *w;
	struct bytes config;
	struct err e = { 0 };

	ok(source_open(&s, from, &e), &e);
	ok(writer_open(&w, dir, true, &o, &e), &e);
	ck_assert_int_eq(source_sibling(s, "config.json", &config, &e), 1);
	ok(writer_sibling(w, "config.json", config, &e), &e);
	for (int data = 0; data < 2; data++)
		for (size_t i = 0; i < source_count(s); i++) {
			const struct tensor *t = source_tensor(s, i);
			struct place p = place_of(t, norms, n_experts);

			if (p.skip)
				continue;
			if (data)
				write_one(w, s, t, &p, n_experts);
			else
				ok(writer_declare(w, p.name, p.dtype, &p.shape, &e), &e);
		}
	ok(writer_commit(w, &e), &e);
	source_close(s);
}

START_TEST(same_bits)
{
	const char *family = families[_i];
	struct golden g;
	struct rig r;
	char from[256];

	snprintf(from, sizeof from, "tests/data/golden/%s", family);
	golden_open(&g, family);
	float *want = malloc(g.n * g.vocab * sizeof *want);
	float *have = malloc(g.n * g.vocab * sizeof *have);

	for (int mlx = 0; mlx < 2; mlx++) {
		ck_assert(rig_open(&r, mlx ? dir : from, "cpu", EXEC_EXACT));
		struct kv_seq *s = seq_of(&r);

		feed(&r, s, g.ids, g.n, 64, mlx ? have : want);
		kv_seq_close(s);
		if (!mlx)
			write_mlx(from, !_i, model_config(r.model)->n_experts);
		rig_close(&r);
	}
	ck_assert_msg(!memcmp(want, have, g.n * g.vocab * sizeof *want), "%s differs", family);
	free(want);
	free(have);
	golden_close(&g);
}
END_TEST

Suite *mlx_suite(void);
Suite *mlx_suite(void)
{
	Suite *s = suite_create("mlx");
	TCase *t = tcase_create("mlx");

	tcase_add_loop_test(t, same_bits, 0, 2);
	suite_add_tcase(s, t);
	return s;
}
