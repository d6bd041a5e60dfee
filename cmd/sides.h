/* SPDX-License-Identifier: MIT */
/* sides.h - one op on two devices: the one that is timed and the reference,
 * over the same bytes. */
#ifndef CLM_CMD_SIDES_H
#define CLM_CMD_SIDES_H

#include "bench.h"

enum { SIDE_ROWS = 512, SIDE_COPIES = 64, SIDE_PARTS = 3 };
enum op_case_kind { PRODUCT, ATTENTION, NORM, ROPE, GLU, ADD };
struct op_case {
	const char *name;
	enum op_case_kind kind;
	size_t n_in, n_out[SIDE_PARTS], n_parts; /* parts: of a product */
	bool outputs;          /* runs on the rows of logits only */
};

/* Zeroed but for x and c it is empty; ended by side_close(). */
struct side {
	struct exec *x;        /* borrowed, as is c */
	const struct config *c;
	struct weight *table, *norm, *w[SIDE_COPIES][SIDE_PARTS];
	struct exec_kv *kv;
};
/* Random weights of a product as copy i, the same bytes on each side. */
NEED int side_weights(struct side *const *s, size_t n_sides, const struct op_case *k,
                      const struct bench_form *form, size_t i, struct arena *a, uint64_t *seed,
                      struct err *e);
/* SIDE_ROWS inputs, and a norm's weight. */
NEED int side_inputs(struct side *const *s, size_t n_sides, const struct op_case *k,
                     struct arena *a, uint64_t *seed, struct err *e);
/* A cache whose every position is written. */
NEED int side_cache(struct side *s, size_t n_layers, size_t n_pages, bool exact, struct arena *a,
                    struct err *e);
/* The op, `times` over; its result are the rows that a step picks, at most
 * two. Ended with record_close(), on failure too. */
NEED int side_record(struct record **out, const struct side *s, const struct op_case *k,
                     size_t times, size_t max_rows, struct err *e);
void side_close(struct side *s);

#endif
