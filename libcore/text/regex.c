/* SPDX-License-Identifier: MIT */
/* regex.c - PCRE2 reading what tokenizer files mean, which is Oniguruma's
 * dialect: \s is Unicode's white space, ^ and $ are at every line, a script's
 * name means its own characters. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/regex.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "util/buf.h"

enum {
	HEAP_KIB = 256 * 1024,
	DEPTH = 10 * 1000 * 1000,
	PARENS = 100,
	STEPS = 256, /* of one match, before they are counted */
	STEPS_GROW = 8,
	STEPS_PER_BYTE = 256,
	STEPS_MIN = 16 * 1000 * 1000,
};

struct regex {
	pcre2_code *code;
};

#define WHITE                                                                          \
	"\\x09-\\x0d\\x20\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}" \
	"\\x{202f}\\x{205f}\\x{3000}"

#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define BORDER "(?:(?<=[" WORD "])(?![" WORD "])|(?<![" WORD "])(?=[" WORD "]))"

/* What an escape means here and PCRE2 would read otherwise; NULL: the same. */
static const char *escape(unsigned char c, bool in_class)
{
	switch (c) {
	case 's':
		return in_class ? WHITE : "[" WHITE "]";
	case 'S':
		return in_class ? NULL : "[^" WHITE "]";
	case 'h':
		return in_class ? "0-9A-Fa-f" : "[0-9A-Fa-f]";
	case 'H':
		return in_class ? NULL : "[^0-9A-Fa-f]";
	case 'w':
		return in_class ? WORD : "[" WORD "]";
	case 'W':
		return in_class ? NULL : "[^" WORD "]";
	case 'b':
		return in_class ? NULL : BORDER;
	case 'B':
		return in_class ? NULL : "(?!" BORDER ")";
	}
	return NULL;
}

/* \p{NAME} or its like at p: the place of a script's name, which PCRE2 takes
 * for all characters that are used with the script unless it is told; 0. */
static size_t script_name(struct bytes p)
{
	char probe[48] = "\\p{sc:";
	size_t from = 3, to, n = strlen(probe);
	pcre2_code *code;
	int rc;
	PCRE2_SIZE at;

	if (p.n < 4 || (p.p[1] != 'p' && p.p[1] != 'P') || p.p[2] != '{')
		return 0;
	from += p.p[3] == '^';
	for (to = from; to < p.n && p.p[to] != '}' && n < sizeof probe - 2; to++) {
		if (!isalpha(p.p[to]) && p.p[to] != '_')
			return 0;
		probe[n++] = (char)p.p[to];
	}
	if (to == p.n || p.p[to] != '}' || to - from < 3)
		return 0;
	probe[n++] = '}';
	code = pcre2_compile((PCRE2_SPTR)probe, n, PCRE2_UTF, &rc, &at, NULL);
	pcre2_code_free(code);
	return code ? from : 0;
}

/* Writes white space out, since PCRE2 counts U+180E and Unicode does not.
 * Refuses classes within classes, which PCRE2 does not know. */
static int translate(struct buf *b, struct bytes p, struct err *e)
{
	const char *other;
	bool in_class = false;

	for (size_t i = 0; i < p.n; i++) {
		unsigned char c = p.p[i], next = i + 1 < p.n ? p.p[i + 1] : 0;

		if (c == '\\' && i + 1 < p.n) {
			size_t script = script_name((struct bytes){ p.p + i, p.n - i });

			other = escape(next, in_class);
			if (other)
				buf_add_text(b, other);
			else
				buf_add(b, p.p + i, script ? script : 2);
			if (script)
				buf_add_text(b, "sc:");
			i += (script ? script : 2) - 1;
			continue;
		}
		if (in_class && ((c == '[' && next != ':') || (c == '&' && next == '&')))
			return err_set(e, ERR_INPUT,
			               "expression, byte %zu: a class within a "
			               "class is not supported",
			               i);
		buf_add_byte(b, c);
		if (c == '[' && !in_class) {
			in_class = true;
			if (next == '^')
				buf_add_byte(b, p.p[++i]);
			if (i + 1 < p.n && p.p[i + 1] == ']')
				buf_add_byte(b, p.p[++i]);
		} else if (c == '[') { /* [:name:] */
			while (i + 1 < p.n && p.p[i] != ']')
				buf_add_byte(b, p.p[++i]);
		} else if (c == ']') {
			in_class = false;
		}
	}
	return buf_check(b, e);
}

