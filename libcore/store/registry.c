/* SPDX-License-Identifier: MIT */
/* registry.c - which models a user has, over SQLite */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/store.h"
#include "util/file.h"

enum { VERSION = 1, BUSY_MS = 10000, ROWS_MAX = 65536 };

struct registry { sqlite3 *db; };

/* The columns, in the order of struct registry_row's binding. */
#define COLUMNS                                                                              \
	"name, path, family, format, quant, sha256, origin, settings, bytes, parameters, " \
	"context, vocab, hidden, modified, used, stamp, flags"
enum { N_TEXTS = 8, N_COLUMNS = 17 };

static int failed(struct registry *r, const char *what, struct err *e)
{
	int code = sqlite3_errcode(r->db);

	return err_set(e, code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? ERR_INPUT : ERR_MACHINE,
	               "registry: %s: %s", what, sqlite3_errmsg(r->db));
}

static int run(struct registry *r, const char *sql, struct err *e)
{
	return sqlite3_exec(r->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 :
	                                                                 failed(r, "cannot be used", e);
}

static int version_of(struct registry *r, int *out, struct err *e)
{
	sqlite3_stmt *q;

	if (sqlite3_prepare_v2(r->db, "PRAGMA user_version", -1, &q, NULL) != SQLITE_OK)
		return failed(r, "cannot be read", e);
	*out = sqlite3_step(q) == SQLITE_ROW ? sqlite3_column_int(q, 0) : -1;
	if (sqlite3_finalize(q) != SQLITE_OK)
		return failed(r, "cannot be read", e);
	return 0;
}

static int check_version(struct registry *r, struct err *e)
{
	int version = 0;

	if (version_of(r, &version, e))
		return -1;
	if (version > VERSION)
		return err_set(e, ERR_INPUT, "registry: expected version %d, found %d", VERSION, version);
	return 0;
}

static int make(struct registry *r, struct err *e)
{
	return run(r,
	           "BEGIN IMMEDIATE;"
	           "CREATE TABLE IF NOT EXISTS model (name TEXT PRIMARY KEY NOT NULL,"
	           " path TEXT NOT NULL, family TEXT NOT NULL, format TEXT NOT NULL,"
	           " quant TEXT NOT NULL, sha256 TEXT NOT NULL, origin TEXT NOT NULL,"
	           " settings TEXT NOT NULL, bytes INTEGER NOT NULL, parameters INTEGER NOT NULL,"
	           " context INTEGER NOT NULL, vocab INTEGER NOT NULL, hidden INTEGER NOT NULL,"
	           " modified INTEGER NOT NULL, used INTEGER NOT NULL, stamp INTEGER NOT NULL,"
	           " flags INTEGER NOT NULL) WITHOUT ROWID;"
	           "PRAGMA user_version = 1;"
	           "COMMIT",
	           e);
}

static int open_at(struct registry **out, const char *path, int flags, struct err *e)
{
	struct registry *r = calloc(1, sizeof *r);

	if (!r)
		return err_memory(e, sizeof *r);
	*out = r;
	if (sqlite3_open_v2(path, &r->db, flags | SQLITE_OPEN_FULLMUTEX, NULL) == SQLITE_OK) {
		sqlite3_busy_timeout(r->db, BUSY_MS);
		return 0;
	}
	failed(r, path, e);
	return -1;
}

static int open_own(struct registry **out, const char *path, struct err *e)
{
	struct arena a = { 0 };
	char *dir = file_dir(&a, path, e);
	int rc = dir ? file_mkdirs(dir, e) : -1;

	arena_release(&a);
	if (rc || open_at(out, path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e))
		return -1;
	if (check_version(*out, e) || run(*out, "PRAGMA journal_mode = WAL", e) ||
	    run(*out, "PRAGMA synchronous = FULL", e))
		return -1;
	return make(*out, e);
}

static int with_path(struct registry **out, const char *path,
                     int (*open)(struct registry **, const char *, struct err *), struct err *e)
{
	struct arena a = { 0 };
	int rc = -1;

	*out = NULL;
	if (!path)
		path = file_data_path(&a, "registry.db", e);
	if (path)
		rc = open(out, path, e);
	arena_release(&a);
	if (rc) {
		registry_close(*out);
		*out = NULL;
	}
	return rc;
}

int registry_open(struct registry **out, const char *path, struct err *e)
{
	return with_path(out, path, open_own, e);
}

/* A registry that nobody has made yet is one in memory, empty. */
static int open_look(struct registry **out, const char *path, struct err *e)
{
	if (access(path, F_OK))
		return open_at(out, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, e) ?
		               -1 :
		               make(*out, e);
	return open_at(out, path, SQLITE_OPEN_READWRITE, e) || check_version(*out, e) ? -1 : 0;
}

int registry_look(struct registry **out, const char *path, struct err *e)
{
	return with_path(out, path, open_look, e);
}

void registry_close(struct registry *r)
{
	if (r)
		sqlite3_close(r->db);
	free(r);
}

/* ---- statements */

static sqlite3_stmt *prepare(struct registry *r, const char *sql, struct err *e)
{
	sqlite3_stmt *q = NULL;

	if (sqlite3_prepare_v2(r->db, sql, -1, &q, NULL) != SQLITE_OK)
		failed(r, "cannot be used", e);
	return q;
}

static void bind_text(sqlite3_stmt *q, int i, const char *text)
{
	sqlite3_bind_text(q, i, text ? text : "", -1, SQLITE_TRANSIENT);
}

/* Runs one that gives no rows; ends it. Gives how many rows it changed. */
static int finish(struct registry *r, sqlite3_stmt *q, struct err *e)
{
	int rc = sqlite3_step(q), n = sqlite3_changes(r->db);

	if (sqlite3_finalize(q) == SQLITE_OK && rc == SQLITE_DONE)
		return n;
	return failed(r, "cannot be changed", e);
}

int registry_put(struct registry *r, const struct registry_row *row, struct err *e)
{
	const char *const texts[N_TEXTS] = { row->name,  row->path,   row->family, row->format,
		                             row->quant, row->sha256, row->origin, row->settings };
	const int64_t numbers[N_COLUMNS - N_TEXTS] = {
		row->n_bytes,  row->parameters, row->context, row->vocab, row->hidden,
		row->modified, row->used,       row->stamp,   row->flags
	};
	sqlite3_stmt *q = prepare(r,
	                          "INSERT INTO model (" COLUMNS ") VALUES"
	                          " (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
	                          " ON CONFLICT (name) DO UPDATE SET"
	                          " path = excluded.path, family = excluded.family,"
	                          " format = excluded.format, quant = excluded.quant,"
	                          " sha256 = excluded.sha256, origin = excluded.origin,"
	                          " settings = excluded.settings, bytes = excluded.bytes,"
	                          " parameters = excluded.parameters, context = excluded.context,"
	                          " vocab = excluded.vocab, hidden = excluded.hidden,"
	                          " modified = excluded.modified, used = max(used, excluded.used),"
	                          " stamp = excluded.stamp, flags = excluded.flags",
	                          e);

	if (!q)
		return -1;
	for (int i = 0; i < N_TEXTS; i++)
		bind_text(q, i + 1, texts[i]);
	for (int i = N_TEXTS; i < N_COLUMNS; i++)
		sqlite3_bind_int64(q, i + 1, numbers[i - N_TEXTS]);
	return finish(r, q, e) < 0 ? -1 : 0;
}

static int read_row(struct registry_row *out, sqlite3_stmt *q, struct arena *a, struct err *e)
{
	const char **const texts[N_TEXTS] = { &out->name,  &out->path,   &out->family, &out->format,
		                              &out->quant, &out->sha256, &out->origin, &out->settings };
	int64_t *const numbers[] = { &out->n_bytes, &out->parameters, &out->context, &out->vocab,
		                     &out->hidden,  &out->modified,   &out->used,    &out->stamp };

	for (int i = 0; i < N_TEXTS; i++) {
		const unsigned char *text = sqlite3_column_text(q, i);

		*texts[i] = arena_text(a, text ? (const char *)text : "",
		                       (size_t)sqlite3_column_bytes(q, i), e);
		if (!*texts[i])
			return -1;
	}
	for (int i = 0; i < N_COLUMNS - N_TEXTS - 1; i++)
		*numbers[i] = sqlite3_column_int64(q, N_TEXTS + i);
	out->flags = (unsigned)sqlite3_column_int(q, N_COLUMNS - 1);
	return 0;
}

int registry_get(struct registry *r, const char *name, struct registry_row *out, struct arena *a,
                 struct err *e)
{
	sqlite3_stmt *q = prepare(r, "SELECT " COLUMNS " FROM model WHERE name = ?", e);
	int rc, step;

	if (!q)
		return -1;
	bind_text(q, 1, name);
	step = sqlite3_step(q);
	rc = step != SQLITE_ROW ? 0 : read_row(out, q, a, e) ? -1 : 1;
	if (sqlite3_finalize(q) != SQLITE_OK)
		return failed(r, "cannot be read", e);
	return rc;
}

int registry_list(struct registry *r, struct registry_row **out, size_t *n, struct arena *a,
                  struct err *e)
{
	sqlite3_stmt *q = prepare(r, "SELECT " COLUMNS " FROM model ORDER BY name", e);
	struct registry_row *row = NULL;
	size_t room = 0;
	int rc = 0;

	*n = 0;
	if (!q)
		return -1;
	while (rc == 0 && *n < ROWS_MAX && sqlite3_step(q) == SQLITE_ROW) {
		if (*n == room) {
			size_t more = room ? 2 * room : 64;
			struct registry_row *p = arena_new(a, more, sizeof *p, e);

			if (p && *n)
				memcpy(p, row, *n * sizeof *p);
			row = p;
			room = more;
		}
		rc = row ? read_row(&row[*n], q, a, e) : -1;
		*n += rc == 0;
	}
	*out = row;
	if (sqlite3_finalize(q) != SQLITE_OK && rc == 0)
		rc = failed(r, "cannot be read", e);
	return rc;
}

int registry_used(struct registry *r, const char *name, int64_t when, struct err *e)
{
	sqlite3_stmt *q = prepare(r, "UPDATE model SET used = max(used, ?) WHERE name = ?", e);

	if (!q)
		return -1;
	sqlite3_bind_int64(q, 1, when);
	bind_text(q, 2, name);
	return finish(r, q, e) < 0 ? -1 : 0;
}

int registry_sha256(struct registry *r, const char *name, int64_t stamp, const char *sha256,
                    struct err *e)
{
	sqlite3_stmt *q = prepare(r, "UPDATE model SET sha256 = ? WHERE name = ? AND stamp = ?", e);

	if (!q)
		return -1;
	bind_text(q, 1, sha256);
	bind_text(q, 2, name);
	sqlite3_bind_int64(q, 3, stamp);
	return finish(r, q, e) < 0 ? -1 : 0;
}

int registry_remove(struct registry *r, const char *name, struct err *e)
{
	sqlite3_stmt *q = prepare(r, "DELETE FROM model WHERE name = ?", e);

	if (!q)
		return -1;
	bind_text(q, 1, name);
	return finish(r, q, e);
}
