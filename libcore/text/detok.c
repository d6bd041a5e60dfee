/* SPDX-License-Identifier: MIT */
/* detok.c - ids to text, a token at a time, whole characters only. */
#include <string.h>

#include "text/tokenizer.h"
#include "util/utf8.h"

static const char bad[] = "\xEF\xBF\xBD"; /* U+FFFD */

void detok_init(struct detok *d, const struct tokenizer *t)
{
	*d = (struct detok){ .t = t };
}

/* How many of the n bytes at p, which are no character, one U+FFFD stands
 * for: as many as could have begun one, or a single one. */
static size_t bad_length(const struct detok *d, const unsigned char *p, size_t n)
{
	uint32_t cp;
	size_t k = 1;

	if (d->t->decoder.each_byte)
		return 1;
	while (k < n && utf8_decode(&cp, p, k) < 0 && utf8_decode(&cp, p, k + 1) < 0)
		k++;
	return k;
}

/* Gives what is whole in p and returns how much that was; the rest, up to 3
 * bytes, may become a character yet, unless this is the end. */
static size_t put_whole(const struct detok *d, const unsigned char *p, size_t n, bool end,
                        struct buf *out)
{
	uint32_t cp;
	size_t at = 0, run;

	while (at < n) {
		run = utf8_valid((struct bytes){ p + at, n - at });
		buf_add(out, p + at, run);
		at += run;
		if (at == n || (!end && utf8_decode(&cp, p + at, n - at) < 0))
			break;
		buf_add(out, bad, sizeof bad - 1);
		at += bad_length(d, p + at, n - at);
	}
	return at;
}

static void put(struct detok *d, const unsigned char *p, size_t n, struct buf *out)
{
	unsigned char few[8];
	size_t at, k;

	if (d->raw) {
		buf_add(out, p, n);
		return;
	}
	while (d->n_held && n) { /* a byte at a time until the held ones are settled */
		memcpy(few, d->held, d->n_held);
		few[d->n_held] = *p++;
		n--;
		k = d->n_held + 1u;
		at = put_whole(d, few, k, false, out);
		d->n_held = (unsigned)(k - at);
		memcpy(d->held, few + at, d->n_held);
	}
	if (!n)
		return;
	at = put_whole(d, p, n, false, out);
	d->n_held = (unsigned)(n - at);
	memcpy(d->held, p + at, d->n_held);
}

/* A piece with its marks as spaces. `first`: it begins the text. */
static void put_marked(struct detok *d, struct bytes piece, bool first, struct buf *out)
{
	const struct decoder *c = &d->t->decoder;
	const unsigned char *hit;
	size_t n;

	if (first && c->strip_first && bytes_starts(piece, " ")) {
		piece.p++;
		piece.n--;
	} else if (first && c->strip_first && c->mark.n && piece.n >= c->mark.n &&
	           !memcmp(piece.p, c->mark.p, c->mark.n)) {
		piece.p += c->mark.n;
		piece.n -= c->mark.n;
	}
	while (c->mark.n && piece.n && (hit = memmem(piece.p, piece.n, c->mark.p, c->mark.n))) {
		n = (size_t)(hit - piece.p);
		put(d, piece.p, n, out);
		if (!first || !c->first_unmarked)
			put(d, (const unsigned char *)" ", 1, out);
		piece.p += n + c->mark.n;
		piece.n -= n + c->mark.n;
	}
	put(d, piece.p, piece.n, out);
}

static bool is_byte(const struct tokenizer *t, int32_t id, unsigned char *byte)
{
	struct bytes p = vocab_piece(&t->vocab, id);

	if (!t->decoder.bytes || p.n != 6 || p.p[0] != '<' || p.p[1] != '0')
		return false;
	for (unsigned b = 0; b < BYTE_TOKENS; b++)
		if (t->byte[b] == id) {
			*byte = (unsigned char)b;
			return true;
		}
	return false;
}

