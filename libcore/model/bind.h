/* SPDX-License-Identifier: MIT */
/* bind.h - how a slot's weight is found and brought into a compute form
 * (private to model/) */
#ifndef CLM_MODEL_BIND_H
#define CLM_MODEL_BIND_H

#include "model/weights.h"

enum { NAME_ROOM = 160 };

struct binder {
	struct weights *w;
	const struct config *c;
	struct source *s;
	struct exec *x;
	enum naming naming;
	/* without a source the weights are made up */
	unsigned bits, group;
	uint64_t seed;
	struct config_size *size; /* not NULL: they are only counted */
	struct writer *save;      /* not NULL: they are written there, */
	bool declare;             /* in this pass their names and shapes alone */
	/* the rows wanted of a matrix that holds several; total 0: all of it */
	size_t first, total;
	bool whole;       /* norms are not less one, whatever the family's rule */
	size_t stack;     /* matrices of the stack that is bound; 0: none */
	size_t used;      /* of them, that a row takes */
	struct weight_desc *only; /* not NULL: what is found is described there, not uploaded */
	const char *path; /* that was looked for last */
	/* inventory.c: which tensors slots asked for, and names of those they missed */
	bool *seen;
	const char **missing;
	size_t n_missing, room_missing;
};

/* The tensor PATH.LEAF in the file's own naming; `name` gets that name. */
const struct tensor *bind_find(struct binder *b, char name[NAME_ROOM], const char *path,
                               const char *leaf);
/* ERR_INPUT: what was wanted of the tensor, and what it is. Returns -1. */
int bind_bad_shape(const struct tensor *t, const char *want, struct err *e);
/* Uploads what is described, and counts it. */
NEED int bind_add(struct binder *b, struct weight **out, const struct weight_desc *d,
                  size_t n_bytes, struct err *e);
/* Rows that the matrix in the file has. */
size_t bind_stored_rows(const struct binder *b, const struct weight_desc *d);

/* The shape, where a stack is one matrix of all its rows. */
struct shape bind_flat(const struct binder *b, const struct tensor *t);

/* One weight in each of its stored forms; name and sizes of d are set. */
NEED int bind_float(struct binder *b, struct weight **out, const struct tensor *t,
                    struct weight_desc *d, struct err *e);
NEED int bind_triple(struct binder *b, struct weight **out, const struct tensor *t,
                     const char *path, struct weight_desc *d, struct err *e);
NEED int bind_blocks(struct binder *b, struct weight **out, const struct tensor *t,
                     struct weight_desc *d, struct err *e);

/* packed.c: whole numbers as compressed-tensors packs them, PATH.weight_packed, _scale and _shape,
 * into d, of which sizes are set: 1; 0: there are none. */
NEED int packed_weight(struct binder *b, struct weight_desc *d, const char *path, size_t rows,
                       struct err *e);
size_t packed_bytes(const struct weight_desc *d); /* of a row, with scales and biases */

/* weights.c: a slot by its path, or by layer i's module, with its bias where it has one. */
NEED int bind_matrix(struct binder *b, struct weight **out, const char *path, size_t n_out,
                     size_t n_in, struct err *e);
NEED int bind_vector(struct binder *b, struct weight **out, const char *path, const char *leaf,
                     size_t n, struct err *e);
NEED int bind_linear(struct binder *b, struct weight **w, struct weight **bias, size_t i,
                     const char *module, size_t n_out, size_t n_in, bool has_bias, struct err *e);

/* made.c: the same made up, counted or written; taps of each channel, or 0 */
NEED int made_matrix(struct binder *b, struct weight **out, const char *path, size_t n_out,
                     size_t n_in, struct err *e);
NEED int made_vector(struct binder *b, struct weight **out, const char *path, const char *leaf,
                     size_t n, size_t taps, struct err *e);

NEED int bind_rows(struct binder *b, struct weight **w, size_t i, const char *module,
                   size_t first, size_t n_out, size_t total, size_t n_in, struct err *e);
NEED int bind_gain(struct binder *b, struct weight **w, const char *path, size_t n,
                   struct err *e);
NEED int bind_feed_forward(struct binder *b, struct layer *l, size_t i, struct err *e);
NEED int bind_norm(struct binder *b, struct weight **w, struct weight **bias, size_t i,
                   const char *module, size_t n, struct err *e);

/* bind_recur.c: short convolutions, the delta rule; whether taps lie as MLX turns them */
NEED int bind_conv(struct binder *b, struct layer *l, size_t i, struct err *e);
NEED int bind_delta(struct binder *b, struct layer *l, size_t i, struct err *e);
NEED int bind_kda(struct binder *b, struct layer *l, size_t i, struct err *e);
bool bind_turned(struct binder *b);

/* bind_paired.c: part k (gate, up, down) of every expert, and its bias, where gate and up are
 * one tensor of all experts */
NEED int bind_paired(struct binder *b, struct layer *l, size_t i, size_t k, struct err *e);

/* bind_latent.c */
NEED int bind_latent(struct binder *b, struct layer *l, size_t i, struct err *e);
/* bind_own.c: ones, for a norm without weights; what layers have of their own. */
NEED int bind_ones(struct binder *b, struct weight **out, const char *name, size_t n,
                   struct err *e);
NEED int bind_own_layer(struct binder *b, struct layer *l, size_t i, struct err *e);
NEED int bind_own_ends(struct binder *b, struct err *e);

/* bind_experts.c */
NEED int bind_experts(struct binder *b, struct layer *l, size_t i, struct err *e);
/* bind_beside.c: experts beside the feed-forward, but for their stacks; rows first .. of stacks
 * that have gates and ups in one, 1; 0: there are none */
NEED int bind_beside(struct binder *b, struct layer *l, size_t i, struct err *e);
NEED int bind_halves(struct binder *b, struct layer *l, size_t i, size_t k, struct err *e);

#endif
