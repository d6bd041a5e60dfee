/* SPDX-License-Identifier: MIT */
/* penalties.c - what a token loses for having been said: a table of rules */
#include "gen/penalties.h"

#include <stddef.h>
#include <string.h>

/* Counts the ids of the last `context` of the history (all of it for 0).
 * Gives how many distinct ones there are, in room->distinct. */
static size_t count_ids(struct sampler_room *room, const int32_t *id, size_t n, size_t context)
{
	size_t found = 0;

	if (!++room->walk) {
		memset(room->seen, 0, room->vocab * sizeof *room->seen);
		room->walk = 1;
	}
	for (size_t i = context && context < n ? n - context : 0; i < n; i++) {
		if (id[i] < 0 || (size_t)id[i] >= room->vocab)
			continue;
		if (room->seen[id[i]] != room->walk) {
			room->seen[id[i]] = room->walk;
			room->count[id[i]] = 0;
			room->distinct[found++] = id[i];
		}
		room->count[id[i]]++;
	}
	return found;
}

static void repetition(float *logit, uint32_t count, float value)
{
	(void)count;
	*logit = *logit < 0 ? *logit * value : *logit / value;
}

static void presence(float *logit, uint32_t count, float value)
{
	(void)count;
	*logit -= value;
}

static void frequency(float *logit, uint32_t count, float value)
{
	*logit -= value * (float)count;
}

static const struct penalty {
	size_t value, context; /* where in struct request */
	void (*change)(float *logit, uint32_t count, float value);
} penalties[] = {
	{ offsetof(struct request, repetition_penalty),
	  offsetof(struct request, repetition_context), repetition },
	{ offsetof(struct request, presence_penalty), offsetof(struct request, presence_context),
	  presence },
	{ offsetof(struct request, frequency_penalty), offsetof(struct request, frequency_context),
	  frequency },
};
enum { N_PENALTIES = sizeof penalties / sizeof *penalties };

static double number(const struct request *r, size_t at)
{
	return *(const double *)(const void *)((const char *)r + at);
}

bool penalties_set(const struct request *r)
{
	bool any = false;

	for (size_t i = 0; i < N_PENALTIES; i++)
		any |= number(r, penalties[i].value) != 0;
	return any;
}

void penalties_apply(const struct request *r, struct sampler_room *room, float *logit,
                     const int32_t *history, size_t n)
{
	for (size_t i = 0; i < N_PENALTIES; i++) {
		const struct penalty *p = &penalties[i];
		float value = (float)number(r, p->value);
		size_t found;

		if (value == 0)
			continue;
		found = count_ids(room, history, n,
		                  *(const size_t *)(const void *)((const char *)r + p->context));
		for (size_t k = 0; k < found; k++) {
			int32_t id = room->distinct[k];

			p->change(&logit[id], room->count[id], value);
		}
	}
}
