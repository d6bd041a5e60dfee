/* SPDX-License-Identifier: MIT */
/* call_forms.c - how families write calls of tools, as rows to write by: what
 * reason.c's rows read */
#include <string.h>

#include "text/reason.h"

#define T(tag) "\1" tag "\1"
#define BAR "\xEF\xBD\x9C"
#define GAP "\xE2\x96\x81"
#define DS(a, b, c) T("<" BAR a GAP b GAP c BAR ">")
#define NAME_JSON "{\"name\": \""
#define ARGUMENTS "\", \"arguments\": "
#define PARAMETERS "\", \"parameters\": "

static const struct call_form forms[] = {
	{ .row = "hermes", .before = T("<tool_call>") "\n" NAME_JSON, .middle = ARGUMENTS,
	  .after = "}\n" T("</tool_call>"), .between = "\n" },
	{ .row = "llama3", .before = NAME_JSON, .middle = PARAMETERS, .after = "}", .between = "; " },
	{ .row = "mistral", .needs = "[ARGS]", .before = T("[TOOL_CALLS]"), .middle = T("[ARGS]") },
	{ .row = "mistral", .open = T("[TOOL_CALLS]") "[", .before = NAME_JSON, .middle = ARGUMENTS,
	  .after = "}", .between = ", ", .close = "]" },
	{ .row = "deepseek", .open = DS("tool", "calls", "begin"),
	  .before = DS("tool", "call", "begin") "function" T("<" BAR "tool" GAP "sep" BAR ">"),
	  .middle = "\n```json\n", .after = "\n```" DS("tool", "call", "end"),
	  .close = DS("tool", "calls", "end") },
	{ .row = "kimi", .open = T("<|tool_calls_section_begin|>"),
	  .before = T("<|tool_call_begin|>") "functions.",
	  .middle = ":0" T("<|tool_call_argument_begin|>"), .after = T("<|tool_call_end|>"),
	  .close = T("<|tool_calls_section_end|>"), .single = true },
	{ .row = "phi4", .open = T("<|tool_call|>") "[", .before = NAME_JSON, .middle = ARGUMENTS,
	  .after = "}", .between = ", ", .close = "]" T("<|/tool_call|>") },
	{ .row = "cohere", .open = T("<|START_ACTION|>") "[", .before = "{\"tool_name\": \"",
	  .middle = PARAMETERS, .after = "}", .between = ", ", .close = "]" T("<|END_ACTION|>") },
	{ .row = "apriel", .open = T("<tool_calls>") "[", .before = NAME_JSON, .middle = ARGUMENTS,
	  .after = "}", .between = ", ", .close = "]" T("</tool_calls>") },
	{ .row = "firefunction", .open = "functools[", .before = NAME_JSON, .middle = ARGUMENTS,
	  .after = "}", .between = ", ", .close = "]" },
	{ .row = "gigachat", .before = T("<|function_call|>") NAME_JSON, .middle = ARGUMENTS,
	  .after = "}", .single = true },
	/* a tag per argument */
	{ .row = "qwen-coder", .before = T("<tool_call>") "\n<function=", .middle = ">\n",
	  .after = "</function>\n" T("</tool_call>"), .between = "\n", .argument = "<parameter=",
	  .value = ">\n", .value_end = "\n</parameter>", .gap = "\n" },
	{ .row = "glm", .before = T("<tool_call>"), .middle = "\n", .after = T("</tool_call>"),
	  .between = "\n", .argument = T("<arg_key>"), .value = T("</arg_key>") "\n" T("<arg_value>"),
	  .value_end = "</arg_value>", .gap = "\n" },
	{ .row = "minimax", .open = T("<minimax:tool_call>") "\n", .before = "<invoke name=\"",
	  .middle = "\">\n", .after = "</invoke>\n", .close = T("</minimax:tool_call>"),
	  .argument = "<parameter name=\"", .value = "\">", .value_end = "</parameter>", .gap = "\n" },
};

const struct call_form *manner_call_form(struct manner m, const struct tokenizer *t)
{
	for (size_t i = 0; m.call && i < sizeof forms / sizeof *forms; i++)
		if (!strcmp(forms[i].row, m.call->name) &&
		    (!forms[i].needs || (t && tokenizer_find(t, bytes_of(forms[i].needs)) >= 0)))
			return &forms[i];
	return NULL;
}

const char *manner_call_begin(struct manner m)
{
	return m.call ? m.call->begin : NULL;
}
