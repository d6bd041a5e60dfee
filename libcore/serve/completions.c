/* SPDX-License-Identifier: MIT */
/* completions.c - OpenAI's POST /v1/completions: text goes on */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "serve/api.h"
#include "serve/openai.h"

enum { BEST_MAX = 20 };

static const struct param own[] = { { "max_tokens", "max_tokens", 0, 0 } };

/* ---- the answer */

static void head(struct call *c)
{
	openai_head(c, "cmpl", "text_completion");
}

static size_t points(struct bytes b)
{
	size_t n = 0;

	for (size_t i = 0; i < b.n; i++)
		n += (b.p[i] & 0xc0) != 0x80;
	return n;
}

static struct bytes piece(const struct choice *k, int32_t id)
{
	return tokenizer_piece(k->call->model->m.tokenizer, id);
}

/* Where in the text said so far a token begins, in code points. */
static size_t offset(struct choice *k, int32_t id)
{
	const struct ids *p = &k->call->prompt[k->prompt];
	size_t at = k->n_points;
	struct buf text = { 0 };
	struct err e;

	if (!k->shows) {
		detok_init(&k->shown, k->call->model->m.tokenizer);
		k->shows = true;
		if (!k->call->echo)
			detok_skip(&k->shown, p->id, p->n);
	}
	if (detok_add(&k->shown, id, &text, &e) == 0)
		k->n_points += points(buf_bytes(&text));
	buf_release(&text);
	return at;
}

static void add_tops(struct choice *k, const struct likely *v)
{
	struct buf *b = &k->call->out;

	if (isnan(v->logprob)) {
		buf_add_text(b, "null");
		return;
	}
	buf_add_byte(b, '{');
	for (size_t t = 0; t < v->n_top && t < k->call->top; t++) {
		buf_add_text(b, t ? "," : "");
		json_add_string(b, piece(k, v->top_id[t]));
		buf_add_byte(b, ':');
		openai_logprob(b, v->top_id[t] == v->id ? v->logprob : (double)v->top_logprob[t]);
	}
	buf_add_byte(b, '}');
}

/* The legacy shape: an array for each kind of thing. */
static void add_logprobs(struct choice *k)
{
	struct buf *b = &k->call->out;

	if (!k->r.logprobs || k->call->no_logprobs) {
		buf_add_text(b, "null");
		return;
	}
	buf_add_text(b, "{\"tokens\":[");
	for (size_t i = 0; i < k->n_likely; i++) {
		buf_add_text(b, i ? "," : "");
		json_add_string(b, piece(k, k->likely[i].id));
	}
	buf_add_text(b, "],\"token_logprobs\":[");
	for (size_t i = 0; i < k->n_likely; i++) {
		buf_add_text(b, i ? "," : "");
		openai_logprob(b, k->likely[i].logprob);
	}
	buf_add_text(b, "],\"top_logprobs\":[");
	for (size_t i = 0; i < k->n_likely; i++) {
		buf_add_text(b, i ? "," : "");
		add_tops(k, &k->likely[i]);
	}
	buf_add_text(b, "],\"text_offset\":[");
	for (size_t i = 0; i < k->n_likely; i++)
		buf_printf(b, "%s%zu", i ? "," : "", offset(k, k->likely[i].id));
	buf_add_text(b, "]}");
}

static void add_choice(struct choice *k, size_t index, bool last)
{
	struct buf *b = &k->call->out;

	buf_printf(b, "{\"index\":%zu,\"text\":", index);
	json_add_string(b, buf_bytes(&k->text));
	buf_add_text(b, ",\"logprobs\":");
	add_logprobs(k);
	if (last)
		buf_printf(b, ",\"finish_reason\":\"%s\"}", openai_reason(k->reason));
	else
		buf_add_text(b, ",\"finish_reason\":null}");
}

/* The prompt comes first where it is asked for. */
static void add_echo(struct choice *k)
{
	struct buf whole = { 0 };

	if (!k->call->echo || k->spoke)
		return;
	buf_add(&whole, k->call->prompt_text[k->prompt].p, k->call->prompt_text[k->prompt].n);
	buf_add(&whole, k->text.p, k->text.n);
	buf_release(&k->text);
	k->text = whole;
}

static void event(struct choice *k, bool last)
{
	struct call *c = k->call;

	add_echo(k);
	buf_add_text(&c->out, "data: ");
	head(c);
	buf_add_text(&c->out, ",\"choices\":[");
	add_choice(k, k->index, last);
	buf_add_text(&c->out, c->usage ? "],\"usage\":null}\n\n" : "]}\n\n");
}

