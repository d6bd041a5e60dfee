/* SPDX-License-Identifier: MIT */
/* answers.c - conversations as jobs: the prompt from messages, the answer in
 * its parts */
#include "answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "util/utf8.h"

/* ---- a job */

static int on_part(void *arg, const struct reply_part *p, struct err *e)
{
	struct job *j = arg;
	struct buf *b = p->kind == REPLY_CALL      ? &j->calls :
	                p->kind == REPLY_REASONING ? &j->reasoning :
	                                             &j->out;

	if (p->kind != REPLY_CALL) {
		buf_add(b, p->text.p, p->text.n);
		return buf_check(b, e);
	}
	buf_add_text(b, "{\"name\": ");
	json_add_string(b, bytes_of(p->name));
	buf_printf(b, ", \"arguments\": %s", p->arguments);
	if (p->id) {
		buf_add_text(b, ", \"id\": ");
		json_add_string(b, bytes_of(p->id));
	}
	buf_add_text(b, "}\n");
	return buf_check(b, e);
}

/* A turn's end is a stop, where the template has one. */
static int add_stop(struct request *r, const char *text, struct err *e)
{
	if (!text || r->n_stop == STOP_MAX)
		return 0;
	r->stop[r->n_stop] = strdup(text);
	if (!r->stop[r->n_stop])
		return err_memory(e, strlen(text));
	r->n_stop++;
	return 0;
}

static void tell(const struct talk *t, const struct chat_prompt *p)
{
	if (p->n_loose)
		cli_warn("%zu special tokens in the messages could not be told from the template's",
		         p->n_loose);
	if (p->no_switch)
		cli_warn("the template cannot turn reasoning %s",
		         t->o->think == THINK_ON ? "on" : "off");
}

int answer_begin(struct job *j, const struct talk *t, const cJSON *messages, const char *turn,
                 struct err *e)
{
	struct chat_prompt p = { 0 };
	int rc = talk_prompt(t, messages, turn, &p, e);

	if (!rc) {
		if (!t->quiet)
			tell(t, &p);
		rc = reply_open(&j->reply, chat_manner(t->chat), &p, talk_tools(t, messages),
		                on_part, j, e) ||
		     add_stop(&j->request, chat_turn_end(t->chat), e) ||
		     (t->form && form_set(t->form, &j->request, chat_manner(t->chat),
		                          (enum think)t->o->think, p.thinking, e));
	}
	if (!rc) { /* the ids and the text move */
		ids_release(&j->prompt);
		buf_release(&j->text);
		j->prompt = p.ids;
		j->text = p.text;
		p.ids = (struct ids){ 0 };
		p.text = (struct buf){ 0 };
	}
	chat_prompt_release(&p);
	return rc ? -1 : 0;
}

int answer_turn(struct job *j, const struct talk *t, struct bytes text, struct err *e)
{
	char *turn = NULL;
	int rc;

	if (text.p && (utf8_valid(text) < text.n || memchr(text.p, 0, text.n)))
		return err_set(e, ERR_INPUT, "expected UTF-8 text without NUL");
	if (text.p && !(turn = strndup((const char *)text.p, text.n)))
		return err_memory(e, text.n);
	rc = answer_begin(j, t, t->messages, turn, e);
	free(turn);
	return rc;
}

int answer_take(struct job *j, struct bytes text, struct err *e)
{
	if (j->reply)
		return reply_add(j->reply, text, e);
	buf_add(&j->out, text.p, text.n);
	return buf_check(&j->out, e);
}

int answer_end(struct job *j, struct err *e)
{
	return j->reply ? reply_end(j->reply, e) : 0;
}

/* ---- showing */

static void put(struct job *j, const struct buf *b)
{
	cli_put(b->p, b->n);
	if (b->n)
		j->last = b->p[b->n - 1];
}

static void put_reasoning(struct job *j, enum answer_reasoning to)
{
	const struct buf *b = &j->reasoning;

	if (!b->n)
		return;
	if (to == ANSWER_STDOUT)
		put(j, b);
	else if (to == ANSWER_STDERR)
		fwrite(b->p, 1, b->n, stderr);
	j->reasons = to;
	buf_clear(&j->reasoning);
}

/* Reasoning that was shown ends with its line, and a blank one where what
 * follows stands beside it. */
static void end_reasoning(struct job *j)
{
	if (j->reasons == ANSWER_STDOUT)
		cli_puts(j->out.n ? "\n\n" : "\n");
	else if (j->reasons == ANSWER_STDERR)
		fputc('\n', stderr);
	if (j->reasons == ANSWER_STDOUT)
		j->last = '\n';
	j->reasons = ANSWER_HIDE;
}

void answer_put(struct job *j, bool echo, enum answer_reasoning to, struct bytes mark)
{
	if (echo && !j->begun)
		cli_put(j->text.p, j->text.n);
	put_reasoning(j, to);
	if (j->out.n || j->ended)
		end_reasoning(j);
	put(j, &j->out);
	buf_clear(&j->out);
	if (!j->ended)
		return;
	if (j->calls.n && j->last && j->last != '\n')
		cli_puts("\n");
	put(j, &j->calls);
	/* the lines of calls have newlines of their own */
	if (!j->calls.n || (mark.n && *mark.p != '\n'))
		cli_put(mark.p, mark.n);
}

void answer_record(struct buf *b, const struct job *j)
{
	const unsigned char *p = j->calls.p, *end = p ? p + j->calls.n : p;
	const char *comma = "";

	if (j->reasoning.n) {
		buf_add_text(b, ", \"reasoning\": ");
		json_add_string(b, buf_bytes(&j->reasoning));
	}
	if (p == end)
		return;
	buf_add_text(b, ", \"tool_calls\": [");
	while (p < end) {
		const unsigned char *line = memchr(p, '\n', (size_t)(end - p));

		buf_add_text(b, comma);
		buf_add(b, p, (size_t)(line - p));
		p = line + 1;
		comma = ", ";
	}
	buf_add_byte(b, ']');
}
