/* SPDX-License-Identifier: MIT */
/* lists.h - tables under a header line, or arrays of objects */
#ifndef CLM_CMD_LISTS_H
#define CLM_CMD_LISTS_H

#include "format/format.h"

void tell_tensors(const struct source *s, bool json);
NEED int tell_devices(bool json, struct err *e);
/* What the user's registry knows. */
NEED int tell_registry(bool json, struct err *e);
/* The families of the table, their class, GGUF architecture and facts. */
NEED int tell_families(bool json, struct err *e);

#endif
