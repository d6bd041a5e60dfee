/* SPDX-License-Identifier: MIT */
/* library.c - models on disk, as the registry knows them
 *
 * A model is described once, by a look at its heads; the registry keeps that
 * as long as the files are the same. A thread of low priority adds up SHA-256
 * of files that have none yet. */
#include "serve/library.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "serve/tidy.h"
#include "util/file.h"

enum { NICE = 10, PART_MAX = 80 };

bool library_name(const char *name, size_t most)
{
	size_t parts = 1, n = 0;

	for (const char *p = name;; p++) {
		if (*p == '/' || !*p) {
			/* no part is empty, and none means a directory */
			if (!n || n > PART_MAX || p[-1] == '.')
				return false;
			if (!*p)
				return parts <= most;
			parts++;
			n = 0;
		} else if ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
		           (*p >= '0' && *p <= '9') || strchr("._-", *p)) {
			n++;
		} else {
			return false;
		}
	}
}

/* ---- rows and facts */

static void from_row(struct serve_facts *f, const struct registry_row *r)
{
	*f = (struct serve_facts){ .parameters = (size_t)r->parameters,
		                   .context = (size_t)r->context,
		                   .vocab = (size_t)r->vocab,
		                   .hidden = (size_t)r->hidden,
		                   .n_bytes = (size_t)r->n_bytes,
		                   .modified = r->modified,
		                   .encoder = r->flags & MODEL_ENCODER,
		                   .tools = r->flags & MODEL_TOOLS,
		                   .thinks = r->flags & MODEL_THINKS };
	snprintf(f->family, sizeof f->family, "%s", r->family);
	snprintf(f->format, sizeof f->format, "%s", r->format);
	snprintf(f->quant, sizeof f->quant, "%s", r->quant);
	snprintf(f->digest, sizeof f->digest, "%s", r->sha256);
}

static void to_row(struct registry_row *r, const struct serve_facts *f)
{
	r->family = f->family;
	r->format = f->format;
	r->quant = f->quant;
	r->parameters = (int64_t)f->parameters;
	r->context = (int64_t)f->context;
	r->vocab = (int64_t)f->vocab;
	r->hidden = (int64_t)f->hidden;
	r->n_bytes = (int64_t)f->n_bytes;
	r->modified = f->modified;
	r->flags = (f->encoder ? MODEL_ENCODER : 0u) | (f->tools ? MODEL_TOOLS : 0u) |
	           (f->thinks ? MODEL_THINKS : 0u);
}

/* ---- one model */

static int serve_it(struct serve *s, const char *name, const char *path, const char *settings,
                    const struct serve_facts *f, struct err *e)
{
	const struct serve_entry m = { .name = name, .path = path, .settings = settings,
		                       .facts = *f, .keep_alive = s->o.keep_alive };
	struct slot *t;
	int rc = models_add(s, &m, e);

	pthread_mutex_lock(&s->models.lock);
	t = rc ? NULL : models_find(s, name);
	if (t)
		t->listed = true;
	pthread_mutex_unlock(&s->models.lock);
	return rc;
}

static int add(struct serve *s, const struct registry_row *with, struct err *e)
{
	struct registry_row row = *with;
	struct serve_facts f = { 0 };

	if (s->o.opener.describe(s->o.opener.arg, row.path, &f, e))
		return -1;
	to_row(&row, &f);
	if (row.sha256)
		snprintf(f.digest, sizeof f.digest, "%s", row.sha256);
	if (registry_put(s->registry, &row, e))
		return -1;
	return serve_it(s, row.name, row.path, row.settings, &f, e);
}

int library_add(struct serve *s, const char *name, const char *path, const char *origin,
                const char *settings, const char *sha256, struct err *e)
{
	const struct registry_row row = { .name = name, .path = path, .origin = origin,
		                          .settings = settings, .sha256 = sha256,
		                          .stamp = (int64_t)keeper_stamp(path) };
	int rc = add(s, &row, e);

	if (rc == 0)
		library_hash(s);
	return rc;
}

static bool is_served(struct serve *s, const char *name, const char *path)
{
	struct slot *t;
	bool yes;

	pthread_mutex_lock(&s->models.lock);
	t = models_find(s, name);
	yes = t != NULL;
	if (t && t->listed && strcmp(t->path, path) == 0)
		t->seen = true;
	pthread_mutex_unlock(&s->models.lock);
	return yes;
}

static void mark_seen(struct serve *s, const char *name)
{
	struct slot *t;

	pthread_mutex_lock(&s->models.lock);
	t = models_find(s, name);
	if (t)
		t->seen = true;
	pthread_mutex_unlock(&s->models.lock);
}

/* A model of the directory: what the registry knows of the same files holds. */
static int found(void *arg, const char *name, const char *path)
{
	struct serve *s = arg;
	struct registry_row row;
	struct arena a = { 0 };
	struct serve_facts f;
	struct err e;
	int64_t stamp = (int64_t)keeper_stamp(path);
	int rc = registry_get(s->registry, name, &row, &a, &e);

	if (rc == 1 && row.stamp == stamp && strcmp(row.path, path) == 0) {
		from_row(&f, &row);
		rc = is_served(s, name, path) ? 0 : serve_it(s, name, path, row.settings, &f, &e);
	} else if (rc >= 0) {
		rc = is_served(s, name, path) ?
		             0 :
		             add(s, &(struct registry_row){ .name = name, .path = path,
		                                            .origin = "scan", .stamp = stamp }, &e);
	}
	if (rc)
		server_log(s, "%s: left out: %s", path, e.text);
	else
		mark_seen(s, name);
	arena_release(&a);
	return 0;
}

