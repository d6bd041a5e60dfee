/* SPDX-License-Identifier: MIT */
/* families.c - metrics as text: families under further names, and in order
 *
 * A family is a "# HELP" line and all up to the next one. */
#include <stdlib.h>
#include <string.h>

#include "serve/metrics.h"

/* What dashboards made for llama-server and vLLM look for. */
static const struct alias { const char *program, *name, *ours, *only; } aliases[] = {
	{ "llamacpp", "requests_processing", "clm_requests_running", NULL },
	{ "llamacpp", "requests_deferred", "clm_requests_waiting", NULL },
	{ "llamacpp", "prompt_tokens_total", "clm_prompt_tokens_total", NULL },
	{ "llamacpp", "tokens_predicted_total", "clm_generated_tokens_total", NULL },
	{ "llamacpp", "prompt_seconds_total", "clm_prefill_seconds_total", NULL },
	{ "llamacpp", "tokens_predicted_seconds_total", "clm_decode_seconds_total", NULL },
	{ "llamacpp", "n_decode_total", "clm_decode_steps_total", NULL },
	{ "vllm", "request_success_total", "clm_requests_total", "code=\"200\"" },
	{ "vllm", "num_requests_running", "clm_requests_running", NULL },
	{ "vllm", "num_requests_waiting", "clm_requests_waiting", NULL },
	{ "vllm", "prompt_tokens_total", "clm_prompt_tokens_total", NULL },
	{ "vllm", "prefix_cache_hits", "clm_prompt_tokens_cached_total", NULL },
	{ "vllm", "generation_tokens_total", "clm_generated_tokens_total", NULL },
	{ "vllm", "time_to_first_token_seconds", "clm_time_to_first_token_seconds", NULL },
	{ "vllm", "inter_token_latency_seconds", "clm_inter_token_seconds", NULL },
	{ "vllm", "e2e_request_latency_seconds", "clm_request_seconds", NULL },
	{ "vllm", "request_queue_time_seconds", "clm_queue_seconds", NULL },
	{ "vllm", "request_prefill_time_seconds", "clm_prefill_seconds", NULL },
	{ "vllm", "request_decode_time_seconds", "clm_decode_seconds", NULL },
	{ "vllm", "kv_cache_usage_perc", "clm_kv_usage_ratio", NULL },
	{ "vllm", "num_preemptions_total", "clm_preemptions_total", NULL },
};

enum { BEGIN = sizeof "# HELP " - 1 };

/* Where the next family begins, or the end of the text. */
static const char *after(const char *p)
{
	const char *next = strstr(p + 1, "\n# HELP ");

	return next ? next + 1 : p + strlen(p);
}

static const char *find(const char *text, const char *name)
{
	size_t n = strlen(name);

	for (const char *p = text; p && *p; p = after(p))
		if (!strncmp(p + BEGIN, name, n) && p[BEGIN + n] == ' ')
			return p;
	return NULL;
}

/* A sample or a head under the other name, with a label for the model. */
static void rename_line(struct buf *b, const struct alias *a, const char *model, const char *p,
                        size_t n)
{
	size_t head = *p == '#' ? BEGIN : 0, at = head + strlen(a->ours);

	buf_add(b, p, head);
	buf_printf(b, "%s:%s", a->program, a->name);
	if (head || !model) {
		buf_add(b, p + at, n - at);
		return;
	}
	for (; at < n && p[at] != '{' && p[at] != ' '; at++) /* _bucket, _sum, _count */
		buf_add_byte(b, (unsigned char)p[at]);
	buf_add_text(b, "{model_name=\"");
	metrics_label(b, model);
	buf_add_text(b, at < n && p[at] == '{' ? "\"," : "\"}");
	at += at < n && p[at] == '{';
	buf_add(b, p + at, n - at);
}

void families_alias(struct buf *text, const char *program, const char *model)
{
	struct buf b = { 0 };

	for (size_t i = 0; text->p && i < sizeof aliases / sizeof *aliases; i++) {
		const struct alias *a = &aliases[i];
		const char *p = strcmp(a->program, program) ? NULL : find((char *)text->p, a->ours),
		           *end = p ? after(p) : NULL;

		for (size_t n; p && p < end; p += n) {
			n = strcspn(p, "\n");
			n += p[n] == '\n';
			if (*p == '#' || !a->only || memmem(p, n, a->only, strlen(a->only)))
				rename_line(&b, a, model, p, n);
		}
	}
	if (b.failed)
		text->failed = true;
	else
		buf_add(text, b.p, b.n);
	buf_release(&b);
}

struct part { const char *p; size_t n; };

static int by_name(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	const char *p = x->p + BEGIN, *q = y->p + BEGIN;

	/* a name ends before a longer one that begins with it */
	while (*p == *q && *p != ' ')
		p++, q++;
	return *p == ' ' ? -(*q != ' ') : *q == ' ' ? 1 : (unsigned char)*p - (unsigned char)*q;
}

void families_sort(struct buf *text)
{
	struct buf b = { 0 };
	struct part *part;
	size_t n = 0, room = 1;

	for (const char *p = (char *)text->p; p && *p; p = after(p))
		room++;
	part = calloc(room, sizeof *part);
	for (const char *p = (char *)text->p; part && p && *p; p = after(p))
		part[n++] = (struct part){ p, (size_t)(after(p) - p) };
	if (part)
		qsort(part, n, sizeof *part, by_name);
	for (size_t i = 0; i < n; i++)
		buf_add(&b, part[i].p, part[i].n);
	if (!part || b.failed) {
		text->failed = true;
		buf_release(&b);
	} else {
		buf_release(text);
		*text = b;
	}
	free(part);
}
