/* SPDX-License-Identifier: MIT */
/* chat_bars.c - which special tokens of a prompt a template has put there,
 * and which are only text that somebody wrote.
 *
 * Where messages, tools or variables hold a special token's text, a mark (a
 * character that is nowhere else) is put inside it and the template rendered
 * again. If that text is the same but for the marks, they show the places.
 * If it is not, because the template looks into what it is given, the same
 * is tried for each role by itself; what cannot be told then is counted. */
#include <stdlib.h>
#include <string.h>

#include "text/chat.h"
#include "util/utf8.h"

enum { MARKS_FIRST = 0xFDD0, MARKS = 32, MARK_BYTES = 3 }; /* noncharacters */

/* Whose texts are marked. */
enum group { ALL, USER, TOOL, SYSTEM, ASSISTANT, TOOLS, OTHERS, GROUPS };
static const char *const roles[GROUPS] = {
	[USER] = "user", [TOOL] = "tool", [SYSTEM] = "system", [ASSISTANT] = "assistant"
};

struct marking {
	const struct chat *c;
	unsigned char mark[MARK_BYTES + 1];
	struct buf text;
	bool own; /* in what the model has said, its tags are what they seem */
	size_t n; /* marks put */
};

int bars_add(struct bars *b, size_t at, struct err *e)
{
	if (b->n == b->room) {
		size_t room = b->room ? 2 * b->room : 64;
		size_t *more = realloc(b->at, room * sizeof *more);

		if (!more)
			return err_memory(e, room * sizeof *more);
		b->at = more;
		b->room = room;
	}
	b->at[b->n++] = at;
	return 0;
}

/* ---- putting marks */

/* Where the next special token's text begins, at or after `from`; text.n:
 * nowhere. */
static size_t next_special(const struct marking *m, const struct added *set, struct bytes text,
                           size_t from)
{
	struct added_hit hit;

	for (; added_find(set, text, from, 0, true, &hit); from = hit.at + 1) {
		struct bytes own = { text.p + hit.at, hit.resume - hit.at };

		if (tokenizer_special(m->c->tokenizer, hit.id) && own.n > 1 &&
		    !(m->own && manner_has(m->c->manner, own)))
			return hit.at;
	}
	return text.n;
}

static int mark_string(struct marking *m, cJSON *v, struct err *e)
{
	const struct tokenizer *t = m->c->tokenizer;
	struct bytes text = bytes_of(v->valuestring);
	size_t from = 0, at = next_special(m, &t->added, text, 0);
	size_t normal = next_special(m, &t->added_normal, text, 0);

	buf_clear(&m->text);
	while (at < text.n || normal < text.n) {
		size_t first = at < normal ? at : normal;
		uint32_t cp;
		int len = utf8_decode(&cp, text.p + first, text.n - first);
		size_t next = first + (len > 0 ? (size_t)len : 1);

		buf_add(&m->text, text.p + from, next - from);
		buf_add(&m->text, m->mark, MARK_BYTES);
		m->n++;
		from = next;
		if (at < from)
			at = next_special(m, &t->added, text, from);
		if (normal < from)
			normal = next_special(m, &t->added_normal, text, from);
	}
	if (!from)
		return 0;
	buf_add(&m->text, text.p + from, text.n - from);
	if (buf_check(&m->text, e))
		return -1;
	return cJSON_SetValuestring(v, (char *)m->text.p) ? 0 : err_memory(e, m->text.n);
}

/* Trees are as deep as the JSON reader lets them be. */
static int mark_tree(struct marking *m, cJSON *v, struct err *e)
{
	if (cJSON_IsString(v) && mark_string(m, v, e))
		return -1;
	for (cJSON *c = v->child; c; c = c->next)
		if (mark_tree(m, c, e))
			return -1;
	return 0;
}

static enum group group_of(const cJSON *message)
{
	const cJSON *role = json_get(message, "role");

	for (int g = USER; g <= ASSISTANT; g++)
		if (cJSON_IsString(role) && !strcmp(role->valuestring, roles[g]))
			return (enum group)g;
	return OTHERS;
}

