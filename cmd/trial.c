/* SPDX-License-Identifier: MIT */
/* trial.c - timed runs beside the limits of the device
 *
 * A machine's speed wanders, so each run stands between two measures of the
 * limit that binds it, and a share is the median of the runs' own shares. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench.h"

static const struct {
	const char *name, *test, *unit;
} kinds[LIMIT_COUNT] = {
	[LIMIT_READ] = { "read", "limit-read", "B/s" },
	[LIMIT_FMA] = { "fma", "limit-fma", "FLOP/s" },
	[LIMIT_DOT16] = { "dot16", "limit-dot16", "OP/s" },
	[LIMIT_DOT8] = { "dot8", "limit-dot8", "OP/s" },
	[LIMIT_MATRIX] = { "matrix", "limit-matrix", "FLOP/s" },
	[LIMIT_LAUNCH] = { "launch", "limit-launch", "s" },
	[LIMIT_BARRIER] = { "barrier", "limit-barrier", "s" },
};

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_size);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* The line's figures; v is sorted by it. */
static void summarize(struct line *l, double *v, size_t n)
{
	l->runs = n;
	l->median = bench_median(v, n);
	l->least = v[0];
	l->most = v[n - 1];
}

/* ---- memory: Linux tells the peak, and starts it anew when asked */

static size_t status_bytes(const char *key)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[128];
	unsigned long long kib = 0;

	while (f && fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)) && sscanf(line + strlen(key), ": %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return (size_t)kib * 1024;
}

void bench_memory_reset(void)
{
	FILE *f = fopen("/proc/self/clear_refs", "we");

	if (!f)
		return;
	fputs("5\n", f);
	fclose(f);
}

size_t bench_memory(const struct bench *b)
{
	size_t peak = status_bytes("VmHWM");
	struct rusage r;

	if (!peak && getrusage(RUSAGE_SELF, &r) == 0)
		peak = (size_t)r.ru_maxrss * 1024;
	return peak > b->probe_host ? peak - b->probe_host : peak;
}

/* ---- limits */

static int one_limit(struct bench *b, enum limit what, struct err *e)
{
	struct line l = line_of(&b->who, kinds[what].test);
	double v[BENCH_RUNS];

	for (size_t i = 0; i < b->runs; i++) {
		if (exec_limit(b->exec, what, &v[i], e))
			return -1;
		if (v[i] <= 0)
			return 0;
	}
	summarize(&l, v, b->runs);
	l.unit = kinds[what].unit;
	b->limit[what] = l.median;
	lines_put(b->format, &l);
	return 0;
}

int bench_limits(struct bench *b, struct err *e)
{
	size_t host = status_bytes("VmRSS"), device = exec_bytes(b->exec);
	double first;

	if (exec_limit(b->exec, LIMIT_READ, &first, e))
		return -1;
	b->probe_device = exec_bytes(b->exec) - device;
	device = status_bytes("VmRSS");
	b->probe_host = device > host ? device - host : 0;
	for (int i = 0; i < LIMIT_COUNT; i++)
		if (one_limit(b, (enum limit)i, e))
			return -1;
	return 0;
}

enum limit bench_peak(const struct bench *b, bool coded)
{
	enum limit dot = b->fast ? LIMIT_DOT8 : LIMIT_DOT16;

	if (b->exact || (!coded && b->f32))
		return LIMIT_FMA;
	if (coded && b->limit[dot] > 0)
		return dot;
	return b->limit[LIMIT_MATRIX] > 0 ? LIMIT_MATRIX : LIMIT_FMA;
}

/* ---- runs */

/* The limit under which the work takes longest. */
static enum limit binding(const struct bench *b, const struct bench_work *w)
{
	double read = b->limit[LIMIT_READ], peak = b->limit[w->peak];

	return read > 0 && (peak <= 0 || w->bytes / read >= w->flop / peak) ? LIMIT_READ : w->peak;
}

int bench_trial(struct bench *b, struct line *l, const struct bench_work *w,
                int (*run)(void *arg, double *seconds, struct err *e), void *arg,
                double *seconds, struct err *e)
{
	enum limit bound = binding(b, w);
	double work = bound == LIMIT_READ ? w->bytes : w->flop;
	double v[BENCH_RUNS], share[BENCH_RUNS], limit[BENCH_RUNS], before = 0, after = 0, t;

	if (exec_limit(b->exec, bound, &before, e))
		return -1;
	for (size_t i = 0; i < b->runs; i++, before = after) {
		if (run(arg, &t, e) || exec_limit(b->exec, bound, &after, e))
			return -1;
		if (seconds)
			seconds[i] = t;
		v[i] = w->count > 0 ? w->count / t : t;
		limit[i] = (before + after) / 2;
		share[i] = work / t / limit[i];
	}
	summarize(l, v, b->runs);
	l->unit = w->unit;
	t = w->count > 0 ? w->count / l->median : l->median;
	l->byte_rate = w->bytes / t;
	l->flop_rate = w->flop / t;
	if (before > 0) {
		l->limit = kinds[bound].name;
		l->limit_rate = bench_median(limit, b->runs);
		l->share = bench_median(share, b->runs);
	}
	return 0;
}
