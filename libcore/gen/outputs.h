/* SPDX-License-Identifier: MIT */
/* outputs.h - a pass, and what comes of it for its sessions. Private to gen/. */
#ifndef CLM_GEN_OUTPUTS_H
#define CLM_GEN_OUTPUTS_H

#include "gen/session.h"

struct outputs;
/* For at most `most` sessions a pass; threads: that draw from rows, 0 or 1: one after another. */
NEED int outputs_open(struct outputs **out, struct model *m, size_t most, size_t threads,
                      struct err *e);
void outputs_close(struct outputs *o);
/* Runs the work and gives each session its token, or its places. -1: none got any. */
NEED int outputs_run(struct outputs *o, struct session *const *worker,
                     const struct model_work *work, size_t n, struct err *e);

#endif
