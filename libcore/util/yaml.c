/* SPDX-License-Identifier: MIT */
/* yaml.c - libyaml's events to a tree, with ceilings */
#include "util/yaml.h"

#include <string.h>
#include <yaml.h>

struct building {
	struct arena *arena;
	struct yaml *root;
	struct yaml *open[YAML_DEPTH], **end[YAML_DEPTH]; /* what is not closed, and its last child */
	size_t depth;
	const char *key;           /* that waits for its value */
	size_t key_line;
};

static int bad(struct err *e, size_t line, const char *what)
{
	return err_set(e, ERR_INPUT, "%zu: %s", line, what);
}

static int twice(const struct building *b, const char *key, size_t line, struct err *e)
{
	for (const struct yaml *y = b->open[b->depth - 1]->child; y; y = y->next)
		if (strcmp(y->key, key) == 0)
			return err_set(e, ERR_INPUT, "%zu: %s: it stands at line %zu already", line, key,
			               y->line);
	return 0;
}

static bool wants_key(const struct building *b)
{
	return b->depth && b->open[b->depth - 1]->kind == YAML_MAP && !b->key;
}

/* Puts y where it belongs, and opens it where it holds others. */
static int place(struct building *b, struct yaml *y, struct err *e)
{
	if (wants_key(b))
		return bad(e, y->line, "expected a key, found a list or a map");
	if (b->key) {
		y->key = b->key;
		y->line = b->key_line;
		b->key = NULL;
	}
	if (b->depth) {
		*b->end[b->depth - 1] = y;
		b->end[b->depth - 1] = &y->next;
	} else {
		b->root = y;
	}
	if (y->kind == YAML_TEXT)
		return 0;
	if (b->depth == YAML_DEPTH)
		return err_set(e, ERR_INPUT, "%zu: over %d levels deep", y->line, YAML_DEPTH);
	b->open[b->depth] = y;
	b->end[b->depth++] = &y->child;
	return 0;
}

static int add_text(struct building *b, const yaml_event_t *v, size_t line, struct err *e)
{
	size_t n = v->data.scalar.length;
	struct yaml *y;
	char *text;

	if (memchr(v->data.scalar.value, 0, n))
		return bad(e, line, "a zero byte");
	text = arena_text(b->arena, v->data.scalar.value, n, e);
	if (!text)
		return -1;
	if (wants_key(b)) {
		if (twice(b, text, line, e))
			return -1;
		b->key = text;
		b->key_line = line;
		return 0;
	}
	y = arena_new(b->arena, 1, sizeof *y, e);
	if (!y)
		return -1;
	*y = (struct yaml){ .kind = YAML_TEXT, .line = line, .text = text,
		            .plain = v->data.scalar.style == YAML_PLAIN_SCALAR_STYLE };
	return place(b, y, e);
}

static int add(struct building *b, const yaml_event_t *v, struct err *e)
{
	size_t line = v->start_mark.line + 1;
	struct yaml *y;

	switch (v->type) {
	case YAML_ALIAS_EVENT:
		return bad(e, line, "aliases are not taken");
	case YAML_DOCUMENT_START_EVENT:
		return b->root ? bad(e, line, "a second document") : 0;
	case YAML_SCALAR_EVENT:
		if (v->data.scalar.anchor || v->data.scalar.tag)
			return bad(e, line, "anchors and tags are not taken");
		return add_text(b, v, line, e);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		/* both events have them in the same places */
		if (v->type == YAML_MAPPING_START_EVENT ?
		            v->data.mapping_start.anchor || v->data.mapping_start.tag :
		            v->data.sequence_start.anchor || v->data.sequence_start.tag)
			return bad(e, line, "anchors and tags are not taken");
		y = arena_new(b->arena, 1, sizeof *y, e);
		if (!y)
			return -1;
		y->kind = v->type == YAML_MAPPING_START_EVENT ? YAML_MAP : YAML_LIST;
		y->line = line;
		return place(b, y, e);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		b->depth--;
		return 0;
	default:
		return 0;
	}
}

int yaml_parse(struct yaml **out, struct arena *a, struct bytes text, struct err *e)
{
	struct building b = { .arena = a };
	yaml_parser_t p;
	yaml_event_t v;
	bool over = false;
	int rc = 0;

	if (text.n > YAML_BYTES)
		return err_set(e, ERR_INPUT, "1: at most %d bytes, found %zu", YAML_BYTES, text.n);
	if (!yaml_parser_initialize(&p))
		return err_memory(e, sizeof p);
	yaml_parser_set_input_string(&p, text.p ? text.p : (const unsigned char *)"", text.n);
	while (rc == 0 && !over) {
		if (!yaml_parser_parse(&p, &v)) {
			rc = err_set(e, ERR_INPUT, "%zu: %s", p.problem_mark.line + 1,
			             p.problem ? p.problem : "no YAML");
			break;
		}
		over = v.type == YAML_STREAM_END_EVENT;
		rc = add(&b, &v, e);
		yaml_event_delete(&v);
	}
	yaml_parser_delete(&p);
	if (rc)
		return -1;
	if (!b.root) {
		b.root = arena_new(a, 1, sizeof *b.root, e);
		if (!b.root)
			return -1;
		*b.root = (struct yaml){ .kind = YAML_MAP, .line = 1 };
	}
	*out = b.root;
	return 0;
}

const char *yaml_kind(const struct yaml *y)
{
	return y->kind == YAML_LIST ? "a list" : y->kind == YAML_MAP ? "a map" : y->text;
}
