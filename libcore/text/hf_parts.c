/* SPDX-License-Identifier: MIT */
/* hf_parts.c - the normalizer, pre-tokenizer, post-processor and decoder of
 * a tokenizer.json. Each is an object with a "type", or a Sequence of such;
 * a type is a row here. */
#include "text/hf.h"

#include <string.h>

#include "util/json.h"

enum { NESTING = 8 };

typedef int part_fn(struct tokenizer *t, const cJSON *o, struct err *e);

struct part {
	const char *type;
	part_fn *read;
};

struct part_table {
	const struct part *row;
	size_t n;
	const char *list; /* the key of a Sequence's items */
};

static int read_part(struct tokenizer *t, const struct part_table *table, const cJSON *o, int depth,
                     struct err *e)
{
	const char *type = NULL;
	const cJSON *item;
	int has = cJSON_IsObject(o) ? json_get_text(o, "type", &type, e) : 0;

	if (has < 0)
		return -1;
	if (!has)
		return err_set(e, ERR_INPUT, "expected an object with a type, found %s",
		               json_kind(o));
	for (size_t i = 0; i < table->n; i++)
		if (!strcmp(type, table->row[i].type))
			return table->row[i].read(t, o, e) ? err_in(e, "%s", type) : 0;
	if (strcmp(type, "Sequence"))
		return err_set(e, ERR_INPUT, "type \"%s\" is not supported", type);
	if (depth == NESTING)
		return err_set(e, ERR_INPUT, "Sequence: more than %d deep", NESTING);
	o = json_get(o, table->list);
	if (!cJSON_IsArray(o))
		return err_set(e, ERR_INPUT, "Sequence: %s: expected a list", table->list);
	for (item = o->child; item; item = item->next)
		if (read_part(t, table, item, depth + 1, e))
			return -1;
	return 0;
}

static int read_json(struct tokenizer *t, const struct part_table *table, struct bytes json,
                     struct err *e)
{
	cJSON *o;
	int rc;

	if (json.n > PART_BYTES)
		return err_set(e, ERR_INPUT, "%zu bytes, at most %d", json.n, PART_BYTES);
	o = json_parse(json, e);
	if (!o)
		return -1;
	rc = cJSON_IsNull(o) ? 0 : read_part(t, table, o, 0, e);
	cJSON_Delete(o);
	return rc;
}

/* A copy of a text that must be there. */
static int get_text(struct tokenizer *t, const cJSON *o, const char *key, struct bytes *out,
                    struct err *e)
{
	const char *text = NULL;
	int has = json_get_text(o, key, &text, e);
	char *copy;

	if (has <= 0)
		return has ? -1 : err_set(e, ERR_INPUT, "%s: missing", key);
	copy = arena_text(&t->arena, text, strlen(text), e);
	if (!copy)
		return -1;
	*out = (struct bytes){ (unsigned char *)copy, strlen(text) };
	return 0;
}

/* {"String": s} or {"Regex": s}. */
static int get_pattern(struct tokenizer *t, const cJSON *o, struct bytes *text, bool *is_regex,
                       struct err *e)
{
	const cJSON *p = json_get(o, "pattern");

	*is_regex = p && json_get(p, "Regex");
	if (!cJSON_IsObject(p))
		return err_set(e, ERR_INPUT, "pattern: expected an object");
	return get_text(t, p, *is_regex ? "Regex" : "String", text, e) ? err_in(e, "pattern") : 0;
}

static int get_bool(const cJSON *o, const char *key, bool fallback, bool *out, struct err *e)
{
	*out = fallback;
	return json_get_bool(o, key, out, e) < 0 ? -1 : 0;
}

/* ---- normalizers */

static int add_normal(struct tokenizer *t, struct normal s, struct err *e)
{
	if (t->normalizer.n == NORMALS_MAX) {
		regex_close(s.regex);
		return err_set(e, ERR_INPUT, "more than %d steps", NORMALS_MAX);
	}
	t->normalizer.step[t->normalizer.n++] = s;
	return 0;
}

static int read_nfc(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_normal(t, (struct normal){ .kind = NORMAL_NFC }, e);
}

static int read_nfd(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_normal(t, (struct normal){ .kind = NORMAL_NFD }, e);
}

static int read_nfkc(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_normal(t, (struct normal){ .kind = NORMAL_NFKC }, e);
}

static int read_nfkd(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_normal(t, (struct normal){ .kind = NORMAL_NFKD }, e);
}

static int read_prepend(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_PREPEND };

	return get_text(t, o, "prepend", &s.with, e) ? -1 : add_normal(t, s, e);
}

static int read_replace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_REPLACE };
	bool is_regex;

	if (get_pattern(t, o, &s.what, &is_regex, e) || get_text(t, o, "content", &s.with, e))
		return -1;
	if (is_regex && regex_open(&s.regex, s.what, REGEX_FILE, e))
		return -1;
	return add_normal(t, s, e);
}

static int read_strip(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct normal s = { .kind = NORMAL_STRIP };

	if (get_bool(o, "strip_left", true, &s.left, e) ||
	    get_bool(o, "strip_right", true, &s.right, e))
		return -1;
	return add_normal(t, s, e);
}

