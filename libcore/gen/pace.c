/* SPDX-License-Identifier: MIT */
/* pace.c - the share of prompts in a pass, steered by the clock */
#include "gen/pace.h"

#include <time.h>

enum { PACE_FIRST = 32, STALE = 64 };
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

void pace_note(struct pace *p, size_t decoding, size_t prompts, double seconds)
{
	double *alone = &p->alone[size_of(decoding)], times;

	if (!decoding || seconds <= 0)
		return;
	if (!prompts) {
		*alone = *alone > 0 ? 0.75 * *alone + 0.25 * seconds : seconds;
		p->n_mixed = 0;
		return;
	}
	p->n_mixed++;
	times = *alone > 0 ? seconds / *alone : aim;
	if (times > aim)
		p->beside *= aim / times > 0.5 ? aim / times : 0.5;
	else if (times < low && (double)prompts >= p->beside / 2)
		p->beside = p->beside * 1.1 + 1;
	if (p->beside < PACE_LEAST)
		p->beside = PACE_LEAST;
	if (p->beside > (double)p->most)
		p->beside = (double)p->most;
}
