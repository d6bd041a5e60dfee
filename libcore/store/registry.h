/* SPDX-License-Identifier: MIT */
/* registry.h - which models a user has, in a SQLite database. Part of the
 * door of store/.
 *
 * Every change is a transaction under a write-ahead log: a program that is
 * killed at any point leaves it whole. Several programs may have it open, and
 * several threads of one. */
#ifndef CLM_STORE_REGISTRY_H
#define CLM_STORE_REGISTRY_H

#include <stdint.h>

#include "util/arena.h"
#include "util/err.h"

struct registry;

enum registry_flags { MODEL_ENCODER = 1, MODEL_TOOLS = 2, MODEL_THINKS = 4 };

/* Texts are never NULL when they come from the registry; NULL goes in as "". */
struct registry_row {
	const char *name, *path;
	const char *family, *format, *quant;
	const char *sha256;        /* of its files; "": not computed yet */
	const char *origin;        /* "scan", "pull", "create", "copy", "option" */
	const char *settings;      /* JSON: what it was created with; "": nothing */
	int64_t n_bytes, parameters, context, vocab, hidden;
	int64_t modified, used;    /* seconds since 1970; used 0: never */
	int64_t stamp;             /* of the files, as the server sees them */
	unsigned flags;
};

/* NULL: the user's own. ERR_INPUT where the file is no registry. */
NEED int registry_open(struct registry **out, const char *path, struct err *e);
/* The same, only to look; a registry that is not there is an empty one. */
NEED int registry_look(struct registry **out, const char *path, struct err *e);
void registry_close(struct registry *r);
/* Adds it, or puts it in place of the one of its name; when it was used last
 * is kept. */
NEED int registry_put(struct registry *r, const struct registry_row *row, struct err *e);
/* 1, and *out with texts in the arena; 0: no such name. */
NEED int registry_get(struct registry *r, const char *name, struct registry_row *out,
                      struct arena *a, struct err *e);
/* All of them, by name. */
NEED int registry_list(struct registry *r, struct registry_row **out, size_t *n, struct arena *a,
                       struct err *e);
NEED int registry_used(struct registry *r, const char *name, int64_t when, struct err *e);
/* As long as the files are those of the stamp. */
NEED int registry_sha256(struct registry *r, const char *name, int64_t stamp, const char *sha256,
                         struct err *e);
/* 1: it was there; 0: no such name. */
NEED int registry_remove(struct registry *r, const char *name, struct err *e);

#endif
