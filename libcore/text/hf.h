/* SPDX-License-Identifier: MIT */
/* hf.h - tokenizer.json, between the files that read it: the model's tables as
 * a stream, the parts as trees. */
#ifndef CLM_TEXT_HF_H
#define CLM_TEXT_HF_H

#include "text/tokenizer.h"
#include "util/json.h"

/* ---- the stream */
struct reading {
	struct tokenizer *t;
	struct json_pull *j;
	struct err *e;
	struct bytes normalizer, splitter, ends, decoder, model; /* their JSON */
	bool has_normalizer, has_splitter, has_model;
	/* the model's */
	bool has_vocab, is_list; /* is_list: texts with scores */
	bool has_word_max;
	struct bytes merges; /* its JSON, where it comes before the vocabulary */
	struct bytes type, unk, prefix;
	double unk_id;  /* -1: none */
	int32_t merged; /* the last merge's token */
	size_t n_added;
};

NEED int hf_expect(struct reading *r, enum json_token want, const char *what);
NEED int hf_get_bool(struct reading *r, bool *out);
/* A text, kept in the arena, or null: empty. */
NEED int hf_get_text(struct reading *r, struct bytes *out);
/* Key by key with fn until the object ends. */
NEED int hf_each_key(struct reading *r, int (*fn)(struct reading *, struct bytes));
/* Runs fn with the reader on another text of the same file. */
NEED int hf_reread(struct reading *r, struct bytes json, int (*fn)(struct reading *));
/* The object that comes next. */
NEED int hf_read_model(struct reading *r);

/* ---- the parts */
enum { PART_BYTES = 4 << 20 }; /* of one part's JSON */

/* Each takes the JSON text of a part (null is fine) and sets the tokenizer
 * up. ERR_INPUT names a type or a value that is not known. */
NEED int hf_read_normalizer(struct tokenizer *t, struct bytes json, struct err *e);
NEED int hf_read_splitter(struct tokenizer *t, struct bytes json, struct err *e);
NEED int hf_read_ends(struct tokenizer *t, struct bytes json, struct err *e);
NEED int hf_read_decoder(struct tokenizer *t, struct bytes json, struct err *e);

typedef int part_fn(struct tokenizer *t, const cJSON *o, struct err *e);
struct part {
	const char *type;
	part_fn *read;
};
struct part_table {
	const struct part *row;
	size_t n;
	const char *list; /* the key of a Sequence's items */
};
NEED int part_read(struct tokenizer *t, const struct part_table *table, struct bytes json,
                   struct err *e);
/* A copy of a text that must be there. */
NEED int part_text(struct tokenizer *t, const cJSON *o, const char *key, struct bytes *out,
                   struct err *e);
NEED int part_bool(const cJSON *o, const char *key, bool fallback, bool *out, struct err *e);
/* {"String": s} or {"Regex": s} under "pattern". */
NEED int part_pattern(struct tokenizer *t, const cJSON *o, struct bytes *text, bool *is_regex,
                      struct err *e);
/* "prepend_scheme", or in older files "add_prefix_space". */
NEED int part_prepend(const cJSON *o, enum prepend *out, struct err *e);

#endif
