/* SPDX-License-Identifier: MIT */
/* source_check.c - which files a path names, and what may not be followed */
#include "format/fixture.h"

#include "format/container.h"

Suite *source_suite(void);

/* A lone file with u8 tensors of the given names, blanks between. */
static void put_model(enum container c, const char *path, const char *names)
{
	struct writer_options o = { .container = c };
	struct shape s = shape_of(1, (size_t)4);
	struct writer *w;
	struct err e = { 0 };
	char list[256], *name;

	ok(writer_open(&w, path, false, &o, &e), &e);
	for (int data = 0; data < 2; data++) {
		strcpy(list, names);
		for (name = strtok(list, " "); name; name = strtok(NULL, " ")) {
			if (!data)
				ok(writer_declare(w, name, DT_I8, &s, &e), &e);
			else
				ok(writer_data(w, "abcd", 4, &e), &e);
		}
	}
	ok(writer_commit(w, &e), &e);
}

static void make_dir(const char *path)
{
	ck_assert_int_eq(mkdir(path, 0777), 0);
}

/* "a b c": the tensors that the path leads to. */
static void opens(const char *path, enum container c, const char *names)
{
	struct source *s;
	struct err e = { 0 };
	char have[256] = "";

	ok(source_open(&s, path, &e), &e);
	ck_assert_msg(source_container(s) == c, "%s: %s", path,
	              container_name(source_container(s)));
	ck_assert_str_eq(source_path(s), path);
	for (size_t i = 0; i < source_count(s); i++) {
		const struct tensor *t = source_tensor(s, i);

		strcat(strcat(have, i ? " " : ""), t->name);
		ck_assert_ptr_eq(source_find(s, t->name), t);
	}
	ck_assert_str_eq(have, names);
	ck_assert_ptr_null(source_find(s, "absent"));
	source_close(s);
}

static void fails(const char *path, const char *why)
{
	struct source *s;
	struct err e = { 0 };

	refused(source_open(&s, path, &e), &e, why);
}

START_TEST(any_file_names_the_model)
{
	make_dir("m");
	put_model(CONTAINER_SAFETENSORS, "m/model.safetensors", "a b");
	put_text("m/config.json", "{}");
	put_text("m/tokenizer.model", "x");
	opens("m", CONTAINER_SAFETENSORS, "a b");
	opens("m/", CONTAINER_SAFETENSORS, "a b");
	opens("m/config.json", CONTAINER_SAFETENSORS, "a b");
	opens("m/tokenizer.model", CONTAINER_SAFETENSORS, "a b");
	opens("m/model.safetensors", CONTAINER_SAFETENSORS, "a b");
	ck_assert_int_eq(chdir("m"), 0);
	opens(".", CONTAINER_SAFETENSORS, "a b");
	opens("model.safetensors", CONTAINER_SAFETENSORS, "a b");
	fails("absent", "absent: no such file or directory");
}
END_TEST

/* The bytes decide, whatever the name. */
START_TEST(known_by_bytes)
{
	put_model(CONTAINER_GGUF, "x.safetensors", "a");
	put_model(CONTAINER_NPZ, "y", "a");
	put_model(CONTAINER_SAFETENSORS, "z.bin", "a");
	opens("x.safetensors", CONTAINER_GGUF, "a");
	opens("y", CONTAINER_NPZ, "a");
	opens("z.bin", CONTAINER_SAFETENSORS, "a");
	put_text("text", "hello world");
	fails("text", "text: expected safetensors, npz, npy, gguf or llama2.c, "
	              "found bytes 68 65 6c 6c");
	put_text("tiny", "x");
	fails("tiny", "found 1 bytes");
	put_text("t.gguf", "hello world");
	fails("t.gguf", "expected \"GGUF\"");
	make_dir("empty");
	fails("empty", "empty: expected weights");
}
END_TEST

static void put_index(const char *path, const char *a, const char *b)
{
	char text[512];

	snprintf(text, sizeof text,
	         "{\"metadata\": {}, \"weight_map\": {\"a\": \"%s\", \"b\": \"%s\"}}", a, b);
	put_text(path, text);
}

