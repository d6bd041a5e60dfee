/* SPDX-License-Identifier: MIT */
/* family.c - a row per model family; tensor names of each container to ours
 *
 * Ours are the names of Hugging Face and mlx-lm. Layer numbers stand as {}
 * in the table; a name whose end is not in the table is left to the caller
 * (inventory.c). */
#include "model/family.h"

#include "model/model.h"

#include <stdio.h>
#include <string.h>

#define NORMS_BEFORE { "input_layernorm", NULL, "post_attention_layernorm", NULL }
#define NORMS_AFTER { NULL, "post_attention_layernorm", NULL, "post_feedforward_layernorm" }
#define NORMS_AROUND { "input_layernorm", "post_attention_layernorm", \
	"pre_feedforward_layernorm", "post_feedforward_layernorm" }

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

#define EXPERTS { "mlp.experts", "gate_proj", "up_proj", "down_proj" }

#define LATENT_MIXTURE .norm = NORMS_BEFORE, .interleaved = true, .block = BLOCK_LATENT, \
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
	  .window_by_flag = true, .experts = EXPERTS },
	{ .name = "mixtral", .class = "MixtralForCausalLM",
	  .gguf = "llama", .gguf_interleaved = true, .norm = NORMS_BEFORE,
	  .window_everywhere = true, .score = SCORE_CHOSEN,
	  .experts = { "block_sparse_moe.experts", "w1", "w3", "w2" }, .alias = mixtral_names },
	{ .name = "deepseek_v3", .class = "DeepseekV3ForCausalLM", LATENT_MIXTURE },
	{ .name = "kimi_k2", .class = "DeepseekV3ForCausalLM", LATENT_MIXTURE },
	{ .name = "qwen3_next", .class = "Qwen3NextForCausalLM",
	  .norm = NORMS_BEFORE, .qk_norm = true, .norm_plus_one = true, .whole_if_turned = true,
	  .block = BLOCK_DELTA, .block_name = "linear_attention", .full_every = 4,
	  .gated_query = true, .experts = EXPERTS, .normalize = true, .gated_shared = true,
	  .alias = qwen3_next_names },
	{ .name = "kimi_linear", .class = "KimiLinearForCausalLM",
	  .norm = NORMS_BEFORE, .unrotated_every = 1,
	  .block = BLOCK_KDA, .block_name = "linear_attention", .others = BLOCK_LATENT,
	  .experts = { "block_sparse_moe.experts", "w1", "w3", "w2" }, .score = SCORE_SIGMOID,
	  .normalize = true, .choice_bias = true, .alias = kimi_linear_names },
	{ .name = "gpt_oss", .class = "GptOssForCausalLM", .norm = NORMS_BEFORE, .biased = true,
	  .sinks = true, .window_pattern = 2, .window = 128, .act = ACT_CLIPPED,
	  .score = SCORE_CHOSEN, .experts = EXPERTS, .paired_experts = true,
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

struct rename {
	const char *hf, *meta, *gguf;
};

/* Module paths without their last part (".weight", ".bias", ".scales"). */
static const struct rename renames[] = {
	{ "model.embed_tokens", "tok_embeddings", "token_embd" },
	{ "model.norm", "norm", "output_norm" },
	{ "lm_head", "output", "output" },
	{ "model.layers.{}.input_layernorm", "layers.{}.attention_norm", "blk.{}.attn_norm" },
	{ "model.layers.{}.post_attention_layernorm", "layers.{}.ffn_norm", "blk.{}.ffn_norm" },
	{ "model.layers.{}.self_attn.q_proj", "layers.{}.attention.wq", "blk.{}.attn_q" },
	{ "model.layers.{}.self_attn.k_proj", "layers.{}.attention.wk", "blk.{}.attn_k" },
	{ "model.layers.{}.self_attn.v_proj", "layers.{}.attention.wv", "blk.{}.attn_v" },
	{ "model.layers.{}.self_attn.o_proj", "layers.{}.attention.wo", "blk.{}.attn_output" },
	{ "model.layers.{}.self_attn.q_norm", NULL, "blk.{}.attn_q_norm" },
	{ "model.layers.{}.self_attn.k_norm", NULL, "blk.{}.attn_k_norm" },
	{ "model.layers.{}.mlp.gate_proj", "layers.{}.feed_forward.w1", "blk.{}.ffn_gate" },
	{ "model.layers.{}.mlp.down_proj", "layers.{}.feed_forward.w2", "blk.{}.ffn_down" },
	{ "model.layers.{}.mlp.up_proj", "layers.{}.feed_forward.w3", "blk.{}.ffn_up" },
	{ "model.layers.{}.mlp.gate", NULL, "blk.{}.ffn_gate_inp" },
	{ "model.layers.{}.mlp.switch_mlp.gate_proj", NULL, "blk.{}.ffn_gate_exps" },
	{ "model.layers.{}.mlp.switch_mlp.up_proj", NULL, "blk.{}.ffn_up_exps" },
	{ "model.layers.{}.mlp.switch_mlp.down_proj", NULL, "blk.{}.ffn_down_exps" },
	{ "model.layers.{}.conv.in_proj", NULL, "blk.{}.shortconv.in_proj" },
	{ "model.layers.{}.conv.conv", NULL, "blk.{}.shortconv.conv" },
	{ "model.layers.{}.conv.out_proj", NULL, "blk.{}.shortconv.out_proj" },
	/* fused rows; from a GGUF the first that fits is meant */
	{ "model.layers.{}.self_attn.qkv_proj", NULL, "blk.{}.attn_qkv" },
	{ "model.layers.{}.mlp.gate_up_proj", NULL, "blk.{}.ffn_up" },
};
enum { N_RENAMES = sizeof renames / sizeof *renames, LAYER_DIGITS = 5 };

static const char *side(const struct rename *r, enum naming n)
{
	return n == NAMING_HF ? r->hf : n == NAMING_META ? r->meta : r->gguf;
}

/* Whether `path` [n] matches the pattern; its layer digits go to `layer`. */
static bool match(char layer[LAYER_DIGITS + 1], const char *pattern, const char *path, size_t n)
{
	const char *hole = strstr(pattern, "{}");
	size_t head = hole ? (size_t)(hole - pattern) : strlen(pattern), digits = 0;

	if (n < head || memcmp(pattern, path, head))
		return false;
	if (!hole)
		return n == head;
	while (head + digits < n && path[head + digits] >= '0' && path[head + digits] <= '9')
		digits++;
	if (!digits || digits > LAYER_DIGITS || (digits > 1 && path[head] == '0'))
		return false;
	memcpy(layer, path + head, digits);
	layer[digits] = 0;
	return n - head - digits == strlen(hole + 2) &&
	       !memcmp(hole + 2, path + head + digits, strlen(hole + 2));
}

static bool rename_path(char *out, size_t room, enum naming from, enum naming to, const char *name)
{
	const char *leaf = strrchr(name, '.');

	if (!leaf)
		return false;
	for (size_t i = 0; i < N_RENAMES; i++) {
		const char *a = side(&renames[i], from), *b = side(&renames[i], to);
		char layer[LAYER_DIGITS + 1] = "";
		const char *hole;
		int n;

		if (!a || !b || !match(layer, a, name, (size_t)(leaf - name)))
			continue;
		hole = strstr(b, "{}");
		n = hole ? snprintf(out, room, "%.*s%s%s%s", (int)(hole - b), b, layer, hole + 2,
		                    leaf) :
		           snprintf(out, room, "%s%s", b, leaf);
		return n > 0 && (size_t)n < room;
	}
	return false;
}

/* The name in the family's own files, where it differs. */
static bool alias_out(const struct family *f, char *out, size_t room, const char *name)
{
	static const char layers[] = "model.layers";
	const char *leaf = strrchr(name, '.');
	char own[256];

	if (f->layers && !strncmp(name, layers, sizeof layers - 1)) {
		snprintf(own, sizeof own, "%s%s", f->layers, name + sizeof layers - 1);
		name = own;
		leaf = strrchr(name, '.');
	}
	for (const struct alias *a = f->alias; leaf && a && a->ours; a++) {
		size_t n = strlen(a->ours), path = (size_t)(leaf - name);

		if (path < n || memcmp(leaf - n, a->ours, n) ||
		    (path > n && name[path - n - 1] != '.'))
			continue;
		return (size_t)snprintf(out, room, "%.*s%s%s", (int)(path - n), name, a->theirs, leaf) <
		       room;
	}
	return (size_t)snprintf(out, room, "%s", name) < room;
}

/* And back. */
static bool alias_in(const struct family *f, char *out, size_t room, const char *name)
{
	const char *leaf = strrchr(name, '.');

	for (const struct alias *a = f->alias; leaf && a && a->ours; a++) {
		size_t n = strlen(a->theirs), path = (size_t)(leaf - name);

		if (path >= n && !memcmp(leaf - n, a->theirs, n) &&
		    (path == n || name[path - n - 1] == '.'))
			return (size_t)snprintf(out, room, "%.*s%s%s", (int)(path - n), name, a->ours,
			                        leaf) < room;
	}
	return (size_t)snprintf(out, room, "%s", name) < room;
}

/* Which of a layer's norms stands where is the family's fact, and so is the
 * name that follows from it. */
static const char *const gguf_norms[] = { "attn_norm", "post_attention_norm", "ffn_norm",
	                                  "post_ffw_norm" };
enum { N_NORMS = sizeof gguf_norms / sizeof *gguf_norms };

static bool rename_norm(const struct family *f, char *out, size_t room, bool in, const char *name)
{
	char last[64];

	snprintf(last, sizeof last, "%s.weight", f->gguf_norm ? f->gguf_norm : "output_norm");
	if (!strcmp(name, in ? last : "model.norm.weight"))
		return (size_t)snprintf(out, room, "%s", in ? "model.norm.weight" : last) < room;
	for (size_t i = 0; i < N_NORMS; i++) {
		char ours[128], theirs[64], layer[LAYER_DIGITS + 1];

		if (!f->norm[i])
			continue;
		snprintf(ours, sizeof ours, "model.layers.{}.%s.weight", f->norm[i]);
		snprintf(theirs, sizeof theirs, "blk.{}.%s.weight", gguf_norms[i]);
		if (match(layer, in ? theirs : ours, name, strlen(name)))
			return (size_t)(in ? snprintf(out, room, "model.layers.%s.%s.weight", layer,
			                              f->norm[i]) :
			                     snprintf(out, room, "blk.%s.%s.weight", layer,
			                              gguf_norms[i])) < room;
	}
	return false;
}

bool family_name_out(const struct family *f, char *out, size_t room, enum naming n,
                     const char *name)
{
	if (n == NAMING_HF)
		return alias_out(f, out, room, name);
	return (n == NAMING_GGUF && rename_norm(f, out, room, false, name)) ||
	       name_out(out, room, n, name);
}

static bool family_name_in(const struct family *f, char *out, size_t room, enum naming n,
                           const char *name)
{
	char layer[LAYER_DIGITS + 1];

	if (n == NAMING_HF)
		return alias_in(f, out, room, name);
	if (n == NAMING_GGUF && rename_norm(f, out, room, true, name))
		return true;
	if (n == NAMING_GGUF && f->fused_gate_up && match(layer, "blk.{}.ffn_up.weight", name,
	                                                  strlen(name)))
		return (size_t)snprintf(out, room, "model.layers.%s.mlp.gate_up_proj.weight",
		                        layer) < room;
	return name_in(out, room, n, name);
}

bool config_name_in(const struct config *c, char *out, size_t room, enum naming n,
                    const char *name)
{
	return c && c->family ? family_name_in(c->family, out, room, n, name) :
	                        name_in(out, room, n, name);
}

bool config_name_out(const struct config *c, char *out, size_t room, enum naming n,
                     const char *name)
{
	return c && c->family ? family_name_out(c->family, out, room, n, name) :
	                        name_out(out, room, n, name);
}

bool name_in(char *out, size_t room, enum naming n, const char *name)
{
	return rename_path(out, room, n, NAMING_HF, name);
}

bool name_out(char *out, size_t room, enum naming n, const char *name)
{
	return rename_path(out, room, NAMING_HF, n, name);
}

enum naming naming_of(const struct source *s)
{
	if (source_container(s) == CONTAINER_GGUF)
		return NAMING_GGUF;
	return source_find(s, "tok_embeddings.weight") ? NAMING_META : NAMING_HF;
}
