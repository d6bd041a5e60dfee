/* SPDX-License-Identifier: MIT */
/* head.c - what must hold before a request is looked at: a sound head, a
 * host and an origin that are ours, a key, a known route. */
#include <ctype.h>
#include <errno.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/admin.h"
#include "util/file.h"

/* ---- keys: a line each; compared by their digests, all of them */

struct keys {
	unsigned char (*digest)[SHA256_DIGEST_LENGTH];
	size_t n;
	struct keys *older;
};

enum { KEY_FILE_BYTES = 1 << 20 };

static int add_key(struct keys *k, const char *p, size_t n, struct err *e)
{
	void *more = realloc(k->digest, (k->n + 1) * sizeof *k->digest);

	if (!more)
		return err_memory(e, (k->n + 1) * sizeof *k->digest);
	k->digest = more;
	SHA256((const unsigned char *)p, n, k->digest[k->n++]);
	return 0;
}

static int read_keys(struct keys *k, const char *path, struct buf *text, struct err *e)
{
	struct stat st;
	size_t n;

	if (stat(path, &st))
		return err_errno(e, "cannot read it");
	if (st.st_mode & 077)
		return err_set(e, ERR_INPUT,
		               "expected a file that only its owner can read (mode 0600), found %04o",
		               (unsigned)st.st_mode & 07777);
	if (file_read(text, path, KEY_FILE_BYTES, e))
		return -1;
	for (const char *p = (const char *)text->p; p && *p; p += n + (p[n] == '\n')) {
		size_t used;

		n = strcspn(p, "\n");
		for (used = n; used && isspace((unsigned char)p[used - 1]); used--)
			;
		if (used && *p != '#' && add_key(k, p, used, e))
			return -1;
	}
	return k->n ? 0 : err_set(e, ERR_INPUT, "no keys in it");
}

int keys_open(struct keys **out, const char *path, struct err *e)
{
	struct keys *k = calloc(1, sizeof *k);
	struct buf text = { 0 };
	int rc;

	*out = k;
	if (!k)
		return err_memory(e, sizeof *k);
	rc = read_keys(k, path, &text, e);
	if (text.p)
		OPENSSL_cleanse(text.p, text.n);
	buf_release(&text);
	if (rc == 0)
		return 0;
	keys_close(k);
	*out = NULL;
	return err_in(e, "%s", path);
}

void keys_close(struct keys *k)
{
	for (struct keys *older; k; k = older) {
		older = k->older;
		free(k->digest);
		free(k);
	}
}

void keys_chain(struct keys *k, struct keys *older)
{
	k->older = older;
}

bool keys_have(const struct keys *k, const char *key)
{
	unsigned char d[SHA256_DIGEST_LENGTH];
	unsigned found = 0;

	SHA256((const unsigned char *)key, strlen(key), d);
	for (size_t i = 0; i < k->n; i++)
		found |= CRYPTO_memcmp(d, k->digest[i], sizeof d) == 0;
	return found;
}

static bool admitted(const struct exchange *x, struct MHD_Connection *c)
{
	const char *a = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Authorization"),
	           *k = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Api-Key");
	bool ok = false;

	if (a && strncasecmp(a, "Bearer ", 7) == 0) {
		a += 7;
		a += strspn(a, " ");
		ok = keys_have(x->serve->keys, a);
	}
	return (k && keys_have(x->serve->keys, k)) || ok;
}

/* ---- host and origin */

/* The host part of "host", "host:port", "[v6]:port": lower case, without
 * brackets and a trailing dot. */
