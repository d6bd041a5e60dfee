/* SPDX-License-Identifier: MIT */
/* hostile_check.c - files that somebody broke: recorded verdicts, every
 * prefix of small files, and every byte of them changed */
#include "format/fixture.h"

#include "format/container.h"
#include "util/json.h"

Suite *hostile_suite(void);

static const char *const folders[] = { "gguf", "llama2c", "npy", "npz", "safetensors" };
enum { N_FOLDERS = sizeof folders / sizeof *folders };

/* Opens it, and looks at all that is in it. */
static int read_all(const char *path, struct err *e)
{
	struct source *s;
	const char *const *names;
	struct bytes b;
	int failed = source_open(&s, path, e);

	if (failed)
		return -1;
	for (size_t i = 0; i < source_count(s) && !failed; i++) {
		struct arena a = { 0 };
		volatile unsigned char sum = 0;

		failed = source_data(s, source_tensor(s, i), &b, &a, e);
		for (size_t k = 0; !failed && k < b.n; k++)
			sum ^= b.p[k];
		(void)sum;
		arena_release(&a);
	}
	for (size_t i = 0, n = source_siblings(s, &names); i < n && !failed; i++)
		failed = source_sibling(s, names[i], &b, e) < 0;
	source_close(s);
	return failed;
}

START_TEST(recorded_verdicts)
{
	const char *folder = folders[_i];
	char path[256];
	struct err e = { 0 };
	struct bytes text;
	cJSON *root;
	const cJSON *c;
	int n = 0;

	snprintf(path, sizeof path, "data/malformed/%s/cases.json", folder);
	text = slurp(path);
	root = json_parse(text, &e);
	ck_assert_msg(root != NULL, "%s", e.text);
	cJSON_ArrayForEach(c, json_get(root, "cases"))
	{
		const char *file = json_get(c, "file")->valuestring;
		const char *verdict = json_get(c, "verdict")->valuestring;
		int rc;

		memset(&e, 0, sizeof e);
		snprintf(path, sizeof path, "data/malformed/%s/%s", folder, file);
		rc = read_all(path, &e);
		if (rc)
			refused(rc, &e, file);
		if (!strcmp(verdict, "accept"))
			ck_assert_msg(rc == 0, "%s", e.text);
		else if (!strcmp(verdict, "refuse"))
			ck_assert_msg(rc == -1, "%s: read", file);
		n++;
	}
	ck_assert_int_gt(n, 5);
	cJSON_Delete(root);
	free((void *)text.p);
}
END_TEST

/* As the bytes are told, or as container `as` where they are not. */
static void try_bytes(struct bytes b, enum container as)
{
	unsigned char *copy = malloc(b.n ? b.n : 1); /* so that the sanitizer sees its end */
	struct bytes file = { copy, b.n }, data;
	struct arena a = { 0 }, unpacked = { 0 };
	struct parsed p = { 0 };
	struct err e = { 0 };
	enum container c;
	size_t ceiling = ((size_t)64 << 20) + 4 * b.n;

	ck_assert_ptr_nonnull(copy);
	if (b.n)
		memcpy(copy, b.p, b.n);
	c = container_of(file);
	arena_init(&a, ceiling);
	arena_init(&unpacked, ceiling);
	if (container_parse(&p, c == CONTAINER_COUNT ? as : c, file, &a, &e))
		refused(-1, &e, "");
	else
		for (size_t i = 0; i < p.n_tensors; i++)
			if (parsed_data(&p, i, &data, &unpacked, &e))
				refused(-1, &e, "");
	parsed_release(&p);
	arena_release(&a);
	arena_release(&unpacked);
	free(copy);
}

