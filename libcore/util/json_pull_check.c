/* SPDX-License-Identifier: MIT */
#include "util/json.h"

#include <check.h>
#include <string.h>

Suite *json_pull_suite(void);

/* Reads to the end or a mistake; the tokens' letters into `out`. */
static enum json_token walk(const char *text, size_t n, char *out, struct err *e)
{
	static const char *const names[] = {
		[JSON_OBJECT] = "{",    [JSON_OBJECT_END] = "}", [JSON_ARRAY] = "[",
		[JSON_ARRAY_END] = "]", [JSON_KEY] = "k",        [JSON_STRING] = "s",
		[JSON_NUMBER] = "n",    [JSON_TRUE] = "t",       [JSON_FALSE] = "f",
		[JSON_NULL] = "0",
	};
	struct json_pull j;
	enum json_token t;

	*out = '\0';
	json_pull_init(&j, (struct bytes){ (const unsigned char *)text, n });
	while ((t = json_next(&j, e)) != JSON_ERROR && t != JSON_END)
		strcat(out, names[t]);
	json_pull_release(&j);
	return t;
}

START_TEST(tokens)
{
	static const struct {
		const char *text, *tokens;
	} cases[] = {
		{ "1", "n" },
		{ " \t\r\n\"\" ", "s" },
		{ "[]", "[]" },
		{ "{}", "{}" },
		{ "[1,[],{}]", "[n[]{}]" },
		{ "{\"a\":null,\"b\":[true,false]}", "{k0k[tf]}" },
		{ "{ \"a\" : { \"b\" : -0.5e+3 } }", "{k{kn}}" },
	};
	struct err e;
	char out[64];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		ck_assert_int_eq(walk(cases[i].text, strlen(cases[i].text), out, &e), JSON_END);
		ck_assert_str_eq(out, cases[i].tokens);
	}
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		const char *text, *message;
	} cases[] = {
		{ "", "byte 0: expected a value, found the end" },
		{ "  ", "byte 2: expected a value, found the end" },
		{ "nul", "byte 0: expected a value, found 'n'" },
		{ "NaN", "byte 0: expected a value, found 'N'" },
		{ "\xef\xbb\xbf{}", "byte 0: expected a value, found byte 0xef" },
		{ "1 2", "byte 2: expected the end, found '2'" },
		{ "{} x", "byte 3: expected the end, found 'x'" },
		{ "[1,]", "byte 3: expected a value, found ']'" },
		{ "[1 2]", "byte 3: expected ',' or ']', found '2'" },
		{ "[1}", "byte 2: expected ',' or ']', found '}'" },
		{ "[,1]", "byte 1: expected a value, found ','" },
		{ "[", "byte 1: expected a value, found the end" },
		{ "{\"a\":1,}", "byte 7: expected a key, found '}'" },
		{ "{a:1}", "byte 1: expected a key, found 'a'" },
		{ "{\"a\" 1}", "byte 5: expected ':', found '1'" },
		{ "{\"a\":}", "byte 5: expected a value, found '}'" },
		{ "{\"a\":1]", "byte 6: expected ',' or '}', found ']'" },
		{ "}", "byte 0: expected a value, found '}'" },
		{ "01", "byte 1: a number with a leading zero" },
		{ "-", "byte 1: expected a digit" },
		{ "+1", "byte 0: expected a value, found '+'" },
		{ ".5", "byte 0: expected a value, found '.'" },
		{ "1.", "byte 2: expected a digit after the point" },
		{ "1e", "byte 2: expected a digit in the exponent" },
		{ "[1e999]", "byte 1: a number too large" },
		{ "1x", "byte 1: expected the end, found 'x'" },
		{ "\"a", "byte 2: a string does not end" },
		{ "\"a\\", "byte 2: expected one of \"\\/bfnrtu after a backslash" },
		{ "\"a\nb\"", "byte 2: a control byte in a string" },
		{ "\"\\x\"", "byte 1: expected one of \"\\/bfnrtu after a backslash" },
		{ "\"\\u12g4\"", "byte 1: expected four hexadecimal digits after \\u" },
		{ "\"\\u12", "byte 1: expected four hexadecimal digits after \\u" },
		{ "\"\\u0000\"", "byte 1: \\u0000 is refused" },
		{ "\"\\ud83d\"", "byte 1: the first half of a surrogate pair without the second" },
		{ "\"\\ud83dx\"", "byte 1: the first half of a surrogate pair without the second" },
		{ "\"\\ud83d\\u0041\"",
		  "byte 1: the first half of a surrogate pair without the second" },
		{ "\"\\ude00\"", "byte 1: the second half of a surrogate pair without the first" },
		{ "\"\xff\"", "byte 1: invalid UTF-8" },
		{ "\"\xe2\x82\"", "byte 1: invalid UTF-8" },
		{ "\"\xed\xa0\x80\"", "byte 1: invalid UTF-8" },
		{ "// x\n1", "byte 0: expected a value, found '/'" },
	};
	struct err e;
	char out[64];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		e = (struct err){ 0 };
		ck_assert_msg(walk(cases[i].text, strlen(cases[i].text), out, &e) == JSON_ERROR,
		              "%s", cases[i].text);
		ck_assert_str_eq(e.text, cases[i].message);
		ck_assert_int_eq(e.kind, ERR_INPUT);
	}
	ck_assert_int_eq(walk("1\0", 2, out, &e), JSON_ERROR);
	ck_assert_str_eq(e.text, "byte 1: expected the end, found byte 0x00");
	ck_assert_int_eq(walk("\"\\\0\"", 4, out, &e), JSON_ERROR);
}
END_TEST

