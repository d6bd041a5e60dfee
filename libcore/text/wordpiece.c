/* SPDX-License-Identifier: MIT */
/* wordpiece.c - a word is cut greedily: the longest token that begins it,
 * then the longest that goes on, ... (Schuster and Nakajima, 2012; Devlin et
 * al., 2019, arXiv:1810.04805); and WordLevel, where a word is a token. */
#include <stdlib.h>

#include "text/tokenizer.h"

/* A token's text without what says that it goes on, or begins, a word. */
static struct bytes without(struct bytes text, struct bytes prefix)
{
	return (struct bytes){ text.p + prefix.n, text.n - prefix.n };
}

static bool has_prefix(struct bytes text, struct bytes prefix)
{
	return text.n > prefix.n && (!prefix.n || !memcmp(text.p, prefix.p, prefix.n));
}

/* A vocabulary spells either the tokens that begin words with a mark, or those
 * that go on with a prefix. */
int wordpiece_index(struct tokenizer *t, struct err *e)
{
	const struct vocab *v = &t->vocab;
	struct string *begin = malloc((v->n + 1) * sizeof *begin);
	struct string *inner = malloc((v->n + 1) * sizeof *inner);
	size_t n_begin = 0, n_inner = 0;
	int rc = begin && inner ? 0 : err_memory(e, (v->n + 1) * sizeof *begin);

	for (size_t i = 0; !rc && i < v->n; i++) {
		struct bytes text = vocab_piece(v, (int32_t)i);
		int32_t id = (int32_t)i;

		if (v->token[i].type == TOKEN_HOLE || v->token[i].plain)
			continue;
		if (t->word.marked) {
			if (v->token[i].type != TOKEN_NORMAL)
				continue;
			if (has_prefix(text, t->word.prefix))
				begin[n_begin++] = (struct string){ without(text, t->word.prefix),
					                            id };
			else
				inner[n_inner++] = (struct string){ text, id };
			continue;
		}
		begin[n_begin++] = (struct string){ text, id };
		if (has_prefix(text, t->word.prefix))
			inner[n_inner++] = (struct string){ without(text, t->word.prefix), id };
	}
	if (!rc)
		rc = strings_init(&t->pieces, begin, n_begin, &t->arena, e) ||
		                     strings_init(&t->inner, inner, n_inner, &t->arena, e) ?
		             -1 :
		             0;
	free(begin);
	free(inner);
	return rc;
}

static bool too_long(const struct tokenizer *t, struct bytes w)
{
	size_t n = 0;

	if (!t->word.max_chars || w.n <= t->word.max_chars)
		return false;
	for (size_t i = 0; i < w.n; i += chars_len(w.p + i, w.n - i))
		n++;
	return n > t->word.max_chars;
}

static int unknown(const struct tokenizer *t, struct ids *out, struct err *e)
{
	return t->unk < 0 ? 0 : ids_add(out, t->unk, e);
}

int wordpiece_encode(const struct tokenizer *t, struct bytes w, struct ids *out, struct err *e)
{
	const struct strings *s = &t->pieces;
	size_t from = out->n, n;
	int32_t id = -1;

	if (too_long(t, w))
		return unknown(t, out, e);
	for (; w.n; w.p += n, w.n -= n, s = &t->inner) {
		n = strings_longest(s, w, &id);
		if (!n) { /* the whole word is */
			out->n = from;
			return unknown(t, out, e);
		}
		if (ids_add(out, id, e))
			return -1;
	}
	return 0;
}

int wordlevel_encode(const struct tokenizer *t, struct bytes w, struct ids *out, struct err *e)
{
	int32_t id = vocab_find(&t->vocab, w);

	return id < 0 ? unknown(t, out, e) : ids_add(out, id, e);
}
