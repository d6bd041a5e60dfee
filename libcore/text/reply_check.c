/* SPDX-License-Identifier: MIT */
#include "text/text.h"

#include "util/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *reply_suite(void);

#define BAR "\xEF\xBD\x9C"
#define GAP "\xE2\x96\x81"
#define DSML BAR "DSML" BAR
#define TOOL "<" BAR "tool" GAP "call"

static const char weather[] =
	"[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": "
	"\"object\", \"properties\": {\"s\": {\"type\": \"string\"}, \"n\": {\"type\": "
	"\"integer\"}, \"o\": {\"anyOf\": [{\"type\": \"string\"}, {\"type\": \"null\"}]}}}}}]";

/* What was said, neighbours of a kind joined: "(C text)(R text)(f {} id)". */
struct told {
	struct buf text;
	int kind; /* of what is open; -1: none */
};

static int tell(void *arg, const struct reply_part *p, struct err *e)
{
	struct told *t = arg;

	if (t->kind >= 0 && t->kind != (int)p->kind) {
		buf_add_byte(&t->text, ')');
		t->kind = -1;
	}
	if (p->kind == REPLY_CALL) {
		buf_printf(&t->text, "(%s %s%s%s)", p->name, p->arguments, p->id ? " " : "",
		           p->id ? p->id : "");
		return buf_check(&t->text, e);
	}
	if (t->kind < 0)
		buf_add_text(&t->text, p->kind == REPLY_CONTENT ? "(C " : "(R ");
	t->kind = (int)p->kind;
	buf_add(&t->text, p->text.p, p->text.n);
	return buf_check(&t->text, e);
}

/* The text in pieces: cut at `cut`, then every `step` bytes (0: never). */
static void take_apart(struct told *t, struct manner m, bool thinking, const cJSON *tools,
                       struct bytes text, size_t cut, size_t step)
{
	struct chat_prompt prompt = { .thinking = thinking };
	struct reply *r = NULL;
	struct err e = { 0 };
	size_t at = 0, n = cut;

	buf_clear(&t->text);
	t->kind = -1;
	ck_assert_int_eq(reply_open(&r, m, &prompt, tools, tell, t, &e), 0);
	while (at < text.n) {
		n = n < text.n - at && n ? n : text.n - at;
		ck_assert_msg(!reply_add(r, (struct bytes){ text.p + at, n }, &e), "%s", e.text);
		at += n;
		n = step;
	}
	ck_assert_msg(!reply_end(r, &e), "%s", e.text);
	if (t->kind >= 0)
		buf_add_byte(&t->text, ')');
	buf_add_text(&t->text, "");
	reply_close(r);
}

/* However it is cut, the same is said. Gives what. */
static const char *same_at_every_byte(struct told *whole, struct manner m, bool thinking,
                                      const cJSON *tools, struct bytes text)
{
	struct told t = { 0 };

	take_apart(whole, m, thinking, tools, text, 0, 0);
	for (size_t cut = 1; cut < text.n; cut++) {
		take_apart(&t, m, thinking, tools, text, cut, 0);
		ck_assert_msg(!strcmp((char *)t.text.p, (char *)whole->text.p),
		              "[%.*s] cut at %zu:\n[%s]\nexpected [%s]", (int)text.n, text.p, cut,
		              (char *)t.text.p, (char *)whole->text.p);
	}
	for (size_t step = 1; step < 8; step++) {
		take_apart(&t, m, thinking, tools, text, step, step);
		ck_assert_str_eq((char *)t.text.p, (char *)whole->text.p);
	}
	buf_release(&t.text);
	return (char *)whole->text.p;
}

