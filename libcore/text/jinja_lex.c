/* SPDX-License-Identifier: MIT */
/* jinja_lex.c - a template's text to tokens.
 *
 * Blanks go as Hugging Face sets Jinja up: a newline right after a tag goes
 * (trim_blocks), blanks before a tag that begins its line go (lstrip_blocks),
 * "-" takes all white space on its side and "+" keeps what would go. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"
#include "util/utf8.h"

struct lexer {
	struct chat_template *t;
	struct bytes s;
	size_t at;
	bool line_start; /* the last match ended a line */
	struct token *tok;
	size_t n, room;
	struct err *e;
};

static int fail(struct lexer *l, size_t pos, const char *what)
{
	err_set(l->e, ERR_INPUT, "%s", what);
	return jinja_place(l->t, pos, l->e);
}

static int add(struct lexer *l, enum token_kind kind, size_t pos, struct bytes text)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 256;
		struct token *more = arena_new(&l->t->arena, room, sizeof *more, l->e);

		if (!more)
			return -1;
		if (l->n)
			memcpy(more, l->tok, l->n * sizeof *more);
		l->tok = more;
		l->room = room;
	}
	l->tok[l->n++] = (struct token){ .kind = kind, .pos = pos, .text = text };
	return 0;
}

static bool has(const struct lexer *l, size_t at, const char *what)
{
	size_t n = strlen(what);

	return at + n <= l->s.n && !memcmp(l->s.p + at, what, n);
}

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1c && c <= 0x1f);
}

static void skip_space(struct lexer *l)
{
	while (l->at < l->s.n && is_space(l->s.p[l->at]))
		l->at++;
}

/* Behind a closing mark at l->at of `n` bytes: what it takes with it. */
static void close_mark(struct lexer *l, size_t n, char sign, bool trims)
{
	l->at += n;
	if (sign == '-')
		skip_space(l);
	else if (sign != '+' && trims && l->at < l->s.n && l->s.p[l->at] == '\n')
		l->at++;
	l->line_start = l->s.p[l->at - 1] == '\n';
}

static int add_data(struct lexer *l, size_t from, size_t to, char sign, bool variable)
{
	size_t end = to;

	if (sign == '-') {
		while (end > from && is_space(l->s.p[end - 1]))
			end--;
	} else if (sign != '+' && !variable) {
		while (end > from && l->s.p[end - 1] != '\n' && is_space(l->s.p[end - 1]))
			end--;
		/* only where the line has nothing else */
		if (!(end > from ? l->s.p[end - 1] == '\n' : l->line_start))
			end = to;
	}
	return end > from ? add(l, T_DATA, from, (struct bytes){ l->s.p + from, end - from }) : 0;
}

/* ---- inside a tag */

static uint32_t hex(struct lexer *l, unsigned digits)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < digits; i++, l->at++) {
		unsigned char c = l->at < l->s.n ? l->s.p[l->at] : 0;

		if (c >= '0' && c <= '9')
			v = v * 16 + (uint32_t)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			v = v * 16 + (uint32_t)((c | 32) - 'a' + 10);
		else
			return UINT32_MAX;
	}
	return v;
}

/* What follows a backslash, as Python reads it. */
static int escape(struct lexer *l, struct buf *b)
{
	static const char names[] = "\\'\"abfnrtv", bytes[] = "\\'\"\a\b\f\n\r\t\v";
	unsigned char c = l->s.p[l->at++], utf8[4];
	const char *known = c ? strchr(names, c) : NULL;
	uint32_t cp = 0;

	if (c == '\n')
		return 0;
	if (known)
		return buf_add_byte(b, (unsigned char)bytes[known - names]);
	if (c == 'x' || c == 'u' || c == 'U') {
		cp = hex(l, c == 'x' ? 2 : c == 'u' ? 4 : 8);
	} else if (c >= '0' && c <= '7') {
		cp = (uint32_t)(c - '0');
		for (int i = 0;
		     i < 2 && l->at < l->s.n && l->s.p[l->at] >= '0' && l->s.p[l->at] <= '7'; i++)
			cp = cp * 8 + (uint32_t)(l->s.p[l->at++] - '0');
	} else {
		buf_add_byte(b, '\\');
		return buf_add_byte(b, c);
	}
	if (cp > 0x10ffff)
		return -1;
	if (cp >= 0xd800 && cp <= 0xdfff)
		cp = 0xfffd;
	return buf_add(b, utf8, (size_t)utf8_encode(utf8, cp));
}

