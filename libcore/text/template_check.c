/* SPDX-License-Identifier: MIT */
#include "text/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *template_suite(void);

static const struct tm now = { .tm_year = 126,
	                       .tm_mon = 1,
	                       .tm_mday = 3,
	                       .tm_hour = 14,
	                       .tm_min = 5,
	                       .tm_sec = 6,
	                       .tm_wday = 2,
	                       .tm_yday = 33 };

static int render(const char *template, const char *vars, struct buf *out, struct err *e)
{
	struct chat_template *t = NULL;
	cJSON *v = json_parse(bytes_of(vars), e);
	int rc;

	ck_assert_ptr_nonnull(v);
	rc = template_open(&t, bytes_of(template), e) || template_render(t, v, &now, out, e) ? -1 :
	                                                                                       0;
	buf_add_text(out, "");
	cJSON_Delete(v);
	template_close(t);
	return rc;
}

static void gives(const char *template, const char *vars, const char *text)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	ck_assert_msg(!render(template, vars, &out, &e), "%s: %s", template, e.text);
	ck_assert_msg(!strcmp((char *)out.p, text), "%s: [%s], expected [%s]", template,
	              (char *)out.p, text);
	buf_release(&out);
}

static void refused(const char *template, const char *message)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	ck_assert_msg(render(template, "{}", &out, &e) == -1, "%s: [%s]", template, (char *)out.p);
	ck_assert_str_eq(e.text, message);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_uint_eq(out.n, 0);
	buf_release(&out);
}

START_TEST(blanks_go_as_hugging_face_has_it)
{
	gives("a\n  {% if true %}\n  b\n  {% endif %}\nc\n", "{}", "a\n  b\nc");
	gives("a {%- if true %} b {% endif -%} \n c", "{}", "a b c");
	gives("  {%+ if true %}\nx{% endif +%}\ny", "{}", "  x\ny");
	gives("a {#- b -#}\n c {# d #}\ne", "{}", "ac e");
	gives("  {# d #}\ne\r\nf\rg", "{}", "e\nf\ng");
	gives("{% raw %}{{ x }}\n{% endraw %}\ny {{- 'z' -}} \n", "{}", "{{ x }}\nyz");
	gives("{{ {'a': {'b': 1}}['a']['b'] }}}}", "{}", "1}}");
}
END_TEST

START_TEST(values_are_python_s)
{
	gives("{{ 7 // -2 }} {{ 7 % -2 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1e16 }} {{ 0.1 + 0.2 }} {{ "
	      "3.0 }}",
	      "{}", "-4 -1 3.5 1024 1e+16 0.30000000000000004 3.0");
	gives("{{ [1, 'a', none, true, 1.5] }} {{ (1,) }} {{ {'a': \"it's\"} }} {{ x }}",
	      "{\"x\": 123456789012345678901234567890}",
	      "[1, 'a', None, True, 1.5] (1,) {'a': \"it's\"} 123456789012345678901234567890");
	gives("{{ x[1:] }}{{ x[::-1] }}{{ x[-1] }}{{ x | length }}{{ x.upper() }}",
	      "{\"x\": \"a\xC3\xA9\xE6\x97\xA5\"}",
	      "\xC3\xA9\xE6\x97\xA5\xE6\x97\xA5\xC3\xA9"
	      "a\xE6\x97\xA5"
	      "3A\xC3\x89\xE6\x97\xA5");
	gives("{{ l[1:3] }}{{ l[::-2] }}{{ l[-2:] }}{{ l[5] is defined }}", "{\"l\": [0, 1, 2, 3]}",
	      "[1, 2][3, 1][2, 3]False");
	gives("{{ 1 < 2 < 3 }}{{ 'a' in 'abc' }}{{ 2 not in [1] }}{{ none == false }}{{ 1 == true "
	      "}}",
	      "{}", "TrueTrueTrueFalseTrue");
	gives("{{ 'a' ~ 1 ~ none }}{{ 'ab' * 2 }}{{ '%s-%03d' % ('x', 7) }}{{ a if b }}", "{}",
	      "a1Noneababx-007");
	gives("{{ '\\u00e9\\n\\x41' 'b' }}", "{}", "\xC3\xA9\nAb");
	gives("{{ ('<a>' | safe) + '\"' }}{{ '\"' + '<' }}", "{}", "<a>&#34;\"<");
}
END_TEST

