/* SPDX-License-Identifier: MIT */
/* admin.c - Ollama's copy, delete and create: models that clients add and
 * take away. The registry changes in one step; files that no row needs any
 * more go after that, so that an end at any point leaves what is there whole. */
#include "serve/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/api.h"
#include "serve/library.h"
#include "serve/tidy.h"
#include "util/file.h"

enum { FILES_MAX = 256, PARTS = 3 };

bool admin_route(const struct route *r)
{
	return r && (r->handle == api_copy || r->handle == api_delete || r->handle == api_create ||
	             r->handle == api_pull || r->handle == api_blob || r->handle == api_blob_put);
}

int admin_name(char out[256], const char *name, struct fault *f)
{
	char *colon;
	bool ok;

	if (!name)
		return fault_param(f, "model", "missing_required_parameter", "model is required");
	snprintf(out, 256, "%s", name);
	colon = strrchr(out, ':');
	if (colon && strcmp(colon, ":latest") == 0)
		*colon = '\0';
	colon = strrchr(out, ':');
	if (colon)
		*colon = '\0';
	ok = strlen(name) < 250 && library_name(out, PARTS) && (!colon || library_name(colon + 1, 1));
	if (colon)
		*colon = ':';
	return ok ? 0 : fault_param(f, "model", "invalid_value", "invalid model name");
}

/* ---- records of progress */

void admin_status(struct exchange *x, bool streams, const char *fmt, ...)
{
	struct buf b = { 0 };
	char text[256];
	va_list ap;

	if (!streams)
		return;
	if (!x->streams)
		respond_begin(x, STREAM_NDJSON, (struct bytes){ 0 });
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	buf_add_text(&b, "{\"status\":");
	json_add_string(&b, bytes_of(text));
	buf_add_text(&b, "}\n");
	respond_add(x, buf_bytes(&b));
	buf_release(&b);
}

void admin_end(struct exchange *x, bool streams, const struct fault *f)
{
	struct buf b = { 0 };

	if (!f && !streams) {
		respond_line(x, 200, bytes_of("{\"status\":\"success\"}"));
	} else if (!f) {
		admin_status(x, true, "success");
		respond_end(x);
	} else if (x->streams) {
		fault_body(&b, f, DIALECT_OLLAMA, x->id);
		buf_add_byte(&b, '\n');
		respond_add(x, buf_bytes(&b));
		respond_end(x);
		buf_release(&b);
	} else {
		respond_fault(x, f);
	}
}

/* A text of the body, under either name. */
static const char *text_of(const cJSON *o, const char *key, const char *other, struct fault *f)
{
	const char *v = NULL;

	if (param_text(o, key, &v, f) < 0 || (!v && other && param_text(o, other, &v, f) < 0))
		return NULL;
	if (!v)
		fault_param(f, key, "missing_required_parameter", "%s is required", key);
	return v;
}

static int failed(struct exchange *x, const char *what, const struct err *e, struct fault *f)
{
	server_log(x->serve, "%s: %s", what, e->text);
	return e->kind == ERR_MISUSE || e->kind == ERR_INPUT ?
	               fault_set(f, 400, "invalid_value",
	                         "%s: the files are no model that can be served", what) :
	               fault_set(f, 500, "internal_error", "%s: it could not be kept", what);
}

/* Under a name that may be there already: then it takes the place. */
static int put(struct exchange *x, const char *name, const char *path, const char *origin,
               const char *settings, struct fault *f)
{
	struct arena a = { 0 };
	struct slot *t;
	struct err e;
	char *old;
	int rc;

	pthread_mutex_lock(&x->serve->models.lock);
	t = models_find(x->serve, name);
	if (t && !t->listed) {
		pthread_mutex_unlock(&x->serve->models.lock);
		return fault_set(f, 400, "invalid_value", "\"%s\" is the server's own", name);
	}
	if (t)
		t->gone = true;
	pthread_mutex_unlock(&x->serve->models.lock);
	old = t ? arena_text(&a, t->path, strlen(t->path), &e) : NULL;
	rc = library_add(x->serve, name, path, origin, settings, NULL, &e);
	if (rc) {
		pthread_mutex_lock(&x->serve->models.lock);
		if (t)
			t->gone = false;
		pthread_mutex_unlock(&x->serve->models.lock);
		failed(x, name, &e, f);
	} else if (old) {
		tidy_model(x->serve, old);
	}
	arena_release(&a);
	return rc;
}

/* The path of a model that is there. */
static char *path_of(struct exchange *x, struct arena *a, const char *name, struct fault *f)
{
	struct slot *t;
	struct err e;
	char *path = NULL;

	pthread_mutex_lock(&x->serve->models.lock);
	t = models_slot(x->serve, name, f);
	if (t)
		path = arena_text(a, t->path, strlen(t->path), &e);
	pthread_mutex_unlock(&x->serve->models.lock);
	if (t && !path)
		fault_memory(f);
	return path;
}

/* ---- copy */

static int copy(struct exchange *x, const cJSON *o, struct fault *f)
{
	const char *from = text_of(o, "source", NULL, f),
	           *to = from ? text_of(o, "destination", NULL, f) : NULL;
	struct arena a = { 0 };
	char name[256], *path;
	int rc = -1;

	if (to && admin_name(name, to, f) == 0 && (path = path_of(x, &a, from, f)))
		rc = put(x, name, path, "copy", "", f);
	arena_release(&a);
	if (rc == 0)
		respond(x, 200, "text/plain; charset=utf-8", (struct bytes){ 0 });
	return rc;
}

/* ---- delete */