static const struct spoken {
	const char *think, *call;
	bool thinking;
	const char *text, *told;
} spoken[] = {
	/* reasoning */
	{ "think", NULL, false, "<think>\na <b\n</think>\n\nc\n", "(R a <b)(C c\n)" },
	{ "think", NULL, true, "\na\n\nb\n</think>\n\nc </thin", "(R a\n\nb)(C c </thin)" },
	{ "think", NULL, true, "never ends\n", "(R never ends\n)" },
	{ "think", NULL, false, "a</think>\nb<thin<think>c", "(C ab<thin)(R c)" },
	{ "gemma", "gemma", false, "<|channel>thought\nhm\n<channel|>yes<|chan",
	  "(R hm)(C yes<|chan)" },
	{ "mistral", NULL, false, "[THINK]a[/THINK]b[TH", "(R a)(C b[TH)" },
	{ "kimi-vl", NULL, false,
	  "\xE2\x97\x81think\xE2\x96\xB7x\xE2\x97\x81/think\xE2\x96\xB7y\xE2\x97",
	  "(R x)(C y\xE2\x97)" },
	{ "apriel", "apriel", true,
	  "\na\n[BEGIN FINAL RESPONSE]\nb\n<tool_calls>[{\"name\": \"f\", "
	  "\"arguments\": {}, \"id\": \"7\"}]</tool_calls>",
	  "(R a)(C b)(f {} 7)" },
	/* JSON */
	{ "think", "hermes", false,
	  "<think>\nx\n</think>\n\nOn it.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"s\": "
	  "\"\xC3\xA9 \\\"<\", \"n\": 1.50}}\n</tool_call>\n<tool_call>\n{\"name\": \"g\", "
	  "\"arguments\": {}}\n</tool_call>",
	  "(R x)(C On it.)(f {\"s\": \"\xC3\xA9 \\\"<\", \"n\": 1.50})(g {})" },
	{ NULL, "hermes", false, "a\n<tool_call>{\"name\": 1}</tool_call>\nb",
	  "(C a\n<tool_call>{\"name\": 1}</tool_call>\nb)" },
	{ NULL, "hermes", false, "<tool_call>{\"name\": \"f\", \"arguments\": {}}", "(f {})" },
	{ NULL, "hermes", false, "<tool_call>{\"name\": \"f\", ",
	  "(C <tool_call>{\"name\": \"f\", )" },
	{ NULL, "llama3", false, " {\"name\": \"f\", \"parameters\": {\"s\": \"x\"}}",
	  "(f {\"s\": \"x\"})" },
	{ NULL, "llama3", false, "{\"name\": \"other\", \"parameters\": {}}\n",
	  "(C {\"name\": \"other\", \"parameters\": {}}\n)" },
	{ NULL, "llama3", false,
	  "<|python_tag|>{\"name\": \"g\", \"parameters\": {}}; {\"name\": "
	  "\"f\", \"parameters\": {}}",
	  "(g {})(f {})" },
	{ NULL, "llama3", false, "  Hi {\"name\": \"f\"}", "(C   Hi {\"name\": \"f\"})" },
	{ NULL, "mistral", false,
	  "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"n\": 1}, \"id\": "
	  "\"abcdefghi\"}, {\"name\": \"g\", \"arguments\": \"{}\"}]",
	  "(f {\"n\": 1} abcdefghi)(g {})" },
	{ NULL, "mistral", false, "x[TOOL_CALLS]f[CALL_ID]1[ARGS]{\"n\": 1}[TOOL_CALLS]g[ARGS]{}",
	  "(C x)(f {\"n\": 1} 1)(g {})" },
	{ NULL, "firefunction", false,
	  " functools[{\"name\": \"f\", \"arguments\": {\"s\": \"]\"}}]",
	  "(C  )(f {\"s\": \"]\"})" },
	{ NULL, "firefunction", false, "use functools[0]\n", "(C use functools[0]\n)" },
	{ "cohere", "cohere", false,
	  "<|START_THINKING|>h<|END_THINKING|><|START_ACTION|>[{\"tool_call_id\": "
	  "\"0\", \"tool_name\": \"f\", \"parameters\": {}}]<|END_ACTION|>",
	  "(R h)(f {} 0)" },
	{ "think", "deepseek", false,
	  "ok" TOOL "s" GAP "begin" BAR ">" TOOL GAP "begin" BAR ">function<" BAR "tool" GAP
	  "sep" BAR ">f\n```json\n{\"s\": \"`\"}\n```" TOOL GAP "end" BAR ">\n" TOOL GAP "begin" BAR
	  ">g<" BAR "tool" GAP "sep" BAR ">{}" TOOL GAP "end" BAR ">" TOOL "s" GAP "end" BAR ">",
	  "(C ok)(f {\"s\": \"`\"})(g {})" },
	{ "think", "kimi", false,
	  "<|tool_calls_section_begin|><|tool_call_begin|>functions.f:0"
	  "<|tool_call_argument_begin|>{\"s\": "
	  "\"x\"}<|tool_call_end|><|tool_call_begin|>functions.g:1"
	  "<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
	  "(f {\"s\": \"x\"} functions.f:0)(g {} functions.g:1)" },
	/* tags; types come from the tool */
	{ "think", "qwen-coder", true,
	  "h\n</think>\n\n<tool_call>\n<function=f>\n<parameter=s>\n12\n"
	  "</parameter>\n<parameter=n>\n12\n</parameter>\n<parameter=o>\nnull\n</"
	  "parameter>\n<parameter=x>"
	  "\n[1, "
	  "\"a\"]\n</parameter>\n<parameter=y>\ntwo\n\nlines\n</parameter>\n</function>\n</"
	  "tool_call>",
	  "(R h)(f {\"s\": \"12\", \"n\": 12, \"o\": null, \"x\": [1, \"a\"], \"y\": "
	  "\"two\\n\\nlines\"})" },
	{ NULL, "qwen-coder", false,
	  "<tool_call>\n<function=f>\n<parameter=s>\na\n<parameter=n>\n1\n"
	  "</function>\n</tool_call>",
	  "(f {\"s\": \"a\", \"n\": 1})" },
	{ "think", "glm", false,
	  "<tool_call>f\n<arg_key>s</arg_key>\n<arg_value>1</arg_value>\n<arg_key>n"
	  "</arg_key>\n<arg_value>1</arg_value>\n</tool_call>\n<tool_call>g\n</tool_call>",
	  "(f {\"s\": \"1\", \"n\": 1})(g {})" },
	{ NULL, "longcat", false,
	  "<longcat_tool_call>f<longcat_arg_key>s</longcat_arg_key>"
	  "<longcat_arg_value>a b</longcat_arg_value></longcat_tool_call>",
	  "(f {\"s\": \"a b\"})" },
	{ "think", "minimax", false,
	  "<minimax:tool_call>\n<invoke name=\"f\">\n<parameter name=\"s\">a>b"
	  "</parameter>\n</invoke>\n<invoke name=\"g\">\n</invoke>\n</minimax:tool_call>",
	  "(f {\"s\": \"a>b\"})(g {})" },
	{ "think", "deepseek-dsml", false,
	  "<" DSML "tool_calls>\n<" DSML "invoke name=\"g\">\n<" DSML
	  "parameter name=\"a\" string=\"true\">1</" DSML "parameter>\n<" DSML
	  "parameter name=\"b\" "
	  "string=\"false\">1</" DSML "parameter>\n</" DSML "invoke>\n</" DSML "tool_calls>",
	  "(g {\"a\": \"1\", \"b\": 1})" },
	{ NULL, "minicpm", false,
	  "<function name=\"f\"><param name=\"s\">x</param></function>\n"
	  "<function name=\"g\"></function>",
	  "(f {\"s\": \"x\"})(g {})" },
	/* notations */
	{ "gemma", "gemma", false,
	  "<|tool_call>call:f{s:<|\"|>a,b}<|\"|>,n:-2,l:[1,{k:true},<|\"|>z<|\"|>],"
	  "w:bare word,e:{}}<tool_call|>",
	  "(f {\"s\": \"a,b}\", \"n\": -2, \"l\": [1, {\"k\": true}, \"z\"], \"w\": \"bare word\", "
	  "\"e\": {}})" },
	{ NULL, "function-gemma", false,
	  "<start_function_call>call:f{s:<escape>a<escape>,n:1}"
	  "<end_function_call>",
	  "(f {\"s\": \"a\", \"n\": 1})" },
	{ NULL, "lfm2", false,
	  "<|tool_call_start|>[f(s=\"a\\n'\", n=1), a.g(x=[1, (2, None)], "
	  "y={'k': True})]<|tool_call_end|>ok",
	  "(f {\"s\": \"a\\n'\", \"n\": 1})(a.g {\"x\": [1, [2, null]], \"y\": {\"k\": true}})(C "
	  "ok)" },
	{ NULL, "lfm2", false, "<|tool_call_start|>[f(1)]<|tool_call_end|>",
	  "(C <|tool_call_start|>[f(1)]<|tool_call_end|>)" },
	{ NULL, "pythonic", false, "[f(s='x')]", "(f {\"s\": \"x\"})" },
	{ NULL, "pythonic", false, "[1, 2] is a list", "(C [1, 2] is a list)" },
	/* harmony */
	{ "harmony", "harmony", false,
	  "<|channel|>analysis<|message|>Hm\n<|end|><|start|>assistant"
	  "<|channel|>commentary<|message|>I look.<|end|><|start|>assistant "
	  "to=functions.f<|channel|>"
	  "commentary <|constrain|>json<|message|>{\"s\":\"x\"}<|call|>",
	  "(R Hm\n)(C I look.)(f {\"s\": \"x\"})" },
	{ "harmony", "harmony", false, "<|channel|>commentary to=python code<|message|>print(1)",
	  "(python \"print(1)\")" },
	{ "harmony", "harmony", false, "<|channel|>final<|message|>a <|me b<|return|>",
	  "(C a <|me b)" },
	{ "harmony", "harmony", false, "no message", "(C no message)" },
	{ "harmony", "harmony", false, "<|channel|>final<|message|>x<|end|><|start|>assis",
	  "(C x)" },
};

