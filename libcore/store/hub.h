/* SPDX-License-Identifier: MIT */
/* hub.h - between pull.c and hub.c: what a repository has, and its bytes */
#ifndef CLM_STORE_HUB_H
#define CLM_STORE_HUB_H

#include "store/store.h"
#include "util/buf.h"

/* A file of a repository: what it is checked by. */
struct hub_file {
	const char *path;
	const char *sha256;        /* NULL: git's SHA-1 of the blob instead */
	const char *git;
	size_t n_bytes;
	bool wanted;
};

struct hub { const struct pull_options *o; const char *repo, *rev; struct arena *arena; };

/* The list of its files. */
NEED int hub_list(struct hub *h, struct hub_file **out, size_t *n, struct err *e);
/* 1: the file at the path is this one, by its digest; 0: it is not, or there
 * is none. */
NEED int hub_has(struct hub *h, const struct hub_file *f, const char *path, struct err *e);
/* The file to the path, on from what is there of it; checked. */
NEED int hub_fetch(struct hub *h, const struct hub_file *f, const char *path, struct err *e);

#endif
