/* SPDX-License-Identifier: MIT */
/* sampler.c - logits to a token: processors, filters, then a seeded draw
 *
 * The order is mlx-lm's: logit bias, repetition, presence and frequency
 * penalties; log-probabilities of what that gives; then on un-tempered
 * values top-p, min-p, XTC and top-k; the temperature last. Penalties see
 * the whole history, prompt included. Temperature 0 takes the best token
 * that the processors leave, in one pass.
 *
 * Probabilities are integers (util/mass.h), so that a device that draws, or
 * gives the best alone and the sum of all, comes to the same token. */
#include "gen/sampler.h"

#include "gen/filters.h"
#include "gen/penalties.h"
#include "util/mass.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	NEAR = 2, FAR = 16, /* below the best logit: where top-p looks first and last */
};

/* Of what a draw was made. */
struct told {
	const float *row;      /* NULL: the few */
	const struct few *few;
	size_t n_few;
	double lse;            /* ln of the sum of exponentials of all; NAN: not yet known */
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
	struct told last;  /* logits processed or not */
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
	r->laid = calloc(vocab, sizeof *r->laid);
	r->block = calloc(vocab / MASS_BLOCK + 1, sizeof *r->block);
	r->cand = calloc(vocab, sizeof *r->cand);
	r->seen = calloc(vocab, sizeof *r->seen);
	r->count = calloc(vocab, sizeof *r->count);
	r->distinct = calloc(vocab, sizeof *r->distinct);
	if (!r->logit || !r->laid || !r->block || !r->cand || !r->seen || !r->count ||
	    !r->distinct) {
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
	free(r->laid);
	free(r->block);
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

/* ---- the draw */

static float scale_of(const struct sampler *s)
{
	double scale = 1 / s->r.temp;

	return (float)(scale < 1e30 ? scale : 1e30);
}

static uint32_t chance_of(struct rng *rng)
{
	return (uint32_t)(rng_uniform(rng) * 0x1p32f);
}

/* One of n logits. */
static size_t draw_at(struct sampler *s, const float *l, size_t n, float max)
{
	float scale = scale_of(s);
	uint64_t *block = s->room->block, mass = mass_sum(block, l, n, max, scale);

	return mass_find(block, l, n, max, scale, mass_share(mass, chance_of(&s->rng)));
}

static void weigh(struct cand *c, size_t n, float max)
{
	enum { SOME = 64 };
	float l[SOME];
	uint64_t mass[SOME];

	for (size_t i = 0; i < n; i += SOME) {
		size_t m = n - i < SOME ? n - i : SOME;

		for (size_t k = 0; k < m; k++)
			l[k] = c[i + k].logit;
		mass_each(mass, l, m, max, 1);
		for (size_t k = 0; k < m; k++)
			c[i + k].mass = mass[k];
	}
}

/* The tokens at or above the floor; gives their mass where it is wanted. */
static uint64_t gather_from(const struct sampler *s, const float *l, float floor, struct cands *c)
{
	uint64_t mass = 0;
	size_t n = 0;

	for (size_t i = 0; i < s->room->vocab; i++) { /* without a branch that would be guessed */
		c->c[n] = (struct cand){ l[i], (int32_t)i, 0 };
		n += l[i] >= floor && l[i] > -INFINITY;
	}
	c->n = n;
	if (!filters_weigh(&s->r))
		return 0;
	weigh(c->c, c->n, c->max);
	for (size_t i = 0; i < c->n; i++)
		mass += c->c[i].mass;
	return mass;
}

/* Every token that can be drawn, less what the first filter drops anyway:
 * most vocabularies have all of top-p's mass in a few tokens. */
static void gather(const struct sampler *s, const float *l, struct cands *c)
{
	bool top_p = s->r.top_p > 0 && s->r.top_p < 1;

	c->c = s->room->cand;
	if (filters_weigh(&s->r))
		c->mass = mass_sum(NULL, l, s->room->vocab, c->max, 1);
	for (float near = NEAR; top_p && near <= FAR; near *= 2)
		if ((double)gather_from(s, l, c->max - near, c) >= s->r.top_p * (double)c->mass)
			return;
	gather_from(s, l, filters_floor(&s->r, l, s->room->vocab, c->max, c->c), c);
}

/* One of the candidates, in the order of their ids: few are sorted, many are
 * laid out over the vocabulary. */
static int32_t draw_of(struct sampler *s, const struct cands *c)
{
	float *l = s->room->laid, max = -INFINITY;

	for (size_t i = 0; i < c->n; i++)
		max = c->c[i].logit > max ? c->c[i].logit : max;
	if (c->n > FEW_MOST) {
		for (size_t i = 0; i < s->room->vocab; i++)
			l[i] = -INFINITY;
		for (size_t i = 0; i < c->n; i++)
			l[c->c[i].id] = c->c[i].logit;
		return (int32_t)draw_at(s, l, s->room->vocab, max);
	}
	pick_sort_id(c->c, c->n);
	for (size_t i = 0; i < c->n; i++)
		l[i] = c->c[i].logit;
	return c->c[draw_at(s, l, c->n, max)].id;
}

static struct filtering filtering(struct sampler *s)
{
	return (struct filtering){ &s->r, &s->rng, s->exempt, s->n_exempt };
}

static int32_t draw(struct sampler *s, const float *l, float max)
{
	struct filtering f = filtering(s);
	struct cands c = { .max = max };

	if (!filters_set(&s->r))
		return (int32_t)draw_at(s, l, s->room->vocab, max);
	gather(s, l, &c);
	if (!filters_run(&f, &c))
		return -1; /* all were there */
	return draw_of(s, &c);
}

/* ln of the sum of exponentials of what the last draw was made of */
static double lse_of(struct sampler *s)
{
	const float *row = s->last.row;
	size_t n = s->room->vocab;
	float max;

	if (!isnan(s->last.lse))
		return s->last.lse;
	max = row[pick_best(row, n)];
	s->last.lse = isfinite(max) ? mass_log(mass_sum(NULL, row, n, max, 1), max) : (double)max;
	return s->last.lse;
}

int32_t sampler_draw(struct sampler *s, const float *logits, const int32_t *history,
                     size_t n_history, float *logprob)
{
	const float *l = process(s, logits, history, n_history);
	size_t best = pick_best(l, s->room->vocab);
	int32_t id = (int32_t)best;

	s->last = (struct told){ .row = s->r.plain_logprobs ? logits : l, .lse = NAN };
	if (isnan(l[best]) || l[best] == -INFINITY)
		return -1;
	if (s->r.temp > 0 && isfinite(l[best]))
		id = draw(s, l, l[best]);
	if (logprob)
		*logprob = (float)(s->last.row[id] - lse_of(s));
	return id;
}

/* ---- by a device */

void sampler_ask(const struct sampler *s, size_t n_top, struct ask *out)
{
	struct rng rng = s->rng; /* the draw that is yet to be made */
	bool draws = s->r.temp > 0, filters = draws && filters_set(&s->r);

	*out = (struct ask){ .what = ASK_BEST };
	if (processes(s) || n_top > FEW_MOST) {
		out->what = 0;
		return;
	}
	if (filters || n_top)
		out->what |= ASK_FEW;
	if (!draws || filters)
		return;
	out->what |= ASK_DRAW;
	out->scale = scale_of(s);
	out->chance = chance_of(&rng);
}

/* What the filters leave of the few, and the draw; -1: others may be left too. */
static int32_t draw_few(struct sampler *s, const struct answer *a)
{
	struct filtering f = filtering(s);
	struct cands c = { .c = s->room->cand, .n = a->n_few, .max = a->max, .mass = a->mass,
		           .more = a->n_few == FEW_MOST };
	struct rng before = s->rng;

	for (size_t i = 0; i < c.n; i++)
		c.c[i] = (struct cand){ a->few[i].logit, a->few[i].id, 0 };
	if (filters_weigh(&s->r))
		weigh(c.c, c.n, c.max);
	if (filters_run(&f, &c))
		return draw_of(s, &c);
	s->rng = before;
	return -1;
}

static float logit_of(const struct answer *a, int32_t id)
{
	for (size_t i = 0; i < a->n_few; i++)
		if (a->few[i].id == id)
			return a->few[i].logit;
	return a->logit;
}

bool sampler_take(struct sampler *s, const struct answer *a, int32_t *id, float *logprob)
{
	*id = a->best;
	if (a->best < 0 || (!isfinite(a->max) && !logprob))
		return true;
	if (!isfinite(a->max))
		return false;
	if (s->r.temp > 0 && filters_set(&s->r)) {
		*id = draw_few(s, a);
		if (*id < 0)
			return false;
	} else if (s->r.temp > 0) {
		chance_of(&s->rng);
		*id = a->drawn;
	}
	s->last = (struct told){ .few = a->few, .n_few = a->n_few,
		                 .lse = logprob ? mass_log(a->mass, a->max) : NAN };
	if (logprob)
		*logprob = (float)(logit_of(a, *id) - s->last.lse);
	return true;
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
	s->last = (struct told){ .row = logits, .lse = pick_logsumexp(logits, s->room->vocab) };
	return sampler_top(s, n, id, logprob);
}

size_t sampler_top(struct sampler *s, size_t n, int32_t *id, float *logprob)
{
	const struct told *last = &s->last;
	struct cand *c = s->room->cand;
	size_t all = last->row ? s->room->vocab : last->n_few;

	if (!all || !n || (!last->row && !last->few))
		return 0;
	for (size_t i = 0; i < all; i++)
		c[i] = last->row ? (struct cand){ isnan(last->row[i]) ? -INFINITY : last->row[i],
			                          (int32_t)i, 0 } :
		                   (struct cand){ last->few[i].logit, last->few[i].id, 0 };
	n = pick_select(c, all, (double)n, 1);
	pick_sort_best(c, n);
	while (n && c[n - 1].logit == -INFINITY)
		n--; /* what cannot be has no place among them */
	for (size_t i = 0; i < n; i++) {
		id[i] = c[i].id;
		logprob[i] = (float)(c[i].logit - lse_of(s));
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
