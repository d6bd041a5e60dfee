/* SPDX-License-Identifier: MIT */
/* sampler.c - logits to a token: processors, filters, then a seeded draw
 *
 * The order is mlx-lm's: logit bias, repetition, presence and frequency
 * penalties; log-probabilities of what that gives; then on un-tempered
 * values top-p, min-p, XTC and top-k; the temperature last. Penalties see
 * the whole history, prompt included. Temperature 0 takes the best token
 * that the processors leave, in one pass. */
#include "gen/sampler.h"

#include "gen/penalties.h"
#include "gen/pick.h"
#include "gen/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	FEW = 256, /* candidates that are worth sorting */
	NEAR = 8,  /* below the best logit: where top-p looks first */
};

struct sampler {
	struct request r; /* numbers only: no stop strings, no bias */
	struct bias *bias;
	size_t n_bias;
	int32_t *exempt;
	size_t n_exempt;
	struct rng rng;
	struct sampler_room *room;
	bool own_room;
	const float *last; /* the logits of the last draw, processed or not */
	const uint64_t *allowed; /* of the next draw; NULL: all */
};

/* ---- room */

int sampler_room_open(struct sampler_room **out, size_t vocab, struct err *e)
{
	struct sampler_room *r = calloc(1, sizeof *r);

	if (!r)
		return err_memory(e, sizeof *r);
	r->vocab = vocab;
	r->logit = calloc(vocab, sizeof *r->logit);
	r->weight = calloc(vocab, sizeof *r->weight);
	r->cand = calloc(vocab, sizeof *r->cand);
	r->seen = calloc(vocab, sizeof *r->seen);
	r->count = calloc(vocab, sizeof *r->count);
	r->distinct = calloc(vocab, sizeof *r->distinct);
	if (!r->logit || !r->weight || !r->cand || !r->seen || !r->count || !r->distinct) {
		sampler_room_close(r);
		return err_memory(e, vocab * (sizeof(struct cand) + 20));
	}
	*out = r;
	return 0;
}

void sampler_room_close(struct sampler_room *r)
{
	if (!r)
		return;
	free(r->logit);
	free(r->weight);
	free(r->cand);
	free(r->seen);
	free(r->count);
	free(r->distinct);
	free(r);
}

/* ---- processors: logits in, logits out */

static bool processes(const struct sampler *s)
{
	return s->n_bias || penalties_set(&s->r);
}

bool sampler_greedy(const struct sampler *s)
{
	return !(s->r.temp > 0) && !processes(s);
}

void sampler_allow(struct sampler *s, const uint64_t *allowed)
{
	s->allowed = allowed;
}

static void forbid(float *l, size_t n, const uint64_t *allowed)
{
	for (size_t i = 0; allowed && i < n; i++)
		if (!(allowed[i / 64] >> i % 64 & 1))
			l[i] = -INFINITY;
}

/* The logits after bias, penalties and what is not allowed; the same row
 * where nothing is set. */
static const float *process(struct sampler *s, const float *logits, const int32_t *history,
                            size_t n)
{
	float *l = s->room->logit;

	if (!processes(s) && !s->allowed)
		return logits;
	memcpy(l, logits, s->room->vocab * sizeof *l);
	for (size_t i = 0; i < s->n_bias; i++)
		l[s->bias[i].id] += s->bias[i].add;
	penalties_apply(&s->r, s->room, l, history, n);
	forbid(l, s->room->vocab, s->allowed);
	s->allowed = NULL;
	return l;
}

/* ---- filters: candidates in, fewer candidates out, un-tempered */

struct cands {
	struct cand *c;
	size_t n;
	float max;
	double mass; /* of the whole vocabulary, in units of exp(max) */
};

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

/* The fewest best whose mass reaches top_p, and all that tie with the last. */
static void filter_top_p(struct sampler *s, struct cands *c)
{
	size_t kept = pick_select(c->c, c->n, s->r.top_p * c->mass, 0);
	float least = INFINITY;

	for (size_t i = 0; i < kept; i++)
		least = c->c[i].logit < least ? c->c[i].logit : least;
	for (size_t i = kept; i < c->n; i++)
		if (c->c[i].logit == least)
			c->c[kept++] = c->c[i];
	c->n = kept;
}

static float min_p_floor(const struct sampler *s, float max)
{
	return max + (float)log(s->r.min_p);
}

/* Those with at least min_p times the best one's probability, and in any
 * case the min_keep best. */
