/* SPDX-License-Identifier: MIT */
/* safetensors.c - any bytes as safetensors: refused, or every tensor's bytes are there
 * and as many as its shape says. */
#include "format/format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { MOST = 64 << 20 };

/* Looks at each byte, for the sanitizer to object. */
static unsigned sum(struct bytes b)
{
	unsigned s = 0;

	for (size_t i = 0; i < b.n; i++)
		s += b.p[i];
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a;
	struct parsed p = { 0 };
	struct err e = { 0 };
	volatile unsigned total = 0;

	arena_init(&a, MOST);
	if (safetensors_parse(&p, (struct bytes){ data, n }, &a, &e)) {
		if (e.kind != ERR_INPUT && e.kind != ERR_MACHINE)
			abort();
		arena_release(&a);
		return 0;
	}
	for (size_t i = 0; i < p.n_tensors; i++) {
		const struct tensor *t = &p.tensor[i];
		struct bytes b;
		size_t want;

		if (!shape_bytes(&want, t->dtype, &t->shape) || want != t->data.n)
			abort();
		if (parsed_data(&p, i, &b, &a, &e))
			continue;
		if (b.n != want)
			abort();
		total += sum(b);
	}
	for (size_t i = 0; i < p.n_meta; i++) {
		total += sum(p.meta[i].raw);
		for (size_t k = 0; p.meta[i].strings && k < p.meta[i].count; k++)
			total += sum(p.meta[i].strings[k]);
	}
	(void)total;
	parsed_release(&p);
	arena_release(&a);
	return 0;
}
