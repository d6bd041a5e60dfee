/* SPDX-License-Identifier: MIT */
/* graph.c - building a grammar's graph, and what must hold before it is used
 *
 * Every node that is kept leads to the end of its rule, so that a text that
 * was taken so far can always become a whole one; and no rule begins with
 * itself, so that reading a byte ends. */
#include "gen/graph.h"

#include <stdlib.h>
#include <string.h>

#include "util/utf8.h"

/* ---- nodes */

static uint32_t fail(struct grammar *g, enum err_kind kind, const char *why)
{
	if (!g->failed && kind == ERR_MACHINE)
		err_memory(g->err, g->room * sizeof *g->node);
	else if (!g->failed)
		err_set(g->err, kind, "%s", why);
	g->failed = true;
	return GRAPH_NONE;
}

static uint32_t add(struct grammar *g, struct node node)
{
	if (g->failed)
		return GRAPH_NONE;
	if (g->n >= GRAMMAR_STATES)
		return fail(g, ERR_INPUT,
		            "the grammar: expected at most 1000000 states, found more");
	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 256;
		struct node *more = realloc(g->node, room * sizeof *more);

		if (!more)
			return fail(g, ERR_MACHINE, NULL);
		g->node = more;
		g->room = room;
	}
	g->node[g->n] = node;
	return (uint32_t)g->n++;
}

struct grammar *graph_open(struct err *e)
{
	static atomic_ullong numbers;
	struct grammar *g = calloc(1, sizeof *g);

	if (!g) {
		err_memory(e, sizeof *g);
		return NULL;
	}
	g->err = e;
	g->number = atomic_fetch_add(&numbers, 1) + 1;
	atomic_init(&g->n_holders, 1);
	add(g, (struct node){ NODE_DEAD, 0, 0, 0, 0 });
	add(g, (struct node){ NODE_END, 0, 0, 0, 0 });
	return g;
}

struct grammar *grammar_hold(struct grammar *g)
{
	if (g)
		atomic_fetch_add(&g->n_holders, 1);
	return g;
}

void grammar_release(struct grammar *g)
{
	if (!g || atomic_fetch_sub(&g->n_holders, 1) > 1)
		return;
	free(g->node);
	free(g->rule);
	free(g);
}

uint64_t grammar_number(const struct grammar *g)
{
	return g->number;
}

size_t grammar_bytes(const struct grammar *g)
{
	return sizeof *g + g->room * sizeof *g->node + g->rule_room * sizeof *g->rule;
}

size_t grammar_states(const struct grammar *g)
{
	return g->n;
}

uint32_t graph_rule(struct grammar *g)
{
	if (g->n_rules == g->rule_room) {
		size_t room = g->rule_room ? 2 * g->rule_room : 32;
		uint32_t *more = realloc(g->rule, room * sizeof *more);

		if (!more)
			return fail(g, ERR_MACHINE, NULL);
		g->rule = more;
		g->rule_room = room;
	}
	g->rule[g->n_rules] = GRAPH_NONE;
	return (uint32_t)g->n_rules++;
}

void graph_rule_set(struct grammar *g, uint32_t rule, uint32_t begin)
{
	if (!g->failed)
		g->rule[rule] = begin;
}

uint32_t graph_bytes(struct grammar *g, unsigned lo, unsigned hi, uint32_t next)
{
	if (next == GRAPH_NONE)
		return GRAPH_NONE;
	return add(g, (struct node){ NODE_BYTES, (uint8_t)lo, (uint8_t)hi, next, 0 });
}

uint32_t graph_call(struct grammar *g, uint32_t rule, uint32_t next)
{
	if (next == GRAPH_NONE)
		return GRAPH_NONE;
	return add(g, (struct node){ NODE_CALL, 0, 0, rule, next });
}

uint32_t graph_or(struct grammar *g, uint32_t a, uint32_t b)
{
	if (a == GRAPH_NONE || b == GRAPH_NONE || a == b)
		return a == GRAPH_NONE ? b : a;
	return add(g, (struct node){ NODE_SPLIT, 0, 0, a, b });
}

