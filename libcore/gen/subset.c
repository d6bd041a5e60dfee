/* SPDX-License-Identifier: MIT */
/* subset.c - from an automaton with several ways at once to one with one:
 * its states are the subsets that can be reached together */
#include "gen/maker.h"

#include <stdlib.h>
#include <string.h>

enum { WORK = 8000000 };

struct subset {
	const struct nfa_node *node;
	size_t n_nodes;
	uint32_t *list; /* the sets among the nodes reached, ascending */
	size_t n;
	bool ends;
	uint8_t *seen;   /* [n_nodes] */
	uint32_t *stack; /* [2 * n_nodes] */
	size_t work;     /* done so far */
};

/* All that is reached from `from` without a character. */
static void reach(struct subset *s, uint32_t from, bool begin, bool finish)
{
	size_t n = 0;

	s->stack[n++] = from;
	while (n) {
		const struct nfa_node *k;
		uint32_t at = s->stack[--n];
		uint8_t bit = finish ? 2 : 1;

		s->work++;
		if (s->seen[at] & bit)
			continue;
		s->seen[at] |= bit;
		k = &s->node[at];
		s->ends |= finish && k->kind == NFA_END;
		if (k->kind == NFA_SPLIT || (k->kind == NFA_BEGIN && begin) ||
		    (k->kind == NFA_FINISH && finish))
			s->stack[n++] = k->a;
		if (k->kind == NFA_SPLIT)
			s->stack[n++] = k->b;
	}
}

/* The subset that was reached: which sets wait, and whether it may end. */
static void gather(struct subset *s)
{
	s->n = 0;
	s->work += s->n_nodes / 8;
	for (uint32_t i = 0; i < s->n_nodes; i++)
		if ((s->seen[i] & 1) && s->node[i].kind == NFA_SET)
			s->list[s->n++] = i;
	memset(s->seen, 0, s->n_nodes);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* Where the sets' ranges begin and just after they end, ascending, once. */
static size_t borders(uint32_t **out, size_t *room, const struct nfa_node *node,
                      const uint32_t *list, size_t n, struct err *e)
{
	size_t found = 0, k = 0;

	for (size_t i = 0; i < n; i++)
		found += 2 * node[list[i]].n_ranges;
	if (found > *room) {
		uint32_t *more = realloc(*out, found * sizeof *more);

		if (!more) {
			err_memory(e, found * sizeof *more);
			return SIZE_MAX;
		}
		*out = more;
		*room = found;
	}
	for (size_t i = 0, w = 0; i < n; i++)
		for (size_t r = 0; r < node[list[i]].n_ranges; r++) {
			(*out)[w++] = node[list[i]].range[r][0];
			(*out)[w++] = node[list[i]].range[r][1] + 1;
		}
	if (found)
		qsort(*out, found, sizeof **out, by_number);
	for (size_t i = 0; i < found; i++)
		if (!k || (*out)[i] != (*out)[k - 1])
			(*out)[k++] = (*out)[i];
	return k;
}

static bool has(const struct nfa_node *k, uint32_t c)
{
	for (size_t r = 0; r < k->n_ranges; r++)
		if (c >= k->range[r][0] && c <= k->range[r][1])
			return true;
	return false;
}

struct subsets {
	struct maker k;
	struct names names;
	const uint32_t *todo[LANG_STATES]; /* the lists of the states, each behind its length */
	bool ends[LANG_STATES];
	uint32_t *border;
	size_t border_room;
};

static int state_of(struct subsets *v, struct subset *s, uint32_t *out, struct err *e)
{
	uint32_t *name = malloc((s->n + 2) * sizeof *name);
	bool new;
	int rc;

	if (!name)
		return err_memory(e, (s->n + 2) * sizeof *name);
	name[0] = (uint32_t)s->n;
	name[1] = s->ends;
	if (s->n)
		memcpy(name + 2, s->list, s->n * sizeof *name);
	rc = maker_named(&v->names, &v->k, name, (s->n + 2) * sizeof *name, out, &new, e);
	if (rc == 0 && new) {
		uint32_t *keep = arena_new(v->k.m, s->n + 2, sizeof *keep, e);

		rc = keep ? 0 : -1;
		if (keep)
			memcpy(keep, name, (s->n + 2) * sizeof *name);
		v->todo[*out] = keep;
		v->ends[*out] = s->ends;
	}
	free(name);
	return rc;
}

static int expand(struct subsets *v, struct subset *s, uint32_t state, struct err *e)
{
	const uint32_t *list = v->todo[state] + 2;
	size_t n = v->todo[state][0], n_borders;

	n_borders = borders(&v->border, &v->border_room, s->node, list, n, e);
	if (n_borders == SIZE_MAX)
		return -1;
	for (size_t i = 0; i + 1 < n_borders; i++) {
		uint32_t c = v->border[i], to;
		bool any = false;

		s->ends = false;
		s->work += n;
		if (s->work > WORK)
			return err_set(e, ERR_INPUT,
			               "the strings: they take too long to tell apart");
		for (size_t k = 0; k < n; k++)
			if (has(&s->node[list[k]], c)) {
				reach(s, s->node[list[k]].a, false, false);
				reach(s, s->node[list[k]].a, false, true);
				any = true;
			}
		if (!any)
			continue;
		gather(s);
		if (state_of(v, s, &to, e) || maker_edge(&v->k, c, v->border[i + 1] - 1, to, e))
			return -1;
	}
	return maker_end(&v->k, state, v->ends[state], e);
}

int lang_of_nfa(struct lang *out, const struct nfa_node *node, size_t n, uint32_t begin,
                struct arena *m, struct err *e)
{
	struct subsets *v = calloc(1, sizeof *v);
	struct subset s = { .node = node, .n_nodes = n };
	uint32_t first;
	int rc = -1;

	*out = (struct lang){ NULL, 0 };
	s.list = malloc((n + 1) * sizeof *s.list);
	s.seen = calloc(n + 1, 1);
	s.stack = malloc((2 * n + 2) * sizeof *s.stack);
	if (!v || !s.list || !s.seen || !s.stack) {
		err_memory(e, n * 13 + sizeof *v);
		goto done;
	}
	v->k.m = v->names.m = m;
	if (map_init(&v->names.map, 64, e))
		goto done;
	reach(&s, begin, true, false);
	reach(&s, begin, true, true);
	gather(&s);
	rc = state_of(v, &s, &first, e);
	for (uint32_t i = 0; i < v->k.n && rc == 0; i++)
		rc = expand(v, &s, i, e);
	if (rc == 0)
		rc = maker_trim(out, &v->k, e);
	map_release(&v->names.map);
done:
	free(s.list);
	free(s.seen);
	free(s.stack);
	if (v) {
		free(v->border);
		free(v->k.edge);
	}
	free(v);
	return rc;
}
