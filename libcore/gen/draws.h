/* SPDX-License-Identifier: MIT */
/* draws.h - the tokens of many sessions drawn at once. Private to gen/.
 *
 * A draw passes over the whole vocabulary a few times; after a pass with many
 * rows that is work for several threads. Each has room of its own, and a draw
 * depends on its session alone. */
#ifndef CLM_GEN_DRAWS_H
#define CLM_GEN_DRAWS_H

#include "gen/session.h"

struct draws;
/* For at most `most` sessions a pass. */
NEED int draws_open(struct draws **out, size_t threads, size_t most, size_t vocab, struct err *e);
void draws_close(struct draws *d);
/* Draws for those of the n sessions that have a row to draw from (not NULL) and
 * that others' draws cannot disturb. */
void draws_run(struct draws *d, struct session *const *worker, const float *const *row, size_t n);
/* The token of the i-th; false: it was left to its session. */
bool draws_take(const struct draws *d, size_t i, int32_t *id, float *logprob);

#endif
