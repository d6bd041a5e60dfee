/* SPDX-License-Identifier: MIT */
/* tidy.h - files of models that clients added, once nobody needs them.
 * Private to serve/. */
#ifndef CLM_SERVE_TIDY_H
#define CLM_SERVE_TIDY_H

#include "serve/server.h"
#include "store/store.h"

/* Holds the place of the models; where no other server does, what one left
 * that was killed goes first. */
NEED int tidy_open(struct serve *s, struct err *e);
void tidy_close(struct serve *s);
/* A path of its own for a model that is made. */
char *tidy_place(struct arena *a, struct err *e);
/* Files of ours at the path that no row needs any more. */
void tidy_model(struct serve *s, const char *path);
/* A row goes, and its files. */
NEED int tidy_row(struct serve *s, const struct registry_row *row, struct err *e);

#endif
