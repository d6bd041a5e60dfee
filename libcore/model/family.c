/* SPDX-License-Identifier: MIT */
/* family.c - a row per model family, and the names it gives its tensors
 *
 * Ours are the names of Hugging Face and mlx-lm; what all families call alike
 * is in names.c. */
#include "model/family.h"

#include "model/model.h"

#include <stdio.h>
#include <string.h>

#define NORMS_BEFORE { "input_layernorm", NULL, "post_attention_layernorm", NULL }
#define NORMS_AFTER { NULL, "post_attention_layernorm", NULL, "post_feedforward_layernorm" }
#define NORMS_AROUND { "input_layernorm", "post_attention_layernorm", \
	"pre_feedforward_layernorm", "post_feedforward_layernorm" }

/* the norm before the feed-forward, where a GGUF names it by its place */
#define GGUF_POST { "attn_norm", NULL, "post_attention_norm", NULL }

static const struct alias lfm2_names[] = {
	{ "model.norm", "model.embedding_norm" },
	{ "self_attn.o_proj", "self_attn.out_proj" },
	{ "self_attn.q_norm", "self_attn.q_layernorm" },
	{ "self_attn.k_norm", "self_attn.k_layernorm" },
	{ "mlp.gate_proj", "feed_forward.w1" },
	{ "mlp.down_proj", "feed_forward.w2" },
	{ "mlp.up_proj", "feed_forward.w3" },
	{ NULL, NULL },
};

static const struct alias bert_names[] = {
	{ "model.embed_tokens", "embeddings.word_embeddings" },
	{ "model.embed_positions", "embeddings.position_embeddings" },
	{ "model.embed_types", "embeddings.token_type_embeddings" },
	{ "model.embed_norm", "embeddings.LayerNorm" },
	{ "self_attn.q_proj", "attention.self.query" },
	{ "self_attn.k_proj", "attention.self.key" },
	{ "self_attn.v_proj", "attention.self.value" },
	{ "self_attn.o_proj", "attention.output.dense" },
	{ "mlp.up_proj", "intermediate.dense" },
	{ "mlp.down_proj", "output.dense" },
	{ NULL, NULL },
};

static const struct alias gpt_oss_names[] = {
	{ "mlp.gate", "mlp.router" },
	{ "mlp.switch_mlp.gate_proj", "mlp.experts.gate_proj" },
	{ "mlp.switch_mlp.up_proj", "mlp.experts.up_proj" },
	{ "mlp.switch_mlp.down_proj", "mlp.experts.down_proj" },
	{ NULL, NULL },
};

static const struct alias gemma4_names[] = {
	{ "mlp.gate", "router.proj" },
	{ "mlp.switch_mlp.gate_proj", "experts.switch_glu.gate_proj" },
	{ "mlp.switch_mlp.up_proj", "experts.switch_glu.up_proj" },
	{ "mlp.switch_mlp.down_proj", "experts.switch_glu.down_proj" },
	{ NULL, NULL },
};

static const struct alias mixtral_names[] = {
	{ "mlp.gate", "block_sparse_moe.gate" },
	{ "mlp.switch_mlp.gate_proj", "block_sparse_moe.switch_mlp.gate_proj" },
	{ "mlp.switch_mlp.up_proj", "block_sparse_moe.switch_mlp.up_proj" },
	{ "mlp.switch_mlp.down_proj", "block_sparse_moe.switch_mlp.down_proj" },
	{ NULL, NULL },
};

static const struct alias qwen3_next_names[] = {
	{ "mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj" },
	{ "mlp.shared_experts.up_proj", "mlp.shared_expert.up_proj" },
	{ "mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj" },
	{ NULL, NULL },
};

/* MLX's, and those of a first dense layer as published, are ours. */
static const struct alias kimi_linear_names[] = {
	{ "self_attn.q_conv.conv", "self_attn.q_conv1d" },
	{ "self_attn.k_conv.conv", "self_attn.k_conv1d" },
	{ "self_attn.v_conv.conv", "self_attn.v_conv1d" },
	{ "mlp.gate", "block_sparse_moe.gate" },
	{ "mlp.gate_proj", "block_sparse_moe.gate_proj" },
	{ "mlp.up_proj", "block_sparse_moe.up_proj" },
	{ "mlp.down_proj", "block_sparse_moe.down_proj" },
	{ "mlp.shared_experts.gate_proj", "block_sparse_moe.shared_experts.gate_proj" },
	{ "mlp.shared_experts.up_proj", "block_sparse_moe.shared_experts.up_proj" },
	{ "mlp.shared_experts.down_proj", "block_sparse_moe.shared_experts.down_proj" },
	{ NULL, NULL },
};

