/* SPDX-License-Identifier: MIT */
/* latency.h - how many sessions run together, where streams are to have a
 * token so often. Private to gen/.
 *
 * Of the last passes the 95th percentile of their time is held under a target:
 * fewer sessions run where it is above, more where it is well below and some
 * wait, first of all a few. Who runs is never stopped for it: fewer begin. */
#ifndef CLM_GEN_LATENCY_H
#define CLM_GEN_LATENCY_H

#include <stdbool.h>
#include <stddef.h>

enum { LATENCY_WINDOW = 64, LATENCY_LEAST = 20 };

struct latency {
	double target;                /* seconds between two tokens; 0: any */
	double took[LATENCY_WINDOW];  /* passes that decoded, the last n of them, around */
	size_t n, at;
	size_t most, limit;           /* sessions; limit within [1, most] */
	bool found;                   /* so many that the target was missed: no more doubling */
};
void latency_init(struct latency *l, double target, size_t most);
/* A pass that decoded so many sessions; waiting: others would run too. */
void latency_note(struct latency *l, size_t decoded, size_t running, bool waiting,
                  double seconds);

#endif