START_TEST(each_way_of_speaking_is_understood)
{
	struct err e = { 0 };
	cJSON *tools = json_parse(bytes_of(weather), &e);

	ck_assert_ptr_nonnull(tools);
	for (size_t i = 0; i < sizeof spoken / sizeof *spoken; i++) {
		const struct spoken *s = &spoken[i];
		struct told t = { 0 };
		struct manner m;

		ck_assert_msg(manner_named(&m, s->think, s->call), "%s %s", s->think, s->call);
		ck_assert_str_eq(same_at_every_byte(&t, m, s->thinking, tools, bytes_of(s->text)),
		                 s->told);
		buf_release(&t.text);
	}
	cJSON_Delete(tools);
}
END_TEST

START_TEST(a_prompt_may_have_begun_a_message)
{
	struct chat_prompt prompt = { 0 };
	struct told t = { .kind = -1 };
	struct reply *r = NULL;
	struct manner m;
	struct err e = { 0 };

	ck_assert(manner_named(&m, "harmony", "harmony"));
	buf_add_text(&prompt.text, "<|start|>user<|message|>Hi<|end|><|start|>assistant<|channel|>"
	                           "analysis<|message|>So");
	ck_assert_int_eq(reply_open(&r, m, &prompt, NULL, tell, &t, &e), 0);
	ck_assert_int_eq(reply_add(r, bytes_of(" on<|end|>"), &e), 0);
	ck_assert_int_eq(reply_end(r, &e), 0);
	buf_add_text(&t.text, "");
	ck_assert_str_eq((char *)t.text.p, "(R  on");
	reply_close(r);
	buf_release(&t.text);
	buf_release(&prompt.text);
	ck_assert(!manner_named(&m, "nothing", NULL));
}
END_TEST