static bool host_part(char *out, size_t room, const char *text)
{
	size_t n;

	if (*text == '[') {
		n = strcspn(++text, "]");
		if (text[n] != ']')
			return false;
	} else {
		n = strcspn(text, ":");
	}
	if (n && text[n - 1] == '.')
		n--;
	if (n >= room)
		return false;
	for (size_t i = 0; i < n; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[n] = '\0';
	return true;
}

static bool loopback_name(const char *h)
{
	size_t n = strlen(h);
	unsigned a, b, c, d;
	char end;

	if (strcmp(h, "localhost") == 0 || strcmp(h, "::1") == 0 ||
	    (n > 10 && strcmp(h + n - 10, ".localhost") == 0))
		return true;
	return sscanf(h, "%3u.%3u.%3u.%3u%c", &a, &b, &c, &d, &end) == 4 && a == 127 && b < 256 &&
	       c < 256 && d < 256;
}

static bool host_ours(const struct serve_options *o, const char *text)
{
	char h[256], own[256], other[256];

	if (!host_part(h, sizeof h, text))
		return false;
	if (!*h || loopback_name(h))
		return true;
	if (gethostname(own, sizeof own) == 0) {
		own[sizeof own - 1] = '\0';
		if (strcasecmp(own, h) == 0)
			return true;
	}
	for (size_t i = 0; i < o->n_allow_host; i++)
		if (host_part(other, sizeof other, o->allow_host[i]) && strcmp(other, h) == 0)
			return true;
	return false;
}

static bool origin_ours(const struct serve_options *o, const char *text)
{
	const char *rest = strncasecmp(text, "http://", 7) == 0  ? text + 7 :
	                   strncasecmp(text, "https://", 8) == 0 ? text + 8 :
	                                                           NULL;
	char h[256];

	for (size_t i = 0; i < o->n_allow_origin; i++)
		if (strcasecmp(o->allow_origin[i], text) == 0)
			return true;
	return rest && !strpbrk(rest, "/@?#") && host_part(h, sizeof h, rest) && loopback_name(h);
}

/* ---- the head as a whole */

struct head_count {
	size_t fields, bytes, hosts, lengths, codings;
	bool bad_name, bad_length, bad_coding, bad_encoding;
	const char *host;
	unsigned long long length;
};

static enum MHD_Result count(void *arg, enum MHD_ValueKind kind, const char *key,
                             const char *value)
{
	struct head_count *n = arg;
	size_t k = strlen(key);

	(void)kind;
	n->fields++;
	n->bytes += k + (value ? strlen(value) : 0) + 4;
	n->bad_name |= !k || key[k - 1] == ' ' || key[k - 1] == '\t' || *key == ' ' || *key == '\t';
	if (strcasecmp(key, "Host") == 0) {
		n->hosts++;
		n->host = value ? value : "";
	} else if (strcasecmp(key, "Content-Length") == 0) {
		n->lengths++;
		n->bad_length |= !value || !*value || value[strspn(value, "0123456789")] ||
		                 strlen(value) > 18;
		n->length = value ? strtoull(value, NULL, 10) : 0;
	} else if (strcasecmp(key, "Transfer-Encoding") == 0) {
		n->codings++;
		n->bad_coding |= !value || strcasecmp(value, "chunked") != 0;
	} else if (strcasecmp(key, "Content-Encoding") == 0) {
		n->bad_encoding |= value && *value && strcasecmp(value, "identity") != 0;
	}
	return MHD_YES;
}

static int sound(const struct head_count *n, bool old, struct fault *f)
{
	if (n->fields > HEAD_FIELDS || n->bytes > HEAD_BYTES)
		return fault_set(f, 431, NULL, "a head of at most %d fields and %d bytes is taken",
		                 HEAD_FIELDS, HEAD_BYTES);
	if (n->bad_name)
		return fault_set(f, 400, "invalid_value", "a header's name with a space");
	if (n->hosts > 1 || (!n->hosts && !old))
		return fault_set(f, 400, "invalid_value", "expected one Host header, found %zu",
		                 n->hosts);
	if (n->lengths > 1 || n->bad_length)
		return fault_set(f, 400, "invalid_value", "expected one Content-Length of digits");
	if (n->lengths && n->codings)
		return fault_set(f, 400, "invalid_value",
		                 "Content-Length and Transfer-Encoding exclude each other");
	if (n->codings > 1 || n->bad_coding)
		return fault_set(f, 400, "invalid_value", "the only transfer coding is chunked");
	if (n->bad_encoding)
		return fault_set(f, 415, NULL, "the only content encoding is identity");
	return 0;
}

/* ---- the head as it comes */

static bool token_char(char c)
{
	return isalnum((unsigned char)c) || (c && strchr("!#$%&'*+-.^_`|~", c));
}

/* METHOD TARGET HTTP/1.x; the target is no empty text and has no blanks. */
static int request_line(const char *p, bool *old, struct fault *f)
{
	size_t method = 0, target;

	while (token_char(p[method]))
		method++;
	target = method + 1 + strcspn(p + method + (p[method] == ' '), " ");
	*old = !strcmp(p + target, " HTTP/1.0");
	if (!method || method > 15 || p[method] != ' ' || target == method + 1 ||
	    (!*old && strcmp(p + target, " HTTP/1.1")))
		return fault_set(f, 400, "invalid_value", "expected METHOD PATH HTTP/1.1");
	for (size_t i = method; i < target; i++)
		if ((unsigned char)p[i] < ' ' || (unsigned char)p[i] >= 0x7f)
			return fault_set(f, 400, "invalid_value", "the path is not sound");
	return 0;
}

static int field(char *p, struct head_count *n, struct fault *f)
{
	size_t name = 0, k;
	char *value;

	while (token_char(p[name]))
		name++;
	if (!name || p[name] != ':')
		return fault_set(f, 400, "invalid_value", "expected NAME: VALUE in each line of the head");
	p[name] = '\0';
	value = p + name + 1 + strspn(p + name + 1, " \t");
	for (k = strlen(value); k && strchr(" \t", value[k - 1]); k--)
		;
	value[k] = '\0';
	count(n, MHD_HEADER_KIND, p, value);
	return 0;
}

/* Lines end in CR LF; a byte of 0, and either of the two alone, are nothing
 * that a client means. */
static int lines_of(const char *p, size_t n, size_t *head, size_t *lines, struct fault *f)
{
	*head = *lines = 0;
	for (size_t i = 0; i < n && !*head; i++) {
		if (!p[i] || (p[i] == '\n' && (!i || p[i - 1] != '\r')) ||
		    (p[i] == '\r' && i + 1 < n && p[i + 1] != '\n'))
			return fault_set(f, 400, "invalid_value", "a line of the head is not sound");
		*lines += p[i] == '\n';
		if (i >= 3 && !memcmp(p + i - 3, "\r\n\r\n", 4))
			*head = i + 1;
	}
	return 0;
}

int head_sound(char *p, size_t n, struct fault *f)
{
	struct head_count count_of = { 0 };
	size_t skip = 0, head, lines;
	bool old = false;
	char *end;

	/* an empty line before a request is passed over */
	while (n - skip > 1 && skip < 4 && !memcmp(p + skip, "\r\n", 2))
		skip += 2;
	p += skip;
	n -= skip;
	if (lines_of(p, n, &head, &lines, f))
		return -1;
	if (lines > HEAD_FIELDS + 2 || (!head && n + skip > HEAD_BYTES))
		return fault_set(f, 431, NULL, "a head of at most %d fields and %d bytes is taken",
		                 HEAD_FIELDS, HEAD_BYTES);
	if (!head)
		return 0;
	for (char *line = p; line < p + head - 2; line = end + 2) {
		end = strchr(line, '\r');
		*end = '\0';
		if (line == p ? request_line(line, &old, f) : field(line, &count_of, f))
			return -1;
	}
	return sound(&count_of, old, f) ? -1 : 1;
}

/* ---- the head, as the library read it */

/* What a page of an allowed origin may read, and its question beforehand. */
static void cross_origin(struct exchange *x, struct MHD_Connection *c, const char *origin)
{
	const char *ask = MHD_lookup_connection_value(c, MHD_HEADER_KIND,
	                                              "Access-Control-Request-Headers");

	respond_header(x, "Access-Control-Allow-Origin", "%s", origin);
	respond_header(x, "Vary", "Origin");
	if (strcmp(x->method, "OPTIONS") != 0)
		return;
	respond_header(x, "Access-Control-Allow-Methods", "GET, POST, DELETE, HEAD, OPTIONS");
	if (ask)
		respond_header(x, "Access-Control-Allow-Headers", "%s", ask);
	respond_header(x, "Access-Control-Max-Age", "600");
}

static void keep_id(struct exchange *x, struct MHD_Connection *c)
{
	const char *id = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Request-Id");
	size_t n = id ? strlen(id) : 0;

	if (!n || n > 128)
		return;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)id[i]) && !strchr("._-", id[i]))
			return;
	memcpy(x->id, id, n + 1);
}

