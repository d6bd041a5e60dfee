/* SPDX-License-Identifier: MIT */
/* split.c - the steps of a splitter, one inside the other. */
#include "text/split.h"

#include <string.h>

struct run {
	const struct splitter *s;
	struct split_room *room;
	piece_fn *take;
	void *to;
	struct err *e;
	bool first;
};

/* Where a step stands in one text. */
struct cursor {
	struct run *r;
	size_t i;              /* the step */
	struct bytes text;     /* what is matched */
	struct bytes raw;      /* what pieces are cut from: the same unless mapped */
	size_t raw_at, map_at; /* how far the two have been walked together */
	struct span pending;
	bool has_pending, matched;
};

static int run_step(struct run *r, size_t i, struct bytes text);

void splitter_release(struct splitter *s)
{
	for (size_t i = 0; i < s->n; i++)
		regex_close(s->step[i].regex);
	s->n = 0;
}

void split_room_release(struct split_room *r)
{
	for (size_t i = 0; i < STEPS_MAX; i++) {
		buf_release(&r->step[i]);
		buf_release(&r->map[i]);
	}
	regex_room_release(&r->regex);
}

/* ---- pieces go on to the next step */

/* Where a place in the spelled text lies in the bytes; places only grow. */
static size_t unmapped(struct cursor *c, size_t at)
{
	while (c->map_at < at) {
		c->map_at += c->text.p[c->map_at] < 0x80 ? 1 : 2;
		c->raw_at++;
	}
	return c->raw_at;
}

static int give(struct cursor *c, struct span s)
{
	struct bytes piece;

	if (s.begin == s.end)
		return 0;
	if (c->text.p != c->raw.p) {
		s.begin = unmapped(c, s.begin);
		s.end = unmapped(c, s.end);
	}
	piece = (struct bytes){ c->raw.p + s.begin, s.end - s.begin };
	return run_step(c->r, c->i + 1, piece);
}

static int flush(struct cursor *c)
{
	bool has = c->has_pending;

	c->has_pending = false;
	return has ? give(c, c->pending) : 0;
}

/* One stretch of the text, a match or not, joined to its neighbours as the
 * step's behaviour wants. */
static int stretch(struct cursor *c, struct span s, bool match)
{
	const struct step *p = &c->r->s->step[c->i];
	bool before = c->matched, joins = false;

	match ^= p->invert;
	c->matched = match;
	switch (p->behaviour) {
	case SPLIT_ISOLATED:
		return give(c, s);
	case SPLIT_REMOVED:
		return match ? 0 : give(c, s);
	case SPLIT_CONTIGUOUS:
		joins = match == before;
		break;
	case SPLIT_WITH_PREVIOUS:
		joins = match && !before;
		break;
	case SPLIT_WITH_NEXT:
		joins = !match && before;
		break;
	}
	if (joins && c->has_pending) {
		c->pending.end = s.end;
		return 0;
	}
	if (flush(c))
		return -1;
	c->pending = s;
	c->has_pending = true;
	return 0;
}

/* ---- matching */

static bool is_punctuation(unsigned char byte, unsigned classes)
{
	return (classes & CH_PUNCT) || (byte < 0x80 && (classes & CH_SYMBOL));
}

static bool class_matches(const struct step *p, unsigned char byte, unsigned classes)
{
	switch (p->kind) {
	case STEP_DIGITS:
		return classes & CH_NUMBER;
	case STEP_PUNCTUATION:
		return is_punctuation(byte, classes);
	default:
		return classes & CH_SPACE;
	}
}

/* Steps that look at one character at a time: each match is one character. */
static bool find_class(const struct step *p, struct bytes t, size_t from, struct span *out)
{
	size_t len;

	for (; from < t.n; from += len)
		if (class_matches(p, t.p[from], chars_at(t.p + from, t.n - from, &len))) {
			*out = (struct span){ from, from + len };
			return true;
		}
	return false;
}

static bool find_literal(struct bytes what, struct bytes t, size_t from, struct span *out)
{
	const unsigned char *hit = NULL;

	if (what.n && from < t.n)
		hit = memmem(t.p + from, t.n - from, what.p, what.n);
	if (!hit)
		return false;
	out->begin = (size_t)(hit - t.p);
	out->end = out->begin + what.n;
	return true;
}

/* The valid stretch that begins at or after `from`. */
static struct bytes valid_part(struct bytes t, size_t *from)
{
	struct bytes rest = { t.p + *from, t.n - *from };
	size_t n;

	while ((n = utf8_valid(rest)) == 0 && rest.n) {
		rest.p++;
		rest.n--;
	}
	*from = (size_t)(rest.p - t.p);
	return (struct bytes){ rest.p, n };
}

static int find(struct run *r, const struct step *p, struct bytes t, size_t from, struct span *out)
{
	if (p->kind == STEP_REGEX)
		return regex_find(p->regex, &r->room->regex, t, from, out, r->e);
	if (p->kind == STEP_LITERAL || p->kind == STEP_METASPACE)
		return find_literal(p->literal, t, from, out);
	return find_class(p, t, from, out);
}

