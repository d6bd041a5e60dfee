/* SPDX-License-Identifier: MIT */
/* tokenizer.h - what an open tokenizer is, for the files of this room. */
#ifndef CLM_TEXT_TOKENIZER_H
#define CLM_TEXT_TOKENIZER_H

#include <stdatomic.h>

#include "text/added.h"
#include "text/cache.h"
#include "text/merge.h"
#include "text/normal.h"
#include "text/spm.h"
#include "text/split.h"
#include "text/text.h"

enum model_kind {
	MODEL_RANK,    /* merges by rank */
	MODEL_SCORE,   /* merges by score, SentencePiece's BPE */
	MODEL_UNIGRAM, /* best sum of scores */
	MODEL_WORDPIECE,
	MODEL_WORDLEVEL,
};

/* Steps that rewrite a token's text on its own. */
enum decode_kind {
	DECODE_REPLACE,   /* `what`, or matches of regex, by `with` */
	DECODE_STRIP,     /* up to `left` and `right` times `what` at the ends */
	DECODE_WORDPIECE, /* `what` before what goes on a word, else a space */
	DECODE_CTC,       /* no repeats, without `what` */
	DECODE_CLEAN,     /* English spaces before punctuation are dropped */
	DECODE_SUFFIX,    /* `what` ends a word: a space, but at the end */
};
struct decode_step {
	enum decode_kind kind;
	struct bytes what, with;
	struct regex *regex; /* owned */
	size_t left, right;
};
enum { DECODE_STEPS = 8 };

/* How ids become text. */
struct decoder {
	struct decode_step step[DECODE_STEPS]; /* before what follows */
	size_t n_steps;
	bool fused;           /* what a file says next is about the whole text */
	struct bytes mark;    /* stands for a space; empty: none */
	bool bytes;           /* <0xHH> is a byte */
	bool join;            /* a space between tokens */
	bool strip_first;     /* one space at the very start is dropped */
	bool first_unmarked;  /* the first token's marks are dropped */
	bool strip_all;       /* ... from each piece until there is text */
	struct bytes unknown; /* what <unk> is shown as; empty: itself */
	bool each_byte;       /* every bad byte is a U+FFFD, not every bad sequence */
};

/* Scratch memory of one call; kept for the next. */
struct scratch {
	struct cache cache;
	struct merge_room merge;
	struct split_room split;
	struct normal_room normal;
	struct buf spm;
	struct ids ids;
	struct best *best; /* unigram's path */
	size_t best_room;
	uint32_t *cut; /* by unused id: where it was joined */
};

/* WORD_CHARS: the most of a word in pieces, where nothing is said. */
enum { SPARE = 8, BYTE_TOKENS = 256, WORD_CHARS = 100 };

struct tokenizer {
	struct arena arena;
	struct vocab vocab;
	enum model_kind model;
	bool byte_level;    /* symbols are bytes, not characters */
	bool byte_fallback; /* an unknown character is its byte tokens */
	bool fuse_unk;      /* unknown characters in a row are one token */
	bool by_text;       /* ranked, but a pair joins when its text is a token */
	size_t n_ranks;     /* then: so many */
	bool ignore_merges; /* a piece that is a token is that token */
	bool lines_whole;   /* so is one of line ends alone */
	bool cut_at_marks;  /* no merge crosses from a character to a mark */
	bool has_unused;
	int32_t byte[BYTE_TOKENS]; /* -1: none */
	int32_t unk, bos, eos, pad;
	bool add_bos, add_eos; /* what before and after hold, for export */
	struct merges merges;
	double low_score, high_score; /* of normal tokens */
	struct strings pieces;        /* unigram's; those that begin a word */
	struct strings inner;         /* wordpiece's that go on */
	struct {
		struct bytes prefix; /* of tokens that go on; or, if marked, that begin */
		bool marked;
		size_t max_chars; /* longer words are unknown; 0: none */
	} word;

