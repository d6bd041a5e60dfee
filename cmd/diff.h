/* SPDX-License-Identifier: MIT */
/* diff.h - a model beside another, or beside itself under adapters */
#ifndef CLM_CMD_DIFF_H
#define CLM_CMD_DIFF_H

#include "feed.h"
#include "open.h"

struct diff_options {
	const struct open_options *open;
	const char *against;   /* another model; NULL: adapters */
	const char *scales;    /* "0,0.5,1", by which the adapters' own are multiplied; NULL: 1 */
	size_t window;         /* 0: as the model has, at most 2048 */
	bool ids, jsonl, no_special, records;
	int boundary;          /* of records */
	bool quiet;
	int verbose;
	struct feed_options feed;
};
/* Prints a row for each scale, or one for each record and scale. Misuse ends the command;
 * *n_failed is how many records were refused. */
NEED int diff_texts(const struct diff_options *d, char **files, size_t *n_failed, struct err *e);

#endif
