/* SPDX-License-Identifier: MIT */
/* unigram.c - the best path through a text by the sum of its tokens' scores
 * (Kudo, 2018, arXiv:1804.10959). SentencePiece compares sums as f64 and keeps
 * them as f32; a tokenizer.json's are f64: so ties fall as in the references. */
#include <stdlib.h>

#include "text/tokenizer.h"

static const double unknown_penalty = 10.0;

/* The best way to reach a place. */
struct best {
	int32_t id;
	uint32_t from, to; /* the path back; and forth, once it is known */
	double score;
	bool there;
};

static void offer(const struct tokenizer *t, struct best *b, size_t from, int32_t id, double score)
{
	if (b->there && score <= b->score)
		return;
	*b = (struct best){ .id = id,
		            .from = (uint32_t)from,
		            .score = t->is_spm ? (double)(float)score : score,
		            .there = true };
}

/* All tokens that begin at `at`. */
static void extend(const struct tokenizer *t, struct best *best, struct bytes text, size_t at)
{
	size_t len = chars_len(text.p + at, text.n - at);
	double here = best[at].score, score;
	struct strings_walk w;
	bool single = false;

	strings_begin(&w, &t->pieces);
	for (size_t i = at; i < text.n && strings_step(&w, text.p[i]); i++) {
		const struct token *token;

		if (w.value < 0)
			continue;
		token = &t->vocab.token[w.value];
		score = t->is_spm && token->type == TOKEN_USER ?
		                (double)((float)(i + 1 - at) * (float)t->high_score) - 0.1 :
		                token->score;
		offer(t, &best[i + 1], at, w.value, score + here);
		single |= i + 1 - at == len;
	}
	score = t->low_score - unknown_penalty;
	if (!single)
		offer(t, &best[at + len], at, t->unk,
		      t->is_spm ? (double)((float)score + (float)here) : score + here);
}

static int add_unknown(const struct tokenizer *t, struct bytes w, bool again, struct ids *out,
                       struct err *e)
{
	bool bytes = t->byte_fallback;

	for (size_t i = 0; bytes && i < w.n; i++)
		bytes = t->byte[w.p[i]] >= 0;
	if (!bytes)
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
