/* SPDX-License-Identifier: MIT */
/* json.h - strict JSON: a pull reader for big files, trees for small ones,
 * and writing.
 *
 * Refused: anything RFC 8259 does not allow, bytes after the value, invalid
 * UTF-8, \u0000 and lone surrogates, duplicate keys (tree), numbers that
 * are not finite, depth past the ceiling. Messages give the byte. */
#ifndef CLM_UTIL_JSON_H
#define CLM_UTIL_JSON_H

#include "util/arena.h"
#include "util/buf.h"

#include <cjson/cJSON.h>

/* ---- trees (cJSON behind our own checks): configs, records, headers */
enum { JSON_DEPTH = 64, JSON_BYTES = 64 << 20 };

/* The caller frees with cJSON_Delete(). Numbers that a double would not tell
 * apart (10000.0, long integers) keep their text, for json_get_i64() and
 * json_write(). */
NEED cJSON *json_parse(struct bytes text, struct err *e);
/* Typed look-ups in an object: 1 found and right, 0 absent or null, -1
 * with ERR_INPUT ("key: expected an integer, found a string"). */
NEED int json_get_bool(const cJSON *o, const char *key, bool *out, struct err *e);
NEED int json_get_i64(const cJSON *o, const char *key, int64_t *out, struct err *e);
NEED int json_get_size(const cJSON *o, const char *key, size_t *out, struct err *e); /* >= 0 */
NEED int json_get_f64(const cJSON *o, const char *key, double *out, struct err *e);
NEED int json_get_text(const cJSON *o, const char *key, const char **out, struct err *e);
const cJSON *json_get(const cJSON *o, const char *key); /* case matters; NULL if absent */
const char *json_kind(const cJSON *v);                  /* "a string", ... */

/* ---- pull reader: one token at a time, memory bounded by the longest
 * string; the text stays where it is */
enum json_token {
	JSON_ERROR,
	JSON_END,
	JSON_OBJECT,
	JSON_OBJECT_END,
	JSON_ARRAY,
	JSON_ARRAY_END,
	JSON_KEY,
	JSON_STRING,
	JSON_NUMBER,
	JSON_TRUE,
	JSON_FALSE,
	JSON_NULL,
};
struct json_pull {
	struct bytes text;
	size_t pos, start; /* start: where the last token begins */
	int depth;
	unsigned char stack[JSON_DEPTH];
	int state;
	struct buf scratch;  /* holds an unescaped string */
	struct bytes string; /* of the last KEY, STRING, or NUMBER's text; until the next call */
	double number;       /* of the last NUMBER */
};
void json_pull_init(struct json_pull *j, struct bytes text);
void json_pull_release(struct json_pull *j);
enum json_token json_next(struct json_pull *j, struct err *e);
/* Passes over the value that comes next (all of an object or array). */
NEED int json_skip(struct json_pull *j, struct err *e);
/* As json_skip(), giving the value's text as it lies. */
NEED int json_raw(struct json_pull *j, struct bytes *out, struct err *e);

/* ---- writing */
int json_add_string(struct buf *b, struct bytes text); /* quoted; invalid UTF-8 -> U+FFFD */
int json_add_f64(struct buf *b, double v);             /* %.9g; not finite -> null */
/* Tree to text: indent 0 is one line with ", " and ": " (Python's default);
 * more is Python's indent=n. Key order kept unless sort is set;
 * numbers that were read are written as they stood. */
NEED int json_write(struct buf *b, const cJSON *v, int indent, bool sort, struct err *e);

#endif
