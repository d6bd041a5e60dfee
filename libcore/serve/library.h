/* SPDX-License-Identifier: MIT */
/* library.h - models on disk: a directory of them, and the user's registry.
 * Private to serve/. */
#ifndef CLM_SERVE_LIBRARY_H
#define CLM_SERVE_LIBRARY_H

#include "serve/server.h"
#include "store/store.h"

/* Opens the registry where one is asked for, and puts what is found there and
 * in the directory among the models. */
NEED int library_open(struct serve *s, struct err *e);
void library_close(struct serve *s);
/* The same again: what is new comes, what has vanished goes. */
void library_refresh(struct serve *s);
/* A model has been opened: what it is, and that it was used. By the keeper. */
void library_opened(struct serve *s, const struct slot *t);
void library_used(struct serve *s, const struct slot *t);
/* A model that has come to be at the path: described, registered and served
 * under the name. */
NEED int library_add(struct serve *s, const char *name, const char *path, const char *origin,
                     const char *settings, const char *sha256, struct err *e);
/* There may be files without SHA-256. */
void library_hash(struct serve *s);
/* Letters, digits and "._-" in parts with "/" between; at most `most` parts. */
bool library_name(const char *name, size_t most);

/* ---- scan.c: names and paths of the models under a directory */
NEED int scan_models(const char *dir, int (*found)(void *arg, const char *name, const char *path),
                     void *arg, struct err *e);

#endif
