/* SPDX-License-Identifier: MIT */
/* hub.c - a repository's list and files over HTTP, by libcurl
 *
 * GET /api/models/REPO/tree/REV?recursive=true, GET /REPO/resolve/REV/FILE:
 * the paths that Hugging Face's hub has, and its mirrors. */
#include "store/hub.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "util/file.h"
#include "util/json.h"

enum { LIST_BYTES = 16 << 20, FILES_MAX = 10000, TRIES = 4, CONNECT_S = 30, SILENT_S = 60,
       REDIRECTS = 5 };

struct fetch {
	const struct pull_options *o;
	const struct hub_file *file; /* NULL: the list */
	CURL *curl;
	struct buf *text;          /* of the list */
	int fd;
	size_t have;               /* bytes of the file that are there */
	struct timespec told;
	bool started, full;        /* full: no space, or over the ceiling */
};

static void tell(struct fetch *t, bool always)
{
	struct pull_progress p = { .status = "pulling", .digest = t->file->sha256,
		                   .total = t->file->n_bytes, .completed = t->have };
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (!always && (now.tv_sec - t->told.tv_sec) * 1000 +
	                               (now.tv_nsec - t->told.tv_nsec) / 1000000 < 100)
		return;
	t->told = now;
	if (t->o->progress)
		t->o->progress(t->o->arg, &p);
}

/* A hub that gives all of it, though only the rest was asked for. */
static void start_over(struct fetch *t)
{
	long status = 0;

	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 206 && t->have && ftruncate(t->fd, 0) == 0 && lseek(t->fd, 0, SEEK_SET) == 0)
		t->have = 0;
	t->started = true;
}

static size_t take(char *p, size_t size, size_t n, void *arg)
{
	struct fetch *t = arg;
	size_t left = n *= size;

	if (!t->file) {
		t->full = buf_add(t->text, p, n) != 0;
		return t->full ? 0 : n;
	}
	if (!t->started)
		start_over(t);
	if (t->have + n > t->file->n_bytes) {
		t->full = true;
		return 0;
	}
	while (left) {
		ssize_t k = write(t->fd, p + (n - left), left);

		if (k < 0 && errno == EINTR)
			continue;
		t->full = k <= 0;
		if (k <= 0)
			return 0;
		left -= (size_t)k;
	}
	t->have += n;
	tell(t, false);
	return n;
}

static int watch(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
	const struct fetch *t = arg;

	(void)a;
	(void)b;
	(void)c;
	(void)d;
	return t->o->stop && *t->o->stop;
}

static void set_up(struct fetch *t, const char *url)
{
	const char *schemes = strncmp(t->o->hub, "https:", 6) == 0 ? "https" : "http,https";
	CURL *c = t->curl;

	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, schemes);
	curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, schemes);
	curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
	curl_easy_setopt(c, CURLOPT_FAILONERROR, 1L);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)SILENT_S);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "clm");
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, watch);
	curl_easy_setopt(c, CURLOPT_XFERINFODATA, t);
	if (t->o->token) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
		curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, t->o->token);
	}
	if (t->have)
		curl_easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->have);
}

static int failed(const struct fetch *t, CURLcode code, long status, struct err *e)
{
	if (t->o->stop && *t->o->stop)
		return err_set(e, ERR_INTERRUPTED, "interrupted");
	if (status == 404)
		return err_set(e, ERR_INPUT, "the hub has no such %s", t->file ? "file" : "repository");
	if (status == 401 || status == 403)
		return err_set(e, ERR_INPUT, "the hub does not allow it");
	if (t->full)
		return t->file && t->have < t->file->n_bytes ?
		               err_set(e, ERR_MACHINE, "no space for it") :
		               err_set(e, ERR_INPUT, "the hub gives more than it said");
	return err_set(e, ERR_MACHINE, "%s", curl_easy_strerror(code));
}

/* One try. 1: another may do. */
static int attempt(struct fetch *t, const char *url, struct err *e)
{
	CURLcode code;
	long status = 0;

	t->curl = curl_easy_init();
	t->started = t->full = false;
	if (!t->curl)
		return err_memory(e, 0);
	set_up(t, url);
	code = curl_easy_perform(t->curl);
	curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(t->curl);
	if (code == CURLE_OK)
		return 0;
	failed(t, code, status, e);
	return e->kind == ERR_MACHINE && !t->full ? 1 : -1;
}

/* ---- the list */

static int add_entry(struct hub *h, struct hub_file *f, const cJSON *v, struct err *e)
{
	const cJSON *lfs = json_get(v, "lfs");
	const char *path = NULL, *type = NULL, *git = NULL, *sum = NULL;

	if (json_get_text(v, "type", &type, e) < 0 || json_get_text(v, "path", &path, e) < 0 ||
	    json_get_text(v, "oid", &git, e) < 0 || json_get_size(v, "size", &f->n_bytes, e) < 0 ||
	    (lfs && !cJSON_IsNull(lfs) && json_get_text(lfs, "oid", &sum, e) < 0))
		return -1;
	if (!type || strcmp(type, "file") || !path)
		return 0;
	f->path = arena_text(h->arena, path, strlen(path), e);
	f->git = git ? arena_text(h->arena, git, strlen(git), e) : NULL;
	f->sha256 = sum ? arena_text(h->arena, sum, strlen(sum), e) : NULL;
	return f->path ? 1 : -1;
}

