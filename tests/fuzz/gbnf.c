/* SPDX-License-Identifier: MIT */
/* gbnf.c - any bytes as a grammar in GBNF; one that is taken reads a text. */
#include "gen/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct grammar_ask a = { .kind = GRAMMAR_TEXT, .text = { data, n } };
	struct grammar *g;
	struct err e;
	bool yes;

	if (grammar_open(&g, &a, &e))
		return 0;
	if (grammar_takes(g, bytes_of("yes {\"a\": [1, 2]} no"), &yes, &e) && e.kind == ERR_NONE)
		__builtin_trap();
	grammar_release(g);
	return 0;
}
