/* SPDX-License-Identifier: MIT */
/* jinja_tags.c - tokens to the tree of statements: {% ... %} */
#include <stdlib.h>
#include <string.h>

#include "text/jinja.h"
#include "util/utf8.h"

/* One tag with its body; NULL: failed. `pos` is the tag's. */
typedef struct node *tag_fn(struct parse *p, size_t pos);

static struct node *body(struct parse *p, const char *const *ends);

static int want_name(struct parse *p, const char *name)
{
	if (jinja_take_name(p, name))
		return 0;
	return jinja_fail(p, p->at->pos, "expected \"%s\"", name);
}

static int end_tag(struct parse *p)
{
	if (p->at->kind != T_TAG_END)
		return jinja_fail(p, p->at->pos, "expected %%}");
	p->at++;
	return 0;
}

/* The body up to one of the tags of `ends`, whose name is left to be read:
 * the first is what must come in the end. A body may be empty: 0 or -1. */
static int block(struct parse *p, struct node **out, const char *const *ends)
{
	struct node *b;

	if (end_tag(p) || jinja_enter(p))
		return -1;
	b = body(p, ends);
	p->depth--;
	*out = b && b->kind == N_CAPTURED ? NULL : b;
	return b ? 0 : -1;
}

/* ... and the tag that ends it. */
static int whole_block(struct parse *p, struct node **out, const char *end)
{
	const char *const ends[] = { end, NULL };

	return block(p, out, ends) || want_name(p, end) || end_tag(p) ? -1 : 0;
}

/* ---- targets of for, set and with */

struct node *jinja_target(struct parse *p, bool space)
{
	size_t pos = p->at->pos;
	struct node *n;

	if (jinja_take_op(p, '(')) {
		n = jinja_enter(p) ? NULL : jinja_tuple(p, TUPLE_TARGETS);
		p->depth--;
		return !n || jinja_want_op(p, ')') ? NULL : n;
	}
	if (p->at->kind != T_NAME) {
		jinja_fail(p, pos, "expected a name to assign to");
		return NULL;
	}
	n = jinja_node(p, N_NAME, pos);
	if (!n || (n->symbol = jinja_symbol(p, p->at->text)) < 0)
		return NULL;
	n->v = value_text(p->at->text);
	p->at++;
	if (space && jinja_is_op(p, '.') && p->at[1].kind == T_NAME) {
		struct node *attr = jinja_node(p, N_ATTR, pos);

		if (!attr)
			return NULL;
		attr->a = n;
		attr->v = value_text(p->at[1].text);
		p->at += 2;
		n = attr;
	}
	return n;
}

/* ---- the tags */

static struct node *tag_if(struct parse *p, size_t pos)
{
	static const char *const ends[] = { "endif", "elif", "else", NULL };
	struct node *first = NULL, **at = &first;

	for (;;) {
		struct node *n = *at = jinja_node(p, N_IF, pos);

		if (!n || !(n->a = jinja_tuple(p, TUPLE_PLAIN)) || block(p, &n->b, ends))
			return NULL;
		pos = p->at->pos;
		at = &n->c;
		if (jinja_take_name(p, "elif"))
			continue;
		if (jinja_take_name(p, "else"))
			return whole_block(p, &n->c, "endif") ? NULL : first;
		return want_name(p, "endif") || end_tag(p) ? NULL : first;
	}
}

static struct node *tag_for(struct parse *p, size_t pos)
{
	static const char *const ends[] = { "endfor", "else", NULL };
	struct node *n = jinja_node(p, N_FOR, pos);

	if (!n || !(n->a = jinja_tuple(p, TUPLE_TARGETS)) || want_name(p, "in") ||
	    !(n->b = jinja_tuple(p, TUPLE_PLAIN)))
		return NULL;
	if (jinja_take_name(p, "if") && !(n->c = jinja_expr(p)))
		return NULL;
	n->op = jinja_take_name(p, "recursive");
	p->loops++;
	if (block(p, &n->d, ends))
		return NULL;
	p->loops--;
	if (jinja_take_name(p, "else"))
		return whole_block(p, &n->f, "endfor") ? NULL : n;
	return want_name(p, "endfor") || end_tag(p) ? NULL : n;
}