uint32_t graph_loop(struct grammar *g)
{
	return add(g, (struct node){ NODE_SPLIT, 0, 0, GRAPH_NONE, GRAPH_NONE });
}

void graph_loop_set(struct grammar *g, uint32_t loop, uint32_t a, uint32_t b)
{
	if (g->failed)
		return;
	g->node[loop].a = a;
	g->node[loop].b = b;
}

uint32_t graph_text(struct grammar *g, struct bytes text, uint32_t next)
{
	for (size_t i = text.n; i-- > 0;)
		next = graph_bytes(g, text.p[i], text.p[i], next);
	return next;
}

uint32_t graph_words(struct grammar *g, const char *text, uint32_t next)
{
	return graph_text(g, bytes_of(text), next);
}

void graph_spell_token(unsigned char out[TOKEN_SPELLED], int32_t id)
{
	out[0] = TOKEN_MARK;
	for (int i = 0; i < TOKEN_SPELLED - 1; i++)
		out[1 + i] = (unsigned char)((uint32_t)id >> (24 - 8 * i));
}

uint32_t graph_token(struct grammar *g, int32_t id, uint32_t next)
{
	unsigned char spelled[TOKEN_SPELLED];

	graph_spell_token(spelled, id);
	return graph_text(g, (struct bytes){ spelled, sizeof spelled }, next);
}

/* ---- characters: a range of code points as ranges of bytes */

/* Characters of one length, from lo to hi, whose bytes are a[n] to z[n]. */
static uint32_t span(struct grammar *g, const unsigned char *a, const unsigned char *z, int n,
                     uint32_t next)
{
	static const unsigned char least[4] = { 0x80, 0x80, 0x80, 0x80 },
				   most[4] = { 0xBF, 0xBF, 0xBF, 0xBF };
	uint32_t way = GRAPH_NONE, rest;
	unsigned lo = a[0], hi = z[0];

	if (n == 1)
		return graph_bytes(g, lo, hi, next);
	if (lo == hi)
		return graph_bytes(g, lo, lo, span(g, a + 1, z + 1, n - 1, next));
	if (memcmp(a + 1, least, (size_t)n - 1) != 0) {
		way = graph_bytes(g, lo, lo, span(g, a + 1, most, n - 1, next));
		lo++;
	}
	if (memcmp(z + 1, most, (size_t)n - 1) != 0) {
		way = graph_or(g, graph_bytes(g, hi, hi, span(g, least, z + 1, n - 1, next)), way);
		hi--;
	}
	if (lo > hi)
		return way;
	rest = next;
	for (int i = 1; i < n; i++)
		rest = graph_bytes(g, 0x80, 0xBF, rest);
	return graph_or(g, graph_bytes(g, lo, hi, rest), way);
}

uint32_t graph_chars(struct grammar *g, uint32_t lo, uint32_t hi, uint32_t next)
{
	static const struct {
		uint32_t lo, hi;
	} part[] = {
		{ 0, 0x7F },        { 0x80, 0x7FF },       { 0x800, 0xD7FF },
		{ 0xE000, 0xFFFF }, { 0x10000, 0x10FFFF },
	};
	uint32_t way = GRAPH_NONE;

	for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
		uint32_t from = lo > part[i].lo ? lo : part[i].lo,
			 to = hi < part[i].hi ? hi : part[i].hi;
		unsigned char a[4], z[4];
		int n;

		if (from > to)
			continue;
		n = utf8_encode(a, from);
		utf8_encode(z, to);
		way = graph_or(g, span(g, a, z, n, next), way);
	}
	return way;
}

/* ---- what holds for every node: found from the ends backwards */

struct marks {
	const struct grammar *g;
	bool bytes; /* a way through text counts, else only the empty one */
	uint8_t *node, *rule;
	uint32_t *first, *before; /* predecessors of n: before[first[n] .. first[n + 1]) */
	uint32_t *todo;
	size_t n_todo;
};

