/* SPDX-License-Identifier: MIT */
/* blobs.c - files by their SHA-256, from clients: streamed to disk while they
 * are hashed, there under their name once they are whole */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/admin.h"
#include "serve/api.h"
#include "serve/library.h"
#include "util/file.h"

enum { HEX = 64 };

struct upload {
	struct digest *digest;
	struct file_out *out;
	char hex[HEX + 1];
	struct fault fault;        /* status 0: none */
	bool there;                /* already: the bytes are not needed */
};

bool upload_route(const struct route *r)
{
	return r && r->handle == api_blob_put;
}

/* ^sha256[:-][0-9a-fA-F]{64}$, as small letters. */
static int parse(char hex[HEX + 1], const char *text, struct fault *f)
{
	size_t n = 0;

	if (strncmp(text, "sha256", 6) == 0 && (text[6] == ':' || text[6] == '-'))
		for (const char *p = text + 7; isxdigit((unsigned char)*p) && n < HEX; p++)
			hex[n++] = (char)tolower((unsigned char)*p);
	hex[n] = '\0';
	return n == HEX && strlen(text) == 7 + HEX ?
	               0 :
	               fault_set(f, 400, "invalid_value", "expected a digest, sha256:HEX");
}

static char *path_of(struct arena *a, const char *hex, struct fault *f)
{
	struct err e;
	char *dir = file_data_path(a, "blobs", &e);
	char *path = dir ? arena_printf(a, &e, "%s/sha256-%s", dir, hex) : NULL;

	if (!path || file_mkdirs(dir, &e)) {
		fault_set(f, 500, "internal_error", "there is no place for files");
		return NULL;
	}
	return path;
}

char *blob_path(struct arena *a, const char *digest, bool there, struct fault *f)
{
	char hex[HEX + 1], *path;

	if (parse(hex, digest, f))
		return NULL;
	path = path_of(a, hex, f);
	if (path && there && !file_exists(path)) {
		fault_set(f, 404, NULL, "there is no blob sha256:%s", hex);
		return NULL;
	}
	return path;
}

void api_blob(struct exchange *x)
{
	struct arena a = { 0 };
	struct fault f;

	if (blob_path(&a, x->name, true, &f))
		respond(x, 200, "text/plain; charset=utf-8", (struct bytes){ 0 });
	else
		respond_fault(x, &f);
	arena_release(&a);
}

static void no_space(struct fault *f)
{
	fault_set(f, 507, "insufficient_storage", "there is no space for the blob");
}

static void begin(struct exchange *x)
{
	struct upload *u = x->upload = calloc(1, sizeof *u);
	struct arena a = { 0 };
	struct err e;
	char *path;

	if (!u)
		return;
	path = parse(u->hex, x->name, &u->fault) ? NULL : path_of(&a, u->hex, &u->fault);
	u->there = path && file_exists(path);
	if (path && !u->there &&
	    (digest_open_sha256(&u->digest, &e) || file_out_open(&u->out, path, &e)))
		no_space(&u->fault);
	arena_release(&a);
}

void upload_add(struct exchange *x, struct bytes piece)
{
	struct upload *u;
	struct err e;

	if (!x->upload)
		begin(x);
	u = x->upload;
	if (!u || u->fault.status || u->there)
		return;
	digest_add(u->digest, piece);
	if (file_out_write(u->out, piece.p, piece.n, &e))
		no_space(&u->fault);
}

void upload_close(struct exchange *x)
{
	if (!x->upload)
		return;
	file_out_abort(x->upload->out);
	digest_abort(x->upload->digest);
	free(x->upload);
	x->upload = NULL;
}

static int finish(struct upload *u, struct fault *f)
{
	char have[DIGEST_TEXT];
	struct file_out *out = u->out;
	struct digest *d = u->digest;
	struct err e;

	u->out = NULL;
	u->digest = NULL;
	if (digest_close(d, have, &e)) {
		file_out_abort(out);
		return fault_set(f, 500, "internal_error", "no SHA-256");
	}
	if (strcmp(have, u->hex)) {
		file_out_abort(out);
		return fault_set(f, 400, "invalid_value",
		                 "digest mismatch, expected \"sha256:%s\", got \"sha256:%s\"", u->hex,
		                 have);
	}
	if (file_out_commit(out, &e)) {
		no_space(f);
		return -1;
	}
	return 0;
}

void api_blob_put(struct exchange *x)
{
	struct fault f;

	upload_add(x, (struct bytes){ 0 }); /* the body may be empty */
	if (!x->upload)
		fault_memory(&f);
	else if (x->upload->fault.status)
		f = x->upload->fault;
	else if (x->upload->there || finish(x->upload, &f) == 0)
		f.status = 0;
	if (f.status)
		respond_fault(x, &f);
	else
		respond(x, x->upload->there ? 200 : 201, "text/plain; charset=utf-8",
		        (struct bytes){ 0 });
	upload_close(x);
}
