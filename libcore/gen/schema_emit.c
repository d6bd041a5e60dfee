/* SPDX-License-Identifier: MIT */
/* schema_emit.c - what values may be, as nodes of a grammar's graph
 *
 * Members come in the order in which the schemas name them, others after
 * them. How many there were is counted where it matters: a node for each
 * member and count. */
#include <string.h>

#include "gen/schema.h"

/* ---- lists of values */

static int emit_values(struct schema *s, const struct form *h, uint32_t *out)
{
	struct bytes *word = arena_new(&s->m, h->n_values + 1, sizeof *word, s->e);
	struct grammar *g = s->g;
	struct lang l;
	size_t n = 0;

	*out = GRAPH_NONE;
	if (!word)
		return -1;
	for (size_t i = 0; i < h->n_values; i++) {
		struct buf text = { 0 };
		int rc;

		if (cJSON_IsString(h->value[i])) {
			word[n++] = bytes_of(h->value[i]->valuestring);
			continue;
		}
		rc = json_write(&text, h->value[i], 0, false, s->e);
		if (rc == 0)
			*out = graph_or(g, graph_text(g, buf_bytes(&text), GRAPH_END), *out);
		buf_release(&text);
		if (rc)
			return -1;
	}
	if (!n)
		return 0;
	if (lang_words(&l, word, n, &s->m, s->e))
		return -1;
	*out = graph_or(
		g,
		graph_bytes(g, '"', '"',
	                    graph_lang(g, &l, true, graph_bytes(g, '"', '"', GRAPH_END), &s->m)),
		*out);
	return 0;
}

/* ---- numbers and strings */

static int emit_number(struct schema *s, const struct form *h, uint32_t *out)
{
	struct lang l;

	if (!h->low.set && !h->high.set && !h->multiple && !h->digits && !h->n_without &&
	    (h->types & T_WHOLE)) {
		*out = json_any_number(s->g, !(h->types & T_FRACTION), GRAPH_END);
		return 0;
	}
	if (number_lang(&l, h, &s->m, s->e))
		return -1;
	*out = graph_lang(s->g, &l, false, GRAPH_END, &s->m);
	return 0;
}

static uint32_t string_of(struct schema *s, const struct lang *l, uint32_t next)
{
	struct grammar *g = s->g;
	struct lang bad, kept = *l;

	if (g->avoid &&
	    (lang_pattern(&bad, bytes_of(g->avoid), &s->m, s->e) ||
	     lang_not(&bad, &bad, &s->m, s->e) || lang_and(&kept, l, &bad, &s->m, s->e))) {
		g->failed = true;
		return GRAPH_NONE;
	}
	l = &kept;
	return graph_bytes(g, '"', '"',
	                   graph_lang(g, l, true, graph_bytes(g, '"', '"', next), &s->m));
}

static uint32_t emit_string(struct schema *s, const struct form *h)
{
	return h->is_text ? string_of(s, &h->text, GRAPH_END) : json_any_string(s->g, GRAPH_END);
}

/* ---- objects */

struct members {
	struct schema *s;
	const struct form *h;
	size_t counts;       /* counted up to here */
	bool exact;          /* no more than that; else as many or more */
	uint32_t *at;        /* [counts + 1]: where so many members have been */
	uint32_t close, end; /* the bracket; with space before it */
};

/* A member whose name is `name` or one of `names`, and then `next`. */
static int member(struct members *m, bool first, const struct bytes *name, const struct lang *names,
                  const struct all *value, uint32_t next, uint32_t *out)
{
	struct grammar *g = m->s->g;
	struct buf text = { 0 };
	uint32_t rule, way;

	*out = GRAPH_NONE;
	if (next == GRAPH_NONE)
		return 0;
	if (schema_rule(m->s, value, &rule))
		return -1;
	way = graph_bytes(g, ':', ':', json_space(g, graph_call(g, rule, next)));
	if (name) {
		json_add_string(&text, *name);
		way = graph_text(g, buf_bytes(&text), way);
		buf_release(&text);
	} else {
		way = names ? string_of(m->s, names, way) : json_any_string(g, way);
	}
	*out = first ? way : graph_bytes(g, ',', ',', json_space(g, way));
	return g->failed ? -1 : 0;
}