/* Whom a node's mark may give a mark to; a call is told by its rule too. */
static void count_edges(struct marks *m, uint32_t *at, bool fill)
{
	const struct grammar *g = m->g;

	for (uint32_t i = 0; i < g->n; i++) {
		const struct node *k = &g->node[i];
		uint32_t to[2] = { k->a, k->b };

		if (k->kind == NODE_CALL)
			to[0] = g->rule[k->a];
		for (int w = 0; w < 2; w++) {
			if (k->kind < NODE_BYTES || (k->kind == NODE_BYTES && (w || !m->bytes)))
				continue;
			if (fill)
				m->before[at[to[w]]++] = i;
			else
				at[to[w] + 1]++;
		}
	}
}

static bool holds(const struct marks *m, const struct node *k)
{
	switch (k->kind) {
	case NODE_END:
		return true;
	case NODE_BYTES:
		return m->bytes && m->node[k->a];
	case NODE_SPLIT:
		return m->node[k->a] || m->node[k->b];
	case NODE_CALL:
		return m->node[m->g->rule[k->a]] && m->node[k->b];
	default:
		return false;
	}
}

/* Marks the nodes from which the end can be reached. */
static int mark(uint8_t *out, const struct grammar *g, bool bytes, struct err *e)
{
	struct marks m = { .g = g, .bytes = bytes, .node = out };
	uint32_t *at = calloc(g->n + 2, sizeof *at);
	int rc = -1;

	m.first = calloc(g->n + 2, sizeof *m.first);
	m.before = malloc((2 * g->n + 1) * sizeof *m.before);
	m.todo = malloc((g->n + 1) * sizeof *m.todo);
	if (!at || !m.first || !m.before || !m.todo) {
		err_memory(e, g->n * 20);
		goto done;
	}
	count_edges(&m, m.first, false);
	for (size_t i = 1; i <= g->n; i++)
		m.first[i] += m.first[i - 1];
	memcpy(at, m.first, (g->n + 1) * sizeof *at);
	count_edges(&m, at, true);
	out[GRAPH_END] = 1;
	m.todo[m.n_todo++] = GRAPH_END;
	while (m.n_todo) {
		uint32_t k = m.todo[--m.n_todo];

		for (uint32_t i = m.first[k]; i < m.first[k + 1]; i++) {
			uint32_t b = m.before[i];

			if (out[b] || !holds(&m, &g->node[b]))
				continue;
			out[b] = 1;
			m.todo[m.n_todo++] = b;
		}
	}
	rc = 0;
done:
	free(at);
	free(m.first);
	free(m.before);
	free(m.todo);
	return rc;
}

/* ---- left recursion: does a rule come back to its own beginning unread?
 *
 * A call that leaves something to do after it must not be part of a circle
 * of nodes that read nothing: what is left to do would grow without end.
 * Tarjan, 1972: such circles lie within one strong component. */

struct visit {
	const struct grammar *g;
	const uint8_t *empty;  /* nodes from which nothing needs to be read */
	uint32_t *order, *low; /* [n]; order 0: not seen; low UINT32_MAX: component known */
	uint32_t *way;         /* [2 * n]: nodes, each with how much of it is done */
	uint32_t *open;        /* [n]: nodes whose component is not known yet */
	size_t n_way, n_open;
	uint32_t clock;
};

/* The next node that is reached without reading; GRAPH_NONE: no more. */
static uint32_t onward(const struct visit *v, const struct node *k, uint32_t turn)
{
	if (k->kind == NODE_SPLIT && turn < 2)
		return turn ? k->b : k->a;
	if (k->kind == NODE_CALL && turn == 0)
		return v->g->rule[k->a];
	if (k->kind == NODE_CALL && turn == 1 && v->empty[v->g->rule[k->a]])
		return k->b;
	return GRAPH_NONE;
}

