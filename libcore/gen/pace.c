/* SPDX-License-Identifier: MIT */
/* pace.c - the share of prompts in a pass, foretold from the clock
 *
 * The time that prompts add to a pass is a sum of four costs, each a random
 * walk that every such pass tells of: Kalman's filter, 1960. A machine with
 * other work has passes that take many times as long and say nothing: no
 * pass moves the costs by more than what it should have taken. */
#include "gen/pace.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

/* Of any prompt in a pass; of a row; of a row and UNIT positions before it; of an output. */
enum { ANY, ROW, BEFORE, OUT };
enum { UNIT = 1024, EXACT = 8, SOON = 4, STALE = 64, FEW = 4, MANY = 16, FIT_MOST = 1 << 20 };
/* aim: times of a pass alone that one with prompts may take; least: of one with
 * the smallest piece, where that is more. */
static const double aim = 1.6, least = 1.25;
/* Of what a pass takes, and what costs walk in one. */
static const double noise = 0.1, walk = 0.01;

double pace_clock(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void pace_init(struct pace *p)
{
	*p = (struct pace){ 0 };
}

/* ---- passes alone: a size for each of a few rows, then four to an octave */

static size_t rows_of(size_t size)
{
	size_t over = size < EXACT ? 0 : size - EXACT + 1;

	return over ? (4 + (over - 1) % 4 + 1) << (1 + (over - 1) / 4) : size + 1;
}

static size_t size_of(size_t rows)
{
	size_t size = 0;

	while (size + 1 < PACE_SIZES && rows_of(size) < rows)
		size++;
	return size;
}

/* What a pass alone would take, from those of other sizes; at least that. */
static double usual(const struct pace *p, size_t rows)
{
	size_t size = size_of(rows), lower = size, upper = size;
	double from, to, more;

	while (lower && !(p->alone[lower] > 0))
		lower--;
	while (upper + 1 < PACE_SIZES && !(p->alone[upper] > 0))
		upper++;
	from = p->alone[lower];
	to = p->alone[upper];
	if (lower == upper)
		return from;
	if (from <= 0)
		return to * (double)rows / (double)rows_of(upper);
	more = (double)(rows - rows_of(lower));
	if (to <= 0)
		return from + p->cost[ROW] * more;
	return from + fmax(to - from, 0) * more / (double)(rows_of(upper) - rows_of(lower));
}

/* The least of the first, then towards the median. */
static void learn(double *alone, unsigned *n, double seconds)
{
	if (*n < FEW)
		*alone = *n && *alone < seconds ? *alone : seconds;
	else
		*alone = seconds > *alone ? fmin(seconds, *alone * 1.05) :
		                            fmax(seconds, *alone / 1.05);
	*n += *n < MANY;
}

/* Time to measure one alone again: soon, where that was done but seldom. */
static bool stale(const struct pace *p, size_t decoding)
{
	return p->n_mixed >= (p->n_alone[size_of(decoding)] < MANY ? SOON : STALE);
}

/* ---- what prompts add */

double pace_seconds_for(const struct pace *p, size_t decoding, size_t waiting)
{
	double alone, seconds, many;

	if (!decoding)
		return HUGE_VAL;
	alone = usual(p, decoding);
	if (!(alone > 0) || stale(p, decoding))
		return 0;
	/* those who wait will be streams too, and a pass as long as with them; of
	 * one this is not said, and more rows take no more each */
	many = waiting > 1 ? (double)(waiting - 1) / (double)decoding : 0;
	seconds = fmin(usual(p, decoding + waiting - (waiting > 0)), alone * (1 + many));
	seconds = aim * fmax(seconds, alone) - alone;
	return fmax(seconds, p->cost[ANY] + (least - 1) * (alone + p->cost[ANY]));
}

void pace_add(struct pace_load *l, size_t before, size_t n, size_t outs)
{
	l->rows += n;
	l->outs += outs;
	l->before += (double)n * ((double)before + (double)(n - 1) / 2);
}

static double foretold(const struct pace *p, const double *x)
{
	double t = 0;

	for (size_t i = 0; i < PACE_COSTS; i++)
		t += p->cost[i] * x[i];
	return t;
}

static void measures(double *x, const struct pace_load *l)
{
	x[ANY] = l->rows > 0;
	x[ROW] = (double)l->rows;
	x[BEFORE] = l->before / UNIT;
	x[OUT] = (double)l->outs;
}

size_t pace_fit(const struct pace *p, const struct pace_load *l, double seconds, size_t before,
                int outs)
{
	double x[PACE_COSTS], left, row, more, n;

	if (seconds == HUGE_VAL)
		return FIT_MOST;
	measures(x, l);
	x[ANY] = 1;
	left = seconds - foretold(p, x);
	/* n rows: row * n + more * n * n, as they lie before each other too */
	row = p->cost[ROW] + p->cost[BEFORE] * (double)before / UNIT + (outs ? p->cost[OUT] : 0);
	more = p->cost[BEFORE] / UNIT / 2;
	n = left > 0 ? 2 * left / (row + sqrt(row * row + 4 * more * left)) : 0;
	if (n < 1)
		return !l->rows;
	return n < FIT_MOST ? (size_t)n : FIT_MOST;
}

/* Before anything is known a row is taken to cost as much as one that decodes. */
static void guess(struct pace *p, double alone, size_t decoding)
{
	double row = alone / (double)(decoding > 4 ? decoding : 4);

	p->cost[ROW] = p->cost[BEFORE] = p->cost[OUT] = row;
	p->cost[ANY] = 0;
	memset(p->doubt, 0, sizeof p->doubt);
	for (size_t i = 0; i < PACE_COSTS; i++)
		p->doubt[i][i] = i == ANY ? alone * alone / 4 : row * row;
}

/* A pass later each cost may be another, but not any. */
static void forget(struct pace *p, double alone)
{
	for (size_t i = 0; i < PACE_COSTS; i++) {
		double most = i == ANY ? alone / 2 : p->cost[i], step = walk * most, over;

		p->doubt[i][i] += step * step;
		over = most / sqrt(p->doubt[i][i]);
		for (size_t j = 0; j < PACE_COSTS && over < 1; j++) {
			p->doubt[i][j] *= over;
			p->doubt[j][i] *= over;
		}
	}
}

static void correct(struct pace *p, double alone, const double *x, double took)
{
	double should = foretold(p, x), most = alone + should, odd = took - should;
	double gain[PACE_COSTS], spread = noise * noise * most * most;

	odd = odd > most ? most : odd < -most ? -most : odd;
	forget(p, alone);
	for (size_t i = 0; i < PACE_COSTS; i++) {
		gain[i] = 0;
		for (size_t j = 0; j < PACE_COSTS; j++)
			gain[i] += p->doubt[i][j] * x[j];
		spread += gain[i] * x[i];
	}
	for (size_t i = 0; i < PACE_COSTS; i++) {
		/* nothing is free, so that it can be learned again */
		p->cost[i] = fmax(p->cost[i] + gain[i] * odd / spread,
		                  i == ANY ? 0 : p->cost[i] / 2);
		for (size_t j = 0; j < PACE_COSTS; j++)
			p->doubt[i][j] -= gain[i] * gain[j] / spread;
	}
}

void pace_note(struct pace *p, size_t decoding, const struct pace_load *l, double seconds)
{
	size_t size = size_of(decoding);
	double x[PACE_COSTS], alone;

	if (!decoding || seconds <= 0)
		return;
	if (!l->rows) {
		learn(&p->alone[size], &p->n_alone[size], seconds);
		if (!p->n_noted)
			guess(p, seconds, decoding);
		p->n_mixed = 0;
		return;
	}
	p->n_mixed++;
	p->n_noted = 1;
	alone = usual(p, decoding);
	measures(x, l);
	if (alone > 0)
		correct(p, alone, x, seconds - alone);
}
