/* SPDX-License-Identifier: MIT */
/* chat_find.c - where a model keeps its chat templates, and the special
 * tokens that these are given: a row per place, the first that has a name
 * counts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"
#include "text/chat_builtin.h"

struct finder {
	struct source *s;
	struct arena arena;
	char where[64]; /* where the last one was found */
};

/* 1 found, 0 not there, -1 failed. `name` NULL: the default. */
typedef int find_fn(struct finder *f, const char *file, const char *name, struct bytes *out,
                    struct err *e);

static bool is_default(const char *name)
{
	return !name || !strcmp(name, "default");
}

static int find_text(struct finder *f, const char *file, const char *name, struct bytes *out,
                     struct err *e)
{
	return is_default(name) ? source_sibling(f->s, file, out, e) : 0;
}

static int find_folder(struct finder *f, const char *file, const char *name, struct bytes *out,
                       struct err *e)
{
	char path[128];
	int n = snprintf(path, sizeof path, "%s/%s.jinja", file, name ? name : "default");

	if (n < 0 || (size_t)n >= sizeof path || (name && (strchr(name, '/') || !*name)))
		return 0;
	return source_sibling(f->s, path, out, e);
}

/* One text is the default; a list has {"name", "template"}, and without a
 * default the first one stands for it. */
static const char *pick(const cJSON *v, const char *name)
{
	const char *first = NULL;

	if (cJSON_IsString(v))
		return is_default(name) ? v->valuestring : NULL;
	for (const cJSON *i = cJSON_IsArray(v) ? v->child : NULL; i; i = i->next) {
		const cJSON *n = json_get(i, "name"), *t = json_get(i, "template");

		if (!cJSON_IsString(n) || !cJSON_IsString(t))
			continue;
		if (!strcmp(n->valuestring, name ? name : "default"))
			return t->valuestring;
		first = first ? first : t->valuestring;
	}
	return name ? NULL : first;
}

static int find_json(struct finder *f, const char *file, const char *name, struct bytes *out,
                     struct err *e)
{
	struct bytes text;
	const char *found, *copy = NULL, *type = NULL;
	int has = source_sibling(f->s, file, &text, e);
	cJSON *o;

	if (has <= 0)
		return has;
	o = json_parse(text, e);
	if (!o)
		return err_in(e, "%s", file);
	found = pick(json_get(o, "chat_template"), name);
	if (!found && is_default(name) && json_get_text(o, "chat_template_type", &type, e) > 0)
		has = err_set(
			e, ERR_INPUT,
			"%s: chat_template_type: \"%s\" is a program, not a template; give one",
			file, type);
	else if (!found)
		has = 0;
	else if (!(copy = arena_text(&f->arena, found, strlen(found), e)))
		has = -1;
	cJSON_Delete(o);
	if (copy)
		*out = bytes_of(copy);
	return has;
}

static int find_gguf(struct finder *f, const char *key, const char *name, struct bytes *out,
                     struct err *e)
{
	char named[128];

	if (source_container(f->s) != CONTAINER_GGUF)
		return 0;
	if (!is_default(name)) {
		snprintf(named, sizeof named, "%s.%s", key, name);
		key = named;
	}
	return source_meta_text(f->s, key, out, e);
}

static const struct {
	const char *file;
	find_fn *find;
} places[] = {
	{ "chat_template.jinja", find_text },     { "chat_template.json", find_json },
	{ "tokenizer_config.json", find_json },   { "additional_chat_templates", find_folder },
	{ "tokenizer.chat_template", find_gguf },
};

static int find_named(struct finder *f, const char *name, struct bytes *out, struct err *e)
{
	int found = 0;

	for (size_t i = 0; !found && i < sizeof places / sizeof *places; i++) {
		found = places[i].find(f, places[i].file, name, out, e);
		snprintf(f->where, sizeof f->where, "%s", places[i].file);
	}
	return found;
}

/* ---- which one counts */

static const struct chat_builtin *builtin_named(const char *name)
{
	for (size_t i = 0; i < CHAT_BUILTINS; i++)
		if (!strcmp(chat_builtins[i].name, name))
			return &chat_builtins[i];
	return NULL;
}

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = words; n && (p = strstr(p, word)); p += n)
		if ((p == words || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' '))
			return true;
	return false;
}

/* The built-in one for a vocabulary, or for what config.json calls the model. */
static int builtin_for(const struct chat_builtin **out, const struct chat *c, struct source *s,
                       struct err *e)
{
	struct bytes text;
	const char *type = NULL;
	int has = source_sibling(s, "config.json", &text, e);
	cJSON *o = has > 0 ? json_parse(text, e) : NULL;

	*out = &chat_builtins[CHAT_BUILTINS - 1];
	if (has < 0 || (has && !o))
		return has < 0 ? -1 : err_in(e, "config.json");
	if (o && json_get_text(o, "model_type", &type, e) < 0) {
		cJSON_Delete(o);
		return err_in(e, "config.json");
	}
	for (size_t i = CHAT_BUILTINS; i-- > 0;) {
		const struct chat_builtin *b = &chat_builtins[i];

		if (tokenizer_find(c->tokenizer, bytes_of(b->token)) >= 0 ||
		    (type && has_word(b->types, type)))
			*out = b;
	}
	cJSON_Delete(o);
	return 0;
}

