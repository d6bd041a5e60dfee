/* SPDX-License-Identifier: MIT */
/* added.c - leftmost, then longest, with the white space a token claims. */
#include "text/added.h"

#include "text/chars.h"

int added_init(struct added *d, struct added_token *token, size_t n, struct arena *a, struct err *e)
{
	struct string *s = arena_new(a, n, sizeof *s, e);
	size_t n_plain = 0;

	if (!s)
		return -1;
	d->token = token;
	d->n = n;
	for (size_t i = 0; i < n; i++)
		s[i] = (struct string){ token[i].text, (int32_t)i };
	if (strings_init(&d->all, s, n, a, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!(token[i].flags & ADDED_SPECIAL))
			s[n_plain++] = (struct string){ token[i].text, (int32_t)i };
	return strings_init(&d->plain, s, n_plain, a, e);
}

static bool inside_word(struct bytes t, size_t begin, size_t end)
{
	size_t len, last = begin ? chars_before(t.p, begin) : 0;

	if (begin && (chars_at(t.p + begin - last, last, &len) & CH_WORD))
		return true;
	return end < t.n && (chars_at(t.p + end, t.n - end, &len) & CH_WORD);
}

static size_t white_before(struct bytes t, size_t at, size_t floor)
{
	size_t n, len;

	for (; at > floor; at -= n) {
		n = chars_before(t.p + floor, at - floor);
		if (!(chars_at(t.p + at - n, n, &len) & CH_SPACE))
			break;
	}
	return at;
}

static size_t white_after(struct bytes t, size_t at)
{
	size_t len;

	while (at < t.n && (chars_at(t.p + at, t.n - at, &len) & CH_SPACE))
		at += len;
	return at;
}

bool added_find(const struct added *d, struct bytes text, size_t from, size_t taken, bool special,
                struct added_hit *out)
{
	const struct strings *s = special ? &d->all : &d->plain;

	if (!s->n)
		return false;
	for (size_t i = from; i < text.n; i++) {
		const struct added_token *t;
		int32_t k = 0;
		size_t n;

		if (s->first[text.p[i]] == s->first[text.p[i] + 1])
			continue;
		n = strings_longest(s, (struct bytes){ text.p + i, text.n - i }, &k);
		if (!n)
			continue;
		t = &d->token[k];
		if ((t->flags & ADDED_WORD) && inside_word(text, i, i + n)) {
			i += n - 1;
			continue;
		}
		*out = (struct added_hit){ i, i + n, i, i + n, t->id };
		if (t->flags & ADDED_LEFT)
			out->begin = white_before(text, i, taken);
		if (t->flags & ADDED_RIGHT)
			out->end = white_after(text, i + n);
		return true;
	}
	return false;
}