/* ---- all of them */

static int registered(struct serve *s, struct err *e)
{
	struct registry_row *row;
	struct arena a = { 0 };
	struct serve_facts f;
	struct err one;
	size_t n;
	int rc = registry_list(s->registry, &row, &n, &a, e);

	for (size_t i = 0; rc == 0 && i < n; i++) {
		/* what clients added comes back; the rest where it is asked for */
		if ((!file_exists(row[i].path) && !file_is_dir(row[i].path)) ||
		    (!s->o.registered && strcmp(row[i].origin, "scan") == 0))
			continue;
		from_row(&f, &row[i]);
		if (!is_served(s, row[i].name, row[i].path) &&
		    serve_it(s, row[i].name, row[i].path, row[i].settings, &f, &one))
			server_log(s, "%s: left out: %s", row[i].name, one.text);
		else
			mark_seen(s, row[i].name);
	}
	arena_release(&a);
	return rc;
}

static int collect(struct serve *s, struct err *e)
{
	if (s->o.models_dir && scan_models(s->o.models_dir, found, s, e))
		return -1;
	return s->o.registered || s->o.admin ? registered(s, e) : 0;
}

void library_refresh(struct serve *s)
{
	struct err e;
	int rc;

	if (!s->registry)
		return;
	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++)
		s->models.slot[i]->seen = false;
	pthread_mutex_unlock(&s->models.lock);
	rc = collect(s, &e);
	if (rc) {
		server_log(s, "models: %s", e.text);
		return;
	}
	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++)
		if (s->models.slot[i]->listed && !s->models.slot[i]->seen)
			s->models.slot[i]->gone = true;
	pthread_cond_signal(&s->models.news);
	pthread_mutex_unlock(&s->models.lock);
	library_hash(s);
}

void library_opened(struct serve *s, const struct slot *t)
{
	struct registry_row row = { 0 }, old;
	struct arena a = { 0 };
	struct err e;

	if (!s->registry || !t->listed)
		return;
	if (registry_get(s->registry, t->name, &old, &a, &e) == 1) {
		row = old;
		to_row(&row, &t->facts);
		row.used = (int64_t)time(NULL);
		if (t->live && row.stamp != (int64_t)t->live->stamp) {
			row.stamp = (int64_t)t->live->stamp;
			row.sha256 = NULL;
		}
		if (registry_put(s->registry, &row, &e))
			server_log(s, "%s", e.text);
	}
	arena_release(&a);
}

void library_used(struct serve *s, const struct slot *t)
{
	struct err e;

	if (s->registry && t->listed &&
	    registry_used(s->registry, t->name,
	                  (int64_t)time(NULL) - (int64_t)(http_seconds() - t->used_at), &e))
		server_log(s, "%s", e.text);
}

/* ---- SHA-256, in its own time */

static void hash_all(struct serve *s)
{
	struct registry_row *row;
	struct arena a = { 0 };
	char sum[SHA256_TEXT];
	struct err e;
	size_t n;

	if (registry_list(s->registry, &row, &n, &a, &e))
		n = 0;
	for (size_t i = 0; i < n && !s->stopping; i++) {
		struct slot *t;

		if (row[i].sha256[0] || row[i].stamp != (int64_t)keeper_stamp(row[i].path) ||
		    file_sha256(sum, row[i].path, &s->stopping, &e) ||
		    registry_sha256(s->registry, row[i].name, row[i].stamp, sum, &e))
			continue;
		pthread_mutex_lock(&s->models.lock);
		t = models_find(s, row[i].name);
		if (t && strcmp(t->path, row[i].path) == 0)
			snprintf(t->facts.digest, sizeof t->facts.digest, "%s", sum);
		pthread_mutex_unlock(&s->models.lock);
	}
	arena_release(&a);
}

static void *hash(void *arg)
{
	struct serve *s = arg;

	setpriority(PRIO_PROCESS, 0, NICE); /* of this thread alone */
	pthread_mutex_lock(&s->hash_lock);
	while (!s->stopping) {
		bool wanted = s->hash_wanted;

		s->hash_wanted = false;
		if (!wanted) {
			pthread_cond_wait(&s->hash_news, &s->hash_lock);
			continue;
		}
		pthread_mutex_unlock(&s->hash_lock);
		hash_all(s);
		pthread_mutex_lock(&s->hash_lock);
	}
	pthread_mutex_unlock(&s->hash_lock);
	return NULL;
}

void library_hash(struct serve *s)
{
	pthread_mutex_lock(&s->hash_lock);
	s->hash_wanted = true;
	pthread_cond_signal(&s->hash_news);
	pthread_mutex_unlock(&s->hash_lock);
}

int library_open(struct serve *s, struct err *e)
{
	if (!s->o.models_dir && !s->o.registered && !s->o.admin)
		return 0;
	if (registry_open(&s->registry, NULL, e) || (s->o.admin && tidy_open(s, e)) || collect(s, e))
		return -1;
	s->hash_wanted = true;
	if (pthread_create(&s->hash_thread, NULL, hash, s))
		return err_errno(e, "cannot start a thread");
	s->hashes = true;
	return 0;
}

void library_close(struct serve *s)
{
	if (s->hashes) {
		library_hash(s);
		pthread_join(s->hash_thread, NULL);
	}
	s->hashes = false;
	if (s->registry && s->models.ready)
		for (size_t i = 0; i < s->models.n; i++)
			if (s->models.slot[i]->live)
				library_used(s, s->models.slot[i]);
	registry_close(s->registry);
	s->registry = NULL;
	tidy_close(s);
}
