/* SPDX-License-Identifier: MIT */
/* filters.c - top-p, min-p, XTC and top-k: a table of filters, in mlx-lm's
 * order, over un-tempered logits
 *
 * They are given all of the vocabulary, or its best alone and the mass of
 * all: then each leaves `more` where it could not see the end of what it
 * keeps, and a later one may cut that short. */
#include "gen/filters.h"

#include <math.h>

static bool has_top_p(const struct request *r)
{
	return r->top_p > 0 && r->top_p < 1;
}

static bool has_min_p(const struct request *r)
{
	return r->min_p > 0;
}

static bool has_xtc(const struct request *r)
{
	return r->xtc_probability > 0;
}

static bool has_top_k(const struct request *r)
{
	return r->top_k > 0;
}

static float least_of(const struct cand *c, size_t n)
{
	float least = INFINITY;

	for (size_t i = 0; i < n; i++)
		least = c[i].logit < least ? c[i].logit : least;
	return least;
}

/* The fewest best whose mass reaches top_p, and all that tie with the last. */
static void filter_top_p(const struct filtering *f, struct cands *c)
{
	size_t kept = pick_select(c->c, c->n, f->r->top_p * (double)c->mass, 0);
	float least = least_of(c->c, kept);

	if (c->more && (kept == c->n || !(least_of(c->c, c->n) < least)))
		return; /* all of these stay, and others may */
	c->more = false;
	for (size_t i = kept; i < c->n; i++)
		if (c->c[i].logit == least)
			c->c[kept++] = c->c[i];
	c->n = kept;
}

static float min_p_floor(const struct request *r, float max)
{
	return max + (float)log(r->min_p);
}

/* Those with at least min_p times the best one's probability, and in any
 * case the min_keep best. */
static void filter_min_p(const struct filtering *f, struct cands *c)
{
	float floor = min_p_floor(f->r, c->max);
	size_t most = f->r->min_keep, keep = 0;

	if (c->more && (most > c->n || !(least_of(c->c, c->n) < floor)))
		return;
	c->more = false;
	if (most > 1)
		keep = pick_select(c->c, c->n, (double)most, 1);
	for (size_t i = keep; i < c->n; i++)
		if (!(c->c[i].logit < floor))
			c->c[keep++] = c->c[i];
	c->n = keep;
}

static bool is_exempt(const struct filtering *f, int32_t id)
{
	for (size_t i = 0; i < f->n_exempt; i++)
		if (f->exempt[i] == id)
			return true;
	return false;
}

/* Exclude top choices: of the tokens above the threshold only the least
 * probable stays, with the given chance a step. */
static void filter_xtc(const struct filtering *f, struct cands *c)
{
	uint64_t mass = 0, least = UINT64_MAX;
	size_t kept = 0;

	if (rng_uniform(f->rng) > f->r->xtc_probability)
		return;
	c->lost |= c->more;
	for (size_t i = 0; i < c->n; i++)
		mass += c->c[i].mass;
	for (size_t i = 0; i < c->n; i++)
		if ((double)c->c[i].mass > f->r->xtc_threshold * (double)mass &&
		    c->c[i].mass < least)
			least = c->c[i].mass;
	for (size_t i = 0; i < c->n; i++)
		if (!(c->c[i].mass > least) || is_exempt(f, c->c[i].id))
			c->c[kept++] = c->c[i];
	c->n = kept;
}

static void filter_top_k(const struct filtering *f, struct cands *c)
{
	if (f->r->top_k > c->n)
		return;
	c->more = false;
	if (f->r->top_k < c->n)
		c->n = pick_select(c->c, c->n, (double)f->r->top_k, 1);
}

static const struct filter {
	bool (*on)(const struct request *r);
	void (*run)(const struct filtering *f, struct cands *c);
	bool weighs;
} filters[] = {
	{ has_top_p, filter_top_p, true },
	{ has_min_p, filter_min_p, false },
	{ has_xtc, filter_xtc, true },
	{ has_top_k, filter_top_k, false },
};
enum { N_FILTERS = sizeof filters / sizeof *filters };

bool filters_set(const struct request *r)
{
	bool any = false;

	for (size_t i = 0; i < N_FILTERS; i++)
		any |= filters[i].on(r);
	return any;
}

bool filters_weigh(const struct request *r)
{
	bool any = false;

	for (size_t i = 0; i < N_FILTERS; i++)
		any |= filters[i].weighs && filters[i].on(r);
	return any;
}

/* The top_k-th of the largest of each few: no fewer logits are as large. */
static float top_k_floor(const struct request *r, const float *logit, size_t n, struct cand *room)
{
	enum { SOME = 16 };

	if (r->top_k * 4 > n / SOME || r->min_keep > r->top_k)
		return -INFINITY;
	for (size_t i = 0; i < n / SOME; i++) {
		float most = -INFINITY;

		for (size_t k = i * SOME; k < (i + 1) * SOME; k++)
			most = logit[k] > most ? logit[k] : most;
		room[i] = (struct cand){ most, (int32_t)i, 0 };
	}
	return least_of(room, pick_select(room, n / SOME, (double)r->top_k, 1));
}

float filters_floor(const struct request *r, const float *logit, size_t n, float max,
                    struct cand *room)
{
	float floor = -INFINITY;

	if (filters_weigh(r))
		return floor;
	if (has_min_p(r) && r->min_keep <= 1)
		floor = min_p_floor(r, max);
	if (has_top_k(r))
		floor = fmaxf(floor, top_k_floor(r, logit, n, room));
	return floor;
}

bool filters_run(const struct filtering *f, struct cands *c)
{
	for (size_t i = 0; i < N_FILTERS; i++)
		if (filters[i].on(f->r))
			filters[i].run(f, c);
	return !c->more && !c->lost;
}
