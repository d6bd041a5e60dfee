/* SPDX-License-Identifier: MIT */
/* settings.c - what a model was created with goes where a request of Ollama's
 * says nothing: its options, a system message, and messages before all others */
#include <stdlib.h>
#include <string.h>

#include "serve/admin.h"
#include "serve/chat.h"

static void fill(cJSON *to, const cJSON *from)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, from)
		if (!json_get(to, v->string))
			cJSON_AddItemToObject(to, v->string, cJSON_Duplicate(v, true));
}

static bool has_system(const cJSON *messages)
{
	const cJSON *m;

	cJSON_ArrayForEach(m, messages) {
		const cJSON *role = json_get(m, "role");

		if (cJSON_IsString(role) && strcmp(role->valuestring, "system") == 0)
			return true;
	}
	return false;
}

static cJSON *parsed(const char *text)
{
	struct err e;

	return text && *text ? json_parse(bytes_of(text), &e) : NULL;
}

void settings_messages(const struct call *c, cJSON *all)
{
	cJSON *s = parsed(c->model->slot->settings);
	const cJSON *m;

	cJSON_ArrayForEach(m, json_get(s, "messages"))
		cJSON_AddItemToArray(all, cJSON_Duplicate(m, true));
	cJSON_Delete(s);
}

/* Those of the model, then those of the request. */
static void put_before(cJSON *messages, const cJSON *own)
{
	for (int i = cJSON_GetArraySize(own); i-- > 0;)
		cJSON_InsertItemInArray(messages, 0,
		                        cJSON_Duplicate(cJSON_GetArrayItem(own, i), true));
}

void settings_apply(struct call *c)
{
	const cJSON *p, *system;
	cJSON *s = parsed(c->model->slot->settings), *options, *messages;
	bool has;

	if (!s)
		return;
	p = json_get(s, "parameters");
	system = json_get(s, "system");
	options = (cJSON *)json_get(c->body, "options");
	messages = (cJSON *)json_get(c->body, "messages");
	if (!options && p)
		options = cJSON_AddObjectToObject(c->body, "options");
	if (cJSON_IsObject(options) && p)
		fill(options, p);
	has = has_system(messages);
	if (cJSON_IsArray(messages) && messages->child)
		put_before(messages, json_get(s, "messages"));
	if (cJSON_IsString(system) && cJSON_IsArray(messages)) {
		if (messages->child && !has)
			cJSON_InsertItemInArray(messages, 0,
			                        chat_message("system", strdup(system->valuestring)));
	} else if (cJSON_IsString(system) && !json_get(c->body, "system")) {
		cJSON_AddStringToObject(c->body, "system", system->valuestring);
	}
	cJSON_Delete(s);
}

/* ---- at a creation, and shown */

static int check_messages(const cJSON *all, struct fault *f)
{
	static const char *const roles[] = { "system", "user", "assistant" };
	const cJSON *m;

	if (all && !cJSON_IsNull(all) && !cJSON_IsArray(all))
		return fault_param(f, "messages", "invalid_type", "messages: expected an array");
	cJSON_ArrayForEach(m, all) {
		const cJSON *role = json_get(m, "role"), *content = json_get(m, "content");
		size_t r = 0;

		while (r < 3 && !(cJSON_IsString(role) && !strcmp(role->valuestring, roles[r])))
			r++;
		if (r == 3 || !cJSON_IsString(content))
			return fault_param(f, "messages", "invalid_value",
			                   "messages: expected a role (system, user or assistant) "
			                   "and a content of each");
	}
	return 0;
}

int settings_check(const cJSON *o, struct fault *f)
{
	static const struct { const char *key; int type; const char *what; } rows[] = {
		{ "parameters", cJSON_Object, "an object" },
		{ "system", cJSON_String, "a string" },
	};
	const cJSON *license = json_get(o, "license"), *k;

	for (size_t i = 0; i < 2; i++) {
		const cJSON *v = json_get(o, rows[i].key);

		if (v && !cJSON_IsNull(v) && (v->type & 0xff) != rows[i].type)
			return fault_param(f, rows[i].key, "invalid_type", "%s: expected %s",
			                   rows[i].key, rows[i].what);
	}
	for (k = cJSON_IsArray(license) ? license->child : NULL; k; k = k->next)
		if (!cJSON_IsString(k))
			return fault_param(f, "license", "invalid_type", "license: expected strings");
	if (license && !cJSON_IsNull(license) && !cJSON_IsString(license) &&
	    !cJSON_IsArray(license))
		return fault_param(f, "license", "invalid_type",
		                   "license: expected a string or an array of strings");
	return check_messages(json_get(o, "messages"), f);
}

/* "name   value" a line, a list's values each; with "PARAMETER " before it in a
 * Modelfile. */
static void add_parameters(struct buf *b, const cJSON *p, bool modelfile)
{
	const cJSON *k, *v;
	struct err e;

	cJSON_ArrayForEach(k, p) {
		for (v = cJSON_IsArray(k) ? k->child : k; v; v = cJSON_IsArray(k) ? v->next : NULL) {
			buf_printf(b, modelfile ? "PARAMETER %s " : "%-30s ", k->string);
			if (json_write(b, v, 0, false, &e))
				return;
			buf_add_byte(b, '\n');
		}
	}
	if (!modelfile && b->n && b->p[b->n - 1] == '\n')
		b->n--;
}

static const char *text_of(const cJSON *s, const char *key)
{
	const cJSON *v = json_get(s, key);

	return cJSON_IsString(v) ? v->valuestring : "";
}

static void add_member(struct buf *b, const char *key, struct buf *take)
{
	buf_printf(b, ",\"%s\":", key);
	json_add_string(b, buf_bytes(take));
	buf_release(take);
}

void settings_show(struct buf *b, const char *settings, const char *name)
{
	cJSON *s = parsed(settings);
	const cJSON *license = json_get(s, "license"), *messages = json_get(s, "messages"), *m;
	struct buf text = { 0 }, file = { 0 };
	struct err e;

	m = cJSON_IsArray(license) ? license->child : license;
	for (; m; m = cJSON_IsArray(license) ? m->next : NULL)
		buf_printf(&text, "%s%s", text.n ? "\n" : "", cJSON_IsString(m) ? m->valuestring : "");
	buf_add_text(b, "\"license\":");
	json_add_string(b, buf_bytes(&text));
	buf_clear(&text);
	add_parameters(&text, json_get(s, "parameters"), false);
	add_member(b, "parameters", &text);
	buf_printf(&file, "FROM %s\n", name);
	add_parameters(&file, json_get(s, "parameters"), true);
	if (*text_of(s, "system"))
		buf_printf(&file, "SYSTEM \"\"\"%s\"\"\"\n", text_of(s, "system"));
	cJSON_ArrayForEach(m, messages)
		buf_printf(&file, "MESSAGE %s \"\"\"%s\"\"\"\n", text_of(m, "role"), text_of(m, "content"));
	add_member(b, "modelfile", &file);
	buf_add_text(b, ",\"system\":");
	json_add_string(b, bytes_of(text_of(s, "system")));
	if (cJSON_IsArray(messages) && messages->child) {
		buf_add_text(b, ",\"messages\":");
		b->failed |= json_write(b, messages, 0, false, &e) != 0;
	}
	cJSON_Delete(s);
}
