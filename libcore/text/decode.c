/* SPDX-License-Identifier: MIT */
/* decode.c - the steps that a decoder takes with each token's text. */
#include <string.h>

#include "text/tokenizer.h"

void decoder_release(struct decoder *d)
{
	for (size_t i = 0; i < d->n_steps; i++)
		regex_close(d->step[i].regex);
	d->n_steps = 0;
}

static int replace_all(struct buf *b, struct bytes what, struct bytes with, struct err *e)
{
	struct buf from = *b;
	struct bytes t = buf_bytes(&from);
	const unsigned char *hit;

	if (!what.n || !t.n || !memmem(t.p, t.n, what.p, what.n))
		return 0;
	*b = (struct buf){ .ceiling = from.ceiling };
	while (t.n && (hit = memmem(t.p, t.n, what.p, what.n))) {
		size_t n = (size_t)(hit - t.p);

		buf_add(b, t.p, n);
		buf_add(b, with.p, with.n);
		t.p += n + what.n;
		t.n -= n + what.n;
	}
	buf_add(b, t.p, t.n);
	buf_release(&from);
	return buf_check(b, e);
}

static int replace_matches(struct buf *b, const struct decode_step *s, struct err *e)
{
	struct regex_room room = { 0 };
	struct buf from = *b;
	struct bytes t = buf_bytes(&from);
	size_t at = 0, done = 0;
	struct span m;
	int found = -1;

	if (utf8_valid(t) != t.n)
		return 0;
	*b = (struct buf){ .ceiling = from.ceiling };
	if (!regex_room_begin(&room, t.n, e))
		while (at <= t.n && (found = regex_find(s->regex, &room, t, at, &m, e)) == 1) {
			buf_add(b, t.p + done, m.begin - done);
			buf_add(b, s->with.p, s->with.n);
			done = at = m.end;
			if (m.begin == m.end)
				at += m.end < t.n ? chars_len(t.p + m.end, t.n - m.end) : 1;
		}
	buf_add(b, t.p + done, t.n - done);
	buf_release(&from);
	regex_room_release(&room);
	return found < 0 ? -1 : buf_check(b, e);
}

static bool at_start(const struct buf *b, struct bytes what)
{
	return what.n && b->n >= what.n && !memcmp(b->p, what.p, what.n);
}

static void drop_start(struct buf *b, size_t n)
{
	memmove(b->p, b->p + n, b->n - n);
	b->n -= n;
}

static void strip(struct buf *b, const struct decode_step *s)
{
	for (size_t i = 0; i < s->left && at_start(b, s->what); i++)
		drop_start(b, s->what.n);
	for (size_t i = 0; i < s->right && s->what.n && b->n >= s->what.n &&
	                   !memcmp(b->p + b->n - s->what.n, s->what.p, s->what.n);
	     i++)
		b->n -= s->what.n;
}

static int wordpiece(struct buf *b, const struct decode_step *s, bool first, struct err *e)
{
	if (first)
		return 0;
	if (at_start(b, s->what)) {
		drop_start(b, s->what.n);
		return 0;
	}
	buf_add_byte(b, ' ');
	if (buf_check(b, e))
		return -1;
	memmove(b->p + 1, b->p, b->n - 1);
	b->p[0] = ' ';
	return 0;
}

static int clean(struct buf *b, struct err *e)
{
	static const char *const row[][2] = {
		{ " .", "." },   { " ?", "?" },     { " !", "!" },     { " ,", "," },
		{ " ' ", "'" },  { " n't", "n't" }, { " 'm", "'m" },   { " do not", " don't" },
		{ " 's", "'s" }, { " 've", "'ve" }, { " 're", "'re" },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (replace_all(b, bytes_of(row[i][0]), bytes_of(row[i][1]), e))
			return -1;
	return 0;
}

static int run_step(struct buf *b, const struct decode_step *s, bool first, bool again,
                    struct err *e)
{
	switch (s->kind) {
	case DECODE_REPLACE:
		return s->regex ? replace_matches(b, s, e) : replace_all(b, s->what, s->with, e);
	case DECODE_STRIP:
		strip(b, s);
		return 0;
	case DECODE_WORDPIECE:
		return wordpiece(b, s, first, e);
	case DECODE_CTC:
		if (again)
			b->n = 0;
		return replace_all(b, s->what, (struct bytes){ 0 }, e);
	case DECODE_CLEAN:
		return clean(b, e);
	case DECODE_SUFFIX: /* at the end it is taken already */
		return replace_all(b, s->what, bytes_of(" "), e);
	}
	return -1;
}

int decode_token(const struct decoder *d, struct bytes text, bool first, bool again,
                 struct buf *out, struct err *e)
{
	buf_clear(out);
	buf_add(out, text.p, text.n);
	if (buf_check(out, e))
		return -1;
	for (size_t i = 0; i < d->n_steps; i++)
		if (run_step(out, &d->step[i], first, again, e))
			return -1;
	return 0;
}
