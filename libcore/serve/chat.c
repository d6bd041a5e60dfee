/* SPDX-License-Identifier: MIT */
/* chat.c - messages to a prompt, and an answer taken apart */
#include "serve/chat.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* ---- pieces of requests */

static int part_text(struct buf *out, const cJSON *part, const char *name, struct fault *f)
{
	const cJSON *type = json_get(part, "type"), *text = json_get(part, "text");
	const char *t = cJSON_IsString(type) ? type->valuestring : "";

	if (strcmp(t, "text") && strcmp(t, "input_text") && strcmp(t, "output_text") &&
	    strcmp(t, "refusal"))
		return fault_param(f, name, strstr(t, "image") ? "invalid_image" : "invalid_value",
		                   strstr(t, "image") ? "%s: the model takes no images (\"%.32s\")" :
		                                        "%s: parts of type \"%.32s\" are not taken",
		                   name, t);
	if (!strcmp(t, "refusal"))
		text = json_get(part, "refusal");
	if (!cJSON_IsString(text))
		return fault_param(f, name, "invalid_type", "%s: expected a text, found %s", name,
		                   text ? json_kind(text) : "nothing");
	buf_add_text(out, text->valuestring);
	return 0;
}

int chat_text(char **out, const cJSON *content, const char *name, struct fault *f)
{
	struct buf b = { 0 };
	const cJSON *part;

	if (cJSON_IsString(content)) {
		buf_add_text(&b, content->valuestring);
	} else if (cJSON_IsArray(content)) {
		cJSON_ArrayForEach(part, content) {
			if (part_text(&b, part, name, f)) {
				buf_release(&b);
				return -1;
			}
		}
	} else if (content && !cJSON_IsNull(content)) {
		return fault_param(f, name, "invalid_type",
		                   "%s: expected a string or an array of parts, found %s", name,
		                   json_kind(content));
	}
	buf_add(&b, "", 0);
	*out = b.failed ? NULL : b.p ? (char *)b.p : strdup("");
	if (b.failed)
		buf_release(&b);
	return *out ? 0 : fault_memory(f);
}

cJSON *chat_message(const char *role, char *take_text)
{
	cJSON *m = take_text ? cJSON_CreateObject() : NULL;

	if (m && (!cJSON_AddStringToObject(m, "role", role) ||
	          !cJSON_AddStringToObject(m, "content", take_text))) {
		cJSON_Delete(m);
		m = NULL;
	}
	free(take_text);
	return m;
}

bool chat_name_sound(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > TOOL_NAME_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!isalnum((unsigned char)s[i]) && s[i] != '_' && s[i] != '-')
			return false;
	return true;
}

static int check_tool(const cJSON *tool, size_t i, struct fault *f)
{
	const cJSON *type = json_get(tool, "type"), *fn = json_get(tool, "function"),
	            *name = json_get(fn, "name");
	char place[64];

	snprintf(place, sizeof place, "tools[%zu]", i);
	if (!cJSON_IsString(type) || strcmp(type->valuestring, "function"))
		return fault_param(f, place, "invalid_value", "%s: only functions are taken", place);
	if (!cJSON_IsObject(fn))
		return fault_param(f, place, "invalid_type", "%s.function: expected an object", place);
	if (!cJSON_IsString(name) || !chat_name_sound(name->valuestring))
		return fault_param(f, place, "invalid_value",
		                   "%s.function.name: expected 1 to %d of A-Z a-z 0-9 _ -", place,
		                   TOOL_NAME_MAX);
	return 0;
}

cJSON *chat_tools(const cJSON *tools, struct fault *f)
{
	const cJSON *tool;
	cJSON *copy;
	size_t i = 0;

	if (!cJSON_IsArray(tools)) {
		fault_param(f, "tools", "invalid_type", "tools: expected an array, found %s",
		            json_kind(tools));
		return NULL;
	}
	cJSON_ArrayForEach(tool, tools) {
		if (i == TOOLS_MAX) {
			fault_param(f, "tools", "invalid_value", "tools: at most %d", TOOLS_MAX);
			return NULL;
		}
		if (check_tool(tool, i++, f))
			return NULL;
	}
	copy = cJSON_Duplicate(tools, true);
	if (!copy)
		fault_memory(f);
	return copy;
}

/* ---- the answer's parts */

static char *fresh_call_id(void)
{
	unsigned char r[12] = { 0 };
	char *id = malloc(30);

	if (!id || getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		return id ? strcpy(id, "call_0") : NULL;
	memcpy(id, "call_", 5);
	for (size_t i = 0; i < sizeof r; i++)
		snprintf(id + 5 + 2 * i, 3, "%02x", r[i]);
	return id;
}

static int add_tool(struct choice *k, const struct reply_part *p, struct err *e)
{
	struct tool_said *more = realloc(k->tool, (k->n_tools + 1) * sizeof *more), *t;

	if (!more)
		return err_memory(e, (k->n_tools + 1) * sizeof *more);
	k->tool = more;
	t = &k->tool[k->n_tools++];
	*t = (struct tool_said){ p->id ? strdup(p->id) : fresh_call_id(), strdup(p->name),
		                 strdup(p->arguments ? p->arguments : "{}") };
	return t->id && t->name && t->arguments ? 0 : err_memory(e, strlen(p->name));
}

static int take_part(void *arg, const struct reply_part *p, struct err *e)
{
	struct choice *k = arg;

	if (p->kind == REPLY_CALL)
		return add_tool(k, p, e);
	buf_add(p->kind == REPLY_CONTENT ? &k->text : &k->reasoning, p->text.p, p->text.n);
	return 0;
}

/* ---- asking */

static int add_stop(struct request *r, const char *text, struct fault *f)
{
	if (!text || r->n_stop == STOP_MAX)
		return 0;
	r->stop[r->n_stop] = strdup(text);
	return r->stop[r->n_stop] ? (void)r->n_stop++, 0 : fault_memory(f);
}

static int render(struct call *c, const struct chat_ask *a, struct fault *f)
{
	struct chat_input in = { .messages = c->messages,
		                 .tools = c->tools,
		                 .vars = a->vars,
		                 .think = a->think,
		                 .go_on = a->go_on };
	struct err e;

	if (chat_render(c->model->m.chat, &in, c->talk, &e)) {
		fault_err(f, &e);
		if (f->status == 400)
			snprintf(f->param, sizeof f->param, "messages");
		return -1;
	}
	c->prompt[0] = c->talk->ids;
	c->talk->ids = (struct ids){ 0 };
	return 0;
}

int chat_ask(struct call *c, struct chat_ask *a, struct fault *f)
{
	const struct chat *chat = c->model->m.chat;
	struct err e;

	c->messages = a->take_messages;
	c->tools = a->take_tools;
	a->take_messages = a->take_tools = NULL;
	c->think = a->think;
	if (!chat)
		return fault_set(f, 400, "unsupported_parameter", "%s does not support chat", c->name);
	c->talk = calloc(1, sizeof *c->talk);
	if (!c->talk)
		return fault_memory(f);
	c->r.keep_special = true;
	if (render(c, a, f) || add_stop(&c->r, chat_turn_end(chat), f) || call_choices(c, f))
		return -1;
	for (size_t i = 0; i < c->n_choices; i++)
		if (reply_open(&c->choice[i].reply, chat_manner(chat), c->talk, c->tools, take_part,
		               &c->choice[i], &e))
			return fault_err(f, &e);
	return 0;
}
