/* SPDX-License-Identifier: MIT */
/* keep.h - a sequence's cache to a file and back */
#ifndef CLM_CMD_KEEP_H
#define CLM_CMD_KEEP_H

#include "jobs.h"
#include "open.h"

/* Errors name the file. */
NEED int keep_load(struct kv_seq **out, const struct opened *o, const char *path, struct err *e);
/* The cache that the jobs kept, with the last token made. */
NEED int keep_save(const struct opened *o, const char *path, struct jobs *q, struct err *e);

#endif