static uint32_t may_close(const struct members *m, size_t count)
{
	if (count < m->h->min_members)
		return GRAPH_NONE;
	return count ? m->end : m->close;
}

/* Where `count` have been and one of the others comes: on at `next`. */
static int others(struct members *m, size_t count, uint32_t next, uint32_t *out)
{
	const struct form *h = m->h;

	*out = GRAPH_NONE;
	for (size_t i = 0; i < h->n_other; i++) {
		uint32_t one;

		if (member(m, !count, NULL, h->any_name ? NULL : &h->other[i].names,
		           &h->other[i].value, next, &one))
			return -1;
		*out = graph_or(m->s->g, *out, one);
	}
	return 0;
}

/* After all that are named: the others, as many as may be. */
static int emit_others(struct members *m)
{
	struct grammar *g = m->s->g;
	uint32_t way, next = GRAPH_NONE;

	for (size_t c = m->counts + 1; c-- > 0;) {
		if (c == m->counts && !m->exact) {
			next = graph_loop(g);
			if (others(m, c, next, &way))
				return -1;
			graph_loop_set(g, next, way, may_close(m, c));
			m->at[c] = next;
			continue;
		}
		if (others(m, c, c == m->counts ? GRAPH_NONE : m->at[c + 1], &way))
			return -1;
		m->at[c] = graph_or(g, way, may_close(m, c));
	}
	return 0;
}

/* One that is named, before what m->at has. */
static int emit_property(struct members *m, const struct property *p)
{
	for (size_t c = 0; c <= m->counts; c++) {
		uint32_t next = c < m->counts ? m->at[c + 1] :
		                m->exact      ? GRAPH_NONE :
		                                m->at[c],
			 way;

		if (p->never)
			return 0;
		if (member(m, !c, &p->name, NULL, &p->value, next, &way))
			return -1;
		m->at[c] = p->required ? way : graph_or(m->s->g, way, m->at[c]);
	}
	return 0;
}

static int emit_object(struct schema *s, const struct form *h, uint32_t *out)
{
	struct members m = { .s = s, .h = h, .exact = h->max_members != SIZE_MAX };
	struct grammar *g = s->g;

	*out = GRAPH_NONE;
	if (h->min_members > h->max_members)
		return 0;
	m.counts = m.exact ? h->max_members : h->min_members ? h->min_members : 1;
	if (m.counts > GRAMMAR_STATES / 8)
		return schema_refuse(s, h->all->of[0], NULL, "expected counts of members up to %d",
		                     GRAMMAR_STATES / 8);
	m.at = arena_new(&s->m, m.counts + 1, sizeof *m.at, s->e);
	if (!m.at)
		return -1;
	m.close = graph_bytes(g, '}', '}', GRAPH_END);
	m.end = json_space(g, m.close);
	if (emit_others(&m))
		return -1;
	for (size_t i = h->n_properties; i-- > 0;)
		if (emit_property(&m, &h->property[i]))
			return -1;
	*out = graph_bytes(g, '{', '{', json_space(g, m.at[0]));
	return 0;
}

/* ---- all types */

int schema_emit(struct schema *s, const struct form *h, uint32_t *out)
{
	static const struct {
		unsigned type;
		const char *text;
	} words[] = {
		{ T_NULL, "null" },
		{ T_TRUE, "true" },
		{ T_FALSE, "false" },
	};
	struct grammar *g = s->g;
	uint32_t way;

	if (h->listed)
		return emit_values(s, h, out);
	*out = GRAPH_NONE;
	for (size_t i = 0; i < 3; i++)
		if (h->types & words[i].type)
			*out = graph_or(g, *out, graph_words(g, words[i].text, GRAPH_END));
	if (h->types & T_NUMBER) {
		if (emit_number(s, h, &way))
			return -1;
		*out = graph_or(g, *out, way);
	}
	if (h->types & T_STRING)
		*out = graph_or(g, *out, emit_string(s, h));
	if (h->types & T_ARRAY) {
		if (emit_array(s, h, &way))
			return -1;
		*out = graph_or(g, *out, way);
	}
	if (h->types & T_OBJECT) {
		if (emit_object(s, h, &way))
			return -1;
		*out = graph_or(g, *out, way);
	}
	return g->failed ? -1 : 0;
}