int hub_list(struct hub *h, struct hub_file **out, size_t *n, struct err *e)
{
	struct buf text;
	struct fetch t = { .o = h->o, .text = &text };
	const char *url = arena_printf(h->arena, e, "%s/api/models/%s/tree/%s?recursive=true",
	                               h->o->hub, h->repo, h->rev);
	const cJSON *v;
	cJSON *list = NULL;
	int rc;

	if (!url)
		return -1;
	buf_init(&text, LIST_BYTES);
	rc = attempt(&t, url, e) ? -1 : 0;
	if (rc == 0)
		list = json_parse(buf_bytes(&text), e);
	buf_release(&text);
	if (!list || !cJSON_IsArray(list) || cJSON_GetArraySize(list) > FILES_MAX) {
		rc = list ? err_set(e, ERR_INPUT, "the hub's list is none of files") : -1;
		cJSON_Delete(list);
		return rc;
	}
	*n = 0;
	*out = arena_new(h->arena, (size_t)cJSON_GetArraySize(list), sizeof **out, e);
	rc = *out ? 0 : -1;
	cJSON_ArrayForEach(v, list) {
		rc = rc < 0 ? -1 : add_entry(h, *out + *n, v, e);
		*n += rc == 1;
	}
	cJSON_Delete(list);
	return rc < 0 ? -1 : 0;
}

/* ---- a file */

static int digest_of(char out[SHA256_TEXT], struct hub *h, const struct hub_file *f,
                     const char *path, struct err *e)
{
	return f->sha256 ? file_sha256(out, path, h->o->stop, e) : file_git_sha1(out, path, e);
}

static const char *told(const struct hub_file *f)
{
	return f->sha256 ? f->sha256 : f->git ? f->git : "of something";
}

int hub_has(struct hub *h, const struct hub_file *f, const char *path, struct err *e)
{
	char have[SHA256_TEXT];
	struct stat st;

	if (stat(path, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size != f->n_bytes)
		return 0;
	return digest_of(have, h, f, path, e) ? -1 : strcmp(have, told(f)) == 0;
}

/* 1: the bytes are others, and are gone. */
static int check(struct hub *h, const struct hub_file *f, const char *path, struct err *e)
{
	const struct pull_progress p = { .status = f->sha256 ? "verifying sha256 digest" : "verifying",
		                         .digest = f->sha256 };
	char have[SHA256_TEXT];

	if (h->o->progress && f->sha256)
		h->o->progress(h->o->arg, &p);
	if (digest_of(have, h, f, path, e))
		return -1;
	if (strcmp(have, told(f)) == 0)
		return 0;
	unlink(path);
	err_set(e, ERR_INPUT, "%s: expected the digest %s, found %s", f->path, told(f), have);
	return 1;
}

static int get(struct fetch *t, const char *url, struct err *e)
{
	int rc = 1;

	for (int i = 0; rc == 1 && i < TRIES && t->have < t->file->n_bytes; i++) {
		if (i)
			sleep((unsigned)i);
		rc = attempt(t, url, e);
		/* an end that came early is no end */
		if (rc == 0 && t->have < t->file->n_bytes) {
			err_set(e, ERR_MACHINE, "it ends after %zu of %zu bytes", t->have,
			        t->file->n_bytes);
			rc = 1;
		}
	}
	return t->have == t->file->n_bytes ? 0 : rc ? -1 : err_set(e, ERR_MACHINE, "it ends early");
}

static int fetch(struct hub *h, const struct hub_file *f, const char *url, const char *path,
                 bool *resumed, struct err *e)
{
	struct fetch t = { .o = h->o, .file = f };
	struct stat st;
	int rc;

	t.fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
	if (t.fd < 0 || fstat(t.fd, &st)) {
		rc = err_errno(e, "%s", f->path);
		if (t.fd >= 0)
			close(t.fd);
		return rc;
	}
	t.have = (size_t)st.st_size;
	if ((t.have > f->n_bytes && ftruncate(t.fd, (off_t)(t.have = 0))) ||
	    lseek(t.fd, (off_t)t.have, SEEK_SET) < 0)
		rc = err_errno(e, "%s", f->path);
	else {
		*resumed = t.have > 0;
		rc = get(&t, url, e) ? err_in(e, "%s", f->path) : 0;
	}
	if (rc == 0)
		tell(&t, true);
	if (rc == 0 && fsync(t.fd))
		rc = err_errno(e, "%s", f->path);
	close(t.fd);
	return rc ? -1 : check(h, f, path, e);
}

int hub_fetch(struct hub *h, const struct hub_file *f, const char *path, struct err *e)
{
	const char *url = arena_printf(h->arena, e, "%s/%s/resolve/%s/%s", h->o->hub, h->repo, h->rev,
	                               f->path);
	bool resumed = false;
	int rc = url ? fetch(h, f, url, path, &resumed, e) : -1;

	/* what was there may have been of another revision */
	if (rc == 1 && resumed)
		rc = fetch(h, f, url, path, &resumed, e);
	return rc ? -1 : 0;
}
