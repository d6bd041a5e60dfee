/* SPDX-License-Identifier: MIT */
/* pack_check.c - what is put is there for the next; spoilt files are empty */
#include "store/store.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/buf.h"
#include "util/file.h"

static char dir[64], path[96], key[3][DIGEST_TEXT];

static void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static void set_up(void)
{
	struct err e;

	snprintf(dir, sizeof dir, "build/check/pack.%ld", (long)getpid());
	snprintf(path, sizeof path, "%s/deep/a.pack", dir);
	ok(file_mkdirs(dir, &e), &e);
	for (int i = 0; i < 3; i++) {
		struct digest *d;

		ok(digest_open(&d, &e), &e);
		digest_add(d, (struct bytes){ (unsigned char[]){ (unsigned char)i }, 1 });
		ok(digest_close(d, key[i], &e), &e);
	}
}

static void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static struct pack *open_pack(void)
{
	struct pack *p;
	struct err e;

	ok(pack_open(&p, path, &e), &e);
	return p;
}

static bool holds(int i, const char *value)
{
	struct pack *p = open_pack();
	struct bytes b;
	bool yes = pack_get(p, key[i], &b) && (!value || bytes_is(b, value));

	pack_abort(p);
	return yes;
}

static void put(struct pack *p, int i, const char *value)
{
	struct err e;

	ok(pack_put(p, key[i], bytes_of(value), &e), &e);
}

START_TEST(kept)
{
	struct pack *a = open_pack(), *b = open_pack();
	struct bytes got;
	struct err e;

	put(a, 0, "zero");
	put(a, 1, "");
	ck_assert(pack_get(a, key[0], &got) && bytes_is(got, "zero"));
	ck_assert(!holds(0, NULL));
	ok(pack_close(a, &e), &e);
	ck_assert(holds(0, "zero") && holds(1, "") && !holds(2, NULL));
	/* two programs at once: none takes away what the other put */
	put(b, 2, "two");
	put(b, 0, "another zero");
	ok(pack_close(b, &e), &e);
	ck_assert(holds(0, "zero") && holds(1, "") && holds(2, "two"));
	a = open_pack();
	put(a, 0, "late");
	pack_abort(a);
	ck_assert(holds(0, "zero"));
	ok(pack_close(NULL, &e), &e);
}
END_TEST

/* Cut anywhere or with a byte changed it is an empty pack, and good again
 * after the next close. */
START_TEST(spoilt)
{
	struct pack *p = open_pack();
	struct buf file = { 0 };
	struct err e;
	size_t n;

	put(p, 0, "some value");
	ok(pack_close(p, &e), &e);
	ok(file_read(&file, path, 0, &e), &e);
	for (size_t i = 0; i < 2 * file.n; i += 5) {
		FILE *f = fopen(path, "wb");

		n = i < file.n ? i : file.n;
		file.p[i % file.n] ^= 4;
		ck_assert(f && fwrite(file.p, 1, n, f) == n && !fclose(f));
		file.p[i % file.n] ^= 4;
		ck_assert(!holds(0, NULL));
	}
	p = open_pack();
	put(p, 1, "anew");
	ok(pack_close(p, &e), &e);
	ck_assert(holds(1, "anew") && !holds(0, NULL));
	buf_release(&file);
}
END_TEST

START_TEST(files)
{
	char a[DIGEST_TEXT], b[DIGEST_TEXT], name[96];
	struct pack *p = open_pack();
	struct err e;
	FILE *f;

	snprintf(name, sizeof name, "%s/x", dir);
	f = fopen(name, "w");
	ck_assert(f && fputs("abc", f) >= 0 && !fclose(f));
	ok(file_digest(a, name, NULL, &e), &e);
	ck_assert(!strncmp(a, "ba80a53f981c4d0d6a2797b69f12f6e9", 32)); /* RFC 7693 */
	ok(file_digest(b, name, p, &e), &e);
	ck_assert_str_eq(a, b);
	ok(file_digest(b, name, p, &e), &e);
	ck_assert_str_eq(a, b);
	f = fopen(name, "w");
	ck_assert(f && fputs("abcd", f) >= 0 && !fclose(f));
	ok(file_digest(b, name, p, &e), &e);
	ck_assert_str_ne(a, b);
	unlink(name);
	ck_assert_int_eq(file_digest(b, name, p, &e), -1);
	ck_assert(strstr(e.text, name) != NULL);
	pack_abort(p);
}
END_TEST

Suite *pack_suite(void);
Suite *pack_suite(void)
{
	Suite *s = suite_create("pack");
	TCase *t = tcase_create("pack");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, kept);
	tcase_add_test(t, spoilt);
	tcase_add_test(t, files);
	suite_add_tcase(s, t);
	return s;
}
