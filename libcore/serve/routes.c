/* SPDX-License-Identifier: MIT */
/* routes.c - which request does what: a table; and the desks where requests
 * that take a moment are read, so that no other connection waits for them */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "serve/api.h"
#include "serve/server.h"
#include "util/utf8.h"

const struct route routes[] = {
	{ "GET", "/", api_root, true, true },
	{ "GET", "/page/{}", api_page, true, true },
	{ "GET", "/health", api_health, true, true },
	{ "GET", "/v1/health", api_health, true, true },
	{ "GET", "/livez", api_livez, true, true },
	{ "GET", "/ready", api_health, true, true },
	{ "GET", "/metrics", api_metrics, true, false },
	{ "GET", "/v1/models", api_models, true, false },
	{ "GET", "/v1/models/{}", api_model, true, false },
	{ "POST", "/v1/models/load", api_load, false, false },
	{ "POST", "/v1/models/unload", api_unload, false, false },
	{ "POST", "/v1/completions", api_completions, false, false },
	{ "POST", "/v1/chat/completions", api_chat, false, false },
	{ "POST", "/v1/embeddings", api_embeddings, false, false },
	{ "POST", "/api/embed", api_embed, false, false },
	{ "POST", "/api/embeddings", api_old_embeddings, false, false },
	{ "POST", "/apply-template", api_apply_template, false, false },
	{ "POST", "/v1/apply-template", api_apply_template, false, false },
	{ "POST", "/v1/chat/completions/input_tokens", api_chat_tokens, false, false },
	{ "POST", "/v1/responses", api_responses, false, false },
	{ "POST", "/v1/responses/input_tokens", api_response_tokens, false, false },
	{ "POST", "/score", api_score, false, false },
	{ "POST", "/v1/score", api_score, false, false },
	{ "GET", "/props", api_props, true, false },
	{ "GET", "/slots", api_slots, false, false },
	{ "POST", "/tokenize", api_tokenize, false, false },
	{ "POST", "/v1/tokenize", api_tokenize, false, false },
	{ "POST", "/detokenize", api_detokenize, false, false },
	{ "POST", "/v1/detokenize", api_detokenize, false, false },
	{ "GET", "/api/version", api_version, true, false },
	{ "GET", "/api/tags", api_tags, true, false },
	{ "GET", "/api/ps", api_ps, true, false },
	{ "POST", "/api/show", api_show, false, false },
	{ "POST", "/api/generate", api_generate, false, false },
	{ "POST", "/api/chat", api_ollama_chat, false, false },
	{ "POST", "/v1/messages", api_messages, false, false },
	{ "POST", "/v1/messages/count_tokens", api_count_tokens, false, false },
	{ "POST", "/api/push", api_no_push, true, false },
	{ "POST", "/api/copy", api_copy, false, false },
	{ "DELETE", "/api/delete", api_delete, false, false },
	{ "POST", "/api/create", api_create, false, false },
	{ "POST", "/api/pull", api_pull, false, false },
	{ "GET", "/api/blobs/{}", api_blob, true, false },
	{ "POST", "/api/blobs/{}", api_blob_put, false, false },
};
const size_t n_routes = sizeof routes / sizeof *routes;

enum dialect route_dialect(const char *uri)
{
	if (strncmp(uri, "/v1/messages", 12) == 0)
		return DIALECT_ANTHROPIC;
	if (strncmp(uri, "/v1/", 4) == 0 || strcmp(uri, "/health") == 0 ||
	    strcmp(uri, "/ready") == 0 || strcmp(uri, "/livez") == 0 ||
	    strcmp(uri, "/metrics") == 0 || strcmp(uri, "/props") == 0 ||
	    strcmp(uri, "/slots") == 0 || strstr(uri, "tokenize") ||
	    strcmp(uri, "/apply-template") == 0 || strcmp(uri, "/score") == 0)
		return DIALECT_OPENAI;
	return DIALECT_OLLAMA;
}

/* ---- finding */

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' :
	       isxdigit((unsigned char)c) ? (c | 32) - 'a' + 10 :
	                                    -1;
}

