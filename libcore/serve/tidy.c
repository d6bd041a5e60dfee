/* SPDX-License-Identifier: MIT */
/* tidy.c - files of models that clients added, once nobody needs them
 *
 * A server may end at any point. What it leaves is never taken for a model:
 * rows come after files and go before them. Of servers that share a place the
 * first that starts alone puts it in order. */
#include "serve/tidy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "serve/library.h"
#include "util/file.h"

enum { BLOB_DAYS = 1, PART_DAYS = 30, DAY = 86400 };

/* Is it the path, or below it? */
static bool within(const char *dir, const char *path)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (!path[n] || path[n] == '/');
}

char *tidy_place(struct arena *a, struct err *e)
{
	uint64_t r = 0;
	char *name;

	(void)!getrandom(&r, sizeof r, 0);
	name = arena_printf(a, e, "models/.made/%016llx", (unsigned long long)r);
	return name ? file_data_path(a, name, e) : NULL;
}

/* ---- one model's */

/* Up to the number of a shard. */
static size_t series(const char *name)
{
	const char *of = strstr(name, "-of-");

	return of && of - name > 6 && of[-6] == '-' ? (size_t)(of - name) - 6 : strlen(name);
}

/* The directory of files that are ours and that no row but `name`'s (may be
 * NULL) needs; NULL: there is none. *alone: nothing else is in there. */
static char *ours(struct serve *s, struct arena *a, const char *path, const char *name, bool *alone)
{
	struct registry_row *row;
	struct err e;
	size_t n, k;
	char *own = file_data_path(a, "models/", &e), *dir;

	if (!own || strncmp(path, own, strlen(own)) || registry_list(s->registry, &row, &n, a, &e))
		return NULL;
	dir = file_is_dir(path) ? arena_text(a, path, strlen(path), &e) : file_dir(a, path, &e);
	*alone = true;
	for (k = 0; dir && k < n; k++) {
		if (name && strcmp(row[k].name, name) == 0)
			continue;
		if (strcmp(row[k].path, path) == 0)
			return NULL;
		*alone &= !within(dir, row[k].path);
	}
	return dir && strlen(dir) > strlen(own) ? dir : NULL;
}

void tidy_model(struct serve *s, const char *path)
{
	struct arena a = { 0 };
	struct err e;
	bool alone;
	size_t n = 0, k = series(file_name(path));
	char *dir = ours(s, &a, path, NULL, &alone), **name;

	if (dir && alone)
		file_remove(dir);
	name = dir && !alone && !file_is_dir(path) ? file_list(&a, dir, &n, &e) : NULL;
	for (size_t i = 0; name && i < n; i++) {
		char *file = file_join(&a, dir, name[i], &e);

		if (file && series(name[i]) == k && memcmp(name[i], file_name(path), k) == 0)
			unlink(file);
	}
	arena_release(&a);
}

int tidy_row(struct serve *s, const struct registry_row *row, struct err *e)
{
	struct arena a = { 0 };
	bool alone = false;
	char *dir = ours(s, &a, row->path, row->name, &alone);
	char *aside = dir && alone ? tidy_place(&a, e) : NULL;
	int rc = 0;

	/* what is aside when the end comes goes at the next start, and so does a
	 * row that leads nowhere */
	if (aside && (file_mkdirs(file_dir(&a, aside, e), e) || rename(dir, aside)))
		aside = NULL;
	if (registry_remove(s->registry, row->name, e) < 0) {
		if (aside)
			(void)!rename(aside, dir);
		rc = -1;
	} else if (aside) {
		file_remove(aside);
	} else if (dir) {
		tidy_model(s, row->path);
	}
	arena_release(&a);
	return rc;
}

/* ---- all of it, at a start */

struct order {
	struct serve *s;
	struct arena a;
	struct registry_row *row;
	size_t n;
	int64_t now;
};

static void for_each(struct order *o, const char *under,
                     void (*look)(struct order *o, const char *path, const struct stat *st))
{
	struct err e;
	struct stat st;
	size_t n = 0;
	char *dir = file_data_path(&o->a, under, &e), **name, *path;

	name = dir && file_is_dir(dir) ? file_list(&o->a, dir, &n, &e) : NULL;
	for (size_t i = 0; name && i < n; i++) {
		path = file_join(&o->a, dir, name[i], &e);
		if (path && lstat(path, &st) == 0)
			look(o, path, &st);
	}
}

/* Uploads that were cut off; blobs that nothing was made of for a day. */
static void look_blob(struct order *o, const char *path, const struct stat *st)
{
	if (strstr(file_name(path), ".tmp.") ||
	    (st->st_nlink == 1 && o->now - st->st_mtime > BLOB_DAYS * DAY))
		unlink(path);
}

static void look_made(struct order *o, const char *path, const struct stat *st)
{
	(void)st;
	for (size_t i = 0; i < o->n; i++)
		if (within(path, o->row[i].path))
			return;
	file_remove(path);
}

/* Pulls that nobody goes on with. */
static void look_part(struct order *o, const char *path, const struct stat *st)
{
	if (o->now - st->st_mtime > PART_DAYS * DAY)
		file_remove(path);
}

/* Rows whose files have been put aside. */
static void drop_rows(struct order *o)
{
	struct err e;
	char *own = file_data_path(&o->a, "models/", &e);

	for (size_t i = 0; own && i < o->n; i++)
		if (strcmp(o->row[i].origin, "scan") && !strncmp(o->row[i].path, own, strlen(own)) &&
		    !file_exists(o->row[i].path) &&
		    registry_remove(o->s->registry, o->row[i].name, &e) < 0)
			server_log(o->s, "%s", e.text);
}

static void put_in_order(struct serve *s)
{
	struct order o = { .s = s, .now = (int64_t)time(NULL) };
	struct err e;

	if (registry_list(s->registry, &o.row, &o.n, &o.a, &e) == 0) {
		drop_rows(&o);
		for_each(&o, "blobs", look_blob);
		for_each(&o, "models/.made", look_made);
		for_each(&o, "models/.parts", look_part);
	}
	arena_release(&o.a);
}

int tidy_open(struct serve *s, struct err *e)
{
	struct arena a = { 0 };
	char *path = file_data_path(&a, "lock", e);

	s->place = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : -1;
	arena_release(&a);
	if (s->place < 0)
		return path ? err_errno(e, "cannot open the lock of the models") : -1;
	if (flock(s->place, LOCK_EX | LOCK_NB) == 0)
		put_in_order(s);
	while (flock(s->place, LOCK_SH))
		if (errno != EINTR)
			return err_errno(e, "cannot lock the place of the models");
	return 0;
}

void tidy_close(struct serve *s)
{
	if (s->place > 0)
		close(s->place);
	s->place = 0;
}
