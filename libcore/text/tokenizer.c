/* SPDX-License-Identifier: MIT */
/* tokenizer.c - opens a tokenizer from whichever file a model has, finishes
 * what readers leave open, answers questions about tokens. */
#include "text/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct tokenizer *tokenizer_new(struct err *e)
{
	struct tokenizer *t = calloc(1, sizeof *t);

	if (!t) {
		(void)err_memory(e, sizeof *t);
		return NULL;
	}
	t->unk = t->bos = t->eos = t->pad = -1;
	for (size_t i = 0; i < BYTE_TOKENS; i++)
		t->byte[i] = -1;
	for (size_t i = 0; i < SPARE; i++)
		atomic_init(&t->spare[i], NULL);
	return t;
}

void tokenizer_close(struct tokenizer *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < SPARE; i++)
		scratch_free(atomic_load(&t->spare[i]));
	normalizer_release(&t->normalizer);
	splitter_release(&t->splitter);
	decoder_release(&t->decoder);
	merges_release(&t->merges);
	vocab_release(&t->vocab);
	ids_release(&t->before);
	ids_release(&t->after);
	free(t->given);
	arena_release(&t->arena);
	free(t);
}

/* ---- finishing */

static void find_bytes(struct tokenizer *t)
{
	for (unsigned b = 0; b < BYTE_TOKENS; b++) {
		unsigned char byte = (unsigned char)b;
		char name[8];

		snprintf(name, sizeof name, "<0x%02X>", b);
		t->byte[b] = vocab_find(&t->vocab, t->byte_level ? (struct bytes){ &byte, 1 } :
		                                                   bytes_of(name));
	}
}

/* A mark behind another character. */
static bool has_inner_mark(struct bytes text, struct bytes mark)
{
	size_t at = 0;

	while (at + mark.n <= text.n && !memcmp(text.p + at, mark.p, mark.n))
		at += mark.n;
	return memmem(text.p + at, text.n - at, mark.p, mark.n);
}

static bool joins_across(const struct tokenizer *t, int32_t id)
{
	return has_inner_mark(vocab_piece(&t->vocab, id), t->mark);
}

/* Text may be cut before marks if no merge, no symbol of the user's and no
 * run of unknown characters reaches across. */
static bool may_cut_at_marks(const struct tokenizer *t)
{
	if ((t->model != MODEL_RANK && t->model != MODEL_SCORE) || t->byte_level ||
	    t->ignore_merges || !t->mark.n || vocab_find(&t->vocab, t->mark) < 0)
		return false;
	if (t->model == MODEL_RANK) {
		for (size_t i = 0; i < t->merges.n_slots; i++)
			if (t->merges.slot[i].key != MERGE_FREE &&
			    joins_across(t, t->merges.slot[i].id))
				return false;
		return true;
	}
	for (size_t i = 0; i < t->vocab.n; i++) {
		uint8_t type = t->vocab.token[i].type;

		if (type != TOKEN_HOLE && type != TOKEN_CONTROL && joins_across(t, (int32_t)i))
			return false;
	}
	return true;
}

/* The texts that unigram's paths are made of. */
static int index_pieces(struct tokenizer *t, struct err *e)
{
	struct string *s = malloc((t->vocab.n + 1) * sizeof *s);
	size_t n = 0;
	int rc;

	if (!s)
		return err_memory(e, (t->vocab.n + 1) * sizeof *s);
	for (size_t i = 0; i < t->vocab.n; i++) {
		uint8_t type = t->vocab.token[i].type;

		if (t->is_spm ? type == TOKEN_NORMAL || type == TOKEN_USER :
		                type != TOKEN_HOLE && !t->vocab.token[i].plain)
			s[n++] = (struct string){ vocab_piece(&t->vocab, (int32_t)i), (int32_t)i };
	}
	rc = strings_init(&t->pieces, s, n, &t->arena, e);
	free(s);
	return rc;
}

static void describe(struct tokenizer *t)
{
	static const char *const names[] = { "BPE", "SentencePiece BPE", "unigram", "WordPiece",
		                             "WordLevel" };
	const char *name = t->byte_level ? "byte-level BPE" : names[t->model];

	snprintf(t->describe, sizeof t->describe, "%s, %zu tokens", name, t->vocab.n);
}

