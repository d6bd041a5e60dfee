/* SPDX-License-Identifier: MIT */
/* plan.h - which tensor gets which form (private to convert/) */
#ifndef CLM_CONVERT_PLAN_H
#define CLM_CONVERT_PLAN_H

#include "convert/convert.h"
#include "convert/fuse.h"
#include "convert/moments.h"
#include "util/thread.h"

/* How the rows of q and k lie, by which the rotation finds its pairs. */
enum rows { ROWS_KEEP, ROWS_TO_HALVES, ROWS_TO_PAIRS };

enum item_in {
	IN_WHOLE,            /* moved as it is: plain numbers of any kind */
	IN_FLOAT,            /* a plain float */
	IN_BLOCKS,           /* GGUF blocks */
	IN_AFFINE,           /* MLX's weight, scales and biases */
	IN_CODED,            /* MLX's weight and scales of one byte */
	IN_MADE,             /* made here: floats in `made` */
};
enum item_out {
	OUT_SAME,            /* the same bytes, rows perhaps moved */
	OUT_FLOAT,           /* plain floats of `dtype` */
	OUT_AFFINE,          /* weight, scales and biases */
	OUT_CODED,           /* weight and scales */
	OUT_BLOCKS,          /* GGUF blocks of `dtype` */
};

/* How a weight's rows are drawn from its pieces. Of each period of rows, `rows` at a time come from
 * a section: the row begins at an element of a piece, and goes on every `step`th. */
struct section { size_t rows, piece, base, per_period, inner, outer, each, step; };
enum { WEAVE_SECTIONS = 4 };
struct weave {
	struct section section[WEAVE_SECTIONS]; /* until one has no rows */
	size_t period;
	bool apart;          /* the pieces are decoded first, whole */
};
struct spot { size_t piece, at, step; };
struct spot weave_spot(const struct weave *w, size_t row);

/* What becomes of each number on its way. */
enum number_map { NUMBERS_KEEP, NUMBERS_RATE, NUMBERS_LOG }; /* -exp(x), and back */

/* One weight of the output: one tensor, or three for OUT_AFFINE and for
 * OUT_SAME of an affine one. */
struct item {
	const char *name;    /* ours: "model.layers.0.mlp.up_proj.weight" */
	const struct tensor *weight, *scales, *biases;
	const float *made;
	size_t n_rows, n_cols;       /* the last axis, and all others */
	struct shape shape;          /* of the logical weight */
	enum item_in in;
	unsigned in_bits, in_group;  /* IN_AFFINE, IN_BLOCKS of that kind; bits 0: unknown */
	enum coding in_coding;       /* IN_CODED */
	const struct tensor *tile_scales; /* IN_FLOAT: one for each 128 by 128 weights */
	float shift;                 /* added to each value: norms less one, and back */
	size_t head_rows;            /* rows of a head where rows move, else 0 */
	enum item_out out;
	enum dtype dtype;            /* of floats, of scales and biases, or the block type */
	unsigned bits, group;        /* OUT_AFFINE, OUT_CODED */
	enum coding coding;          /* OUT_CODED */
	bool exact;                  /* codes move over, nothing is rounded */
	/* of a stack: the matrices one by one, each on its own in the source; or it is one of
	 * n_parts equal parts of its tensors; 0: neither */
	const struct item *piece;
	size_t n_pieces, part, n_parts;
	const struct weave *weave;   /* pieces that do not just follow each other; NULL: they do */
	enum number_map map;
	struct fused *fused;         /* what adapters do to its rows; NULL: nothing */
	size_t pairs;                /* rows of a head, where they lie in pairs in the output */
	double error, norm;          /* squares of what was lost, and of what was */
};

/* Weights that lose their form: how many of a kind, and the first. */
struct loss {
	size_t n;
	const char *first;
	enum dtype to;
};
enum { LOSS_BITS = DT_COUNT, LOSSES = DT_COUNT + 9 }; /* by block type, then by bits of codes */

struct plan {
	struct arena arena;
	struct loss loss[LOSSES];
	struct source *source;
	const struct convert_options *options;
	enum convert_format format;
	enum naming names;           /* of the output */
	const struct config *config; /* NULL: a family that is not known; tensors move as they are */
	enum rows rows;
	struct item *item;           /* sorted by name, layers by number */
	size_t n_items;
	size_t n_bytes;              /* of the source's tensors that are read */
	size_t n_left_out;           /* of them that are not the text model's */
	struct target most;          /* of the output's triples; bits 0: there is none */
	struct pool *pool;
	struct fuse *fuse;           /* NULL: no adapters */
	bool turned;                 /* MLX's model: taps are turned, and norms whole */
	bool untied;                 /* the head is no longer the embeddings */
};