START_TEST(filters_tests_and_methods)
{
	gives("{{ d | tojson }}|{{ d | tojson(indent=2) }}|{{ d | tojson(separators=(',', ':'), "
	      "sort_keys=true) }}",
	      "{\"d\": {\"b\": [1, 2.50, \"\xC3\xA9<\"], \"a\": {}}}",
	      "{\"b\": [1, 2.5, \"\xC3\xA9<\"], \"a\": {}}|{\n  \"b\": [\n    1,\n    2.5,\n    "
	      "\"\xC3\xA9<\"\n  ],\n"
	      "  \"a\": {}\n}|{\"a\":{},\"b\":[1,2.5,\"\xC3\xA9<\"]}");
	gives("{{ l | map(attribute='n') | join(',') }}{{ l | selectattr('n', 'gt', 1) | list | "
	      "length }}"
	      "{{ l | map(attribute='n') | sort(reverse=true) }}{{ l | rejectattr('x') | list | "
	      "length }}",
	      "{\"l\": [{\"n\": 1}, {\"n\": 3}, {\"n\": 2}]}", "1,3,22[3, 2, 1]3");
	gives("{% for k, v in d | dictsort %}{{ k }}{{ v }}{% endfor %}{% for k, v in d.items() "
	      "%}{{ k }}{% endfor %}",
	      "{\"d\": {\"b\": 1, \"a\": 2}}", "a2b1ba");
	gives("{{ x is defined }}{{ none is none }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is "
	      "iterable }}"
	      "{{ 1 is number }}{{ 4 is divisibleby 2 }}{{ 3 is odd and 1 is eq 1 }}",
	      "{}", "FalseTrueTrueTrueTrueTrueTrueTrue");
	gives("{{ ' a b '.strip() }}{{ 'a,b,c'.split(',')[-1] }}{{ 'xxa'.lstrip('x') }}{{ "
	      "'aXbX'.replace('X', '-', 1) }}"
	      "{{ 'ab'.startswith('a') }}{{ 'a b  c'.split() }}{{ 'a.b.c'.rsplit('.', 1) }}{{ "
	      "'aa'.replace('', '-') }}",
	      "{}", "a bcaa-bXTrue['a', 'b', 'c']['a.b', 'c']-a-a-");
	gives("{{ d.get('x', 1) }}{{ d.get('y') }}{{ d.keys() | list }}{{ d.items | default('m') "
	      "is callable }}",
	      "{\"d\": {\"a\": 1}}", "1None['a']True");
	gives("{{ 'a\nb' | indent(2) }}{{ ' x ' | trim }}{{ 'aB' | capitalize }}{{ '12' | int + 1 "
	      "}}{{ y | d('z') }}",
	      "{}", "a\n  bxAb13z");
	gives("{{ strftime_now('%d %b %Y %H:%M') }}", "{}", "03 Feb 2026 14:05");
}
END_TEST

START_TEST(statements)
{
	gives("{% for i in [1, 2, 3] if i != 2 %}{{ loop.index }}/{{ loop.length }}{{ loop.first }}"
	      "{{ loop.previtem is defined }} {% else %}none{% endfor %}",
	      "{}", "1/2TrueFalse 2/2FalseTrue ");
	gives("{% for i in range(9) %}{% if i == 1 %}{% continue %}{% elif i == 4 %}{% break %}{% "
	      "endif %}"
	      "{{ i }}{% endfor %}",
	      "{}", "023");
	gives("{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}"
	      "{% set n = namespace(x=1) %}{% for i in [1] %}{% set n.x = 2 %}{% endfor %}{{ n.x "
	      "}}",
	      "{}", "12");
	gives("{% macro m(a, b='x') %}[{{ a }}{{ b }}{{ caller() if caller is defined }}]{% "
	      "endmacro %}"
	      "{{ m(1) }}{{ m(1, b=2) }}{% call m(3) %}in{% endcall %}",
	      "{}", "[1x][12][3xin]");
	gives("{% set t %}a{{ 1 }}{% endset %}{{ t }}{% filter upper %}ab{% endfilter %}"
	      "{% generation %}g{% endgeneration %}{% with a=1, b=2 %}{{ a + b }}{% endwith %}",
	      "{}", "a1ABg3");
	gives("{% for x in t recursive %}{{ x.n }}{{ loop.depth }}{{ loop(x.c) if x.c }}{% endfor "
	      "%}",
	      "{\"t\": [{\"n\": \"a\", \"c\": [{\"n\": \"b\"}]}, {\"n\": \"c\"}]}", "a1b2c1");
	gives("{% set a, b = [1, 2] %}{{ b }}{{ a }}{% if x is undefined %}u{% endif %}", "{}",
	      "21u");
}
END_TEST

