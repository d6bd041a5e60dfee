/* SPDX-License-Identifier: MIT */
/* status.h - what a server that runs is doing */
#ifndef CLM_CMD_STATUS_H
#define CLM_CMD_STATUS_H

#include "util/err.h"

/* Lines of "what TAB value" on stdout, a model each with "model". The file of
 * keys may be NULL. */
NEED int status_tell(const char *address, const char *key_file, struct err *e);

#endif