static int lex_string(struct lexer *l)
{
	size_t from = l->at;
	unsigned char quote = l->s.p[l->at++];
	struct buf b = { 0 };
	char *copy;

	while (l->at < l->s.n && l->s.p[l->at] != quote) {
		unsigned char c = l->s.p[l->at++];

		if (c != '\\' || l->at == l->s.n) {
			buf_add_byte(&b, c);
		} else if (escape(l, &b)) {
			buf_release(&b);
			return fail(l, from, "a string with a bad escape");
		}
	}
	if (l->at == l->s.n) {
		buf_release(&b);
		return fail(l, from, "a string that does not end");
	}
	l->at++;
	copy = buf_check(&b, l->e) ? NULL : arena_text(&l->t->arena, b.p, b.n, l->e);
	from = copy ? (size_t)add(l, T_STRING, from, (struct bytes){ (unsigned char *)copy, b.n }) :
	              1;
	buf_release(&b);
	return from ? -1 : 0;
}

static bool is_digit(const struct lexer *l, size_t at)
{
	return at < l->s.n && l->s.p[at] >= '0' && l->s.p[at] <= '9';
}

static void skip_digits(struct lexer *l)
{
	while (is_digit(l, l->at) ||
	       (l->at < l->s.n && l->s.p[l->at] == '_' && is_digit(l, l->at + 1)))
		l->at++;
}

static int lex_number(struct lexer *l)
{
	size_t from = l->at, e;
	enum token_kind kind = T_INT;
	bool after_dot = l->n && l->tok[l->n - 1].kind == T_OP && l->tok[l->n - 1].op == '.';

	if (l->s.p[from] == '0' && from + 2 < l->s.n && strchr("xXoObB", l->s.p[from + 1]) &&
	    l->s.p[from + 1]) {
		l->at += 2;
		while (l->at < l->s.n && (is_digit(l, l->at) || ((l->s.p[l->at] | 32) >= 'a' &&
		                                                 (l->s.p[l->at] | 32) <= 'f')))
			l->at++;
		return add(l, T_INT, from, (struct bytes){ l->s.p + from, l->at - from });
	}
	skip_digits(l);
	if (!after_dot && l->at < l->s.n && l->s.p[l->at] == '.' && is_digit(l, l->at + 1)) {
		kind = T_FLOAT;
		l->at++;
		skip_digits(l);
	}
	e = l->at;
	if (!after_dot && e < l->s.n && (l->s.p[e] | 32) == 'e') {
		e += 1 + (e + 1 < l->s.n && (l->s.p[e + 1] == '+' || l->s.p[e + 1] == '-'));
		if (is_digit(l, e)) {
			kind = T_FLOAT;
			l->at = e;
			skip_digits(l);
		}
	}
	return add(l, kind, from, (struct bytes){ l->s.p + from, l->at - from });
}

static bool is_letter(unsigned char c)
{
	return c == '_' || ((c | 32) >= 'a' && (c | 32) <= 'z') || c >= 0x80;
}

static int lex_word(struct lexer *l)
{
	size_t from = l->at;

	while (l->at < l->s.n && (is_letter(l->s.p[l->at]) || is_digit(l, l->at)))
		l->at++;
	return add(l, T_NAME, from, (struct bytes){ l->s.p + from, l->at - from });
}

static int lex_op(struct lexer *l, int *open)
{
	static const char two[][3] = { "//", "**", "==", "!=", "<=", ">=" };
	static const char one[] = "+-*/%~<>=.,:|()[]{};";
	unsigned char c = l->s.p[l->at];

	for (size_t i = 0; i < sizeof two / sizeof *two; i++)
		if (has(l, l->at, two[i])) {
			if (add(l, T_OP, l->at, (struct bytes){ l->s.p + l->at, 2 }))
				return -1;
			l->tok[l->n - 1].op = OP2(two[i][0], two[i][1]);
			l->at += 2;
			return 0;
		}
	if (!c || !strchr(one, c))
		return fail(l, l->at, "a character that no expression has");
	*open += c == '(' || c == '[' || c == '{';
	*open -= c == ')' || c == ']' || c == '}';
	if (add(l, T_OP, l->at, (struct bytes){ l->s.p + l->at, 1 }))
		return -1;
	l->tok[l->n - 1].op = c;
	l->at++;
	return 0;
}

/* Up to and with "%}" or "}}"; inside brackets those do not end it. */
static int lex_tag(struct lexer *l, bool variable, size_t from)
{
	const char *end = variable ? "}}" : "%}";
	int open = 0;

	for (;;) {
		unsigned char c;

		skip_space(l);
		if (l->at == l->s.n)
			return fail(l, from, variable ? "no }} for this {{" : "no %} for this {%");
		c = l->s.p[l->at];
		if (open <= 0 && (has(l, l->at, end) || ((c == '-' || (c == '+' && !variable)) &&
		                                         has(l, l->at + 1, end)))) {
			bool sign = c == '-' || c == '+';

			if (add(l, variable ? T_VAR_END : T_TAG_END, l->at, (struct bytes){ 0 }))
				return -1;
			close_mark(l, 2 + sign, sign ? (char)c : 0, !variable);
			return 0;
		}
		if (c == '"' || c == '\'' ? lex_string(l) :
		    c >= '0' && c <= '9'  ? lex_number(l) :
		    is_letter(c)          ? lex_word(l) :
		                            lex_op(l, &open))
			return -1;
	}
}