static void more(struct choice *k)
{
	event(k, false);
}

static void end(struct choice *k)
{
	event(k, true);
}

static void finish(struct call *c)
{
	if (c->usage) {
		buf_add_text(&c->out, "data: ");
		head(c);
		buf_add_text(&c->out, ",\"choices\":[],\"usage\":");
		openai_usage(c);
		buf_add_text(&c->out, "}\n\n");
	}
	buf_add_text(&c->out, "data: [DONE]\n\n");
}

static void begin(struct call *c)
{
	(void)c;
}

/* Of a prompt's choices the next one: as they come, or by what the model
 * thinks of them, a token on average. */
static struct choice *next_choice(struct call *c, size_t prompt)
{
	struct choice *best = NULL;

	for (size_t i = 0; i < c->n; i++) {
		struct choice *k = &c->choice[prompt * c->n + i];

		if (k->told)
			continue;
		if (!c->keep)
			return k;
		if (!best || k->sum_logprob * (double)best->n_made >
		                     best->sum_logprob * (double)k->n_made)
			best = k;
	}
	return best;
}

static void whole(struct call *c)
{
	size_t keep = c->keep ? c->keep : c->n;

	head(c);
	buf_add_text(&c->out, ",\"choices\":[");
	for (size_t i = 0; i < c->n_prompts * keep; i++) {
		struct choice *k = next_choice(c, i / keep);

		k->told = true;
		buf_add_text(&c->out, i ? "," : "");
		add_echo(k);
		add_choice(k, i, true);
	}
	buf_add_text(&c->out, "],\"usage\":");
	openai_usage(c);
	openai_timings(c);
	buf_add_byte(&c->out, '}');
}

static const struct voice voice = {
	.kind = STREAM_SSE,
	.ping = openai_ping,
	.begin = begin,
	.more = more,
	.end = end,
	.finish = finish,
	.fault = openai_fault,
	.whole = whole,
};

/* ---- the request */

static int add_text(struct call *c, const char *text, struct fault *f)
{
	struct err e;

	if (c->n_prompts == PROMPTS_MAX)
		return fault_param(f, "prompt", "invalid_value", "at most %d prompts", PROMPTS_MAX);
	if (c->echo)
		buf_add_text(&c->prompt_text[c->n_prompts], text);
	if (tokenizer_encode(c->model->m.tokenizer, bytes_of(text),
	                     ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &c->prompt[c->n_prompts], &e))
		return fault_err(f, &e);
	c->n_prompts++;
	return 0;
}

static int show_ids(struct call *c, size_t i, struct fault *f)
{
	struct detok d;
	struct err e;

	detok_init(&d, c->model->m.tokenizer);
	for (size_t k = 0; k < c->prompt[i].n; k++)
		if (detok_add(&d, c->prompt[i].id[k], &c->prompt_text[i], &e))
			return fault_err(f, &e);
	return detok_end(&d, &c->prompt_text[i], &e) ? fault_err(f, &e) : 0;
}

static int add_ids(struct call *c, const cJSON *array, struct fault *f)
{
	if (c->n_prompts == PROMPTS_MAX)
		return fault_param(f, "prompt", "invalid_value", "at most %d prompts", PROMPTS_MAX);
	if (openai_ids(&c->prompt[c->n_prompts], array, model_config(c->model->m.model)->vocab,
	               "prompt", f))
		return -1;
	c->n_prompts++;
	return c->echo ? show_ids(c, c->n_prompts - 1, f) : 0;
}

/* A text, texts, ids, or arrays of ids. */
static int set_prompts(struct call *c, struct fault *f)
{
	const cJSON *p = json_get(c->body, "prompt"), *v;

	c->n_prompts = 0;
	if (!p || cJSON_IsNull(p))
		return fault_param(f, "prompt", "missing_required_parameter", "prompt is required");
	if (cJSON_IsString(p))
		return add_text(c, p->valuestring, f);
	if (!cJSON_IsArray(p) || !p->child)
		return fault_param(f, "prompt", "invalid_type",
		                   "prompt: expected a string or a filled array, found %s",
		                   cJSON_IsArray(p) ? "an empty one" : json_kind(p));
	if (cJSON_IsNumber(p->child))
		return add_ids(c, p, f);
	cJSON_ArrayForEach(v, p) {
		if (cJSON_IsString(v) ? add_text(c, v->valuestring, f) : add_ids(c, v, f))
			return -1;
	}
	return 0;
}

