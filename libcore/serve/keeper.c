/* SPDX-License-Identifier: MIT */
/* keeper.c - the thread that opens and closes models
 *
 * In the order that they were asked for, one at a time. Room under the
 * ceiling of memory is made by closing those that nobody uses, the longest
 * unused first; where all are in use, the load waits. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "serve/call.h"
#include "serve/library.h"

enum { PATIENCE_S = 60 }; /* for room that others hold */

/* ---- what has changed */

static uint64_t mix(uint64_t sum, const struct stat *st)
{
	const uint64_t v[] = { (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec,
		               (uint64_t)st->st_size, (uint64_t)st->st_ino };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		sum = (sum ^ v[i]) * 0x100000001b3u;
	return sum;
}

/* Of a file, or of a directory's files, in whatever order they are read. */
uint64_t keeper_stamp(const char *path)
{
	uint64_t sum = 0;
	struct dirent *f;
	struct stat st;
	DIR *d = opendir(path);

	if (!d)
		return stat(path, &st) ? 0 : mix(0, &st);
	while ((f = readdir(d)))
		if (f->d_name[0] != '.' && fstatat(dirfd(d), f->d_name, &st, 0) == 0 &&
		    S_ISREG(st.st_mode))
			sum += mix(0, &st);
	closedir(d);
	return sum;
}

/* ---- one model; the lock is not held */

static int open_served(struct serve *s, struct served *d, struct err *e)
{
	const struct serve_opener *o = &s->o.opener;
	size_t most, held;

	d->stamp = keeper_stamp(d->slot->path);
	if (o->open(o->arg, d->slot->name, d->slot->path, &d->m, e))
		return -1;
	d->m.name = d->slot->name;
	most = model_config(d->m.model)->max_pos;
	held = kv_pool_tokens(model_pool(d->m.model));
	if (d->m.batch.context && d->m.batch.context < most)
		most = d->m.batch.context;
	/* what the cache has no room for can never be answered */
	d->context = d->m.batch.context = most < held ? most : held;
	d->engine = s->engine;
	if (s->o.memory && d->m.n_held > s->o.memory)
		err_set(e, ERR_MACHINE, "it holds %zu bytes, of at most %zu", d->m.n_held, s->o.memory);
	else if ((model_config(d->m.model)->encoder ||
	          grammars_open(&d->grammars, d->m.tokenizer, model_config(d->m.model)->vocab,
	                        e) == 0) &&
	         engine_attach(s->engine, d, e) == 0)
		return 0;
	grammars_close(d->grammars);
	o->close(o->arg, &d->m);
	return -1;
}

static void close_served(struct serve *s, struct served *d)
{
	server_log(s, "model %s: closed", d->m.name);
	grammars_close(d->grammars);
	s->o.opener.close(s->o.opener.arg, &d->m);
	free(d);
}

/* ---- room; the lock is held */

static size_t held_bytes(const struct models *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++)
		if (m->slot[i]->live)
			n += m->slot[i]->live->m.n_held;
	for (const struct served *d = m->retired; d; d = d->next)
		n += d->m.n_held;
	return n;
}

/* The longest unused of those that nobody uses. */
static struct slot *idle(const struct models *m, const struct slot *but)
{
	struct slot *found = NULL;

	for (size_t i = 0; i < m->n; i++) {
		struct slot *t = m->slot[i];

		if (t != but && t->live && !t->live->uses && (!found || t->used_at < found->used_at))
			found = t;
	}
	return found;
}

static bool too_much(const struct serve *s, size_t more)
{
	return s->o.memory && held_bytes(&s->models) + more > s->o.memory;
}

/* ---- what there is to do; each gives whether it did something */

static bool close_retired(struct serve *s)
{
	struct models *m = &s->models;

	for (struct served **at = &m->retired; *at; at = &(*at)->next) {
		struct served *d = *at;

		if (d->uses)
			continue;
		*at = d->next;
		pthread_mutex_unlock(&m->lock);
		if (engine_detach(s->engine, d) == 0) {
			library_used(s, d->slot);
			close_served(s, d);
			pthread_mutex_lock(&m->lock);
			return true;
		}
		/* the server ends: so does this, with the others */
		pthread_mutex_lock(&m->lock);
		d->next = m->retired;
		m->retired = d;
		return false;
	}
	return false;
}

static bool retire_expired(struct serve *s)
{
	double now = http_seconds();
	bool any = false;

	for (size_t i = 0; i < s->models.n; i++) {
		struct slot *t = s->models.slot[i];

		if (!t->live || t->live->uses)
			continue;
		if (t->gone || (t->expires_at > 0 && now >= t->expires_at)) {
			models_retire(s, t);
			any = true;
		}
	}
	return any;
}

static void fail(struct serve *s, struct slot *t, const struct err *e)
{
	t->error = *e;
	t->failed_at = http_seconds();
	if (!t->live)
		t->state = SLOT_OUT;
	if (s->listens)
		server_log(s, "model %s: %s", t->name, e->text);
	models_unpark(s, t);
}

