/* SPDX-License-Identifier: MIT */
/* form.c - decompose with utf8proc's tables, sort marks, compose with
 * utf8proc. Its own sort takes quadratic time on a long run of marks. */
#include "text/form.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "util/utf8.h"

enum { LONGEST = 32 /* characters that one decomposes into: 18 today */, CLASSES = 256 };

static int reserve(struct normal_room *r, size_t n, struct err *e)
{
	size_t room = r->room ? r->room : 256;
	int32_t *cp;
	uint8_t *class;

	if (n <= r->room)
		return 0;
	while (room < n)
		room *= 2;
	/* twice the characters: the upper half is where marks are sorted */
	cp = realloc(r->cp, 2 * room * sizeof *cp);
	if (!cp)
		return err_memory(e, 2 * room * sizeof *cp);
	r->cp = cp;
	class = realloc(r->class, 2 * room);
	if (!class)
		return err_memory(e, 2 * room);
	r->class = class;
	r->room = room;
	return 0;
}

static int decompose(struct normal_room *r, struct bytes text, utf8proc_option_t options,
                     struct err *e)
{
	utf8proc_ssize_t n;
	uint32_t cp;
	int boundary = 0;

	r->n = 0;
	for (size_t i = 0; i < text.n;) {
		int len = utf8_decode(&cp, text.p + i, text.n - i);

		if (reserve(r, r->n + LONGEST, e))
			return -1;
		n = utf8proc_decompose_char((utf8proc_int32_t)cp, r->cp + r->n, LONGEST, options,
		                            &boundary);
		if (n < 0 || n > LONGEST)
			return err_set(e, ERR_INPUT, "U+%04X: %s", (unsigned)cp,
			               n < 0 ? utf8proc_errmsg(n) : "decomposes too far");
		r->n += (size_t)n;
		i += len > 0 ? (size_t)len : 1;
	}
	return 0;
}

/* Sorts cp[begin .. end) by class, equals in order: by counting. */
static void sort_run(struct normal_room *r, size_t begin, size_t end)
{
	size_t at[CLASSES] = { 0 }, sum = begin, n;

	for (size_t i = begin; i < end; i++)
		at[r->class[i]]++;
	for (size_t c = 0; c < CLASSES; c++) {
		n = at[c];
		at[c] = sum;
		sum += n;
	}
	for (size_t i = begin; i < end; i++)
		r->cp[r->room + at[r->class[i]]++] = r->cp[i];
	memcpy(r->cp + begin, r->cp + r->room + begin, (end - begin) * sizeof *r->cp);
}

static void sort_marks(struct normal_room *r)
{
	size_t begin = 0;
	bool sorted = true;

	for (size_t i = 0; i < r->n; i++)
		r->class[i] = (uint8_t)utf8proc_get_property(r->cp[i])->combining_class;
	for (size_t i = 0; i <= r->n; i++) {
		if (i < r->n && r->class[i]) {
			sorted = sorted && (i == begin || r->class[i - 1] <= r->class[i]);
			continue;
		}
		if (!sorted)
			sort_run(r, begin, i);
		begin = i + 1;
		sorted = true;
	}
}

/* Everything below U+0300 is composed already. */
static bool is_low(struct bytes text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 0xCC)
			return false;
	return true;
}

int form_add(struct buf *out, struct bytes text, enum normal_kind kind, struct normal_room *room,
             struct err *e)
{
	utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
	bool compose = kind == NORMAL_NFC || kind == NORMAL_NFKC;
	unsigned char ch[4];
	utf8proc_ssize_t n;

	if (kind == NORMAL_NFC && is_low(text)) {
		buf_add(out, text.p, text.n);
		return buf_check(out, e);
	}
	if (kind == NORMAL_NFKC || kind == NORMAL_NFKD)
		options |= UTF8PROC_COMPAT;
	if (decompose(room, text, options, e))
		return -1;
	sort_marks(room);
	n = (utf8proc_ssize_t)room->n;
	if (compose)
		n = utf8proc_normalize_utf32(room->cp, n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
	for (utf8proc_ssize_t i = 0; i < n; i++)
		buf_add(out, ch, (size_t)utf8_encode(ch, (uint32_t)room->cp[i]));
	return buf_check(out, e);
}
