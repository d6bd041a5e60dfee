/* SPDX-License-Identifier: MIT */
/* request.c - one option table for the command line, JSONL and HTTP
 *
 * Given text or JSON, gives a checked struct request. Names and defaults are
 * mlx-lm's. What an option means is left to the sampler and the batch; ids
 * are checked against the vocabulary there. */
#include "gen/gen.h"

#include "util/num.h"
#include "util/utf8.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	TOKENS_MAX = 1 << 30,
	LOGPROBS_MAX = 101,
	BIAS_MAX = 4096,
	STOP_BYTES_MAX = 4096,
};
static const double SEED_EXACT = 9007199254740992.0; /* 2^53: past it a JSON number loses digits */

#define AT(field) offsetof(struct request, field)

/* clang-format off */
const struct request_option request_options[] = {
	{ "max_tokens", REQ_SIZE, AT(max_tokens), 0, TOKENS_MAX, "N",
	  "tokens to make at most; 0 only computes the prompt" },
	{ "temp", REQ_F64, AT(temp), 0, 100, "T",
	  "sampling temperature; 0 takes the best token" },
	{ "top_p", REQ_F64, AT(top_p), 0, 1, "P",
	  "keep the fewest tokens whose probability reaches P; 1 is off" },
	{ "min_p", REQ_F64, AT(min_p), 0, 1, "P",
	  "drop tokens below P times the best one's probability" },
	{ "min_tokens_to_keep", REQ_SIZE, AT(min_keep), 1, TOKENS_MAX, "N",
	  "tokens that min_p never drops" },
	{ "top_k", REQ_SIZE, AT(top_k), 0, TOKENS_MAX, "N",
	  "keep the N best tokens; 0 is off" },
	{ "xtc_probability", REQ_F64, AT(xtc_probability), 0, 1, "P",
	  "chance a step to exclude top choices" },
	{ "xtc_threshold", REQ_F64, AT(xtc_threshold), 0, 0.5, "P",
	  "probability that makes a top choice" },
	{ "repetition_penalty", REQ_F64, AT(repetition_penalty), 0, 100, "X",
	  "divide the logits of recent tokens by X; 0 is off" },
	{ "repetition_context_size", REQ_SIZE, AT(repetition_context), 0, TOKENS_MAX, "N",
	  "how many tokens are recent for it; 0 is all" },
	{ "presence_penalty", REQ_F64, AT(presence_penalty), -100, 100, "X",
	  "subtract X from the logits of recent tokens" },
	{ "presence_context_size", REQ_SIZE, AT(presence_context), 0, TOKENS_MAX, "N",
	  "how many tokens are recent for it; 0 is all" },
	{ "frequency_penalty", REQ_F64, AT(frequency_penalty), -100, 100, "X",
	  "subtract X for each time a token was recent" },
	{ "frequency_context_size", REQ_SIZE, AT(frequency_context), 0, TOKENS_MAX, "N",
	  "how many tokens are recent for it; 0 is all" },
	{ "logit_bias", REQ_BIAS, AT(bias), -1e9, 1e9, "ID=X,...",
	  "add X to the logit of token ID" },
	{ "seed", REQ_SEED, AT(seed), 0, 0, "N",
	  "seed of the draws; the same seed gives the same text" },
	{ "stop", REQ_TEXTS, AT(stop), 0, 0, "TEXT",
	  "end before TEXT; may be given again" },
	{ "ignore_eos", REQ_BOOL, AT(ignore_eos), 0, 0, NULL,
	  "go on past the end-of-text token" },
	{ "logprobs", REQ_SIZE, AT(logprobs), 0, LOGPROBS_MAX, "N",
	  "log-probability of each token, and of the N - 1 best" },
};
/* clang-format on */
const size_t n_request_options = sizeof request_options / sizeof *request_options;

void request_init(struct request *r)
{
	*r = (struct request){
		.max_tokens = 100,
		.top_p = 1,
		.min_keep = 1,
		.xtc_threshold = 0.1,
		.repetition_context = 20,
		.presence_context = 20,
		.frequency_context = 20,
	};
}

int request_copy(struct request *out, const struct request *r, struct err *e)
{
	*out = *r;
	out->n_stop = 0;
	out->bias = NULL;
	out->grammar = grammar_hold(r->grammar);
	for (size_t i = 0; i < r->n_stop; i++, out->n_stop++)
		if (!(out->stop[i] = strdup(r->stop[i])))
			goto fail;
	if (r->n_bias) {
		out->bias = malloc(r->n_bias * sizeof *r->bias);
		if (!out->bias)
			goto fail;
		memcpy(out->bias, r->bias, r->n_bias * sizeof *r->bias);
	}
	return 0;
fail:
	request_release(out);
	return err_memory(e, r->n_bias * sizeof *r->bias + 1);
}

