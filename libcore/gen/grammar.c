/* SPDX-License-Identifier: MIT */
/* grammar.c - a request's grammar: what may come before, and what is asked
 *
 * Each kind of asking is a row; its maker gives the node at which what is
 * asked begins. */
#include "gen/graph.h"
#include "gen/schema.h"

#include <stdio.h>
#include <string.h>

/* ---- tags, and text up to one */

uint32_t graph_tag(struct grammar *g, const struct tokenizer *t, const char *tag, uint32_t next)
{
	int32_t id = t ? tokenizer_find(t, bytes_of(tag)) : -1;

	return id >= 0 && tokenizer_special(t, id) ? graph_token(g, id, next) :
	                                             graph_words(g, tag, next);
}

/* How much of the tag's beginning the text ends with, after `have` of it and
 * the byte c. */
static size_t ends_with(struct bytes tag, size_t have, unsigned char c)
{
	for (size_t n = have + 1; n; n--) {
		size_t from = have + 1 - n;

		if (tag.p[n - 1] == c && !memcmp(tag.p, tag.p + from, n - 1))
			return n;
	}
	return 0;
}

enum { TAG_MAX = 64 };

/* Text of which the tag is no part, with `out` at every place; and the tag,
 * with `next` behind it. */
static uint32_t text_up_to(struct grammar *g, struct bytes tag, uint32_t out, uint32_t next)
{
	uint32_t state[TAG_MAX] = { 0 };

	for (size_t i = 0; i < tag.n; i++)
		state[i] = graph_loop(g);
	for (size_t i = 0; i < tag.n; i++) {
		uint32_t way = graph_chars(g, 0x80, 0x10FFFF, state[0]);

		for (unsigned c = 0; c < 0x80; c++) {
			size_t n = ends_with(tag, i, (unsigned char)c);

			way = graph_or(g, graph_bytes(g, c, c, n == tag.n ? next : state[n]), way);
		}
		graph_loop_set(g, state[i], way, out);
	}
	return state[0];
}

uint32_t graph_until(struct grammar *g, const struct tokenizer *t, const char *text, uint32_t next)
{
	int32_t id = t ? tokenizer_find(t, bytes_of(text)) : -1;
	uint32_t way;

	if (id >= 0 && tokenizer_special(t, id)) {
		way = graph_loop(g);
		graph_loop_set(g, way, graph_chars(g, 0, 0x10FFFF, way), graph_token(g, id, next));
		return way;
	}
	return text_up_to(g, bytes_of(text), GRAPH_NONE, next);
}

uint32_t graph_without(struct grammar *g, const struct tokenizer *t, const char *text,
                       uint32_t next)
{
	int32_t id = t ? tokenizer_find(t, bytes_of(text)) : -1;
	uint32_t way;

	if (id >= 0 && tokenizer_special(t, id)) {
		way = graph_loop(g);
		graph_loop_set(g, way, graph_chars(g, 0, 0x10FFFF, way), next);
		return way;
	}
	return text_up_to(g, bytes_of(text), next, GRAPH_NONE);
}

uint32_t graph_marked(struct grammar *g, const struct tokenizer *t, const char *text, uint32_t next)
{
	struct bytes all = bytes_of(text ? text : "");

	while (all.n) {
		char tag[TAG_MAX];
		size_t from = all.n - 1;

		if (all.p[from] != 1) {
			next = graph_bytes(g, all.p[from], all.p[from], next);
			all.n--;
			continue;
		}
		while (all.p[from - 1] != 1)
			from--;
		snprintf(tag, sizeof tag, "%.*s", (int)(all.n - 1 - from),
		         (const char *)all.p + from);
		next = graph_tag(g, t, tag, next);
		all.n = from - 1;
	}
	return next;
}

static uint32_t newlines(struct grammar *g, uint32_t next)
{
	uint32_t one = graph_or(g, graph_bytes(g, '\n', '\n', next), next);

	return graph_or(g, graph_bytes(g, '\n', '\n', one), next);
}

/* Reasoning, where the answer is within it or may begin with it. */
static uint32_t reasoning(struct grammar *g, const struct grammar_ask *a, uint32_t next)
{
	uint32_t way;

	if (!a->think_end)
		return next;
	way = graph_until(g, a->tokenizer, a->think_end, newlines(g, next));
	if (a->thinking)
		return way;
	return a->think_begin ? graph_or(g, graph_tag(g, a->tokenizer, a->think_begin, way), next) :
	                        next;
}

/* ---- what is asked */

static int make_json(struct grammar *g, const struct grammar_ask *a, uint32_t rule, struct err *e)
{
	struct json_rules r = { 0 };

	(void)e;
	json_rules(g, &r);
	graph_rule_set(g, rule,
	               graph_call(g, a->kind == GRAMMAR_OBJECT ? r.object : r.value, GRAPH_END));
	return 0;
}

static int make_schema(struct grammar *g, const struct grammar_ask *a, uint32_t rule, struct err *e)
{
	uint32_t asked;

	if (graph_schema(g, a->schema, NULL, &asked, e))
		return -1;
	graph_rule_set(g, rule, graph_call(g, asked, GRAPH_END));
	return 0;
}

static int make_text(struct grammar *g, const struct grammar_ask *a, uint32_t rule, struct err *e)
{
	uint32_t asked;

	if (graph_gbnf(g, a->text, &asked, e))
		return -1;
	graph_rule_set(g, rule, graph_call(g, asked, GRAPH_END));
	return 0;
}

static const struct kind {
	int (*make)(struct grammar *g, const struct grammar_ask *a, uint32_t rule, struct err *e);
} kinds[] = {
	[GRAMMAR_OBJECT] = { make_json },   [GRAMMAR_VALUE] = { make_json },
	[GRAMMAR_SCHEMA] = { make_schema }, [GRAMMAR_TEXT] = { make_text },
	[GRAMMAR_CALLS] = { graph_calls },
};

int grammar_open(struct grammar **out, const struct grammar_ask *a, struct err *e)
{
	struct grammar *g = graph_open(e);
	uint32_t root, asked;

	if (!g)
		return -1;
	root = graph_rule(g);
	asked = graph_rule(g);
	if (kinds[a->kind].make(g, a, asked, e)) {
		grammar_release(g);
		return -1;
	}
	graph_rule_set(g, root, reasoning(g, a, graph_call(g, asked, GRAPH_END)));
	return graph_close(out, g, e);
}
