/* SPDX-License-Identifier: MIT */
/* npy.c - any bytes as a .npy array: refused, or as many bytes as its shape
 * says, in memory bounded by the file's own length. */
#include "format/format.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct arena a = { 0 };
	struct tensor t;
	struct err e = { 0 };
	volatile unsigned total = 0;
	size_t want;

	if (npy_parse(&t, (struct bytes){ data, n }, &a, &e)) {
		if (e.kind != ERR_INPUT)
			abort();
	} else {
		if (!shape_bytes(&want, t.dtype, &t.shape) || want != t.data.n ||
		    a.n_bytes > n + 64)
			abort();
		for (size_t i = 0; i < t.data.n; i++)
			total += t.data.p[i];
		(void)total;
	}
	arena_release(&a);
	return 0;
}
