/* SPDX-License-Identifier: MIT */
/* shapes.h - how an op is put on the list and its shapes are checked
 * (private to exec/). What does not fit leaves the record failed. */
#ifndef CLM_EXEC_SHAPES_H
#define CLM_EXEC_SHAPES_H

#include "exec/record.h"

/* The op that the next n_ops++ takes in; NULL: the record has failed. */
struct op *op_new(struct record *r, enum op_kind kind);
/* The slot is there and holds something: this op reads it. */
bool op_reads(struct record *r, struct slot *s);
bool op_writes(struct record *r, struct slot *s);
bool op_has_width(struct record *r, const struct slot *s, size_t n);
bool op_has_rows(struct record *r, const struct slot *s);
bool op_same_rows(struct record *r, const struct slot *a, const struct slot *b);
/* The cache has this layer; NULL: it has not. */
const struct exec_kv_layer *op_layer(struct record *r, size_t layer);
/* A vector of n floats; n 0: of any length. */
bool op_is_vector(struct record *r, const struct weight *w, size_t n);

#endif
