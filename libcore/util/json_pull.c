/* SPDX-License-Identifier: MIT */
/* json_pull.c - strict JSON (RFC 8259), a token at a time.
 *
 * Given a text that stays where it is, gives tokens; memory is bounded by
 * the longest string with an escape. Duplicate keys are left to the caller,
 * who knows which matter. */
#include "util/json.h"
#include "util/num.h"
#include "util/utf8.h"

#include <string.h>

enum { IN_OBJECT, IN_ARRAY };

/* What may come next. */
enum state {
	WANT_VALUE,
	WANT_VALUE_OR_END, /* after '[' */
	WANT_KEY,          /* after ',' in an object */
	WANT_KEY_OR_END,   /* after '{' */
	WANT_COMMA_OR_END, /* after a value */
	WANT_NOTHING,      /* after the whole value */
	FAILED,
};

void json_pull_init(struct json_pull *j, struct bytes text)
{
	*j = (struct json_pull){ .text = text, .state = WANT_VALUE };
	buf_init(&j->scratch, 0);
}

void json_pull_release(struct json_pull *j)
{
	if (j)
		buf_release(&j->scratch);
}

/* ---- failures */

static enum json_token fail(struct json_pull *j, size_t at, struct err *e, const char *what)
{
	j->state = FAILED;
	err_set(e, ERR_INPUT, "byte %zu: %s", at, what);
	return JSON_ERROR;
}

static enum json_token expected(struct json_pull *j, struct err *e, const char *what)
{
	size_t at = j->pos;
	unsigned char c;

	j->state = FAILED;
	if (at >= j->text.n) {
		err_set(e, ERR_INPUT, "byte %zu: expected %s, found the end", at, what);
		return JSON_ERROR;
	}
	c = j->text.p[at];
	err_set(e, ERR_INPUT,
	        c > ' ' && c < 0x7f ? "byte %zu: expected %s, found '%c'" :
	                              "byte %zu: expected %s, found byte 0x%02x",
	        at, what, c);
	return JSON_ERROR;
}

static enum json_token after_value(struct json_pull *j, enum json_token t)
{
	j->state = j->depth ? WANT_COMMA_OR_END : WANT_NOTHING;
	return t;
}

/* The byte at pos, or -1 at the end. */
static int peek(const struct json_pull *j)
{
	return j->pos < j->text.n ? j->text.p[j->pos] : -1;
}

static int skip_blanks(struct json_pull *j)
{
	int c;

	while ((c = peek(j)) == ' ' || c == '\n' || c == '\r' || c == '\t')
		j->pos++;
	return c;
}

/* ---- strings */

/* Four hexadecimal digits at pos; -1 if they are not. */
static int32_t hex4(struct json_pull *j)
{
	int32_t v = 0;

	if (j->text.n - j->pos < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int c = j->text.p[j->pos + (size_t)i];
		int digit = c >= '0' && c <= '9' ? c - '0' :
		            c >= 'a' && c <= 'f' ? c - 'a' + 10 :
		            c >= 'A' && c <= 'F' ? c - 'A' + 10 :
		                                   -1;

		if (digit < 0)
			return -1;
		v = v << 4 | digit;
	}
	j->pos += 4;
	return v;
}

/* What follows "\u", into the scratch buffer. NULL, or what is wrong. */
static const char *unescape_unicode(struct json_pull *j)
{
	unsigned char utf8[4];
	int32_t v = hex4(j), low;

	if (v < 0)
		return "expected four hexadecimal digits after \\u";
	if (v == 0)
		return "\\u0000 is refused";
	if (v >= 0xdc00 && v < 0xe000)
		return "the second half of a surrogate pair without the first";
	if (v >= 0xd800 && v < 0xdc00) {
		if (j->text.n - j->pos < 6 || j->text.p[j->pos] != '\\' ||
		    j->text.p[j->pos + 1] != 'u')
			return "the first half of a surrogate pair without the second";
		j->pos += 2;
		low = hex4(j);
		if (low < 0xdc00 || low >= 0xe000)
			return "the first half of a surrogate pair without the second";
		v = 0x10000 + ((v - 0xd800) << 10 | (low - 0xdc00));
	}
	buf_add(&j->scratch, utf8, (size_t)utf8_encode(utf8, (uint32_t)v));
	return NULL;
}