static int drop(struct exchange *x, const cJSON *o, struct fault *f)
{
	const char *name = text_of(o, "model", "name", f);
	struct serve *s = x->serve;
	struct registry_row row;
	struct arena a = { 0 };
	struct slot *t;
	struct err e;
	int rc = name ? 0 : -1;

	pthread_mutex_lock(&s->models.lock);
	t = rc ? NULL : models_slot(s, name, f);
	pthread_mutex_unlock(&s->models.lock);
	if (!t)
		return -1;
	if (!t->listed || registry_get(s->registry, t->name, &row, &a, &e) != 1 ||
	    strcmp(row.origin, "scan") == 0) {
		arena_release(&a);
		return fault_set(f, 400, "invalid_value", "\"%.200s\" is the server's own", name);
	}
	pthread_mutex_lock(&s->models.lock);
	t->gone = true;
	models_retire(s, t);
	pthread_mutex_unlock(&s->models.lock);
	if (tidy_row(s, &row, &e)) {
		pthread_mutex_lock(&s->models.lock);
		t->gone = false;
		pthread_mutex_unlock(&s->models.lock);
		rc = failed(x, t->name, &e, f);
	} else {
		respond(x, 200, "text/plain; charset=utf-8", (struct bytes){ 0 });
	}
	arena_release(&a);
	return rc;
}

/* ---- create */

/* Files by name from blobs, into a directory that appears whole. */
static int gather(struct arena *a, const cJSON *files, char **path, struct fault *f)
{
	struct dir_out *d = NULL;
	struct err e;
	const cJSON *v;
	char *to, *blob;
	size_t n = 0;

	/* a place of its own: what has the name now stays whole until it is gone */
	*path = tidy_place(a, &e);
	if (!*path || file_mkdirs(file_dir(a, *path, &e), &e) || dir_out_open(&d, *path, &e))
		return fault_set(f, 507, "insufficient_storage", "there is no place for the model");
	cJSON_ArrayForEach(v, files) {
		if (n++ == FILES_MAX || !cJSON_IsString(v) || !library_name(v->string, 1) ||
		    v->string[0] == '.') {
			fault_param(f, "files", "invalid_value", "files: expected names and digests");
			goto fail;
		}
		blob = blob_path(a, v->valuestring, true, f);
		if (!blob)
			goto fail;
		to = file_join(a, dir_out_temp(d), v->string, &e);
		if (!to || link(blob, to)) {
			fault_set(f, 507, "insufficient_storage", "there is no place for the model");
			goto fail;
		}
	}
	if (n == 1)
		*path = file_join(a, *path, files->child->string, &e);
	if (dir_out_commit(d, &e) || !*path)
		return fault_set(f, 507, "insufficient_storage", "there is no place for the model");
	return 0;
fail:
	dir_out_abort(d);
	return -1;
}

/* What the model is to have where a request says nothing. */
static char *settings_of(const cJSON *o, struct fault *f)
{
	static const char *const kept[] = { "parameters", "system", "license", "messages" };
	cJSON *s = cJSON_CreateObject();
	char *text;

	for (size_t i = 0; s && i < sizeof kept / sizeof *kept; i++) {
		const cJSON *v = json_get(o, kept[i]);

		if (v && !cJSON_IsNull(v))
			cJSON_AddItemToObject(s, kept[i], cJSON_Duplicate(v, true));
	}
	text = s ? cJSON_PrintUnformatted(s) : NULL;
	cJSON_Delete(s);
	if (!text)
		fault_memory(f);
	return text;
}

static int check_create(const cJSON *o, struct fault *f)
{
	static const char *const not_yet[] = { "template", "adapters", "quantize" };

	for (size_t i = 0; i < sizeof not_yet / sizeof *not_yet; i++) {
		const cJSON *v = json_get(o, not_yet[i]);

		if (v && !cJSON_IsNull(v) && !(cJSON_IsString(v) && !v->valuestring[0]) &&
		    !(cJSON_IsArray(v) && !v->child))
			return fault_param(f, not_yet[i], "unsupported_parameter",
			                   "%s is not supported", not_yet[i]);
	}
	return settings_check(o, f);
}

static int create(struct exchange *x, const cJSON *o, bool *streams, struct fault *f)
{
	const char *to = text_of(o, "model", "name", f), *from = NULL;
	const cJSON *files = json_get(o, "files");
	struct arena a = { 0 };
	char name[256], *path = NULL, *settings = NULL;
	int rc = to && admin_name(name, to, f) == 0 ? check_create(o, f) : -1;

	if (rc || param_bool(o, "stream", streams, f) < 0 || param_text(o, "from", &from, f) < 0)
		return -1;
	if (from)
		rc = (path = path_of(x, &a, from, f)) ? 0 : -1;
	else if (cJSON_IsObject(files) && files->child)
		rc = gather(&a, files, &path, f);
	else
		rc = fault_param(f, "from", "missing_required_parameter", "from or files is required");
	if (rc == 0)
		rc = (settings = settings_of(o, f)) ? 0 : -1;
	if (rc == 0)
		rc = put(x, name, path, "create", settings, f);
	if (rc == 0)
		admin_status(x, *streams, "writing manifest");
	else if (path && !from)
		tidy_model(x->serve, path);
	free(settings);
	arena_release(&a);
	return rc;
}

/* ---- the handlers */

void api_copy(struct exchange *x)
{
	body_handle(x, copy);
}

void api_delete(struct exchange *x)
{
	body_handle(x, drop);
}

void api_create(struct exchange *x)
{
	cJSON *o = body_open(x);
	bool streams = true;
	struct fault f;

	if (!o)
		return;
	if (create(x, o, &streams, &f))
		admin_end(x, streams, &f);
	else
		admin_end(x, streams, NULL);
	cJSON_Delete(o);
}
