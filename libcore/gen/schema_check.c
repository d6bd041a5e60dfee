/* SPDX-License-Identifier: MIT */
/* schema_check.c - which values the grammars of schemas take
 *
 * The shared part holds every schema of JSON-Schema-Test-Suite against its
 * own instances: whatever a grammar takes must be valid. */
#include "gen/grammar.h"
#include "util/file.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cJSON *parsed(const char *text)
{
	struct err e;
	cJSON *v = json_parse(bytes_of(text), &e);

	ck_assert_msg(v, "%s: %s", text, e.text);
	return v;
}

static int open_schema(struct grammar **g, const cJSON *schema, struct err *e)
{
	const struct grammar_ask a = { .kind = GRAMMAR_SCHEMA, .schema = schema };

	return grammar_open(g, &a, e);
}

static bool takes(struct grammar *g, struct bytes text)
{
	struct err e;
	bool yes;

	ck_assert_msg(!grammar_takes(g, text, &yes, &e), "%s", e.text);
	return yes;
}

/* ---- schemas with values that are theirs and values that are not */

static const struct {
	const char *schema, *good[8], *bad[10];
} cases[] = {
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"type\":"
	  "\"string\"}},"
	  "\"required\":[\"a\"],\"additionalProperties\":false}",
	  { "{\"a\":1}", "{\"a\": -12, \"b\": \"x\\n\"}", "{\n  \"a\": 0\n}" },
	  { "{}", "{\"b\":\"x\"}", "{\"a\":1.5}", "{\"a\":1,\"c\":2}", "{\"a\":1,\"a\":1}",
	    "[]" } },
	{ "{\"enum\":[\"red\",\"green\",1,null,{\"k\":[1,2]},\"\\u00e9\\\"\"]}",
	  { "\"red\"", "\"green\"", "1", "null", "{\"k\": [1, 2]}", "\"\xC3\xA9\\\"\"" },
	  { "\"gre\"", "\"greens\"", "2", "true", "{}" } },
	{ "{\"type\":\"integer\",\"minimum\":-5,\"exclusiveMaximum\":120}",
	  { "-5", "0", "9", "99", "119", "100" },
	  { "-6", "120", "1000", "1.0", "-50", "01" } },
	{ "{\"type\":\"number\",\"minimum\":0.25,\"maximum\":10.5}",
	  { "0.25", "0.3", "1", "10.5", "9.99", "10.50", "10.4999" },
	  { "0.2", "0.2499", "10.51", "11", "-1", "0", "10.6" } },
	{ "{\"type\":\"number\",\"exclusiveMinimum\":0,\"multipleOf\":0.01}",
	  { "0.01", "1", "12.3", "99.99" },
	  { "0", "0.0", "0.001", "-1", "1.234" } },
	{ "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":0}",
	  { "0", "7", "49", "700" },
	  { "1", "8", "-7", "07" } },
	{ "{\"type\":\"string\",\"pattern\":\"^[a-c]{2,3}$\",\"maxLength\":2}",
	  { "\"ab\"", "\"cc\"" },
	  { "\"a\"", "\"abc\"", "\"ad\"", "\"\"" } },
	{ "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
	  { "\"ab\"", "\"\xC3\xA9\xF0\x9D\x84\x9E\\n\"", "\"\\\"\\\\\"", "\"\\u001f-\"" },
	  { "\"a\"", "\"abcd\"", "\"\\u0061b\"", "\"\xC3\"" } },
	{ "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"},{\"type\":\"string\"}],"
	  "\"items\":{\"type\":\"boolean\"},\"minItems\":1,\"maxItems\":4}",
	  { "[1]", "[1,\"a\"]", "[1, \"a\", true, false]" },
	  { "[]", "[\"a\"]", "[1,2]", "[1,\"a\",0]", "[1,\"a\",true,true,true]" } },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"null\"},\"minItems\":2}",
	  { "[null,null]", "[null, null, null]" },
	  { "[]", "[null]", "[null,1]", "[null null]" } },
	{ "{\"type\":\"array\",\"maxItems\":0}", { "[]" }, { "[1]", "[[]]" } },
	{ "{\"$ref\":\"#/$defs/"
	  "tree\",\"$defs\":{\"tree\":{\"type\":\"object\",\"properties\":{\"v\":"
	  "{\"type\":\"integer\"},\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
	  "tree\"}}},"
	  "\"required\":[\"v\"],\"additionalProperties\":false}}}",
	  { "{\"v\":1}", "{\"v\":1,\"kids\":[{\"v\":2,\"kids\":[]},{\"v\":3}]}" },
	  { "{\"kids\":[]}", "{\"v\":1,\"kids\":[{}]}" } },
	{ "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{"
	  "\"type\":"
	  "\"integer\"}},\"required\":[\"k\",\"x\"],\"additionalProperties\":false},{\"type\":"
	  "\"object\","
	  "\"properties\":{\"k\":{\"const\":\"b\"}},\"required\":[\"k\"],\"additionalProperties\":"
	  "false}]}",
	  { "{\"k\":\"a\",\"x\":1}", "{\"k\":\"b\"}" },
	  { "{\"k\":\"a\"}", "{\"k\":\"b\",\"x\":1}", "{}" } },
	{ "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"minimum\":1}}},{"
	  "\"properties\":{\"a\":"
	  "{\"type\":\"integer\",\"maximum\":3}},\"required\":[\"a\"]}]}",
	  { "{\"a\":1}", "{\"a\":3, \"other\": [null]}" },
	  { "{\"a\":0}", "{\"a\":4}", "{}", "{\"a\":1.5}" } },
	{ "{\"type\":\"object\",\"properties\":{\"foo\":{\"type\":\"integer\"}},"
	  "\"additionalProperties\":"
	  "{\"type\":\"string\"},\"maxProperties\":2,\"minProperties\":1}",
	  { "{\"foo\":1}", "{\"fo\":\"\"}", "{\"foo\":1,\"fooo\":\"x\"}", "{\"\":\"x\"}" },
	  { "{}", "{\"foo\":\"x\"}", "{\"\\u0066oo\":\"x\"}", "{\"x\":1}",
	    "{\"foo\":1,\"a\":\"\",\"b\":\"\"}" } },
	{ "{\"type\":\"object\",\"patternProperties\":{\"^i_\":{\"type\":\"integer\"}},"
	  "\"additionalProperties\":false,\"propertyNames\":{\"maxLength\":4}}",
	  { "{}", "{\"i_\":1}", "{\"i_ab\":1}" },
	  { "{\"i_a\":\"\"}", "{\"i_abc\":1}", "{\"j\":1}" } },
	{ "{\"type\":[\"string\",\"null\"],\"format\":\"date\"}",
	  { "\"2024-02-29\"", "null", "\"1999-12-31\"", "\"2000-02-29\"" },
	  { "\"2023-02-29\"", "\"2024-13-01\"", "\"1900-02-29\"", "\"2024-04-31\"", "\"\"" } },
	{ "{\"anyOf\":[{\"type\":\"integer\",\"nullable\":true},{\"not\":{\"type\":[\"number\","
	  "\"null\","
	  "\"object\",\"array\",\"boolean\"]}}]}",
	  { "1", "null", "\"x\"" },
	  { "1.5", "{}", "true" } },
	{ "{\"type\":\"object\",\"properties\":{\"kind\":{\"enum\":[\"card\",\"cash\"]}"
	  ",\"number\":{\"type\":\"string\"}},\"required\":[\"kind\"],\"additionalPrope"
	  "rties\":false,\"if\":{\"properties\":{\"kind\":{\"const\":\"card\"}}},\"then"
	  "\":{\"required\":[\"number\"]},\"else\":{\"properties\":{\"number\":false}}}",
	  { "{\"kind\":\"card\",\"number\":\"1\"}", "{\"kind\":\"cash\"}" },
	  { "{\"kind\":\"card\"}", "{\"kind\":\"cash\",\"number\":\"1\"}", "{}", "{\"kind\":\"x\"}" } },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"t"
	  "ype\":\"integer\"},\"c\":{\"type\":\"integer\"}},\"additionalProperties\":fa"
	  "lse,\"dependentRequired\":{\"a\":[\"b\"],\"b\":[\"c\"]}}",
	  { "{}", "{\"c\":1}", "{\"b\":1,\"c\":2}", "{\"a\":1,\"b\":2,\"c\":3}" },
	  { "{\"a\":1}", "{\"b\":1}", "{\"a\":1,\"b\":2}", "{\"a\":1,\"c\":2}" } },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{}},\"dependentSchemas\":{\"a\":{"
	  "\"minProperties\":2}}}",
	  { "{}", "{\"b\":1}", "{\"a\":1,\"b\":2}" },
	  { "{\"a\":1}" } },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"integer\"},\"contains\":{\"minimum"
	  "\":10},\"minContains\":2,\"maxContains\":3}",
	  { "[10,11]", "[1, 10, 2, 30, 40]" },
	  { "[]", "[10]", "[1,2,10]", "[10,10,10,10]" } },
	{ "{\"type\":\"array\",\"prefixItems\":[{\"const\":\"a\"}],\"contains\":{\"type"
	  "\":\"null\"},\"maxItems\":3}",
	  { "[\"a\",null]", "[\"a\",1,null]", "[\"a\",null,null]" },
	  { "[\"a\"]", "[\"a\",1]", "[null]", "[\"a\",1,2,null]" } },
	{ "{\"type\":\"array\",\"items\":{\"enum\":[\"a\",\"b\",\"c\"]},\"uniqueItems"
	  "\":true,\"minItems\":1}",
	  { "[\"a\"]", "[\"c\",\"a\"]", "[\"b\",\"c\",\"a\"]" },
	  { "[]", "[\"a\",\"a\"]", "[\"a\",\"b\",\"a\"]", "[\"d\"]" } },
	{ "{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":1,\"maximum"
	  "\":3},\"uniqueItems\":true,\"maxItems\":2}",
	  { "[]", "[3]", "[2,1]" },
	  { "[1,1]", "[1,2,3]", "[0]" } },
	{ "{\"not\":{\"required\":[\"a\"]},\"type\":\"object\"}",
	  { "{}", "{\"b\":1}" },
	  { "{\"a\":1}", "{\"b\":1,\"a\":2}" } },
	{ "{\"type\":\"string\",\"not\":{\"pattern\":\"^a\"}}",
	  { "\"\"", "\"ba\"" },
	  { "\"a\"", "\"ab\"" } },
	{ "{\"type\":\"string\",\"not\":{\"enum\":[\"x\",\"yes\"]}}",
	  { "\"xx\"", "\"ye\"", "\"\"" },
	  { "\"x\"", "\"yes\"" } },
	{ "{\"type\":\"number\",\"not\":{\"const\":3}}",
	  { "2", "3.5", "33", "-3" },
	  { "3", "3.0", "3.00" } },
	{ "{\"type\":[\"number\",\"null\"],\"not\":{\"type\":\"integer\"}}",
	  { "1.5", "null", "-0.25" },
	  { "1", "1.0", "0" } },
	{ "{\"type\":\"integer\",\"not\":{\"anyOf\":[{\"minimum\":10},{\"maximum\":3}]}"
	  "}",
	  { "4", "9" },
	  { "3", "10", "-1" } },
	{ "{\"oneOf\":[{\"type\":\"integer\"},{\"minimum\":2}]}",
	  { "1", "2.5", "\"x\"" },
	  { "3", "1.5" } },
	{ "{\"type\":\"object\",\"allOf\":[{\"properties\":{\"a\":{\"type\":\"integer"
	  "\"}}}],\"properties\":{\"b\":{\"type\":\"null\"}},\"unevaluatedProperties\":"
	  "false}",
	  { "{}", "{\"a\":1}", "{\"b\":null}", "{\"b\":null,\"a\":1}" },
	  { "{\"c\":1}", "{\"a\":\"x\"}" } },
};

