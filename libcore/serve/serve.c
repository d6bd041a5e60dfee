/* SPDX-License-Identifier: MIT */
/* serve.c - a server from its options to its end */
#include "serve/serve.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "serve/call.h"
#include "serve/metrics.h"

int serve_open(struct serve **out, const struct serve_options *o, struct err *e)
{
	struct serve *s = calloc(1, sizeof *s);

	*out = s;
	if (!s)
		return err_memory(e, sizeof *s);
	s->o = *o;
	s->started_at = (int64_t)time(NULL);
	snprintf(s->server, sizeof s->server, "clm/%s", o->version ? o->version : "0");
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->log_lock, NULL);
	pthread_cond_init(&s->desk_filled, NULL);
	if (metrics_open(&s->metrics, e) || (o->key_file && keys_open(&s->keys, o->key_file, e))) {
		serve_close(s);
		*out = NULL;
		return -1;
	}
	return 0;
}

int serve_add(struct serve *s, const struct serve_model *m, struct err *e)
{
	struct served *more = realloc(s->model, (s->n_models + 1) * sizeof *more), *d;
	size_t most = model_config(m->model)->max_pos, held = kv_pool_tokens(model_pool(m->model));

	if (!more)
		return err_memory(e, (s->n_models + 1) * sizeof *more);
	s->model = more;
	for (size_t i = 0; i < s->n_models; i++)
		if (strcmp(s->model[i].m.name, m->name) == 0)
			return err_set(e, ERR_MISUSE, "two models are named %s", m->name);
	d = &s->model[s->n_models];
	*d = (struct served){ .m = *m, .place = s->n_models };
	d->m.name = strdup(m->name);
	if (!d->m.name || asprintf(&d->tag, strchr(m->name, ':') ? "%s" : "%s:latest", m->name) < 0) {
		free((char *)d->m.name);
		return err_memory(e, strlen(m->name));
	}
	snprintf(d->digest, sizeof d->digest, "%s", model_digest(m->model));
	if (m->batch.context && m->batch.context < most)
		most = m->batch.context;
	/* what the cache has no room for can never be answered */
	d->context = d->m.batch.context = most < held ? most : held;
	s->n_models++;
	return 0;
}

int serve_start(struct serve *s, struct err *e)
{
	if (engine_open(&s->engine, s, e))
		return -1;
	for (size_t i = 0; i < s->n_models; i++)
		s->model[i].engine = s->engine;
	return engine_start(s->engine, e) || desks_open(s, e) || watch_open(s, e) ||
	               listen_open(s, e) ?
	               -1 :
	               0;
}

const char *serve_address(const struct serve *s, size_t i)
{
	return s->listener[i].address;
}

void serve_drain(struct serve *s, double seconds)
{
	s->draining = true;
	listen_stop(s);
	engine_drain(s->engine, seconds);
}

/* The HTTP library ends only when nothing is suspended any more. */
static void let_go(struct serve *s)
{
	struct fault f;

	fault_set(&f, 503, "shutting_down", "the server is shutting down");
	pthread_mutex_lock(&s->lock);
	for (struct exchange *x = s->exchanges; x; x = x->next) {
		respond_fault(x, &f);
		respond_end(x);
	}
	pthread_mutex_unlock(&s->lock);
}

void serve_close(struct serve *s)
{
	if (!s)
		return;
	serve_drain(s, 0);
	s->stopping = true;
	desks_close(s);
	let_go(s);
	watch_close(s);
	listen_close(s);
	engine_close(s->engine);
	for (size_t i = 0; i < s->n_models; i++) {
		free((char *)s->model[i].m.name);
		free(s->model[i].tag);
	}
	free(s->model);
	keys_close(s->keys);
	metrics_close(s->metrics);
	pthread_cond_destroy(&s->desk_filled);
	pthread_mutex_destroy(&s->log_lock);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *server_name(const struct serve *s)
{
	return s->server;
}

void server_log(struct serve *s, const char *fmt, ...)
{
	char line[1024];
	va_list ap;

	if (!s->o.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&s->log_lock);
	s->o.log(s->o.log_arg, line);
	pthread_mutex_unlock(&s->log_lock);
}

const struct served *server_model(struct serve *s, const char *name, struct fault *f)
{
	size_t n = name ? strlen(name) : 0;

	if (n > 7 && strcmp(name + n - 7, ":latest") == 0)
		n -= 7;
	for (size_t i = 0; name && i < s->n_models; i++)
		if (strlen(s->model[i].m.name) == n && memcmp(s->model[i].m.name, name, n) == 0)
			return &s->model[i];
	if (s->n_models == 1 && (s->o.any_model || !name))
		return &s->model[0];
	fault_set(f, 404, "model_not_found", "model '%.200s' not found", name ? name : "");
	snprintf(f->param, sizeof f->param, "model");
	return NULL;
}