START_TEST(refusals_say_where)
{
	refused("a\n {{ x.y }}", "line 2, column 6: 'x' is undefined");
	refused("{% if %}", "line 1, column 7: expected an expression, found %}");
	refused("{{ 'a }}", "line 1, column 4: a string that does not end");
	refused("\n{% for x in y %}", "line 2, column 17: expected \"endfor\", found the end");
	refused("{% what %}", "line 1, column 4: unknown tag \"what\"");
	refused("{{ x | nothing }}", "line 1, column 6: no filter named 'nothing'");
	refused("{{ raise_exception('no ' ~ 1) }}",
	        "line 1, column 19: the template refuses: no 1");
	refused("{{ 'a' + 1 }}",
	        "line 1, column 8: a string and an int: no such operator between them");
	refused("{% for i in [1] %}{% do [].append(1) %}{% endfor %}",
	        "line 1, column 34: a list cannot be changed by a template");
	refused("{{ 9223372036854775807 + 1 }}",
	        "line 1, column 4: expected an integer of 64 bits");
	refused("{{ 2 ** 64 }}", "line 1, column 6: an integer past 64 bits");
	refused("{# a", "line 1, column 1: no #} for this {#");
	refused("\xff", "byte 0: not UTF-8");
}
END_TEST

static void ends(const char *template, const char *message)
{
	struct buf out = { 0 };
	struct err e = { 0 };

	ck_assert_int_eq(render(template, "{}", &out, &e), -1);
	ck_assert_msg(bytes_ends(bytes_of(e.text), message), "%s, expected %s", e.text, message);
	ck_assert_msg(bytes_starts(bytes_of(e.text), "line 1, column "), "%s", e.text);
	buf_release(&out);
}

START_TEST(no_template_runs_away)
{
	struct buf deep = { 0 };

	ends("{% set l = range(9999) %}{% for a in l %}{% for b in l %}{% if l == 1 %}{% endif "
	     "%}{% endfor %}{% endfor %}",
	     "takes too many steps");
	ends("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested over 900 deep");
	ends("{{ ('x' * 100000) * 100000 }}", "takes too much memory");
	ends("{% set n = namespace(s='x') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}{% "
	     "endfor %}",
	     "takes too much memory");
	ends("{% set s = 'x' * 1000000 %}{% for i in range(99) %}{{ s }}{% endfor %}",
	     "makes too much text");
	buf_add_text(&deep, "{{ ");
	for (int i = 0; i < 1000; i++)
		buf_add_byte(&deep, '(');
	for (int i = 0; i < 1000; i++)
		buf_add_byte(&deep, ')');
	buf_add_text(&deep, " }}");
	ends((char *)deep.p, "nested over 150 deep");
	buf_release(&deep);
}
END_TEST

/* ---- every template that was published, beside the reference's text */

struct tally {
	size_t n, same, raised, left, wrong;
};

static cJSON *read_json(const char *path)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	cJSON *v;

	ck_assert_msg(!file_read(&b, path, 0, &e), "%s: %s", path, e.text);
	v = json_parse(buf_bytes(&b), &e);
	ck_assert_msg(v != NULL, "%s: %s", path, e.text);
	buf_release(&b);
	return v;
}

