/* SPDX-License-Identifier: MIT */
/* tell.h - what came of a task as rows of a table or as a record */
#ifndef CLM_CMD_TELL_H
#define CLM_CMD_TELL_H

#include "tasks.h"

struct tell {
	bool records;          /* JSON */
	bool ids;              /* a table's texts have ids of their own */
	bool tokens;
	size_t top;
	size_t vocab;
	const char *definition; /* of the perplexity; NULL: none is named */
};
/* A table's first line. */
void tell_head(const struct tell *o);
void tell_task(const struct tell *o, const struct task *t);

#endif
