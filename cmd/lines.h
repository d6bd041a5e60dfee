/* SPDX-License-Identifier: MIT */
/* lines.h - figures as lines: a table for programs, records, or a table for
 * a page. Each is on its way as soon as it is put. */
#ifndef CLM_CMD_LINES_H
#define CLM_CMD_LINES_H

#include "cli.h"

enum lines_format { LINES_TSV, LINES_JSONL, LINES_MD };
#define LINES_FORMATS "tsv jsonl md"

/* What does not apply: NULL, LINE_NO_SIZE, NAN. */
#define LINE_NO_SIZE SIZE_MAX
struct line {
	const char *model, *form;            /* "llama-1b", "q4g64" */
	const char *backend, *device, *rows; /* as clm-info and -v have them */
	size_t units;
	const char *test;                    /* "pp512" */
	size_t depth, batch, runs;
	double median, least, most;          /* of the runs, in `unit` */
	const char *unit;                    /* "tok/s", "s", "B", "B/s", ... */
	double byte_rate, flop_rate;         /* the work of the median, a second */
	const char *limit;                   /* what bounds it: "read", "fma", ... */
	double limit_rate, share;            /* beside the runs; the work's part of it */
	double error;                        /* worst, over the rms of the reference's */
};
/* All that applies to no line yet, but for the names of model and device. */
struct line line_of(const struct line *who, const char *test);
void lines_begin(enum lines_format f);
void lines_put(enum lines_format f, const struct line *l);

#endif
