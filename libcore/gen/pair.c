/* SPDX-License-Identifier: MIT */
/* pair.c - a prompt and its completion to one row of tokens
 *
 * A completion is cut into tokens together with its prompt, whose own tokens
 * must begin the whole: a token across the border would belong to neither. */
#include "gen/gen.h"

#include <string.h>

static int no_tokens(const struct score_pair *p, struct err *e)
{
	int n = p->prompt.n < 40 ? (int)p->prompt.n : 40;

	return err_set(e, ERR_INPUT, "completion \"%.*s\": adds no token to prompt \"%.*s\"%s",
	               p->completion.n < 40 ? (int)p->completion.n : 40, p->completion.p, n,
	               p->prompt.p, (size_t)n < p->prompt.n ? "..." : "");
}

static int join(const struct tokenizer *t, const struct score_pair *p, struct ids *out,
                size_t *first, struct err *e)
{
	struct buf whole = { 0 };
	struct ids alone = { 0 };
	int bad = tokenizer_encode(t, p->prompt, p->flags, &alone, e);

	buf_add(&whole, p->prompt.p, p->prompt.n);
	buf_add(&whole, p->completion.p, p->completion.n);
	bad = bad || buf_check(&whole, e) ||
	      tokenizer_encode(t, buf_bytes(&whole), p->flags, out, e);
	*first = alone.n;
	if (!bad && (out->n < alone.n ||
	             (alone.n && memcmp(out->id, alone.id, alone.n * sizeof *alone.id))))
		bad = err_set(e, ERR_INPUT, "a token spans the end of the prompt: move the border, or "
		              "take the boundary by tokens");
	ids_release(&alone);
	buf_release(&whole);
	return bad ? -1 : 0;
}

int score_join(const struct tokenizer *t, const struct score_pair *p, struct ids *out,
               size_t *first, struct err *e)
{
	bool apart = p->by_tokens || !p->has_completion;

	if (!apart && join(t, p, out, first, e))
		return -1;
	if (apart && tokenizer_encode(t, p->prompt, p->flags, out, e))
		return -1;
	if (apart)
		*first = out->n;
	if (apart && p->has_completion &&
	    tokenizer_encode(t, p->completion, p->flags & ~(unsigned)ENCODE_ADD_SPECIAL, out, e))
		return -1;
	if (!*first)
		return err_set(e, ERR_INPUT, "prompt: no tokens");
	return p->has_completion && out->n == *first ? no_tokens(p, e) : 0;
}
