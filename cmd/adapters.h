/* SPDX-License-Identifier: MIT */
/* adapters.h - adapters named on the command line, DIR[=SCALE] each */
#ifndef CLM_CMD_ADAPTERS_H
#define CLM_CMD_ADAPTERS_H

#include "cli.h"
#include "convert/convert.h"

/* DIR[=SCALE]: the directory, which the caller frees, and the scale, or 1; one
 * that is no number is misuse. NULL: no memory. */
NEED char *adapter_split(double *scale, const char *text, struct err *e);

struct adapters {
	struct adapter_use use[CLI_TEXTS_MAX];
	struct adapter *own[CLI_TEXTS_MAX];
	struct adapter_set set; /* all of them together */
};
/* Zeroed is none; ended by adapters_close(), in any state. */
NEED int adapters_open(struct adapters *a, const struct cli_texts *t, struct err *e);
void adapters_close(struct adapters *a);

#endif