int head_check(struct exchange *x, struct MHD_Connection *c, const struct listener *l,
               struct fault *f)
{
	const struct serve_options *o = &x->serve->o;
	size_t most;
	const char *origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin"),
	           *accept = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Accept");
	struct head_count n = { 0 };

	MHD_get_connection_values(c, MHD_HEADER_KIND, count, &n);
	keep_id(x, c);
	x->html = accept && strstr(accept, "text/html");
	if (sound(&n, x->old, f))
		return -1;
	if (n.host && (l->checks_host || o->n_allow_host) && !host_ours(o, n.host))
		return fault_set(f, 403, "forbidden", "the host is not one of this server's");
	if (origin && !origin_ours(o, origin))
		return fault_set(f, 403, "forbidden", "the origin is not allowed");
	if (origin)
		cross_origin(x, c, origin);
	if (strcmp(x->method, "OPTIONS") == 0) {
		respond(x, 204, NULL, (struct bytes){ 0 });
		return 0;
	}
	if (route_find(x, f)) {
		/* a stranger is not told what there is */
		if (x->serve->keys && !admitted(x, c))
			return fault_set(f, 401, "invalid_api_key", "a key is needed");
		return -1;
	}
	if (x->serve->keys && !x->route->open && !admitted(x, c))
		return fault_set(f, 401, "invalid_api_key", "a key is needed");
	if (admin_route(x->route) && !o->admin)
		return fault_set(f, 403, "forbidden", "clients may not manage the models");
	most = x->serve->limits.body_bytes;
	if (n.length > most && !upload_route(x->route))
		return fault_set(f, 413, "request_too_large", "a body of over %zu bytes", most);
	return 0;
}
