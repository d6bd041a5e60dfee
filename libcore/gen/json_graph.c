/* SPDX-License-Identifier: MIT */
/* json_graph.c - JSON's own grammar (RFC 8259), as a graph
 *
 * Narrower than the RFC where a model could run away or a reader choke:
 * bounded white space, at most 64 digits in a row, exponents below 100, no
 * \u0000 and no lone surrogates. */
#include "gen/graph.h"

enum { INDENT = 20, DIGITS = 64 };

uint32_t json_space(struct grammar *g, uint32_t next)
{
	uint32_t way = next;

	if (next == GRAPH_NONE)
		return next;
	for (int i = 0; i < INDENT; i++)
		way = graph_or(g, graph_bytes(g, ' ', ' ', way), next);
	return graph_or(
		g, next,
		graph_or(g, graph_bytes(g, ' ', ' ', next), graph_bytes(g, '\n', '\n', way)));
}

static uint32_t hex(struct grammar *g, uint32_t next)
{
	return graph_or(
		g, graph_bytes(g, '0', '9', next),
		graph_or(g, graph_bytes(g, 'a', 'f', next), graph_bytes(g, 'A', 'F', next)));
}

/* One of the hex digits 8 9 a b, or c d e f. */
static uint32_t hex_of(struct grammar *g, const char *digits, uint32_t next)
{
	uint32_t way = GRAPH_NONE;

	for (; *digits; digits++)
		way = graph_or(g,
		               graph_bytes(g, (unsigned char)*digits, (unsigned char)*digits, next),
		               way);
	return way;
}

/* After \u: four digits of no surrogate and not 0000, or two of a pair. */
static uint32_t unicode_escape(struct grammar *g, uint32_t next)
{
	uint32_t last = hex(g, next), two = hex(g, last), three = hex(g, two), way, zero;
	uint32_t low = graph_words(g, "\\u", hex_of(g, "dD", hex_of(g, "cdefCDEF", two)));

	zero = hex_of(g, "123456789abcdefABCDEF", next);
	zero = graph_or(g, hex_of(g, "123456789abcdefABCDEF", last),
	                graph_bytes(g, '0', '0', zero));
	zero = graph_or(g, hex_of(g, "123456789abcdefABCDEF", two), graph_bytes(g, '0', '0', zero));
	way = graph_or(g, hex_of(g, "123456789abcefABCEF", three), graph_bytes(g, '0', '0', zero));
	way = graph_or(g, way, hex_of(g, "dD", hex_of(g, "01234567", two)));
	return graph_or(g, way, hex_of(g, "dD", hex_of(g, "89abAB", hex(g, hex(g, low)))));
}

/* The characters that stand in a string as they are. */
static uint32_t plain(struct grammar *g, uint32_t lo, uint32_t hi, uint32_t next)
{
	static const struct {
		uint32_t lo, hi;
	} part[] = {
		{ 0x20, 0x21 },
		{ 0x23, 0x5B },
		{ 0x5D, 0x10FFFF },
	};
	uint32_t way = GRAPH_NONE;

	for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
		uint32_t from = lo > part[i].lo ? lo : part[i].lo,
			 to = hi < part[i].hi ? hi : part[i].hi;

		if (from <= to)
			way = graph_or(g, graph_chars(g, from, to, next), way);
	}
	return way;
}

/* What stands in a string as it is: `again` after most of it, `first` after
 * the first of two characters that must not follow each other, and the second
 * of them not where `barred`. */
static uint32_t plain_but(struct grammar *g, uint32_t again, uint32_t first, bool barred)
{
	unsigned a, b, lo, hi;
	uint32_t way;

	if (!g->avoid)
		return plain(g, 0, 0x10FFFF, again);
	a = (unsigned char)g->avoid[0];
	b = (unsigned char)g->avoid[1];
	lo = a < b ? a : b;
	hi = a < b ? b : a;
	way = graph_or(g, plain(g, 0, lo - 1, again), plain(g, hi + 1, 0x10FFFF, again));
	if (lo + 1 < hi)
		way = graph_or(g, plain(g, lo + 1, hi - 1, again), way);
	way = graph_or(g, plain(g, a, a, first), way);
	return barred || a == b ? way : graph_or(g, plain(g, b, b, again), way);
}

uint32_t json_any_string(struct grammar *g, uint32_t next)
{
	uint32_t loop = graph_loop(g), first = g->avoid ? graph_loop(g) : loop, escaped, close;

	close = graph_bytes(g, '"', '"', next);
	escaped = graph_bytes(g, 'u', 'u', unicode_escape(g, loop));
	for (const char *c = "\"\\/bfnrt"; *c; c++)
		escaped = graph_or(g, graph_bytes(g, (unsigned char)*c, (unsigned char)*c, loop),
		                   escaped);
	escaped = graph_bytes(g, '\\', '\\', escaped);
	graph_loop_set(g, loop, graph_or(g, plain_but(g, loop, first, false), escaped), close);
	if (first != loop)
		graph_loop_set(g, first, graph_or(g, plain_but(g, loop, first, true), escaped),
		               close);
	return graph_bytes(g, '"', '"', loop);
}

