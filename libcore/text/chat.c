/* SPDX-License-Identifier: MIT */
/* chat.c - a model's chat: messages in, prompt and ids out. */
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"

static int render(const struct chat_template *t, const cJSON *vars, struct buf *out, struct err *e)
{
	static const struct tm day = { .tm_year = 126, .tm_mday = 1 };

	return template_render(t, vars, &day, out, e);
}

/* Does a user's word come out, given as text, or as a list of parts? */
static bool shows(struct chat *c, bool parts)
{
	static const char word[] = "zqxwv";
	struct chat_input in = { 0 };
	struct buf out = { 0 };
	struct err ignored;
	cJSON *messages = NULL, *vars = NULL;
	bool shown = false;

	messages = json_parse(bytes_of("[{\"role\": \"user\", \"content\": \"zqxwv\"}]"), &ignored);
	c->parts = parts;
	in.messages = messages;
	if (messages && (vars = chat_vars(c, &in, false, &ignored)) &&
	    render(c->plain, vars, &out, &ignored) == 0)
		shown = text_has(buf_bytes(&out), word);
	cJSON_Delete(vars);
	cJSON_Delete(messages);
	buf_release(&out);
	return shown;
}

int chat_open(struct chat **out, struct source *s, const struct tokenizer *t,
              const struct chat_options *o, struct err *e)
{
	struct chat *c = calloc(1, sizeof *c);

	if (!c)
		return err_memory(e, sizeof *c);
	c->tokenizer = t;
	if (chat_find(c, s, o, e) || chat_find_special(c, s, e)) {
		chat_close(c);
		return -1;
	}
	c->manner = manner_of(template_text(chat_template_of(c, true)), t);
	c->parts = !shows(c, false) && shows(c, true);
	*out = c;
	return 0;
}

void chat_close(struct chat *c)
{
	if (!c)
		return;
	template_close(c->plain);
	template_close(c->tools);
	cJSON_Delete(c->special);
	free(c);
}

const char *chat_warning(const struct chat *c)
{
	return c->warning[0] ? c->warning : NULL;
}

const char *chat_origin(const struct chat *c)
{
	return c->origin;
}

const struct chat_template *chat_template_of(const struct chat *c, bool tools)
{
	return tools && c->tools ? c->tools : c->plain;
}

struct manner chat_manner(const struct chat *c)
{
	return c->manner;
}

const char *chat_turn_end(const struct chat *c)
{
	return manner_turn_end(template_text(c->plain));
}

void chat_prompt_release(struct chat_prompt *p)
{
	buf_release(&p->text);
	ids_release(&p->ids);
	memset(p, 0, sizeof *p);
}

/* ---- rendering */

/* The template's text for the messages; *vars is what it was given. Some
 * templates want the arguments of calls as text: that is tried where objects
 * fail. */
static int render_calls(const struct chat *c, const struct chat_template *t,
                        const struct chat_input *in, cJSON **vars, struct buf *out, struct err *e)
{
	struct err again;

	*vars = chat_vars(c, in, false, e);
	if (!*vars)
		return -1;
	if (template_render(t, *vars, in->now, out, e) == 0)
		return 0;
	err_in(e, "%s", c->origin);
	if (e->kind != ERR_INPUT || !text_has(template_text(t), "arguments"))
		return -1;
	cJSON_Delete(*vars);
	*vars = chat_vars(c, in, true, &again);
	return *vars ? template_render(t, *vars, in->now, out, &again) : -1;
}

/* Cuts what a template puts behind a last message that is to go on. */
static int cut_tag(struct buf *b, struct err *e)
{
	struct bytes text = buf_bytes(b);
	size_t at = text_rfind(text, CHAT_TAG), n = sizeof CHAT_TAG - 1;
	bool trimmed;

	if (at == text.n)
		return err_set(e, ERR_INPUT,
		               "the template does not show the last message, which was "
		               "to go on");
	trimmed = at + n == text.n || text.p[at + n] != ' ';
	if (trimmed)
		while (at && strchr(" \t\r\n\v\f", text.p[at - 1]))
			at--;
	b->n = at;
	b->p[at] = '\0';
	return 0;
}

static void drop_from(struct bars *b, size_t end)
{
	while (b->n && b->at[b->n - 1] >= end)
		b->n--;
}

/* Reasoning that no variable turns off is closed, empty, before it begins. */
static int close_thinking(const struct chat *c, const struct chat_template *t,
                          const struct chat_input *in, struct chat_prompt *out, struct err *e)
{
	const struct think_row *row = c->manner.think;
	bool has = false;

	for (size_t i = 0; i < THINK_SWITCHES; i++)
		has = has || template_names(t, think_switches[i].variable);
	if (!row || has || in->think == THINK_AUTO)
		return 0;
	out->no_switch = in->think == THINK_ON ? !out->thinking : row->harmony;
	if (in->think == THINK_ON || row->harmony || in->go_on || in->no_prompt)
		return 0;
	if (!out->thinking)
		buf_printf(&out->text, "%s\n", row->begin);
	buf_printf(&out->text, "\n%s\n\n", row->end);
	out->thinking = false;
	return buf_check(&out->text, e);
}

/* The last tag that begins reasoning has none behind it that ends it, and
 * unless a message goes on, nothing else. */
static bool ends_thinking(const struct think_row *row, struct bytes text, bool go_on)
{
	size_t begin, end;

	if (!row || row->harmony)
		return false;
	begin = text_rfind(text, row->begin);
	end = text_rfind(text, row->end);
	if (begin == text.n || (end != text.n && end > begin))
		return false;
	return go_on || !text_trim(text_from(text, begin + strlen(row->begin))).n;
}

static int prompt_of(const struct chat *c, const struct chat_input *in, struct chat_prompt *out,
                     struct bars *bars, struct err *e)
{
	const struct chat_template *t = chat_template_of(c, cJSON_IsArray(in->tools) &&
	                                                            in->tools->child);
	cJSON *vars = NULL;
	int rc = render_calls(c, t, in, &vars, &out->text, e);

	if (!rc)
		rc = chat_bars(c, t, vars, in->now, buf_bytes(&out->text), bars, &out->n_loose, e);
	cJSON_Delete(vars);
	if (rc || (in->go_on && cut_tag(&out->text, e)))
		return -1;
	drop_from(bars, out->text.n);
	out->n_text = bars->n;
	out->thinking = ends_thinking(c->manner.think, buf_bytes(&out->text), in->go_on);
	return close_thinking(c, t, in, out, e);
}

int chat_render(const struct chat *c, const struct chat_input *in, struct chat_prompt *out,
                struct err *e)
{
	struct chat_input with = *in;
	struct bars bars = { 0 };
	struct tm now = { 0 };
	time_t moment;
	int rc;

	if (!with.now) {
		moment = time(NULL);
		localtime_r(&moment, &now);
		with.now = &now;
	}
	buf_clear(&out->text);
	out->ids.n = out->n_text = out->n_loose = 0;
	out->thinking = out->no_switch = false;
	rc = prompt_of(c, &with, out, &bars, e);
	if (!rc)
		rc = tokenizer_encode_barred(c->tokenizer, buf_bytes(&out->text),
		                             ENCODE_PARSE_SPECIAL, &bars, &out->ids, e);
	free(bars.at);
	return rc;
}
