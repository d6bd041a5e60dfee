/* SPDX-License-Identifier: MIT */
/* chat.h - messages to a call, whichever interface they came by. Private to
 * serve/. */
#ifndef CLM_SERVE_CHAT_H
#define CLM_SERVE_CHAT_H

#include "serve/call.h"

enum { MESSAGES_MAX = 4096, TOOLS_MAX = 128, TOOL_NAME_MAX = 64 };

/* What is asked, in the form that templates know: messages of "role",
 * "content" (a text) and what goes with them, tools as OpenAI has them. The
 * call owns what it is given. */
struct chat_ask {
	cJSON *take_messages;
	cJSON *take_tools;         /* NULL: none */
	const cJSON *vars;         /* of the template; may be NULL */
	enum think think;
	bool go_on;                /* the answer goes on with the last message */
};
/* Renders the prompt, sets the stop texts, opens the answers' parsers. */
NEED int chat_ask(struct call *c, struct chat_ask *a, struct fault *f);

/* Is it a tool's or a schema's name? */
bool chat_name_sound(const char *name);
/* Checked copies in the template's form. NULL: a fault. */
cJSON *chat_tools(const cJSON *tools, struct fault *f);     /* OpenAI's and Ollama's form */
/* A text, or parts of type "text"; the text is owned by the caller. */
NEED int chat_text(char **out, const cJSON *content, const char *name, struct fault *f);
/* {"role": role, "content": text}; NULL without memory. Takes the text. */
cJSON *chat_message(const char *role, char *take_text);

#endif