/* All of one valid text; `base` is where it begins in the cursor's. */
static int match_part(struct cursor *c, struct bytes t, size_t base, size_t *done)
{
	const struct step *p = &c->r->s->step[c->i];
	size_t from = 0;
	struct span m;
	int found;

	while (from <= t.n && (found = find(c->r, p, t, from, &m)) != 0) {
		if (found < 0)
			return -1;
		from = m.end;
		if (m.begin == m.end)
			from += m.end < t.n ? chars_len(t.p + m.end, t.n - m.end) : 1;
		m.begin += base;
		m.end += base;
		if (*done < m.begin && stretch(c, (struct span){ *done, m.begin }, false))
			return -1;
		if (stretch(c, m, true))
			return -1;
		*done = m.end;
	}
	return 0;
}

static int match_all(struct cursor *c)
{
	const struct step *p = &c->r->s->step[c->i];
	size_t done = 0, at = 0;
	struct bytes part = c->text;

	if (p->kind != STEP_REGEX) {
		if (match_part(c, part, 0, &done))
			return -1;
	} else {
		for (; at < c->text.n; at += part.n) {
			part = valid_part(c->text, &at);
			if (part.n && match_part(c, part, at, &done))
				return -1;
		}
	}
	if (done < c->text.n && stretch(c, (struct span){ done, c->text.n }, false))
		return -1;
	return flush(c);
}

static int scan_all(struct run *r, size_t i, const struct scan *scan, struct bytes t)
{
	size_t n;

	for (; t.n; t.p += n, t.n -= n) {
		n = scan->piece(scan, t.p, t.n);
		if (run_step(r, i + 1, (struct bytes){ t.p, n }))
			return -1;
	}
	return 0;
}

static unsigned word_class(unsigned classes)
{
	return classes & CH_WORD ? CH_WORD : classes & CH_SPACE;
}

static int words(struct cursor *c)
{
	struct bytes t = c->text;
	size_t begin = 0, at = 0, len;
	unsigned now = 0, k;

	for (; at < t.n; at += len) {
		k = word_class(chars_at(t.p + at, t.n - at, &len));
		if (k == now)
			continue;
		if (now != CH_SPACE && give(c, (struct span){ begin, at }))
			return -1;
		begin = at;
		now = k;
	}
	return now != CH_SPACE ? give(c, (struct span){ begin, at }) : 0;
}

/* ---- steps that rewrite */

static bool starts_with(struct bytes t, struct bytes what)
{
	return t.n >= what.n && (!what.n || !memcmp(t.p, what.p, what.n));
}

static int metaspace(struct cursor *c)
{
	const struct step *p = &c->r->s->step[c->i];
	struct buf *b = &c->r->room->step[c->i];
	bool spaced = c->text.n && c->text.p[0] == ' ';

	buf_clear(b);
	if (p->prepend != PREPEND_NEVER && (p->prepend == PREPEND_ALWAYS || c->r->first) &&
	    c->text.n && !spaced && !starts_with(c->text, p->literal))
		buf_add(b, p->literal.p, p->literal.n);
	for (size_t i = 0; i < c->text.n; i++)
		if (c->text.p[i] == ' ')
			buf_add(b, p->literal.p, p->literal.n);
		else
			buf_add_byte(b, c->text.p[i]);
	if (buf_check(b, c->r->e))
		return -1;
	c->r->first = false;
	c->text = c->raw = buf_bytes(b);
	return p->keep_whole ? give(c, (struct span){ 0, c->text.n }) : match_all(c);
}

static int prefix(struct run *r, size_t i, struct bytes text)
{
	struct buf *b = &r->room->step[i];

	if (text.p[0] == ' ')
		return run_step(r, i + 1, text);
	buf_clear(b);
	buf_add_byte(b, ' ');
	buf_add(b, text.p, text.n);
	if (buf_check(b, r->e))
		return -1;
	return run_step(r, i + 1, buf_bytes(b));
}

/* Spells the bytes in the alphabet, for a step that wants them so. */
static int spell(struct cursor *c)
{
	struct buf *b = &c->r->room->map[c->i];
	unsigned char ch[4];

	buf_clear(b);
	for (size_t i = 0; i < c->raw.n; i++)
		buf_add(b, ch, (size_t)utf8_encode(ch, alphabet_of_byte[c->raw.p[i]]));
	if (buf_check(b, c->r->e))
		return -1;
	c->text = buf_bytes(b);
	return 0;
}

static int run_step(struct run *r, size_t i, struct bytes text)
{
	const struct step *p = &r->s->step[i];
	struct cursor c = { .r = r, .i = i, .text = text, .raw = text };

	if (i == r->s->n)
		return r->take(r->to, text, r->e);
	if (!text.n)
		return 0;
	if (p->kind == STEP_SCAN)
		return scan_all(r, i, p->scan, text);
	if (p->kind == STEP_PREFIX)
		return prefix(r, i, text);
	if (p->kind == STEP_METASPACE)
		return metaspace(&c);
	if (p->mapped && spell(&c))
		return -1;
	return p->kind == STEP_WORDS ? words(&c) : match_all(&c);
}

int splitter_run(const struct splitter *s, struct bytes text, bool first, struct split_room *room,
                 piece_fn *take, void *to, struct err *e)
{
	struct run r = { s, room, take, to, e, first };

	for (size_t i = 0; i < s->n; i++)
		if (s->step[i].kind == STEP_REGEX && regex_room_begin(&room->regex, text.n, e))
			return -1;
	return run_step(&r, 0, text);
}