static void came(struct serve *s, struct slot *t, struct served *d, double seconds)
{
	models_retire(s, t); /* what was there */
	t->live = d;
	t->state = SLOT_READY;
	if (t->listed) /* whose digest is that of the files */
		memcpy(d->m.facts.digest, t->facts.digest, sizeof d->m.facts.digest);
	t->facts = d->m.facts;
	t->held = d->m.n_held;
	t->load_s = seconds;
	t->used_at = http_seconds();
	t->expires_at = t->keep_default < 0 ? 0 : t->used_at + t->keep_default;
	t->error.kind = ERR_NONE;
	s->models.n_loads++;
	if (s->listens)
		server_log(s, "model %s: open, %zu bytes, %.1f s", t->name, t->held, seconds);
	models_unpark(s, t);
}

static void load(struct serve *s, struct slot *t)
{
	struct served *d = calloc(1, sizeof *d);
	double began = http_seconds();
	struct err e;
	int rc;

	if (!t->live)
		t->state = SLOT_LOADING;
	t->reload = false;
	if (!d) {
		err_memory(&e, sizeof *d);
		fail(s, t, &e);
		return;
	}
	d->slot = t;
	pthread_mutex_unlock(&s->models.lock);
	rc = open_served(s, d, &e);
	pthread_mutex_lock(&s->models.lock);
	if (rc) {
		free(d);
		fail(s, t, &e);
		return;
	}
	came(s, t, d, http_seconds() - began);
	pthread_mutex_unlock(&s->models.lock);
	library_opened(s, t);
	pthread_mutex_lock(&s->models.lock);
	while (too_much(s, 0) && idle(&s->models, t))
		models_retire(s, idle(&s->models, t));
}

/* The next that is wanted: opened, or room is made for it, or it is refused. */
static bool load_next(struct serve *s)
{
	struct models *m = &s->models;
	struct slot *t = NULL, *victim;
	struct err e;
	size_t need;

	for (size_t i = 0; i < m->n; i++) {
		struct slot *c = m->slot[i];

		if ((c->state == SLOT_WANTED || (c->live && c->reload)) &&
		    (!t || c->wanted_at < t->wanted_at))
			t = c;
	}
	if (!t)
		return false;
	need = t->held ? t->held : t->facts.n_bytes + t->facts.n_bytes / 8;
	if (!too_much(s, need)) {
		load(s, t);
		return true;
	}
	victim = idle(m, t);
	if (victim) {
		models_retire(s, victim);
		return true;
	}
	if (t->live) {
		/* no room for both: the new one waits until the old is gone */
		models_retire(s, t);
		models_want(s, t);
		return true;
	}
	if (held_bytes(m) && http_seconds() < t->wanted_at + PATIENCE_S)
		return false;
	err_set(&e, ERR_MACHINE, "it needs %zu bytes; of %zu, %zu are in use", need, s->o.memory,
	        held_bytes(m));
	fail(s, t, &e);
	return true;
}

/* ---- the thread */

static void rest(struct serve *s)
{
	double until = http_seconds() + 3600;
	struct timespec t;

	for (size_t i = 0; i < s->models.n; i++) {
		const struct slot *k = s->models.slot[i];

		if (k->live && !k->live->uses && k->expires_at > 0 && k->expires_at < until)
			until = k->expires_at;
		if (k->state == SLOT_WANTED && k->wanted_at + PATIENCE_S < until)
			until = k->wanted_at + PATIENCE_S;
	}
	t.tv_sec = (time_t)until;
	t.tv_nsec = (long)((until - (double)t.tv_sec) * 1e9);
	pthread_cond_timedwait(&s->models.news, &s->models.lock, &t);
}

static void *keep(void *arg)
{
	struct serve *s = arg;

	pthread_mutex_lock(&s->models.lock);
	while (!s->models.stop && !s->draining)
		if (!retire_expired(s) && !close_retired(s) && !load_next(s))
			rest(s);
	pthread_mutex_unlock(&s->models.lock);
	return NULL;
}

int keeper_open(struct serve *s, struct err *e)
{
	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++)
		if (s->models.slot[i]->preload)
			models_want(s, s->models.slot[i]);
	pthread_mutex_unlock(&s->models.lock);
	if (pthread_create(&s->models.thread, NULL, keep, s))
		return err_errno(e, "cannot start a thread");
	s->models.runs = true;
	return 0;
}

void keeper_close(struct serve *s)
{
	if (!s->models.runs)
		return;
	pthread_mutex_lock(&s->models.lock);
	s->models.stop = true;
	pthread_cond_signal(&s->models.news);
	pthread_mutex_unlock(&s->models.lock);
	pthread_join(s->models.thread, NULL);
	s->models.runs = false;
}

int serve_preloaded(struct serve *s, struct err *e)
{
	int rc = 0;

	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n && rc >= 0; i++) {
		const struct slot *t = s->models.slot[i];

		if (!t->preload)
			continue;
		if (t->failed_at > 0) {
			*e = t->error;
			rc = -1;
		} else if (!t->live) {
			rc = 1;
		}
	}
	pthread_mutex_unlock(&s->models.lock);
	return rc;
}

void serve_refresh(struct serve *s)
{
	library_refresh(s);
	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++) {
		struct slot *t = s->models.slot[i];

		if (!t->live || t->gone || t->live->stamp == keeper_stamp(t->path))
			continue;
		t->reload = true;
		t->wanted_at = http_seconds();
	}
	pthread_cond_signal(&s->models.news);
	pthread_mutex_unlock(&s->models.lock);
}
