/* SPDX-License-Identifier: MIT */
/* template.c - a chat template: opened once, rendered for each prompt.
 *
 * No template can hang or blow up: steps, depth, memory and output have
 * ceilings, which grow with what the template and the messages hold. */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"
#include "util/utf8.h"

enum {
	TEMPLATE_BYTES = 4 << 20,
	TREE_BYTES = 512 << 20,
	STEPS = 1 << 22,
	STEPS_PER_BYTE = 256,
	RUN_BYTES = 64 << 20,
	RUN_BYTES_PER_BYTE = 64,
	OUTPUT_BYTES = 16 << 20,
	OUTPUT_PER_BYTE = 32,
};

int template_open(struct chat_template **out, struct bytes text, struct err *e)
{
	struct chat_template *t;
	struct parse p = { .e = e };

	if (text.n > TEMPLATE_BYTES)
		return err_set(e, ERR_INPUT, "a template of %zu bytes, at most %d", text.n,
		               TEMPLATE_BYTES);
	if (utf8_valid(text) != text.n)
		return err_set(e, ERR_INPUT, "byte %zu: not UTF-8", utf8_valid(text));
	t = calloc(1, sizeof *t);
	if (!t)
		return err_memory(e, sizeof *t);
	arena_init(&t->arena, TREE_BYTES);
	t->text = text;
	p.t = t;
	if (jinja_lex(t, &p.at, e) || !(t->body = jinja_body(&p))) {
		template_close(t);
		return -1;
	}
	*out = t;
	return 0;
}

void template_close(struct chat_template *t)
{
	if (!t)
		return;
	arena_release(&t->arena);
	free(t);
}

/* Bytes that the variables hold, about. */
static size_t weigh(const cJSON *v)
{
	size_t n = 8;

	if (cJSON_IsString(v))
		n += strlen(v->valuestring);
	if (v->string)
		n += strlen(v->string);
	for (const cJSON *c = v->child; c; c = c->next)
		n += weigh(c);
	return n;
}

static int set_vars(struct run *r, const cJSON *vars)
{
	for (const cJSON *c = vars->child; c; c = c->next) {
		struct bytes name = bytes_of(c->string);
		struct value v;

		/* what the template does not name need not be there */
		for (size_t i = 0; i < r->t->n_symbols; i++)
			if (bytes_equal(r->t->symbol[i], name) &&
			    (value_from_json(r, c, &v) || jinja_set(r, (int)i, v)))
				return -1;
	}
	return 0;
}

int template_render(const struct chat_template *t, const cJSON *vars, const struct tm *now,
                    struct buf *out, struct err *e)
{
	size_t weight = t->text.n + weigh(vars);
	struct buf text = { .ceiling = OUTPUT_BYTES + weight * OUTPUT_PER_BYTE };
	struct arena arena;
	struct scope top = { 0 };
	struct run r = { .t = t, .arena = &arena, .scope = &top, .out = &text, .now = now, .e = e };
	int rc;

	arena_init(&arena, RUN_BYTES + weight * RUN_BYTES_PER_BYTE);
	r.fuel = STEPS + weight * STEPS_PER_BYTE;
	rc = set_vars(&r, vars) || jinja_run(&r, t->body) ? -1 : 0;
	if (rc == 0) {
		buf_add(out, text.p, text.n);
		rc = buf_check(out, e);
	}
	buf_release(&text);
	arena_release(&arena);
	return rc;
}

bool template_names(const struct chat_template *t, const char *variable)
{
	for (size_t i = 0; i < t->n_symbols; i++)
		if (bytes_is(t->symbol[i], variable))
			return true;
	return false;
}

struct bytes template_text(const struct chat_template *t)
{
	return t->text;
}
