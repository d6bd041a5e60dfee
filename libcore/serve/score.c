/* SPDX-License-Identifier: MIT */
/* score.c - POST /score: how likely a text is, or a completion after its
 * prompt; the numbers and names of clm-score's records */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/api.h"
#include "serve/openai.h"

/* ---- the answer */

static void add_number(struct buf *b, const char *key, double v)
{
	buf_printf(b, ",\"%s\":", key);
	json_add_f64(b, v);
}

static void add_tokens(struct buf *b, const struct choice *k)
{
	buf_add_text(b, ",\"ids\":[");
	for (size_t i = 1; i < k->n_likely; i++)
		buf_printf(b, "%s%d", i > 1 ? "," : "", (int)k->likely[i].id);
	buf_add_text(b, "],\"logprobs\":[");
	for (size_t i = 1; i < k->n_likely; i++) {
		buf_add_text(b, i > 1 ? "," : "");
		json_add_f64(b, k->likely[i].logprob);
	}
	buf_add_byte(b, ']');
}

/* The first of the likely is the one before all that are scored. */
static void whole(struct call *c)
{
	struct choice *k = &c->choice[0];
	size_t n = k->n_likely ? k->n_likely - 1 : 0;
	struct buf *b = &c->out;
	bool best = true, tokens = true;
	double nll = 0;
	struct fault f;

	for (size_t i = 1; i <= n; i++) {
		nll -= k->likely[i].logprob;
		best &= k->likely[i].best;
	}
	buf_add_text(b, "{\"object\":\"score\",\"model\":");
	json_add_string(b, bytes_of(c->name));
	buf_printf(b, ",\"tokens\":%zu,\"scored\":%zu", c->prompt[0].n, n);
	add_number(b, "logprob", n ? -nll : 0);
	add_number(b, "perplexity", n ? exp(nll / (double)n) : NAN);
	if (k->r.score_first > 1 || json_get(c->body, "completion") ||
	    json_get(c->body, "completion_ids"))
		buf_printf(b, ",\"greedy\":%s", best ? "true" : "false");
	if (param_bool(c->body, "tokens", &tokens, &f) >= 0 && tokens)
		add_tokens(b, k);
	buf_printf(b, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", c->prompt[0].n,
	           c->prompt[0].n);
}

static void no_stream(struct call *c)
{
	(void)c;
}

static const struct voice voice = { .ping = no_stream, .begin = no_stream, .whole = whole };

/* ---- the request */

static int add_ids(struct call *c, const char *name, struct fault *f)
{
	return openai_ids(&c->prompt[0], json_get(c->body, name),
	                  model_config(c->model->m.model)->vocab, name, f);
}

static int of_ids(struct call *c, struct fault *f)
{
	if (json_get(c->body, "ids"))
		return c->r.score_first = 1, add_ids(c, "ids", f);
	if (add_ids(c, "prompt_ids", f))
		return -1;
	c->r.score_first = c->prompt[0].n;
	if (!c->r.score_first)
		return fault_param(f, "prompt_ids", "invalid_value", "prompt_ids: no tokens");
	if (add_ids(c, "completion_ids", f))
		return -1;
	return c->prompt[0].n > c->r.score_first ? 0 :
	       fault_param(f, "completion_ids", "invalid_value", "completion_ids: no tokens");
}

static int of_text(struct call *c, const char *text, struct fault *f)
{
	struct err e;

	c->r.score_first = 1;
	if (tokenizer_encode(c->model->m.tokenizer, bytes_of(text),
	                     ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &c->prompt[0], &e))
		return fault_err(f, &e);
	return 0;
}

static int of_pair(struct call *c, const char *prompt, const char *completion, struct fault *f)
{
	struct score_pair p = { .prompt = bytes_of(prompt),
		                .completion = bytes_of(completion),
		                .has_completion = true,
		                .flags = ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL };
	const char *boundary = "text";
	struct err e;

	if (param_text(c->body, "boundary", &boundary, f) < 0)
		return -1;
	p.by_tokens = !strcmp(boundary, "tokens");
	if (!p.by_tokens && strcmp(boundary, "text"))
		return fault_param(f, "boundary", "invalid_value", "boundary: expected text or tokens");
	if (score_join(c->model->m.tokenizer, &p, &c->prompt[0], &c->r.score_first, &e)) {
		fault_err(f, &e);
		snprintf(f->param, sizeof f->param, "completion");
		return -1;
	}
	return 0;
}

static int ask(struct call *c, struct fault *f)
{
	const char *text = NULL, *prompt = NULL, *completion = NULL;

	c->r.max_tokens = 0;
	if (json_get(c->body, "ids") || json_get(c->body, "prompt_ids"))
		return of_ids(c, f);
	if (param_text(c->body, "text", &text, f) < 0 ||
	    param_text(c->body, "prompt", &prompt, f) < 0 ||
	    param_text(c->body, "completion", &completion, f) < 0)
		return -1;
	if (text && !prompt && !completion)
		return of_text(c, text, f);
	if (prompt && completion && !text)
		return of_pair(c, prompt, completion, f);
	return fault_param(f, "completion", "missing_required_parameter",
	                   "expected text, or prompt and completion");
}

void api_score(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, ask);

	if (c)
		call_submit(c);
}
