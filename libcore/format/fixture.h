/* SPDX-License-Identifier: MIT */
/* fixture.h - for the suites of this room: a directory of its own for each
 * test, files, and a small model of every dtype a container holds. */
#ifndef CLM_FORMAT_FIXTURE_H
#define CLM_FORMAT_FIXTURE_H

#include "format/format.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))

static char home[64], start[4096];

/* The tests' data is found from where they start: it is called `data` in
 * the directory they work in. */
static UNUSED void enter(void)
{
	ck_assert_ptr_nonnull(getcwd(start, sizeof start));
	strcpy(home, "/tmp/clm-format-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(home));
	ck_assert_int_eq(chdir(home), 0);
	ck_assert_int_eq(symlink(strcat(start, "/tests/data"), "data"), 0);
}

static UNUSED void leave(void)
{
	char command[128] = "rm -rf ";

	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(strcat(command, home)), 0);
}

static UNUSED void put(const char *path, const void *p, size_t n)
{
	FILE *f = fopen(path, "wb");

	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	ck_assert_int_eq(fclose(f), 0);
}

static UNUSED void put_text(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

/* The caller frees p. */
static UNUSED struct bytes slurp(const char *path)
{
	struct bytes b;
	FILE *f = fopen(path, "rb");
	unsigned char *p;

	ck_assert_msg(f != NULL, "%s", path);
	ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
	b.n = (size_t)ftell(f);
	rewind(f);
	p = malloc(b.n ? b.n : 1);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(fread(p, 1, b.n, f), b.n);
	fclose(f);
	b.p = p;
	return b;
}

static UNUSED void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

/* Refused as input, in one line that holds `text`. */
static UNUSED void refused(int rc, const struct err *e, const char *text)
{
	ck_assert_int_eq(rc, -1);
	ck_assert_msg(e->kind == ERR_INPUT, "kind %d: %s", (int)e->kind, e->text);
	ck_assert_msg(strstr(e->text, text) && !strchr(e->text, '\n'), "\"%s\" without \"%s\"",
	              e->text, text);
}

/* Byte i of the data of tensor t, whatever its type. */
static UNUSED unsigned char fixture_byte(size_t t, size_t i)
{
	return (unsigned char)((i * 31 + t * 7 + (i >> 8)) & 0x7f);
}

static const struct shape fixture_shapes[] = {
	{ .rank = 0 },
	{ .rank = 1, .dim = { 1 } },
	{ .rank = 1, .dim = { 7 } },
	{ .rank = 2, .dim = { 3, 5 } },
	{ .rank = 2, .dim = { 0, 4 } },
	{ .rank = 3, .dim = { 2, 3, 5 } },
	{ .rank = 4, .dim = { 1, 2, 1, 64 } },
	{ .rank = 2, .dim = { 33, 256 } },
};
enum { N_SHAPES = sizeof fixture_shapes / sizeof *fixture_shapes };

#endif
