/* SPDX-License-Identifier: MIT */
/* bench.h - between the files of clm-bench: a device, what it can do, and
 * runs that are timed beside that. */
#ifndef CLM_CMD_BENCH_H
#define CLM_CMD_BENCH_H

#include "cli.h"
#include "lines.h"
#include "model/model.h"

enum { BENCH_RUNS = 1000, BENCH_BATCH = 512, BENCH_LIST = 32 };

struct bench_list {
	size_t at[BENCH_LIST], n;
};
struct bench_form {
	unsigned bits, group;  /* bits 0: floats of dtype */
	enum dtype dtype;      /* of floats, or of scales */
	char name[24];         /* "q4g64", "f16" */
};

struct bench {
	const struct cli_common *common;
	struct exec *exec;
	enum lines_format format;
	struct line who;
	size_t runs;
	bool exact, fast;
	bool f32;                      /* most weights are: products of floats */
	struct bench_list prompt, make, depth, batch;
	double limit[LIMIT_COUNT];     /* as they were at the beginning; 0: none */
	size_t probe_host, probe_device; /* bytes that measuring them holds */
	double device_seconds;         /* that opening the device took */
	bool skipped;                  /* something could not be measured */
};

/* ---- trial.c */
/* Measures and prints every limit the device has. */
NEED int bench_limits(struct bench *b, struct err *e);
/* The limit that products meet, with most weights as codes or without. */
enum limit bench_peak(const struct bench *b, bool coded);

/* What a run does at least. */
struct bench_work {
	double bytes, flop;
	enum limit peak;       /* of the products */
	double count;          /* things a run makes; 0: the figure is its seconds */
	const char *unit;      /* of the figure */
};
/* Runs run(arg) b->runs times, each between two measures of the limit that
 * binds it, and fills the line's figures. run() gives the seconds of what
 * counts. `seconds`, [b->runs], may be NULL. */
NEED int bench_trial(struct bench *b, struct line *l, const struct bench_work *w,
                     int (*run)(void *arg, double *seconds, struct err *e), void *arg,
                     double *seconds, struct err *e);
double bench_median(double *v, size_t n); /* sorts them */
/* Peak resident bytes since the last reset (or the start, where that is not
 * to be had), without the probe's. */
void bench_memory_reset(void);
size_t bench_memory(const struct bench *b);

/* ---- passes.c: whole passes of a model */
/* Positions that the cache needs for what is asked for; what does not fit a
 * part of the device's memory is left out, with a warning. */
size_t bench_positions(struct bench *b, const struct config *c);
/* load_seconds: NAN where loading is not worth a figure. */
NEED int bench_passes(struct bench *b, struct model *m, double load_seconds, struct err *e);

/* ---- ops.c: each kind of kernel alone, at the sizes of a model */
NEED int bench_ops(struct bench *b, const struct config *c, const struct bench_form *form,
                   struct err *e);

#endif