/* Percent-decodes n bytes; NULL where that gives no sound text. */
static char *decode(const char *p, size_t n)
{
	char *out = malloc(n + 1);
	size_t k = 0;

	for (size_t i = 0; out && i < n; i++) {
		int high, low;

		if (p[i] != '%') {
			out[k++] = p[i];
			continue;
		}
		high = n - i > 2 ? hex(p[i + 1]) : -1;
		low = n - i > 2 ? hex(p[i + 2]) : -1;
		if (high < 0 || low < 0 || !(high * 16 + low)) {
			free(out);
			return NULL;
		}
		out[k++] = (char)(high * 16 + low);
		i += 2;
	}
	if (!out || utf8_valid((struct bytes){ (unsigned char *)out, k }) != k) {
		free(out);
		return NULL;
	}
	out[k] = '\0';
	return out;
}

/* A segment at a time; "{}" takes all that is left. */
static bool matches(const char *pattern, const char *path, size_t n, const char **rest)
{
	const char *end = path + n;

	for (;; pattern++, path++) {
		if (strcmp(pattern, "{}") == 0) {
			*rest = path;
			return path < end;
		}
		if (path == end || !*pattern)
			return path == end && !*pattern;
		if (*pattern != *path)
			return false;
	}
}

static bool method_is(const struct route *r, const char *method)
{
	return strcmp(r->method, method) == 0 ||
	       (strcmp(method, "HEAD") == 0 && strcmp(r->method, "GET") == 0);
}

int route_find(struct exchange *x, struct fault *f)
{
	char *path = decode(x->uri, strlen(x->uri));
	size_t n = strlen(x->uri);
	char allow[64] = "";
	const char *rest;

	/* names are cut out of the raw path: a "/" in one may be escaped */
	if (!path || *x->uri != '/') {
		free(path);
		return fault_set(f, 400, "invalid_value", "the path is not sound");
	}
	free(path);
	if (n > 1 && x->uri[n - 1] == '/')
		n--;
	for (const struct route *r = routes; r < routes + n_routes; r++) {
		rest = NULL;
		if (!matches(r->path, x->uri, n, &rest))
			continue;
		if (method_is(r, x->method)) {
			x->route = r;
			if (rest && !(x->name = decode(rest, (size_t)(x->uri + n - rest))))
				return fault_set(f, 400, "invalid_value", "the path is not sound");
			return 0;
		}
		if (strlen(allow) + strlen(r->method) + 2 < sizeof allow) {
			strcat(allow, *allow ? ", " : "");
			strcat(allow, r->method);
		}
	}
	if (*allow) {
		respond_header(x, "Allow", "%s", allow);
		return fault_set(f, 405, NULL, "this path takes %s", allow);
	}
	return fault_set(f, 404, NULL, "there is no such path");
}

/* ---- desks */

void route_run(struct exchange *x)
{
	struct fault f;

	if (x->route->at_once) {
		x->route->handle(x);
		return;
	}
	if (x->serve->draining) {
		fault_set(&f, 503, "shutting_down", "the server is shutting down");
		respond_fault(x, &f);
		return;
	}
	desk_take(x->serve, exchange_hold(x));
}

void desk_take(struct serve *s, struct exchange *x)
{
	struct desk_item *item = malloc(sizeof *item);
	struct fault f;

	if (!item) {
		fault_memory(&f);
		respond_fault(x, &f);
		exchange_drop(x);
		return;
	}
	*item = (struct desk_item){ x, NULL };
	pthread_mutex_lock(&s->lock);
	*s->desk_end = item;
	s->desk_end = &item->next;
	pthread_cond_signal(&s->desk_filled);
	pthread_mutex_unlock(&s->lock);
}

static void *desk(void *arg)
{
	struct serve *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		struct desk_item *item = s->desk;

		if (!item) {
			if (s->stopping)
				break;
			pthread_cond_wait(&s->desk_filled, &s->lock);
			continue;
		}
		s->desk = item->next;
		if (!s->desk)
			s->desk_end = &s->desk;
		pthread_mutex_unlock(&s->lock);
		if (!exchange_gone(item->x))
			item->x->route->handle(item->x);
		exchange_drop(item->x);
		free(item);
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

int desks_open(struct serve *s, struct err *e)
{
	s->desk_end = &s->desk;
	for (; s->n_desks < DESKS; s->n_desks++)
		if (pthread_create(&s->desk_thread[s->n_desks], NULL, desk, s))
			return err_errno(e, "cannot start a thread");
	return 0;
}

void desks_close(struct serve *s)
{
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->desk_filled);
	pthread_mutex_unlock(&s->lock);
	while (s->n_desks)
		pthread_join(s->desk_thread[--s->n_desks], NULL);
}