/* ---- in a GGUF, within a layer: modules, or whole names */

static const struct alias delta_gguf[] = {
	{ "linear_attn.in_proj_qkv", "attn_qkv" },
	{ "linear_attn.in_proj_z", "attn_gate" },
	{ "linear_attn.in_proj_qkvz", "ssm_in" }, /* old files */
	{ "linear_attn.in_proj_ba", "ssm_ba" },
	{ "linear_attn.conv1d", "ssm_conv1d" },
	{ "linear_attn.A_log", "ssm_a" },
	{ "linear_attn.dt_bias", "ssm_dt.bias" },
	{ "linear_attn.norm", "ssm_norm" },
	{ "linear_attn.out_proj", "ssm_out" },
	{ NULL, NULL },
};

static const struct alias beside_gguf[] = {
	{ "pre_feedforward_layernorm_2", "pre_ffw_norm_2" },
	{ "post_feedforward_layernorm_1", "post_ffw_norm_1" },
	{ "post_feedforward_layernorm_2", "post_ffw_norm_2" },
	{ "router.scale", "ffn_gate_inp.scale" },
	{ "router.per_expert_scale", "ffn_down_exps.scale" },
	{ NULL, NULL },
};

static const struct alias kda_gguf[] = {
	{ "self_attn.q_conv.conv", "ssm_conv1d_q" },
	{ "self_attn.k_conv.conv", "ssm_conv1d_k" },
	{ "self_attn.v_conv.conv", "ssm_conv1d_v" },
	{ "self_attn.f_a_proj", "ssm_f_a" },
	{ "self_attn.f_b_proj", "ssm_f_b" },
	{ "self_attn.g_a_proj", "ssm_g_a" },
	{ "self_attn.g_b_proj", "ssm_g_b" },
	{ "self_attn.b_proj", "ssm_beta" },
	{ "self_attn.A_log", "ssm_a" },
	{ "self_attn.dt_bias", "ssm_dt.bias" },
	{ "self_attn.o_norm", "ssm_norm" },
	{ NULL, NULL },
};

#define EXPERTS { "mlp.experts", "gate_proj", "up_proj", "down_proj" }

#define LATENT_MIXTURE .gguf = "deepseek2", .norm = NORMS_BEFORE, .interleaved = true, \
	.block = BLOCK_LATENT, \
	.latent_eps = 1e-6f, .experts = EXPERTS, .score = SCORE_SIGMOID, .normalize = true, \
	.choice_bias = true

