/* SPDX-License-Identifier: MIT */
/* encode.c - texts are gathered until none is waiting or a batch is full,
 * encoded by several threads, and printed in order. */
#include "encode.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/thread.h"

enum { TEXT_CEILING = 1 << 30, BATCH_TEXTS = 512, BATCH_BYTES = 1 << 22 };

struct text {
	struct buf in, out;
	struct ids ids;
	const char *file;
	size_t number;
	bool failed;
	int rc;
	struct err err;
};

struct encoding {
	const struct tokens *k;
	struct pool *pool;
	struct text *text;
	size_t n, n_bytes;
	struct encode_totals *totals;
};

/* ---- a batch */

static void encode_some(void *arg, size_t begin, size_t end, int thread)
{
	struct encoding *c = arg;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		struct text *x = &c->text[i];
		struct bytes in = buf_bytes(&x->in);

		buf_clear(&x->out);
		x->failed = false;
		x->rc = c->k->o->jsonl ? tokens_record(c->k, in, x->number, &x->ids, &x->out,
		                                       &x->failed, &x->err) :
		                         tokens_line(c->k, in, &x->ids, &x->out, &x->err);
	}
}

static int flush(struct encoding *c, struct err *e)
{
	size_t n = c->n;
	double from = cli_seconds();
	clock_t began = clock();

	c->n = c->n_bytes = 0;
	pool_for(c->pool, n, 1, encode_some, c);
	c->totals->seconds += cli_seconds() - from;
	c->totals->processor += (double)(clock() - began) / CLOCKS_PER_SEC;
	c->totals->n_texts += n;
	for (size_t i = 0; i < n; i++) {
		struct text *x = &c->text[i];

		if (x->rc) {
			*e = x->err;
			return err_in(e, "%s: text %zu", x->file, x->number);
		}
		c->totals->n_failed += x->failed;
		c->totals->n_bytes += x->in.n;
		c->totals->n_ids += x->ids.n;
		cli_put(x->out.p, x->out.n);
	}
	return 0;
}

static bool is_blank(struct bytes t)
{
	size_t i = 0;

	while (i < t.n && strchr(" \t\r", t.p[i]) && t.p[i])
		i++;
	return i == t.n;
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
		if (c->k->o->jsonl && is_blank(text))
			continue;
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

int encode_files(const struct tokens *k, const struct feed_options *feed, int threads, char **files,
                 struct encode_totals *totals, struct err *e)
{
	struct encoding c = { .k = k, .totals = totals };
	bool lines = k->o->jsonl || k->o->decode;
	struct feed *f = NULL;
	int rc = -1;

	c.text = calloc(BATCH_TEXTS, sizeof *c.text);
	if (!c.text)
		(void)err_memory(e, BATCH_TEXTS * sizeof *c.text);
	else if (!pool_open(&c.pool, threads, e) &&
	         !feed_open(&f, files, lines ? FEED_LINES : feed_cut(feed), TEXT_CEILING, e))
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