START_TEST(values)
{
	struct grammar *g;
	cJSON *schema = parsed(cases[_i].schema);
	struct err e;

	ck_assert_msg(!open_schema(&g, schema, &e), "%s: %s", cases[_i].schema, e.text);
	for (size_t i = 0; i < 8 && cases[_i].good[i]; i++)
		ck_assert_msg(takes(g, bytes_of(cases[_i].good[i])), "%s: %s", cases[_i].schema,
		              cases[_i].good[i]);
	for (size_t i = 0; i < 10 && cases[_i].bad[i]; i++)
		ck_assert_msg(!takes(g, bytes_of(cases[_i].bad[i])), "%s: %s", cases[_i].schema,
		              cases[_i].bad[i]);
	grammar_release(g);
	cJSON_Delete(schema);
}
END_TEST

/* ---- what is refused, and how it is called */

static const struct {
	const char *schema, *found;
} refused[] = {
	{ "{\"type\":\"array\",\"uniqueItems\":true}", "/uniqueItems: " },
	{ "{\"properties\":{\"a/b\":{\"uniqueItems\":true}}}", "/properties/a~1b/uniqueItems: " },
	{ "{\"type\":\"strin\"}", "/type: no such type" },
	{ "{\"oneOf\":[{\"format\":\"date\"},{\"minLength\":1}]}",
	  "/oneOf: a value may be of 0 and 1" },
	{ "{\"if\":{\"format\":\"date\"},\"then\":{\"minLength\":2}}", "/if/format: what this" },
	{ "{\"type\":\"array\",\"items\":{\"enum\":[1,2]},\"uniqueItems\":true,\"contains\":"
	  "{\"const\":1}}",
	  "/uniqueItems: not beside contains" },
	{ "{\"requird\":[\"a\"]}", "/requird: this keyword is not supported" },
	{ "{\"$ref\":\"http://example.com/x\"}", "/$ref: no schema" },
	{ "{\"$ref\":\"#/$defs/none\"}", "/$ref: no schema" },
	{ "{\"pattern\":\"(?=a)b\"}", "/pattern: the pattern: byte " },
	{ "{\"pattern\":\"\\\\bfoo\"}", "/pattern: " },
	{ "{\"pattern\":\"(a)\\\\1\"}", "/pattern: " },
	{ "{\"format\":\"regex\"}", "/format: " },
	{ "{\"maxLength\":1000000}", "/maxLength: " },
	{ "{\"minLength\":-1}", "/minLength: expected a count" },
	{ "{\"items\":[{}]}", "/items: " },
	{ "{\"dependentRequired\":[]}", "/dependentRequired: expected an object" },
	{ "{\"dependentSchemas\":{\"a\":[\"b\"]}}", "/dependentSchemas/a: expected a schema" },
	{ "{\"multipleOf\":0.3}", "/multipleOf: " },
	{ "{\"not\":{\"multipleOf\":2}}", "/not/multipleOf: what this leaves out" },
	{ "{\"not\":{\"enum\":[[1]]}}", "/not: arrays and objects" },
	{ "false", "no text at all would do" },
	{ "{\"not\":{\"$ref\":\"#\"}}", "no text at all would do" },
	{ "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}",
	  "no text at all would do" },
	{ "{\"type\":\"integer\",\"minimum\":2,\"maximum\":1}", "no text at all would do" },
	{ "{\"$dynamicRef\":\"#a\"}", "/$dynamicRef: this keyword" },
	{ "{\"type\":\"array\",\"minItems\":900000,\"items\":{\"type\":\"array\",\"minItems\":"
	  "900000}}",
	  "counts of items" },
	{ "{\"type\":\"array\",\"maxItems\":60000,\"items\":{\"type\":\"array\",\"maxItems\":60001}"
	  "}",
	  "1000000 states" },
	{ "{\"pattern\":\"^((a{0,100}){0,100}){0,100}$\"}", "too big" },
	{ "{\"pattern\":\"(x.{0,200}y|y.{0,200}x){1,20}z\"}", "/pattern: " },
	{ "{\"properties\":{\"a\":{\"$id\":\"x\"}}}", "/properties/a/$id" },
	{ "[]", "expected a schema" },
};