/* The config may be NULL; source, options and config must outlive it. */
NEED int plan_open(struct plan *p, struct source *s, const struct config *c,
                   const struct convert_options *o, enum convert_format format, struct err *e);
void plan_release(struct plan *p);
void plan_note(const struct plan *p, const char *fmt, ...) PRINTF(2, 3);

/* Our name of a weight that may have its family's; the name itself where there is none. */
const char *plan_name(const struct plan *p, char *out, size_t room, const char *name);
/* The family has a tensor of this name of ours. */
bool plan_knows(const struct plan *p, const char *name);
/* see.c: the name that a tensor of the source has here; false: none. */
bool plan_our_name(const struct plan *p, char *out, size_t room, const char *name);
/* It is scales or biases of a weight, which it goes with. */
bool plan_travels(const struct plan *p, const struct tensor *t);
/* The source is as MLX turns taps, where norms go with them. */
bool plan_is_turned(const struct plan *p);
/* The rest of an item whose tensor and name are set. */
NEED int item_see(const struct plan *p, struct item *t, struct err *e);
/* weave.c: what lies otherwise in the output. */
NEED int plan_weave(struct plan *p, struct err *e);
/* experts.c: experts as the output has them. */
NEED int plan_stacks(struct plan *p, struct err *e);
/* choose.c: the form that each item leaves in. */
NEED int plan_choose(struct plan *p, struct err *e);
/* Whether the item's weight comes out with scales beside it, and its form. */
bool item_is_triple(const struct item *t, struct target *form);

/* ---- target.c */
/* What the options make of a weight; whether a rule names it. */
bool target_of(struct target *out, const struct plan *p, const struct item *t);
/* The type, or a narrower one, whose blocks fill a row; DT_COUNT: none. */
enum dtype target_fitting(enum dtype t, size_t n_cols);
/* general.file_type of the recipe; 0: it has none. */
unsigned recipe_file_type(const struct plan *p);
const char *target_text(char *out, size_t room, const struct target *t, bool gguf);
/* The name in the output's naming. */
NEED int item_name(const struct plan *p, const struct item *t, char *out, size_t room,
                   struct err *e);
/* PATH of "PATH.weight" in the output's naming; "" where it has none. */
NEED int item_path(const struct plan *p, const struct item *t, char *out, size_t room,
                   struct err *e);

/* ---- blocks.c: affine codes as GGUF blocks */

/* The block type that holds exactly these codes, scales and biases, or
 * DT_COUNT. n: groups. scales and biases of dtype t. */
enum dtype blocks_for(unsigned bits, unsigned group, enum dtype t, const void *scales,
                      const void *biases, size_t n);
/* One row of n_cols codes to blocks of type `to`. */
void blocks_from_affine(void *out, enum dtype to, const void *q, const void *scales,
                        const void *biases, enum dtype t, size_t n_cols, unsigned bits,
                        unsigned group);

/* ---- declare.c, stream.c */
NEED int stream_declare(const struct plan *p, struct writer *w, struct err *e);
NEED int stream_data(struct plan *p, struct writer *w, struct err *e);

/* ---- what goes beside the tensors */

/* config_out.c: config.json of the output; 0 bytes where it has none. */
NEED int config_text(struct buf *out, const struct plan *p, struct err *e);
/* siblings.c: config, tokenizer files, templates. */
NEED int siblings_write(const struct plan *p, struct writer *w, struct err *e);
/* 1: the source has a tokenizer of any kind. */
NEED int has_tokenizer(struct source *s, struct err *e);
/* The default chat template; 1 found, 0 absent. */
NEED int chat_template(struct source *s, struct buf *out, struct err *e);
/* tokenizer_out.c: tokenizer.json and tokenizer_config.json of a vocabulary
 * that came from a GGUF or llama2.c. */
NEED int tokenizer_text(struct buf *out, const struct vocab_export *v, struct err *e);
NEED int tokenizer_config_text(struct buf *out, const struct vocab_export *v, struct bytes chat,
                               size_t context, struct err *e);
/* gguf_out.c: metadata of a GGUF. */
NEED int gguf_metadata(const struct plan *p, struct writer *w, struct err *e);
/* "llama" of a family's GGUF; NULL where there is none. */
const char *gguf_architecture(const struct config *c);
/* Its q and k rows lie in adjacent pairs. */
bool gguf_pairs(const struct config *c);

#endif
