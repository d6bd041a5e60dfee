/* SPDX-License-Identifier: MIT */
/* spm.c - any bytes as a SentencePiece .model; one that opens
 * encodes any text, decodes, and is spelled for a GGUF. */
#include "text/text.h"

#include "util/utf8.h"

#include <stdlib.h>

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
	static const char plain[] = "The pipe's 12 words,  <sep>\n\xC3\xA9\xE6\x97\xA5\xFF <s>";
	struct tokenizer *t = NULL;
	struct vocab_export x;
	struct ids v = { 0 };
	struct err e;
	struct bytes text[] = { bytes_of(plain), { data, n < 512 ? n : 512 } };

	if (tokenizer_parse(&t, TOKENIZER_SPM, (struct bytes){ data, n }, &e))
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		v.n = 0;
		if (tokenizer_encode(t, text[i], ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &v, &e))
			continue; /* a rule may make the text too long */
		decode(t, &v);
	}
	if (!tokenizer_export(t, &x, &e) && x.n_tokens != tokenizer_size(t))
		abort();
	ids_release(&v);
	tokenizer_close(t);
	return 0;
}
