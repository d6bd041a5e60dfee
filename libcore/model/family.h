/* SPDX-License-Identifier: MIT */
/* family.h - facts of a model family (private to model/) */
#ifndef CLM_MODEL_FAMILY_H
#define CLM_MODEL_FAMILY_H

#include "model/model.h"

/* A module's path, or its end within a layer, here and in the family's files. */
struct alias { const char *ours, *theirs; };

struct family {
	const char *name;          /* config.json's model_type */
	const char *class;         /* config.json's architectures */
	const char *gguf;          /* general.architecture; NULL: not read from a GGUF */
	/* norms of a layer before and after attention and feed-forward, by
	 * their names in Hugging Face's naming; NULL: none */
	const char *norm[4];
	bool qkv_bias;             /* q, k and v have biases unless the config says otherwise */
	bool qk_norm;              /* a norm per head of q and k before the rotation */
	bool window_everywhere;    /* sliding_window alone makes every layer slide */
	bool window_by_flag;       /* use_sliding_window, from max_window_layers on */
	bool gguf_interleaved;     /* q and k rows lie in adjacent pairs in a GGUF */
	bool interleaved;          /* ... wherever they are stored */
	bool qk_norm_row;          /* norms of all of q and of k instead of a head */
	bool no_o_bias;            /* attention_bias is of q, k and v alone */
	bool fused_qkv;            /* self_attn.qkv_proj */
	bool fused_gate_up;        /* mlp.gate_up_proj */
	bool norm_plus_one;        /* norm weights are stored less one */
	bool embed_by_width;       /* embeddings times sqrt(hidden) */
	unsigned window_pattern;   /* without layer_types every such layer is full; 0: none slides */
	size_t window;             /* where the config names none; 0: full attention */
	unsigned unrotated_every;  /* without no_rope_layers; 0: all rotate */
	bool tied;                 /* where neither config nor weights say */
	enum activation act;       /* unless the config says otherwise */
	enum block block;          /* of layers that layer_types calls by another name */
	const char *block_name;    /* that name; NULL: all layers are such blocks */
	enum block others;         /* where there are others */
	unsigned full_every;       /* without layer_types every such layer is of the others */
	bool gated_query;          /* behind each query of q_proj, a gate of the head's result */
	bool gated_shared;         /* mlp.shared_expert_gate weighs the shared expert */
	bool whole_if_turned;      /* norms are not less one where taps lie as MLX turns them */
	float latent_eps;          /* of the norms in latent attention; 0: as the others */
	bool two_kinds;            /* full layers may have heads of their own, see config_kinds.c */
	bool unscaled;             /* scores are q k, times nothing */
	bool value_norm;           /* a norm without weights per head of v */
	bool layer_scalar;         /* a layer ends in a product with a number */
	const char *layers;        /* what model.layers is called; NULL: that */
	const char *prefix;        /* that names may have in front */
	bool norm_bias;            /* norms with a mean and a bias */
	bool biased;               /* all products have biases */
	bool sinks;                /* self_attn.sinks: a score more for each head */
	bool ungated;              /* no mlp.gate_proj */
	bool yarn_exact;           /* a GGUF of it means yarn's borders not rounded to pairs */
	bool shrunk_ffn;           /* intermediate_size is before two thirds and rounding */
	/* experts: where they are, one by one, and the names of gate, up and down
	 * there; NULL: none */
	const char *experts[4];
	bool paired_experts;       /* one tensor of all, gate and up in turns: gate_up_proj */
	bool halved_experts;       /* one tensor of all, first gates, then ups: gate_up_proj */
	bool beside;               /* experts, if enable_moe_block, beside the feed-forward */
	enum router_codes router;  /* what mlx-lm quantizes it to */
	enum routing_score score;
	bool normalize;            /* weights by their sum unless the config says otherwise */
	bool choice_bias;
	const char *gguf_norm;     /* model.norm in a GGUF; NULL: output_norm */
	const char *gguf_norms[4]; /* norm[] in a GGUF; all NULL: as most have them (names.c) */
	const struct alias *gguf_names; /* [] until ours is NULL: of layers in a GGUF, before others */
	const struct alias *alias; /* [] until ours is NULL: modules under other names */
};

const struct family *family_at(size_t i); /* i < family_count() */
const struct family *family_find(const char *model_type);
/* The refusal of a name that is not in the table, with those that are. */
int family_unknown(const char *what, const char *name, struct err *e);
const struct family *family_of_gguf(const char *architecture);
/* As name_out(), with the family's own names. */
bool family_name_out(const struct family *f, char *out, size_t room, enum naming n,
                     const char *name);

#endif
