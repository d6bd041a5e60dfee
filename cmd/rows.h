/* SPDX-License-Identifier: MIT */
/* rows.h - facts as lines, or as one JSON object */
#ifndef CLM_CMD_ROWS_H
#define CLM_CMD_ROWS_H

#include <stdbool.h>
#include <stddef.h>

struct rows {
	bool json, any; /* any: one is printed already */
};
/* The key alone: what follows is printed by the caller. */
void row_begin(struct rows *r, const char *key);
void row_text(struct rows *r, const char *key, const char *v);
void row_number(struct rows *r, const char *key, size_t v);
void row_bool(struct rows *r, const char *key, bool v);

#endif
