/* SPDX-License-Identifier: MIT */
/* json.c - any bytes as JSON: the tree and the pull reader agree on what is
 * JSON (keys that come twice aside), and what is written reads back. */
#include "util/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int pull(struct bytes text)
{
	struct json_pull j;
	struct err e;
	enum json_token t;

	json_pull_init(&j, text);
	do
		t = json_next(&j, &e);
	while (t != JSON_END && t != JSON_ERROR);
	json_pull_release(&j);
	return t == JSON_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct bytes text = { data, n };
	struct buf b = { 0 };
	struct err e;
	cJSON *tree = json_parse(text, &e), *again;

	if (!tree)
		return 0;
	if (!pull(text) || json_write(&b, tree, 2, true, &e))
		abort();
	again = json_parse(buf_bytes(&b), &e);
	if (!again || !cJSON_Compare(tree, again, 1))
		abort();
	cJSON_Delete(again);
	cJSON_Delete(tree);
	buf_release(&b);
	return 0;
}
