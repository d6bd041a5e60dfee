/* SPDX-License-Identifier: MIT */
/* plan.c - any bytes as a table of forms: refused, or every rule has a
 * pattern and a form that can be said again. */
#include "convert/convert.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct rule *rule = NULL;
	struct err e = { 0 };
	size_t rules = 0;

	arena_init(&a, 64 << 20);
	if (rules_parse(&rule, &rules, (struct bytes){ data, n }, &a, &e)) {
		if (e.kind != ERR_INPUT && e.kind != ERR_MACHINE)
			abort();
		arena_release(&a);
		return 0;
	}
	for (size_t i = 0; i < rules; i++) {
		const struct target *t = &rule[i].to;

		if (!*rule[i].pattern || t->bits > 8 || (t->bits && !t->group) || t->blocks > DT_COUNT)
			abort();
	}
	arena_release(&a);
	return 0;
}