/* ---- harmony's transcripts */

static void comes_back(struct bytes text, int n)
{
	struct err e = { 0 };
	struct buf out = { 0 };
	cJSON *messages = harmony_parse(text, &e);

	ck_assert_msg(messages != NULL, "%s", e.text);
	ck_assert_int_eq(cJSON_GetArraySize(messages), n);
	ck_assert_int_eq(harmony_render(&out, messages, &e), 0);
	ck_assert_msg(bytes_equal(buf_bytes(&out), text), "[%.*s]\nexpected [%.*s]", (int)out.n,
	              out.p, (int)text.n, text.p);
	cJSON_Delete(messages);
	buf_release(&out);
}

START_TEST(harmony_comes_back)
{
	static const char text[] =
		"<|start|>user<|message|>Hi<|end|><|start|>assistant "
	        "to=functions.f<|channel|>commentary "
		"<|constrain|>json<|message|>{}<|call|><|start|>functions.f to=assistant<|channel|>"
		"commentary<|message|>1<|end|>";
	struct err e;
	cJSON *m = harmony_parse(bytes_of(text), &e), *call;

	comes_back(bytes_of(text), 3);
	comes_back(bytes_of("<|channel|>final<|message|>x<|end|>\n<|start|>assistant\n"), 3);
	comes_back(bytes_of("<|start|>assistant<|channel|>commentary  to=f code<|message|>y"), 1);
	comes_back(bytes_of(""), 0);
	call = cJSON_GetArrayItem(m, 1);
	ck_assert_str_eq(json_get(call, "recipient")->valuestring, "functions.f");
	ck_assert_str_eq(json_get(call, "content_type")->valuestring, "<|constrain|>json");
	ck_assert_str_eq(json_get(call, "end")->valuestring, "<|call|>");
	cJSON_Delete(m);
}
END_TEST

