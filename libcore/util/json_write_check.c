/* SPDX-License-Identifier: MIT */
#include "util/json.h"

#include <check.h>
#include <math.h>

Suite *json_write_suite(void);

START_TEST(strings)
{
	static const struct {
		const char *text, *json;
	} cases[] = {
		{ "", "\"\"" },
		{ "a\"b\\c/d", "\"a\\\"b\\\\c/d\"" },
		{ "\b\f\n\r\t\x01\x1f\x7f", "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"" },
		{ "\xc3\xa9\xf0\x9f\x98\x80", "\"\xc3\xa9\xf0\x9f\x98\x80\"" },
		{ "a\xff\xe2\x82z", "\"a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbdz\"" },
	};
	struct buf b = { 0 };

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		buf_clear(&b);
		ck_assert_int_eq(json_add_string(&b, bytes_of(cases[i].text)), 0);
		ck_assert_str_eq((char *)b.p, cases[i].json);
	}
	buf_clear(&b);
	json_add_string(&b, (struct bytes){ 0 });
	json_add_string(&b, (struct bytes){ (const unsigned char *)"\0", 1 });
	json_add_f64(&b, 0.1);
	json_add_f64(&b, NAN);
	ck_assert_str_eq((char *)b.p, "\"\"\"\\u0000\"0.1null");
	buf_release(&b);
}
END_TEST

static void check_written(const char *from, int indent, bool sort, const char *to)
{
	struct buf b = { 0 };
	struct err e;
	cJSON *v = json_parse(bytes_of(from), &e);

	ck_assert_ptr_nonnull(v);
	ck_assert_int_eq(json_write(&b, v, indent, sort, &e), 0);
	ck_assert_str_eq((char *)b.p, to);
	cJSON_Delete(v);
	buf_release(&b);
}

/* The right sides are Python's json.dumps(..., ensure_ascii=False). */
START_TEST(trees)
{
	static const char text[] = "{\"b\":[1,2.5,[],{}],\"a\":{\"x\":null,\"w\":true},"
				   "\"c\":\"\\u00e9\"}";

	check_written(text, 0, false,
	              "{\"b\": [1, 2.5, [], {}], \"a\": {\"x\": null, \"w\": true}, "
	              "\"c\": \"\xc3\xa9\"}");
	check_written(text, 2, true,
	              "{\n  \"a\": {\n    \"w\": true,\n    \"x\": null\n  },\n  \"b\": [\n"
	              "    1,\n    2.5,\n    [],\n    {}\n  ],\n  \"c\": \"\xc3\xa9\"\n}");
}
END_TEST

START_TEST(numbers_stay_as_they_were)
{
	static const char text[] = "[1e-05, 0.1, 1e-6, 123456789012, -0.0, 10000.0, 1E300, -5, "
				   "1000000000000000019884624838656, 18446744073709551615]";

	check_written(text, 0, false, text);
}
END_TEST

START_TEST(numbers_of_ours_read_back_the_same)
{
	static const double numbers[] = { 1e-05, 0.1, 3, -0.0, 1e300, 0.1 + 0.2, 0x1p53, -7.25 };
	struct buf b = { 0 };
	struct err e;
	cJSON *a = cJSON_CreateDoubleArray(numbers, 8);

	cJSON_AddItemToArray(a, json_parse(bytes_of("2.50"), &e));
	cJSON_SetNumberValue(cJSON_GetArrayItem(a, 8), 3.5);
	ck_assert_int_eq(json_write(&b, a, 0, false, &e), 0);
	ck_assert_str_eq((char *)b.p, "[1e-05, 0.1, 3, -0, 1e+300, 0.30000000000000004, "
	                              "9007199254740992, -7.25, 3.5]");
	cJSON_Delete(a);
	buf_release(&b);
}
END_TEST

START_TEST(a_ceiling)
{
	struct buf b;
	struct err e = { 0 };
	cJSON *v = json_parse(bytes_of("[1, 2, 3]"), &e);

	buf_init(&b, 5);
	ck_assert_int_eq(json_write(&b, v, 0, false, &e), -1);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	cJSON_Delete(v);
	buf_release(&b);
}
END_TEST

Suite *json_write_suite(void)
{
	Suite *s = suite_create("json_write");
	TCase *t = tcase_create("json_write");

	tcase_add_test(t, strings);
	tcase_add_test(t, trees);
	tcase_add_test(t, numbers_stay_as_they_were);
	tcase_add_test(t, numbers_of_ours_read_back_the_same);
	tcase_add_test(t, a_ceiling);
	suite_add_tcase(s, t);
	return s;
}