START_TEST(refusals)
{
	struct grammar *g = NULL;
	cJSON *schema = parsed(refused[_i].schema);
	struct err e;

	ck_assert_msg(open_schema(&g, schema, &e), "%s", refused[_i].schema);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_msg(strstr(e.text, refused[_i].found), "%s: %s", refused[_i].schema, e.text);
	cJSON_Delete(schema);
}
END_TEST

/* ---- JSON-Schema-Test-Suite: an instance is taken in some order of its
 * members, since a grammar fixes one */

struct orders {
	struct grammar *g;
	const cJSON *root;
	bool found;
	int left;
};

static void try(struct orders *o, cJSON *copy, cJSON *at);

enum { MEMBERS = 64 };

/* The members in this order. */
static void link_up(cJSON *at, cJSON **k, int n)
{
	for (int i = 0; i < n; i++) {
		k[i]->next = i + 1 < n ? k[i + 1] : NULL;
		k[i]->prev = k[i ? i - 1 : n - 1];
	}
	at->child = k[0];
}

/* Every order of the members of `at`, then what comes after it. */
static void permute(struct orders *o, cJSON *copy, cJSON *at, int from)
{
	cJSON *k[MEMBERS], *moved;
	int n = 0;

	for (cJSON *v = at->child; v && n < MEMBERS; v = v->next)
		k[n++] = v;
	if (!cJSON_IsObject(at) || n == MEMBERS || from >= n - 1) {
		try(o, copy, at);
		return;
	}
	for (int i = from; i < n && !o->found && o->left > 0; i++) {
		moved = k[i];
		memmove(k + from + 1, k + from, (size_t)(i - from) * sizeof *k);
		k[from] = moved;
		link_up(at, k, n);
		permute(o, copy, at, from + 1);
		memmove(k + from, k + from + 1, (size_t)(i - from) * sizeof *k);
		k[i] = moved;
		link_up(at, k, n);
	}
}

