/* SPDX-License-Identifier: MIT */
/* snapshot_check.c - sequences to prompt-cache files and back */
#include "kv/check.h"

#include "util/file.h"

#include <stdio.h>
#include <unistd.h>

static const char *path(void)
{
	static char name[64];

	snprintf(name, sizeof name, "/tmp/clm-snapshot-%ld.safetensors", (long)getpid());
	return name;
}

static void round_trip(size_t n, enum dtype dtype, unsigned flags, double within)
{
	struct kv_file f = { "models/x", "abc", NULL, dtype };
	struct kv_seq *s, *back;
	int32_t id[256];
	bool has_ids;
	struct err e;

	open_pool(1024, 0, WINDOW, flags);
	count_up(id, n, 7);
	s = open_seq();
	add(s, id, n);
	ck_assert_msg(!kv_save(s, path(), &f, &e), "%s", e.text);
	back = open_seq();
	ck_assert_msg(!kv_load(back, path(), "abc", &has_ids, &e), "%s", e.text);
	ck_assert(has_ids);
	ck_assert_mem_eq(kv_ids(back), id, n * sizeof *id);
	verify_rows(back, id, n, within);
	kv_seq_close(s);
	kv_seq_close(back);
	unlink(path());
	close_pool();
}

START_TEST(there_and_back)
{
	static const size_t lengths[] = { 1, 31, 32, 33, 39, 40, 41, 64, 72, 73, 104, 200 };

	for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
		round_trip(lengths[i], DT_F16, 0, 0);
		round_trip(lengths[i], DT_F32, 0, 0);
		round_trip(lengths[i], DT_F32, EXEC_EXACT, 0);
		round_trip(lengths[i], DT_F16, EXEC_EXACT, 0);
		round_trip(lengths[i], DT_BF16, 0, 4); /* 8 of 10 bits are kept */
	}
}
END_TEST

START_TEST(what_was_loaded_is_not_shared)
{
	struct kv_file f = { "m", "abc", NULL, DT_F16 };
	struct kv_seq *s, *back, *m;
	int32_t id[100];
	bool has_ids;
	struct err e;

	open_pool(1024, 0, WINDOW, 0);
	count_up(id, 100, 7);
	s = open_seq();
	add(s, id, 20);
	ck_assert(!kv_save(s, path(), &f, &e));
	back = open_seq();
	ck_assert(!kv_load(back, path(), "abc", &has_ids, &e));
	add(back, id + 20, 40);
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, id, 100), 0);
	kv_seq_close(s);
	ck_assert(!kv_fork(&s, back, &e));
	add(s, id + 60, 40);
	verify(s, id, 100);
	ck_assert_uint_eq(kv_match(m, id, 100), 0);
	kv_seq_close(m);
	kv_seq_close(s);
	kv_seq_close(back);
	unlink(path());
	close_pool();
}
END_TEST

START_TEST(saving_is_refused)
{
	struct kv_file f = { "m", NULL, NULL, DT_F16 };
	int32_t id[3] = { 1, 2, 3 };
	struct kv_seq *s;
	bool has_ids;
	struct err e;

	open_pool(64, 0, WINDOW, 0);
	s = open_seq();
	ck_assert(kv_save(s, path(), &f, &e));
	ck_assert(strstr(e.text, ": cache: nothing is computed yet"));
	add(s, id, 3);
	f.dtype = DT_Q8_0;
	ck_assert(kv_save(s, path(), &f, &e));
	ck_assert(strstr(e.text, ": cache: expected f16, bf16 or f32, found q8_0"));
	ck_assert(!file_exists(path()));
	f.dtype = DT_F16;
	ck_assert(kv_save(s, "/nowhere/x", &f, &e));
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	ck_assert(!strncmp(e.text, "/nowhere/x: ", 12));
	ck_assert(kv_load(s, "/nowhere/x", NULL, &has_ids, &e));
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert(!strncmp(e.text, "/nowhere/x: ", 12));
	ck_assert(kv_load_bytes(s, (struct bytes){ 0 }, NULL, &has_ids, &e));
	ck_assert_str_eq(e.text, "cache: the sequence is not empty");
	kv_seq_close(s);
	close_pool();
}
END_TEST

/* Every prefix of a file, and every byte of its head changed: an answer or a
 * refusal, never a crash, and never a sequence left half full. */
START_TEST(damaged_files)
{
	struct kv_file f = { "m", "abc", NULL, DT_F16 };
	int32_t id[9] = { 1, 2, 3, 4, 5, 6, 7, 8, 9 };
	struct file_map map;
	unsigned char *copy;
	struct kv_seq *s;
	bool has_ids;
	struct err e;

	open_pool(256, 0, WINDOW, 0);
	s = open_seq();
	add(s, id, 9);
	ck_assert(!kv_save(s, path(), &f, &e));
	kv_rewind(s, 0);
	ck_assert(!file_map(&map, path(), &e));
	copy = malloc(map.bytes.n);
	for (size_t n = 0; n < map.bytes.n; n++) {
		memcpy(copy, map.bytes.p, n);
		ck_assert(kv_load_bytes(s, (struct bytes){ copy, n }, NULL, &has_ids, &e));
		ck_assert_uint_eq(kv_len(s), 0);
	}
	for (size_t i = 0; i < map.bytes.n; i++)
		for (int bit = 0; bit < 8; bit += 3) {
			memcpy(copy, map.bytes.p, map.bytes.n);
			copy[i] ^= (unsigned char)(1 << bit);
			if (kv_load_bytes(s, (struct bytes){ copy, map.bytes.n }, NULL, &has_ids,
			                  &e))
				ck_assert_uint_eq(kv_len(s), 0);
			kv_rewind(s, 0);
		}
	ck_assert_uint_eq(kv_pool_room(pool), 256);
	kv_seq_close(s);
	free(copy);
	file_unmap(&map);
	unlink(path());
	close_pool();
}
END_TEST

Suite *snapshot_suite(void);
Suite *snapshot_suite(void)
{
	Suite *s = suite_create("snapshot");
	TCase *t = tcase_create("snapshot");

	tcase_add_test(t, there_and_back);
	tcase_add_test(t, what_was_loaded_is_not_shared);
	tcase_add_test(t, saving_is_refused);
	tcase_add_test(t, damaged_files);
	suite_add_tcase(s, t);
	return s;
}