/* ---- what is published */

static const char *shared_dir(const char *name)
{
	static char path[512];

	snprintf(path, sizeof path, "%s/data/%s", getenv("SHARED") ? getenv("SHARED") : ".", name);
	return path;
}

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

/* Text of a case from what its last user said on. */
static const char *after(const char *text, const char *what)
{
	const char *at = NULL;

	for (const char *p = text; (p = strstr(p, what)); p++)
		at = p;
	return at ? at + strlen(what) : NULL;
}

/* To where the turn with the call ends. */
static struct bytes turn(const char *text)
{
	static const char *const ends[] = { "</s>", "<|eot_id|>", "<|im_end|>", "<turn|>",
		                            "<|message_sep|>" };
	static const char header[] = "assistant<|end_header_id|>\n\n";
	const char *call = strstr(text, "get_weather"), *end = text + strlen(text), *begin;

	begin = strstr(text, header);
	if (begin && begin < call)
		text = begin + strlen(header);

	for (size_t i = 0; call && i < sizeof ends / sizeof *ends; i++) {
		const char *at = strstr(call, ends[i]);

		end = at && at < end ? at : end;
	}
	return (struct bytes){ (const unsigned char *)text, (size_t)(end - text) };
}

/* Calls of a case come out as they went in, where its template shows them. */
static void one_case(const char *name, struct manner m, const cJSON *c, const cJSON *want,
                     size_t *n, size_t *n_missed)
{
	static const char *const asked[] = { "Rome?", "Paris?", "Weather?", "And 4*4?", "3*3?" };
	const cJSON *context = json_get(c, "context");
	const char *which = json_get(c, "case")->valuestring, *text = NULL;
	bool calls = strstr(which, "tool_call") != NULL, found;
	struct told t = { 0 };

	if (!cJSON_IsTrue(json_get(want, "ok")) ||
	    (!calls && !strstr(which, "think") && !strstr(which, "reason")))
		return;
	for (size_t i = calls ? 0 : 4; !text && i < 5; i++)
		text = after(json_get(want, "text")->valuestring, asked[i]);
	if (!text)
		return;
	same_at_every_byte(&t, m, false, json_get(context, "tools"), turn(text));
	++*n;
	/* some are rendered as for a page, with &#34; for quotes, and some show
	 * arguments that were given as text in a way that no model would */
	found = !calls || strstr(text, "&#34;") || strstr(text, "{{") ||
	        !strstr(text, "get_weather") || !strstr(text, "\"Paris\"") ||
	        (strstr((char *)t.text.p, "(get_weather {\"city\": \"Paris\"") &&
	         (!strstr(which, "parallel") || !strstr(text, "\"Rome\"") ||
	          strstr((char *)t.text.p, "(get_weather {\"city\": \"Rome\"")));
	if (!found) {
		printf("%s: %s: [%s]\n -> %s\n", name, which, text, (char *)t.text.p);
		++*n_missed;
	}
	buf_release(&t.text);
}

