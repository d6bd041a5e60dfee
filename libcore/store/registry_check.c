/* SPDX-License-Identifier: MIT */
#include "store/store.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/file.h"

Suite *registry_suite(void);

static char dir[] = "/tmp/check-registry.XXXXXX", path[64];

static void set_up(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/registry.db", dir);
}

static void tear_down(void)
{
	static const char *const files[] = { "registry.db", "registry.db-wal", "registry.db-shm" };
	char name[96];

	for (size_t i = 0; i < 3; i++) {
		snprintf(name, sizeof name, "%s/%s", dir, files[i]);
		unlink(name);
	}
	rmdir(dir);
}

START_TEST(rows)
{
	struct registry_row row = { .name = "m", .path = "/x", .family = "llama", .n_bytes = 7,
		                    .stamp = -3, .used = 5, .flags = MODEL_TOOLS }, *all, got;
	struct arena a = { 0 };
	struct registry *r;
	struct err e;
	size_t n;

	ck_assert_int_eq(registry_open(&r, path, &e), 0);
	ck_assert_int_eq(registry_put(r, &row, &e), 0);
	row.n_bytes = 8;
	row.used = 0;
	ck_assert_int_eq(registry_put(r, &row, &e), 0);
	row.name = "a";
	ck_assert_int_eq(registry_put(r, &row, &e), 0);
	ck_assert_int_eq(registry_sha256(r, "m", 0, "no", &e), 0);
	ck_assert_int_eq(registry_sha256(r, "m", -3, "yes", &e), 0);
	registry_close(r);
	ck_assert_int_eq(registry_look(&r, path, &e), 0);
	ck_assert_int_eq(registry_get(r, "m", &got, &a, &e), 1);
	ck_assert(got.n_bytes == 8 && got.used == 5 && got.stamp == -3 && got.flags == MODEL_TOOLS);
	ck_assert_str_eq(got.sha256, "yes");
	ck_assert_str_eq(got.quant, "");
	ck_assert_int_eq(registry_get(r, "none", &got, &a, &e), 0);
	ck_assert_int_eq(registry_list(r, &all, &n, &a, &e), 0);
	ck_assert(n == 2 && !strcmp(all[0].name, "a") && !strcmp(all[1].name, "m"));
	ck_assert_int_eq(registry_remove(r, "a", &e), 1);
	ck_assert_int_eq(registry_remove(r, "a", &e), 0);
	registry_close(r);
	arena_release(&a);
}
END_TEST

START_TEST(no_registry)
{
	struct registry *r;
	struct err e;
	FILE *f = fopen(path, "w");

	fputs("this is a text and no database, however long it may be", f);
	fclose(f);
	ck_assert_int_eq(registry_open(&r, path, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_ptr_null(r);
}
END_TEST

/* Killed between and within changes: every row that is there is whole. */
START_TEST(killed)
{
	struct registry_row *all;
	struct arena a = { 0 };
	struct registry *r;
	struct err e;
	size_t n, before = 0;

	for (int round = 0; round < 4; round++) {
		pid_t child = fork();

		if (!child) {
			if (registry_open(&r, path, &e))
				_exit(1);
			for (int i = 0;; i++) {
				char name[32];
				struct registry_row row = { .name = name, .path = name, .n_bytes = i };

				snprintf(name, sizeof name, "%d", round * 1000000 + i);
				if (registry_put(r, &row, &e))
					_exit(1);
			}
		}
		usleep(60000 + 7000 * (useconds_t)round);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		ck_assert_int_eq(registry_open(&r, path, &e), 0);
		ck_assert_int_eq(registry_list(r, &all, &n, &a, &e), 0);
		ck_assert_uint_ge(n, before);
		for (size_t i = 0; i < n; i++)
			ck_assert_str_eq(all[i].name, all[i].path);
		before = n;
		registry_close(r);
	}
	ck_assert_uint_gt(before, 0);
	arena_release(&a);
}
END_TEST

START_TEST(sums)
{
	char name[96], sum[SHA256_TEXT];
	struct err e;
	FILE *f;

	snprintf(name, sizeof name, "%s/registry.db", dir);
	f = fopen(name, "w");
	fputs("abc", f);
	fclose(f);
	ck_assert_int_eq(file_sha256(sum, name, NULL, &e), 0);
	/* FIPS 180-2, appendix B.1 */
	ck_assert_str_eq(sum, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	ck_assert_int_eq(file_sha256(sum, dir, NULL, &e), 0);
	/* printf abc > registry.db; sha256sum registry.db | sha256sum */
	ck_assert_str_eq(sum, "1dc7381e1b84fbd9dbae800673ead8b96ee76572aee3c37532989f59b38433b8");
}
END_TEST

Suite *registry_suite(void)
{
	Suite *s = suite_create("registry");
	TCase *t = tcase_create("registry");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, rows);
	tcase_add_test(t, no_registry);
	tcase_add_test(t, killed);
	tcase_add_test(t, sums);
	suite_add_tcase(s, t);
	return s;
}