static void one_case(const char *name, const struct chat_template *t, const cJSON *vars,
                     const cJSON *want, const struct err *opened, struct tally *n)
{
	struct buf out = { 0 };
	struct err e = *opened;
	bool ok = t && template_render(t, vars, &now, &out, &e) == 0;
	const cJSON *kind = json_get(want, "kind"), *text = json_get(want, "text");

	buf_add_text(&out, "");
	n->n++;
	if (cJSON_IsTrue(json_get(want, "ok"))) {
		bool same = ok && !strcmp((char *)out.p, text->valuestring);

		n->same += same;
		n->wrong += !same;
		if (!same)
			printf("%s: %s: %s\n  [%s]\n  expected [%s]\n", name,
			       json_get(want, "case")->valuestring, ok ? "" : e.text, (char *)out.p,
			       text->valuestring);
	} else if (!strcmp(kind->valuestring, "raised")) {
		n->raised += !ok;
		n->wrong += ok;
		if (ok)
			printf("%s: %s: did not raise\n", name,
			       json_get(want, "case")->valuestring);
	} else {
		n->left++;
	}
	buf_release(&out);
}

static void add_tokens(cJSON *vars, const cJSON *tokens)
{
	const cJSON *c;

	cJSON_ArrayForEach(c, tokens) if (!json_get(vars, c->string))
		cJSON_AddItemToObject(vars, c->string, cJSON_Duplicate(c, 1));
}

static void one_template(const char *dir, const char *name, const cJSON *all, struct tally *n)
{
	char path[512];
	struct chat_template *t = NULL;
	struct buf text = { 0 };
	struct err e = { 0 };
	const cJSON *c, *want;
	cJSON *expected;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	ck_assert_int_eq(file_read(&text, path, 0, &e), 0);
	snprintf(path, sizeof path, "%s/expected/%.*s.A.json", dir, (int)(strlen(name) - 6), name);
	expected = read_json(path);
	if (template_open(&t, buf_bytes(&text), &e))
		printf("%s: %s\n", name, e.text);
	want = json_get(expected, "cases")->child;
	cJSON_ArrayForEach(c, json_get(all, "cases"))
	{
		ck_assert_str_eq(json_get(c, "case")->valuestring,
		                 json_get(want, "case")->valuestring);
		one_case(name, t, json_get(c, "context"), want, &e, n);
		want = want->next;
	}
	cJSON_Delete(expected);
	template_close(t);
	buf_release(&text);
}

START_TEST(all_published_templates)
{
	const char *shared = getenv("SHARED");
	char dir[256], path[512];
	struct arena a = { 0 };
	struct tally n = { 0 };
	struct err e;
	size_t n_files;
	char **files;
	cJSON *all;
	cJSON *c;

	snprintf(dir, sizeof dir, "%s/data/templates", shared ? shared : ".");
	snprintf(path, sizeof path, "%s/cases_A.json", dir);
	if (!file_exists(path))
		return;
	all = read_json(path);
	cJSON_ArrayForEach(c, json_get(all, "cases"))
		add_tokens(cJSON_GetObjectItem(c, "context"), json_get(all, "special_tokens"));
	files = file_list(&a, dir, &n_files, &e);
	ck_assert_ptr_nonnull(files);
	for (size_t i = 0; i < n_files; i++)
		if (bytes_ends(bytes_of(files[i]), ".jinja"))
			one_template(dir, files[i], all, &n);
	printf("%zu cases: %zu equal, %zu raise, %zu of Python's own errors left out, %zu wrong\n",
	       n.n, n.same, n.raised, n.left, n.wrong);
	cJSON_Delete(all);
	arena_release(&a);
	ck_assert_uint_eq(n.wrong, 0);
}
END_TEST

Suite *template_suite(void)
{
	Suite *s = suite_create("template");
	TCase *c = tcase_create("template"), *shared = tcase_create("published");

	tcase_add_test(c, blanks_go_as_hugging_face_has_it);
	tcase_add_test(c, values_are_python_s);
	tcase_add_test(c, filters_tests_and_methods);
	tcase_add_test(c, statements);
	tcase_add_test(c, refusals_say_where);
	tcase_add_test(c, no_template_runs_away);
	tcase_set_tags(shared, "shared");
	tcase_add_test(shared, all_published_templates);
	suite_add_tcase(s, c);
	suite_add_tcase(s, shared);
	return s;
}
