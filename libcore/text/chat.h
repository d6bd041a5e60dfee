/* SPDX-License-Identifier: MIT */
/* chat.h - what an open chat is, for the files of this room. */
#ifndef CLM_TEXT_CHAT_H
#define CLM_TEXT_CHAT_H

#include "text/reason.h"
#include "text/tokenizer.h"

struct chat {
	const struct tokenizer *tokenizer;
	struct chat_template *plain, *tools; /* tools NULL: the plain one too */
	struct manner manner;
	cJSON *special;     /* bos_token, ...: what templates are given */
	bool parts;         /* the template reads content as a list of parts only */
	char origin[256];
	char warning[160];
};

/* The templates and what may be said about them. */
NEED int chat_find(struct chat *c, struct source *s, const struct chat_options *o, struct err *e);
/* bos_token and so on, from the files beside the model, else the tokenizer. */
NEED int chat_find_special(struct chat *c, struct source *s, struct err *e);

/* All that a template is given, checked and put in its usual form; NULL:
 * refused. `spelled`: arguments of calls as JSON text, not as objects. */
cJSON *chat_vars(const struct chat *c, const struct chat_input *in, bool spelled, struct err *e);
/* Put behind the last message that is to go on, to find its end. */
#define CHAT_TAG "CONTINUE_FINAL_MESSAGE_TAG"

/* Where special tokens' texts came from the messages: places in `text`, which
 * is what the template renders for `vars`. Those that could not be told are
 * counted. */
NEED int chat_bars(const struct chat *c, const struct chat_template *t, const cJSON *vars,
                   const struct tm *now, struct bytes text, struct bars *out, size_t *n_loose,
                   struct err *e);
NEED int bars_add(struct bars *b, size_t at, struct err *e);

#endif
