/* SPDX-License-Identifier: MIT */
#include "text/text.h"

#include "util/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *chat_cases_suite(void);

/* A model that is nothing but a tokenizer, with the names that the published
 * cases give its special tokens. */
struct model {
	char dir[32];
	struct source *s;
	struct tokenizer *t;
};

static void put(const struct model *m, const char *name, struct bytes text)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", m->dir, name);
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(text.p, 1, text.n, f), text.n);
	fclose(f);
}

static void model_begin(struct model *m)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	*m = (struct model){ .dir = "/tmp/clm-chat-XXXXXX" };
	ck_assert_ptr_nonnull(mkdtemp(m->dir));
	ck_assert_int_eq(file_read(&b, "tests/data/text/byte.json", 1 << 20, &e), 0);
	put(m, "tokenizer.json", buf_bytes(&b));
	put(m, "tokenizer_config.json",
	    bytes_of("{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"unk_token\": "
	             "\"<unk>\", \"pad_token\": \"<pad>\"}"));
	buf_release(&b);
	ck_assert_msg(!source_open_bare(&m->s, m->dir, &e), "%s", e.text);
	ck_assert_msg(!tokenizer_open(&m->t, m->s, &e), "%s", e.text);
}

static void model_end(struct model *m)
{
	char path[128];

	tokenizer_close(m->t);
	source_close(m->s);
	snprintf(path, sizeof path, "%s/tokenizer.json", m->dir);
	(void)unlink(path);
	snprintf(path, sizeof path, "%s/tokenizer_config.json", m->dir);
	(void)unlink(path);
	ck_assert_int_eq(rmdir(m->dir), 0);
}

/* ---- published templates: what the reference renders, but where messages
 * are put in form */

static cJSON *read_json(const char *path)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	cJSON *v = NULL;

	ck_assert_msg(!file_read(&b, path, 0, &e) && (v = json_parse(buf_bytes(&b), &e)), "%s: %s",
	              path, e.text);
	buf_release(&b);
	return v;
}

/* 1: equal, 0: not, -1: the reference refused too. */
static int same_text(const struct chat *c, const cJSON *context, const cJSON *want)
{
	static const struct tm now = { .tm_year = 126,
		                       .tm_mon = 1,
		                       .tm_mday = 3,
		                       .tm_hour = 14,
		                       .tm_min = 5,
		                       .tm_sec = 6,
		                       .tm_wday = 2,
		                       .tm_yday = 33 };
	struct chat_prompt p = { 0 };
	struct err e = { 0 };
	cJSON *vars = cJSON_CreateObject();
	struct chat_input in = { .messages = json_get(context, "messages"),
		                 .tools = json_get(context, "tools"),
		                 .vars = vars,
		                 .now = &now };
	int same = -1;

	in.no_prompt = !cJSON_IsTrue(json_get(context, "add_generation_prompt"));
	if (json_get(context, "enable_thinking"))
		cJSON_AddBoolToObject(vars, "enable_thinking",
		                      cJSON_IsTrue(json_get(context, "enable_thinking")));
	if (cJSON_IsTrue(json_get(want, "ok")))
		same = chat_render(c, &in, &p, &e) == 0 &&
		       bytes_is(buf_bytes(&p.text), json_get(want, "text")->valuestring);
	chat_prompt_release(&p);
	cJSON_Delete(vars);
	return same;
}

static void one_template(const struct model *m, const char *dir, const char *name, const cJSON *all,
                         size_t n[2])
{
	static const char *const formed[] = { "tool_call_string_arguments", "content_parts",
		                              "parallel_tool_calls" };
	struct buf text = { 0 };
	struct err e = { 0 };
	char path[512];
	const cJSON *c, *want;
	cJSON *expected;
	struct chat *chat = NULL;

	snprintf(path, sizeof path, "%s/%s", dir, name);
	ck_assert_int_eq(file_read(&text, path, 0, &e), 0);
	buf_add_text(&text, "");
	ck_assert_msg(!chat_open(&chat, m->s, m->t,
	                         &(struct chat_options){ .text = buf_bytes(&text) }, &e),
	              "%s: %s", name, e.text);
	snprintf(path, sizeof path, "%s/expected/%.*s.A.json", dir, (int)(strlen(name) - 6), name);
	expected = read_json(path);
	want = json_get(expected, "cases")->child;
	for (c = json_get(all, "cases")->child; c; c = c->next, want = want->next) {
		const char *which = json_get(c, "case")->valuestring;
		bool may_differ = false;

		for (size_t i = 0; i < 3; i++)
			may_differ = may_differ || !strcmp(which, formed[i]);
		if (!may_differ) {
			int same = same_text(chat, json_get(c, "context"), want);

			n[0] += same == 1;
			n[1] += same == 0;
			if (same == 0)
				printf("%s: %s\n", name, which);
		}
	}
	cJSON_Delete(expected);
	chat_close(chat);
	buf_release(&text);
}

START_TEST(published_templates)
{
	char dir[256], path[512];
	struct arena a = { 0 };
	size_t n_files = 0, n[2] = { 0 };
	struct model m;
	struct err e;
	char **files;
	cJSON *all;

	snprintf(dir, sizeof dir, "%s/data/templates", getenv("SHARED") ? getenv("SHARED") : ".");
	snprintf(path, sizeof path, "%s/cases_A.json", dir);
	if (!file_exists(path))
		return;
	all = read_json(path);
	model_begin(&m);
	files = file_list(&a, dir, &n_files, &e);
	for (size_t i = 0; i < n_files; i++)
		if (bytes_ends(bytes_of(files[i]), ".jinja"))
			one_template(&m, dir, files[i], all, n);
	printf("%zu prompts equal, %zu not\n", n[0], n[1]);
	model_end(&m);
	cJSON_Delete(all);
	arena_release(&a);
	ck_assert_uint_eq(n[1], 0);
}
END_TEST

Suite *chat_cases_suite(void)
{
	Suite *s = suite_create("chat_cases");
	TCase *c = tcase_create("published");

	tcase_set_tags(c, "shared");
	tcase_add_test(c, published_templates);
	suite_add_tcase(s, c);
	return s;
}
