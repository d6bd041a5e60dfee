/* SPDX-License-Identifier: MIT */
/* latency.c - as many sessions together as leave each its tokens in time */
#include "gen/latency.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST = 4 };
static const double roomy = 0.8; /* of the target: below it more may run */

void latency_init(struct latency *l, double target, size_t most)
{
	*l = (struct latency){ .target = target, .most = most, .limit = most };
	if (target > 0 && most > FIRST)
		l->limit = FIRST;
}

static int order(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double p95(const struct latency *l)
{
	double sorted[LATENCY_WINDOW];

	memcpy(sorted, l->took, l->n * sizeof *sorted);
	qsort(sorted, l->n, sizeof *sorted, order);
	return sorted[(l->n * 95 - 1) / 100];
}

/* What was measured before says nothing of the new number. */
static void change(struct latency *l, size_t limit)
{
	l->limit = limit < 1 ? 1 : limit > l->most ? l->most : limit;
	l->n = l->at = 0;
}

void latency_note(struct latency *l, size_t decoded, size_t running, bool waiting,
                  double seconds)
{
	size_t eighth = l->limit / 8 + 1;
	double now;

	if (l->target <= 0 || !decoded)
		return;
	l->took[l->at] = seconds;
	l->at = (l->at + 1) % LATENCY_WINDOW;
	l->n += l->n < LATENCY_WINDOW;
	/* more than the limit still run: it has yet to come into force */
	if (l->n < LATENCY_LEAST || running > l->limit)
		return;
	now = p95(l);
	if (now > l->target) {
		l->found = true;
		if (l->limit > 1)
			change(l, running > eighth ? running - eighth : 1);
	} else if (now < roomy * l->target && waiting && running == l->limit && l->limit < l->most) {
		change(l, l->found ? l->limit + eighth : 2 * l->limit);
	}
}