int hf_read_normalizer(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "NFC", read_nfc },     { "NFD", read_nfd },         { "NFKC", read_nfkc },
		{ "NFKD", read_nfkd },   { "Prepend", read_prepend }, { "Replace", read_replace },
		{ "Strip", read_strip },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "normalizers" };

	return read_json(t, &table, json, e) ? err_in(e, "normalizer") : 0;
}

/* ---- pre-tokenizers */

static int add_step(struct tokenizer *t, struct step s, struct err *e)
{
	if (t->splitter.n == STEPS_MAX) {
		regex_close(s.regex);
		return err_set(e, ERR_INPUT, "more than %d steps", STEPS_MAX);
	}
	s.mapped = t->byte_level;
	t->splitter.step[t->splitter.n++] = s;
	return 0;
}

static int get_behaviour(const cJSON *o, enum behaviour fallback, enum behaviour *out,
                         struct err *e)
{
	static const struct {
		const char *name;
		enum behaviour is;
	} row[] = {
		{ "Isolated", SPLIT_ISOLATED },
		{ "Removed", SPLIT_REMOVED },
		{ "MergedWithPrevious", SPLIT_WITH_PREVIOUS },
		{ "MergedWithNext", SPLIT_WITH_NEXT },
		{ "Contiguous", SPLIT_CONTIGUOUS },
	};
	const char *name = NULL;
	int has = json_get_text(o, "behavior", &name, e);

	*out = fallback;
	if (has <= 0)
		return has;
	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (!strcmp(name, row[i].name)) {
			*out = row[i].is;
			return 0;
		}
	return err_set(e, ERR_INPUT, "behavior \"%s\" is not known", name);
}

static int read_split(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_LITERAL };
	bool is_regex;

	if (get_pattern(t, o, &s.literal, &is_regex, e) ||
	    get_behaviour(o, SPLIT_ISOLATED, &s.behaviour, e) ||
	    get_bool(o, "invert", false, &s.invert, e))
		return -1;
	if (!is_regex)
		return add_step(t, s, e);
	s.kind = STEP_REGEX;
	s.scan = scan_find(s.literal);
	if (s.scan && s.behaviour == SPLIT_ISOLATED && !t->byte_level)
		s.kind = STEP_SCAN;
	else if (regex_open(&s.regex, s.literal, REGEX_FILE, e))
		return -1;
	return add_step(t, s, e);
}

static int read_byte_level(struct tokenizer *t, const cJSON *o, struct err *e)
{
	bool prefix, cut;

	if (t->byte_level)
		return err_set(e, ERR_INPUT, "is there twice");
	if (get_bool(o, "add_prefix_space", true, &prefix, e) ||
	    get_bool(o, "use_regex", true, &cut, e))
		return -1;
	if (prefix && add_step(t, (struct step){ .kind = STEP_PREFIX }, e))
		return -1;
	if (cut && add_step(t, (struct step){ .kind = STEP_SCAN, .scan = scan_at(0) }, e))
		return -1;
	t->byte_level = true;
	return 0;
}

static int read_digits(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_DIGITS };

	if (get_bool(o, "individual_digits", false, &s.each, e))
		return -1;
	s.behaviour = s.each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
	return add_step(t, s, e);
}

static int read_punctuation(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_PUNCTUATION };

	return get_behaviour(o, SPLIT_ISOLATED, &s.behaviour, e) ? -1 : add_step(t, s, e);
}

static int read_white(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_step(t, (struct step){ .kind = STEP_WHITE, .behaviour = SPLIT_REMOVED }, e);
}

/* "prepend_scheme", or in older files "add_prefix_space". */
static int get_prepend(const cJSON *o, enum prepend *out, struct err *e)
{
	const char *name = NULL;
	bool prefix;
	int has = json_get_text(o, "prepend_scheme", &name, e);

	if (has < 0 || get_bool(o, "add_prefix_space", true, &prefix, e))
		return -1;
	if (!has)
		*out = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
	else if (!strcmp(name, "always"))
		*out = PREPEND_ALWAYS;
	else if (!strcmp(name, "first"))
		*out = PREPEND_FIRST;
	else if (!strcmp(name, "never"))
		*out = PREPEND_NEVER;
	else
		return err_set(e, ERR_INPUT, "prepend_scheme \"%s\" is not known", name);
	return 0;
}

static int read_metaspace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_METASPACE, .behaviour = SPLIT_WITH_NEXT };
	bool cut;

	if (get_text(t, o, "replacement", &s.literal, e) || get_prepend(o, &s.prepend, e) ||
	    get_bool(o, "split", true, &cut, e))
		return -1;
	if (t->byte_level || !s.literal.n)
		return err_set(e, ERR_INPUT,
		               t->byte_level ? "after ByteLevel is not supported" :
		                               "replacement: empty");
	s.keep_whole = !cut;
	return add_step(t, s, e);
}

