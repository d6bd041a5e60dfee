/* SPDX-License-Identifier: MIT */
#include "util/json.h"

#include "util/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *json_suite(void);

START_TEST(typed_lookups)
{
	struct err e = { 0 };
	cJSON *o = json_parse(bytes_of("{\"b\": true, \"i\": -3, \"f\": 0.5, \"s\": \"x\","
	                               " \"n\": null, \"big\": 9007199254740993, \"S\": 4,"
	                               " \"far\": 1e17}"),
	                      &e);
	bool b = false;
	int64_t i = 7;
	size_t size = 7;
	double f = 7;
	const char *text = "y";

	ck_assert_ptr_nonnull(o);
	ck_assert(json_get_bool(o, "b", &b, &e) == 1 && b);
	ck_assert(json_get_i64(o, "i", &i, &e) == 1 && i == -3);
	ck_assert(json_get_f64(o, "f", &f, &e) == 1 && f == 0.5);
	ck_assert(json_get_f64(o, "i", &f, &e) == 1 && f == -3);
	ck_assert(json_get_text(o, "s", &text, &e) == 1 && !strcmp(text, "x"));
	ck_assert(json_get_size(o, "S", &size, &e) == 1 && size == 4);
	ck_assert(json_get_i64(o, "n", &i, &e) == 0 && i == -3);
	ck_assert(json_get_text(o, "I", &text, &e) == 0); /* case matters */
	ck_assert_ptr_null(json_get(o, "absent"));
	ck_assert_ptr_null(json_get(NULL, "absent"));
	ck_assert_ptr_null(json_get(json_get(o, "s"), "absent"));

	ck_assert_int_eq(json_get_i64(o, "s", &i, &e), -1);
	ck_assert_str_eq(e.text, "s: expected an integer, found a string");
	ck_assert_int_eq(json_get_i64(o, "f", &i, &e), -1);
	ck_assert_str_eq(e.text, "f: expected an integer, found 0.5");
	ck_assert(json_get_i64(o, "big", &i, &e) == 1 && i == 9007199254740993);
	ck_assert_int_eq(json_get_i64(o, "far", &i, &e), -1);
	ck_assert_str_eq(e.text, "far: expected an integer below 2^53, found 1e+17");
	i = -3;
	ck_assert_int_eq(json_get_size(o, "i", &size, &e), -1);
	ck_assert_str_eq(e.text, "i: expected a size, found -3");
	ck_assert_int_eq(json_get_bool(o, "i", &b, &e), -1);
	ck_assert_str_eq(e.text, "i: expected a boolean, found a number");
	ck_assert_int_eq(json_get_text(o, "b", &text, &e), -1);
	ck_assert_str_eq(e.text, "b: expected a string, found a boolean");
	ck_assert_int_eq(json_get_f64(o, "s", &f, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_str_eq(json_kind(o), "an object");
	ck_assert_str_eq(json_kind(NULL), "nothing");
	cJSON_Delete(o);
}
END_TEST

START_TEST(a_key_twice)
{
	struct err e = { 0 };
	char text[1024] = "{\"deep\": [{\"x\": {", *end = text + strlen(text);

	ck_assert_ptr_null(json_parse(bytes_of("{\"a\": 1, \"b\": 2, \"\\u0061\": 3}"), &e));
	ck_assert_str_eq(e.text, "a: the key is there twice");
	for (int i = 0; i < 50; i++)
		end += sprintf(end, "\"k%d\": %d, ", i, i);
	strcpy(end, "\"k7\": 1}}]}");
	ck_assert_ptr_null(json_parse(bytes_of(text), &e));
	ck_assert_str_eq(e.text, "deep: x: k7: the key is there twice");
	strcpy(end, "\"K7\": 1}}]}");
	cJSON_Delete(json_parse(bytes_of(text), &e));
}
END_TEST

START_TEST(refusals_come_from_our_reader)
{
	static const char *const bad[] = {
		"",        "[1] x",      "{\"a\":01}",     "[\"\\u0000\"]",
		"[1e999]", "[\"\xff\"]", "\xef\xbb\xbf{}", "{\"a\":1,}"
	};
	struct err e;

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		e = (struct err){ 0 };
		ck_assert_ptr_null(json_parse(bytes_of(bad[i]), &e));
		ck_assert_int_eq(e.kind, ERR_INPUT);
		ck_assert_int_eq(strncmp(e.text, "byte ", 5), 0);
	}
	ck_assert_ptr_null(json_parse((struct bytes){ NULL, JSON_BYTES + 1 }, &e));
	ck_assert_int_eq(e.kind, ERR_INPUT);
}
END_TEST

/* What of JSONTestSuite's valid texts we refuse all the same. */
static bool is_ours(const char *name)
{
	return !strcmp(name, "y_string_null_escape.json") ||
	       !strncmp(name, "y_object_duplicated_key", 23);
}

START_TEST(all_of_jsontestsuite)
{
	struct arena a = { 0 };
	struct err e = { 0 };
	char *dir = file_join(&a, getenv("SHARED"), "data/json/JSONTestSuite", &e);
	char **names = file_list(&a, dir, NULL, &e);

	ck_assert_msg(names != NULL, "%s: %s", dir, e.text);
	for (; *names; names++) {
		struct file_map m;
		cJSON *v;

		if (**names == 'i' || file_map(&m, file_join(&a, dir, *names, &e), &e))
			continue;
		v = json_parse(m.bytes, &e);
		ck_assert_msg((v != NULL) == (**names == 'y' && !is_ours(*names)), "%s", *names);
		cJSON_Delete(v);
		file_unmap(&m);
	}
	arena_release(&a);
}
END_TEST

Suite *json_suite(void)
{
	Suite *s = suite_create("json");
	TCase *t = tcase_create("json"), *shared = tcase_create("shared");

	tcase_add_test(t, typed_lookups);
	tcase_add_test(t, a_key_twice);
	tcase_add_test(t, refusals_come_from_our_reader);
	suite_add_tcase(s, t);
	tcase_set_tags(shared, "shared");
	tcase_add_test(shared, all_of_jsontestsuite);
	suite_add_tcase(s, shared);
	return s;
}