/* Fill-in-middle: prefix, suffix and middle, by the names of families. */
static const char *const fims[][3] = {
	{ "<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>" },
	{ "<fim_prefix>", "<fim_suffix>", "<fim_middle>" },
	{ "<\xef\xbd\x9c" "fim\xe2\x96\x81" "begin\xef\xbd\x9c>",
	  "<\xef\xbd\x9c" "fim\xe2\x96\x81" "hole\xef\xbd\x9c>",
	  "<\xef\xbd\x9c" "fim\xe2\x96\x81" "end\xef\xbd\x9c>" },
};

/* The prompt, the suffix, and then what is asked for between them. */
static int fill_in(struct call *c, struct ids *prompt, const char *suffix, struct fault *f)
{
	const struct tokenizer *t = c->model->m.tokenizer;
	struct ids all = { 0 };
	int32_t id[3];
	size_t from, i;
	struct err e;

	for (i = 0; i < sizeof fims / sizeof *fims; i++) {
		for (size_t k = 0; k < 3; k++)
			id[k] = tokenizer_find(t, bytes_of(fims[i][k]));
		if (id[0] >= 0 && id[1] >= 0 && id[2] >= 0)
			break;
	}
	if (i == sizeof fims / sizeof *fims)
		return fault_param(f, "suffix", "unsupported_parameter",
		                   "suffix: the model does not fill in text");
	from = prompt->n && prompt->id[0] == tokenizer_bos(t);
	if ((from && ids_add(&all, prompt->id[0], &e)) || ids_add(&all, id[0], &e))
		goto fail;
	for (i = from; i < prompt->n; i++)
		if (ids_add(&all, prompt->id[i], &e))
			goto fail;
	if (ids_add(&all, id[1], &e) || tokenizer_encode(t, bytes_of(suffix), 0, &all, &e) ||
	    ids_add(&all, id[2], &e))
		goto fail;
	ids_release(prompt);
	*prompt = all;
	return 0;
fail:
	ids_release(&all);
	return fault_err(f, &e);
}

/* Of best_of choices n are told, the likeliest. */
static int set_best(struct call *c, int64_t n, struct fault *f)
{
	int64_t best = n;

	if (param_int(c->body, "best_of", 1, BEST_MAX, &best, f) < 0)
		return -1;
	if (best < n)
		return fault_param(f, "best_of", "invalid_value", "best_of: at least n, found %lld",
		                   (long long)best);
	if (best > n && c->stream)
		return fault_param(f, "best_of", "invalid_value", "best_of: not with stream");
	c->n = (size_t)best;
	if (best > n) {
		c->keep = (size_t)n;
		c->no_logprobs = !c->r.logprobs;
		c->r.logprobs += c->no_logprobs;
	}
	return 0;
}

static int set_rest(struct call *c, struct fault *f)
{
	int64_t n = 1, top = -1;

	c->r.max_tokens = 16;
	c->r.temp = 1;
	if (params_set(&c->r, own, sizeof own / sizeof *own, c->body, "", f) || openai_sampling(c, f) ||
	    openai_stream(c, f) || promise_openai(c, f) ||
	    param_bool(c->body, "echo", &c->echo, f) < 0 ||
	    param_int(c->body, "n", 1, CHOICES_MAX, &n, f) < 0 ||
	    param_int(c->body, "logprobs", 0, LOGPROBS_MAX, &top, f) < 0)
		return -1;
	if (top >= 0) {
		c->top = (size_t)top;
		c->r.logprobs = c->top + 1;
		c->r.score_first = c->echo;
	}
	return set_best(c, n, f);
}

static int set_suffix(struct call *c, struct fault *f)
{
	const char *suffix = NULL;

	if (param_text(c->body, "suffix", &suffix, f) < 0)
		return -1;
	for (size_t i = 0; suffix && *suffix && i < c->n_prompts; i++)
		if (fill_in(c, &c->prompt[i], suffix, f))
			return -1;
	return 0;
}

static int ask(struct call *c, struct fault *f)
{
	return set_rest(c, f) || set_prompts(c, f) || set_suffix(c, f) ? -1 : 0;
}

void api_completions(struct exchange *x)
{
	struct call *c = call_ask(x, &voice, ask);

	if (c)
		call_submit(c);
}
