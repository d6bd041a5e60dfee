/* SPDX-License-Identifier: MIT */
/* text.h - bytes to tokens and back. The door of text/. */
#ifndef CLM_TEXT_H
#define CLM_TEXT_H

#include "format/format.h"
#include "util/json.h"

struct tokenizer;

/* Finds and opens the tokenizer of a model: the vocabulary in a GGUF,
 * tokenizer.json, tokenizer.model (SentencePiece or tiktoken), other names of
 * tiktoken's rank files, llama2.c's tokenizer.bin (a
 * sibling of that name, or tokN.bin for a vocabulary of N), in that order;
 * tokenizer_config.json and special_tokens_map.json add to the files. The
 * source stays borrowed and must outlive the tokenizer. ERR_INPUT names the
 * sibling. */
NEED int tokenizer_open(struct tokenizer **out, struct source *s, struct err *e);
/* From the bytes of one file; `kind` as above. For tests and fuzzing. */
enum tokenizer_kind { TOKENIZER_JSON, TOKENIZER_SPM, TOKENIZER_TIKTOKEN, TOKENIZER_LLAMA2C };
NEED int tokenizer_parse(struct tokenizer **out, enum tokenizer_kind kind, struct bytes file,
                         struct err *e);
void tokenizer_close(struct tokenizer *t);

const char *tokenizer_describe(const struct tokenizer *t); /* "byte-level BPE, 4096 tokens" */
size_t tokenizer_size(const struct tokenizer *t);          /* highest id + 1 */
/* A token's text as it stands in the vocabulary (alphabet mapped back to
 * bytes); empty for a hole. Borrowed. */
struct bytes tokenizer_piece(const struct tokenizer *t, int32_t id);
int32_t tokenizer_find(const struct tokenizer *t, struct bytes piece); /* -1 if none */
bool tokenizer_special(const struct tokenizer *t, int32_t id); /* control or special added token */
int32_t tokenizer_bos(const struct tokenizer *t);              /* -1 if none */
int32_t tokenizer_eos(const struct tokenizer *t);              /* -1 if none */

/* What is written into a GGUF when a model moves there (tokenizer.ggml.*):
 * model name ("gpt2" or "llama"), pre ("default", "gpt-2", "llama-bpe", ...),
 * tokens, scores, types, merges. Borrowed from the tokenizer. */
struct vocab_export {
	const char *model, *pre;
	size_t n_tokens, n_merges;
	const struct bytes *tokens; /* as GGUF spells them (alphabet, U+2581 kept) */
	const float *scores;        /* NULL where there are none */
	const int32_t *types;       /* GGUF's token types */
	const struct bytes *merges; /* "a b" */
	int32_t bos, eos, unk, pad; /* -1: none */
	bool add_bos, add_eos, add_space_prefix;
	int32_t cls, sep;           /* "bert" alone: put before and after a text; -1: none */
	bool lower, no_accents;     /* and what its normalizer does */
	const char *lost; /* what a GGUF cannot say and is left out; NULL: nothing */
};
NEED int tokenizer_export(struct tokenizer *t, struct vocab_export *out, struct err *e);

struct ids { /* grows; release with ids_release() */
	int32_t *id;
	size_t n, room;
};
NEED int ids_add(struct ids *v, int32_t id, struct err *e);
NEED int ids_reserve(struct ids *v, size_t n, struct err *e); /* room for n more */
void ids_release(struct ids *v);

enum {
	ENCODE_ADD_SPECIAL = 1,   /* add what the tokenizer adds (BOS, ...) */
	ENCODE_PARSE_SPECIAL = 2, /* special tokens' text becomes their ids */
};
/* Appends the ids of `text` (any bytes; invalid UTF-8 goes through byte
 * tokens or <unk> as the model's reference does). Several threads may encode
 * with one tokenizer at once. */
NEED int tokenizer_encode(const struct tokenizer *t, struct bytes text, unsigned flags,
                          struct ids *out, struct err *e);

/* The same, but a special token's text that holds one of these places within
 * it (ascending, of the text's bytes) stays text. NULL: none. */
struct bars {
	size_t *at;
	size_t n, room;
};
NEED int tokenizer_encode_barred(const struct tokenizer *t, struct bytes text, unsigned flags,
                                 const struct bars *bars, struct ids *out, struct err *e);

/* Streaming detokenizer: whole characters only. At most 3 bytes are held;
 * bytes that cannot become valid any more come out as U+FFFD. */
struct detok {
	const struct tokenizer *t;
	unsigned char held[4];
	unsigned n_held;
	bool started; /* the first piece's leading space is dropped where the tokenizer says so */
	bool keep_special; /* special tokens' text is shown */
	bool raw;          /* bytes as they are, no U+FFFD */
	bool spaced;       /* a space is owed, should another token come */
	int32_t last1;     /* the last id + 1 */
};
void detok_init(struct detok *d, const struct tokenizer *t);
/* Continue after these ids as though they had been fed (prompt then text). */
void detok_skip(struct detok *d, const int32_t *id, size_t n);
/* Appends to `out` the text that became whole. ERR_INPUT: id out of range. */
NEED int detok_add(struct detok *d, int32_t id, struct buf *out, struct err *e);
NEED int detok_end(struct detok *d, struct buf *out, struct err *e); /* flushes what is held */

/* Chat templates, messages to prompts, and what a model answers. */
#include "text/talk.h"

#endif