/* Every id that the tokenizer itself may put out is one it has. */
static int check_ends(const struct tokenizer *t, struct err *e)
{
	const struct ids *v[] = { &t->before, &t->after };

	for (size_t k = 0; k < 2; k++)
		for (size_t i = 0; i < v[k]->n; i++)
			if (!vocab_has(&t->vocab, v[k]->id[i]))
				return err_set(e, ERR_INPUT,
				               "token id %d is added at the ends but "
				               "is not in the vocabulary",
				               (int)v[k]->id[i]);
	return 0;
}

int tokenizer_finish(struct tokenizer *t, struct err *e)
{
	if ((t->by_text && tiktoken_specials(t, e)) || place_added(t, e))
		return -1;
	if (!t->vocab.n)
		return err_set(e, ERR_INPUT, "the vocabulary is empty");
	if (check_ends(t, e))
		return -1;
	if (t->bos < 0 && t->before.n == 1)
		t->bos = t->before.id[0];
	if (t->eos < 0 && t->after.n == 1)
		t->eos = t->after.id[0];
	find_bytes(t);
	if (!t->mark.n && !t->byte_level)
		t->mark = bytes_of(SPM_MARK);
	for (size_t i = 0; i < t->vocab.n; i++)
		t->has_unused |= t->vocab.token[i].type == TOKEN_UNUSED;
	t->cut_at_marks = may_cut_at_marks(t);
	describe(t);
	if ((t->model == MODEL_UNIGRAM && index_pieces(t, e)) ||
	    (t->model == MODEL_WORDPIECE && wordpiece_index(t, e)))
		return -1;
	return index_added(t, e);
}

int tokenizer_set_ends(struct tokenizer *t, bool add_bos, bool add_eos, struct err *e)
{
	t->before.n = t->after.n = 0;
	t->add_bos = add_bos && t->bos >= 0;
	t->add_eos = add_eos && t->eos >= 0;
	if (t->add_bos && ids_add(&t->before, t->bos, e))
		return -1;
	return t->add_eos ? ids_add(&t->after, t->eos, e) : 0;
}

/* ---- opening */

int tokenizer_parse(struct tokenizer **out, enum tokenizer_kind kind, struct bytes file,
                    struct err *e)
{
	struct tokenizer *t = tokenizer_new(e);
	int rc = -1;

	if (!t)
		return -1;
	switch (kind) {
	case TOKENIZER_JSON:
		rc = hf_parse(t, file, e);
		break;
	case TOKENIZER_SPM:
		rc = spm_parse(t, file, e);
		break;
	case TOKENIZER_TIKTOKEN:
		rc = tiktoken_parse(t, file, e);
		break;
	case TOKENIZER_LLAMA2C:
		rc = llama2c_vocab_parse(t, file, 0, e);
		break;
	}
	if (rc || tokenizer_finish(t, e)) {
		tokenizer_close(t);
		return -1;
	}
	*out = t;
	return 0;
}

/* ---- questions */

const char *tokenizer_describe(const struct tokenizer *t)
{
	return t->describe;
}

size_t tokenizer_size(const struct tokenizer *t)
{
	return t->vocab.n;
}

struct bytes tokenizer_piece(const struct tokenizer *t, int32_t id)
{
	return vocab_has(&t->vocab, id) ? vocab_piece(&t->vocab, id) : bytes_of("");
}

int32_t tokenizer_find(const struct tokenizer *t, struct bytes piece)
{
	int32_t id = vocab_find(&t->vocab, piece), k = 0;

	if (id < 0 && piece.n && strings_longest(&t->added.all, piece, &k) == piece.n)
		id = t->added.token[k].id;
	if (id < 0 && piece.n && strings_longest(&t->added_normal.all, piece, &k) == piece.n)
		id = t->added_normal.token[k].id;
	return id;
}

bool tokenizer_special(const struct tokenizer *t, int32_t id)
{
	uint8_t type = vocab_has(&t->vocab, id) ? t->vocab.token[id].type : 0;

	return type == TOKEN_CONTROL || type == TOKEN_UNKNOWN;
}

int32_t tokenizer_bos(const struct tokenizer *t)
{
	return t->bos;
}

int32_t tokenizer_eos(const struct tokenizer *t)
{
	return t->eos;
}
