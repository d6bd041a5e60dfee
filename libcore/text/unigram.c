/* SPDX-License-Identifier: MIT */
/* unigram.c - the best path through a text by the sum of its tokens' scores
 * (Kudo, 2018, arXiv:1804.10959). Scores are added as f32, as the reference
 * does, so that ties fall the same way. */
#include <stdlib.h>

#include "text/tokenizer.h"

static const float unknown_penalty = 10.0f;

/* The best way to reach a place. */
struct best {
	int32_t id;
	uint32_t from, to; /* the path back; and forth, once it is known */
	float score;
	bool there;
};

/* Compared as f64, kept as f32. */
static void offer(struct best *b, size_t from, int32_t id, double score)
{
	if (b->there && score <= (double)b->score)
		return;
	*b = (struct best){
		.id = id, .from = (uint32_t)from, .score = (float)score, .there = true
	};
}

/* All tokens that begin at `at`. */
static void extend(const struct tokenizer *t, struct best *best, struct bytes text, size_t at)
{
	size_t len = chars_len(text.p + at, text.n - at);
	float here = best[at].score;
	double score;
	struct strings_walk w;
	bool single = false;

	strings_begin(&w, &t->pieces);
	for (size_t i = at; i < text.n && strings_step(&w, text.p[i]); i++) {
		const struct token *token;

		if (w.value < 0)
			continue;
		token = &t->vocab.token[w.value];
		score = token->type == TOKEN_USER ?
		                (double)((float)(i + 1 - at) * t->high_score) - 0.1 :
		                (double)token->score;
		offer(&best[i + 1], at, w.value, score + (double)here);
		single |= i + 1 - at == len;
	}
	if (!single)
		offer(&best[at + len], at, t->unk, (double)(t->low_score - unknown_penalty + here));
}

static int add_unknown(const struct tokenizer *t, struct bytes w, bool again, struct ids *out,
                       struct err *e)
{
	if (!t->byte_fallback)
		return again || t->unk < 0 ? 0 : ids_add(out, t->unk, e);
	for (size_t i = 0; i < w.n; i++)
		if (ids_add(out, t->byte[w.p[i]], e))
			return -1;
	return 0;
}

int unigram_encode(const struct tokenizer *t, struct scratch *s, struct bytes text, struct ids *out,
                   struct err *e)
{
	struct best *best = s->best;
	size_t at, to, n = text.n;
	bool again = false;
	int32_t id;

	if (n + 1 > s->best_room) {
		best = realloc(best, (n + 1) * sizeof *best);
		if (!best)
			return err_memory(e, (n + 1) * sizeof *best);
		s->best = best;
		s->best_room = n + 1;
	}
	for (at = 0; at <= n; at++)
		best[at] = (struct best){ 0 };
	for (at = 0; at < n; at += chars_len(text.p + at, n - at))
		extend(t, best, text, at);
	for (at = n; at; at = best[at].from)
		best[best[at].from].to = (uint32_t)at;
	for (at = 0; at < n; at = to) {
		to = best[at].to;
		id = best[to].id;
		if (id == t->unk) {
			if (add_unknown(t, (struct bytes){ text.p + at, to - at }, again, out, e))
				return -1;
		} else if (ids_add(out, id, e)) {
			return -1;
		}
		again = id == t->unk;
	}
	return 0;
}