static int open_one(struct chat *c, struct chat_template **out, struct bytes text,
                    const char *where, struct err *e)
{
	if (template_open(out, text, e))
		return err_in(e, "%s", where);
	if (out == &c->plain)
		snprintf(c->origin, sizeof c->origin, "%s", where);
	return 0;
}

static int open_builtin(struct chat *c, const struct chat_builtin *b, struct err *e)
{
	char where[64];

	snprintf(where, sizeof where, "built-in %s", b->name);
	return open_one(c, &c->plain, bytes_of(b->text), where, e);
}

static int open_named(struct chat *c, struct finder *f, const char *name, struct err *e)
{
	struct bytes text;
	int found = find_named(f, name, &text, e);

	if (found > 0)
		return open_one(c, &c->plain, text, f->where, e);
	if (found == 0 && builtin_named(name))
		return open_builtin(c, builtin_named(name), e);
	return found ? -1 :
	               err_set(e, ERR_MISUSE,
	                       "chat template \"%s\": expected a file, one of the model's, or "
	                       "llama3, gemma, mistral, chatml",
	                       name);
}

static int open_usual(struct chat *c, struct finder *f, struct err *e)
{
	const struct chat_builtin *b = NULL;
	struct bytes text;
	int found = find_named(f, NULL, &text, e), tools;

	if (found < 0 || (found && open_one(c, &c->plain, text, f->where, e)))
		return -1;
	tools = find_named(f, "tool_use", &text, e);
	if (tools < 0 || (tools && open_one(c, &c->tools, text, f->where, e)))
		return -1;
	if (found)
		return 0;
	if (builtin_for(&b, c, f->s, e))
		return -1;
	snprintf(c->warning, sizeof c->warning,
	         "the model has no chat template; the built-in one for %s is used", b->title);
	return open_builtin(c, b, e);
}

int chat_find(struct chat *c, struct source *s, const struct chat_options *o, struct err *e)
{
	struct finder f = { .s = s };
	int rc;

	if (o && o->text.p)
		return open_one(c, &c->plain, o->text, o->where ? o->where : "template", e);
	rc = o && o->name ? open_named(c, &f, o->name, e) : open_usual(c, &f, e);
	arena_release(&f.arena);
	return rc;
}

/* ---- special tokens */

static const char *const token_names[] = { "bos_token",  "eos_token", "unk_token",
	                                   "sep_token",  "pad_token", "cls_token",
	                                   "mask_token", "eot_token", "image_token" };
enum { TOKEN_NAMES = sizeof token_names / sizeof *token_names };

static int put_text(cJSON *o, const char *key, const char *text, struct err *e)
{
	return cJSON_AddStringToObject(o, key, text) ? 0 : err_memory(e, strlen(text));
}

/* Names that the file speaks of; null says that there is none. */
static int read_tokens(cJSON *to, bool *said, struct source *s, const char *file, struct err *e)
{
	struct bytes text;
	int has = source_sibling(s, file, &text, e), rc = 0;
	cJSON *o = has > 0 ? json_parse(text, e) : NULL;

	if (has <= 0)
		return has;
	if (!o)
		return err_in(e, "%s", file);
	for (size_t i = 0; i < TOKEN_NAMES && !rc; i++) {
		const cJSON *v = cJSON_GetObjectItemCaseSensitive(o, token_names[i]);

		if (!v || said[i])
			continue;
		said[i] = true;
		if (cJSON_IsObject(v))
			v = json_get(v, "content");
		if (cJSON_IsString(v))
			rc = put_text(to, token_names[i], v->valuestring, e);
	}
	cJSON_Delete(o);
	return rc;
}

int chat_find_special(struct chat *c, struct source *s, struct err *e)
{
	const struct tokenizer *t = c->tokenizer;
	const int32_t id[] = { t->bos, t->eos, t->unk, -1, t->pad };
	bool said[TOKEN_NAMES] = { false };

	c->special = cJSON_CreateObject();
	if (!c->special)
		return err_memory(e, sizeof *c->special);
	if (read_tokens(c->special, said, s, "tokenizer_config.json", e) ||
	    read_tokens(c->special, said, s, "special_tokens_map.json", e))
		return -1;
	for (size_t i = 0; i < sizeof id / sizeof *id; i++) {
		struct bytes piece = vocab_has(&t->vocab, id[i]) ? vocab_piece(&t->vocab, id[i]) :
		                                                   (struct bytes){ 0 };
		char text[ADDED_BYTES + 1];

		if (said[i] || !piece.n || piece.n > ADDED_BYTES || memchr(piece.p, 0, piece.n))
			continue;
		memcpy(text, piece.p, piece.n);
		text[piece.n] = '\0';
		if (put_text(c->special, token_names[i], text, e))
			return -1;
	}
	return 0;
}
