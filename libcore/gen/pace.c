/* SPDX-License-Identifier: MIT */
/* pace.c - the share of prompts in a pass, steered by the clock */
#include "gen/pace.h"

#include <time.h>

enum { PACE_FIRST = 32, STALE = 64, FIRST_FEW = 16 };
/* In times of a pass alone: what is aimed at, and where there is room for more. */
static const double aim = 1.7, low = 1.5;

double pace_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void pace_init(struct pace *p, size_t most)
{
	*p = (struct pace){ .most = most, .beside = most < PACE_FIRST ? (double)most : PACE_FIRST };
}

static size_t size_of(size_t rows)
{
	size_t i = 0;

	while (rows > 1 && i + 1 < PACE_SIZES) {
		rows = (rows + 1) / 2;
		i++;
	}
	return i;
}

size_t pace_rows(const struct pace *p, size_t decoding)
{
	if (!decoding)
		return p->most;
	if (p->alone[size_of(decoding)] <= 0 || p->n_mixed >= STALE)
		return 0;
	return (size_t)p->beside;
}

/* Towards the median: a machine with other work has passes that take many
 * times as long, which say nothing. */
static void learn(double *alone, unsigned *n, double seconds)
{
	double step = *n < FIRST_FEW ? 1.25 : 1.05;

	if (*alone <= 0)
		*alone = seconds;
	else
		*alone = seconds > *alone ? *alone * step : *alone / step;
	*n += *n < FIRST_FEW;
}

void pace_note(struct pace *p, size_t decoding, size_t prompts, double seconds)
{
	double *alone = &p->alone[size_of(decoding)], times;

	if (!decoding || seconds <= 0)
		return;
	if (!prompts) {
		learn(alone, &p->n_alone[size_of(decoding)], seconds);
		p->n_mixed = 0;
		return;
	}
	p->n_mixed++;
	times = *alone > 0 ? seconds / *alone : aim;
	if (times > aim)
		p->beside *= 0.9;
	else if (times < low && (double)prompts >= p->beside / 2)
		p->beside = p->beside * 1.1 + 0.5;
	if (p->beside < PACE_LEAST)
		p->beside = PACE_LEAST;
	if (p->beside > (double)p->most)
		p->beside = (double)p->most;
}
