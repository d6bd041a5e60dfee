/* SPDX-License-Identifier: MIT */
/* writer_check.c - what is written reads back: every dtype of every
 * container at odd shapes, shards, siblings, and nothing left of a failure */
#include "format/fixture.h"

#include "format/writer.h"

Suite *writer_suite(void);

static const struct way {
	enum container container;
	const char *path;
	bool as_dir, deflate;
	size_t shard_bytes;
} ways[] = {
	{ CONTAINER_SAFETENSORS, "x.safetensors", false, false, 0 },
	{ CONTAINER_SAFETENSORS, "x", true, false, 0 },
	{ CONTAINER_SAFETENSORS, "x/", false, false, 20000 },
	{ CONTAINER_NPZ, "x.npz", false, false, 0 },
	{ CONTAINER_NPZ, "x.npz", false, true, 0 },
	{ CONTAINER_NPZ, "x", true, false, 0 },
	{ CONTAINER_NPZ, "x", true, true, 20000 },
	{ CONTAINER_GGUF, "x.gguf", false, false, 0 },
	{ CONTAINER_GGUF, "x", true, false, 0 },
};
enum { N_WAYS = sizeof ways / sizeof *ways };

static const struct out_row *row_of(enum container c)
{
	return c == CONTAINER_SAFETENSORS ? &safetensors_out :
	       c == CONTAINER_NPZ         ? &npz_out :
	                                    &gguf_out;
}

static bool holds(enum container c, const char *name, enum dtype t, const struct shape *s)
{
	struct out_tensor o = { .name = name, .dtype = t, .shape = *s };
	struct err e;

	return shape_bytes(&o.n_bytes, t, s) && !row_of(c)->check(&o, &e);
}

/* Declares, or writes in pieces, tensor i of all dtypes times shapes. */
static size_t each_tensor(struct writer *w, enum container c, bool data, struct err *e)
{
	size_t n = 0;

	for (unsigned t = 0; t < DT_COUNT; t++)
		for (unsigned i = 0; i < N_SHAPES; i++) {
			const struct shape *s = &fixture_shapes[i];
			char name[64];
			size_t n_bytes;

			snprintf(name, sizeof name, "t.%u.%u.weight", t, i);
			if (!holds(c, name, (enum dtype)t, s))
				continue;
			n++;
			if (!data) {
				ok(writer_declare(w, name, (enum dtype)t, s, e), e);
				continue;
			}
			ck_assert(shape_bytes(&n_bytes, (enum dtype)t, s));
			for (size_t at = 0, step = 1; at < n_bytes;
			     at += step, step = step * 3 % 4001 + 1) {
				unsigned char piece[4001];

				if (step > n_bytes - at)
					step = n_bytes - at;
				for (size_t j = 0; j < step; j++)
					piece[j] = fixture_byte(t, at + j);
				ok(writer_data(w, piece, step, e), e);
			}
		}
	return n;
}

static size_t write_model(const struct way *how, const char *path)
{
	struct writer_options o = { .container = how->container,
		                    .deflate = how->deflate,
		                    .shard_bytes = how->shard_bytes };
	struct writer *w;
	struct err e = { 0 };
	size_t n;

	ok(writer_open(&w, path, how->as_dir, &o, &e), &e);
	ok(writer_meta_text(w, "general.architecture", bytes_of("llama"), &e), &e);
	ok(writer_meta_number(w, "a.count", META_U32, 7, &e), &e);
	ok(writer_sibling(w, "config.json", bytes_of("{\"a\": 1}"), &e), &e);
	n = each_tensor(w, how->container, false, &e);
	each_tensor(w, how->container, true, &e);
	ok(writer_commit(w, &e), &e);
	return n;
}

static void compare_tensor(struct source *s, const struct tensor *t, bool aligned)
{
	struct arena a = { 0 };
	struct err e = { 0 };
	struct bytes data;
	unsigned dtype, shape;

	ck_assert_int_eq(sscanf(t->name, "t.%u.%u.weight", &dtype, &shape), 2);
	ck_assert_int_eq(t->dtype, dtype);
	/* GGUF knows no rank of 0 */
	if (shape || source_container(s) != CONTAINER_GGUF)
		ck_assert(shape_equal(&t->shape, &fixture_shapes[shape]));
	ok(source_data(s, t, &data, &a, &e), &e);
	ck_assert_uint_eq(data.n, t->data.n);
	for (size_t i = 0; i < data.n; i++)
		ck_assert_msg(data.p[i] == fixture_byte(dtype, i), "%s: byte %zu", t->name, i);
	if (aligned && data.n % DATA_ALIGNMENT == 0)
		ck_assert_msg((uintptr_t)data.p % DATA_ALIGNMENT == 0, "%s", t->name);
	else if (aligned && data.n) /* to its own elements */
		ck_assert_msg((uintptr_t)data.p % 4 == 0 || data.n % 4, "%s", t->name);
	arena_release(&a);
}