static struct node *tag_set(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_SET, pos), **end;
	struct node *first = n ? jinja_target(p, true) : NULL;

	if (!first)
		return NULL;
	n->a = first;
	if (jinja_is_op(p, ',')) {
		n->a = jinja_node(p, N_LIST, pos);
		if (!n->a)
			return NULL;
		n->a->a = first;
		for (end = &first->next; jinja_take_op(p, ',') && p->at->kind == T_NAME;
		     end = &(*end)->next)
			if (!(*end = jinja_target(p, true)))
				return NULL;
	}
	if (jinja_take_op(p, '='))
		return (n->b = jinja_tuple(p, 0)) && end_tag(p) == 0 ? n : NULL;
	n->kind = N_SET_BLOCK;
	if (jinja_is_op(p, '|')) {
		struct node *captured = jinja_node(p, N_CAPTURED, p->at->pos);

		if (!captured || !(n->c = jinja_filters(p, captured, false)))
			return NULL;
	}
	return whole_block(p, &n->b, "endset") ? NULL : n;
}

/* "(a, b=1)" as N_PARAMs. */
static int params(struct parse *p, struct node **end)
{
	struct node *first = NULL;

	if (jinja_want_op(p, '('))
		return -1;
	for (; !jinja_take_op(p, ')'); end = &(*end)->next) {
		struct node *n;

		if (first && jinja_want_op(p, ','))
			return -1;
		if (jinja_take_op(p, ')'))
			return 0;
		n = *end = jinja_target(p, false);
		if (!n || n->kind != N_NAME)
			return n ? jinja_fail(p, n->pos, "expected a name") : -1;
		n->kind = N_PARAM;
		if (jinja_take_op(p, '=') && !(n->a = jinja_expr(p)))
			return -1;
		if (!n->a && first && first->a)
			return jinja_fail(p, n->pos, "a parameter without default after one with");
		first = n;
	}
	return 0;
}

static int macro_body(struct parse *p, struct node *n, const char *end)
{
	unsigned loops = p->loops;
	int rc;

	p->loops = 0;
	rc = whole_block(p, &n->b, end);
	p->loops = loops;
	return rc;
}

static struct node *tag_macro(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_MACRO, pos), *name = n ? jinja_target(p, false) : NULL;

	if (!name)
		return NULL;
	if (name->kind != N_NAME) {
		jinja_fail(p, name->pos, "expected the macro's name");
		return NULL;
	}
	n->symbol = name->symbol;
	n->v = name->v;
	return params(p, &n->a) || macro_body(p, n, "endmacro") ? NULL : n;
}

static struct node *tag_call(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_CALL_BLOCK, pos);

	if (!n || !(n->b = jinja_node(p, N_MACRO, pos)))
		return NULL;
	n->b->v = value_text(bytes_of("caller"));
	if (jinja_is_op(p, '(') && params(p, &n->b->a))
		return NULL;
	n->a = jinja_primary(p);
	if (n->a && n->a->kind != N_CALL) {
		jinja_fail(p, n->a->pos, "expected a call");
		return NULL;
	}
	return !n->a || macro_body(p, n->b, "endcall") ? NULL : n;
}

static struct node *tag_filter(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_FILTER_BLOCK, pos);
	struct node *captured = n ? jinja_node(p, N_CAPTURED, pos) : NULL;

	if (!captured || !(n->c = jinja_filters(p, captured, true)))
		return NULL;
	return whole_block(p, &n->b, "endfilter") ? NULL : n;
}

