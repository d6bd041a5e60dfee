/* SPDX-License-Identifier: MIT */
/* metrics.h - what is counted while serving. Private to serve/. */
#ifndef CLM_SERVE_METRICS_H
#define CLM_SERVE_METRICS_H

#include "util/buf.h"

struct serve;
struct call;

struct metrics;
NEED int metrics_open(struct metrics **out, struct err *e);
void metrics_close(struct metrics *m);
void metrics_first(struct serve *s, double seconds);  /* from arrival to the first token */
void metrics_next(struct serve *s, double seconds);   /* from a token to the next */
void metrics_step(struct serve *s, double seconds, size_t rows);
struct kv_count;
void metrics_pages(struct serve *s, const struct kv_count *n); /* of all models */
void metrics_call(struct serve *s, const struct call *c);
void metrics_request(struct serve *s, const char *api, int status);
/* Prometheus' text format. */
void metrics_write(struct serve *s, struct buf *out);

#endif