START_TEST(everything_reads_back)
{
	const struct way *how = &ways[_i];
	struct source *s;
	struct err e = { 0 };
	size_t n = write_model(how, how->path);
	const char *const *names;
	struct bytes text;

	ok(source_open(&s, how->path, &e), &e);
	ck_assert_int_eq(source_container(s), how->container);
	ck_assert_uint_eq(source_count(s), n);
	ck_assert_uint_gt(n, 50);
	for (size_t i = 0; i < n; i++)
		compare_tensor(s, source_tensor(s, i), !how->deflate);
	if (how->container == CONTAINER_GGUF) {
		size_t v = 0;

		ck_assert_int_eq(source_meta_size(s, "a.count", &v, &e), 1);
		ck_assert_uint_eq(v, 7);
	}
	if (how->container != CONTAINER_NPZ) {
		ck_assert_int_eq(source_meta_text(s, "general.architecture", &text, &e), 1);
		ck_assert(bytes_is(text, "llama"));
	}
	if (how->as_dir || how->path[1] == '/' || how->container == CONTAINER_NPZ) {
		ck_assert_uint_eq(source_siblings(s, &names), 1);
		ck_assert_str_eq(names[0], "config.json");
		ck_assert_int_eq(source_sibling(s, "config.json", &text, &e), 1);
		ck_assert(bytes_is(text, "{\"a\": 1}"));
	} else {
		ck_assert_int_eq(source_sibling(s, "config.json", &text, &e), 0);
	}
	ck_assert_int_eq(source_sibling(s, "tokenizer.json", &text, &e), 0);
	source_close(s);
}
END_TEST

START_TEST(same_bytes_again)
{
	char a[128], b[128], command[512];

	for (size_t i = 0; i < N_WAYS; i++) {
		snprintf(a, sizeof a, "one%zu.%s", i, ways[i].path);
		snprintf(b, sizeof b, "two%zu.%s", i, ways[i].path);
		write_model(&ways[i], a);
		write_model(&ways[i], b);
		snprintf(command, sizeof command, "diff -r %s %s >/dev/null", a, b);
		ck_assert_msg(system(command) == 0, "%s", a);
	}
}
END_TEST

START_TEST(shards_and_index)
{
	struct shape s = shape_of(2, (size_t)10, (size_t)10);
	struct writer_options o = { .container = CONTAINER_SAFETENSORS,
		                    .shard_bytes = 850,
		                    .total_parameters = 4242 };
	static const char *const names[] = { "b.weight", "a.weight", "c.weight" };
	struct writer *w;
	struct err e = { 0 };
	struct bytes index;
	unsigned char data[400] = { 0 };

	ok(writer_open(&w, "m", true, &o, &e), &e);
	for (int i = 0; i < 3; i++)
		ok(writer_declare(w, names[i], DT_F32, &s, &e), &e);
	for (int i = 0; i < 3; i++)
		ok(writer_data(w, data, sizeof data, &e), &e);
	ok(writer_commit(w, &e), &e);
	ck_assert(file_exists("m/model-00001-of-00002.safetensors"));
	ck_assert(file_exists("m/model-00002-of-00002.safetensors"));
	index = slurp("m/model.safetensors.index.json");
	ck_assert(bytes_is(index, "{\n"
	                          "    \"metadata\": {\n"
	                          "        \"total_size\": 1200,\n"
	                          "        \"total_parameters\": 4242\n"
	                          "    },\n"
	                          "    \"weight_map\": {\n"
	                          "        \"a.weight\": \"model-00001-of-00002.safetensors\",\n"
	                          "        \"b.weight\": \"model-00001-of-00002.safetensors\",\n"
	                          "        \"c.weight\": \"model-00002-of-00002.safetensors\"\n"
	                          "    }\n"
	                          "}"));
	free((void *)index.p);
}
END_TEST

