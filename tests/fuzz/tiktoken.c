/* SPDX-License-Identifier: MIT */
/* tiktoken.c - any bytes as a tiktoken rank file behind the 256 bytes that
 * it must have; one that opens encodes any text and gives it back. */
#include "text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* One byte each, at the ranks past those a seed uses. */
static void add_bytes(struct buf *b)
{
	static const char digit[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (unsigned i = 0; i < 256; i++)
		buf_printf(b, "%c%c== %u\n", digit[i >> 2], digit[(i & 3) << 4], i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char plain[] = "The pipe's 12 words,  <|endoftext|>\n\xC3\xA9\xE6\x97\xA5\xFF";
	struct bytes text[] = { bytes_of(plain), { data, n < 512 ? n : 512 } };
	struct tokenizer *t = NULL;
	struct buf file = { 0 }, out = { 0 };
	struct ids v = { 0 };
	struct detok d;
	struct err e;

	if (!n || data[0] != '!') /* else the file is all the input's */
		add_bytes(&file);
	buf_add(&file, data, n);
	if (!tokenizer_parse(&t, TOKENIZER_TIKTOKEN, buf_bytes(&file), &e))
		for (unsigned i = 0; i < 2; i++) {
			v.n = 0;
			buf_clear(&out);
			detok_init(&d, t);
			d.raw = d.keep_special = true;
			if (tokenizer_encode(t, text[i], ENCODE_PARSE_SPECIAL, &v, &e))
				abort();
			for (size_t k = 0; k < v.n; k++)
				if (detok_add(&d, v.id[k], &out, &e))
					abort();
			if (detok_end(&d, &out, &e) || out.n != text[i].n ||
			    (out.n && memcmp(out.p, text[i].p, out.n)))
				abort();
		}
	ids_release(&v);
	buf_release(&file);
	buf_release(&out);
	tokenizer_close(t);
	return 0;
}
