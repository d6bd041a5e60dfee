/* SPDX-License-Identifier: MIT */
/* reason.c - families of models, as rows: how they mark reasoning, how
 * they write calls of tools, how reasoning is turned on and off, what ends a
 * turn. The first row whose texts a template has counts. */
#include "text/reason.h"

#include <string.h>

static const struct think_row thinks[] = {
	/* name          a template has               begin, end */
	{ "harmony",     "<|channel|>analysis",       "", "", .harmony = true },
	{ "gemma",       "<|channel>",                "<|channel>thought", "<channel|>", false },
	{ "longcat",     "<longcat_think>",           "<longcat_think>", "</longcat_think>", false },
	{ "mistral",     "[THINK]",                   "[THINK]", "[/THINK]", false },
	{ "cohere",      "<|START_THINKING|>",        "<|START_THINKING|>", "<|END_THINKING|>", false },
	{ "seed",        "<seed:think>",              "<seed:think>", "</seed:think>", false },
	{ "kimi-vl",     "\xE2\x97\x81think\xE2\x96\xB7",
	  "\xE2\x97\x81think\xE2\x96\xB7", "\xE2\x97\x81/think\xE2\x96\xB7", false },
	{ "apriel",      "[BEGIN FINAL RESPONSE]",
	  "Here are my reasoning steps:", "[BEGIN FINAL RESPONSE]", false },
	/* qwen3, deepseek, glm, kimi, lfm2, smollm3, minimax, nemotron, ... */
	{ "think",       "</think>",                  "<think>", "</think>", false },
};
enum { N_THINKS = sizeof thinks / sizeof *thinks };

#define DS_BAR "\xEF\xBD\x9C" /* a full-width | */
#define DS_GAP "\xE2\x96\x81" /* a low line for a space */

static const struct call_row calls[] = {
	/* name, what a template has, begin, end, reader */
	{ "harmony", { "<|channel|>commentary", NULL }, NULL, NULL, NULL, 0, false },
	{ "minimax", { "<minimax:tool_call>", NULL },
	  "<minimax:tool_call>", "</minimax:tool_call>", calls_minimax, 0, false },
	{ "gemma", { "<|tool_call>", "<tool_call|>" },
	  "<|tool_call>", "<tool_call|>", calls_gemma, 0, false },
	{ "function-gemma", { "<start_function_call>", NULL },
	  "<start_function_call>", "<end_function_call>", calls_function_gemma, 0, false },
	{ "longcat", { "<longcat_tool_call>", NULL },
	  "<longcat_tool_call>", "</longcat_tool_call>", calls_longcat, 0, false },
	{ "deepseek-dsml", { DS_BAR "DSML" DS_BAR, "tool_calls" },
	  "<" DS_BAR "DSML" DS_BAR "tool_calls>", "</" DS_BAR "DSML" DS_BAR "tool_calls>",
	  calls_dsml, 0, false },
	{ "deepseek-dsml32", { DS_BAR "DSML" DS_BAR, NULL },
	  "<" DS_BAR "DSML" DS_BAR "function_calls>", "</" DS_BAR "DSML" DS_BAR "function_calls>",
	  calls_dsml, 0, false },
	{ "deepseek", { "tool" DS_GAP "calls" DS_GAP "begin", NULL },
	  "<" DS_BAR "tool" DS_GAP "calls" DS_GAP "begin" DS_BAR ">",
	  "<" DS_BAR "tool" DS_GAP "calls" DS_GAP "end" DS_BAR ">", calls_deepseek, 0, false },
	{ "kimi", { "<|tool_calls_section_begin|>", NULL },
	  "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", calls_kimi, 0, false },
	{ "mistral", { "[TOOL_CALLS]", NULL }, "[TOOL_CALLS]", NULL, calls_mistral, 0, false },
	{ "cohere", { "<|START_ACTION|>", NULL },
	  "<|START_ACTION|>", "<|END_ACTION|>", calls_json, 0, false },
	{ "apriel", { "<tool_calls>", NULL }, "<tool_calls>", "</tool_calls>", calls_json, 0, false },
	{ "glm", { "<arg_key>", "<tool_call>" }, "<tool_call>", "</tool_call>", calls_glm, 0, false },
	{ "qwen-coder", { "<tool_call>", "<function=" },
	  "<tool_call>", "</tool_call>", calls_qwen_coder, 0, false },
	{ "minicpm", { "<function name=\"", "<param name=\"" },
	  "<function name=\"", "</function>", calls_minicpm, 0, true },
	{ "lfm2", { "<|tool_list_start|>", NULL },
	  "<|tool_call_start|>", "<|tool_call_end|>", calls_python, 0, false },
	{ "lfm2", { "<|tool_call_start|>", NULL },
	  "<|tool_call_start|>", "<|tool_call_end|>", calls_python, 0, false },
	{ "phi4", { "<|tool_call|>", "<|/tool_call|>" },
	  "<|tool_call|>", "<|/tool_call|>", calls_json, 0, false },
	{ "firefunction", { "functools[", NULL }, "functools[", NULL, calls_functools, 0, true },
	{ "gigachat", { "<|function_call|>", NULL }, "<|function_call|>", NULL, calls_json, 0, false },
	{ "gigachat3", { "<|role_sep|>", "function call" },
	  "<|message_sep|>\n\nfunction call<|role_sep|>\n", NULL, calls_json, 0, false },
	{ "hermes", { "<tool_call>", NULL }, "<tool_call>", "</tool_call>", calls_json, 0, false },
	{ "llama3", { "<|python_tag|>", NULL }, "<|python_tag|>", NULL, calls_json, '{', false },
	{ "llama3", { "{\"name\": function name", NULL },
	  "<|python_tag|>", NULL, calls_json, '{', false },
	{ "pythonic", { "func_name1(params_name1", NULL }, NULL, NULL, calls_python, '[', false },
};
enum { N_CALLS = sizeof calls / sizeof *calls };

