/* SPDX-License-Identifier: MIT */
/* pull.h - a model from a hub of repositories, by HTTP. Part of the door of
 * store/.
 *
 * ORG/REPO[@REV][/FILE]: a repository with one model, or one of its models by
 * a file. Files go into a directory of parts, each is checked by the digest
 * that the hub tells (SHA-256, or git's of small files), and the whole appears
 * in one step; what was interrupted goes on where it was. */
#ifndef CLM_STORE_PULL_H
#define CLM_STORE_PULL_H

#include <stdbool.h>

#include "util/arena.h"
#include "util/err.h"

struct pull_progress {
	const char *status;        /* "pulling manifest", "pulling", "verifying", ... */
	const char *digest;        /* of the file; NULL: none */
	size_t total, completed;   /* bytes of it */
};
struct pull_options {
	const char *hub;           /* "http://HOST[:PORT]" or https */
	const char *token;         /* NULL: none */
	const char *dir;           /* models go to DIR/ORG/REPO */
	const _Atomic bool *stop;  /* may be NULL */
	void (*progress)(void *arg, const struct pull_progress *p);
	void *arg;
};
struct pulled {
	const char *name;          /* "ORG/REPO", "ORG/REPO:REV", "ORG/REPO/FILE" without suffix */
	const char *path;          /* a directory, or a GGUF */
};
/* Texts lie in the arena. ERR_INPUT: no such repository, no model in it, or
 * several, whose names the message tells; a digest that differs. */
NEED int pull_model(struct pulled *out, struct arena *a, const char *what,
                    const struct pull_options *o, struct err *e);

#endif
