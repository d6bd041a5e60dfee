/* SPDX-License-Identifier: MIT */
/* open.h - a model's files, tokenizer, device and weights from options */
#ifndef CLM_CMD_OPEN_H
#define CLM_CMD_OPEN_H

#include "adapters.h"
#include "model/model.h"
#include "text/text.h"

struct open_options {
	const char *model;
	const char *device, *isa;
	int threads;
	struct cli_texts adapters;
	bool exact, fast, relaxed;
};
enum { OPEN_MODEL_N = 1, OPEN_DEVICE_N = 6, OPEN_ADAPTER_N = 1 };
extern const struct cli_option open_model_table[OPEN_MODEL_N];   /* -m */
extern const struct cli_option open_adapter_table[OPEN_ADAPTER_N]; /* --adapter */
extern const struct cli_option open_device_table[OPEN_DEVICE_N]; /* --device ... */

/* What is open; zeroed is nothing. Ended by open_release(), in any state. */
struct opened {
	struct source *source;
	struct tokenizer *tokenizer;
	struct exec *exec;
	struct model *model;
	struct adapters adapters; /* from open_weights() on part of the model */
};
/* Errors name the file. Without a model named: misuse, which ends the
 * command. */
NEED int open_files(struct opened *o, const struct open_options *a, struct err *e);
/* Files and tokenizer where the weights need not be there. */
NEED int open_texts(struct opened *o, const struct open_options *a, struct err *e);
NEED int open_tokenizer(struct opened *o, struct err *e);        /* after open_files() */
NEED int open_device(struct opened *o, const struct open_options *a, int verbose, struct err *e);
/* After both; one line tells what was left out, unless quiet. */
NEED int open_weights(struct opened *o, const struct model_options *m, bool quiet, struct err *e);
void open_release(struct opened *o);
/* Positions worth keeping for `batch` texts at once (each up to `context`;
 * 0: the model's), within a part of the device's memory. After
 * open_files() and open_device(). 0: failed. */
NEED size_t open_cache_tokens(const struct opened *o, size_t batch, size_t context, struct err *e);

#endif