START_TEST(depth)
{
	char text[2 * JSON_DEPTH + 3], out[2 * JSON_DEPTH + 3];
	struct err e;

	memset(text, '[', JSON_DEPTH);
	memset(text + JSON_DEPTH, ']', JSON_DEPTH);
	ck_assert_int_eq(walk(text, 2 * JSON_DEPTH, out, &e), JSON_END);
	text[JSON_DEPTH] = '[';
	ck_assert_int_eq(walk(text, 2 * JSON_DEPTH, out, &e), JSON_ERROR);
	ck_assert_str_eq(e.text, "byte 64: nested too deep");
}
END_TEST

START_TEST(strings_and_numbers)
{
	static const char text[] = "[\"plain \xc3\xa9\", \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"
				   "\\ud83d\\ude00|\", 12345678901234567, -7, 0.1, -0, 1E2]";
	static const double numbers[] = { 12345678901234567.0, -7, 0.1, 0, 100 };
	struct json_pull j;
	struct err e;

	json_pull_init(&j, bytes_of(text));
	ck_assert_int_eq(json_next(&j, &e), JSON_ARRAY);
	ck_assert_int_eq(json_next(&j, &e), JSON_STRING);
	ck_assert(bytes_is(j.string, "plain \xc3\xa9"));
	ck_assert_ptr_eq(j.string.p, (const unsigned char *)text + 2); /* not copied */
	ck_assert_int_eq(json_next(&j, &e), JSON_STRING);
	ck_assert(bytes_is(j.string, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80|"));
	for (size_t i = 0; i < 5; i++) {
		ck_assert_int_eq(json_next(&j, &e), JSON_NUMBER);
		ck_assert_double_eq(j.number, numbers[i]);
		if (i == 0)
			ck_assert(bytes_is(j.string, "12345678901234567"));
	}
	ck_assert_int_eq(json_next(&j, &e), JSON_ARRAY_END);
	ck_assert_int_eq(json_next(&j, &e), JSON_END);
	ck_assert_int_eq(json_next(&j, &e), JSON_END);
	json_pull_release(&j);
	json_pull_release(NULL);
}
END_TEST

START_TEST(skipping_and_raw_text)
{
	struct json_pull j;
	struct bytes raw;
	struct err e;

	json_pull_init(&j, bytes_of("{\"a\": [1, {\"b\": []}] , \"c\":  \"x\\n\", \"d\": 1}"));
	ck_assert_int_eq(json_next(&j, &e), JSON_OBJECT);
	ck_assert_int_eq(json_next(&j, &e), JSON_KEY);
	ck_assert_int_eq(json_raw(&j, &raw, &e), 0);
	ck_assert(bytes_is(raw, "[1, {\"b\": []}]"));
	ck_assert_int_eq(json_next(&j, &e), JSON_KEY);
	ck_assert(bytes_is(j.string, "c"));
	ck_assert_int_eq(json_raw(&j, &raw, &e), 0);
	ck_assert(bytes_is(raw, "\"x\\n\""));
	ck_assert_int_eq(json_next(&j, &e), JSON_KEY);
	ck_assert_int_eq(json_skip(&j, &e), 0);
	ck_assert_int_eq(json_skip(&j, &e), -1); /* the object ends: no value */
	ck_assert_int_eq(json_next(&j, &e), JSON_ERROR);
	json_pull_release(&j);

	json_pull_init(&j, bytes_of("[1, [2, [3,]]]"));
	ck_assert_int_eq(json_next(&j, &e), JSON_ARRAY);
	ck_assert_int_eq(json_skip(&j, &e), 0);
	ck_assert_int_eq(json_skip(&j, &e), -1);
	ck_assert_str_eq(e.text, "byte 11: expected a value, found ']'");
	json_pull_release(&j);
}
END_TEST

Suite *json_pull_suite(void)
{
	Suite *s = suite_create("json_pull");
	TCase *t = tcase_create("json_pull");

	tcase_add_test(t, tokens);
	tcase_add_test(t, refusals);
	tcase_add_test(t, depth);
	tcase_add_test(t, strings_and_numbers);
	tcase_add_test(t, skipping_and_raw_text);
	suite_add_tcase(s, t);
	return s;
}
