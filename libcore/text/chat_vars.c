/* SPDX-License-Identifier: MIT */
/* chat_vars.c - messages, tools and the rest checked and put in the form that
 * templates are written for: content as one text, arguments of calls as
 * objects. */
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"

static cJSON *no_memory(struct err *e)
{
	(void)err_memory(e, sizeof(cJSON));
	return NULL;
}

static const char *part_type(const cJSON *part)
{
	const cJSON *type = json_get(part, "type");

	return cJSON_IsString(type) ? type->valuestring : "";
}

/* Parts of text as one text; NULL: they are not all text. */
static char *join_parts(const cJSON *parts, struct err *e)
{
	struct buf b = { 0 };

	for (const cJSON *p = parts->child; p; p = p->next) {
		const cJSON *text = json_get(p, "text");

		if (strcmp(part_type(p), "text") || !cJSON_IsString(text)) {
			buf_release(&b);
			return NULL;
		}
		buf_add_text(&b, text->valuestring);
	}
	buf_add_text(&b, "");
	if (buf_check(&b, e)) {
		buf_release(&b);
		return NULL;
	}
	return (char *)b.p;
}

static int check_parts(const cJSON *parts, struct err *e)
{
	static const char *const media[] = { "image",       "image_url", "input_image", "audio",
		                             "input_audio", "video",     "video_url" };
	size_t n = 0;

	for (const cJSON *p = parts->child; p; p = p->next, n++) {
		if (!cJSON_IsObject(p))
			return err_set(e, ERR_INPUT, "content[%zu]: expected an object, found %s",
			               n, json_kind(p));
		for (size_t i = 0; i < sizeof media / sizeof *media; i++)
			if (!strcmp(part_type(p), media[i]))
				return err_set(e, ERR_INPUT,
				               "content[%zu]: expected text, found type \"%s\"", n,
				               media[i]);
	}
	return 0;
}

static int replace(cJSON *o, const char *key, cJSON *take_with, struct err *e)
{
	if (!take_with)
		return err_memory(e, sizeof *take_with);
	if (cJSON_ReplaceItemInObjectCaseSensitive(o, key, take_with))
		return 0;
	cJSON_Delete(take_with);
	return err_memory(e, strlen(key));
}

static cJSON *text_part(const char *text)
{
	cJSON *list = cJSON_CreateArray(), *part = cJSON_CreateObject();

	if (list && part && cJSON_AddStringToObject(part, "type", "text") &&
	    cJSON_AddStringToObject(part, "text", text) && cJSON_AddItemToArray(list, part))
		return list;
	cJSON_Delete(part);
	cJSON_Delete(list);
	return NULL;
}

static int fix_content(const struct chat *c, cJSON *m, struct err *e)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(m, "content");
	char *text;
	int rc;

	if (!v || (cJSON_IsNull(v) && json_get(m, "tool_calls")))
		return 0;
	if (cJSON_IsNull(v))
		return replace(m, "content", cJSON_CreateString(""), e);
	if (cJSON_IsString(v))
		return c->parts ? replace(m, "content", text_part(v->valuestring), e) : 0;
	if (!cJSON_IsArray(v))
		return err_set(e, ERR_INPUT, "content: expected text or a list of parts, found %s",
		               json_kind(v));
	if (check_parts(v, e))
		return -1;
	if (c->parts)
		return 0;
	text = join_parts(v, e);
	if (!text)
		return e->kind == ERR_MACHINE ? -1 : 0;
	rc = replace(m, "content", cJSON_CreateString(text), e);
	free(text);
	return rc;
}

/* Arguments as an object, or spelled: as its JSON text. */
static int fix_arguments(cJSON *function, bool spelled, struct err *e)
{
	const cJSON *v = json_get(function, "arguments");
	struct buf b = { 0 };
	struct err ignored;
	cJSON *with;
	int rc;

	if (cJSON_IsString(v) && !spelled) {
		with = json_parse(bytes_of(v->valuestring), &ignored);
		return with ? replace(function, "arguments", with, e) : 0;
	}
	if (!v || cJSON_IsString(v) || !spelled)
		return 0;
	if (json_write(&b, v, 0, false, e) || (buf_add_text(&b, ""), buf_check(&b, e))) {
		buf_release(&b);
		return -1;
	}
	rc = replace(function, "arguments", cJSON_CreateString((char *)b.p), e);
	buf_release(&b);
	return rc;
}

static int fix_calls(cJSON *m, bool spelled, struct err *e)
{
	const cJSON *calls = json_get(m, "tool_calls");
	size_t n = 0;

	if (!calls)
		return 0;
	if (!cJSON_IsArray(calls))
		return err_set(e, ERR_INPUT, "tool_calls: expected a list, found %s",
		               json_kind(calls));
	for (cJSON *call = calls->child; call; call = call->next, n++) {
		const cJSON *f = json_get(call, "function");

		f = f ? f : call;
		if (!cJSON_IsObject(f) || !cJSON_IsString(json_get(f, "name")))
			return err_set(e, ERR_INPUT,
			               "tool_calls[%zu]: expected a function with a name", n);
		if (fix_arguments((cJSON *)f, spelled, e))
			return -1;
	}
	return 0;
}

static int tag_last(cJSON *m, struct err *e)
{
	const cJSON *v = json_get(m, "content");
	struct buf b = { 0 };
	int rc;

	if (cJSON_IsArray(v)) {
		m = cJSON_GetArrayItem(v, cJSON_GetArraySize(v) - 1);
		v = json_get(m, "text");
		if (cJSON_IsString(v)) {
			buf_add_text(&b, v->valuestring);
			buf_add_text(&b, CHAT_TAG " ");
			rc = buf_check(&b, e) ||
			     replace(m, "text", cJSON_CreateString((char *)b.p), e);
			buf_release(&b);
			return rc ? -1 : 0;
		}
	}
	if (!cJSON_IsString(v))
		return err_set(e, ERR_INPUT, "no text that could go on");
	buf_add_text(&b, v->valuestring);
	buf_add_text(&b, CHAT_TAG " ");
	rc = buf_check(&b, e) || replace(m, "content", cJSON_CreateString((char *)b.p), e);
	buf_release(&b);
	return rc ? -1 : 0;
}

