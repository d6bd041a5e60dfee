/* SPDX-License-Identifier: MIT */
/* hf_normal.c - the normalizers of a tokenizer.json. */
#include <string.h>

#include "text/base64.h"
#include "text/hf.h"

static int add_normal(struct tokenizer *t, struct normal s, struct err *e)
{
	if (t->byte_level) {
		regex_close(s.regex);
		return err_set(e, ERR_INPUT, "after ByteLevel is not supported");
	}
	if (t->normalizer.n == NORMALS_MAX) {
		regex_close(s.regex);
		return err_set(e, ERR_INPUT, "more than %d steps", NORMALS_MAX);
	}
	t->normalizer.step[t->normalizer.n++] = s;
	return 0;
}

static int read_prepend(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_PREPEND };

	return part_text(t, o, "prepend", &s.with, e) ? -1 : add_normal(t, s, e);
}

static int read_replace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_REPLACE };
	bool is_regex;

	if (part_pattern(t, o, &s.what, &is_regex, e) || part_text(t, o, "content", &s.with, e))
		return -1;
	if (is_regex && regex_open(&s.regex, s.what, REGEX_FILE, e))
		return -1;
	return add_normal(t, s, e);
}

static int read_strip(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_STRIP };

	if (part_bool(o, "strip_left", true, &s.left, e) ||
	    part_bool(o, "strip_right", true, &s.right, e))
		return -1;
	return add_normal(t, s, e);
}

/* The name says it all. */
static int read_plain(struct tokenizer *t, const cJSON *o, struct err *e)
{
	static const struct {
		const char *type;
		enum normal_kind kind;
	} row[] = {
		{ "NFC", NORMAL_NFC },         { "NFD", NORMAL_NFD },
		{ "NFKC", NORMAL_NFKC },       { "NFKD", NORMAL_NFKD },
		{ "Lowercase", NORMAL_LOWER }, { "StripAccents", NORMAL_NO_MARKS },
		{ "Nmt", NORMAL_NMT },
	};
	const char *type = NULL;

	if (json_get_text(o, "type", &type, e) < 0)
		return -1;
	for (size_t i = 0; type && i < sizeof row / sizeof *row; i++)
		if (!strcmp(type, row[i].type))
			return add_normal(t, (struct normal){ .kind = row[i].kind }, e);
	return err_set(e, ERR_INPUT, "is not known");
}

int bert_normalizer(struct tokenizer *t, const struct bert_rules *r, struct err *e)
{
	const struct {
		bool on;
		enum normal_kind kind;
	} row[] = {
		{ r->clean, NORMAL_CLEAN },    { r->cjk, NORMAL_SPACE_CJK },
		{ r->no_accents, NORMAL_NFD }, { r->no_accents, NORMAL_NO_ACCENTS },
		{ r->lower, NORMAL_LOWER },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (row[i].on && add_normal(t, (struct normal){ .kind = row[i].kind }, e))
			return -1;
	return 0;
}

static int read_bert(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct bert_rules r;

	if (part_bool(o, "clean_text", true, &r.clean, e) ||
	    part_bool(o, "handle_chinese_chars", true, &r.cjk, e) ||
	    part_bool(o, "lowercase", true, &r.lower, e) ||
	    part_bool(o, "strip_accents", r.lower, &r.no_accents, e))
		return -1;
	return bert_normalizer(t, &r, e);
}

/* Its bytes in the alphabet: the vocabulary is spelled so, and text stays
 * as it is. */
static int read_byte_level(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o, (void)e;
	t->byte_level = true;
	return 0;
}

static int read_charsmap(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_CHARSMAP };
	struct charsmap *map = arena_new(&t->arena, 1, sizeof *map, e);
	struct bytes text, blob;
	unsigned char *room;

	if (!map || part_text(t, o, "precompiled_charsmap", &text, e))
		return -1;
	room = arena_new(&t->arena, text.n / 4 + 1, 3, e);
	if (!room)
		return -1;
	blob = (struct bytes){ room, base64_read(room, text) };
	if (blob.n == BASE64_BAD)
		return err_set(e, ERR_INPUT, "precompiled_charsmap: expected base64");
	if (!blob.n)
		return 0;
	if (charsmap_init(map, blob, &t->arena, e))
		return -1;
	s.map = map;
	return add_normal(t, s, e);
}

int hf_read_normalizer(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "NFC", read_plain },
		{ "NFD", read_plain },
		{ "NFKC", read_plain },
		{ "NFKD", read_plain },
		{ "Lowercase", read_plain },
		{ "StripAccents", read_plain },
		{ "Nmt", read_plain },
		{ "Prepend", read_prepend },
		{ "Replace", read_replace },
		{ "Strip", read_strip },
		{ "BertNormalizer", read_bert },
		{ "Precompiled", read_charsmap },
		{ "ByteLevel", read_byte_level },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "normalizers" };

	return part_read(t, &table, json, e) ? err_in(e, "normalizer") : 0;
}