START_TEST(an_index_decides)
{
	static const char one[] = "model-00001-of-00002.safetensors";
	static const char two[] = "model-00002-of-00002.safetensors";

	make_dir("m");
	ck_assert_int_eq(chdir("m"), 0);
	put_model(CONTAINER_SAFETENSORS, one, "b c");
	put_model(CONTAINER_SAFETENSORS, two, "a");
	put_model(CONTAINER_SAFETENSORS, "adapters.safetensors", "x");
	put_model(CONTAINER_SAFETENSORS, "model-extra.safetensors", "y");
	put_index("model.safetensors.index.json", two, one);
	opens(".", CONTAINER_SAFETENSORS, "b c a");
	opens(two, CONTAINER_SAFETENSORS, "b c a");
	opens("model.safetensors.index.json", CONTAINER_SAFETENSORS, "b c a");
	opens("adapters.safetensors", CONTAINER_SAFETENSORS, "x");
	opens("model-extra.safetensors", CONTAINER_SAFETENSORS, "y");
	put_index("model.safetensors.index.json", one, one);
	fails(".", "a: expected by the index, found nowhere");
	put_index("model.safetensors.index.json", one, two);
	fails(".", "model-00001-of-00002.safetensors: a: expected by the index, "
	           "found in ./model-00002");
	put_index("model.safetensors.index.json", "../m/x", one);
	fails(".", "weight_map: expected a plain file name, found ../m/x");
	put_index("model.safetensors.index.json", "gone", one);
	fails(".", "weight_map: gone is missing");
	put_text("model.safetensors.index.json", "{\"weight_map\": [1]}");
	fails(".", "weight_map: expected an object, found an array");
	put_text("model.safetensors.index.json", "{\"weight_map\": {\"a\": 1}}");
	fails(".", "a: expected a file name, found a number");
	put_text("model.safetensors.index.json", "{");
	fails(".", "model.safetensors.index.json");
	ck_assert_int_eq(unlink("model.safetensors.index.json"), 0);
	opens(two, CONTAINER_SAFETENSORS, "b c a"); /* the numbers alone will do */
	opens(".", CONTAINER_SAFETENSORS, "b c a y");
	put_model(CONTAINER_SAFETENSORS, two, "b");
	fails(".", "b: is in ./model-00001-of-00002.safetensors too");
	ck_assert_int_eq(unlink(one), 0);
	fails(two, "missing; it is shard 1 of 2");
}
END_TEST

START_TEST(directories_of_other_layouts)
{
	make_dir("npz");
	put_model(CONTAINER_NPZ, "npz/weights.00.npz", "a b");
	put_model(CONTAINER_NPZ, "npz/weights.01.npz", "c");
	opens("npz", CONTAINER_NPZ, "a b c");
	opens("npz/weights.01.npz", CONTAINER_NPZ, "a b c");
	put_model(CONTAINER_NPZ, "npz/weights.npz", "z");
	opens("npz", CONTAINER_NPZ, "z");
	make_dir("old");
	put_model(CONTAINER_SAFETENSORS, "old/weights.00.safetensors", "a");
	put_model(CONTAINER_SAFETENSORS, "old/weights.01.safetensors", "b");
	opens("old", CONTAINER_SAFETENSORS, "a b");
	make_dir("one");
	put_model(CONTAINER_GGUF, "one/some-Q4_K_M.gguf", "a");
	put_text("one/pytorch_model.bin", "PK");
	opens("one", CONTAINER_GGUF, "a");
	put_model(CONTAINER_GGUF, "one/some-Q8_0.gguf", "a");
	fails("one", "one: 2 files are *.gguf: name one of them, such as some-Q4_K_M.gguf");
	opens("one/some-Q8_0.gguf", CONTAINER_GGUF, "a");
	make_dir("lora");
	put_model(CONTAINER_SAFETENSORS, "lora/adapters.safetensors", "a");
	put_text("lora/adapter_config.json", "{}");
	opens("lora", CONTAINER_SAFETENSORS, "a");
	opens("lora/adapter_config.json", CONTAINER_SAFETENSORS, "a");
}
END_TEST

static void put_part(const char *path, const char *name, unsigned count, int n_tensors)
{
	struct writer_options o = { .container = CONTAINER_GGUF };
	struct shape s = shape_of(1, (size_t)4);
	struct writer *w;
	struct err e = { 0 };

	ok(writer_open(&w, path, false, &o, &e), &e);
	ok(writer_meta_number(w, "split.count", META_U16, count, &e), &e);
	if (n_tensors >= 0)
		ok(writer_meta_number(w, "split.tensors.count", META_I32, n_tensors, &e), &e);
	ok(writer_declare(w, name, DT_I8, &s, &e), &e);
	ok(writer_data(w, "abcd", 4, &e), &e);
	ok(writer_commit(w, &e), &e);
}