	struct added_token *given; /* until they are indexed */
	size_t n_given, given_room;
	struct added added, added_normal;
	struct normalizer normalizer;
	struct splitter splitter;
	bool is_spm; /* spm prepares the text, in place of the two above */
	struct spm spm;
	struct bytes mark; /* the text's spelling of a space; empty: itself */

	struct ids before, after; /* what ENCODE_ADD_SPECIAL adds */
	struct decoder decoder;
	const char *pre; /* GGUF's name of the splitter; NULL: none */
	char describe[64];
	struct vocab_export *export;

	_Atomic(struct scratch *) spare[SPARE];
};

/* An empty tokenizer, every id -1. */
NEED struct tokenizer *tokenizer_new(struct err *e);
/* One more added token; its text lies in the arena. Where the vocabulary knows
 * the text, that id counts. An empty text is passed over. */
NEED int tokenizer_add(struct tokenizer *t, struct added_token token, struct err *e);
/* Fills what follows from the vocabulary and the tokens added: byte tokens,
 * unigram's strings, indexes, the description. The last step of opening. */
NEED int tokenizer_finish(struct tokenizer *t, struct err *e);
/* Puts BOS and EOS into before and after as the flags say. */
NEED int tokenizer_set_ends(struct tokenizer *t, bool add_bos, bool add_eos, struct err *e);

/* The readers; each fills an empty tokenizer, but for tokenizer_finish(). */
NEED int hf_parse(struct tokenizer *t, struct bytes file, struct err *e);
NEED int spm_parse(struct tokenizer *t, struct bytes file, struct err *e);
NEED int tiktoken_parse(struct tokenizer *t, struct bytes file, struct err *e);
bool tiktoken_is(struct bytes file);
/* The special tokens such a file is known to have, but those given. */
NEED int tiktoken_specials(struct tokenizer *t, struct err *e);
NEED int llama2c_vocab_parse(struct tokenizer *t, struct bytes file, size_t n_tokens,
                             struct err *e);
NEED int gguf_vocab_read(struct tokenizer *t, struct source *s, struct err *e);
/* For the readers of SentencePiece vocabularies, once pieces and t->spm are
 * there: special pieces are made to be found, decoding is set up. */
NEED int spm_set_up(struct tokenizer *t, struct err *e);

/* What a model's other files say of the ends of a text. */
struct ends {
	struct bytes bos, eos, pad; /* texts; empty: not said */
	int add_bos, add_eos;       /* -1: not said */
};
/* Read before tokenizer_finish(), applied after it. */
NEED int hf_config_read(struct tokenizer *t, struct source *s, struct ends *n, struct err *e);
NEED int config_apply(struct tokenizer *t, const struct ends *n, struct err *e);

/* The steps of tokenizer_finish() for tokens added: each gets its id; they
 * are made to be found. */
NEED int place_added(struct tokenizer *t, struct err *e);
NEED int index_added(struct tokenizer *t, struct err *e);

/* Runs the steps on a token's text; `again`: the same token came before it,
 * `first`: it begins the text. `out` is emptied; -1 for lack of memory or past
 * a limit. */
NEED int decode_token(const struct decoder *d, struct bytes text, bool first, bool again,
                      struct buf *out, struct err *e);
void decoder_release(struct decoder *d);

void scratch_free(struct scratch *s); /* NULL is fine */

/* BERT's normalizer is up to five steps. */
struct bert_rules {
	bool clean, cjk, no_accents, lower;
};
NEED int bert_normalizer(struct tokenizer *t, const struct bert_rules *r, struct err *e);

NEED int wordpiece_index(struct tokenizer *t, struct err *e);
NEED int wordpiece_encode(const struct tokenizer *t, struct bytes w, struct ids *out,
                          struct err *e);
NEED int wordlevel_encode(const struct tokenizer *t, struct bytes w, struct ids *out,
                          struct err *e);

/* Best path by score through a normalized text. */
NEED int unigram_encode(const struct tokenizer *t, struct scratch *s, struct bytes text,
                        struct ids *out, struct err *e);

#endif