START_TEST(published_calls_and_reasoning)
{
	char path[1024], dir[512];
	struct arena a = { 0 };
	struct err e;
	size_t n_files, n = 0, n_missed = 0;
	char **files;
	cJSON *all;

	snprintf(dir, sizeof dir, "%s", shared_dir("templates"));
	snprintf(path, sizeof path, "%s/cases_A.json", dir);
	if (!file_exists(path))
		return;
	all = read_json(path);
	files = file_list(&a, dir, &n_files, &e);
	for (size_t i = 0; i < n_files; i++) {
		struct chat_template *t = NULL;
		struct buf text = { 0 };
		struct manner m;
		const cJSON *c, *want;
		cJSON *expected;

		if (!bytes_ends(bytes_of(files[i]), ".jinja"))
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		ck_assert_int_eq(file_read(&text, path, 0, &e), 0);
		ck_assert_int_eq(template_open(&t, buf_bytes(&text), &e), 0);
		m = template_manner(t);
		snprintf(path, sizeof path, "%s/expected/%.*s.A.json", dir,
		         (int)(strlen(files[i]) - 6), files[i]);
		expected = read_json(path);
		want = json_get(expected, "cases")->child;
		for (c = json_get(all, "cases")->child; c; c = c->next, want = want->next)
			one_case(files[i], m, c, want, &n, &n_missed);
		cJSON_Delete(expected);
		template_close(t);
		buf_release(&text);
	}
	printf("%zu texts, the same parse at every byte; %zu with a call that was not read\n", n,
	       n_missed);
	cJSON_Delete(all);
	arena_release(&a);
	ck_assert_uint_eq(n_missed, 0);
}
END_TEST

START_TEST(published_harmony)
{
	char path[1024], dir[512];
	struct arena a = { 0 };
	struct err e;
	size_t n_files = 0, n = 0;
	struct manner m;
	char **files;

	snprintf(dir, sizeof dir, "%s", shared_dir("harmony"));
	snprintf(path, sizeof path, "%s/MANIFEST.md", dir);
	if (!file_exists(path))
		return;
	ck_assert(manner_named(&m, "harmony", "harmony"));
	files = file_list(&a, dir, &n_files, &e);
	for (size_t i = 0; i < n_files; i++) {
		struct told t = { 0 };
		struct buf text = { 0 };
		cJSON *messages;

		snprintf(path, sizeof path, "%s/%s", dir, files[i]);
		if (!bytes_ends(bytes_of(path), ".txt"))
			continue;
		ck_assert_int_eq(file_read(&text, path, 0, &e), 0);
		messages = harmony_parse(buf_bytes(&text), &e);
		ck_assert_ptr_nonnull(messages);
		comes_back(buf_bytes(&text), cJSON_GetArraySize(messages));
		same_at_every_byte(&t, m, false, NULL, buf_bytes(&text));
		n++;
		cJSON_Delete(messages);
		buf_release(&t.text);
		buf_release(&text);
	}
	printf("%zu harmony texts come back\n", n);
	arena_release(&a);
}
END_TEST

Suite *reply_suite(void)
{
	Suite *s = suite_create("reply");
	TCase *c = tcase_create("reply"), *shared = tcase_create("published");

	tcase_add_test(c, each_way_of_speaking_is_understood);
	tcase_add_test(c, a_prompt_may_have_begun_a_message);
	tcase_add_test(c, harmony_comes_back);
	tcase_set_tags(shared, "shared");
	tcase_set_timeout(shared, 300);
	tcase_add_test(shared, published_calls_and_reasoning);
	tcase_add_test(shared, published_harmony);
	suite_add_tcase(s, c);
	suite_add_tcase(s, shared);
	return s;
}
