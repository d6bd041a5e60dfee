/* SPDX-License-Identifier: MIT */
/* serve.c - a server from its options to its end */
#include "serve/serve.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/bell.h"
#include "serve/call.h"
#include "serve/library.h"
#include "serve/metrics.h"

static size_t or_else(size_t n, size_t otherwise)
{
	return n ? n : otherwise;
}

static void set_limits(struct limits *l, const struct serve_limits *o, bool runs)
{
	l->queue = or_else(o->queue, 512);
	l->body_bytes = or_else(o->body_bytes, 32 << 20);
	l->head_seconds = or_else(o->head_seconds, 10);
	l->body_seconds = or_else(o->body_seconds, 30);
	l->stall_seconds = or_else(o->stall_seconds, 60);
	l->per_address = or_else(o->per_address, 64);
	if (runs)
		return; /* the HTTP library keeps to the others as it began */
	l->connections = or_else(o->connections, 512);
	l->idle_seconds = or_else(o->idle_seconds, 75);
}

int serve_open(struct serve **out, const struct serve_options *o, struct err *e)
{
	struct serve *s = calloc(1, sizeof *s);
	struct keys *k = NULL;

	*out = s;
	if (!s)
		return err_memory(e, sizeof *s);
	s->o = *o;
	set_limits(&s->limits, &o->limits, false);
	s->started_at = (int64_t)time(NULL);
	snprintf(s->server, sizeof s->server, "clm/%s", o->version ? o->version : "0");
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->log_lock, NULL);
	pthread_cond_init(&s->desk_filled, NULL);
	pthread_mutex_init(&s->hash_lock, NULL);
	pthread_mutex_init(&s->pull_lock, NULL);
	pthread_cond_init(&s->hash_news, NULL);
	if (models_open(s, e) || metrics_open(&s->metrics, e) ||
	    (o->key_file && keys_open(&k, o->key_file, e))) {
		serve_close(s);
		*out = NULL;
		return -1;
	}
	s->keys = k;
	return 0;
}

int serve_add(struct serve *s, const struct serve_entry *m, struct err *e)
{
	return models_add(s, m, e);
}

int serve_start(struct serve *s, struct err *e)
{
	if (library_open(s, e) || bell_open(&s->bell, e) || engine_open(&s->engine, s, e) ||
	    engine_start(s->engine, e) || desks_open(s, e) || watch_open(s, e) || keeper_open(s, e))
		return -1;
	return 0;
}

int serve_listen(struct serve *s, struct err *e)
{
	s->listens = true;
	if (listen_open(s, e))
		return -1;
	for (size_t i = 0; i < s->n_listeners; i++)
		server_log(s, "listening at %s", s->listener[i].address);
	return 0;
}

static bool among(const char *name, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return true;
	return false;
}

int serve_reload(struct serve *s, const struct serve_options *o, const char *const *name, size_t n,
                 struct err *e)
{
	struct keys *k;

	if (s->keys && o->key_file) {
		/* who compares with the old ones may go on: they stay until the end */
		if (keys_open(&k, o->key_file, e))
			return -1;
		keys_chain(k, s->keys);
		s->keys = k;
	}
	set_limits(&s->limits, &o->limits, true);
	pthread_mutex_lock(&s->models.lock);
	s->o.memory = o->memory;
	s->o.keep_alive = o->keep_alive;
	for (size_t i = 0; i < s->models.n; i++) {
		struct slot *t = s->models.slot[i];

		if (!t->listed)
			t->gone = !among(t->name, name, n);
		else
			t->keep_default = o->keep_alive;
	}
	pthread_cond_signal(&s->models.news);
	pthread_mutex_unlock(&s->models.lock);
	return 0;
}

void serve_drain(struct serve *s, double seconds)
{
	s->draining = true;
	listen_stop(s);
	models_unpark_all(s);
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
	if (s->models.ready)
		serve_drain(s, 0);
	s->stopping = true;
	desks_close(s);
	pulls_close(s);
	let_go(s);
	watch_close(s);
	bell_close(s->bell);
	s->bell = NULL;
	listen_close(s);
	keeper_close(s);
	library_close(s);
	engine_close(s->engine);
	models_close(s);
	keys_close(s->keys);
	metrics_close(s->metrics);
	pthread_cond_destroy(&s->desk_filled);
	pthread_mutex_destroy(&s->hash_lock);
	pthread_mutex_destroy(&s->pull_lock);
	pthread_cond_destroy(&s->hash_news);
	pthread_mutex_destroy(&s->log_lock);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *server_name(const struct serve *s)
{
	return s->server;
}
