/* SPDX-License-Identifier: MIT */
/* hyper.h - hyperparameters, checked once. Part of the door of model/, which
 * includes it. */
#ifndef CLM_MODEL_HYPER_H
#define CLM_MODEL_HYPER_H

#include "format/format.h"
#include "kv/kv.h"
#include "util/json.h"

enum rope_kind { ROPE_PLAIN, ROPE_LINEAR, ROPE_LLAMA3, ROPE_YARN, ROPE_DYNAMIC, ROPE_LONG,
                 ROPE_PART };
#define NEVER_TURNED 1e30f /* a divisor of frequencies */
/* what mixes positions in a layer */
enum block { BLOCK_ATTENTION, BLOCK_CONV, BLOCK_ENCODER, BLOCK_LATENT, BLOCK_DELTA,
             BLOCK_KDA };
struct config {
	char model_type[64];
	const struct family *family; /* its row */
	size_t n_layers, hidden, n_heads, n_kv_heads, head_dim, ffn, vocab, max_pos;
	float norm_eps;
	bool tied, qkv_bias, o_bias, mlp_bias, qk_norm;
	const char *text_at;       /* where the text model is in a larger one: a prefix of its
	                            * names; NULL: they stand alone */
	size_t n_extra_layers;     /* past the last, which are not run */
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
	size_t rope_local_dims;    /* of their heads; 0: as the others */
	bool *unrotated;           /* [n_layers]: this layer has no rotary embedding; NULL: none */
	size_t window;             /* sliding window, 0: none */
	bool *sliding;             /* [n_layers]: this layer slides */
	enum block *block;         /* [n_layers] */
	/* where full and sliding layers differ, of the full ones; 0: they do not */
	size_t full_head_dim, full_kv_heads;
	bool keys_are_values;      /* in full layers, before their norms */
	size_t n_shared;           /* last layers that use the cache of earlier ones */
	size_t wide_ffn;           /* of these; 0: as the others */
	size_t own_dim, own_vocab; /* of embeddings that each layer has of its own; 0: none */
	size_t conv_taps;          /* of short convolutions */
	/* the gated delta rule, delta_heads 0: none */
	size_t delta_heads, delta_key_heads, delta_k, delta_v;
	/* latent attention, kv_rank 0: none; q_rank 0: queries at once. Heads are nope_dim and
	 * pe_dim wide, pe_dim of them rotated, and give value_dim */
	size_t q_rank, kv_rank, nope_dim, pe_dim, value_dim;
	float latent_eps;
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
/* The text model's part of the config of one that sees or hears too: 1 and a new object, which
 * says what a config of the text model alone would; 0: it is one. */
NEED int config_text_json(cJSON **out, const cJSON *json, struct err *e);
/* A tensor's name in such a model to its name in the text model alone, within it; NULL: it is not
 * of it. A NULL config is no such model's. */
const char *config_text_ours(const struct config *c, const char *name);
/* Bytes of cache of a position: keys and values of `value` bytes; of a sequence: its states. */
size_t config_cache_bytes(const struct config *c, size_t value);
size_t config_state_bytes(const struct config *c);
/* What layer i has: see full_head_dim, n_shared, wide_ffn; the layer whose cache it reads. */
size_t config_head_dim(const struct config *c, size_t i);
size_t config_kv_heads(const struct config *c, size_t i);
size_t config_ffn(const struct config *c, size_t i);
size_t config_cache_of(const struct config *c, size_t i);
size_t config_caches(const struct config *c); /* first layers that have a cache of their own */
size_t config_state(const struct config *c, size_t layer); /* floats of its state; 0: none */
/* What a model of this config has and needs, told without its weights. */
struct config_size {
	size_t parameters, matrices; /* of them, in matrices, which quantization makes small */
};
NEED int config_measure(struct config_size *out, const struct config *c, struct err *e);

#endif