START_TEST(split_gguf)
{
	put_part("m-00001-of-00002.gguf", "a", 2, 2);
	put_part("m-00002-of-00002.gguf", "b", 2, 2);
	opens("m-00002-of-00002.gguf", CONTAINER_GGUF, "a b");
	opens(".", CONTAINER_GGUF, "a b");
	put_part("m-00001-of-00002.gguf", "a", 2, 3);
	fails("m-00002-of-00002.gguf", "split.tensors.count: expected 2, found 3");
	put_part("m-00001-of-00002.gguf", "b", 2, -1);
	fails("m-00001-of-00002.gguf", "m-00002-of-00002.gguf: b: is in ./m-00001");
	put_part("m.gguf", "b", 2, -1);
	fails("m.gguf", "split.count: expected 1, found 2");
	put_model(CONTAINER_SAFETENSORS, "m-00002-of-00002.gguf", "c");
	put_part("m-00001-of-00002.gguf", "a", 2, -1);
	fails("m-00001-of-00002.gguf",
	      "expected gguf as in m-00001-of-00002.gguf, found safetensors");
}
END_TEST

static int sibling(const char *path, const char *name, const char *want, struct err *e)
{
	struct source *s;
	struct bytes b;
	int found;

	ok(source_open(&s, path, e), e);
	found = source_sibling(s, name, &b, e);
	ck_assert(found < 1 || bytes_is(b, want));
	if (found == 1) { /* the same again */
		struct bytes again;

		ck_assert_int_eq(source_sibling(s, name, &again, e), 1);
		ck_assert_ptr_eq(again.p, b.p);
	}
	source_close(s);
	return found;
}

START_TEST(siblings_stay_inside)
{
	static const char *const bad[] = { "",          ".",    "..",
		                           "../secret", "a/..", "/etc/passwd",
		                           ".hidden",   "a\\b", "a\nb", "a/b/c", "a/" };
	struct err e = { 0 };

	put_text("secret", "s3cret");
	make_dir("m");
	put_model(CONTAINER_SAFETENSORS, "m/model.safetensors", "a");
	put_text("m/config.json", "{}");
	ck_assert_int_eq(symlink("config.json", "m/params.json"), 0);
	ck_assert_int_eq(symlink("../secret", "m/tokenizer.json"), 0);
	ck_assert_int_eq(symlink("nowhere", "m/vocab.json"), 0);
	make_dir("m/merges.txt");
	ck_assert_int_eq(sibling("m", "config.json", "{}", &e), 1);
	ck_assert_int_eq(sibling("m/model.safetensors", "config.json", "{}", &e), 1);
	ck_assert_int_eq(sibling("m", "params.json", "{}", &e), 1);
	ck_assert_int_eq(sibling("m", "absent.json", "", &e), 0);
	ck_assert_int_eq(sibling("m", "vocab.json", "", &e), 0);
	ck_assert_int_eq(sibling("m", "folder/absent.json", "", &e), 0);
	refused(sibling("m", "tokenizer.json", "", &e), &e,
	        "tokenizer.json: a link that leaves the model's directory");
	refused(sibling("m", "merges.txt", "", &e), &e, "found a directory");
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		refused(sibling("m", bad[i], "", &e), &e, "expected a plain file name");
	/* a directory that is itself a link is where it leads */
	ck_assert_int_eq(symlink("m", "link"), 0);
	ck_assert_int_eq(sibling("link", "config.json", "{}", &e), 1);
}
END_TEST

/* models--x/snapshots/REV/NAME -> ../../blobs/DIGEST */
START_TEST(hugging_face_cache)
{
	struct err e = { 0 };

	ck_assert_int_eq(system("mkdir -p r/blobs r/snapshots/rev q/blobs"), 0);
	put_model(CONTAINER_SAFETENSORS, "r/blobs/aaaa", "a b");
	put_text("r/blobs/bbbb", "{}");
	put_text("q/blobs/cccc", "{}");
	ck_assert_int_eq(symlink("../../blobs/aaaa", "r/snapshots/rev/model.safetensors"), 0);
	ck_assert_int_eq(symlink("../../blobs/bbbb", "r/snapshots/rev/config.json"), 0);
	ck_assert_int_eq(symlink("../../../q/blobs/cccc", "r/snapshots/rev/tokenizer.json"), 0);
	opens("r/snapshots/rev", CONTAINER_SAFETENSORS, "a b");
	opens("r/snapshots/rev/model.safetensors", CONTAINER_SAFETENSORS, "a b");
	ck_assert_int_eq(sibling("r/snapshots/rev", "config.json", "{}", &e), 1);
	refused(sibling("r/snapshots/rev", "tokenizer.json", "{}", &e), &e, "a link that leaves");
}
END_TEST

