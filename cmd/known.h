/* SPDX-License-Identifier: MIT */
/* known.h - scores that are known from before, and a trace of all of them */
#ifndef CLM_CMD_KNOWN_H
#define CLM_CMD_KNOWN_H

#include "open.h"
#include "store/store.h"
#include "tasks.h"
#include "util/file.h"

/* Zeroed knows nothing, keeps nothing and traces nothing. */
struct known {
	struct pack *pack;
	char context[DIGEST_TEXT]; /* program, model, adapters, device */
	struct file_out *trace;
	const char *view;      /* of the trace: "base", or the adapters */
	bool verbose;          /* tells what could not be kept */
	size_t n_known;
};
/* After open_weights(). */
NEED int known_open(struct known *k, const struct opened *o, const struct open_options *a,
                    struct err *e);
NEED int known_trace(struct known *k, const char *path, struct err *e);
/* Fills the task from the cache: 1; it is not there: 0. */
NEED int known_find(struct known *k, struct task *t, struct err *e);
/* Keeps what came of it, and traces it. */
NEED int known_keep(struct known *k, struct task *t, struct err *e);
/* The cache and the trace appear whole. */
NEED int known_close(struct known *k, struct err *e);
void known_abort(struct known *k);

#endif