/* The control characters lo..hi that have no letter, after \u00: runs of
 * second digits under each first one. */
static uint32_t control_escapes(struct grammar *g, uint32_t lo, uint32_t hi, uint32_t next)
{
	static const struct {
		char first, from, to;
		uint32_t least; /* the character of `from` */
	} run[] = {
		{ '0', '1', '7', 0x01 }, { '0', 'b', 'b', 0x0B }, { '0', 'e', 'f', 0x0E },
		{ '1', '0', '9', 0x10 }, { '1', 'a', 'f', 0x1A },
	};
	uint32_t way = GRAPH_NONE;

	for (size_t i = 0; i < sizeof run / sizeof *run; i++) {
		uint32_t most = run[i].least + (uint32_t)(run[i].to - run[i].from);
		uint32_t from = lo > run[i].least ? lo : run[i].least, to = hi < most ? hi : most;
		unsigned zero = (unsigned)run[i].from - run[i].least,
			 first = (unsigned char)run[i].first;

		if (from <= to)
			way = graph_or(g,
			               graph_bytes(g, first, first,
			                           graph_bytes(g, zero + from, zero + to, next)),
			               way);
	}
	return graph_words(g, "u00", way);
}

uint32_t json_chars(struct grammar *g, uint32_t lo, uint32_t hi, uint32_t next)
{
	static const struct {
		uint32_t c;
		unsigned char letter;
	} row[] = {
		{ '"', '"' },  { '\\', '\\' }, { '\b', 'b' }, { '\f', 'f' },
		{ '\n', 'n' }, { '\r', 'r' },  { '\t', 't' },
	};
	uint32_t way = control_escapes(g, lo, hi, next);

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (row[i].c >= lo && row[i].c <= hi)
			way = graph_or(g, graph_bytes(g, row[i].letter, row[i].letter, next), way);
	return graph_or(g, plain(g, lo, hi, next), graph_bytes(g, '\\', '\\', way));
}

/* At most `most` digits more. */
static uint32_t digits(struct grammar *g, int most, uint32_t next)
{
	uint32_t way = next;

	for (int i = 0; i < most; i++)
		way = graph_or(g, graph_bytes(g, '0', '9', way), next);
	return way;
}

uint32_t json_any_number(struct grammar *g, bool whole, uint32_t next)
{
	uint32_t e, way = next;

	if (!whole) {
		e = graph_bytes(g, '0', '9', digits(g, 1, next));
		e = graph_or(g, e,
		             graph_or(g, graph_bytes(g, '+', '+', e), graph_bytes(g, '-', '-', e)));
		e = graph_or(g, graph_bytes(g, 'e', 'e', e), graph_bytes(g, 'E', 'E', e));
		e = graph_or(g, e, next);
		way = graph_bytes(g, '.', '.', graph_bytes(g, '0', '9', digits(g, DIGITS - 1, e)));
		way = graph_or(g, way, e);
	}
	way = graph_or(g, graph_bytes(g, '0', '0', way),
	               graph_bytes(g, '1', '9', digits(g, DIGITS - 1, way)));
	return graph_or(g, way, graph_bytes(g, '-', '-', way));
}

/* "{" or "[", items with commas between them, and the end. */
static uint32_t listed(struct grammar *g, unsigned char open, unsigned char close, uint32_t name,
                       uint32_t value)
{
	uint32_t more = graph_loop(g), item = graph_call(g, value, more), end;

	end = graph_bytes(g, close, close, GRAPH_END);
	if (open == '{')
		item = graph_call(g, name, graph_bytes(g, ':', ':', json_space(g, item)));
	graph_loop_set(g, more, graph_bytes(g, ',', ',', json_space(g, item)), json_space(g, end));
	return graph_bytes(g, open, open, json_space(g, graph_or(g, item, end)));
}

void json_rules(struct grammar *g, struct json_rules *r)
{
	uint32_t name, way;

	if (r->made)
		return;
	r->made = true;
	r->value = graph_rule(g);
	r->object = graph_rule(g);
	r->array = graph_rule(g);
	name = graph_rule(g);
	graph_rule_set(g, name, json_any_string(g, GRAPH_END));
	graph_rule_set(g, r->object, listed(g, '{', '}', name, r->value));
	graph_rule_set(g, r->array, listed(g, '[', ']', name, r->value));
	way = graph_or(g, graph_call(g, r->object, GRAPH_END), graph_call(g, r->array, GRAPH_END));
	way = graph_or(g, way, graph_call(g, name, GRAPH_END));
	way = graph_or(g, way, json_any_number(g, false, GRAPH_END));
	way = graph_or(g, way, graph_words(g, "true", GRAPH_END));
	way = graph_or(g, way, graph_words(g, "false", GRAPH_END));
	graph_rule_set(g, r->value, graph_or(g, way, graph_words(g, "null", GRAPH_END)));
}
