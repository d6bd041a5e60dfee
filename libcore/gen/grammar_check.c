/* SPDX-License-Identifier: MIT */
/* grammar_check.c - which texts grammars take */
#include "gen/graph.h"

#include <check.h>
#include <string.h>

static struct grammar *json_grammar(enum grammar_kind kind)
{
	const struct grammar_ask a = { .kind = kind };
	struct grammar *g;
	struct err e;

	ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
	return g;
}

static bool takes(struct grammar *g, const char *text)
{
	struct err e;
	bool yes;

	ck_assert_msg(!grammar_takes(g, bytes_of(text), &yes, &e), "%s", e.text);
	return yes;
}

START_TEST(json_values)
{
	static const char *const good[] = {
		"{}",
		"[]",
		"{\"a\": 1}",
		"{\"a\":{\"b\":[1,2,{}]}, \"c\":null}",
		"\"\"",
		"-0.5e+7",
		"0",
		"true",
		"\"\\u00e9\\ud834\\udd1e\\n\"",
		"\"\xF0\x9D\x84\x9E\"",
		"[\n  1,\n  2\n]",
		"{\n  \"a\": \"b\"\n}",
		"1e5",
		"\"\\ud7ff\\ue000\\u0001\"",
	};
	static const char *const bad[] = {
		"",
		"{",
		"{\"a\"}",
		"[1,]",
		"01",
		"-",
		"1.",
		"\"\\ud834\"",
		"\"\\udd1e\"",
		"\"\\u0000\"",
		"\"\xC3\"",
		"\"\xED\xA0\x80\"",
		"\"\xC0\x80\"",
		"\"a\nb\"",
		"nul",
		"{}{}",
		"[1 2]",
		"1e100",
		"[  1]",
		"{\"a\" :1}",
		"{\"a\":1} ",
		"\"\xF4\x90\x80\x80\"",
		"\"\xFF\"",
		"{\"a\":1,}",
	};
	struct grammar *g = json_grammar(GRAMMAR_VALUE), *o = json_grammar(GRAMMAR_OBJECT);

	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		ck_assert_msg(takes(g, good[i]), "%s", good[i]);
		ck_assert_int_eq(takes(o, good[i]), good[i][0] == '{');
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		ck_assert_msg(!takes(g, bad[i]), "%s", bad[i]);
	grammar_release(g);
	grammar_release(o);
}
END_TEST

START_TEST(reasoning_comes_first)
{
	struct grammar_ask a = { .kind = GRAMMAR_OBJECT,
		                 .think_begin = "<think>",
		                 .think_end = "</think>",
		                 .thinking = true };
	struct grammar *g;
	struct err e;

	ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
	ck_assert(takes(g, "so </thin</think></think>{}") == false);
	ck_assert(takes(g, "so <</think </thin</think>\n\n{\"a\":1}"));
	ck_assert(!takes(g, "{}"));
	ck_assert(!takes(g, "<think>{}"));
	grammar_release(g);
	a.thinking = false;
	ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
	ck_assert(takes(g, "{}"));
	ck_assert(takes(g, "<think>\nso\n</think>\n\n{}"));
	ck_assert(!takes(g, "so</think>{}"));
	grammar_release(g);
}
END_TEST

Suite *grammar_suite(void);
Suite *grammar_suite(void)
{
	Suite *s = suite_create("grammar");
	TCase *t = tcase_create("texts");

	tcase_add_test(t, json_values);
	tcase_add_test(t, reasoning_comes_first);
	suite_add_tcase(s, t);
	return s;
}
