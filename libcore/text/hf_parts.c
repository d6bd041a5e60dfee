/* SPDX-License-Identifier: MIT */
/* hf_parts.c - a part of a tokenizer.json is an object with a "type", or a
 * Sequence of such; a type is a row. Here is what the parts share, and the
 * post-processors. */
#include "text/hf.h"

#include <string.h>

#include "util/json.h"

enum { NESTING = 8 };

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

int part_read(struct tokenizer *t, const struct part_table *table, struct bytes json, struct err *e)
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

int part_text(struct tokenizer *t, const cJSON *o, const char *key, struct bytes *out,
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

int part_pattern(struct tokenizer *t, const cJSON *o, struct bytes *text, bool *is_regex,
                 struct err *e)
{
	const cJSON *p = json_get(o, "pattern");

	*is_regex = p && json_get(p, "Regex");
	if (!cJSON_IsObject(p))
		return err_set(e, ERR_INPUT, "pattern: expected an object");
	return part_text(t, p, *is_regex ? "Regex" : "String", text, e) ? err_in(e, "pattern") : 0;
}

int part_bool(const cJSON *o, const char *key, bool fallback, bool *out, struct err *e)
{
	*out = fallback;
	return json_get_bool(o, key, out, e) < 0 ? -1 : 0;
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

	return part_read(t, &table, json, e) ? err_in(e, "post_processor") : 0;
}