static int mark_vars(struct marking *m, const struct chat *c, cJSON *vars, enum group g,
                     struct err *e)
{
	for (cJSON *v = vars->child; v; v = v->next) {
		if (!strcmp(v->string, "messages")) {
			for (cJSON *i = v->child; i; i = i->next) {
				m->own = group_of(i) == ASSISTANT;
				if ((g == ALL || group_of(i) == g) && mark_tree(m, i, e))
					return -1;
			}
			m->own = false;
			continue;
		}
		if (json_get(c->special, v->string) ||
		    (g != ALL && g != (strcmp(v->string, "tools") ? OTHERS : TOOLS)))
			continue;
		if (mark_tree(m, v, e))
			return -1;
	}
	return 0;
}

static bool tree_has(const cJSON *v, const char *mark)
{
	if ((cJSON_IsString(v) && strstr(v->valuestring, mark)) ||
	    (v->string && strstr(v->string, mark)))
		return true;
	for (const cJSON *c = v->child; c; c = c->next)
		if (tree_has(c, mark))
			return true;
	return false;
}

/* A mark that is nowhere yet. */
static bool choose_mark(struct marking *m, const struct chat_template *t, const cJSON *vars)
{
	for (uint32_t i = 0; i < MARKS; i++) {
		utf8_encode(m->mark, MARKS_FIRST + i);
		if (!text_has(template_text(t), (char *)m->mark) &&
		    !tree_has(vars, (char *)m->mark))
			return true;
	}
	return false;
}

/* ---- reading them */

/* Places of the marks in `marked`, were these taken out; false: what is left
 * is not `text`. */
static int read_marks(const struct marking *m, struct bytes marked, struct bytes text,
                      struct bars *out, bool *same, struct err *e)
{
	size_t i = 0, at = 0, n_before = out->n;

	*same = false;
	while (i < marked.n) {
		if (marked.n - i >= MARK_BYTES && !memcmp(marked.p + i, m->mark, MARK_BYTES)) {
			if (bars_add(out, at, e))
				return -1;
			i += MARK_BYTES;
		} else if (at < text.n && marked.p[i] == text.p[at]) {
			i++;
			at++;
		} else {
			break;
		}
	}
	*same = i == marked.n && at == text.n;
	if (!*same)
		out->n = n_before;
	return 0;
}

/* Marks one group; *same: the places are known. */
static int try_group(const struct chat *c, const struct chat_template *t, const cJSON *vars,
                     const struct tm *now, struct bytes text, enum group g, struct marking *m,
                     struct bars *out, bool *same, struct err *e)
{
	cJSON *copy = cJSON_Duplicate(vars, true);
	struct buf marked = { 0 };
	struct err refused = { 0 };
	int rc = -1;

	*same = true;
	m->n = 0;
	if (!copy) {
		err_memory(e, sizeof *copy);
	} else if (mark_vars(m, c, copy, g, e) == 0) {
		rc = 0;
		if (m->n && template_render(t, copy, now, &marked, &refused)) {
			*same = false;
			if (refused.kind != ERR_INPUT) {
				*e = refused;
				rc = -1;
			}
		} else if (m->n) {
			rc = read_marks(m, buf_bytes(&marked), text, out, same, e);
		}
	}
	cJSON_Delete(copy);
	buf_release(&marked);
	return rc;
}

static int by_place(const void *a, const void *b)
{
	size_t x = *(const size_t *)a, y = *(const size_t *)b;

	return x < y ? -1 : x > y;
}

int chat_bars(const struct chat *c, const struct chat_template *t, const cJSON *vars,
              const struct tm *now, struct bytes text, struct bars *out, size_t *n_loose,
              struct err *e)
{
	struct marking m = { .c = c };
	bool same;
	int rc = 0;

	if (!choose_mark(&m, t, vars)) {
		*n_loose = 1; /* somebody has used all 32 of them */
		return 0;
	}
	rc = try_group(c, t, vars, now, text, ALL, &m, out, &same, e);
	for (int g = USER; !rc && !same && g < GROUPS; g++) {
		bool alone;

		rc = try_group(c, t, vars, now, text, (enum group)g, &m, out, &alone, e);
		if (!alone)
			*n_loose += m.n;
	}
	buf_release(&m.text);
	if (out->n)
		qsort(out->at, out->n, sizeof *out->at, by_place);
	return rc;
}
