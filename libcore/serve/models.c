/* SPDX-License-Identifier: MIT */
/* models.c - the table of models: names, who uses what, who waits */
#include "serve/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/server.h"

enum { SLOTS_MAX = 4096 };
#define RETRY_S 1 /* after a failure, before another try */

int models_open(struct serve *s, struct err *e)
{
	pthread_condattr_t a;

	if (pthread_mutex_init(&s->models.lock, NULL))
		return err_set(e, ERR_MACHINE, "cannot make a lock");
	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(&s->models.news, &a);
	pthread_condattr_destroy(&a);
	s->models.ready = true;
	return 0;
}

static void slot_free(struct slot *t)
{
	if (!t)
		return;
	free(t->name);
	free(t->tag);
	free(t->path);
	free(t->settings);
	free(t);
}

static void served_free(struct serve *s, struct served *d)
{
	if (d) {
		grammars_close(d->grammars);
		s->o.opener.close(s->o.opener.arg, &d->m);
	}
	free(d);
}

void models_close(struct serve *s)
{
	struct models *m = &s->models;

	if (!m->ready)
		return;
	for (struct served *d = m->retired, *next; d; d = next) {
		next = d->next;
		served_free(s, d);
	}
	for (size_t i = 0; i < m->n; i++) {
		served_free(s, m->slot[i]->live);
		slot_free(m->slot[i]);
	}
	free(m->slot);
	pthread_cond_destroy(&m->news);
	pthread_mutex_destroy(&m->lock);
	m->ready = false;
}

/* ---- the table */

static struct slot *find(struct serve *s, const char *name, size_t n)
{
	for (size_t i = 0; i < s->models.n; i++) {
		struct slot *t = s->models.slot[i];

		if (!t->gone && strlen(t->name) == n && memcmp(t->name, name, n) == 0)
			return t;
	}
	return NULL;
}

struct slot *models_find(struct serve *s, const char *name)
{
	size_t n = strlen(name);
	struct slot *t = find(s, name, n);

	if (!t && n > 7 && strcmp(name + n - 7, ":latest") == 0)
		t = find(s, name, n - 7);
	return t;
}

struct slot *models_slot(struct serve *s, const char *name, struct fault *f)
{
	struct slot *t = name ? models_find(s, name) : NULL, *only = NULL;
	size_t n = 0;

	for (size_t i = 0; i < s->models.n; i++)
		if (!s->models.slot[i]->gone) {
			only = s->models.slot[i];
			n++;
		}
	if (!t && n == 1 && (s->o.any_model || !name))
		t = only;
	if (t)
		return t;
	fault_set(f, 404, "model_not_found", "model '%.200s' not found", name ? name : "");
	snprintf(f->param, sizeof f->param, "model");
	return NULL;
}

int32_t models_adapter(const struct serve *s, const char *model, const char *name)
{
	int32_t place = 0;

	for (size_t i = 0; i < s->o.n_adapters; i++) {
		if (strcmp(s->o.adapter[i].model, model))
			continue;
		place++;
		if (strcmp(s->o.adapter[i].name, name) == 0)
			return place;
	}
	return 0;
}

/* "model:adapter". The lock is held. */
static struct slot *find_adapted(struct serve *s, const char *name, int32_t *adapter)
{
	const char *colon = name ? strrchr(name, ':') : NULL;
	struct slot *t = colon ? find(s, name, (size_t)(colon - name)) : NULL;

	*adapter = t ? models_adapter(s, t->name, colon + 1) : 0;
	return *adapter ? t : NULL;
}

static struct slot *slot_new(const struct serve_entry *m, struct err *e)
{
	struct slot *t = calloc(1, sizeof *t);

