/* SPDX-License-Identifier: MIT */
/* yaml.c - any bytes as settings: a tree within its ceilings, or a refusal
 * that names a line. */
#include "util/yaml.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void walk(const struct yaml *y, int depth)
{
	if (depth > YAML_DEPTH || !y->line || !yaml_kind(y))
		abort();
	for (const struct yaml *c = y->child; c; c = c->next) {
		if (y->kind == YAML_TEXT || (y->kind == YAML_MAP) != (c->key != NULL))
			abort();
		walk(c, depth + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct yaml *y;
	struct err e = { 0 };

	arena_init(&a, 64 << 20);
	if (yaml_parse(&y, &a, (struct bytes){ data, n }, &e) == 0)
		walk(y, 0);
	else if (e.kind == ERR_INPUT && !(e.text[0] >= '1' && e.text[0] <= '9'))
		abort();
	arena_release(&a);
	return 0;
}