static int fix_messages(const struct chat *c, cJSON *messages, const struct chat_input *in,
                        bool spelled, struct err *e)
{
	size_t n = 0;

	for (cJSON *m = messages->child; m; m = m->next, n++) {
		if (!cJSON_IsObject(m))
			return err_set(e, ERR_INPUT, "messages[%zu]: expected an object, found %s",
			               n, json_kind(m));
		if (!cJSON_IsString(json_get(m, "role")))
			return err_set(e, ERR_INPUT,
			               "messages[%zu]: role: expected a string, found %s", n,
			               json_kind(json_get(m, "role")));
		e->kind = ERR_NONE;
		if (fix_content(c, m, e) || fix_calls(m, spelled, e) ||
		    (in->go_on && !m->next && tag_last(m, e)))
			return err_in(e, "messages[%zu]", n);
	}
	return n ? 0 : err_set(e, ERR_INPUT, "messages: expected at least one");
}

/* Functions by themselves get the wrapping that templates expect. */
static cJSON *wrap_tools(const cJSON *tools, struct err *e)
{
	cJSON *out, *item, *wrapped;
	size_t n = 0;

	if (!tools || cJSON_IsNull(tools) || (cJSON_IsArray(tools) && !tools->child)) {
		out = cJSON_CreateNull();
		return out ? out : no_memory(e);
	}
	if (!cJSON_IsArray(tools)) {
		err_set(e, ERR_INPUT, "tools: expected a list, found %s", json_kind(tools));
		return NULL;
	}
	out = cJSON_CreateArray();
	for (const cJSON *t = tools->child; t && out; t = t->next, n++) {
		if (!cJSON_IsObject(t)) {
			err_set(e, ERR_INPUT, "tools[%zu]: expected an object, found %s", n,
			        json_kind(t));
			cJSON_Delete(out);
			return NULL;
		}
		item = cJSON_Duplicate(t, true);
		if (item && !json_get(t, "function") && json_get(t, "name")) {
			wrapped = cJSON_CreateObject();
			if (!wrapped || !cJSON_AddStringToObject(wrapped, "type", "function") ||
			    !cJSON_AddItemToObject(wrapped, "function", item)) {
				cJSON_Delete(wrapped);
				cJSON_Delete(item);
				item = NULL;
			} else {
				item = wrapped;
			}
		}
		if (!item || !cJSON_AddItemToArray(out, item)) {
			cJSON_Delete(item);
			cJSON_Delete(out);
			out = NULL;
		}
	}
	return out ? out : no_memory(e);
}

static int put(cJSON *o, const char *key, cJSON *take, struct err *e)
{
	if (take && (cJSON_GetObjectItemCaseSensitive(o, key) ?
	                     cJSON_ReplaceItemInObjectCaseSensitive(o, key, take) :
	                     cJSON_AddItemToObject(o, key, take)))
		return 0;
	cJSON_Delete(take);
	return err_memory(e, sizeof *take);
}

static int put_switches(const struct chat *c, cJSON *o, const struct chat_input *in, struct err *e)
{
	const struct chat_template *t = chat_template_of(c, true);

	for (size_t i = 0; in->think != THINK_AUTO && i < THINK_SWITCHES; i++) {
		const struct think_switch *s = &think_switches[i];

		if (template_names(t, s->variable) &&
		    put(o, s->variable, cJSON_Parse(in->think == THINK_ON ? s->on : s->off), e))
			return -1;
	}
	return 0;
}

static int put_given(cJSON *o, const cJSON *vars, struct err *e)
{
	static const char *const ours[] = { "messages", "tools", "documents",
		                            "add_generation_prompt" };

	if (vars && !cJSON_IsObject(vars))
		return err_set(e, ERR_INPUT, "variables: expected an object, found %s",
		               json_kind(vars));
	for (const cJSON *v = vars ? vars->child : NULL; v; v = v->next) {
		for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
			if (!strcmp(v->string, ours[i]))
				return err_set(e, ERR_INPUT, "variable %s: given elsewhere",
				               ours[i]);
		if (put(o, v->string, cJSON_Duplicate(v, true), e))
			return -1;
	}
	return 0;
}

cJSON *chat_vars(const struct chat *c, const struct chat_input *in, bool spelled, struct err *e)
{
	cJSON *o = cJSON_Duplicate(c->special, true), *messages, *tools;

	if (!o)
		return no_memory(e);
	if (!cJSON_IsArray(in->messages)) {
		err_set(e, ERR_INPUT, "messages: expected a list, found %s",
		        json_kind(in->messages));
		goto fail;
	}
	messages = cJSON_Duplicate(in->messages, true);
	if (put(o, "messages", messages, e) || fix_messages(c, messages, in, spelled, e))
		goto fail;
	tools = wrap_tools(in->tools, e);
	if (!tools || put(o, "tools", tools, e))
		goto fail;
	if (put(o, "documents",
	        in->documents ? cJSON_Duplicate(in->documents, true) : cJSON_CreateNull(), e) ||
	    put(o, "add_generation_prompt", cJSON_CreateBool(!in->no_prompt && !in->go_on), e) ||
	    put_switches(c, o, in, e) || put_given(o, in->vars, e))
		goto fail;
	return o;
fail:
	cJSON_Delete(o);
	return NULL;
}
