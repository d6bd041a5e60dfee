/* SPDX-License-Identifier: MIT */
/* fuse.h - adapters added to the weights themselves (private to convert/) */
#ifndef CLM_CONVERT_FUSE_H
#define CLM_CONVERT_FUSE_H

#include "convert/peft.h"

struct fuse;
/* The adapters' files, of any layout. */
NEED int fuse_open(struct fuse **out, const struct fuse_use *use, size_t n, struct err *e);
void fuse_close(struct fuse *f);
/* A tied head that is no longer the embeddings: one of them changes alone. */
bool fuse_unties(const struct fuse *f);
/* What the adapters do to the rows of a weight or a bias (n_cols 1) of this
 * name; *out NULL: nothing. ERR_INPUT for a shape that differs. */
struct fused;
NEED int fuse_find(struct fused **out, struct fuse *f, const char *name, size_t n_rows,
                   size_t n_cols, struct err *e);
/* ERR_INPUT names a module that no weight was found for. */
NEED int fuse_all_used(const struct fuse *f, struct err *e);
/* A row [n_cols], changed; rows count as Hugging Face has them. room: [2 n_cols]. */
void fuse_row(const struct fused *f, float *w, size_t row, float *room);

#endif
