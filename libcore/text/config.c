/* SPDX-License-Identifier: MIT */
/* config.c - what tokenizer_config.json and special_tokens_map.json say
 * beside a tokenizer: which tokens begin and end a text, and in the first
 * also tokens that a SentencePiece model has not. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"
#include "util/json.h"
#include "util/num.h"

/* "text" or {"content": "text"}. */
static const char *token_text(const cJSON *o, const char *key)
{
	const cJSON *v = json_get(o, key);

	if (cJSON_IsObject(v))
		v = json_get(v, "content");
	return cJSON_IsString(v) && v->valuestring[0] ? v->valuestring : NULL;
}

static int keep_name(struct tokenizer *t, const cJSON *o, const char *key, struct bytes *out,
                     struct err *e)
{
	const char *text = token_text(o, key), *copy;

	if (!text || out->n)
		return 0;
	copy = arena_text(&t->arena, text, strlen(text), e);
	if (!copy)
		return -1;
	*out = bytes_of(copy);
	return 0;
}

static int keep_names(struct tokenizer *t, const cJSON *o, struct ends *n, struct err *e)
{
	if (keep_name(t, o, "bos_token", &n->bos, e) || keep_name(t, o, "eos_token", &n->eos, e))
		return -1;
	return keep_name(t, o, "pad_token", &n->pad, e);
}

static bool is_set(const cJSON *o, const char *key)
{
	return cJSON_IsTrue(json_get(o, key));
}

/* "id": {"content": ..., "lstrip": ...} */
static int add_token(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct added_token a = { 0 };
	const char *text = token_text(o, "content");
	int64_t id;

	if (!text || !num_i64(&id, o->string) || id < 0 || id >= VOCAB_MAX)
		return err_set(e, ERR_INPUT, "\"%s\": expected an id and a content", o->string);
	a.id = (int32_t)id;
	a.flags = (is_set(o, "special") ? ADDED_SPECIAL : 0u) |
	          (is_set(o, "lstrip") ? ADDED_LEFT : 0u) |
	          (is_set(o, "rstrip") ? ADDED_RIGHT : 0u) |
	          (is_set(o, "single_word") ? ADDED_WORD : 0u);
	a.text.p = (unsigned char *)arena_text(&t->arena, text, strlen(text), e);
	a.text.n = strlen(text);
	return a.text.p ? tokenizer_add(t, a, e) : -1;
}

static int add_tokens(struct tokenizer *t, const cJSON *list, struct err *e)
{
	const cJSON *item = cJSON_IsObject(list) ? list->child : NULL;

	for (; item; item = item->next)
		if (add_token(t, item, e))
			return err_in(e, "added_tokens_decoder");
	return 0;
}

static void get_flag(const cJSON *o, const char *key, int *out)
{
	const cJSON *v = json_get(o, key);

	if (cJSON_IsBool(v))
		*out = cJSON_IsTrue(v);
}

static int read_one(struct tokenizer *t, struct source *s, const char *name, struct ends *n,
                    struct err *e)
{
	struct bytes text;
	int has = source_sibling(s, name, &text, e), rc;
	cJSON *o;

	if (has <= 0)
		return has;
	o = json_parse(text, e);
	if (!o)
		return err_in(e, "%s", name);
	get_flag(o, "add_bos_token", &n->add_bos);
	get_flag(o, "add_eos_token", &n->add_eos);
	if (cJSON_IsFalse(json_get(o, "legacy")))
		t->spm.prefix_first = t->is_spm;
	rc = keep_names(t, o, n, e);
	if (!rc && (t->is_spm || t->by_text))
		rc = add_tokens(t, json_get(o, "added_tokens_decoder"), e);
	cJSON_Delete(o);
	return rc ? err_in(e, "%s", name) : 0;
}

int hf_config_read(struct tokenizer *t, struct source *s, struct ends *n, struct err *e)
{
	n->add_bos = n->add_eos = -1;
	if (read_one(t, s, "tokenizer_config.json", n, e))
		return -1;
	return read_one(t, s, "special_tokens_map.json", n, e);
}

static void set_id(const struct tokenizer *t, struct bytes name, int32_t *id)
{
	int32_t found = name.n ? tokenizer_find(t, name) : -1;

	if (found >= 0)
		*id = found;
}

int config_apply(struct tokenizer *t, const struct ends *n, struct err *e)
{
	bool bos, eos;

	set_id(t, n->bos, &t->bos);
	set_id(t, n->eos, &t->eos);
	set_id(t, n->pad, &t->pad);
	if (n->add_bos < 0 && n->add_eos < 0)
		return 0;
	bos = t->before.n == 1 && t->before.id[0] == t->bos;
	eos = t->after.n == 1 && t->after.id[0] == t->eos;
	/* other tokens at the ends are not what the flags speak of */
	if (t->before.n != bos || t->after.n != eos)
		return 0;
	return tokenizer_set_ends(t, n->add_bos < 0 ? bos : n->add_bos,
	                          n->add_eos < 0 ? eos : n->add_eos, e);
}
