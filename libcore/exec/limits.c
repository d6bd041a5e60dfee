/* SPDX-License-Identifier: MIT */
/* limits.c - what a device can do, measured: the door, and the clock. How
 * each device is driven to its limit is the backend's. */
#include <stdlib.h>
#include <time.h>

#include "exec/limits.h"
#include "exec/record.h"

enum { PASSES = 64, LEAST = 3 };
static const double long_enough = 0.04; /* seconds of all passes */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int limit_time(double *seconds, int (*pass)(void *arg, struct err *e), void *arg, struct err *e)
{
	double t[PASSES], total = 0;
	size_t n = 0;

	while (n < PASSES && (n < LEAST || total < long_enough)) {
		double begin = now();

		if (pass(arg, e) != 0)
			return -1;
		t[n] = now() - begin;
		total += t[n++];
	}
	qsort(t, n, sizeof *t, by_size);
	*seconds = t[n / 2];
	return 0;
}

int exec_limit(struct exec *x, enum limit what, double *value, struct err *e)
{
	*value = 0;
	return x->backend->limit(x, what, value, e);
}
