/* SPDX-License-Identifier: MIT */
/* forms.h - the form that answers are asked to have: a grammar from options
 * and files */
#ifndef CLM_CMD_FORMS_H
#define CLM_CMD_FORMS_H

#include "cli.h"
#include "gen/gen.h"

struct form_options {
	const char *grammar, *schema; /* files */
	bool json;
};
enum { FORM_N = 3 };
extern const struct cli_option form_table[FORM_N];
/* Whether a form is asked; two of them are misuse. */
bool form_asked(const struct form_options *o);

struct answer_form {
	const struct form_options *o;
	const struct tokenizer *tokenizer;
	struct buf text;
	cJSON *schema;
	struct grammar *made[3]; /* with reasoning before it: not, perhaps, surely */
};
/* Reads the file; and sets the request of plain texts, or NULL. */
NEED int form_open(struct answer_form *f, const struct form_options *o, const struct tokenizer *t,
                   struct request *plain, struct err *e);
void form_close(struct answer_form *f);
/* The request's grammar, for an answer in this manner. */
NEED int form_set(struct answer_form *f, struct request *r, struct manner m, enum think think,
                  bool thinking, struct err *e);

#endif
