/* SPDX-License-Identifier: MIT */
/* pulling.c - Ollama's POST /api/pull: a thread for each model that comes,
 * and those who wait for it. A client that leaves ends nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/admin.h"
#include "serve/api.h"
#include "serve/library.h"
#include "util/file.h"

enum { PULLS_MAX = 16 };

struct waiter { struct exchange *x; bool streams; struct waiter *next; };

struct pull {
	struct serve *serve;
	char name[256];
	struct waiter *waiters;    /* under the server's lock of pulls */
	pthread_t thread;
	bool over;                 /* the thread is to be joined */
	struct pull *next;
};

static void release(struct waiter *w)
{
	exchange_drop(w->x);
	free(w);
}

static void progress(void *arg, const struct pull_progress *p)
{
	struct pull *u = arg;
	struct buf b = { 0 };

	if (p->digest && p->total)
		buf_printf(&b, "{\"status\":\"%s %.12s\",\"digest\":\"sha256:%s\",\"total\":%zu,"
		           "\"completed\":%zu}\n", p->status, p->digest, p->digest, p->total,
		           p->completed);
	else if (!p->total)
		buf_printf(&b, "{\"status\":\"%s\"}\n", p->status);
	pthread_mutex_lock(&u->serve->pull_lock);
	for (struct waiter *w = u->waiters; w; w = w->next)
		if (w->streams)
			respond_add(w->x, buf_bytes(&b));
	pthread_mutex_unlock(&u->serve->pull_lock);
	buf_release(&b);
}

/* What came takes the place of what had its name. */
static int take(struct pull *u, const struct pulled *got, struct fault *f)
{
	struct serve *s = u->serve;
	struct slot *t;
	struct err e;

	pthread_mutex_lock(&s->models.lock);
	t = models_find(s, got->name);
	if (t && t->listed)
		t->gone = true;
	pthread_mutex_unlock(&s->models.lock);
	if (library_add(s, got->name, got->path, "pull", "", NULL, &e) == 0)
		return 0;
	server_log(s, "%s: %s", u->name, e.text);
	return fault_set(f, 500, "internal_error", "%s: it came, but cannot be served", u->name);
}

static int run_pull(struct pull *u, struct fault *f)
{
	struct serve *s = u->serve;
	struct arena a = { 0 };
	struct pulled got;
	struct err e = { 0 };
	struct pull_options o = { .hub = s->o.hub, .token = s->o.hub_token, .stop = &s->stopping,
		                  .progress = progress, .arg = u };
	int rc = -1;

	o.dir = file_data_path(&a, "models", &e);
	if (o.dir && pull_model(&got, &a, u->name, &o, &e) == 0) {
		rc = take(u, &got, f);
	} else {
		server_log(s, "%s: %s", u->name, e.text);
		if (e.kind == ERR_INPUT)
			fault_set(f, 400, "invalid_value", "%.480s", e.text);
		else
			fault_set(f, 500, "internal_error", "%s: it could not be pulled; what came is kept",
			          u->name);
	}
	arena_release(&a);
	return rc;
}

static void *pull(void *arg)
{
	struct pull *u = arg;
	struct serve *s = u->serve;
	struct waiter *w;
	struct fault f;
	int rc = run_pull(u, &f);

	pthread_mutex_lock(&s->pull_lock);
	u->over = true;
	w = u->waiters;
	u->waiters = NULL;
	pthread_mutex_unlock(&s->pull_lock);
	for (struct waiter *next; w; w = next) {
		next = w->next;
		admin_end(w->x, w->streams, rc ? &f : NULL);
		release(w);
	}
	return NULL;
}

/* Those that are over are joined. The lock is held. */
static size_t sweep(struct serve *s)
{
	size_t n = 0;

	for (struct pull **at = &s->pulls; *at;) {
		struct pull *u = *at;

		if (!u->over) {
			n++;
			at = &u->next;
			continue;
		}
		*at = u->next;
		pthread_join(u->thread, NULL);
		free(u);
	}
	return n;
}

void pulls_close(struct serve *s)
{
	for (struct pull *u = s->pulls, *next; u; u = next) {
		next = u->next;
		pthread_join(u->thread, NULL);
		free(u);
	}
	s->pulls = NULL;
}

static struct pull *begin(struct serve *s, const char *name, struct fault *f)
{
	struct pull *u = calloc(1, sizeof *u);

	if (!u) {
		fault_memory(f);
		return NULL;
	}
	u->serve = s;
	snprintf(u->name, sizeof u->name, "%s", name);
	if (pthread_create(&u->thread, NULL, pull, u)) {
		free(u);
		fault_set(f, 503, "out_of_memory", "no thread for it");
		return NULL;
	}
	u->next = s->pulls;
	s->pulls = u;
	return u;
}

/* The one that runs, or a new one. */
static int join(struct exchange *x, const char *name, bool streams, struct fault *f)
{
	struct serve *s = x->serve;
	struct waiter *w = calloc(1, sizeof *w);
	struct pull *u;

	if (!w)
		return fault_memory(f);
	pthread_mutex_lock(&s->pull_lock);
	if (sweep(s) >= PULLS_MAX) {
		u = NULL;
		fault_set(f, 503, "queue_full", "%d models are being pulled already", PULLS_MAX);
	} else {
		for (u = s->pulls; u && strcmp(u->name, name); u = u->next)
			;
		u = u ? u : begin(s, name, f);
	}
	if (u) {
		*w = (struct waiter){ exchange_hold(x), streams, u->waiters };
		u->waiters = w;
		admin_status(x, streams, "pulling manifest");
	} else {
		free(w);
	}
	pthread_mutex_unlock(&s->pull_lock);
	return u ? 0 : -1;
}

void api_pull(struct exchange *x)
{
	cJSON *o = body_open(x);
	const char *name = NULL;
	bool streams = true;
	struct fault f;
	int rc = 0;

	if (!o)
		return;
	if (param_text(o, "model", &name, &f) < 0 || (!name && param_text(o, "name", &name, &f) < 0) ||
	    param_bool(o, "stream", &streams, &f) < 0)
		rc = -1;
	else if (!name || strlen(name) > 255)
		rc = fault_param(&f, "model", "missing_required_parameter", "model is required");
	else if (!x->serve->o.hub)
		rc = fault_set(&f, 400, "invalid_value", "no hub is set to pull from");
	else
		rc = join(x, name, streams, &f);
	if (rc)
		respond_fault(x, &f);
	cJSON_Delete(o);
}