void request_release(struct request *r)
{
	for (size_t i = 0; i < r->n_stop; i++)
		free(r->stop[i]);
	free(r->bias);
	grammar_release(r->grammar);
	r->n_stop = r->n_bias = 0;
	r->bias = NULL;
	r->grammar = NULL;
}

/* ---- values, checked, whatever they were written in */

/* Who speaks: how the option is called there, and what a refusal is. */
struct origin {
	char name[64];
	enum err_kind kind;
};

static struct origin from_text(const struct request_option *o)
{
	struct origin g = { .kind = ERR_MISUSE };

	snprintf(g.name, sizeof g.name, "--%s", o->name);
	for (char *p = g.name; *p; p++)
		if (*p == '_')
			*p = '-';
	return g;
}

static struct origin from_json(const struct request_option *o)
{
	struct origin g = { .kind = ERR_INPUT };

	snprintf(g.name, sizeof g.name, "%s", o->name);
	return g;
}

static void *field(struct request *r, const struct request_option *o)
{
	return (char *)r + o->at;
}

static int set_number(struct request *r, const struct request_option *o, const struct origin *g,
                      double v, struct err *e)
{
	bool whole = o->type == REQ_SIZE;

	if (!(v >= o->min && v <= o->max) || (whole && v != floor(v)))
		return err_set(e, g->kind, "%s: expected %s from %.10g to %.10g, found %.10g",
		               g->name, whole ? "a whole number" : "a number", o->min, o->max, v);
	if (whole)
		*(size_t *)field(r, o) = (size_t)v;
	else
		*(double *)field(r, o) = v;
	return 0;
}

static int add_stop(struct request *r, const struct origin *g, const char *text, struct err *e)
{
	size_t n = strlen(text);

	if (!n || n > STOP_BYTES_MAX)
		return err_set(e, g->kind, "%s: expected 1 to %d bytes, found %zu", g->name,
		               STOP_BYTES_MAX, n);
	if (utf8_valid(bytes_of(text)) != n)
		return err_set(e, g->kind, "%s: expected UTF-8, found bytes that are not", g->name);
	if (r->n_stop == STOP_MAX)
		return err_set(e, g->kind, "%s: expected at most %d texts, found more", g->name,
		               STOP_MAX);
	if (!(r->stop[r->n_stop] = strdup(text)))
		return err_memory(e, n + 1);
	r->n_stop++;
	return 0;
}

static int add_bias(struct request *r, const struct request_option *o, const struct origin *g,
                    const char *id, double add, struct err *e)
{
	struct bias *more;
	uint64_t v;

	if (!num_u64(&v, id) || v > INT32_MAX)
		return err_set(e, g->kind, "%s: expected a token id, found \"%s\"", g->name, id);
	if (!(add >= o->min && add <= o->max))
		return err_set(e, g->kind, "%s: expected a number from %.10g to %.10g, found %.10g",
		               g->name, o->min, o->max, add);
	for (size_t i = 0; i < r->n_bias; i++)
		if (r->bias[i].id == (int32_t)v)
			return err_set(e, g->kind, "%s: token %s is given twice", g->name, id);
	if (r->n_bias == BIAS_MAX)
		return err_set(e, g->kind, "%s: expected at most %d tokens, found more", g->name,
		               BIAS_MAX);
	more = realloc(r->bias, (r->n_bias + 1) * sizeof *more);
	if (!more)
		return err_memory(e, (r->n_bias + 1) * sizeof *more);
	r->bias = more;
	r->bias[r->n_bias++] = (struct bias){ (int32_t)v, (float)add };
	return 0;
}

/* ---- from the command line */

/* "ID=X,ID=X", a colon does as well. */
static int bias_text(struct request *r, const struct request_option *o, const struct origin *g,
                     const char *text, struct err *e)
{
	while (*text) {
		size_t id = strcspn(text, "=:"), n = strcspn(text, ",");
		char name[16], number[48];
		double v;

		if (id >= n || id >= sizeof name || n - id > sizeof number)
			return err_set(e, g->kind, "%s: expected ID=X, found \"%.*s\"", g->name,
			               (int)n, text);
		snprintf(name, sizeof name, "%.*s", (int)id, text);
		snprintf(number, sizeof number, "%.*s", (int)(n - id - 1), text + id + 1);
		if (!num_f64(&v, number))
			return err_set(e, g->kind,
			               "%s: expected a number for token %s, found \"%s\"", g->name,
			               name, number);
		if (add_bias(r, o, g, name, v, e))
			return -1;
		text += n + (text[n] == ',');
	}
	return 0;
}

