/* SPDX-License-Identifier: MIT */
/* template.c - any bytes as a chat template; one that opens is rendered
 * for a conversation that has everything in it. */
#include "text/text.h"

#include "util/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char vars[] =
	"{\"messages\": [{\"role\": \"system\", \"content\": \"Be brief.\\n \"},"
	"{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"\xC3\xA9\xE6\x97\xA5 "
        "<b>\"}]},"
	"{\"role\": \"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"a1\", \"type\": "
        "\"function\","
	"\"function\": {\"name\": \"f\", \"arguments\": {\"x\": [1, 2.5, true, null], \"y\": "
        "\"a'b\\\"c\"}}}]},"
	"{\"role\": \"tool\", \"tool_call_id\": \"a1\", \"name\": \"f\", \"content\": \"{}\"},"
	"{\"role\": \"user\", \"content\": \"<think>a</think>\"}],"
	"\"tools\": [{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": "
        "{\"type\": \"object\","
	"\"properties\": {\"x\": {\"type\": [\"array\", \"null\"]}, \"y\": {\"enum\": [\"a\", "
        "\"b\"]}}}}}],"
	"\"add_generation_prompt\": true, \"bos_token\": \"<s>\", \"eos_token\": \"</s>\", \"x\": "
        "-7,"
	"\"big\": 123456789012345678901234567890, \"f\": 1e300, \"e\": {}, \"l\": []}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct chat_template *t = NULL;
	struct buf out = { 0 };
	struct tm now = { .tm_year = 126, .tm_mon = 1, .tm_mday = 3 };
	struct err e;
	cJSON *v;

	if (template_open(&t, (struct bytes){ data, n }, &e)) {
		if (e.kind != ERR_INPUT || !strstr(e.text, n && !memchr(data, 0, n) ? ":" : ""))
			abort();
		return 0;
	}
	v = json_parse(bytes_of(vars), &e);
	if (!v)
		abort();
	if (template_render(t, v, &now, &out, &e) == 0 && utf8_valid(buf_bytes(&out)) != out.n)
		abort();
	cJSON_Delete(v);
	buf_release(&out);
	template_close(t);
	return 0;
}