/* A token's text, before its marks become spaces. */
static struct bytes text_of(const struct tokenizer *t, int32_t id)
{
	const struct token *k = &t->vocab.token[id];

	if (k->type == TOKEN_UNKNOWN && t->decoder.unknown.n)
		return t->decoder.unknown;
	for (size_t i = 0; k->shown_normal && i < t->added_normal.n; i++)
		if (t->added_normal.token[i].id == id)
			return t->added_normal.token[i].text;
	return vocab_piece(&t->vocab, id);
}

/* A token whose text is rewritten before it is shown. */
static int put_rewritten(struct detok *d, int32_t id, struct buf *out, struct err *e)
{
	const struct decoder *c = &d->t->decoder;
	struct bytes text = text_of(d->t, id), suffix = { 0 };
	struct buf b = { .ceiling = 1 << 24 };
	int rc;

	for (size_t i = 0; i < c->n_steps; i++)
		if (c->step[i].kind == DECODE_SUFFIX)
			suffix = c->step[i].what;
	if (d->spaced)
		put(d, (const unsigned char *)" ", 1, out);
	d->spaced = suffix.n && text.n >= suffix.n &&
	            !memcmp(text.p + text.n - suffix.n, suffix.p, suffix.n);
	if (d->spaced)
		text.n -= suffix.n;
	rc = decode_token(c, text, !d->started, d->last1 == id + 1, &b, e);
	if (!rc && b.n)
		put_marked(d, buf_bytes(&b), !d->started, out);
	d->started = true;
	d->last1 = id + 1;
	buf_release(&b);
	return rc;
}

static void put_token(struct detok *d, int32_t id, struct buf *out)
{
	const struct tokenizer *t = d->t;
	struct bytes piece = text_of(t, id);
	unsigned char byte;
	bool first = !d->started;

	bool unknown = t->vocab.token[id].type == TOKEN_UNKNOWN && t->decoder.unknown.n;

	if (!piece.n)
		return;
	if (t->decoder.join && d->started)
		put(d, (const unsigned char *)" ", 1, out);
	d->started = true;
	if (is_byte(t, id, &byte))
		put(d, &byte, 1, out);
	else if (t->byte_level || unknown)
		put(d, piece.p, piece.n, out);
	else
		put_marked(d, piece, first, out);
	/* a piece that is nothing but the space dropped: the next is still the first */
	if (first && t->decoder.strip_all && t->decoder.mark.n == piece.n &&
	    !memcmp(piece.p, t->decoder.mark.p, piece.n))
		d->started = false;
}

int detok_add(struct detok *d, int32_t id, struct buf *out, struct err *e)
{
	const struct vocab *v = &d->t->vocab;
	unsigned char byte;

	if (id < 0 || (size_t)id >= v->n)
		return err_set(e, ERR_INPUT, "token id %d, expected 0 to %zu", (int)id, v->n - 1);
	if (v->token[id].type == TOKEN_HOLE || (!d->keep_special && tokenizer_special(d->t, id)))
		return buf_check(out, e);
	if (d->t->decoder.n_steps && !(d->t->decoder.bytes && is_byte(d->t, id, &byte))) {
		if (put_rewritten(d, id, out, e))
			return -1;
	} else {
		put_token(d, id, out);
	}
	return buf_check(out, e);
}

int detok_end(struct detok *d, struct buf *out, struct err *e)
{
	(void)put_whole(d, d->held, d->n_held, true, out);
	d->n_held = 0;
	return buf_check(out, e);
}

void detok_skip(struct detok *d, const int32_t *id, size_t n)
{
	struct buf nothing = { 0 };
	struct err e;

	for (size_t i = 0; i < n; i++) {
		buf_clear(&nothing);
		if (detok_add(d, id[i], &nothing, &e))
			continue; /* no such id: no text */
	}
	buf_release(&nothing);
}
