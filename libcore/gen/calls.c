/* SPDX-License-Identifier: MIT */
/* calls.c - calls of tools in a family's own manner, as a grammar
 *
 * The row of the manner says what stands around names and arguments; the
 * function's schema says what the arguments are. */
#include <stdio.h>

#include "gen/schema.h"

/* {"type": "object"}: whatever the function's own schema says. */
static const cJSON *object_schema(void)
{
	static const char type_name[] = "type", object[] = "object";
	static const cJSON type = { .type = cJSON_String,
		                    .valuestring = (char *)object,
		                    .string = (char *)type_name };
	static const cJSON schema = { .type = cJSON_Object, .child = (cJSON *)&type };

	return &schema;
}

/* ---- arguments with a tag each */

struct tagged {
	struct schema s;
	const struct grammar_ask *a;
};

/* One argument's value and all that closes it: strings are text as it is. */
static int tagged_value(struct tagged *t, const struct property *p, uint32_t next, uint32_t *out)
{
	const struct grammar_ask *a = t->a;
	struct schema *s = &t->s;
	uint32_t tag = graph_words(s->g, a->form->value_end, next), rule;
	struct lang l = { 0 }, plain;
	struct ways ways;
	struct form h = { .types = T_ANY };

	if (p->value.n && schema_ways(s, &p->value, &ways))
		return -1;
	if (p->value.n && ways.n == 1 && schema_form(s, &ways.way[0], &h))
		return -1;
	if (p->value.n && ways.n != 1)
		h.types = T_ANY & ~(unsigned)T_STRING;
	if (h.listed && h.n_values) {
		struct bytes *word = arena_new(&s->m, h.n_values, sizeof *word, s->e);
		size_t n = 0;

		for (size_t i = 0; word && i < h.n_values; i++)
			if (cJSON_IsString(h.value[i]))
				word[n++] = bytes_of(h.value[i]->valuestring);
		if (!word || lang_words(&l, word, n, &s->m, s->e))
			return -1;
		h.types = n ? T_STRING : 0;
		h.is_text = true;
		h.text = l;
	}
	if (!(h.types & T_STRING)) {
		if (schema_rule(s, &p->value, &rule))
			return -1;
		*out = graph_call(s->g, rule, tag);
		return 0;
	}
	if (!h.is_text) {
		*out = graph_until(s->g, a->tokenizer, a->form->value_end, next);
		return 0;
	}
	if (lang_pattern_whole(&plain, "[^<]*", &s->m, s->e) ||
	    lang_and(&l, &h.text, &plain, &s->m, s->e))
		return -1;
	*out = graph_lang(s->g, &l, false, tag, &s->m);
	return 0;
}

static int tagged_all(struct tagged *t, uint32_t rule)
{
	struct all all = { 0 };
	struct schema *s = &t->s;
	uint32_t at = GRAPH_END;
	struct ways ways;
	struct form h;

	if (all_add(s, &all, s->root) || all_add(s, &all, object_schema()) ||
	    schema_ways(s, &all, &ways))
		return -1;
	if (ways.n != 1)
		return schema_refuse(s, s->root, NULL, "alternatives cannot be told by this model");
	if (schema_form(s, &ways.way[0], &h))
		return -1;
	if (h.listed || h.min_members > 1 || h.max_members < h.n_properties)
		return schema_refuse(s, s->root, NULL, "how many there are cannot be kept to here");
	for (size_t i = h.n_properties; i-- > 0;) {
		const struct property *p = &h.property[i];
		uint32_t one;

		if (p->never)
			continue;
		if (tagged_value(t, p, graph_marked(s->g, t->a->tokenizer, t->a->form->gap, at),
		                 &one))
			return -1;
		one = graph_marked(s->g, t->a->tokenizer, t->a->form->value, one);
		one = graph_marked(s->g, t->a->tokenizer, t->a->form->argument,
		                   graph_text(s->g, p->name, one));
		at = p->required ? one : graph_or(s->g, one, at);
	}
	graph_rule_set(s->g, rule, at);
	return s->g->failed ? -1 : 0;
}

/* ---- calls */

static int arguments(struct grammar *g, const struct grammar_ask *a, const cJSON *schema,
                     uint32_t *rule, struct err *e)
{
	struct tagged t = { .a = a };
	int rc;

	if (!schema || cJSON_IsNull(schema))
		schema = object_schema();
	if (!a->form->argument)
		return graph_schema(g, schema, object_schema(), rule, e);
	*rule = graph_rule(g);
	rc = schema_begin(&t.s, g, schema, e);
	return schema_end(&t.s, rc ? rc : tagged_all(&t, *rule));
}

/* A call of any of the tools. */
static int one_call(struct grammar *g, const struct grammar_ask *a, uint32_t next, uint32_t *out,
                    struct err *e)
{
	const struct call_form *f = a->form;
	uint32_t after = graph_marked(g, a->tokenizer, f->after, next);
	const cJSON *tool;
	int i = 0;

	*out = GRAPH_NONE;
	cJSON_ArrayForEach(tool, a->tools)
	{
		const cJSON *own = json_get(tool, "function"), *name = json_get(own, "name");
		uint32_t rule, way;

		if (arguments(g, a, json_get(own, "parameters"), &rule, e))
			return e->kind == ERR_INPUT ?
			               err_in(e, "tools[%d].function.parameters", i) :
			               -1;
		way = graph_marked(g, a->tokenizer, f->middle, graph_call(g, rule, after));
		*out = graph_or(g, graph_words(g, name->valuestring, way), *out);
		i++;
	}
	*out = graph_marked(g, a->tokenizer, f->before, *out);
	return g->failed ? -1 : 0;
}

int graph_calls(struct grammar *g, const struct grammar_ask *a, uint32_t rule, struct err *e)
{
	static const char ends[] = "</";
	const struct call_form *f = a->form;
	uint32_t close = graph_marked(g, a->tokenizer, f->close, GRAPH_END), more, call, way;

	/* what ends a call must not stand in a string; JSON can spell it <\/ */
	g->avoid = !f->argument ? ends : NULL;
	more = a->many && !f->single ? graph_loop(g) : close;
	call = graph_rule(g);
	if (one_call(g, a, GRAPH_END, &way, e))
		return -1;
	graph_rule_set(g, call, way);
	if (more != close)
		graph_loop_set(g, more,
		               graph_marked(g, a->tokenizer, f->between, graph_call(g, call, more)),
		               close);
	way = graph_marked(g, a->tokenizer, f->open, graph_call(g, call, more));
	if (a->call_begin)
		way = graph_without(g, a->tokenizer, a->call_begin, graph_or(g, way, GRAPH_END));
	graph_rule_set(g, rule, way);
	return g->failed ? -1 : 0;
}