static cJSON *following(cJSON *root, cJSON *at, bool *seen)
{
	cJSON *k, *found;

	cJSON_ArrayForEach(k, root)
	{
		if (*seen && cJSON_IsObject(k) && k->child && k->child->next)
			return k;
		*seen |= k == at;
		if ((found = following(k, at, seen)))
			return found;
	}
	return NULL;
}

static void try(struct orders *o, cJSON *copy, cJSON *at)
{
	bool seen = at == copy;
	cJSON *next = following(copy, at, &seen);
	struct buf text = { 0 };
	struct err e;

	if (next) {
		permute(o, copy, next, 0);
		return;
	}
	ck_assert(!json_write(&text, copy, 0, false, &e));
	o->left--;
	o->found = takes(o->g, buf_bytes(&text));
	buf_release(&text);
}

static bool taken(struct grammar *g, const cJSON *value)
{
	cJSON *copy = cJSON_Duplicate(value, true);
	struct orders o = { .g = g, .left = 3000 };

	permute(&o, copy, copy, 0);
	cJSON_Delete(copy);
	return o.found;
}

struct counts {
	int schemas, refused, valid, narrower, invalid, wrong;
};

static void run_group(const cJSON *group, const char *file, struct counts *c, bool verbose)
{
	const cJSON *t;
	struct grammar *g;
	struct err e;

	c->schemas++;
	if (open_schema(&g, json_get(group, "schema"), &e)) {
		ck_assert_msg(e.kind == ERR_INPUT, "%s: %s", file, e.text);
		c->refused++;
		if (verbose)
			printf("refused %s: %s: %s\n", file,
			       json_get(group, "description")->valuestring, e.text);
		return;
	}
	cJSON_ArrayForEach(t, json_get(group, "tests"))
	{
		bool valid = cJSON_IsTrue(json_get(t, "valid")),
		     yes = taken(g, json_get(t, "data"));

		c->valid += valid;
		c->invalid += !valid;
		c->narrower += valid && !yes;
		c->wrong += !valid && yes;
		if (valid != yes && (verbose || yes))
			printf("%s %s: %s: %s\n", yes ? "WRONG" : "narrower", file,
			       json_get(group, "description")->valuestring,
			       json_get(t, "description")->valuestring);
	}
	grammar_release(g);
}