static int bool_text(struct request *r, const struct request_option *o, const struct origin *g,
                     const char *text, struct err *e)
{
	bool no = !strcmp(text, "false") || !strcmp(text, "0");

	if (!no && *text && strcmp(text, "true") && strcmp(text, "1"))
		return err_set(e, g->kind, "%s: expected true or false, found \"%s\"", g->name,
		               text);
	*(bool *)field(r, o) = !no;
	return 0;
}

int request_set_text(struct request *r, const struct request_option *o, const char *text,
                     struct err *e)
{
	struct origin g = from_text(o);
	size_t size;
	double v;

	if (!text)
		text = "";
	switch (o->type) {
	case REQ_SIZE:
		if (num_size(&size, text))
			return set_number(r, o, &g, (double)size, e);
		/* fallthrough */
	case REQ_F64:
		if (!num_f64(&v, text))
			return err_set(e, g.kind, "%s: expected a number, found \"%s\"", g.name,
			               text);
		return set_number(r, o, &g, v, e);
	case REQ_BOOL:
		return bool_text(r, o, &g, text, e);
	case REQ_SEED:
		if (!num_u64(&r->seed, text))
			return err_set(e, g.kind,
			               "%s: expected a whole number from 0 to "
			               "18446744073709551615, found \"%s\"",
			               g.name, text);
		r->has_seed = true;
		return 0;
	case REQ_TEXTS:
		return add_stop(r, &g, text, e);
	case REQ_BIAS:
		return bias_text(r, o, &g, text, e);
	}
	return err_set(e, ERR_MISUSE, "%s: no such option", g.name);
}

/* ---- from JSON */

static int unlike(const struct origin *g, const char *want, const cJSON *v, struct err *e)
{
	return err_set(e, g->kind, "%s: expected %s, found %s", g->name, want, json_kind(v));
}

static int seed_json(struct request *r, const struct origin *g, const cJSON *v, struct err *e)
{
	double d = v->valuedouble;

	if (!cJSON_IsNumber(v))
		return unlike(g, "a whole number", v, e);
	if (!(d >= 0 && d <= SEED_EXACT) || d != floor(d))
		return err_set(e, g->kind,
		               "%s: expected a whole number from 0 to %.0f, found %.17g", g->name,
		               SEED_EXACT, d);
	r->seed = (uint64_t)d;
	r->has_seed = true;
	return 0;
}

/* What JSON gives replaces what was there: a record's own stop strings do
 * not add to the command line's. */
static int stops_json(struct request *r, const struct origin *g, const cJSON *v, struct err *e)
{
	const cJSON *item;

	if (!cJSON_IsString(v) && !cJSON_IsArray(v))
		return unlike(g, "a string or an array of strings", v, e);
	while (r->n_stop)
		free(r->stop[--r->n_stop]);
	if (cJSON_IsString(v))
		return add_stop(r, g, v->valuestring, e);
	cJSON_ArrayForEach(item, v)
	{
		if (!cJSON_IsString(item))
			return unlike(g, "strings", item, e);
		if (add_stop(r, g, item->valuestring, e))
			return -1;
	}
	return 0;
}

static int bias_json(struct request *r, const struct request_option *o, const struct origin *g,
                     const cJSON *v, struct err *e)
{
	const cJSON *item;

	if (!cJSON_IsObject(v))
		return unlike(g, "an object of token ids and numbers", v, e);
	r->n_bias = 0;
	cJSON_ArrayForEach(item, v)
	{
		if (!cJSON_IsNumber(item))
			return unlike(g, "numbers", item, e);
		if (add_bias(r, o, g, item->string, item->valuedouble, e))
			return -1;
	}
	return 0;
}

int request_set_json(struct request *r, const struct request_option *o, const cJSON *v,
                     struct err *e)
{
	struct origin g = from_json(o);

	if (cJSON_IsNull(v))
		return 0;
	switch (o->type) {
	case REQ_SIZE:
	case REQ_F64:
		if (!cJSON_IsNumber(v))
			return unlike(&g, "a number", v, e);
		return set_number(r, o, &g, v->valuedouble, e);
	case REQ_BOOL:
		if (!cJSON_IsBool(v))
			return unlike(&g, "true or false", v, e);
		*(bool *)field(r, o) = cJSON_IsTrue(v);
		return 0;
	case REQ_SEED:
		return seed_json(r, &g, v, e);
	case REQ_TEXTS:
		return stops_json(r, &g, v, e);
	case REQ_BIAS:
		return bias_json(r, o, &g, v, e);
	}
	return err_set(e, ERR_MISUSE, "%s: no such option", g.name);
}