static struct node *tag_with(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_WITH, pos), **end;

	if (!n)
		return NULL;
	for (end = &n->a; p->at->kind != T_TAG_END; end = &(*end)->next) {
		if (n->a && jinja_want_op(p, ','))
			return NULL;
		*end = jinja_node(p, N_SET, p->at->pos);
		if (!*end || !((*end)->a = jinja_target(p, false)) || jinja_want_op(p, '=') ||
		    !((*end)->b = jinja_expr(p)))
			return NULL;
	}
	return whole_block(p, &n->b, "endwith") ? NULL : n;
}

/* Hugging Face's mark of what the model made: its body is all it is here. */
static struct node *tag_generation(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_SCOPE, pos);

	return !n || whole_block(p, &n->b, "endgeneration") ? NULL : n;
}

static struct node *tag_do(struct parse *p, size_t pos)
{
	struct node *n = jinja_node(p, N_DO, pos);

	return n && (n->a = jinja_tuple(p, 0)) && end_tag(p) == 0 ? n : NULL;
}

static struct node *leave_loop(struct parse *p, size_t pos, enum node_kind kind)
{
	if (!p->loops) {
		jinja_fail(p, pos, "break or continue outside of a loop");
		return NULL;
	}
	return end_tag(p) ? NULL : jinja_node(p, kind, pos);
}

static struct node *tag_break(struct parse *p, size_t pos)
{
	return leave_loop(p, pos, N_BREAK);
}

static struct node *tag_continue(struct parse *p, size_t pos)
{
	return leave_loop(p, pos, N_CONTINUE);
}

static const struct tag {
	const char *name;
	tag_fn *parse;
} tags[] = {
	{ "if", tag_if },
	{ "for", tag_for },
	{ "set", tag_set },
	{ "macro", tag_macro },
	{ "generation", tag_generation },
	{ "break", tag_break },
	{ "continue", tag_continue },
	{ "call", tag_call },
	{ "filter", tag_filter },
	{ "with", tag_with },
	{ "do", tag_do },
};

static struct node *statement(struct parse *p)
{
	const struct token *t = p->at++;

	for (size_t i = 0; i < sizeof tags / sizeof *tags && t->kind == T_NAME; i++)
		if (bytes_is(t->text, tags[i].name))
			return tags[i].parse(p, t->pos);
	jinja_fail(p, t->pos, "unknown tag \"%.*s\"", (int)(t->text.n < 40 ? t->text.n : 40),
	           t->text.n ? (const char *)t->text.p : "");
	return NULL;
}

static bool is_end(const struct parse *p, const char *const *ends)
{
	for (; ends && *ends; ends++)
		if (p->at->kind == T_TAG && p->at[1].kind == T_NAME &&
		    bytes_is(p->at[1].text, *ends))
			return true;
	return false;
}

static struct node *piece(struct parse *p)
{
	const struct token *t = p->at++;
	struct node *n;

	if (t->kind == T_TAG)
		return statement(p);
	n = jinja_node(p, t->kind == T_DATA ? N_DATA : N_OUTPUT, t->pos);
	if (!n)
		return NULL;
	if (t->kind == T_DATA) {
		n->v = value_text(t->text);
		return n;
	}
	n->a = jinja_tuple(p, 0);
	if (n->a && p->at->kind != T_VAR_END) {
		jinja_fail(p, p->at->pos, "expected }}");
		return NULL;
	}
	p->at++;
	return n->a ? n : NULL;
}

/* Up to one of the tags (its name is next), or without `ends` up to the end.
 * An empty one is a lone N_CAPTURED. */
static struct node *body(struct parse *p, const char *const *ends)
{
	struct node *first = NULL, **end = &first;

	while (!is_end(p, ends)) {
		if (p->at->kind == T_END) {
			if (!ends)
				break;
			jinja_fail(p, p->at->pos, "expected \"%s\", found the end", *ends);
			return NULL;
		}
		*end = piece(p);
		if (!*end)
			return NULL;
		end = &(*end)->next;
	}
	p->at += ends != NULL; /* {% */
	return first ? first : jinja_node(p, N_CAPTURED, p->at->pos);
}

struct node *jinja_body(struct parse *p)
{
	return body(p, NULL);
}