static void run_file(const char *path, struct counts *c)
{
	struct file_map f;
	const cJSON *group;
	struct err e;
	cJSON *all;

	ck_assert_msg(!file_map(&f, path, &e), "%s", e.text);
	all = json_parse(f.bytes, &e);
	if (!all)
		printf("not read: %s\n", e.text);
	cJSON_ArrayForEach(group, all)
	{
		run_group(group, path, c, getenv("VERBOSE"));
	}
	cJSON_Delete(all);
	file_unmap(&f);
}

START_TEST(test_suite)
{
	static const char *const folders[] = { "", "/optional", "/optional/format" };
	const char *shared = getenv("SHARED");
	struct counts c = { 0 };

	if (!shared)
		return;
	for (size_t i = 0; i < 3; i++) {
		char path[4096];
		struct dirent *d;
		DIR *dir;

		snprintf(path, sizeof path, "%s/data/json/JSON-Schema-Test-Suite/draft2020-12%s",
		         shared, folders[i]);
		dir = opendir(path);
		ck_assert_msg(dir != NULL, "%s", path);
		while ((d = readdir(dir))) {
			char file[5000];

			if (!strstr(d->d_name, ".json"))
				continue;
			snprintf(file, sizeof file, "%s/%s", path, d->d_name);
			run_file(file, &c);
		}
		closedir(dir);
	}
	printf("JSON-Schema-Test-Suite: %d schemas, %d refused; of the others' instances %d valid, "
	       "%d "
	       "of them not taken, %d invalid, %d of them taken\n",
	       c.schemas, c.refused, c.valid, c.narrower, c.invalid, c.wrong);
	ck_assert_int_eq(c.wrong, 0);
}
END_TEST