static void filter_min_p(struct sampler *s, struct cands *c)
{
	float floor = min_p_floor(s, c->max);
	size_t keep = s->r.min_keep > 1 ? pick_select(c->c, c->n, (double)s->r.min_keep, 1) : 0;

	for (size_t i = keep; i < c->n; i++)
		if (!(c->c[i].logit < floor))
			c->c[keep++] = c->c[i];
	c->n = keep;
}

static bool is_exempt(const struct sampler *s, int32_t id)
{
	for (size_t i = 0; i < s->n_exempt; i++)
		if (s->exempt[i] == id)
			return true;
	return false;
}

/* Exclude top choices: of the tokens above the threshold only the least
 * probable stays, with the given chance a step. */
static void filter_xtc(struct sampler *s, struct cands *c)
{
	double mass = 0, least = INFINITY;
	size_t kept = 0;

	if (rng_uniform(&s->rng) > s->r.xtc_probability)
		return;
	for (size_t i = 0; i < c->n; i++)
		mass += c->c[i].weight;
	for (size_t i = 0; i < c->n; i++)
		if (c->c[i].weight > s->r.xtc_threshold * mass && c->c[i].weight < least)
			least = c->c[i].weight;
	for (size_t i = 0; i < c->n; i++)
		if (!(c->c[i].weight > least) || is_exempt(s, c->c[i].id))
			c->c[kept++] = c->c[i];
	c->n = kept;
}

static void filter_top_k(struct sampler *s, struct cands *c)
{
	if (s->r.top_k < c->n)
		c->n = pick_select(c->c, c->n, (double)s->r.top_k, 1);
}

static const struct filter {
	bool (*on)(const struct request *r);
	void (*run)(struct sampler *s, struct cands *c);
} filters[] = {
	{ has_top_p, filter_top_p },
	{ has_min_p, filter_min_p },
	{ has_xtc, filter_xtc },
	{ has_top_k, filter_top_k },
};
enum { N_FILTERS = sizeof filters / sizeof *filters };

/* ---- the draw */

/* The tokens at or above the floor; gives their mass. */
static double gather_from(struct sampler *s, const float *l, float floor, struct cands *c)
{
	const float *weight = s->room->weight;
	double mass = 0;

	c->n = 0;
	for (size_t i = 0; i < s->room->vocab; i++)
		if (l[i] >= floor && l[i] > -INFINITY) {
			c->c[c->n++] = (struct cand){ l[i], weight[i], (int32_t)i };
			mass += weight[i];
		}
	return mass;
}

/* Every token that can be drawn, less what the first filter drops anyway:
 * most vocabularies have all of top-p's mass in a few tokens. */
static void gather(struct sampler *s, const float *l, struct cands *c)
{
	struct sampler_room *room = s->room;

	c->c = room->cand;
	c->mass = pick_weights(room->weight, l, room->vocab, c->max, 1);
	if (has_top_p(&s->r)) {
		if (gather_from(s, l, c->max - NEAR, c) < s->r.top_p * c->mass)
			gather_from(s, l, -INFINITY, c);
	} else {
		bool floor = has_min_p(&s->r) && s->r.min_keep <= 1;

		gather_from(s, l, floor ? min_p_floor(s, c->max) : -INFINITY, c);
	}
}

/* The draw itself: w gets the tempered weights of the logits, and may be they. */
static size_t draw_at(struct sampler *s, float *w, const float *logits, size_t n, float max)
{
	double steep = 1 / s->r.temp;
	double mass = pick_weights(w, logits, n, max, (float)(steep < 1e30 ? steep : 1e30));

	return pick_at(w, n, rng_uniform(&s->rng) * mass);
}

/* One of the candidates, in the order of their ids: few are sorted, many are
 * laid out over the vocabulary. */
static int32_t draw_of(struct sampler *s, const struct cands *c)
{
	float *w = s->room->weight, max = -INFINITY;

	for (size_t i = 0; i < c->n; i++)
		max = c->c[i].logit > max ? c->c[i].logit : max;
	if (c->n > FEW) {
		for (size_t i = 0; i < s->room->vocab; i++)
			w[i] = -INFINITY;
		for (size_t i = 0; i < c->n; i++)
			w[c->c[i].id] = c->c[i].logit;
		return (int32_t)draw_at(s, w, w, s->room->vocab, max);
	}
	pick_sort_id(c->c, c->n);
	for (size_t i = 0; i < c->n; i++)
		w[i] = c->c[i].logit;
	return c->c[draw_at(s, w, w, c->n, max)].id;
}