START_TEST(known_siblings_are_listed)
{
	static const char *const put_names[] = { "tokenizer.json",
		                                 "config.json",
		                                 "notes.txt",
		                                 "merges.txt",
		                                 "model.safetensors.index.json",
		                                 "chat_template.jinja",
		                                 "x.tiktoken",
		                                 ".config.json" };
	const char *const *names;
	struct source *s;
	struct err e = { 0 };

	put_model(CONTAINER_NPZ, "foreign.npz", "a");
	for (size_t i = 0; i < sizeof put_names / sizeof *put_names; i++)
		put_text(put_names[i], "{\"weight_map\": {}}");
	ok(source_open(&s, "foreign.npz", &e), &e);
	ck_assert_uint_eq(source_siblings(s, &names), 5);
	ck_assert_str_eq(names[0], "chat_template.jinja");
	ck_assert_str_eq(names[1], "config.json");
	ck_assert_str_eq(names[2], "merges.txt");
	ck_assert_str_eq(names[3], "tokenizer.json");
	ck_assert_str_eq(names[4], "x.tiktoken");
	source_close(s);
}
END_TEST

START_TEST(shard_names)
{
	static const struct {
		const char *name;
		size_t number, total, at;
	} good[] = {
		{ "model-00002-of-00005.gguf", 2, 5, 6 },
		{ "a-of-b-00001-of-00001.safetensors", 1, 1, 7 },
		{ "x-00007-of-00007.safetensors.part", 7, 7, 2 },
	};
	static const char *const bad[] = {
		"model.gguf",
		"model-00000-of-00005.gguf",
		"model-00006-of-00005.gguf",
		"00001-of-00002.gguf",
		"m-0001-of-0002.gguf",
		"m-00001-of-00002",
		"m-00001-of-0000",
		"m-00001-of-",
		"-of-",
		"",
	};
	size_t number, total, at;

	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		ck_assert(shard_name(good[i].name, &number, &total, &at) &&
		          number == good[i].number && total == good[i].total && at == good[i].at);
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!shard_name(bad[i], &number, &total, &at), "%s", bad[i]);
}
END_TEST

/* Pages of a file that are in memory because this process asked for them. */
static long resident_kb(void)
{
	FILE *f = fopen("/proc/self/smaps_rollup", "r");
	char line[256];
	long kb = -1;

	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Rss: %ld", &kb) == 1)
			break;
	if (f)
		fclose(f);
	return kb;
}

/* Opening reads no weights: a sparse file of 8 GiB opens at once. */
START_TEST(opening_reads_no_weights)
{
	static const char head[] = "{\"big\":{\"dtype\":\"U8\",\"shape\":[8589934592],"
				   "\"data_offsets\":[0,8589934592]}}";
	uint64_t n = sizeof head - 1;
	struct source *s;
	struct err e = { 0 };
	long before;
	FILE *f = fopen("big.safetensors", "wb");

	ck_assert(f && fwrite(&n, 8, 1, f) == 1 && fwrite(head, n, 1, f) == 1 && !fclose(f));
	if (truncate("big.safetensors", (off_t)(8 + n + 8589934592)))
		return; /* no room for so long a hole */
	before = resident_kb();
	ok(source_open(&s, "big.safetensors", &e), &e);
	ck_assert_int_lt(resident_kb() - before, 4096);
	ck_assert_uint_eq(source_tensor(s, 0)->data.n, 8589934592);
	source_close(s);
}
END_TEST

