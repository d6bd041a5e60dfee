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
enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_DYNAMIC, ROPE_LONG };
enum block { BLOCK_ATTENTION, BLOCK_CONV, BLOCK_ENCODER }; /* what mixes positions in a layer */
struct config {
	char model_type[64];
	const struct family *family; /* its row */
	size_t n_layers, hidden, n_heads, n_kv_heads, head_dim, ffn, vocab, max_pos;
	float norm_eps;
	bool tied, qkv_bias, o_bias, mlp_bias, qk_norm;
	bool rope_interleaved;     /* q and k rows lie in adjacent pairs (Meta, GGUF llama) */
	bool rope_pairs_stay;      /* ... by the family's rule: containers do not reorder them */
	enum rope_kind rope_kind;
	double rope_theta, rope_factor, rope_low, rope_high, rope_beta_fast, rope_beta_slow,
	       rope_mscale, rope_mscale_all, rope_attention_factor;
	bool rope_truncate;
	size_t rope_original;      /* original_max_position_embeddings */
	/* LLAMA3, and GGUF's rope_freqs.weight: inverse frequencies are divided
	 * by these, [head_dim / 2], rounded to f32 as GGUF stores them */
	bool has_rope_divisor;
	float rope_divisor[256];
	double rope_partial;       /* of a head is rotated */
	size_t rope_dims;          /* of a head, the first ones */
	float rope_far_divisor[256]; /* LONG: from position rope_original on */
	double rope_local_theta;   /* of layers that slide, unscaled; 0: as the others */
	bool *unrotated;           /* [n_layers]: this layer has no rotary embedding; NULL: none */
	size_t window;             /* sliding window, 0: none */
	bool *sliding;             /* [n_layers]: this layer slides */
	enum block *block;         /* [n_layers] */
	size_t conv_taps;          /* of short convolutions */
	bool encoder;              /* every position sees all: hidden states, no logits */
	size_t n_experts, expert_ffn, shared_ffn; /* 0: none */
	struct routing routing;
	bool choice_bias;          /* experts are chosen by scores plus a bias */
	bool *sparse;              /* [n_layers]: this layer has experts; NULL: none has */
	enum activation act;
	float embed_scale;         /* of the embeddings; 0: none */
	float attn_scale;          /* of the scores */
	float attn_softcap, final_softcap; /* cap * tanh(v / cap); 0: none */
	int32_t eos[16], bos;
	size_t n_eos;
	unsigned quant_bits, quant_group; /* 0: not quantized; per-layer overrides follow the tensors */
	enum dtype dtype;          /* what most weights are stored in */
	struct arena arena;
};
/* Reads config.json (HF, MLX, mlx-examples), GGUF metadata or the llama2.c
 * header. ERR_INPUT names key, expected and found. */
NEED int config_read(struct config *c, struct source *s, struct err *e);
/* A Hugging Face config.json alone, with no weights beside it. */
NEED int config_parse(struct config *c, struct bytes json, struct err *e);
void config_release(struct config *c);
/* Bytes of cache of a position: keys and values of `value` bytes, its share of states. */
size_t config_cache_bytes(const struct config *c, size_t value);
size_t config_state(const struct config *c, size_t layer); /* floats of its state; 0: none */
/* What a model of this config has and needs, told without its weights. */
struct config_size {
	size_t parameters, matrices; /* of them, in matrices, which quantization makes small */
};
NEED int config_measure(struct config_size *out, const struct config *c, struct err *e);

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
/* How a family's files are written; false: no such family. */
struct family_files {
	const char *class;         /* config.json's architectures */
	const char *gguf;          /* general.architecture; NULL: none */
	bool gguf_pairs;           /* q and k rows of a head lie in adjacent pairs in a GGUF */
	bool norm_less_one;        /* norms less one, but for a GGUF's */
	bool qkv_bias, window_by_flag, window_everywhere;
	unsigned window_pattern, unrotated_every;
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

#endif
