/* SPDX-License-Identifier: MIT */
/* metrics.h - what is counted while serving. Private to serve/. */
#ifndef CLM_SERVE_METRICS_H
#define CLM_SERVE_METRICS_H

#include "util/buf.h"

struct serve;
struct call;
struct served;

struct metrics;
NEED int metrics_open(struct metrics **out, struct err *e);
void metrics_close(struct metrics *m);
void metrics_first(struct serve *s, double seconds);  /* from arrival to the first token */
void metrics_next(struct serve *s, double seconds);   /* from a token to the next */
void metrics_step(struct serve *s, double seconds, size_t rows);
void metrics_call(struct serve *s, const struct call *c);
void metrics_prompt(struct serve *s, size_t n_tokens); /* computed for a vector */
/* After a pass, or when nothing runs: the pages of the model's cache. */
void metrics_pages(struct serve *s, struct served *d);
void metrics_failed(struct serve *s);                  /* a pass */
void metrics_request(struct serve *s, const char *api, int status);
/* Prometheus' text format, families by name. */
void metrics_write(struct serve *s, struct buf *out);
/* A label's value, quotes, backslashes and line ends escaped. */
void metrics_label(struct buf *b, const char *text);

/* ---- families.c */
/* Adds to text the families under the names that other programs give them. */
void families_alias(struct buf *text, const char *program, const char *model);
/* Puts them in the order of their names. */
void families_sort(struct buf *text);

#endif
