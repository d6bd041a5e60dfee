/* SPDX-License-Identifier: MIT */
/* constrain.c - a session within its grammar
 *
 * Fails closed: where no token goes on, or a token's text is not what the
 * grammar has read, the session ends with an error. */
#include <string.h>

#include "gen/pick.h"
#include "gen/session.h"

void talk_close_masks(struct talk *t)
{
	for (size_t i = 0; i < MASKS; i++)
		mask_release(t->mask[i]);
	pieces_close(t->pieces);
}

/* The last grammars' masks stay: requests come in rows. */
static struct mask *mask_of(struct talk *t, struct grammar *g, struct grammars *of, struct err *e)
{
	const struct pieces *pieces;
	struct mask_ends ends = { t->eos, t->n_eos };
	struct mask **at;

	for (size_t i = 0; i < MASKS; i++)
		if (t->mask[i] && mask_number(t->mask[i]) == grammar_number(g))
			return t->mask[i];
	if (!of && !t->pieces && pieces_open(&t->pieces, t->tokenizer, t->vocab, e))
		return NULL;
	pieces = of ? grammars_pieces(of, e) : t->pieces;
	if (!pieces)
		return NULL;
	at = &t->mask[t->next_mask++ % MASKS];
	mask_release(*at);
	*at = NULL;
	return mask_open(at, pieces, ends, g, e) ? NULL : *at;
}

int session_constrain(struct session *s, struct err *e)
{
	struct mask *m;

	if (!s->r.grammar)
		return 0;
	if (!s->talk->tokenizer)
		return err_set(e, ERR_INPUT,
		               "grammar: the model has no tokenizer to read text with");
	m = mask_of(s->talk, s->r.grammar, s->r.grammars, e);
	if (!m || guard_open(&s->guard, m, e))
		return -1;
	s->guard.endless = s->r.ignore_eos;
	s->detok.started = true; /* a space that begins the text is text */
	return 0;
}

int session_allows(struct session *s, int32_t id, float logit, bool *out, struct err *e)
{
	*out = false;
	return logit > -3.4e38f ? guard_allows(&s->guard, id, out, e) : 0;
}

/* 1 the best token will do, 0 a draw is needed, -1 an error. */
int session_draw_allowed(struct session *s, const float *logits, int32_t *id, struct err *e)
{
	const uint64_t *bits;
	bool allowed;

	if (!s->guard.mask)
		return 0;
	if (!s->r.logprobs && sampler_greedy(s->sampler)) {
		*id = (int32_t)pick_best(logits, s->talk->vocab);
		if (session_allows(s, *id, logits[*id], &allowed, e))
			return -1;
		if (allowed)
			return 1;
	}
	if (guard_bits(&s->guard, &bits, e))
		return -1;
	sampler_allow(s->sampler, bits);
	return 0;
}

int session_stay(struct session *s, int32_t id, struct err *e)
{
	struct bytes text;

	if (!s->guard.mask)
		return 0;
	if (guard_take(&s->guard, id, e))
		return -1;
	text = guard_text(&s->guard, id);
	if (!text.n && s->detok.keep_special)
		text = tokenizer_piece(s->talk->tokenizer, id);
	buf_add(&s->owed, text.p, text.n);
	return buf_check(&s->owed, e);
}

int session_said(struct session *s, struct bytes text, struct err *e)
{
	if (!s->guard.mask)
		return 0;
	if (text.n > s->owed.n || (text.n && memcmp(s->owed.p, text.p, text.n)))
		return err_set(e, ERR_INPUT, "the grammar does not know this tokenizer's text");
	memmove(s->owed.p, s->owed.p + text.n, s->owed.n - text.n);
	s->owed.n -= text.n;
	return 0;
}
