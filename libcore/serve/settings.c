/* SPDX-License-Identifier: MIT */
/* settings.c - what a model was created with goes where a request of Ollama's
 * says nothing: its options, and a system message */
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

void settings_apply(struct call *c)
{
	const char *text = c->model->slot->settings;
	const cJSON *p, *system;
	struct err e;
	cJSON *s = text && *text ? json_parse(bytes_of(text), &e) : NULL, *options, *messages;

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
	if (cJSON_IsString(system) && cJSON_IsArray(messages)) {
		if (messages->child && !has_system(messages))
			cJSON_InsertItemInArray(messages, 0,
			                        chat_message("system", strdup(system->valuestring)));
	} else if (cJSON_IsString(system) && !json_get(c->body, "system")) {
		cJSON_AddStringToObject(c->body, "system", system->valuestring);
	}
	cJSON_Delete(s);
}