static const char *unescape(struct json_pull *j)
{
	static const char names[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
	int c = peek(j);
	const char *at = c > 0 ? strchr(names, c) : NULL;

	j->pos++;
	if (c == 'u')
		return unescape_unicode(j);
	if (!at)
		return "expected one of \"\\/bfnrtu after a backslash";
	buf_add_byte(&j->scratch, (unsigned char)bytes[at - names]);
	return NULL;
}

/* Passes over bytes that stand for themselves, up to a quote, a backslash,
 * a control byte, invalid UTF-8 or the end; gives that byte or -1. */
static int plain_run(struct json_pull *j)
{
	const unsigned char *p = j->text.p;
	size_t pos = j->pos, n = j->text.n;
	uint32_t cp;

	while (pos < n) {
		int len = 1, c = p[pos];

		if (c == '"' || c == '\\' || c < 0x20)
			break;
		if (c >= 0x80)
			len = utf8_decode(&cp, p + pos, n - pos);
		if (len <= 0)
			break;
		pos += (size_t)len;
	}
	j->pos = pos;
	return peek(j);
}

/* A string whose opening quote is at pos; gives it without escapes. */
static int string(struct json_pull *j, struct err *e)
{
	size_t run = ++j->pos;
	bool escaped = false;
	const char *wrong;
	int c;

	buf_clear(&j->scratch);
	while ((c = plain_run(j)) == '\\') {
		size_t at = j->pos;

		escaped = true;
		buf_add(&j->scratch, j->text.p + run, at - run);
		j->pos++;
		wrong = unescape(j);
		if (wrong) {
			(void)fail(j, at, e, wrong);
			return -1;
		}
		run = j->pos;
	}
	if (c != '"') {
		(void)fail(j, j->pos, e,
		           c < 0     ? "a string does not end" :
		           c >= 0x80 ? "invalid UTF-8" :
		                       "a control byte in a string");
		return -1;
	}
	j->string = (struct bytes){ j->text.p + run, j->pos - run };
	j->pos++;
	if (!escaped)
		return 0;
	buf_add(&j->scratch, j->string.p, j->string.n);
	j->string = buf_bytes(&j->scratch);
	return buf_check(&j->scratch, e);
}

/* ---- numbers */

static bool digits(struct json_pull *j)
{
	size_t from = j->pos;
	int c;

	while ((c = peek(j)) >= '0' && c <= '9')
		j->pos++;
	return j->pos > from;
}

/* Moves over [-] int [frac] [exp]; NULL, or what is wrong at pos. */
static const char *number_end(struct json_pull *j)
{
	int c;

	if (peek(j) == '-')
		j->pos++;
	if (peek(j) == '0') {
		j->pos++;
		c = peek(j);
		if (c >= '0' && c <= '9')
			return "a number with a leading zero";
	} else if (!digits(j)) {
		return "expected a digit";
	}
	if (peek(j) == '.') {
		j->pos++;
		if (!digits(j))
			return "expected a digit after the point";
	}
	c = peek(j);
	if (c == 'e' || c == 'E') {
		j->pos++;
		c = peek(j);
		if (c == '+' || c == '-')
			j->pos++;
		if (!digits(j))
			return "expected a digit in the exponent";
	}
	return NULL;
}

/* Ids and counts, which most numbers are, without a detour. */
static bool small_integer(double *out, struct bytes text)
{
	bool minus = text.p[0] == '-';
	int64_t v = 0;

	if (text.n > 15)
		return false;
	for (size_t i = minus; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		v = v * 10 + (text.p[i] - '0');
	}
	*out = minus ? -(double)v : (double)v;
	return true;
}

static enum json_token number(struct json_pull *j, struct err *e)
{
	size_t start = j->pos;
	const char *wrong = number_end(j);

	if (wrong)
		return fail(j, j->pos, e, wrong);
	j->string = (struct bytes){ j->text.p + start, j->pos - start };
	if (small_integer(&j->number, j->string))
		return after_value(j, JSON_NUMBER);
	buf_clear(&j->scratch);
	buf_add(&j->scratch, j->string.p, j->string.n);
	if (buf_check(&j->scratch, e)) {
		j->state = FAILED;
		return JSON_ERROR;
	}
	if (!num_f64(&j->number, (const char *)j->scratch.p))
		return fail(j, start, e, "a number too large");
	return after_value(j, JSON_NUMBER);
}

/* ---- values */

static enum json_token open_container(struct json_pull *j, int kind, struct err *e)
{
	if (j->depth == JSON_DEPTH)
		return fail(j, j->pos, e, "nested too deep");
	j->stack[j->depth++] = (unsigned char)kind;
	j->pos++;
	j->state = kind == IN_OBJECT ? WANT_KEY_OR_END : WANT_VALUE_OR_END;
	return kind == IN_OBJECT ? JSON_OBJECT : JSON_ARRAY;
}

static enum json_token close_container(struct json_pull *j)
{
	int kind = j->stack[--j->depth];

	j->pos++;
	return after_value(j, kind == IN_OBJECT ? JSON_OBJECT_END : JSON_ARRAY_END);
}

static enum json_token literal(struct json_pull *j, struct err *e)
{
	static const struct {
		const char *text;
		enum json_token token;
	} words[] = {
		{ "true", JSON_TRUE },
		{ "false", JSON_FALSE },
		{ "null", JSON_NULL },
	};
	struct bytes rest = { j->text.p + j->pos, j->text.n - j->pos };

	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (bytes_starts(rest, words[i].text)) {
			j->pos += strlen(words[i].text);
			return after_value(j, words[i].token);
		}
	return expected(j, e, "a value");
}

static enum json_token value(struct json_pull *j, int c, struct err *e)
{
	if (c == '{')
		return open_container(j, IN_OBJECT, e);
	if (c == '[')
		return open_container(j, IN_ARRAY, e);
	if (c == '-' || (c >= '0' && c <= '9'))
		return number(j, e);
	if (c == '"') {
		if (string(j, e)) {
			j->state = FAILED;
			return JSON_ERROR;
		}
		return after_value(j, JSON_STRING);
	}
	return c < 0 ? expected(j, e, "a value") : literal(j, e);
}

/* A key and the colon behind it. */
static enum json_token key(struct json_pull *j, int c, struct err *e)
{
	if (c != '"')
		return expected(j, e, "a key");
	if (string(j, e)) {
		j->state = FAILED;
		return JSON_ERROR;
	}
	if (skip_blanks(j) != ':')
		return expected(j, e, "':'");
	j->pos++;
	j->state = WANT_VALUE;
	return JSON_KEY;
}

enum json_token json_next(struct json_pull *j, struct err *e)
{
	int c = skip_blanks(j);
	bool in_object = j->depth && j->stack[j->depth - 1] == IN_OBJECT;

	if (j->state == WANT_COMMA_OR_END) {
		if (c == (in_object ? '}' : ']')) {
			j->start = j->pos;
			return close_container(j);
		}
		if (c != ',')
			return expected(j, e, in_object ? "',' or '}'" : "',' or ']'");
		j->pos++;
		c = skip_blanks(j);
		j->state = in_object ? WANT_KEY : WANT_VALUE;
	}
	j->start = j->pos;
	switch (j->state) {
	case WANT_KEY_OR_END:
		return c == '}' ? close_container(j) : key(j, c, e);
	case WANT_KEY:
		return key(j, c, e);
	case WANT_VALUE_OR_END:
		return c == ']' ? close_container(j) : value(j, c, e);
	case WANT_VALUE:
		return value(j, c, e);
	case WANT_NOTHING:
		return c < 0 ? JSON_END : expected(j, e, "the end");
	default:
		return fail(j, j->pos, e, "reading went on after a mistake");
	}
}

int json_raw(struct json_pull *j, struct bytes *out, struct err *e)
{
	int depth = j->depth;
	enum json_token t = json_next(j, e);
	size_t start = j->start;

	if (t == JSON_KEY || t == JSON_END || j->depth < depth) {
		(void)fail(j, start, e, "expected a value");
		return -1;
	}
	while (t != JSON_ERROR && j->depth > depth)
		t = json_next(j, e);
	if (t == JSON_ERROR)
		return -1;
	*out = (struct bytes){ j->text.p + start, j->pos - start };
	return 0;
}

int json_skip(struct json_pull *j, struct err *e)
{
	struct bytes ignored;

	return json_raw(j, &ignored, e);
}