const struct think_switch think_switches[THINK_SWITCHES] = {
	{ "enable_thinking", "true", "false" },           /* qwen3, glm, smollm3, gemma4 */
	{ "thinking", "true", "false" },                  /* deepseek, kimi */
	{ "reasoning_effort", "\"medium\"", "\"low\"" }, /* gpt-oss: never quite off */
};

static const char *const turn_ends[] = {
	"<|im_end|>",    "<|eot_id|>",      "<end_of_turn>",
	"<turn|>",       "<|end_of_text|>", "<" DS_BAR "end" DS_GAP "of" DS_GAP "sentence" DS_BAR ">",
};

size_t text_find(struct bytes text, const char *what)
{
	size_t n = strlen(what);
	const unsigned char *at = text.n >= n && n ? memmem(text.p, text.n, what, n) : NULL;

	return at ? (size_t)(at - text.p) : text.n;
}

size_t text_rfind(struct bytes text, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = text.n >= n && n ? text.n - n + 1 : 0; i-- > 0;)
		if (text.p[i] == (unsigned char)what[0] && !memcmp(text.p + i, what, n))
			return i;
	return text.n;
}

bool text_has(struct bytes text, const char *what)
{
	return text_find(text, what) < text.n;
}

struct bytes text_from(struct bytes text, size_t at)
{
	return (struct bytes){ at ? text.p + at : text.p, text.n - at };
}

struct bytes text_trim(struct bytes text)
{
	static const char white[] = " \t\r\n\v\f";

	while (text.n && memchr(white, text.p[0], sizeof white - 1))
		text = text_from(text, 1);
	while (text.n && memchr(white, text.p[text.n - 1], sizeof white - 1))
		text.n--;
	return text;
}

struct manner manner_of(struct bytes template, const struct tokenizer *t)
{
	struct manner m = { 0 };

	for (size_t i = 0; i < N_THINKS && !m.think; i++)
		if (text_has(template, thinks[i].has))
			m.think = &thinks[i];
	/* a pair of tokens that the template leaves to the model */
	for (size_t i = 0; i < N_THINKS && !m.think && t; i++)
		if (!thinks[i].harmony && tokenizer_find(t, bytes_of(thinks[i].begin)) >= 0 &&
		    tokenizer_find(t, bytes_of(thinks[i].end)) >= 0)
			m.think = &thinks[i];
	for (size_t i = 0; i < N_CALLS && !m.call; i++)
		if (text_has(template, calls[i].has[0]) &&
		    (!calls[i].has[1] || text_has(template, calls[i].has[1])))
			m.call = &calls[i];
	return m;
}

struct manner template_manner(const struct chat_template *t)
{
	return manner_of(template_text(t), NULL);
}

bool manner_named(struct manner *out, const char *think, const char *call)
{
	*out = (struct manner){ 0 };
	for (size_t i = 0; think && i < N_THINKS; i++)
		if (!strcmp(thinks[i].name, think))
			out->think = &thinks[i];
	for (size_t i = 0; call && i < N_CALLS && !out->call; i++)
		if (!strcmp(calls[i].name, call))
			out->call = &calls[i];
	return (!think || out->think) && (!call || out->call);
}

const char *manner_think_name(struct manner m)
{
	return m.think ? m.think->name : NULL;
}

const char *manner_think_begin(struct manner m)
{
	return m.think && !m.think->harmony ? m.think->begin : NULL;
}

const char *manner_think_end(struct manner m)
{
	return m.think && !m.think->harmony ? m.think->end : NULL;
}

const char *manner_call_name(struct manner m)
{
	return m.call ? m.call->name : NULL;
}

bool manner_has(struct manner m, struct bytes tag)
{
	const char *const tags[] = { m.think ? m.think->begin : NULL,
		                     m.think ? m.think->end : NULL,
		                     m.call ? m.call->begin : NULL, m.call ? m.call->end : NULL };

	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (tags[i] && tag.n && bytes_is(tag, tags[i]))
			return true;
	return false;
}

const char *manner_turn_end(struct bytes template)
{
	for (size_t i = 0; i < sizeof turn_ends / sizeof *turn_ends; i++)
		if (text_has(template, turn_ends[i]))
			return turn_ends[i];
	return NULL;
}
