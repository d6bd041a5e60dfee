/* SPDX-License-Identifier: MIT */
/* talk.h - conversations: messages to prompts, from options and files */
#ifndef CLM_CMD_TALK_H
#define CLM_CMD_TALK_H

#include "cli.h"
#include "forms.h"
#include "open.h"

struct talk_options {
	bool chat;
	const char *template, *tools, *system;
	struct cli_texts vars;
	int think; /* enum think */
	bool go_on;
	/* for those that have these options */
	const char *messages; /* a file: the conversation so far */
	int reasoning;        /* enum answer_reasoning */
};
enum { TALK_N = 7 };
extern const struct cli_option talk_table[TALK_N];
/* Options that need --chat and were given without it are misuse. */
void talk_check(const struct talk_options *o);

struct talk {
	const struct talk_options *o;
	struct chat *chat;
	cJSON *tools, *vars, *messages;
	bool no_prompt; /* end where the answer would begin */
	bool quiet;
	struct answer_form *form; /* that answers have; NULL: any. Not to be shared by threads */
};
/* The model's template, and the files and variables that the options name.
 * What a user should know is a warning, unless quiet. */
NEED int talk_open(struct talk *t, const struct talk_options *o, const struct opened *m, bool quiet,
                   struct err *e);
void talk_close(struct talk *t);

/* A list of messages, or an object with "messages" and, where it has them,
 * "tools", "documents" and "chat_template_kwargs", variables of the template.
 * With `turn`, what the user says after them. Several threads may do so at
 * once. */
NEED int talk_prompt(const struct talk *t, const cJSON *messages, const char *turn,
                     struct chat_prompt *out, struct err *e);
/* The same from JSON text. */
NEED int talk_prompt_text(const struct talk *t, struct bytes json, struct chat_prompt *out,
                          struct err *e);
/* The tools that a conversation has: its own, else those of the options. */
const cJSON *talk_tools(const struct talk *t, const cJSON *messages);

#endif
