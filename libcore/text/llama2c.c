/* SPDX-License-Identifier: MIT */
/* llama2c.c - llama2.c's tokenizer.bin: a score, a length and bytes per
 * token, SentencePiece's BPE with plain spaces. Read into SentencePiece's own
 * spelling, so that all else is the same. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/tokenizer.h"

enum { UNK, BOS, EOS, BYTES };

static enum token_type type_of(size_t id)
{
	if (id == UNK)
		return TOKEN_UNKNOWN;
	if (id == BOS || id == EOS)
		return TOKEN_CONTROL;
	return id < BYTES + BYTE_TOKENS ? TOKEN_BYTE : TOKEN_NORMAL;
}

/* Spaces become marks; the ends' texts lose the line ends around them; bytes
 * are spelled by id, whatever the file calls them. */
static int respell(struct buf *b, size_t id, struct bytes text, struct err *e)
{
	buf_clear(b);
	buf_add_text(b, "");
	if (id == BOS || id == EOS)
		buf_add_text(b, id == BOS ? "<s>" : "</s>");
	else if (id == UNK)
		buf_add_text(b, "<unk>");
	else if (id < BYTES + BYTE_TOKENS)
		buf_printf(b, "<0x%02X>", (unsigned)(id - BYTES));
	else
		for (size_t i = 0; i < text.n; i++)
			if (text.p[i] == ' ')
				buf_add_text(b, SPM_MARK);
			else
				buf_add_byte(b, text.p[i]);
	return buf_check(b, e);
}

static int read_token(struct tokenizer *t, struct reader *r, struct buf *b, struct err *e)
{
	size_t id = t->vocab.n, at = r->pos;
	float score = read_f32(r);
	int32_t n = read_i32(r);
	struct bytes text;

	if (reader_failed(r) || n < 0 || (size_t)n > reader_left(r))
		return err_set(e, ERR_INPUT, "byte %zu: token %zu: %d bytes, %zu are left", at, id,
		               (int)n, reader_left(r));
	if (!isfinite(score))
		return err_set(e, ERR_INPUT, "byte %zu: token %zu: its score is not finite", at,
		               id);
	text = read_bytes(r, (size_t)n);
	if (respell(b, id, text, e) ||
	    vocab_set(&t->vocab, (int64_t)id, buf_bytes(b), type_of(id), e))
		return -1;
	t->vocab.token[id].score = score;
	/* of equal texts the first counts */
	return vocab_index(&t->vocab, (int32_t)id, e) < 0 ? -1 : 0;
}

int llama2c_vocab_parse(struct tokenizer *t, struct bytes file, size_t n_tokens, struct err *e)
{
	struct buf b = { .ceiling = 4 * PIECE_MAX };
	struct reader r;
	int rc = 0;

	if (vocab_init(&t->vocab, file.n / 12, e))
		return -1;
	reader_init(&r, file);
	(void)read_u32(&r); /* the longest token */
	if (reader_failed(&r))
		return err_set(e, ERR_INPUT, "ends early, at byte %zu", r.pos);
	while (!rc && (n_tokens ? t->vocab.n < n_tokens : reader_left(&r) > 0))
		rc = read_token(t, &r, &b, e);
	buf_release(&b);
	if (rc)
		return -1;
	if (t->vocab.n < BYTES + BYTE_TOKENS)
		return err_set(e, ERR_INPUT, "%zu tokens, at least %d", t->vocab.n,
		               BYTES + BYTE_TOKENS);
	t->model = MODEL_SCORE;
	t->byte_fallback = true;
	t->unk = UNK;
	t->bos = BOS;
	t->eos = EOS;
	t->spm.add_prefix = t->spm.escape = true;
	return spm_set_up(t, e) ? -1 : tokenizer_set_ends(t, true, false, e);
}
