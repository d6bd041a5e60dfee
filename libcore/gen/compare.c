/* SPDX-License-Identifier: MIT */
/* compare.c - how far views of one text lie apart
 *
 * A view is a model under one of its adapters. Views of one model run in the
 * same passes over its weights; every window is read by all views, a piece
 * at a time, and rows of logits are compared as they come. */
#include "gen/gen.h"

#include "gen/pick.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void divergence_of(struct divergence *out, const float *a, const float *b, size_t n)
{
	double la = pick_logsumexp(a, n), lb = pick_logsumexp(b, n);
	double kl = 0, reverse = 0, js = 0;

	for (size_t i = 0; i < n; i++) {
		double p = (double)a[i] - la, q = (double)b[i] - lb, pe, qe, m;

		if (p == q)
			continue;
		pe = exp(p);
		qe = exp(q);
		if (pe > 0)
			kl += pe * (p - q);
		if (qe > 0)
			reverse += qe * (q - p);
		m = log((pe + qe) / 2);
		js += (pe > 0 ? pe * (p - m) : 0) / 2 + (qe > 0 ? qe * (q - m) : 0) / 2;
	}
	/* rounding may bring equal ones a little below nothing */
	*out = (struct divergence){ fmax(kl, 0), fmax(reverse, 0), fmax(js, 0),
		                    pick_best(a, n) == pick_best(b, n) };
}

struct compare {
	const struct view *view; /* [n] */
	size_t n, vocab, rows;   /* rows: of a piece */
	const struct view_text *text;
	struct view_sum *sum;    /* [n] */
	struct kv_seq **seq;     /* [n] */
	struct model_work *work; /* [n] */
	float *base;             /* [rows][vocab] */
};

static int check(const struct compare *c, const int32_t *id, size_t n, struct err *e)
{
	for (size_t i = 1; i < c->n; i++)
		if (model_config(c->view[i].m)->vocab != c->vocab)
			return err_set(e, ERR_INPUT, "vocabularies of %zu and %zu", c->vocab,
			               model_config(c->view[i].m)->vocab);
	for (size_t i = 0; i < n; i++)
		if (id[i] < 0 || (size_t)id[i] >= c->vocab)
			return err_set(e, ERR_INPUT, "token %zu: expected an id from 0 to %zu, found %d", i,
			               c->vocab - 1, (int)id[i]);
	return 0;
}

/* The next n ids of the views from `first` on that have its model. Gives how
 * many views these are. */
static size_t run(struct compare *c, size_t first, const int32_t *id, size_t n,
                  const float **logits, struct err *e)
{
	struct model *m = c->view[first].m;
	size_t k = 0;

	for (size_t i = first; i < c->n && c->view[i].m == m; i++) {
		if (kv_append(c->seq[i], id, n, e))
			return 0;
		c->work[k++] = (struct model_work){ c->seq[i], n, WANT_ALL };
	}
	return model_run(m, c->work, k, logits, e) ? 0 : k;
}

static void take(struct compare *c, size_t view, const float *logits, const int32_t *next, size_t n)
{
	struct view_sum *s = &c->sum[view];

	for (size_t r = 0; r < n; r++) {
		const float *row = logits + r * c->vocab;
		struct divergence d;

		if ((size_t)(next + r - c->text->id) < c->text->first)
			continue;
		divergence_of(&d, c->base + r * c->vocab, row, c->vocab);
		s->kl += d.kl;
		s->reverse += d.reverse;
		s->js += d.js;
		s->most = fmax(s->most, d.kl);
		s->agree += d.agree;
		s->nll += pick_logsumexp(row, c->vocab) - (double)row[next[r]];
		s->n++;
	}
}

static int piece(struct compare *c, const int32_t *id, size_t n, struct err *e)
{
	const float *logits;
	size_t k;

	for (size_t i = 0; i < c->n; i += k) {
		k = run(c, i, id, n, &logits, e);
		if (!k)
			return -1;
		if (!i)
			memcpy(c->base, logits, n * c->vocab * sizeof *logits);
		for (size_t v = 0; v < k; v++)
			take(c, i + v, logits + v * n * c->vocab, id + 1, n);
	}
	return 0;
}

/* The last token has none after it to be asked for. */
static int window(struct compare *c, const int32_t *id, size_t n, struct err *e)
{
	int rc = 0;

	memset(c->seq, 0, c->n * sizeof *c->seq);
	for (size_t i = 0; i < c->n && rc == 0; i++) {
		rc = kv_seq_open(&c->seq[i], model_pool(c->view[i].m), e);
		if (rc == 0)
			kv_seq_use(c->seq[i], c->view[i].adapter);
	}
	for (size_t at = 0; at + 1 < n && rc == 0; at += c->rows)
		rc = piece(c, id + at, n - 1 - at < c->rows ? n - 1 - at : c->rows, e);
	for (size_t i = 0; i < c->n; i++)
		kv_seq_close(c->seq[i]);
	return rc;
}

/* Rows that every model has room for, whatever views it has. */
static size_t rows_of(const struct view *v, size_t n)
{
	size_t least = SIZE_MAX;

	for (size_t i = 0, k; i < n; i += k) {
		size_t rows = model_max_rows(v[i].m), outs = model_max_out(v[i].m);

		for (k = 1; i + k < n && v[i + k].m == v[i].m; k++)
			;
		rows = (rows < outs ? rows : outs) / k;
		least = rows < least ? rows : least;
	}
	return least;
}

int compare_views(struct view_sum *sum, const struct view *v, size_t n,
                  const struct view_text *text, struct err *e)
{
	struct compare c = { .view = v, .n = n, .text = text, .sum = sum, .rows = rows_of(v, n) };
	size_t most = text->window;
	int rc = -1;

	c.vocab = model_config(v[0].m)->vocab;
	if (!c.rows)
		return err_set(e, ERR_MISUSE, "%zu views: a pass has no room for them", n);
	if (check(&c, text->id, text->n, e))
		return -1;
	c.seq = calloc(n, sizeof *c.seq);
	c.work = calloc(n, sizeof *c.work);
	c.base = malloc(c.rows * c.vocab * sizeof *c.base);
	if (c.seq && c.work && c.base)
		rc = 0;
	else
		err_memory(e, c.rows * c.vocab * sizeof *c.base);
	for (size_t at = 0; at < text->n && rc == 0; at += most)
		rc = window(&c, text->id + at, text->n - at < most ? text->n - at : most, e);
	free(c.seq);
	free(c.work);
	free(c.base);
	return rc;
}