/* ---- with $SHARED: real files, and what each holds */
static const struct real {
	const char *path;
	enum container container;
	size_t n_tensors;
	const char *why; /* it is refused, or NULL */
} reals[] = {
	{ "models/stories260K/stories260K.bin", CONTAINER_LLAMA2C, 47, NULL },
	{ "models/stories260K/stories260K_v1.bin", CONTAINER_LLAMA2C, 47, NULL },
	{ "models/stories260K/stories260K_q80.bin", CONTAINER_LLAMA2C, 47, NULL },
	{ "models/stories260K/tok512.bin", 0, 0, "hidden_dim" },
	{ "models/derived/stories260K-f16.gguf", CONTAINER_GGUF, 47, NULL },
	{ "models/derived/stories260K-hf-f32", CONTAINER_SAFETENSORS, 47, NULL },
	{ "models/gguf-small/empty.gguf", CONTAINER_GGUF, 0, NULL },
	{ "models/npz/candle-test.npz", CONTAINER_NPZ, 2, NULL },
	{ "models/npz/mlx-cvae-mnist.npz", CONTAINER_NPZ, 39, NULL },
	{ "models/npz/tiny-random-llama-lora.npz", CONTAINER_NPZ, 28, NULL },
	{ "models/npz/whisper_mel_filters.npz", CONTAINER_NPZ, 2, NULL },
	{ "models/npz/py2-objarr.npy", 0, 0, "(pickled objects)" },
	{ "models/npz/py2-objarr.npz", 0, 0, "(pickled objects)" },
	{ "models/npz/py3-arr-savez.npz", 0, 0, "found '<U3'" },
	{ "models/safetensors/mlx-lora-adapters.safetensors", CONTAINER_SAFETENSORS, 16, NULL },
	{ "models/safetensors/tensor-1d-int32.safetensors", CONTAINER_SAFETENSORS, 1, NULL },
	{ "models/safetensors/tensor-3d-float32.safetensors", CONTAINER_SAFETENSORS, 1, NULL },
	{ "models/safetensors/dtype-samples/d.safetensors", CONTAINER_SAFETENSORS, 1, NULL },
	{ "models/safetensors/dtype-samples/upper-B.safetensors", CONTAINER_SAFETENSORS, 1, NULL },
	{ "models/safetensors/dtype-samples", 0, 0, "name one of them" },
	{ "gguf-models/tiny-llama-a-Q4_K_M.gguf", CONTAINER_GGUF, 21, NULL },
	{ "gguf-models/tiny-llama-c-Q6_K.gguf", CONTAINER_GGUF, 11, NULL },
	{ "gguf-models/tiny-qwen2-b-Q8_0.gguf", CONTAINER_GGUF, 14, NULL },
	{ "gguf-models/tiny-qwen2-d-IQ4_XS.gguf", CONTAINER_GGUF, 26, NULL },
	{ "golden/llama", CONTAINER_SAFETENSORS, 29, NULL },
	{ "golden/llama/logits.npy", CONTAINER_NPY, 1, NULL },
};

static struct source *open_real(const char *name, struct err *e)
{
	char path[4352];
	struct source *s;

	snprintf(path, sizeof path, "%s/data/%s", getenv("SHARED"), name);
	return source_open(&s, path, e) ? NULL : s;
}

START_TEST(real_files)
{
	const struct real *r = &reals[_i];
	struct err e = { 0 };
	struct source *s = open_real(r->path, &e);

	if (r->why) {
		refused(s ? 0 : -1, &e, r->why);
		return;
	}
	ck_assert_msg(s != NULL, "%s", e.text);
	ck_assert_int_eq(source_container(s), r->container);
	ck_assert_uint_eq(source_count(s), r->n_tensors);
	for (size_t i = 0; i < r->n_tensors; i++) {
		struct arena a = { 0 };
		struct bytes b;

		ok(source_data(s, source_tensor(s, i), &b, &a, &e), &e);
		ck_assert_uint_eq(b.n, source_tensor(s, i)->data.n);
		arena_release(&a);
	}
	source_close(s);
}
END_TEST

/* Versions 0 and 1 of a real network, bit for bit. */
START_TEST(one_network_twice)
{
	struct err e = { 0 };
	struct source *a = open_real("models/stories260K/stories260K.bin", &e);
	struct source *b = open_real("models/stories260K/stories260K_v1.bin", &e);

	ck_assert_msg(a && b, "%s", e.text);
	for (size_t i = 0; i < source_count(a); i++) {
		const struct tensor *x = source_tensor(a, i), *y = source_find(b, x->name);

		ck_assert_msg(y && bytes_equal(x->data, y->data), "%s", x->name);
	}
	source_close(a);
	source_close(b);
}
END_TEST

Suite *source_suite(void)
{
	Suite *s = suite_create("source");
	TCase *t = tcase_create("source"), *shared = tcase_create("shared");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_add_test(t, any_file_names_the_model);
	tcase_add_test(t, known_by_bytes);
	tcase_add_test(t, an_index_decides);
	tcase_add_test(t, directories_of_other_layouts);
	tcase_add_test(t, split_gguf);
	tcase_add_test(t, siblings_stay_inside);
	tcase_add_test(t, hugging_face_cache);
	tcase_add_test(t, known_siblings_are_listed);
	tcase_add_test(t, shard_names);
	tcase_add_test(t, opening_reads_no_weights);
	suite_add_tcase(s, t);
	tcase_set_tags(shared, "shared");
	tcase_add_loop_test(shared, real_files, 0, sizeof reals / sizeof *reals);
	tcase_add_test(shared, one_network_twice);
	suite_add_tcase(s, shared);
	return s;
}
