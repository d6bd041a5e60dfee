/* SPDX-License-Identifier: MIT */
/* config_text.c - the text model within a larger one
 *
 * Given the config of a model that sees or hears too; gives the config of
 * its text model: text_config, what the whole says of it, and what such
 * configs leave out. And where its tensors are. */
#include "model/config.h"

#include <stdio.h>
#include <string.h>

#define LLAMA "{\"hidden_size\":4096,\"intermediate_size\":11008,\"num_hidden_layers\":32," \
	"\"num_attention_heads\":32,\"vocab_size\":32000}"

/* Larger models, and what holds where their text_config is silent. */
static const struct larger { const char *type, *silent; } larger[] = {
	{ "gemma3", "{\"num_attention_heads\":8,\"num_key_value_heads\":4,\"head_dim\":256,"
	            "\"vocab_size\":262208}" },
	{ "gemma4", "{}" },
	{ "gemma4_unified", "{}" },
	{ "qwen2_vl", "{}" },
	{ "qwen2_5_vl", "{}" },
	{ "qwen3_vl", "{}" },
	{ "qwen3_vl_moe", "{}" },
	{ "mistral3", "{\"model_type\":\"mistral\"}" },
	{ "llava", LLAMA },
	{ "llava_next", LLAMA },
	{ "llava_onevision", "{}" },
	{ "idefics3", "{}" },
	{ "smolvlm", "{}" },
	{ "kimi_vl", "{}" },
	{ "kimi_k25", "{}" },
};

/* What is the whole's alone. */
static bool is_own(const char *key)
{
	static const char *const own[] = { "model_type", "architectures", "text_config",
		                           "vision_config", "audio_config", "auto_map" };

	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcmp(own[i], key))
			return true;
	return false;
}

/* Keys of `from` that `to` lacks. */
static bool add_missing(cJSON *to, const cJSON *from, bool all)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, from) {
		cJSON *copy;

		if ((!all && is_own(v->string)) || json_get(to, v->string))
			continue;
		copy = cJSON_Duplicate(v, true);
		if (!copy || !cJSON_AddItemToObject(to, v->string, copy))
			return false;
	}
	return true;
}

static bool put_text(cJSON *o, const char *key, cJSON *v)
{
	cJSON_DeleteItemFromObjectCaseSensitive(o, key);
	return v && cJSON_AddItemToObject(o, key, v);
}

/* Under the family's own names. */
static int name_family(cJSON *o, const char *outer, struct err *e)
{
	const struct family *f;
	const char *type = outer, *class;
	cJSON *classes;

	if (json_get_text(o, "model_type", &type, e) < 0)
		return -1;
	f = family_find(type);
	if (!f)
		return family_unknown("text_config: model_type", type, e);
	class = f->class;
	classes = cJSON_CreateStringArray(&class, 1);
	if (!put_text(o, "model_type", cJSON_CreateString(f->name)) ||
	    !put_text(o, "architectures", classes))
		return err_memory(e, sizeof *o);
	return 0;
}

static int merge(cJSON *o, const cJSON *json, const struct larger *l, struct err *e)
{
	cJSON *silent = json_parse(bytes_of(l->silent), e);
	bool merged = silent && add_missing(o, json, false) && add_missing(o, silent, true);

	cJSON_Delete(silent);
	return merged ? name_family(o, l->type, e) : silent ? err_memory(e, sizeof *o) : -1;
}

int config_text_json(cJSON **out, const cJSON *json, struct err *e)
{
	const cJSON *inner = json_get(json, "text_config");
	const char *type = NULL;

	*out = NULL;
	if (!cJSON_IsObject(inner))
		return 0;
	if (json_get_text(json, "model_type", &type, e) < 0)
		return -1;
	for (size_t i = 0; type && i < sizeof larger / sizeof *larger; i++) {
		if (strcmp(larger[i].type, type))
			continue;
		*out = cJSON_Duplicate(inner, true);
		if (!*out)
			return err_memory(e, sizeof *inner);
		if (!merge(*out, json, &larger[i], e))
			return 1;
		cJSON_Delete(*out);
		*out = NULL;
		return -1;
	}
	return type ? family_unknown("model_type", type, e) : 0;
}

/* ---- where its tensors are */

bool config_text_name(const struct config *c, char *out, size_t room, const char *name)
{
	const char *at = c->text_at ? c->text_at : "";
	bool within = !strncmp(at, "model.", 6); /* the head stays outside */
	int n;

	if (within && strncmp(name, "model.", 6))
		at = "";
	n = snprintf(out, room, "%s%s", at, within && *at ? name + 6 : name);
	return n >= 0 && (size_t)n < room;
}

const char *config_text_ours(const struct config *c, const char *name)
{
	bool within = c && c->text_at && !strncmp(c->text_at, "model.", 6);
	size_t n = c && c->text_at ? strlen(c->text_at) : 0;

	if (strncmp(name, n ? c->text_at : "", n)) /* the head stays outside */
		return within && !strncmp(name, "lm_head.", 8) ? name : NULL;
	return name + n - (within ? 6 : 0); /* places end in "model." */
}

void config_text_find(struct config *c, const struct family *f, struct source *s)
{
	static const char *const places[] = { "language_model.", "model.language_model.",
		                              "model.text_model." };
	char table[128], name[160];

	if (!family_name_out(f, table, sizeof table, NAMING_HF, "model.embed_tokens.weight") ||
	    source_find(s, table))
		return;
	for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
		c->text_at = places[i];
		if (config_text_name(c, name, sizeof name, table) && source_find(s, name))
			return;
	}
	c->text_at = NULL;
}
