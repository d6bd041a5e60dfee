/* SPDX-License-Identifier: MIT */
/* forms.c - the form that answers are asked to have: a grammar from options
 * and files */
#include "forms.h"

#include "util/file.h"

#define AT(member) offsetof(struct form_options, member)
const struct cli_option form_table[FORM_N] = {
	{ 0, "grammar", "FILE", CLI_TEXT, AT(grammar), .help = "keep to this grammar, in GBNF" },
	{ 0, "schema", "FILE", CLI_TEXT, AT(schema), .help = "keep to this JSON Schema" },
	{ 0, "json", NULL, CLI_FLAG, AT(json), .help = "keep to one JSON object" },
};

bool form_asked(const struct form_options *o)
{
	int n = (o->grammar != NULL) + (o->schema != NULL) + o->json;

	if (n > 1)
		cli_misuse("expected one of --grammar, --schema and --json, found %d", n);
	return n;
}

int form_open(struct answer_form *f, const struct form_options *o, const struct tokenizer *t,
              struct request *plain, struct err *e)
{
	const struct manner none = { NULL, NULL };
	const char *path = o->grammar ? o->grammar : o->schema;

	f->o = o;
	f->tokenizer = t;
	if (path && file_read(&f->text, path, GRAMMAR_SOURCE, e))
		return err_in(e, "%s", path);
	if (o->schema && !(f->schema = json_parse(buf_bytes(&f->text), e)))
		return err_in(e, "%s", path);
	return plain ? form_set(f, plain, none, THINK_OFF, false, e) : 0;
}

void form_close(struct answer_form *f)
{
	for (size_t i = 0; i < sizeof f->made / sizeof *f->made; i++)
		grammar_release(f->made[i]);
	cJSON_Delete(f->schema);
	buf_release(&f->text);
}

int form_set(struct answer_form *f, struct request *r, struct manner m, enum think think,
             bool thinking, struct err *e)
{
	struct grammar_ask a = { .kind = f->o->grammar ? GRAMMAR_TEXT :
		                         f->o->schema  ? GRAMMAR_SCHEMA :
		                                         GRAMMAR_OBJECT,
		                 .schema = f->schema,
		                 .text = buf_bytes(&f->text),
		                 .tokenizer = f->tokenizer,
		                 .thinking = thinking };
	const char *path = f->o->grammar ? f->o->grammar : f->o->schema;
	struct grammar **made = &f->made[thinking ? 2 : m.think && think != THINK_OFF];

	if (m.think && !manner_think_end(m))
		return err_set(e, ERR_INPUT,
		               "no form can be kept to with a model that reasons in %s",
		               manner_think_name(m));
	if (thinking || think != THINK_OFF) {
		a.think_begin = manner_think_begin(m);
		a.think_end = manner_think_end(m);
	}
	if (!*made && grammar_open(made, &a, e))
		return path ? err_in(e, "%s", path) : -1;
	grammar_release(r->grammar);
	r->grammar = grammar_hold(*made);
	return 0;
}