	if (!t) {
		err_memory(e, sizeof *t);
		return NULL;
	}
	t->name = strdup(m->name);
	t->path = strdup(m->path);
	if (asprintf(&t->tag, strchr(m->name, ':') ? "%s" : "%s:latest", m->name) < 0)
		t->tag = NULL;
	t->settings = m->settings && *m->settings ? strdup(m->settings) : NULL;
	if (!t->name || !t->path || !t->tag) {
		slot_free(t);
		err_memory(e, strlen(m->name));
		return NULL;
	}
	t->facts = m->facts;
	t->keep = t->keep_default = m->keep_alive;
	t->preload = m->preload;
	return t;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static int add(struct serve *s, struct slot *take, struct err *e)
{
	struct models *m = &s->models;
	struct slot **more;

	for (size_t i = 0; i < m->n; i++)
		if (m->slot[i]->gone && !strcmp(m->slot[i]->name, take->name) &&
		    !strcmp(m->slot[i]->path, take->path) &&
		    !strcmp(or_empty(m->slot[i]->settings), or_empty(take->settings))) {
			m->slot[i]->gone = false;
			m->slot[i]->facts = take->facts;
			slot_free(take);
			return 0;
		}
	if (models_find(s, take->name)) {
		err_set(e, ERR_MISUSE, "two models are named %s", take->name);
	} else if (m->n == SLOTS_MAX) {
		err_set(e, ERR_MACHINE, "at most %d models", SLOTS_MAX);
	} else if (!(more = realloc(m->slot, (m->n + 1) * sizeof *more))) {
		err_memory(e, (m->n + 1) * sizeof *more);
	} else {
		m->slot = more;
		m->slot[m->n++] = take;
		return 0;
	}
	slot_free(take);
	return -1;
}

int models_add(struct serve *s, const struct serve_entry *m, struct err *e)
{
	struct slot *t = slot_new(m, e);
	int rc;

	if (!t)
		return -1;
	pthread_mutex_lock(&s->models.lock);
	rc = add(s, t, e);
	pthread_mutex_unlock(&s->models.lock);
	return rc;
}

/* ---- who uses what; the lock is held */

static void let_go(struct serve *s, struct exchange *x)
{
	struct served *d = x->held;
	struct slot *t;

	if (!d)
		return;
	t = d->slot;
	x->held = NULL;
	t->used_at = http_seconds();
	t->keep = x->keeps ? x->keep : t->keep_default;
	t->expires_at = t->keep < 0 ? 0 : t->used_at + t->keep;
	if (--d->uses == 0)
		pthread_cond_signal(&s->models.news);
}

static void hold(struct serve *s, struct exchange *x, struct slot *t)
{
	if (x->held == t->live)
		return;
	let_go(s, x);
	x->held = t->live;
	x->held->uses++;
	t->used_at = http_seconds();
}

void models_drop(struct exchange *x)
{
	if (!x->held)
		return;
	pthread_mutex_lock(&x->serve->models.lock);
	let_go(x->serve, x);
	pthread_mutex_unlock(&x->serve->models.lock);
}

void models_retire(struct serve *s, struct slot *t)
{
	struct served *d = t->live;

	if (!d)
		return;
	t->live = NULL;
	t->reload = false;
	t->state = SLOT_OUT;
	d->next = s->models.retired;
	s->models.retired = d;
	pthread_cond_signal(&s->models.news);
}

void models_want(struct serve *s, struct slot *t)
{
	if (t->state != SLOT_OUT)
		return;
	t->state = SLOT_WANTED;
	t->wanted_at = http_seconds();
	t->failed_at = 0;
	pthread_cond_signal(&s->models.news);
}

/* Why it is not open: what is wrong with a file is no client's concern. */
static int failure(const struct slot *t, struct fault *f)
{
	if (t->error.kind == ERR_MACHINE)
		return fault_set(f, 503, "model_loading", "model '%.200s' cannot be loaded now", t->name);
	return fault_set(f, 500, "internal_error", "model '%.200s' cannot be loaded", t->name);
}

static int use(struct exchange *x, const char *name, struct fault *f)
{
	struct serve *s = x->serve;
	struct slot *t = find_adapted(s, name, &x->adapter);

	if (!t)
		t = models_slot(s, name, f);
	if (!t)
		return -1;
	if (t->live) {
		hold(s, x, t);
		return 0;
	}
	if (s->draining)
		return fault_set(f, 503, "shutting_down", "the server is shutting down");
	if (t->failed_at > 0 && http_seconds() < t->failed_at + RETRY_S)
		return failure(t, f);
	models_want(s, t);
	x->wants = t;
	return fault_set(f, FAULT_PARKED, "model_loading", "the model is being loaded");
}

const struct served *server_model(struct exchange *x, const char *name, struct fault *f)
{
	int rc;

	pthread_mutex_lock(&x->serve->models.lock);
	rc = use(x, name, f);
	pthread_mutex_unlock(&x->serve->models.lock);
	return rc ? NULL : x->held;
}

/* ---- who waits */

void models_unpark(struct serve *s, struct slot *t)
{
	struct parked *p;

	while ((p = t->parked)) {
		t->parked = p->next;
		s->models.n_parked--;
		desk_take(s, p->x);
		free(p);
	}
}

void models_unpark_all(struct serve *s)
{
	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++)
		models_unpark(s, s->models.slot[i]);
	pthread_mutex_unlock(&s->models.lock);
}

/* The lock is held; false: there is no room for it. */
static bool park(struct serve *s, struct slot *t, struct exchange *x)
{
	struct parked *p, **at = &t->parked;

	if (s->models.n_parked >= s->limits.queue)
		return false;
	p = malloc(sizeof *p);
	if (!p)
		return false;
	*p = (struct parked){ .x = exchange_hold(x) };
	while (*at)
		at = &(*at)->next;
	*at = p;
	s->models.n_parked++;
	return true;
}

void models_park(struct exchange *x)
{
	struct serve *s = x->serve;
	struct slot *t = x->wants;
	struct fault f;
	bool ok = true;

	pthread_mutex_lock(&s->models.lock);
	x->wants = NULL;
	/* it may have come, or failed, meanwhile */
	if (t->live || t->state == SLOT_OUT || s->draining)
		desk_take(s, exchange_hold(x));
	else
		ok = park(s, t, x);
	pthread_mutex_unlock(&s->models.lock);
	if (ok)
		return;
	fault_set(&f, 503, "model_loading", "too many requests wait for models");
	respond_fault(x, &f);
}
