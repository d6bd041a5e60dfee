/* SPDX-License-Identifier: MIT */
/* score.c - the log-probability of given tokens
 *
 * A window is fed like a prompt; where its tokens are scored every row gives
 * logits, in pieces that the model's outputs have room for. */
#include "gen/gen.h"

#include "gen/pick.h"

#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

struct window {
	const struct score_options *o;
	size_t begin;          /* its place in the ids */
};

/* Feeds the next n ids; with `out` the one after each is scored. */
static int feed(struct model *m, struct kv_seq *seq, const int32_t *id, size_t n, struct score *out,
                const struct window *w, struct err *e)
{
	size_t at = kv_len(seq);
	size_t vocab = model_config(m)->vocab;
	struct model_work work = { seq, n, out ? WANT_ALL : WANT_NONE };
	const float *logits = NULL;

	if (kv_append(seq, id, n, e) || model_run(m, &work, 1, &logits, e))
		return -1;
	for (size_t i = 0; out && i < n; i++) {
		const float *row = logits + i * vocab;

		double logprob = (double)row[id[i + 1]] - pick_logsumexp(row, vocab);

		out->nll -= logprob;
		out->n++;
		if (w->o->token)
			w->o->token(w->o->arg, w->begin + at + i + 1, id[i + 1], logprob);
	}
	return 0;
}

static int score_window(struct model *m, const int32_t *id, size_t n, const struct window *w,
                        struct score *out, struct err *e)
{
	size_t first = w->o->first;
	size_t rows = model_max_rows(m), outs = least(rows, model_max_out(m)), at = 0;
	struct kv_seq *seq;
	int failed = 0;

	if (n <= first)
		return 0;
	if (kv_seq_open(&seq, model_pool(m), e))
		return -1;
	for (; !failed && at < first - 1; at = kv_len(seq))
		failed = feed(m, seq, id + at, least(rows, first - 1 - at), NULL, w, e);
	for (; !failed && at < n - 1; at = kv_len(seq))
		failed = feed(m, seq, id + at, least(outs, n - 1 - at), out, w, e);
	kv_seq_close(seq);
	return failed;
}

static int check(const struct model *m, const int32_t *id, size_t n, const struct score_options *o,
                 struct err *e)
{
	size_t vocab = model_config(m)->vocab, window = o->window ? o->window : n;

	if (o->first < 1 || (o->window && o->first >= o->window))
		return err_set(e, ERR_MISUSE,
		               "the first scored position: expected 1 to %zu, found %zu",
		               window - 1, o->first);
	if (window > model_config(m)->max_pos)
		return err_set(e, ERR_INPUT, "a window of %zu tokens, the model's context has %zu",
		               window, model_config(m)->max_pos);
	for (size_t i = 0; i < n; i++)
		if (id[i] < 0 || (size_t)id[i] >= vocab)
			return err_set(e, ERR_INPUT,
			               "token %zu: expected an id from 0 to %zu, found %d", i,
			               vocab - 1, (int)id[i]);
	if (o->bos >= 0 && (size_t)o->bos >= vocab)
		return err_set(e, ERR_INPUT, "bos: expected an id from 0 to %zu, found %d",
		               vocab - 1, (int)o->bos);
	return 0;
}

int score_ids(struct model *m, const int32_t *id, size_t n, const struct score_options *o,
              struct score *out, struct err *e)
{
	size_t window = o->window ? o->window : n;
	int32_t *one;
	int failed = 0;

	*out = (struct score){ 0 };
	if (check(m, id, n, o, e))
		return -1;
	one = malloc((window + 1) * sizeof *one);
	if (!one)
		return err_memory(e, window * sizeof *one);
	for (size_t at = 0; !failed && at < n; at += window) {
		size_t len = least(window, n - at);

		if (len < window && o->whole_only)
			break;
		memcpy(one, id + at, len * sizeof *one);
		if (o->bos >= 0)
			one[0] = o->bos;
		failed = score_window(m, one, len, &(struct window){ o, at }, out, e);
	}
	free(one);
	return failed;
}
