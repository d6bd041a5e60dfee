/* SPDX-License-Identifier: MIT */
/* places.c - how likely a prompt's own tokens are, told while it is computed */
#include "gen/session.h"

#include "gen/pick.h"

#include <math.h>

bool session_scores(const struct session *s)
{
	return s->r.score_first && s->scored < s->n_prompt;
}

size_t session_may_reuse(const struct session *s)
{
	return session_scores(s) ? s->scored : s->n;
}

enum want session_rows(const struct session *s, size_t have, size_t most, size_t *n)
{
	if (!session_scores(s))
		return have + *n == s->n && s->r.max_tokens ? WANT_LAST : WANT_NONE;
	if (have + 1 < s->scored) {
		*n = *n < s->scored - 1 - have ? *n : s->scored - 1 - have;
		return WANT_NONE;
	}
	*n = *n < most ? *n : most;
	return WANT_ALL;
}

static int tell_place(struct session *s, size_t place, const float *row)
{
	struct talk *t = s->talk;
	struct place_event event = { .place = place, .id = s->id[place] };
	double p = (double)row[event.id] - pick_logsumexp(row, t->vocab);

	event.logprob = isnan(p) ? -INFINITY : p;
	event.best = (size_t)event.id == pick_best(row, t->vocab);
	if (s->r.logprobs > 1) {
		event.n_top = sampler_top_of(s->sampler, row, s->r.logprobs - 1, t->top_id,
		                             t->top_logprob);
		event.top_id = t->top_id;
		event.top_logprob = t->top_logprob;
	}
	s->scored = place + 1;
	return t->events.place ? t->events.place(t->events.arg, s, s->user, &event) : 0;
}

void session_score(struct session *s, size_t at, size_t n, const float *rows)
{
	for (size_t i = 0; i < n && !s->ended; i++, rows += s->talk->vocab) {
		size_t place = at + i + 1;

		if (place < s->n_prompt && tell_place(s, place, rows))
			session_end(s, END_CANCELLED, NULL);
		else if (place == s->n && s->r.max_tokens)
			session_take(s, rows);
	}
}