static const struct family families[] = {
	{ .name = "llama", .class = "LlamaForCausalLM",
	  .gguf = "llama", .norm = NORMS_BEFORE, .gguf_interleaved = true },
	{ .name = "mistral", .class = "MistralForCausalLM",
	  .gguf = "llama", .norm = NORMS_BEFORE, .gguf_interleaved = true,
	  .window_everywhere = true },
	{ .name = "qwen2", .class = "Qwen2ForCausalLM",
	  .gguf = "qwen2", .norm = NORMS_BEFORE, .qkv_bias = true,
	  .no_o_bias = true, .window_by_flag = true },
	{ .name = "qwen3", .class = "Qwen3ForCausalLM",
	  .gguf = "qwen3", .norm = NORMS_BEFORE, .qk_norm = true,
	  .window_by_flag = true },
	{ .name = "qwen3_moe", .class = "Qwen3MoeForCausalLM",
	  .gguf = "qwen3moe", .norm = NORMS_BEFORE, .qk_norm = true,
	  .window_by_flag = true, .experts = EXPERTS, .router = ROUTER_EIGHT },
	{ .name = "mixtral", .class = "MixtralForCausalLM",
	  .gguf = "llama", .gguf_interleaved = true, .norm = NORMS_BEFORE,
	  .window_everywhere = true, .score = SCORE_CHOSEN, .router = ROUTER_ALIKE,
	  .experts = { "block_sparse_moe.experts", "w1", "w3", "w2" }, .alias = mixtral_names },
	{ .name = "deepseek_v3", .class = "DeepseekV3ForCausalLM", LATENT_MIXTURE },
	{ .name = "kimi_k2", .class = "DeepseekV3ForCausalLM", LATENT_MIXTURE },
	{ .name = "qwen3_next", .class = "Qwen3NextForCausalLM",
	  .gguf = "qwen3next", .gguf_norms = GGUF_POST, .gguf_names = delta_gguf,
	  .norm = NORMS_BEFORE, .qk_norm = true, .norm_plus_one = true, .whole_if_turned = true,
	  .block = BLOCK_DELTA, .block_name = "linear_attention", .full_every = 4,
	  .gated_query = true, .experts = EXPERTS, .router = ROUTER_EIGHT,
	  .normalize = true, .gated_shared = true,
	  .alias = qwen3_next_names },
	{ .name = "kimi_linear", .class = "KimiLinearForCausalLM",
	  .gguf = "kimi-linear", .gguf_names = kda_gguf,
	  .norm = NORMS_BEFORE, .unrotated_every = 1,
	  .block = BLOCK_KDA, .block_name = "linear_attention", .others = BLOCK_LATENT,
	  .experts = { "block_sparse_moe.experts", "w1", "w3", "w2" }, .score = SCORE_SIGMOID,
	  .router = ROUTER_EIGHT, .normalize = true, .choice_bias = true, .alias = kimi_linear_names },
	{ .name = "gpt_oss", .class = "GptOssForCausalLM",
	  .gguf = "gpt-oss", .gguf_norms = GGUF_POST, .norm = NORMS_BEFORE, .biased = true,
	  .sinks = true, .yarn_exact = true, .window_pattern = 2, .window = 128, .act = ACT_CLIPPED,
	  .score = SCORE_CHOSEN, .experts = EXPERTS, .paired_experts = true, .router = ROUTER_EIGHT,
	  .alias = gpt_oss_names },
	{ .name = "gemma", .class = "GemmaForCausalLM",
	  .gguf = "gemma", .norm = NORMS_BEFORE, .norm_plus_one = true,
	  .embed_by_width = true, .tied = true, .act = ACT_GELU_TANH },
	{ .name = "gemma2", .class = "Gemma2ForCausalLM",
	  .gguf = "gemma2", .norm = NORMS_AROUND, .norm_plus_one = true,
	  .embed_by_width = true, .tied = true, .act = ACT_GELU_TANH,
	  .window_pattern = 2, .window = 4096 },
	{ .name = "gemma3_text", .class = "Gemma3ForCausalLM",
	  .gguf = "gemma3", .norm = NORMS_AROUND, .qk_norm = true,
	  .norm_plus_one = true, .embed_by_width = true, .tied = true, .act = ACT_GELU_TANH,
	  .window_pattern = 6, .window = 512 },
	{ .name = "gemma4_text", .class = "Gemma4ForCausalLM",
	  .gguf = "gemma4", .gguf_names = beside_gguf, .alias = gemma4_names, .beside = true,
	  .experts = { "experts", "gate_proj", "up_proj", "down_proj" }, .halved_experts = true,
	  .score = SCORE_CHOSEN, .router = ROUTER_EIGHT,
	  .norm = NORMS_AROUND, .qk_norm = true, .value_norm = true, .unscaled = true,
	  .embed_by_width = true, .tied = true, .act = ACT_GELU_TANH, .window_pattern = 5,
	  .window = 512, .two_kinds = true, .layer_scalar = true },
	{ .name = "glm4", .class = "Glm4ForCausalLM",
	  .gguf = "glm4", .norm = { "input_layernorm",
	  "post_self_attn_layernorm", "post_attention_layernorm", "post_mlp_layernorm" },
	  .no_o_bias = true, .interleaved = true, .fused_gate_up = true },
	{ .name = "olmo2", .class = "Olmo2ForCausalLM",
	  .gguf = "olmo2", .norm = NORMS_AFTER, .qk_norm = true,
	  .qk_norm_row = true },
	{ .name = "phi3", .class = "Phi3ForCausalLM",
	  .gguf = "phi3", .norm = NORMS_BEFORE, .fused_qkv = true,
	  .fused_gate_up = true, .window_everywhere = true },
	{ .name = "smollm3", .class = "SmolLM3ForCausalLM",
	  .gguf = "smollm3", .norm = NORMS_BEFORE, .gguf_interleaved = true,
	  .window_by_flag = true, .unrotated_every = 4, .tied = true },
	{ .name = "lfm2", .class = "Lfm2ForCausalLM", .gguf = "lfm2", .gguf_norm = "token_embd_norm",
	  .norm = { "operator_norm", NULL, "ffn_norm", NULL }, .qk_norm = true,
	  .block = BLOCK_CONV, .block_name = "conv", .shrunk_ffn = true, .tied = true,
	  .alias = lfm2_names },
	{ .name = "bert", .class = "BertModel",
	  .gguf = "bert", .gguf_norms = { NULL, "attn_output_norm", NULL, "layer_output_norm" },
	  .norm = { NULL, "attention.output.LayerNorm", NULL, "output.LayerNorm" },
	  .block = BLOCK_ENCODER, .layers = "encoder.layer", .prefix = "bert.", .alias = bert_names,
	  .norm_bias = true, .biased = true, .tied = true,
	  .ungated = true, .act = ACT_GELU },
};
enum { N_FAMILIES = sizeof families / sizeof *families };

