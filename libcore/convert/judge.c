/* SPDX-License-Identifier: MIT */
/* judge.c - perplexity and divergence of two models over one text */
#include "convert/judge.h"

#include "kv/kv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 2048, ROWS = 64 };

int judge_open(struct judge *j, struct source *s, const char *device, const struct exec_tap *tap,
               size_t window, int threads, struct err *e)
{
	struct exec_options x = { .device = device, .threads = threads, .tap = tap };
	struct model_options o = { .max_rows = ROWS, .max_out = ROWS };
	struct config c;

	if (config_read(&c, s, e))
		return err_in(e, "%s", source_path(s));
	j->window = window ? window : WINDOW;
	j->window = c.max_pos < j->window ? c.max_pos : j->window;
	config_release(&c);
	o.kv_tokens = j->window + 2 * PAGE_POSITIONS;
	return exec_open(&j->x, &x, e) || model_open(&j->m, s, j->x, &o, e) ? -1 : 0;
}

void judge_close(struct judge *j)
{
	model_close(j->m);
	exec_close(j->x);
	memset(j, 0, sizeof *j);
}

/* Logits of the next n ids. */
static int feed(struct judge *j, struct kv_seq *seq, const int32_t *id, size_t n,
                const float **logits, struct err *e)
{
	struct model_work work = { seq, n, WANT_ALL };

	return kv_append(seq, id, n, e) || model_run(j->m, &work, 1, logits, e) ? -1 : 0;
}

int judge_read(struct judge *j, const int32_t *id, size_t n, struct err *e)
{
	int rc = 0;

	for (size_t at = 0; at < n && rc == 0; at += j->window) {
		size_t len = n - at < j->window ? n - at : j->window;
		struct kv_seq *seq;
		const float *logits;

		if (kv_seq_open(&seq, model_pool(j->m), e))
			return -1;
		for (size_t i = 0; i < len && rc == 0; i += ROWS)
			rc = feed(j, seq, id + at + i, len - i < ROWS ? len - i : ROWS, &logits, e);
		kv_seq_close(seq);
	}
	return rc;
}

static double log_sum(const float *v, size_t n, size_t *top)
{
	double sum = 0, most = (double)v[0];

	*top = 0;
	for (size_t i = 1; i < n; i++)
		if ((double)v[i] > most) {
			most = (double)v[i];
			*top = i;
		}
	for (size_t i = 0; i < n; i++)
		sum += exp((double)v[i] - most);
	return most + log(sum);
}

static void compare_rows(struct verdict *v, const float *a, const float *b, size_t n,
                         const int32_t *next)
{
	size_t top_a, top_b;
	double la = log_sum(a, n, &top_a), lb = log_sum(b, n, &top_b), kl = 0;

	for (size_t i = 0; i < n; i++) {
		double pa = (double)a[i] - la;

		kl += exp(pa) * (pa - ((double)b[i] - lb));
	}
	v->kl += kl > 0 ? kl : 0;
	v->n++;
	v->agree += top_a == top_b;
	if (next) {
		v->nll_a += la - (double)a[*next];
		v->nll_b += lb - (double)b[*next];
	}
}

static int compare_window(struct verdict *v, struct judge *a, struct judge *b, const int32_t *id,
                          size_t n, struct err *e)
{
	size_t vocab = model_config(a->m)->vocab;
	struct kv_seq *sa = NULL, *sb = NULL;
	const float *la, *lb;
	int rc = kv_seq_open(&sa, model_pool(a->m), e) || kv_seq_open(&sb, model_pool(b->m), e);

	/* the last token has none after it to be asked for */
	for (size_t i = 0; i + 1 < n && rc == 0; i += ROWS) {
		size_t rows = n - 1 - i < ROWS ? n - 1 - i : ROWS;

		rc = feed(a, sa, id + i, rows, &la, e) || feed(b, sb, id + i, rows, &lb, e);
		for (size_t k = 0; k < rows && rc == 0; k++)
			compare_rows(v, la + k * vocab, lb + k * vocab, vocab, &id[i + k + 1]);
	}
	kv_seq_close(sa);
	kv_seq_close(sb);
	return rc ? -1 : 0;
}

int judge_compare(struct verdict *out, struct judge *a, struct judge *b, const int32_t *id,
                  size_t n, struct err *e)
{
	size_t window = a->window < b->window ? a->window : b->window;

	*out = (struct verdict){ 0 };
	if (model_config(a->m)->vocab != model_config(b->m)->vocab)
		return err_set(e, ERR_INPUT, "vocabularies of %zu and %zu", model_config(a->m)->vocab,
		               model_config(b->m)->vocab);
	for (size_t at = 0; at < n; at += window)
		if (compare_window(out, a, b, id + at, n - at < window ? n - at : window, e))
			return -1;
	return 0;
}