/* llguidance's sample: a schema within its own wrapping, and a value. */
START_TEST(samples)
{
	const char *shared = getenv("SHARED");
	char path[4096];
	struct file_map f;
	struct grammar *g;
	cJSON *schema, *value;
	struct err e;

	if (!shared)
		return;
	snprintf(path, sizeof path, "%s/data/json/llguidance-samples/blog.schema.ll.json", shared);
	ck_assert_msg(!file_map(&f, path, &e), "%s", e.text);
	schema = json_parse(f.bytes, &e);
	ck_assert_msg(schema != NULL, "%s", e.text);
	file_unmap(&f);
	snprintf(path, sizeof path, "%s/data/json/llguidance-samples/blog.sample.json", shared);
	ck_assert_msg(!file_map(&f, path, &e), "%s", e.text);
	value = json_parse(f.bytes, &e);
	ck_assert_msg(value != NULL, "%s", e.text);
	file_unmap(&f);
	ck_assert_msg(
		!open_schema(&g, json_get(json_get(schema, "grammars")->child, "json_schema"), &e),
		"%s", e.text);
	ck_assert(taken(g, value));
	cJSON_DeleteItemFromObject(value, "author");
	ck_assert(!taken(g, value));
	grammar_release(g);
	cJSON_Delete(schema);
	cJSON_Delete(value);
}
END_TEST

Suite *schema_suite(void);
Suite *schema_suite(void)
{
	Suite *s = suite_create("schema");
	TCase *t = tcase_create("values"), *shared = tcase_create("shared");

	tcase_set_timeout(t, 60); /* sanitizers, and a pattern that is hard to refuse */
	tcase_add_loop_test(t, values, 0, sizeof cases / sizeof *cases);
	tcase_add_loop_test(t, refusals, 0, sizeof refused / sizeof *refused);
	suite_add_tcase(s, t);
	tcase_set_tags(shared, "shared");
	tcase_set_timeout(shared, 120);
	tcase_add_test(shared, test_suite);
	tcase_add_test(shared, samples);
	suite_add_tcase(s, shared);
	return s;
}
