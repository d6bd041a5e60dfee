/* SPDX-License-Identifier: MIT */
/* encode.c - texts are gathered until none is waiting or a batch is full,
 * encoded by several threads, and printed in order. */
#include "encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/json.h"
#include "util/thread.h"

enum { TEXT_CEILING = 1 << 30, BATCH_TEXTS = 512, BATCH_BYTES = 1 << 22 };

struct text {
	struct buf in, out;
	struct ids ids;
	const char *file;
	size_t number;
	int rc;
	struct err err;
};

struct encoding {
	const struct encode_options *o;
	const struct tokenizer *t;
	bool adds_bos; /* the tokenizer does */
	struct pool *pool;
	struct text *text;
	size_t n, n_bytes;
};

/* ---- one text */

/* id, bytes and where they begin in the decoded text */
static int put_pieces(struct text *x, const struct tokenizer *t, struct err *e)
{
	struct buf shown = { 0 };
	struct detok d;
	int rc = 0;

	detok_init(&d, t);
	d.raw = d.keep_special = true;
	buf_add_text(&x->out, "id\tpiece\toffset\n");
	for (size_t i = 0; !rc && i < x->ids.n; i++) {
		size_t at = shown.n;

		rc = detok_add(&d, x->ids.id[i], &shown, e);
		buf_printf(&x->out, "%d\t", x->ids.id[i]);
		json_add_string(&x->out, tokenizer_piece(t, x->ids.id[i]));
		buf_printf(&x->out, "\t%zu\n", at);
	}
	buf_release(&shown);
	return rc;
}

static void put_ids(struct text *x)
{
	char digits[16];

	for (size_t i = 0; i < x->ids.n; i++) {
		int n = snprintf(digits, sizeof digits, i ? " %d" : "%d", x->ids.id[i]);

		buf_add(&x->out, digits, (size_t)n);
	}
	buf_add_byte(&x->out, '\n');
}

static int encode_text(const struct encoding *c, struct text *x, struct err *e)
{
	const struct encode_options *o = c->o;
	unsigned flags = (o->no_special ? 0u : ENCODE_ADD_SPECIAL) |
	                 (o->no_parse ? 0u : ENCODE_PARSE_SPECIAL);
	bool has_bos = c->adds_bos && !o->no_special;

	x->ids.n = 0;
	buf_clear(&x->out);
	if (o->bos && !has_bos && ids_add(&x->ids, tokenizer_bos(c->t), e))
		return -1;
	if (tokenizer_encode(c->t, buf_bytes(&x->in), flags, &x->ids, e))
		return -1;
	if (o->no_bos && has_bos)
		memmove(x->ids.id, x->ids.id + 1, --x->ids.n * sizeof *x->ids.id);
	if (o->pieces && put_pieces(x, c->t, e))
		return -1;
	if (!o->pieces && o->count)
		buf_printf(&x->out, "%zu\n", x->ids.n);
	else if (!o->pieces)
		put_ids(x);
	return buf_check(&x->out, e);
}

/* ---- a batch */

static void encode_some(void *arg, size_t begin, size_t end, int thread)
{
	struct encoding *c = arg;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		c->text[i].rc = encode_text(c, &c->text[i], &c->text[i].err);
}

static int flush(struct encoding *c, struct err *e)
{
	size_t n = c->n;

	c->n = c->n_bytes = 0;
	pool_for(c->pool, n, 1, encode_some, c);
	for (size_t i = 0; i < n; i++) {
		struct text *x = &c->text[i];

		if (x->rc) {
			*e = x->err;
			return err_in(e, "%s: text %zu", x->file, x->number);
		}
		cli_put(x->out.p, x->out.n);
	}
	return 0;
}

static int take(struct encoding *c, const struct feed *f, struct bytes text, struct err *e)
{
	struct text *x = &c->text[c->n++];

	x->file = feed_file(f);
	x->number = feed_number(f);
	buf_clear(&x->in);
	buf_add(&x->in, text.p, text.n);
	if (buf_check(&x->in, e))
		return -1;
	c->n_bytes += text.n;
	return c->n == BATCH_TEXTS || c->n_bytes >= BATCH_BYTES ? flush(c, e) : 0;
}

static int run(struct encoding *c, struct feed *f, struct err *e)
{
	struct bytes text;
	enum feed_result r;

	while ((r = feed_next(f, false, &text, e)) != FEED_END && r != FEED_ERROR) {
		/* nothing more for now: what is done can be read */
		if (r == FEED_LATER) {
			if (flush(c, e))
				return -1;
			cli_flush();
			r = feed_next(f, true, &text, e);
		}
		if (r == FEED_LONG) {
			(void)err_set(e, ERR_INPUT, "over %d bytes", TEXT_CEILING);
			return err_in(e, "%s: text %zu", feed_file(f), feed_number(f));
		}
		if (r != FEED_TEXT)
			break;
		if (take(c, f, text, e))
			return -1;
	}
	if (r == FEED_ERROR) { /* what came before it is shown */
		struct err later = { 0 };

		if (flush(c, &later)) /* the first error counts */
			return -1;
		return -1;
	}
	return flush(c, e);
}

static int find_bos(struct encoding *c, struct err *e)
{
	struct ids v = { 0 };
	int32_t bos = tokenizer_bos(c->t);

	if (tokenizer_encode(c->t, (struct bytes){ 0 }, ENCODE_ADD_SPECIAL, &v, e))
		return -1;
	c->adds_bos = bos >= 0 && v.n && v.id[0] == bos;
	ids_release(&v);
	if (c->o->bos && bos < 0)
		return err_set(e, ERR_INPUT, "--bos: the tokenizer has no BOS token");
	return 0;
}

int encode_files(const struct encode_options *o, const struct tokenizer *t,
                 const struct feed_options *feed, char **files, struct err *e)
{
	struct encoding c = { .o = o, .t = t };
	struct feed *f = NULL;
	int rc = -1;

	c.text = calloc(BATCH_TEXTS, sizeof *c.text);
	if (!c.text)
		(void)err_memory(e, BATCH_TEXTS * sizeof *c.text);
	else if (!find_bos(&c, e) && !pool_open(&c.pool, o->threads, e) &&
	         !feed_open(&f, files, feed_cut(feed), TEXT_CEILING, e))
		rc = run(&c, f, e);
	for (size_t i = 0; c.text && i < BATCH_TEXTS; i++) {
		buf_release(&c.text[i].in);
		buf_release(&c.text[i].out);
		ids_release(&c.text[i].ids);
	}
	free(c.text);
	pool_close(c.pool);
	feed_close(f);
	return rc;
}