static void enter(struct visit *v, uint32_t node)
{
	v->way[v->n_way++] = node;
	v->way[v->n_way++] = 0;
	v->open[v->n_open++] = node;
	v->order[node] = v->low[node] = ++v->clock;
}

/* The component that begins at `node` is known. 1 when a call that leaves
 * something to do lies in it together with what it calls. */
static int component(struct visit *v, uint32_t node)
{
	size_t from = v->n_open;
	int bad = 0;

	while (v->open[--from] != node)
		;
	for (size_t i = from; i < v->n_open; i++)
		v->low[v->open[i]] = v->order[node];
	for (size_t i = from; i < v->n_open; i++) {
		const struct node *k = &v->g->node[v->open[i]];
		uint32_t to = k->kind == NODE_CALL ? v->g->rule[k->a] : GRAPH_NONE;

		bad |= to != GRAPH_NONE && k->b != GRAPH_END && v->low[to] == v->order[node];
	}
	for (size_t i = from; i < v->n_open; i++)
		v->low[v->open[i]] = UINT32_MAX;
	v->n_open = from;
	return bad;
}

static int circles(struct visit *v, uint32_t from)
{
	int bad = 0;

	if (v->order[from])
		return 0;
	enter(v, from);
	while (v->n_way && !bad) {
		uint32_t turn = v->way[v->n_way - 1]++, at = v->way[v->n_way - 2];
		uint32_t to = onward(v, &v->g->node[at], turn);

		if (to != GRAPH_NONE && !v->order[to])
			enter(v, to);
		else if (to != GRAPH_NONE && v->low[to] != UINT32_MAX && v->order[to] < v->low[at])
			v->low[at] = v->order[to];
		if (turn < 2)
			continue;
		v->n_way -= 2;
		if (v->n_way && v->low[at] < v->low[v->way[v->n_way - 2]])
			v->low[v->way[v->n_way - 2]] = v->low[at];
		if (v->low[at] == v->order[at])
			bad = component(v, at);
	}
	return bad;
}

static int check_recursion(const struct grammar *g, uint8_t *empty, struct err *e)
{
	struct visit v = { .g = g, .empty = empty };
	int rc = 0;

	v.order = calloc(g->n, sizeof *v.order);
	v.low = calloc(g->n, sizeof *v.low);
	v.way = malloc((g->n + 1) * 2 * sizeof *v.way);
	v.open = malloc((g->n + 1) * sizeof *v.open);
	if (!v.order || !v.low || !v.way || !v.open)
		rc = err_memory(e, g->n * 20);
	for (uint32_t i = 0; i < g->n_rules && rc == 0; i++)
		if (circles(&v, g->rule[i]))
			rc = err_set(e, ERR_INPUT,
			             "the grammar: a rule begins with itself (left recursion)");
	free(v.order);
	free(v.low);
	free(v.way);
	free(v.open);
	return rc;
}

static int settle(struct grammar *g, struct err *e)
{
	uint8_t *ends = calloc(g->n, 1), *empty = calloc(g->n, 1);
	int rc = -1;

	if (!ends || !empty) {
		err_memory(e, 2 * g->n);
		goto done;
	}
	if (mark(ends, g, true, e))
		goto done;
	if (!ends[g->rule[0]]) {
		err_set(e, ERR_INPUT, "the grammar: no text at all would do");
		goto done;
	}
	for (size_t i = 0; i < g->n; i++)
		if (!ends[i])
			g->node[i] = (struct node){ NODE_DEAD, 0, 0, 0, 0 };
	rc = mark(empty, g, false, e) ? -1 : check_recursion(g, empty, e);
done:
	free(ends);
	free(empty);
	return rc;
}

int graph_close(struct grammar **out, struct grammar *g, struct err *e)
{
	if (!g)
		return -1;
	if (g->failed || settle(g, e)) {
		grammar_release(g);
		return -1;
	}
	g->err = NULL;
	*out = g;
	return 0;
}
