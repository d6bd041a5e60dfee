/* SPDX-License-Identifier: MIT */
/* normal.c - the steps of a normalizer, from one buffer to the other. */
#include "text/normal.h"

#include <stdlib.h>
#include <string.h>

#include "text/chars.h"
#include "text/form.h"

void normalizer_release(struct normalizer *z)
{
	for (size_t i = 0; i < z->n; i++)
		regex_close(z->step[i].regex);
	z->n = 0;
}

void normal_room_release(struct normal_room *r)
{
	buf_release(&r->text[0]);
	buf_release(&r->text[1]);
	regex_room_release(&r->regex);
	free(r->cp);
	free(r->class);
	memset(r, 0, sizeof *r);
}

/* Valid stretches take the form; other bytes pass. */
static int form(struct buf *b, struct bytes t, enum normal_kind kind, struct normal_room *room,
                struct err *e)
{
	size_t n;

	while (t.n) {
		n = utf8_valid(t);
		if (n && form_add(b, (struct bytes){ t.p, n }, kind, room, e))
			return -1;
		t.p += n;
		t.n -= n;
		if (t.n) {
			buf_add_byte(b, *t.p++);
			t.n--;
		}
	}
	return 0;
}

static int replace_literal(struct buf *b, struct bytes t, const struct normal *s)
{
	const unsigned char *hit;
	size_t n;

	while (s->what.n && t.n && (hit = memmem(t.p, t.n, s->what.p, s->what.n))) {
		n = (size_t)(hit - t.p);
		buf_add(b, t.p, n);
		buf_add(b, s->with.p, s->with.n);
		t.p += n + s->what.n;
		t.n -= n + s->what.n;
	}
	return buf_add(b, t.p, t.n);
}

static int replace_valid(struct buf *b, struct bytes t, const struct normal *s,
                         struct regex_room *room, struct err *e)
{
	size_t from = 0, done = 0;
	struct span m;
	int found = 0;

	while (from <= t.n && (found = regex_find(s->regex, room, t, from, &m, e)) == 1) {
		buf_add(b, t.p + done, m.begin - done);
		buf_add(b, s->with.p, s->with.n);
		done = from = m.end;
		if (m.begin == m.end)
			from += m.end < t.n ? chars_len(t.p + m.end, t.n - m.end) : 1;
	}
	buf_add(b, t.p + done, t.n - done);
	return found < 0 ? -1 : 0;
}

static int replace_regex(struct buf *b, struct bytes t, const struct normal *s,
                         struct regex_room *room, struct err *e)
{
	size_t n;

	if (regex_room_begin(room, t.n, e))
		return -1;

	while (t.n) {
		n = utf8_valid(t);
		if (n && replace_valid(b, (struct bytes){ t.p, n }, s, room, e))
			return -1;
		t.p += n;
		t.n -= n;
		if (t.n) {
			buf_add_byte(b, *t.p++);
			t.n--;
		}
	}
	return 0;
}

static struct bytes strip(struct bytes t, const struct normal *s)
{
	size_t n, len;

	while (s->left && t.n && (chars_at(t.p, t.n, &len) & CH_SPACE)) {
		t.p += len;
		t.n -= len;
	}
	while (s->right && t.n) {
		n = chars_before(t.p, t.n);
		if (!(chars_at(t.p + t.n - n, n, &len) & CH_SPACE))
			break;
		t.n -= n;
	}
	return t;
}

static int apply(struct buf *b, struct bytes t, const struct normal *s, struct normal_room *room,
                 struct err *e)
{
	buf_clear(b);
	buf_add(b, NULL, 0);
	switch (s->kind) {
	case NORMAL_PREPEND:
		if (t.n)
			buf_add(b, s->with.p, s->with.n);
		buf_add(b, t.p, t.n);
		break;
	case NORMAL_REPLACE:
		if (s->regex)
			return replace_regex(b, t, s, &room->regex, e) ? -1 : buf_check(b, e);
		replace_literal(b, t, s);
		break;
	case NORMAL_STRIP:
		t = strip(t, s);
		buf_add(b, t.p, t.n);
		break;
	case NORMAL_NFC:
	case NORMAL_NFD:
	case NORMAL_NFKC:
	case NORMAL_NFKD:
		if (form(b, t, s->kind, room, e))
			return -1;
		break;
	default:
		return normal_chars(b, t, s, e);
	}
	return buf_check(b, e);
}

static bool is_ascii(struct bytes t)
{
	unsigned char any = 0;

	for (size_t i = 0; i < t.n; i++)
		any |= t.p[i];
	return any < 0x80;
}

int normalizer_run(const struct normalizer *z, struct bytes text, struct normal_room *room,
                   struct bytes *out, struct err *e)
{
	for (size_t i = 0; i < z->n; i++) {
		struct buf *b = &room->text[i & 1];

		if (z->step[i].kind <= NORMAL_NFKD && is_ascii(text))
			continue;
		if (text.p == b->p)
			b = &room->text[!(i & 1)];
		if (apply(b, text, &z->step[i], room, e))
			return -1;
		text = buf_bytes(b);
	}
	*out = text;
	return 0;
}
