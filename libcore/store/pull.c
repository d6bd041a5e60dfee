/* SPDX-License-Identifier: MIT */
/* pull.c - which files of a repository are a model, and how they get here */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/hub.h"
#include "util/file.h"

/* Beside the weights: what a model needs, or may have. */
static const char *const sidecars[] = {
	"config.json", "generation_config.json", "model.safetensors.index.json", "tokenizer.json",
	"tokenizer_config.json", "tokenizer.model", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "vocab.txt", "merges.txt", "chat_template.json", "chat_template.jinja",
	"modules.json",
};

struct pulling {
	struct hub hub;
	const char *org, *name, *file; /* file: NULL where none is named */
	struct hub_file *entry;
	size_t n;
	const char *gguf;          /* the model is this one; NULL: a directory */
};

static bool is_word(const char *p, size_t n)
{
	if (!n || n > 96 || *p == '.' || p[n - 1] == '.')
		return false;
	for (size_t i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= 'A' && p[i] <= 'Z') ||
		      (p[i] >= '0' && p[i] <= '9') || strchr("._-", p[i])))
			return false;
	return true;
}

/* ORG/REPO[@REV][/FILE] */
static int parse(struct pulling *p, struct arena *a, const char *what, struct err *e)
{
	const char *slash = strchr(what, '/'), *repo = slash ? slash + 1 : "";
	size_t n = strcspn(repo, "@/"), k = repo[n] == '@' ? strcspn(repo + n + 1, "/") : 0;
	const char *rest = repo + n + (repo[n] == '@') + k;

	if (!slash || !is_word(what, (size_t)(slash - what)) || !is_word(repo, n) ||
	    (repo[n] == '@' && !is_word(repo + n + 1, k)) ||
	    (*rest == '/' && !is_word(rest + 1, strlen(rest + 1))))
		return err_set(e, ERR_INPUT, "expected ORG/REPO[@REV][/FILE], found \"%.200s\"", what);
	p->org = arena_text(a, what, (size_t)(slash - what), e);
	p->name = arena_text(a, repo, n, e);
	p->hub.repo = arena_text(a, what, (size_t)(repo + n - what), e);
	p->hub.rev = k ? arena_text(a, repo + n + 1, k, e) : "main";
	p->file = *rest == '/' ? arena_text(a, rest + 1, strlen(rest + 1), e) : NULL;
	return p->org && p->name && p->hub.repo && p->hub.rev ? 0 : -1;
}

/* ---- which files */

/* Of a shard the name up to its number, else all of it. */
static size_t series(const char *path)
{
	const char *of = strstr(path, "-of-");

	return of && of - path > 6 && of[-6] == '-' ? (size_t)(of - path) - 6 : strlen(path);
}

static bool is_first(const char *path)
{
	size_t n = series(path);

	return !path[n] || memcmp(path + n, "-00001", 6) == 0;
}

static bool same_series(const char *a, const char *b)
{
	size_t n = series(a);

	return series(b) == n && memcmp(a, b, n) == 0;
}

static bool ends(const char *path, const char *suffix)
{
	return bytes_ends(bytes_of(path), suffix) && !strchr(path, '/');
}

/* Weights in the form that is read: not a second copy in the makers' own. */
static bool is_weights(const char *path)
{
	return ends(path, ".safetensors") && strncmp(path, "consolidated", 12) &&
	       strncmp(path, "adapter_model", 13);
}

static bool is_sidecar(const char *path)
{
	for (size_t k = 0; k < sizeof sidecars / sizeof *sidecars; k++)
		if (strcmp(path, sidecars[k]) == 0)
			return true;
	return false;
}

static size_t want_directory(struct pulling *p)
{
	size_t weights = 0;

	for (size_t i = 0; i < p->n; i++) {
		struct hub_file *f = &p->entry[i];

		f->wanted = is_weights(f->path) || is_sidecar(f->path);
		weights += is_weights(f->path);
	}
	return weights;
}

