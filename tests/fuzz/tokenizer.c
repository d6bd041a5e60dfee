/* SPDX-License-Identifier: MIT */
/* tokenizer.c - any bytes as a tokenizer.json; one that opens encodes and
 * decodes, with ids in range and whole characters out. */
#include "text/text.h"

#include "util/utf8.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void decode(const struct tokenizer *t, const struct ids *v)
{
	struct buf out = { .ceiling = 1 << 26 };
	struct detok d;
	struct err e;

	detok_init(&d, t);
	d.keep_special = true;
	for (size_t i = 0; i < v->n; i++)
		if (detok_add(&d, v->id[i], &out, &e))
			abort();
	if (detok_end(&d, &out, &e) || utf8_valid(buf_bytes(&out)) != out.n)
		abort();
	buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char plain[] = "The pipe's 12 words,\n\n  don't\t\xC3\xA9\xCC\x81 "
				    "\xE6\x97\xA5\xF0\x9F\x98\x80\xFF <s>";
	struct tokenizer *t = NULL;
	struct ids v = { 0 };
	struct err e;
	struct bytes text[] = { bytes_of(plain), { data, n < 512 ? n : 512 } };

	if (tokenizer_parse(&t, TOKENIZER_JSON, (struct bytes){ data, n }, &e))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		v.n = 0;
		/* an expression or a normalizer may refuse the text */
		if (tokenizer_encode(t, text[i], ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &v, &e))
			continue;
		decode(t, &v);
	}
	ids_release(&v);
	tokenizer_close(t);
	return 0;
}