static const struct small {
	const char *path;
	enum container as;
} smalls[] = {
	{ "data/malformed/gguf/ok_base.gguf", CONTAINER_GGUF },
	{ "data/malformed/gguf/ok_alignment_64.gguf", CONTAINER_GGUF },
	{ "data/malformed/npy/ok_f4_fortran.npy", CONTAINER_NPY },
	{ "data/malformed/npy/ok_f4_big_endian.npy", CONTAINER_NPY },
	{ "data/malformed/npy/ok_v2.npy", CONTAINER_NPY },
	{ "data/malformed/npz/ok_stored.npz", CONTAINER_NPZ },
	{ "data/malformed/npz/ok_deflated.npz", CONTAINER_NPZ },
	{ "data/malformed/npz/ok_zip64.npz", CONTAINER_NPZ },
	{ "data/malformed/npz/ok_data_descriptor.npz", CONTAINER_NPZ },
	{ "data/malformed/safetensors/ok_two.safetensors", CONTAINER_SAFETENSORS },
	{ "data/malformed/safetensors/ok_escaped_name.safetensors", CONTAINER_SAFETENSORS },
	{ "v0.bin", CONTAINER_LLAMA2C },
	{ "v1.bin", CONTAINER_LLAMA2C },
	{ "v2.bin", CONTAINER_LLAMA2C },
};
enum { N_SMALLS = sizeof smalls / sizeof *smalls };

/* The smallest networks: dim 2, hidden 2, 1 layer, 1 head, 2 words. */
static void put_llama2c(void)
{
	static const int32_t sizes[7] = { 2, 2, 1, 1, 1, 2, 2 };
	unsigned char file[512] = { 0 };
	const int32_t version[2] = { 0x616b3432, 1 };

	memcpy(file, sizes, sizeof sizes);
	put("v0.bin", file, sizeof sizes + 4 * (4 + 2 + 4 * 4 + 2 + 3 * 4 + 2 + 4));
	memset(file, 0, sizeof file);
	memcpy(file, version, sizeof version);
	memcpy(file + 8, sizes, sizeof sizes);
	file[36] = 1;
	put("v1.bin", file, 256 + 4 * (2 + 2 + 2 + 4 + 4 * 4 + 3 * 4));
	file[4] = 2;
	file[37] = 2;
	put("v2.bin", file, 256 + 4 * 6 + 8 * (4 + 2 * 4));
}

START_TEST(every_prefix)
{
	struct bytes whole;
	struct err e = { 0 };

	put_llama2c();
	ok(read_all(smalls[_i].path, &e), &e);
	whole = slurp(smalls[_i].path);
	for (size_t n = 0; n <= whole.n; n++)
		try_bytes((struct bytes){ whole.p, n }, smalls[_i].as);
	free((void *)whole.p);
}
END_TEST

START_TEST(every_byte_changed)
{
	static const unsigned char changes[] = { 0xff, 0x01, 0x80, 0x20, 0x10 };
	struct bytes whole;
	unsigned char *p;

	put_llama2c();
	whole = slurp(smalls[_i].path);
	p = (unsigned char *)whole.p;
	for (size_t i = 0; i < whole.n; i++)
		for (size_t k = 0; k < sizeof changes; k++) {
			p[i] ^= changes[k];
			try_bytes(whole, smalls[_i].as);
			p[i] ^= changes[k];
		}
	free(p);
}
END_TEST

/* Every field of eight bytes at its extremes: sizes, counts, offsets. */
START_TEST(every_word_at_its_extremes)
{
	static const uint64_t words[] = { 0,
		                          1,
		                          UINT64_MAX,
		                          INT64_MAX,
		                          (uint64_t)1 << 63,
		                          UINT32_MAX,
		                          (uint64_t)1 << 32,
		                          (uint64_t)1 << 62 };
	struct bytes whole;
	unsigned char *p, kept[8];

	put_llama2c();
	whole = slurp(smalls[_i].path);
	p = (unsigned char *)whole.p;
	for (size_t i = 0; i + 8 <= whole.n; i++)
		for (size_t k = 0; k < sizeof words / sizeof *words; k++) {
			memcpy(kept, p + i, 8);
			memcpy(p + i, &words[k], 8);
			try_bytes(whole, smalls[_i].as);
			memcpy(p + i, kept, 8);
		}
	free(p);
}
END_TEST

Suite *hostile_suite(void)
{
	Suite *s = suite_create("hostile");
	TCase *t = tcase_create("hostile");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, recorded_verdicts, 0, N_FOLDERS);
	tcase_add_loop_test(t, every_prefix, 0, N_SMALLS);
	tcase_add_loop_test(t, every_byte_changed, 0, N_SMALLS);
	tcase_add_loop_test(t, every_word_at_its_extremes, 0, N_SMALLS);
	suite_add_tcase(s, t);
	return s;
}