START_TEST(safetensors_of_text_only)
{
	struct writer_options o = { .container = CONTAINER_SAFETENSORS };
	struct shape s = shape_of(1, (size_t)3);
	struct writer *w;
	struct err e = { 0 };
	struct bytes file;
	uint64_t n;

	ok(writer_open(&w, "x", false, &o, &e), &e);
	ok(writer_meta_text(w, "format", bytes_of("m\"lx"), &e), &e);
	ok(writer_meta_number(w, "offset", META_U64, 12345, &e), &e);
	ok(writer_meta_number(w, "on", META_BOOL, 1, &e), &e);
	ok(writer_meta_number(w, "half", META_F32, 0.5, &e), &e);
	ok(writer_declare(w, "t\n\xc3\xa9", DT_U8, &s, &e), &e);
	ok(writer_data(w, "abc", 3, &e), &e);
	ok(writer_commit(w, &e), &e);
	file = slurp("x");
	memcpy(&n, file.p, 8);
	ck_assert_uint_eq((8 + n) % 64, 0);
	ck_assert_uint_eq(file.n, 8 + n + 3);
	file.p += 8;
	ck_assert(bytes_starts(file,
	                       "{\"__metadata__\":{\"format\":\"m\\\"lx\",\"offset\":\"12345\","
	                       "\"on\":\"true\",\"half\":\"0.5\"},\"t\\n"));
	file.p -= 8;
	free((void *)file.p);
	ok(writer_open(&w, "y", false, &o, &e), &e);
	ok(writer_meta_array(w, "list", META_U8, "abc", 3, &e), &e);
	ck_assert_int_eq(writer_commit(w, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	ck_assert(!file_exists("y"));
}
END_TEST

START_TEST(gguf_metadata_reads_back)
{
	struct writer_options o = { .container = CONTAINER_GGUF };
	static const double values[] = { 200, -100, 60000, -30000, 4e9,   -2e9, 0.25,
		                         1,   0,    0,     1e15,   -1e15, 1e300 };
	const struct bytes words[] = { bytes_of("one"), { NULL, 0 }, bytes_of("t\xc3\xa9rm\0x") };
	const float floats[] = { 1.5f, -2.5f };
	struct writer *w;
	struct source *s;
	struct err e = { 0 };
	const struct meta *m;
	char key[32];
	double v;
	bool b = false;
	size_t n;

	ok(writer_open(&w, "x", false, &o, &e), &e);
	for (unsigned t = 0; t <= META_F64; t++) {
		snprintf(key, sizeof key, "k.%u", t);
		if (t != META_STRING && t != META_ARRAY)
			ok(writer_meta_number(w, key, (enum meta_type)t, values[t], &e), &e);
	}
	ok(writer_meta_text(w, "text", (struct bytes){ NULL, 0 }, &e), &e);
	ok(writer_meta_strings(w, "words", words, 3, &e), &e);
	ok(writer_meta_array(w, "floats", META_F32, floats, 2, &e), &e);
	ok(writer_meta_array(w, "none", META_I32, floats, 0, &e), &e);
	ok(writer_commit(w, &e), &e);

	ok(source_open(&s, "x", &e), &e);
	ck_assert_uint_eq(source_count(s), 0);
	for (unsigned t = 0; t <= META_F64; t++) {
		snprintf(key, sizeof key, "k.%u", t);
		m = source_meta(s, key);
		if (t == META_STRING || t == META_ARRAY) {
			ck_assert_ptr_null(m);
			continue;
		}
		ck_assert_int_eq(m->type, t);
		ck_assert(meta_number(m, 0) == values[t]);
		if (t != META_BOOL)
			ck_assert(source_meta_f64(s, key, &v, &e) == 1 && v == values[t]);
	}
	ck_assert(source_meta_bool(s, "k.7", &b, &e) == 1 && b);
	refused(source_meta_size(s, "k.7", &n, &e), &e, "k.7: expected an integer, found a bool");
	refused(source_meta_size(s, "k.6", &n, &e), &e, "found an f32");
	refused(source_meta_size(s, "k.5", &n, &e), &e, "expected a count, found -2000000000");
	refused(source_meta_bool(s, "k.0", &b, &e), &e, "expected a bool, found a u8");
	refused(source_meta_f64(s, "words", &v, &e), &e, "expected a number, found an array");
	ck_assert_int_eq(source_meta_size(s, "absent", &n, &e), 0);
	ck_assert(source_meta_size(s, "k.10", &n, &e) == 1 && n == 1000000000000000u);
	m = source_meta(s, "words");
	ck_assert(m->count == 3 && bytes_is(m->strings[0], "one") && m->strings[1].n == 0);
	ck_assert(bytes_is(m->strings[2], "t\xc3\xa9rm"));
	m = source_meta(s, "floats");
	ck_assert(m->count == 2 && meta_number(m, 1) == -2.5);
	ck_assert_uint_eq(source_meta(s, "none")->count, 0);
	ck_assert(source_meta_size(s, "general.alignment", &n, &e) == 1 && n == 64);
	source_close(s);
}
END_TEST

static struct writer *open_writer(enum container c, const char *path, bool as_dir)
{
	struct writer_options o = { .container = c };
	struct writer *w;
	struct err e = { 0 };

	ok(writer_open(&w, path, as_dir, &o, &e), &e);
	return w;
}

START_TEST(refuses_what_does_not_fit)
{
	struct shape s = shape_of(2, (size_t)2, (size_t)32),
		     deep = shape_of(5, (size_t)1, (size_t)1, (size_t)1, (size_t)1, (size_t)32);
	const struct writer_options llama2c = { .container = CONTAINER_LLAMA2C };
	const struct writer_options npy = { .container = CONTAINER_NPY };
	struct writer *w = open_writer(CONTAINER_SAFETENSORS, "a", false);
	struct err e = { 0 };
	char long_name[80];

	refused(writer_declare(w, "q", DT_Q4_0, &s, &e), &e, "a: q: safetensors cannot hold q4_0");
	refused(writer_declare(w, "", DT_F32, &s, &e), &e, "expected a name");
	refused(writer_declare(w, "\xff", DT_F32, &s, &e), &e, "in UTF-8");
	refused(writer_declare(w, "__metadata__", DT_F32, &s, &e), &e, "for itself");
	ok(writer_meta_text(w, "k", bytes_of("v"), &e), &e);
	refused(writer_meta_text(w, "k", bytes_of("v"), &e), &e, "k: given twice");
	refused(writer_meta_number(w, "n", META_U8, 256, &e), &e, "256 does not fit");
	refused(writer_meta_number(w, "n", META_U8, -1, &e), &e, "does not fit");
	refused(writer_meta_number(w, "n", META_I32, 0.5, &e), &e, "does not fit");
	refused(writer_sibling(w, "../x", bytes_of(""), &e), &e, "expected a plain file name");
	ok(writer_declare(w, "t", DT_F32, &s, &e), &e);
	ok(writer_declare(w, "t", DT_F32, &s, &e), &e);
	refused(writer_data(w, "", 0, &e), &e, "a: t: given twice");
	writer_abort(w);
	w = open_writer(CONTAINER_NPZ, "a", false);
	refused(writer_declare(w, "f8", DT_F8_E4M3, &s, &e), &e, "npy cannot hold f8_e4m3");
	writer_abort(w);
	w = open_writer(CONTAINER_GGUF, "a", false);
	memset(long_name, 'n', sizeof long_name);
	long_name[64] = '\0';
	refused(writer_declare(w, long_name, DT_F32, &s, &e), &e, "up to 63 bytes");
	refused(writer_declare(w, "d", DT_F32, &deep, &e), &e, "up to 4 axes, not 5");
	refused(writer_declare(w, "u", DT_U8, &s, &e), &e, "gguf cannot hold u8");
	refused(writer_declare(w, "q", DT_Q4_K, &s, &e), &e, "breaks a block");
	writer_abort(w);
	ck_assert(!file_exists("a"));
	ck_assert_int_eq(writer_open(&w, "a", false, &llama2c, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	ck_assert_int_eq(writer_open(&w, "a", true, &npy, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
}
END_TEST

static void nothing_left(void)
{
	char names[256] = "";
	FILE *f = popen("ls -A | grep -v '^data$'", "r");
	size_t n = fread(names, 1, sizeof names - 1, f);

	pclose(f);
	ck_assert_msg(n == 0, "%s", names);
}

/* At every stage, and with the disk full. */
START_TEST(leaves_nothing_behind)
{
	struct shape s = shape_of(2, (size_t)300, (size_t)300);
	unsigned char data[1000] = { 0 };

	for (size_t i = 0; i < N_WAYS; i++)
		for (int stage = 0; stage < 3; stage++) {
			struct writer_options o = { .container = ways[i].container,
				                    .deflate = ways[i].deflate };
			struct writer *w;
			struct err e = { 0 };

			ok(writer_open(&w, ways[i].path, ways[i].as_dir, &o, &e), &e);
			ok(writer_sibling(w, "config.json", bytes_of("{}"), &e), &e);
			ok(writer_declare(w, "t", DT_F32, &s, &e), &e);
			for (int k = 0; k < stage * 3; k++)
				ok(writer_data(w, data, sizeof data, &e), &e);
			writer_abort(w);
			nothing_left();
		}
	writer_abort(NULL);
}
END_TEST

START_TEST(full_disk)
{
	static const enum container containers[] = { CONTAINER_SAFETENSORS, CONTAINER_GGUF,
		                                     CONTAINER_NPY };
	struct shape s = shape_of(1, (size_t)100000);
	static unsigned char data[400000];

	if (access("/dev/full", W_OK))
		return;
	for (size_t i = 0; i < 3; i++) {
		struct writer *w = open_writer(containers[i], "/dev/full", false);
		struct err e = { 0 };

		ok(writer_declare(w, "t", DT_F32, &s, &e), &e);
		ck_assert_int_eq(writer_data(w, data, sizeof data, &e), -1);
		ck_assert_int_eq(e.kind, ERR_MACHINE);
		writer_abort(w);
	}
}
END_TEST

START_TEST(npz_needs_a_file)
{
	struct shape s = shape_of(1, (size_t)1);
	struct writer *w = open_writer(CONTAINER_NPZ, "/dev/null", false);
	struct err e = { 0 };

	ok(writer_declare(w, "t", DT_U8, &s, &e), &e);
	ck_assert_int_eq(writer_data(w, "a", 1, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MISUSE);
	writer_abort(w);
}
END_TEST

START_TEST(nothing_at_all)
{
	for (size_t i = 0; i < N_WAYS; i++) {
		struct writer *w = open_writer(ways[i].container, ways[i].path, ways[i].as_dir);
		struct source *s;
		struct err e = { 0 };

		ok(writer_commit(w, &e), &e);
		ok(source_open(&s, ways[i].path, &e), &e);
		ck_assert_uint_eq(source_count(s), 0);
		source_close(s);
		ck_assert_int_eq(system("rm -rf x x.*"), 0);
	}
}
END_TEST

/* MLX's reader goes by position. */
START_TEST(npy_by_position)
{
	static const struct {
		enum dtype t;
		const char *descr;
	} rows[] = {
		{ DT_F32, "<f4" },  { DT_BF16, "<V2" }, { DT_U8, "|u1" },
		{ DT_BOOL, "|b1" }, { DT_I64, "<i8" },  { DT_C64, "<c8" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct shape s = shape_of(1, (size_t)3);
		struct writer *w = open_writer(CONTAINER_NPY, "a.npy", false);
		struct err e = { 0 };
		struct bytes file;
		unsigned char data[24] = { 1, 0, 1 };
		size_t n = 3 * dtype_info(rows[i].t)->block_bytes;

		ok(writer_declare(w, "", rows[i].t, &s, &e), &e);
		ok(writer_data(w, data, n, &e), &e);
		ok(writer_commit(w, &e), &e);
		file = slurp("a.npy");
		ck_assert_uint_eq(file.n, 128 + n);
		ck_assert_mem_eq(file.p, "\x93NUMPY\1\0\x76\0{'descr': '", 21);
		ck_assert_mem_eq(file.p + 10 + 11, rows[i].descr, 3);
		ck_assert_mem_eq(file.p + 10 + 34, "False", 5);
		ck_assert_mem_eq(file.p + 10 + 39, ", 'shape': (3,), } ", 19);
		ck_assert_int_eq(file.p[127], '\n');
		free((void *)file.p);
	}
}
END_TEST

Suite *writer_suite(void)
{
	Suite *s = suite_create("writer");
	TCase *t = tcase_create("writer");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, everything_reads_back, 0, N_WAYS);
	tcase_add_test(t, same_bytes_again);
	tcase_add_test(t, shards_and_index);
	tcase_add_test(t, safetensors_of_text_only);
	tcase_add_test(t, gguf_metadata_reads_back);
	tcase_add_test(t, refuses_what_does_not_fit);
	tcase_add_test(t, leaves_nothing_behind);
	tcase_add_test(t, full_disk);
	tcase_add_test(t, npz_needs_a_file);
	tcase_add_test(t, nothing_at_all);
	tcase_add_test(t, npy_by_position);
	suite_add_tcase(s, t);
	return s;
}
