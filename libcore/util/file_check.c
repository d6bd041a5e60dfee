/* SPDX-License-Identifier: MIT */
#include "util/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Suite *file_suite(void);

static char home[64];

static void enter(void)
{
	strcpy(home, "/tmp/clm-file-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
	ck_assert_int_eq(chdir(home), 0);
}

static void leave(void)
{
	char command[128] = "rm -rf ";

	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(strcat(command, home)), 0);
}

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
}

START_TEST(maps)
{
	struct file_map m;
	struct err e = { 0 };

	put("a", "abc");
	put("empty", "");
	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	ck_assert_int_eq(file_map(&m, "a", &e), 0);
	ck_assert(bytes_is(m.bytes, "abc"));
	file_unmap(&m);
	ck_assert_int_eq(m.fd, -1);
	file_unmap(&m);
	file_unmap(NULL);
	ck_assert_int_eq(file_map(&m, "empty", &e), 0);
	ck_assert(m.bytes.n == 0 && m.fd == -1);
	file_unmap(&m);
	ck_assert_int_eq(file_map(&m, "absent", &e), -1);
	ck_assert_str_eq(e.text, "cannot open: No such file or directory");
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_int_eq(file_map(&m, ".", &e), -1);
	ck_assert_str_eq(e.text, "expected a regular file, found a directory");
	ck_assert_int_eq(file_map(&m, "fifo", &e), -1); /* and does not wait */
	ck_assert_int_eq(e.kind, ERR_INPUT);
}
END_TEST

START_TEST(reads)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	put("a", "abc");
	ck_assert_int_eq(file_read(&b, "a", 3, &e), 0);
	ck_assert_int_eq(file_read(&b, "a", 0, &e), 0);
	ck_assert_str_eq((char *)b.p, "abcabc");
	ck_assert_int_eq(file_read(&b, "a", 2, &e), -1);
	ck_assert_str_eq(e.text, "more than 2 bytes");
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_int_eq(file_read(&b, "absent", 0, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_int_eq(file_read(&b, ".", 0, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	buf_clear(&b);
	ck_assert_ptr_nonnull(freopen("a", "r", stdin));
	ck_assert_int_eq(file_read(&b, "-", 10, &e), 0);
	ck_assert_str_eq((char *)b.p, "abc");
	buf_release(&b);
}
END_TEST

START_TEST(paths)
{
	static const struct {
		const char *path, *dir, *name;
	} cases[] = {
		{ "a", ".", "a" },           { "a/b", "a", "b" },   { "/a", "/", "a" },
		{ "a//b", "a", "b" },        { "a/b/", "a", "b/" }, { "/", "/", "/" },
		{ "./x.npz", ".", "x.npz" },
	};
	struct arena a = { 0 };
	struct err e;

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		if (strcmp(cases[i].path, "/") != 0) {
			ck_assert_str_eq(file_dir(&a, cases[i].path, &e), cases[i].dir);
			ck_assert_str_eq(file_name(cases[i].path), cases[i].name);
		}
	}
	ck_assert_str_eq(file_dir(&a, "", &e), ".");
	ck_assert_str_eq(file_join(&a, "d", "n", &e), "d/n");
	ck_assert_str_eq(file_join(&a, "d/", "n", &e), "d/n");
	arena_release(&a);
}
END_TEST

START_TEST(lists_in_order)
{
	struct arena a = { 0 };
	struct err e = { 0 };
	char **names;
	size_t n;

	put("b", "");
	put("a", "");
	put(".c", "");
	ck_assert_int_eq(file_mkdirs("x/y/z", &e), 0);
	ck_assert_int_eq(file_mkdirs("x/y/z/", &e), 0);
	ck_assert(file_is_dir("x/y/z") && !file_is_dir("a") && file_exists("a"));
	ck_assert_int_eq(file_mkdirs("a/b", &e), -1);
	names = file_list(&a, ".", &n, &e);
	ck_assert_ptr_nonnull(names);
	ck_assert_uint_eq(n, 4);
	ck_assert_str_eq(names[0], ".c");
	ck_assert_str_eq(names[1], "a");
	ck_assert_str_eq(names[2], "b");
	ck_assert_str_eq(names[3], "x");
	ck_assert_ptr_null(names[4]);
	names = file_list(&a, "x/y/z", &n, &e);
	ck_assert(names && n == 0 && !names[0]);
	ck_assert_ptr_null(file_list(&a, "absent", &n, &e));
	ck_assert_int_eq(e.kind, ERR_INPUT);
	arena_release(&a);
}
END_TEST

Suite *file_suite(void)
{
	Suite *s = suite_create("file");
	TCase *t = tcase_create("file");

	tcase_add_checked_fixture(t, enter, leave);
	tcase_add_test(t, maps);
	tcase_add_test(t, reads);
	tcase_add_test(t, paths);
	tcase_add_test(t, lists_in_order);
	suite_add_tcase(s, t);
	return s;
}