/* ---- around them */

static int lex_comment(struct lexer *l, size_t from)
{
	size_t end = l->at;

	while (end < l->s.n && !has(l, end, "#}"))
		end++;
	if (end == l->s.n)
		return fail(l, from, "no #} for this {#");
	char sign = end > l->at ? (char)l->s.p[end - 1] : 0;

	l->at = end;
	close_mark(l, 2, sign == '-' || sign == '+' ? sign : 0, true);
	return 0;
}

/* At a tag that is `name` alone: gives where it ends, and its closing sign. */
static size_t lone_tag(const struct lexer *l, size_t at, const char *name, char *sign)
{
	at += 2;
	if (at < l->s.n && (l->s.p[at] == '-' || l->s.p[at] == '+'))
		at++;
	while (at < l->s.n && is_space(l->s.p[at]))
		at++;
	if (!has(l, at, name))
		return 0;
	at += strlen(name);
	while (at < l->s.n && is_space(l->s.p[at]))
		at++;
	*sign = at < l->s.n && (l->s.p[at] == '-' || l->s.p[at] == '+') ? (char)l->s.p[at] : 0;
	at += *sign != 0;
	return has(l, at, "%}") ? at + 2 : 0;
}

static char sign_at(const struct lexer *l, size_t at)
{
	return at < l->s.n && (l->s.p[at] == '-' || l->s.p[at] == '+') ? (char)l->s.p[at] : 0;
}

static int lex_raw(struct lexer *l, size_t from, size_t after, char sign)
{
	size_t at, end = 0;
	char closing = 0;

	l->at = after - 2;
	close_mark(l, 2, sign, false);
	for (at = l->at; at < l->s.n; at++)
		if (has(l, at, "{%") && (end = lone_tag(l, at, "endraw", &closing)))
			break;
	if (!end)
		return fail(l, from, "no endraw for this raw");
	if (add_data(l, l->at, at, sign_at(l, at + 2), false))
		return -1;
	l->at = end - 2;
	close_mark(l, 2, closing, true);
	return 0;
}

static int lex_all(struct lexer *l)
{
	while (l->at < l->s.n) {
		size_t from = l->at, at = from, raw;
		char sign, closing;
		unsigned char c;

		while (at < l->s.n && !(l->s.p[at] == '{' && at + 1 < l->s.n && l->s.p[at + 1] &&
		                        strchr("{%#", l->s.p[at + 1])))
			at++;
		if (at == l->s.n)
			return add(l, T_DATA, from, (struct bytes){ l->s.p + from, at - from });
		c = l->s.p[at + 1];
		sign = sign_at(l, at + 2);
		if (add_data(l, from, at, sign, c == '{'))
			return -1;
		raw = c == '%' ? lone_tag(l, at, "raw", &closing) : 0;
		l->at = at + 2 + (sign != 0);
		if (c == '#' ? lex_comment(l, at) :
		    raw      ? lex_raw(l, at, raw, closing) :
		               (add(l, c == '{' ? T_VAR : T_TAG, at, (struct bytes){ 0 }) ||
                           lex_tag(l, c == '{', at)))
			return -1;
	}
	return 0;
}

/* \r\n and \r are \n; the last newline of all goes. */
static int normalize(struct chat_template *t, struct err *e)
{
	unsigned char *p = (unsigned char *)arena_text(&t->arena, t->text.p, t->text.n, e);
	size_t n = 0;

	if (!p)
		return -1;
	for (size_t i = 0; i < t->text.n; i++) {
		bool cr = p[i] == '\r';

		p[n++] = cr ? '\n' : p[i];
		i += cr && i + 1 < t->text.n && p[i + 1] == '\n';
	}
	n -= n && p[n - 1] == '\n';
	t->text = (struct bytes){ p, n };
	return 0;
}

int jinja_lex(struct chat_template *t, const struct token **out, struct err *e)
{
	struct lexer l = { .t = t, .line_start = true, .e = e };

	if (normalize(t, e))
		return -1;
	l.s = t->text;
	if (lex_all(&l) || add(&l, T_END, l.s.n, (struct bytes){ 0 }))
		return -1;
	*out = l.tok;
	return 0;
}