int hf_read_splitter(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "Split", read_split },           { "ByteLevel", read_byte_level },
		{ "Digits", read_digits },         { "Punctuation", read_punctuation },
		{ "WhitespaceSplit", read_white }, { "Metaspace", read_metaspace },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "pretokenizers" };

	return read_json(t, &table, json, e) ? err_in(e, "pre_tokenizer") : 0;
}

/* ---- post-processors */

static int add_special(const cJSON *o, const cJSON *item, struct ids *to, struct err *e)
{
	const char *name = NULL;
	const cJSON *id, *known = json_get(o, "special_tokens");

	if (json_get_text(item, "id", &name, e) <= 0)
		return err_set(e, ERR_INPUT, "SpecialToken: id: expected a text");
	known = json_get(json_get(known, name), "ids");
	if (!cJSON_IsArray(known))
		return err_set(e, ERR_INPUT, "special_tokens: \"%s\": ids: missing", name);
	for (id = known->child; id; id = id->next) {
		if (!cJSON_IsNumber(id) || !(id->valuedouble >= 0 && id->valuedouble < VOCAB_MAX))
			return err_set(e, ERR_INPUT, "special_tokens: \"%s\": no token id", name);
		if (ids_add(to, (int32_t)id->valuedouble, e))
			return -1;
	}
	return 0;
}

static int read_template(struct tokenizer *t, const cJSON *o, struct err *e)
{
	const cJSON *single = json_get(o, "single"), *item, *special;
	struct ids *to = &t->before;

	if (!cJSON_IsArray(single))
		return err_set(e, ERR_INPUT, "single: expected a list");
	for (item = single->child; item; item = item->next) {
		special = json_get(item, "SpecialToken");
		if (special && add_special(o, special, to, e))
			return -1;
		if (!special && !json_get(item, "Sequence"))
			return err_set(e, ERR_INPUT, "single: expected SpecialToken or Sequence");
		if (!special)
			to = &t->after;
	}
	return 0;
}

/* ["text", id] */
static int add_pair(const cJSON *o, const char *key, struct ids *to, struct err *e)
{
	const cJSON *id = cJSON_GetArrayItem(json_get(o, key), 1);

	if (!cJSON_IsNumber(id) || !(id->valuedouble >= 0 && id->valuedouble < VOCAB_MAX))
		return err_set(e, ERR_INPUT, "%s: expected a text and an id", key);
	return ids_add(to, (int32_t)id->valuedouble, e);
}

static int read_roberta(struct tokenizer *t, const cJSON *o, struct err *e)
{
	return add_pair(o, "cls", &t->before, e) ? -1 : add_pair(o, "sep", &t->after, e);
}

static int read_nothing(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)t, (void)o, (void)e;
	return 0;
}

int hf_read_ends(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "TemplateProcessing", read_template },
		{ "RobertaProcessing", read_roberta },
		{ "BertProcessing", read_roberta },
		{ "ByteLevel", read_nothing },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "processors" };

	return read_json(t, &table, json, e) ? err_in(e, "post_processor") : 0;
}

/* ---- decoders */

static int decode_byte_level(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	t->decoder.join = false;
	if (!t->byte_level)
		return err_set(e, ERR_INPUT, "without a ByteLevel pre-tokenizer");
	return 0;
}

static int decode_replace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	const char *with = NULL;
	bool is_regex;

	if (get_pattern(t, o, &t->decoder.mark, &is_regex, e))
		return -1;
	if (json_get_text(o, "content", &with, e) < 0)
		return -1;
	if (is_regex || !with || strcmp(with, " ") || !t->decoder.mark.n)
		return err_set(e, ERR_INPUT, "only a text by a space is supported");
	return 0;
}

static int decode_bytes(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o, (void)e;
	t->decoder.bytes = t->decoder.each_byte = true;
	return 0;
}

static int decode_fuse(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o, (void)e;
	t->decoder.join = false;
	return 0;
}

static int decode_strip(struct tokenizer *t, const cJSON *o, struct err *e)
{
	const char *what = NULL;
	size_t start = 0, stop = 0;

	if (json_get_text(o, "content", &what, e) < 0 || json_get_size(o, "start", &start, e) < 0 ||
	    json_get_size(o, "stop", &stop, e) < 0)
		return -1;
	if (!what || strcmp(what, " ") || start > 1 || stop)
		return err_set(e, ERR_INPUT, "only one space at the start is supported");
	t->decoder.strip_first = start == 1;
	return 0;
}

static int decode_metaspace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	enum prepend prepend;

	if (get_text(t, o, "replacement", &t->decoder.mark, e) || get_prepend(o, &prepend, e))
		return -1;
	t->decoder.first_unmarked = prepend != PREPEND_NEVER;
	t->decoder.join = false;
	return 0;
}

int hf_read_decoder(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "ByteLevel", decode_byte_level }, { "Replace", decode_replace },
		{ "ByteFallback", decode_bytes },   { "Fuse", decode_fuse },
		{ "Strip", decode_strip },          { "Metaspace", decode_metaspace },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "decoders" };

	t->decoder.join = !t->byte_level;
	return read_json(t, &table, json, e) ? err_in(e, "decoder") : 0;
}
