/* SPDX-License-Identifier: MIT */
/* model.h - rows of (token, position, sequence) to logits. The door of
 * model/. */
#ifndef CLM_MODEL_H
#define CLM_MODEL_H

#include "format/format.h"
#include "kv/kv.h"
#include "util/buf.h"
#include "util/json.h"

/* ---- hyperparameters, checked once */
#include "model/hyper.h"

/* ---- names: one internal naming (HF's, as mlx-lm has it) */
enum naming { NAMING_HF, NAMING_META, NAMING_GGUF };
enum naming naming_of(const struct source *s);
/* A foreign tensor name to ours, and back; false: no such tensor in our
 * naming (rope.freqs, rotary_emb.inv_freq, ...). */
bool name_in(char *out, size_t room, enum naming n, const char *name);
bool name_out(char *out, size_t room, enum naming n, const char *name);
/* The same, with the names that the config's family gives its norms and
 * fused matrices; a NULL config has none. */
bool config_name_in(const struct config *c, char *out, size_t room, enum naming n,
                    const char *name);
bool config_name_out(const struct config *c, char *out, size_t room, enum naming n,
                     const char *name);
/* What a router becomes where matrices become codes: it stays, is as they are, or has 8 bits in
 * groups of 64. */
enum router_codes { ROUTER_STAYS, ROUTER_ALIKE, ROUTER_EIGHT };
/* How a family's files are written; false: no such family. */
struct family_files {
	const char *class;         /* config.json's architectures */
	const char *gguf;          /* general.architecture; NULL: none */
	bool gguf_pairs;           /* q and k rows of a head lie in adjacent pairs in a GGUF */
	bool norm_less_one;        /* norms less one, but for a GGUF's */
	bool whole_if_turned;      /* ... and where taps lie as MLX turns them */
	bool yarn_exact, paired_experts, halved_experts; /* as in family.h */
	bool qkv_bias, window_by_flag, window_everywhere;
	unsigned window_pattern, unrotated_every;
	const char *experts[4];    /* where they are one by one, and their gate, up and down; or NULL */
	enum router_codes router;
	enum activation act;
};
bool family_files(struct family_files *out, const char *model_type);
/* The families that are there, for clm-info and the tables. */
size_t family_count(void);
const char *family_name(size_t i);
/* What sets family i apart, in words. */
void family_has(struct buf *out, size_t i);

/* ---- adapters: low-rank sides of products (LoRA, rsLoRA, DoRA) and IA3 gains */
struct adapter;
/* MLX's layout: the directory, or its adapters.safetensors or .npz. */
NEED int adapter_open(struct adapter **out, const char *path, struct err *e);
void adapter_close(struct adapter *a);
const char *adapter_digest(const struct adapter *a);   /* hex BLAKE2b of numbers and config */
/* Adapters that are used together; `scale` multiplies all that one changes:
 * 0 is the model itself, 1 the adapter as it was trained. */
struct adapter_use { const struct adapter *adapter; double scale; };
struct adapter_set { const struct adapter_use *use; size_t n; };

/* ---- the model */
struct model;
struct model_options {
	size_t kv_tokens;          /* positions over all sequences; 0: max_pos, at most 8192 */
	size_t max_rows;           /* rows of one step; 0: 512 */
	size_t max_out;            /* rows of logits of one step; 0: 64 */
	const struct adapter_set *sets; /* set i is adapter i + 1 of a sequence; 0 is none; they */
	size_t n_sets;             /* are read while it opens. New sequences begin with 1, if any */
	bool hidden;               /* final hidden states in place of logits; an encoder's always */
};
/* The source and exec stay borrowed and must outlive the model. */
NEED int model_open(struct model **out, struct source *s, struct exec *x,
                    const struct model_options *o, struct err *e);
/* Random weights of a known shape ("llama-1b", ...; synthetic_name() lists
 * them), for measuring: bits 0 in `dtype`, else grouped affine with scales in
 * it. ERR_MISUSE for a name that is not known. */
NEED int model_open_synthetic(struct model **out, const char *shape, unsigned bits, unsigned group,
                              enum dtype dtype, struct exec *x, const struct model_options *o,
                              struct err *e);
/* Writes such a model as a directory that can be opened, with a tokenizer of
 * bytes; one matrix of it is in memory at a time. */
NEED int synthetic_save(const char *path, const char *shape, unsigned bits, unsigned group,
                        enum dtype dtype, struct err *e);
size_t synthetic_count(void);
const char *synthetic_name(size_t i);
/* Its parts: the shape alone, ended by config_release(); form and bytes of a
 * desc whose sizes are set, kept by the arena, the same for the same seed.
 * Floats in place of codes where the group does not divide n_in. */
NEED int synthetic_config(struct config *c, const char *name, enum dtype dtype, struct err *e);
NEED int synthetic_matrix(struct weight_desc *d, struct arena *a, enum dtype dtype, unsigned bits,
                          unsigned group, uint64_t *seed, struct err *e);
NEED int synthetic_vector(struct weight_desc *d, struct arena *a, enum dtype dtype, float centre,
                          uint64_t *seed, struct err *e);
void model_close(struct model *m);
const struct config *model_config(const struct model *m);
struct kv_pool *model_pool(struct model *m);
const char *model_digest(const struct model *m);   /* hex, of config and tensor heads */
/* What of the source makes no text and was left out, in words ("394 tensors of
 * vision_tower, multi_modal_projector"); NULL: nothing. */
const char *model_left_out(const struct model *m);
size_t model_weight_bytes(const struct model *m);  /* in their compute form */
size_t model_max_rows(const struct model *m);
size_t model_max_out(const struct model *m);
/* What the row at a position costs at least. */
struct model_cost {
	size_t weight_bytes;       /* that a pass reads, however many rows it has */
	size_t cache_bytes;        /* keys and values that this row reads */
	double flop;               /* its products and its attention */
	double out_flop;           /* its logits, where they are wanted */
	bool coded;                /* most weights are codes, multiplied as integers */
};
void model_cost(struct model_cost *out, const struct model *m, size_t pos);

enum want { WANT_NONE, WANT_LAST, WANT_ALL };
struct model_work {
	struct kv_seq *seq;
	size_t n;                  /* its next n uncomputed positions, >= 1 */
	enum want want;            /* logits of none, of the last, of all of them */
};
/* One pass over the rows of all the work (at most max_rows rows and max_out outputs; one entry per
 * sequence, an encoder's whole). logits: [n_out][vocab], or hidden states [n_out][hidden], outputs
 * in order, until the next run. On success the positions are computed (kv_done() was called). */
NEED int model_run(struct model *m, const struct model_work *work, size_t n_work,
                   const float **logits, struct err *e);
/* The same, for who asks less than the row of each output (exec/ask.h): a device then gives that
 * alone. Not for hidden states. */
NEED int model_run_asked(struct model *m, const struct model_work *work, size_t n_work,
                         const struct ask *ask, const struct answer **answers, struct err *e);
/* A row of that run all the same. */
NEED int model_row(struct model *m, size_t i, const float **row, struct err *e);

#endif