size_t family_count(void)
{
	return N_FAMILIES;
}

const char *family_name(size_t i)
{
	return families[i].name;
}

const struct family *family_at(size_t i)
{
	return &families[i];
}

int family_unknown(const char *what, const char *name, struct err *e)
{
	char all[512] = "";
	size_t n = 0;

	for (size_t i = 0; i < N_FAMILIES && n < sizeof all; i++)
		n += (size_t)snprintf(all + n, sizeof all - n, " %s", families[i].name);
	return err_set(e, ERR_INPUT, "%s: \"%.64s\" is not among the families known here:%s", what,
	               name, all);
}

/* Text models under the names that larger ones give them. */
static const struct { const char *type, *family; } others[] = {
	{ "phi4", "phi3" },
	{ "gemma3", "gemma3_text" },       { "gemma4", "gemma4_text" },
	{ "gemma4_unified", "gemma4_text" }, { "gemma4_unified_text", "gemma4_text" },
	{ "qwen2_vl", "qwen2" },           { "qwen2_vl_text", "qwen2" },
	{ "qwen2_5_vl", "qwen2" },         { "qwen2_5_vl_text", "qwen2" },
	{ "qwen3_vl", "qwen3" },           { "qwen3_vl_text", "qwen3" },
	{ "qwen3_vl_moe", "qwen3_moe" },   { "qwen3_vl_moe_text", "qwen3_moe" },
};

const struct family *family_find(const char *model_type)
{
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (!strcmp(others[i].type, model_type))
			model_type = others[i].family;
	for (size_t i = 0; i < N_FAMILIES; i++)
		if (!strcmp(families[i].name, model_type))
			return &families[i];
	return NULL;
}

bool family_files(struct family_files *out, const char *model_type)
{
	const struct family *f = family_find(model_type);

	if (!f)
		return false;
	*out = (struct family_files){
		.class = f->class,
		.gguf = f->gguf,
		.yarn_exact = f->yarn_exact,
		.paired_experts = f->paired_experts,
		.router = f->router,
		.halved_experts = f->halved_experts,
		.whole_if_turned = f->whole_if_turned,
		.gguf_pairs = f->gguf_interleaved || f->interleaved,
		.norm_less_one = f->norm_plus_one,
		.qkv_bias = f->qkv_bias,
		.window_by_flag = f->window_by_flag,
		.window_everywhere = f->window_everywhere,
		.window_pattern = f->window_pattern,
		.unrotated_every = f->unrotated_every,
		.act = f->act,
	};
	memcpy(out->experts, f->experts, sizeof out->experts);
	return true;
}

const struct family *family_of_gguf(const char *architecture)
{
	for (size_t i = 0; i < N_FAMILIES; i++)
		if (families[i].gguf && !strcmp(families[i].gguf, architecture))
			return &families[i];
	return NULL;
}
