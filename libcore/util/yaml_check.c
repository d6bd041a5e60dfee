/* SPDX-License-Identifier: MIT */
#include "util/yaml.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *yaml_suite(void);

START_TEST(a_tree)
{
	struct arena a = { 0 };
	struct err e = { 0 };
	struct yaml *y;

	ck_assert_int_eq(yaml_parse(&y, &a, bytes_of("a: 1\nb: [x, 'true']\nc:\n  d: true\n"), &e), 0);
	ck_assert_int_eq(y->kind, YAML_MAP);
	ck_assert_str_eq(y->child->key, "a");
	ck_assert_str_eq(y->child->text, "1");
	y = y->child->next;
	ck_assert(y->kind == YAML_LIST && y->line == 2 && y->child->plain && !y->child->next->plain);
	ck_assert_str_eq(y->child->next->text, "true");
	y = y->next;
	ck_assert(y->kind == YAML_MAP && y->line == 3 && y->child->line == 4 && !y->next);
	ck_assert_int_eq(yaml_parse(&y, &a, bytes_of("# nothing\n"), &e), 0);
	ck_assert(y->kind == YAML_MAP && !y->child);
	arena_release(&a);
}
END_TEST

START_TEST(refusals)
{
	static const char *const bad[][2] = {
		{ "a: 1\na: 2\n", "2: a: it stands at line 1 already" },
		{ "a: &x 1\n", "1: anchors and tags are not taken" },
		{ "a: !!int 1\n", "1: anchors and tags are not taken" },
		{ "b: 1\na: *x\n", "2: aliases are not taken" },
		{ "a: 1\n---\nb: 2\n", "2: a second document" },
		{ "? [a]\n: 1\n", "1: expected a key, found a list or a map" },
		{ "a: \"\\0\"\n", "1: a zero byte" },
		{ "a: [1\n", "2: did not find expected ',' or ']'" },
		{ "[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "1: over 16 levels deep" },
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct arena a = { 0 };
		struct err e = { 0 };
		struct yaml *y;

		ck_assert_int_eq(yaml_parse(&y, &a, bytes_of(bad[i][0]), &e), -1);
		ck_assert_str_eq(e.text, bad[i][1]);
		ck_assert_int_eq(e.kind, ERR_INPUT);
		arena_release(&a);
	}
}
END_TEST

Suite *yaml_suite(void)
{
	Suite *s = suite_create("yaml");
	TCase *t = tcase_create("yaml");

	tcase_add_test(t, a_tree);
	tcase_add_test(t, refusals);
	suite_add_tcase(s, t);
	return s;
}