static void want_gguf(struct pulling *p, const char *path)
{
	p->gguf = path;
	for (size_t i = 0; i < p->n; i++)
		p->entry[i].wanted = same_series(p->entry[i].path, path);
}

static int ambiguous(const struct pulling *p, bool directory, struct err *e)
{
	char text[700];
	size_t at = 0;

	if (directory)
		at += (size_t)snprintf(text, sizeof text, " %s/config.json", p->hub.repo);
	for (size_t i = 0; i < p->n && at + 1 < sizeof text; i++)
		if (ends(p->entry[i].path, ".gguf") && is_first(p->entry[i].path))
			at += (size_t)snprintf(text + at, sizeof text - at, " %s/%s", p->hub.repo,
			                       p->entry[i].path);
	return err_set(e, ERR_INPUT, "several models; name one:%s", text);
}

static int choose(struct pulling *p, struct err *e)
{
	const char *gguf = NULL;
	size_t n = 0;
	bool config = false, weights = false;

	for (size_t i = 0; i < p->n; i++) {
		const char *path = p->entry[i].path;

		config |= strcmp(path, "config.json") == 0;
		weights |= is_weights(path);
		if (ends(path, ".gguf") && is_first(path)) {
			n++;
			gguf = path;
		}
		if (p->file && strcmp(path, p->file) == 0 && ends(path, ".gguf")) {
			want_gguf(p, path);
			return 0;
		}
	}
	if (p->file && ends(p->file, ".gguf"))
		return err_set(e, ERR_INPUT, "it has no file %s", p->file);
	if (config && weights && (p->file || !n))
		return want_directory(p) ? 0 : -1;
	if (n == 1 && !(config && weights)) {
		want_gguf(p, gguf);
		return 0;
	}
	return n ? ambiguous(p, config && weights, e) :
	           err_set(e, ERR_INPUT, "it has no model that can be read");
}

/* ---- how they get here */

/* From what is there already: of an earlier pull, or one that was cut short
 * before the model was known. 1: it is here, 0: it is not. */
static int adopt(struct pulling *p, const struct hub_file *f, const char *path, const char *to,
                 struct err *e)
{
	char *old = file_join(p->hub.arena, to, f->path, e);
	int rc = old ? hub_has(&p->hub, f, path, e) : -1;

	if (rc)
		return rc;
	unlink(path); /* of another revision, or none */
	rc = hub_has(&p->hub, f, old, e);
	return rc == 1 && link(old, path) ? 0 : rc;
}

static int fetch_all(struct pulling *p, const char *parts, const char *to, struct err *e)
{
	struct arena *a = p->hub.arena;

	for (size_t i = 0; i < p->n; i++) {
		const struct hub_file *f = &p->entry[i];
		char *path, *part;
		int rc;

		if (!f->wanted)
			continue;
		path = file_join(a, parts, f->path, e);
		part = path ? arena_printf(a, e, "%s.part", path) : NULL;
		rc = part ? adopt(p, f, path, to, e) : -1;
		if (rc < 0)
			return -1;
		if (rc)
			continue;
		if (hub_fetch(&p->hub, f, part, e))
			return -1;
		if (rename(part, path))
			return err_errno(e, "%s", f->path);
	}
	return 0;
}

static bool is_wanted(const struct pulling *p, const char *name)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->entry[i].wanted && strcmp(p->entry[i].path, name) == 0)
			return true;
	return false;
}

/* Nothing but what is wanted is in the parts: what another revision left, or a
 * list that has changed since, is no part of this model. */
static int prune(const struct pulling *p, const char *parts, struct err *e)
{
	struct arena *a = p->hub.arena;
	size_t n = 0;
	char **name = file_list(a, parts, &n, e), *path;

	for (size_t i = 0; name && i < n; i++) {
		if (is_wanted(p, name[i]))
			continue;
		path = file_join(a, parts, name[i], e);
		if (!path)
			return -1;
		unlink(path);
	}
	return name ? 0 : -1;
}

