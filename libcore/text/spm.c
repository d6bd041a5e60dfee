/* SPDX-License-Identifier: MIT */
/* spm.c - SentencePiece's normalizer (Kudo and Richardson, 2018,
 * arXiv:1808.06226). */
#include "text/spm.h"

#include <string.h>

#include "text/chars.h"

/* ---- the double array: a unit holds a label, an offset to its children and
 * whether a value hangs there; a leaf holds the value */

static uint32_t unit_at(struct bytes trie, uint32_t i)
{
	const unsigned char *p;

	if (i >= trie.n / 4)
		return UINT32_C(1) << 31; /* a label that no byte has */
	p = trie.p + (size_t)i * 4;
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t unit_offset(uint32_t unit)
{
	return (unit >> 10) << ((unit & (1U << 9)) >> 6);
}

int charsmap_init(struct charsmap *c, struct bytes blob, struct arena *a, struct err *e)
{
	struct reader r;
	uint32_t n;
	char *copy = arena_text(a, blob.p, blob.n, e);

	if (!copy)
		return -1;
	reader_init(&r, (struct bytes){ (unsigned char *)copy, blob.n });
	n = read_u32(&r);
	c->trie = read_bytes(&r, n);
	c->texts = read_bytes(&r, reader_left(&r));
	if (reader_failed(&r) || n % 4 || !n)
		return err_set(e, ERR_INPUT,
		               "precompiled_charsmap: %zu bytes do not hold a trie "
		               "of %u",
		               blob.n, (unsigned)n);
	if (!c->texts.n || c->texts.p[c->texts.n - 1])
		return err_set(e, ERR_INPUT, "precompiled_charsmap: its last text does not end");
	return 0;
}

static size_t find_rule(const struct charsmap *c, struct bytes text, bool longest,
                        struct bytes *out)
{
	uint32_t node = 0, unit = unit_at(c->trie, 0), value;
	size_t n = 0;

	if (!c->trie.n)
		return 0;
	node ^= unit_offset(unit);
	for (size_t i = 0; i < text.n; i++) {
		node ^= text.p[i];
		unit = unit_at(c->trie, node);
		if ((unit & (1U << 31 | 0xFF)) != text.p[i])
			break;
		node ^= unit_offset(unit);
		if (!(unit >> 8 & 1))
			continue;
		value = unit_at(c->trie, node) & ~(1U << 31);
		if (value >= c->texts.n)
			continue;
		n = i + 1;
		out->p = c->texts.p + value;
		out->n = strlen((const char *)out->p);
		if (!longest)
			break;
	}
	return n;
}

size_t charsmap_find(const struct charsmap *c, struct bytes text, struct bytes *out)
{
	return find_rule(c, text, true, out);
}

size_t charsmap_first(const struct charsmap *c, struct bytes text, struct bytes *out)
{
	return find_rule(c, text, false, out);
}

/* ---- the normalizer */

/* What the start of the text becomes, and how much of the text that is. */
static size_t next_piece(const struct spm *s, struct bytes text, struct bytes *out)
{
	int32_t id;
	size_t n = strings_longest(&s->user, text, &id);

	if (n) {
		*out = (struct bytes){ text.p, n };
		return n;
	}
	n = charsmap_find(&s->map, text, out);
	if (n)
		return n;
	n = chars_len(text.p, text.n);
	*out = (struct bytes){ text.p, n };
	if (n == 1 && *text.p >= 0x80 && s->bad_replaced)
		*out = bytes_of("\xEF\xBF\xBD");
	return n;
}

static void add_space(const struct spm *s, struct buf *out)
{
	buf_add_text(out, s->escape ? SPM_MARK : " ");
}

static void drop_end(const struct spm *s, struct buf *out, size_t from)
{
	const char *space = s->escape ? SPM_MARK : " ";
	size_t n = strlen(space);

	while (out->n >= from + n && !memcmp(out->p + out->n - n, space, n))
		out->n -= n;
}

static struct bytes drop_start(const struct spm *s, struct bytes text)
{
	struct bytes piece;
	size_t n;

	while (text.n) {
		n = next_piece(s, text, &piece);
		if (!bytes_is(piece, " "))
			break;
		text.p += n;
		text.n -= n;
	}
	return text;
}

int spm_normalize(const struct spm *s, struct bytes text, bool first, struct buf *out,
                  struct err *e)
{
	size_t from = out->n, n;
	bool spaced = s->collapse, prefix = s->add_prefix && (first || !s->prefix_first);
	struct bytes piece;

	if (s->collapse)
		text = drop_start(s, text);
	if (!text.n)
		return 0;
	if (prefix && !s->suffix)
		add_space(s, out);
	for (; text.n; text.p += n, text.n -= n) {
		n = next_piece(s, text, &piece);
		while (spaced && piece.n && *piece.p == ' ') {
			piece.p++;
			piece.n--;
		}
		for (size_t i = 0; i < piece.n; i++)
			if (piece.p[i] == ' ')
				add_space(s, out);
			else
				buf_add_byte(out, piece.p[i]);
		if (piece.n)
			spaced = piece.p[piece.n - 1] == ' ';
		if (!s->collapse)
			spaced = false;
	}
	if (s->collapse)
		drop_end(s, out, from);
	if (prefix && s->suffix)
		add_space(s, out);
	return buf_check(out, e);
}
