/* SPDX-License-Identifier: MIT */
/* draws.c - the tokens of many sessions drawn at once */
#include "gen/draws.h"

#include <stdlib.h>

#include "util/thread.h"

enum { WORTH_IT = 1 << 15 }; /* logits in all that are worth waking threads for */

struct draw {
	struct session *s;
	const float *logits;       /* NULL: it is not drawn here */
	int32_t id;
	float logprob;
};
struct draws {
	struct pool *pool;
	struct sampler_room **room; /* [threads] */
	size_t n_rooms, vocab;
	struct draw *draw;         /* [most], by work */
	size_t n;
};

int draws_open(struct draws **out, size_t threads, size_t most, size_t vocab, struct err *e)
{
	struct draws *d = calloc(1, sizeof *d);

	if (!d)
		return err_memory(e, sizeof *d);
	d->vocab = vocab;
	d->draw = calloc(most, sizeof *d->draw);
	d->room = calloc(threads, sizeof(struct sampler_room *));
	if (!d->draw || !d->room) {
		err_memory(e, most * sizeof *d->draw);
		goto fail;
	}
	if (pool_open(&d->pool, (int)threads, e))
		goto fail;
	for (; d->n_rooms < threads; d->n_rooms++)
		if (sampler_room_open(&d->room[d->n_rooms], vocab, e))
			goto fail;
	*out = d;
	return 0;
fail:
	draws_close(d);
	return -1;
}

void draws_close(struct draws *d)
{
	if (!d)
		return;
	if (d->pool)
		pool_close(d->pool);
	while (d->n_rooms)
		sampler_room_close(d->room[--d->n_rooms]);
	free(d->room);
	free(d->draw);
	free(d);
}

static void draw_some(void *arg, size_t begin, size_t end, int thread)
{
	struct draws *d = arg;

	for (size_t i = begin; i < end; i++) {
		struct draw *w = &d->draw[i];
		struct session *s = w->s;

		if (w->logits)
			w->id = sampler_draw_in(s->sampler, d->room[thread], w->logits, s->id, s->n,
			                        s->r.logprobs ? &w->logprob : NULL);
	}
}

/* What a grammar allows is found in memory that sessions share; the most likely
 * are told of logits as they are, not of a copy in the room. */
static bool apart(const struct session *s)
{
	return !s->cancelled && !s->guard.mask && (s->r.logprobs <= 1 || s->r.plain_logprobs);
}

void draws_run(struct draws *d, struct session *const *worker, const float *const *row, size_t n)
{
	size_t drawn = 0;

	for (size_t i = 0; i < n; i++) {
		bool here = row[i] && apart(worker[i]);

		d->draw[i] = (struct draw){ worker[i], here ? row[i] : NULL, 0, 0 };
		drawn += here;
	}
	d->n = drawn * d->vocab >= WORTH_IT ? n : 0;
	pool_for(d->pool, d->n, 1, draw_some, d);
}

bool draws_take(const struct draws *d, size_t i, int32_t *id, float *logprob)
{
	if (i >= d->n || !d->draw[i].logits)
		return false;
	*id = d->draw[i].id;
	*logprob = d->draw[i].logprob;
	return true;
}