/* What stays of the directory that gives way: other models of the repository. */
static int keep_others(const struct pulling *p, const char *parts, const char *to, struct err *e)
{
	struct arena *a = p->hub.arena;
	size_t n = 0;
	char **name = file_list(a, to, &n, e), *from, *there;

	for (size_t i = 0; name && i < n; i++) {
		if (is_wanted(p, name[i]) ||
		    (!p->gguf && (is_weights(name[i]) || is_sidecar(name[i]))))
			continue;
		from = file_join(a, to, name[i], e);
		there = file_join(a, parts, name[i], e);
		if (!from || !there)
			return -1;
		if (link(from, there) && errno != EEXIST)
			return err_errno(e, "%s", name[i]);
	}
	return name ? 0 : -1;
}

/* The directory in one step, also where one is there: no moment has files of
 * both. */
static int settle(const struct pulling *p, const char *parts, const char *to, struct err *e)
{
	struct arena *a = p->hub.arena;
	char *up = file_dir(a, to, e), *aside;

	if (!up || file_mkdirs(up, e) || prune(p, parts, e))
		return -1;
	if (rename(parts, to) == 0)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return err_errno(e, "%s", to);
	if (keep_others(p, parts, to, e))
		return -1;
	if (renameat2(AT_FDCWD, parts, AT_FDCWD, to, RENAME_EXCHANGE) == 0) {
		file_remove(parts);
		return 0;
	}
	/* a file system that cannot: for a moment there is none */
	aside = arena_printf(a, e, "%s.old", parts);
	if (!aside)
		return -1;
	if (rename(to, aside) || rename(parts, to))
		return err_errno(e, "%s", to);
	file_remove(aside);
	return 0;
}

static void tell(const struct pull_options *o, const char *status)
{
	const struct pull_progress p = { .status = status };

	if (o->progress)
		o->progress(o->arg, &p);
}

static int name_it(struct pulled *out, const struct pulling *p, const char *to, struct err *e)
{
	struct arena *a = p->hub.arena;
	bool main_rev = strcmp(p->hub.rev, "main") == 0;
	const char *stem = p->gguf && p->file ?
	                           arena_printf(a, e, "/%.*s", (int)strlen(p->gguf) - 5, p->gguf) :
	                           "";

	out->path = p->gguf ? file_join(a, to, p->gguf, e) : to;
	out->name = stem ? arena_printf(a, e, "%s%s%s%s", p->hub.repo, stem, main_rev ? "" : ":",
	                                main_rev ? "" : p->hub.rev) :
	                   NULL;
	return out->path && out->name ? 0 : -1;
}

int pull_model(struct pulled *out, struct arena *a, const char *what, const struct pull_options *o,
               struct err *e)
{
	struct pulling p = { .hub = { .o = o, .arena = a } };
	const char *at, *parts, *to;

	if (parse(&p, a, what, e))
		return -1;
	tell(o, "pulling manifest");
	if (hub_list(&p.hub, &p.entry, &p.n, e) || choose(&p, e))
		return err_in(e, "%s", p.hub.repo);
	at = strcmp(p.hub.rev, "main") ? arena_printf(a, e, "@%s", p.hub.rev) : "";
	parts = at ? arena_printf(a, e, "%s/.parts/%s--%s%s%s%s", o->dir, p.org, p.name, at,
	                          p.gguf ? "--" : "", p.gguf ? p.gguf : "") :
	             NULL;
	to = parts ? arena_printf(a, e, "%s/%s%s", o->dir, p.hub.repo, at) : NULL;
	if (!to || file_mkdirs(parts, e))
		return -1;
	if (fetch_all(&p, parts, to, e))
		return err_in(e, "%s", p.hub.repo);
	tell(o, "writing manifest");
	return settle(&p, parts, to, e) ? -1 : name_it(out, &p, to, e);
}
