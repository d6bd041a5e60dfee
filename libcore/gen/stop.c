/* SPDX-License-Identifier: MIT */
/* stop.c - all stop strings at once over a text that comes in pieces
 *
 * Knuth, Morris and Pratt, 1977, "Fast pattern matching in strings": how much
 * of a string the text ends with is also how much must be held back. */
#include "gen/stop.h"

#include <stdlib.h>
#include <string.h>

static int prepare(struct stop_string *s, const char *text, struct err *e)
{
	s->text = (const unsigned char *)text;
	s->n = strlen(text);
	s->fall = calloc(s->n + 1, sizeof *s->fall);
	if (!s->fall)
		return err_memory(e, (s->n + 1) * sizeof *s->fall);
	for (size_t i = 1, k = 0; i < s->n; i++) {
		while (k && s->text[i] != s->text[k])
			k = s->fall[k];
		k += s->text[i] == s->text[k];
		s->fall[i + 1] = k;
	}
	return 0;
}

int stop_init(struct stop *s, const struct request *r, struct err *e)
{
	memset(s, 0, sizeof *s);
	s->hit = -1;
	for (size_t i = 0; i < r->n_stop; i++) {
		if (!r->stop[i][0])
			continue;
		s->string[s->n].which = (int)i;
		if (prepare(&s->string[s->n++], r->stop[i], e))
			return -1;
	}
	return 0;
}

void stop_release(struct stop *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->string[i].fall);
	buf_release(&s->held);
	memset(s, 0, sizeof *s);
	s->hit = -1;
}

/* True when the string is complete with this byte. */
static bool advance(struct stop_string *s, unsigned char c)
{
	size_t k = s->at == s->n ? s->fall[s->n] : s->at;

	while (k && s->text[k] != c)
		k = s->fall[k];
	s->at = k + (s->text[k] == c);
	return s->at == s->n;
}

/* The longest string that is complete with this byte, 0 if none is, and which
 * it is; *most: the longest beginning of one that the text now ends with. */
static size_t advance_all(struct stop *s, unsigned char c, size_t *most, int *which)
{
	size_t done = 0;

	*most = 0;
	for (size_t i = 0; i < s->n; i++) {
		if (advance(&s->string[i], c) && s->string[i].n > done) {
			done = s->string[i].n;
			*which = s->string[i].which;
		}
		if (s->string[i].at > *most)
			*most = s->string[i].at;
	}
	return done;
}

/* Gives out all of the held text but the last n bytes. */
static int let_go(struct stop *s, size_t n, struct buf *out, struct err *e)
{
	size_t go = s->held.n - n;

	if (!go)
		return 0;
	buf_add(out, s->held.p, go);
	memmove(s->held.p, s->held.p + go, n);
	s->held.n = n;
	return buf_check(out, e);
}

int stop_add(struct stop *s, struct bytes text, struct buf *out, struct err *e)
{
	size_t most = 0;
	int which = -1;

	if (s->hit >= 0)
		return 1;
	if (!text.n)
		return 0;
	if (!s->n) {
		buf_add(out, text.p, text.n);
		return buf_check(out, e);
	}
	for (size_t i = 0; i < text.n; i++) {
		size_t done = advance_all(s, text.p[i], &most, &which);

		buf_add_byte(&s->held, text.p[i]);
		if (done && !s->held.failed) {
			s->hit = which;
			if (let_go(s, done, out, e))
				return -1;
			buf_clear(&s->held);
			return 1;
		}
	}
	if (buf_check(&s->held, e))
		return -1;
	return let_go(s, most, out, e);
}

int stop_end(struct stop *s, struct buf *out, struct err *e)
{
	return s->hit >= 0 ? 0 : let_go(s, 0, out, e);
}