static pcre2_code *compile(struct bytes p, struct err *e)
{
	pcre2_compile_context *c = pcre2_compile_context_create(NULL);
	pcre2_code *code;
	unsigned char text[128];
	size_t at = 0;
	int rc = 0;

	if (!c) {
		(void)err_memory(e, 0);
		return NULL;
	}
	pcre2_set_parens_nest_limit(c, PARENS);
	code = pcre2_compile(p.p, p.n,
	                     PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &rc,
	                     &at, c);
	pcre2_compile_context_free(c);
	if (!code) {
		pcre2_get_error_message(rc, text, sizeof text);
		(void)err_set(e, ERR_INPUT, "expression, byte %zu: %s", at, (char *)text);
	}
	return code;
}

int regex_open(struct regex **out, struct bytes pattern, enum regex_from from, struct err *e)
{
	struct buf b = { .ceiling = 64 * (size_t)REGEX_BYTES };
	struct regex *r;

	if (pattern.n > REGEX_BYTES)
		return err_set(e, ERR_INPUT, "expression: %zu bytes, at most %d", pattern.n,
		               REGEX_BYTES);
	r = calloc(1, sizeof *r);
	if (!r)
		return err_memory(e, sizeof *r);
	buf_add_text(&b, "");
	if (translate(&b, pattern, e))
		goto fail;
	r->code = compile(buf_bytes(&b), e);
	if (!r->code)
		goto fail;
	if (from == REGEX_OURS) /* without it the interpreter does the work */
		(void)pcre2_jit_compile(r->code, PCRE2_JIT_COMPLETE);
	buf_release(&b);
	*out = r;
	return 0;
fail:
	buf_release(&b);
	regex_close(r);
	return -1;
}

void regex_close(struct regex *r)
{
	if (!r)
		return;
	pcre2_code_free(r->code);
	free(r);
}

int regex_room_begin(struct regex_room *room, size_t n_bytes, struct err *e)
{
	if (!room->data)
		room->data = pcre2_match_data_create(1, NULL);
	if (!room->limits)
		room->limits = pcre2_match_context_create(NULL);
	if (!room->data || !room->limits)
		return err_memory(e, 0);
	pcre2_set_heap_limit(room->limits, HEAP_KIB);
	pcre2_set_depth_limit(room->limits, DEPTH);
	room->steps = (uint64_t)n_bytes * STEPS_PER_BYTE + STEPS_MIN;
	return 0;
}

void regex_room_release(struct regex_room *room)
{
	pcre2_match_data_free(room->data);
	pcre2_match_context_free(room->limits);
	*room = (struct regex_room){ 0 };
}

/* A match may take few steps at first; each further try takes more from what
 * the whole text has, so that many hard matches end as one does. */
static int match(const struct regex *r, struct regex_room *room, struct bytes text, size_t from)
{
	const unsigned char *p = text.n ? text.p : (const unsigned char *)"";
	uint32_t options = PCRE2_NO_UTF_CHECK, steps = STEPS;
	int rc;

	for (;;) {
		pcre2_set_match_limit(room->limits, steps);
		rc = pcre2_match(r->code, p, text.n, from, options, room->data, room->limits);
		if (rc == PCRE2_ERROR_JIT_STACKLIMIT) {
			options |= PCRE2_NO_JIT;
			continue;
		}
		if (rc != PCRE2_ERROR_MATCHLIMIT || (uint64_t)steps * STEPS_GROW > room->steps ||
		    steps > UINT32_MAX / STEPS_GROW)
			return rc;
		steps *= STEPS_GROW;
		room->steps -= steps;
	}
}

int regex_find(const struct regex *r, struct regex_room *room, struct bytes text, size_t from,
               struct span *out, struct err *e)
{
	unsigned char message[128];
	int rc = match(r, room, text, from);

	out->begin = pcre2_get_ovector_pointer(room->data)[0];
	out->end = pcre2_get_ovector_pointer(room->data)[1];
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc < 0) {
		pcre2_get_error_message(rc, message, sizeof message);
		return err_set(e, rc == PCRE2_ERROR_NOMEMORY ? ERR_MACHINE : ERR_INPUT,
		               "expression: %s", (char *)message);
	}
	if (out->begin > out->end) /* \K in a lookahead */
		out->begin = out->end;
	return 1;
}
