/* SPDX-License-Identifier: MIT */
/* talk.c - conversations: messages to prompts, from options and files */
#include "talk.h"

#include <stdlib.h>
#include <string.h>

#include "util/file.h"

enum { TEMPLATE_CEILING = 4 << 20 };

#define AT(member) offsetof(struct talk_options, member)
const struct cli_option talk_table[TALK_N] = {
	{ 0, "chat", NULL, CLI_FLAG, AT(chat), .help = "prompts are conversations" },
	{ 0, "chat-template", "FILE|NAME", CLI_TEXT, AT(template),
	  .words = "llama3 gemma mistral chatml",
	  .help = "in place of the model's: a file, one of its others, or a built-in one" },
	{ 0, "system", "TEXT", CLI_TEXT, AT(system), .help = "the system message" },
	{ 0, "tools", "FILE", CLI_TEXT, AT(tools), .help = "what the model may call, a JSON list" },
	{ 0, "var", "NAME=VALUE", CLI_TEXTS, AT(vars),
	  .help = "a variable of the template; JSON, or else text" },
	{ 0, "think", "WHEN", CLI_CHOICE, AT(think), .words = "auto on off",
	  .help = "reason first: as the template has it, or as told" },
	{ 0, "continue", NULL, CLI_FLAG, AT(go_on),
	  .help = "the answer goes on with the last message" },
};

void talk_check(const struct talk_options *o)
{
	if (!o->chat && (o->template || o->system || o->tools || o->vars.n || o->think ||
	                 o->go_on || o->messages || o->reasoning))
		cli_misuse("options of conversations go with --chat");
	for (size_t i = 0; i < o->vars.n; i++)
		if (!strchr(o->vars.text[i], '=') || *o->vars.text[i] == '=')
			cli_misuse("--var: expected NAME=VALUE, found \"%s\"", o->vars.text[i]);
}

/* ---- opening */

static int read_template(struct buf *out, const char *path, struct err *e)
{
	if (file_read(out, path, TEMPLATE_CEILING, e))
		return err_in(e, "%s", path);
	buf_add_text(out, "");
	return buf_check(out, e);
}

static int open_chat(struct talk *t, const struct opened *m, struct err *e)
{
	struct chat_options o = { 0 };
	const char *path = t->o->template;
	struct buf text = { 0 };
	int rc = 0;

	if (path && file_exists(path)) {
		rc = read_template(&text, path, e);
		o.text = buf_bytes(&text);
		o.where = path;
	} else {
		o.name = path;
	}
	if (!rc && chat_open(&t->chat, m->source, m->tokenizer, &o, e)) {
		rc = -1;
		if (!path)
			err_in(e, "%s", source_path(m->source));
	}
	buf_release(&text);
	return rc;
}

static int read_json(cJSON **out, const char *path, struct err *e)
{
	struct buf text = { 0 };
	int rc = file_read(&text, path, JSON_BYTES, e);

	if (!rc && !(*out = json_parse(buf_bytes(&text), e)))
		rc = -1;
	buf_release(&text);
	return rc ? err_in(e, "%s", path) : 0;
}

static int read_vars(struct talk *t, struct err *e)
{
	t->vars = cJSON_CreateObject();
	if (!t->vars)
		return err_memory(e, sizeof *t->vars);
	for (size_t i = 0; i < t->o->vars.n; i++) {
		const char *text = t->o->vars.text[i], *equal = strchr(text, '=');
		char *name = strndup(text, (size_t)(equal - text));
		struct err not_json;
		cJSON *v = json_parse(bytes_of(equal + 1), &not_json);

		if (!v)
			v = cJSON_CreateString(equal + 1);
		if (name)
			cJSON_DeleteItemFromObjectCaseSensitive(t->vars, name);
		if (!name || !v || !cJSON_AddItemToObject(t->vars, name, v)) {
			cJSON_Delete(v);
			free(name);
			return err_memory(e, strlen(text));
		}
		free(name);
	}
	return 0;
}

int talk_open(struct talk *t, const struct talk_options *o, const struct opened *m, bool quiet,
              struct err *e)
{
	*t = (struct talk){ .o = o, .no_prompt = t->no_prompt, .quiet = quiet };
	if (open_chat(t, m, e) || (o->tools && read_json(&t->tools, o->tools, e)) ||
	    (o->messages && read_json(&t->messages, o->messages, e)) || read_vars(t, e))
		return -1;
	if (chat_warning(t->chat) && !quiet)
		cli_warn("%s", chat_warning(t->chat));
	return 0;
}