static int32_t draw(struct sampler *s, const float *l, float max)
{
	struct cands c = { .max = max };
	bool any = false;

	for (size_t i = 0; i < N_FILTERS; i++)
		any |= filters[i].on(&s->r);
	if (!any)
		return (int32_t)draw_at(s, s->room->weight, l, s->room->vocab, max);
	gather(s, l, &c);
	for (size_t i = 0; i < N_FILTERS; i++)
		if (filters[i].on(&s->r))
			filters[i].run(s, &c);
	return draw_of(s, &c);
}

int32_t sampler_draw(struct sampler *s, const float *logits, const int32_t *history,
                     size_t n_history, float *logprob)
{
	const float *l = process(s, logits, history, n_history);
	size_t best = pick_best(l, s->room->vocab);
	int32_t id = (int32_t)best;

	s->last = s->r.plain_logprobs ? logits : l;
	if (isnan(l[best]) || l[best] == -INFINITY)
		return -1;
	if (s->r.temp > 0 && isfinite(l[best]))
		id = draw(s, l, l[best]);
	if (logprob)
		*logprob = (float)(s->last[id] - pick_logsumexp(s->last, s->room->vocab));
	return id;
}

int32_t sampler_draw_in(struct sampler *s, struct sampler_room *room, const float *logits,
                        const int32_t *history, size_t n_history, float *logprob)
{
	struct sampler_room *own = s->room;
	int32_t id;

	s->room = room;
	id = sampler_draw(s, logits, history, n_history, logprob);
	s->room = own;
	return id;
}

size_t sampler_top_of(struct sampler *s, const float *logits, size_t n, int32_t *id,
                      float *logprob)
{
	s->last = logits;
	return sampler_top(s, n, id, logprob);
}

size_t sampler_top(struct sampler *s, size_t n, int32_t *id, float *logprob)
{
	struct sampler_room *room = s->room;
	double lse;

	if (!s->last || !n)
		return 0;
	lse = pick_logsumexp(s->last, room->vocab);
	for (size_t i = 0; i < room->vocab; i++)
		room->cand[i] = (struct cand){ isnan(s->last[i]) ? -INFINITY : s->last[i], 0,
			                       (int32_t)i };
	n = pick_select(room->cand, room->vocab, (double)n, 1);
	pick_sort_best(room->cand, n);
	while (n && room->cand[n - 1].logit == -INFINITY)
		n--; /* what cannot be has no place among them */
	for (size_t i = 0; i < n; i++) {
		id[i] = room->cand[i].id;
		logprob[i] = (float)(room->cand[i].logit - lse);
	}
	return n;
}

/* ---- open, close */

static void *copy_of(const void *p, size_t n, size_t size)
{
	void *q = malloc(n ? n * size : 1);

	if (q && n)
		memcpy(q, p, n * size);
	return q;
}

int sampler_open_in(struct sampler **out, const struct request *r, struct sampler_room *room,
                    const int32_t *exempt, size_t n_exempt, struct err *e)
{
	struct sampler *s;

	for (size_t i = 0; i < r->n_bias; i++)
		if (r->bias[i].id < 0 || (size_t)r->bias[i].id >= room->vocab)
			return err_set(e, ERR_INPUT,
			               "logit_bias: expected ids from 0 to %zu, found %d",
			               room->vocab - 1, (int)r->bias[i].id);
	s = calloc(1, sizeof *s);
	if (!s)
		return err_memory(e, sizeof *s);
	s->r = *r;
	s->r.n_stop = 0;
	s->r.bias = NULL;
	s->room = room;
	s->n_bias = r->n_bias;
	s->n_exempt = n_exempt;
	s->bias = copy_of(r->bias, r->n_bias, sizeof *r->bias);
	s->exempt = copy_of(exempt, n_exempt, sizeof *exempt);
	if (!s->bias || !s->exempt) {
		sampler_close(s);
		return err_memory(e, r->n_bias * sizeof *r->bias + n_exempt * sizeof *exempt);
	}
	rng_seed(&s->rng, r->has_seed ? r->seed : rng_any_seed());
	*out = s;
	return 0;
}

int sampler_open(struct sampler **out, const struct request *r, size_t vocab, const int32_t *exempt,
                 size_t n_exempt, struct err *e)
{
	struct sampler_room *room;

	if (sampler_room_open(&room, vocab, e))
		return -1;
	if (sampler_open_in(out, r, room, exempt, n_exempt, e)) {
		sampler_room_close(room);
		return -1;
	}
	(*out)->own_room = true;
	return 0;
}

void sampler_close(struct sampler *s)
{
	if (!s)
		return;
	if (s->own_room)
		sampler_room_close(s->room);
	free(s->bias);
	free(s->exempt);
	free(s);
}
