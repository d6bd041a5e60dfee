/* SPDX-License-Identifier: MIT */
/* request_check.c - options from text and JSON: values, and refusals */
#include "gen/gen.h"

#include <check.h>
#include <string.h>

static const struct request_option *option(const char *name)
{
	for (size_t i = 0; i < n_request_options; i++)
		if (!strcmp(request_options[i].name, name))
			return &request_options[i];
	ck_abort_msg("no option %s", name);
	return NULL;
}

static int text(struct request *r, const char *name, const char *value, struct err *e)
{
	return request_set_text(r, option(name), value, e);
}

static int json(struct request *r, const char *name, const char *value, struct err *e)
{
	cJSON *v = json_parse(bytes_of(value), e);
	int got = v ? request_set_json(r, option(name), v, e) : -2;

	cJSON_Delete(v);
	return got;
}

START_TEST(defaults)
{
	struct request r;

	request_init(&r);
	ck_assert_uint_eq(r.max_tokens, 100);
	ck_assert(r.temp == 0 && r.top_p == 1 && r.min_p == 0 && r.xtc_threshold == 0.1);
	ck_assert_uint_eq(r.min_keep, 1);
	ck_assert_uint_eq(r.frequency_context, 20);
	ck_assert(!r.has_seed && !r.n_stop && !r.n_bias && !r.logprobs);
	request_release(&r);
}
END_TEST

START_TEST(values_from_text)
{
	struct request r;
	struct err e;

	request_init(&r);
	ck_assert(!text(&r, "max_tokens", "4k", &e));
	ck_assert(!text(&r, "temp", "0.7", &e));
	ck_assert(!text(&r, "presence_penalty", "-1.5", &e));
	ck_assert(!text(&r, "seed", "18446744073709551615", &e));
	ck_assert(!text(&r, "ignore_eos", NULL, &e));
	ck_assert(!text(&r, "stop", "END", &e));
	ck_assert(!text(&r, "stop", "\n\n", &e));
	ck_assert(!text(&r, "logit_bias", "5=-100,17:2.5", &e));
	ck_assert_uint_eq(r.max_tokens, 4096);
	ck_assert(r.temp == 0.7 && r.presence_penalty == -1.5 && r.has_seed && r.ignore_eos);
	ck_assert(r.seed == UINT64_MAX);
	ck_assert_uint_eq(r.n_stop, 2);
	ck_assert_str_eq(r.stop[1], "\n\n");
	ck_assert_uint_eq(r.n_bias, 2);
	ck_assert_int_eq(r.bias[1].id, 17);
	ck_assert(r.bias[0].add == -100 && r.bias[1].add == 2.5f);
	request_release(&r);
}
END_TEST

START_TEST(values_from_json)
{
	struct request r, copy;
	struct err e;

	request_init(&r);
	ck_assert(!text(&r, "stop", "from the command line", &e));
	ck_assert(!json(&r, "max_tokens", "0", &e));
	ck_assert(!json(&r, "top_p", "0.25", &e));
	ck_assert(!json(&r, "top_k", "null", &e));
	ck_assert(!json(&r, "seed", "9007199254740992", &e));
	ck_assert(!json(&r, "ignore_eos", "true", &e));
	ck_assert(!json(&r, "stop", "[\"a\",\"b\"]", &e));
	ck_assert(!json(&r, "logit_bias", "{\"1\":-1,\"2\":2}", &e));
	ck_assert(!json(&r, "logprobs", "5", &e));
	ck_assert(!request_copy(&copy, &r, &e));
	request_release(&r);
	ck_assert(copy.max_tokens == 0 && copy.top_p == 0.25 && copy.ignore_eos && copy.top_k == 0);
	ck_assert(copy.seed == 9007199254740992 && copy.has_seed && copy.logprobs == 5);
	ck_assert_uint_eq(copy.n_stop, 2);
	ck_assert_str_eq(copy.stop[0], "a");
	ck_assert_uint_eq(copy.n_bias, 2);
	ck_assert_int_eq(copy.bias[0].id, 1);
	request_release(&copy);
}
END_TEST