void talk_close(struct talk *t)
{
	chat_close(t->chat);
	cJSON_Delete(t->tools);
	cJSON_Delete(t->vars);
	cJSON_Delete(t->messages);
	*t = (struct talk){ 0 };
}

/* ---- prompts */

static int add_message(cJSON *list, int at, const char *role, const char *content, struct err *e)
{
	cJSON *m = cJSON_CreateObject();

	if (m && cJSON_AddStringToObject(m, "role", role) &&
	    cJSON_AddStringToObject(m, "content", content) &&
	    (at < 0 ? cJSON_AddItemToArray(list, m) : cJSON_InsertItemInArray(list, at, m)))
		return 0;
	cJSON_Delete(m);
	return err_memory(e, strlen(content));
}

/* The messages with what the options add to them; NULL: failed. */
static cJSON *gather(const struct talk *t, const cJSON *messages, const char *turn, struct err *e)
{
	cJSON *list = messages ? cJSON_Duplicate(messages, true) : cJSON_CreateArray();

	if (!list) {
		err_memory(e, sizeof *list);
		return NULL;
	}
	if ((turn || t->o->system) && !cJSON_IsArray(list)) {
		err_set(e, ERR_INPUT, "messages: expected a list, found %s", json_kind(list));
	} else if ((!turn || !add_message(list, -1, "user", turn, e)) &&
	           (!t->o->system || !add_message(list, 0, "system", t->o->system, e))) {
		return list;
	}
	cJSON_Delete(list);
	return NULL;
}

/* The variables of the options, then those of the conversation. */
static cJSON *merge_vars(const struct talk *t, const cJSON *own, struct err *e)
{
	cJSON *all = cJSON_Duplicate(t->vars, true);

	for (const cJSON *v = cJSON_IsObject(own) ? own->child : NULL; v && all; v = v->next) {
		cJSON *copy = cJSON_Duplicate(v, true);

		cJSON_DeleteItemFromObjectCaseSensitive(all, v->string);
		if (!copy || !cJSON_AddItemToObject(all, v->string, copy)) {
			cJSON_Delete(copy);
			cJSON_Delete(all);
			all = NULL;
		}
	}
	if (!all)
		err_memory(e, sizeof *all);
	return all;
}

const cJSON *talk_tools(const struct talk *t, const cJSON *messages)
{
	const cJSON *own = json_get(messages, "tools");

	return own ? own : t->tools;
}

int talk_prompt(const struct talk *t, const cJSON *messages, const char *turn,
                struct chat_prompt *out, struct err *e)
{
	bool wrapped = cJSON_IsObject(messages);
	const cJSON *own = wrapped ? json_get(messages, "chat_template_kwargs") : NULL;
	struct chat_input in = { .tools = talk_tools(t, messages),
		                 .documents = json_get(messages, "documents"),
		                 .think = (enum think)t->o->think,
		                 .no_prompt = t->no_prompt,
		                 .go_on = t->o->go_on };
	cJSON *list, *vars;
	int rc = -1;

	if (wrapped && !json_get(messages, "messages"))
		return err_set(e, ERR_INPUT, "messages: missing");
	if (own && !cJSON_IsObject(own) && !cJSON_IsNull(own))
		return err_set(e, ERR_INPUT, "chat_template_kwargs: expected an object, found %s",
		               json_kind(own));
	list = gather(t, wrapped ? json_get(messages, "messages") : messages, turn, e);
	vars = list ? merge_vars(t, own, e) : NULL;
	if (vars) {
		in.messages = list;
		in.vars = vars;
		rc = chat_render(t->chat, &in, out, e);
	}
	cJSON_Delete(list);
	cJSON_Delete(vars);
	return rc;
}

int talk_prompt_text(const struct talk *t, struct bytes json, struct chat_prompt *out,
                     struct err *e)
{
	cJSON *messages = json_parse(json, e);
	int rc = messages ? talk_prompt(t, messages, NULL, out, e) : -1;

	cJSON_Delete(messages);
	return rc;
}
