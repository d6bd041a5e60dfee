/* SPDX-License-Identifier: MIT */
/* vocab.h - ids and the bytes they stand for.
 *
 * Given tokens one by one, in any order of ids; gives a token's bytes, type
 * and score by id, and the id of a text. Byte-level vocabularies are kept as
 * plain bytes, not in the alphabet that files spell them in. */
#ifndef CLM_TEXT_VOCAB_H
#define CLM_TEXT_VOCAB_H

#include "util/buf.h"

enum {
	VOCAB_MAX = 1 << 21, /* ids are below this */
	PIECE_MAX = 1 << 16, /* bytes of one token */
};

enum token_type { /* GGUF's numbering */
	          TOKEN_HOLE,
	          TOKEN_NORMAL,
	          TOKEN_UNKNOWN,
	          TOKEN_CONTROL,
	          TOKEN_USER,
	          TOKEN_UNUSED,
	          TOKEN_BYTE,
};

struct token {
	uint32_t at, n;    /* its bytes in vocab.text */
	double score;      /* SentencePiece's are f32 */
	uint8_t type;      /* enum token_type */
	bool shown_normal; /* an added token shown as the normalizer leaves it */
	bool plain;        /* spelled as it is though the vocabulary is byte-level */
};

struct vocab_slot {
	uint32_t hash;
	uint32_t id1; /* id + 1; 0: free */
};

struct vocab {
	struct token *token;
	size_t n, room; /* highest id + 1 */
	struct buf text;
	struct vocab_slot *slot;
	size_t n_slots, n_used;
};

/* Room for about so many tokens; only a hint. */
NEED int vocab_init(struct vocab *v, size_t n_expected, struct err *e);
void vocab_release(struct vocab *v);

/* Sets token `id`. ERR_INPUT when the id is taken or out of range. The text
 * is not yet found by vocab_find(). */
NEED int vocab_set(struct vocab *v, int64_t id, struct bytes text, enum token_type type,
                   struct err *e);
/* Makes a token's text found; 1 if another id has that text (it stays). */
NEED int vocab_index(struct vocab *v, int32_t id, struct err *e);

static inline struct bytes vocab_piece(const struct vocab *v, int32_t id)
{
	const struct token *t = &v->token[id];

	return (struct bytes){ v->text.p + t->at, t->n };
}

static inline bool vocab_has(const struct vocab *v, int32_t id)
{
	return id >= 0 && (size_t)id < v->n && v->token[id].type != TOKEN_HOLE;
}

/* The id of a text, or -1. */
int32_t vocab_find(const struct vocab *v, struct bytes text);

#endif