START_TEST(refusals)
{
	static const struct {
		int from_json;
		const char *name, *value, *want;
	} rows[] = {
		{ 0, "top_p", "1.5", "--top-p: expected a number from 0 to 1, found 1.5" },
		{ 0, "top_p", "nan", "--top-p: expected a number, found \"nan\"" },
		{ 0, "temp", "", "--temp: expected a number, found \"\"" },
		{ 0, "max_tokens", "-1",
		  "--max-tokens: expected a whole number from 0 to 1073741824, found -1" },
		{ 0, "max_tokens", "2.5",
		  "--max-tokens: expected a whole number from 0 to 1073741824, found 2.5" },
		{ 0, "seed", "-1",
		  "--seed: expected a whole number from 0 to 18446744073709551615, found \"-1\"" },
		{ 0, "stop", "", "--stop: expected 1 to 4096 bytes, found 0" },
		{ 0, "stop", "\xff", "--stop: expected UTF-8, found bytes that are not" },
		{ 0, "logit_bias", "5", "--logit-bias: expected ID=X, found \"5\"" },
		{ 0, "logit_bias", "x=1", "--logit-bias: expected a token id, found \"x\"" },
		{ 0, "logit_bias", "1=a",
		  "--logit-bias: expected a number for token 1, found \"a\"" },
		{ 0, "logit_bias", "1=1,1=2", "--logit-bias: token 1 is given twice" },
		{ 0, "logit_bias", "1=1,,", "--logit-bias: expected ID=X, found \"\"" },
		{ 1, "temp", "\"1\"", "temp: expected a number, found a string" },
		{ 1, "temp", "-0.1", "temp: expected a number from 0 to 100, found -0.1" },
		{ 1, "top_k", "1.5",
		  "top_k: expected a whole number from 0 to 1073741824, found 1.5" },
		{ 1, "min_tokens_to_keep", "0",
		  "min_tokens_to_keep: expected a whole number from 1 to 1073741824, found 0" },
		{ 1, "xtc_threshold", "0.6",
		  "xtc_threshold: expected a number from 0 to 0.5, found 0.6" },
		{ 1, "seed", "1e300",
		  "seed: expected a whole number from 0 to 9007199254740992, found "
		  "1.0000000000000001e+300" },
		{ 1, "seed", "true", "seed: expected a whole number, found a boolean" },
		{ 1, "ignore_eos", "1", "ignore_eos: expected true or false, found a number" },
		{ 1, "stop", "[1]", "stop: expected strings, found a number" },
		{ 1, "stop", "{}",
		  "stop: expected a string or an array of strings, found an object" },
		{ 1, "stop", "\"\"", "stop: expected 1 to 4096 bytes, found 0" },
		{ 1, "logit_bias", "{\"-1\":1}", "logit_bias: expected a token id, found \"-1\"" },
		{ 1, "logit_bias", "{\"1\":\"a\"}",
		  "logit_bias: expected numbers, found a string" },
		{ 1, "logit_bias", "[1]",
		  "logit_bias: expected an object of token ids and numbers, found an array" },
		{ 1, "logprobs", "1e9",
		  "logprobs: expected a whole number from 0 to 101, found 1000000000" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct request r;
		struct err e = { 0 };

		request_init(&r);
		ck_assert_int_eq(
			(rows[i].from_json ? json : text)(&r, rows[i].name, rows[i].value, &e), -1);
		ck_assert_str_eq(e.text, rows[i].want);
		ck_assert_int_eq(e.kind, rows[i].from_json ? ERR_INPUT : ERR_MISUSE);
		request_release(&r);
	}
}
END_TEST

START_TEST(too_many)
{
	struct request r;
	struct err e;

	request_init(&r);
	for (int i = 0; i < STOP_MAX; i++)
		ck_assert(!text(&r, "stop", "x", &e));
	ck_assert(text(&r, "stop", "x", &e));
	ck_assert_str_eq(e.text, "--stop: expected at most 16 texts, found more");
	request_release(&r);
}
END_TEST

/* What -h and the pages print of each row. */
START_TEST(rows_are_whole)
{
	for (size_t i = 0; i < n_request_options; i++) {
		const struct request_option *o = &request_options[i];

		ck_assert(o->name[0] && o->help && o->help[0] && strlen(o->help) < 64);
		ck_assert_int_eq(o->arg == NULL, o->type == REQ_BOOL);
		ck_assert(strspn(o->name, "abcdefghijklmnopqrstuvwxyz_") == strlen(o->name));
		for (size_t j = 0; j < i; j++)
			ck_assert_str_ne(o->name, request_options[j].name);
	}
}
END_TEST

Suite *request_suite(void);
Suite *request_suite(void)
{
	Suite *s = suite_create("request");
	TCase *t = tcase_create("request");

	tcase_add_test(t, defaults);
	tcase_add_test(t, values_from_text);
	tcase_add_test(t, values_from_json);
	tcase_add_test(t, refusals);
	tcase_add_test(t, too_many);
	tcase_add_test(t, rows_are_whole);
	suite_add_tcase(s, t);
	return s;
}
