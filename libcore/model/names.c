/* SPDX-License-Identifier: MIT */
/* names.c - tensor names of each container to ours, and back
 *
 * Layer numbers stand as {} in the tables; a name whose end is not in a table
 * is left to the caller (inventory.c). */
#include "model/family.h"

#include "model/model.h"

#include <stdio.h>
#include <string.h>

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
	{ "model.layers.{}.mlp.switch_mlp.gate_up_proj", NULL, "blk.{}.ffn_gate_up_exps" },
	{ "model.layers.{}.mlp.shared_experts.gate_proj", NULL, "blk.{}.ffn_gate_shexp" },
	{ "model.layers.{}.mlp.shared_experts.up_proj", NULL, "blk.{}.ffn_up_shexp" },
	{ "model.layers.{}.mlp.shared_experts.down_proj", NULL, "blk.{}.ffn_down_shexp" },
	{ "model.layers.{}.mlp.shared_expert_gate", NULL, "blk.{}.ffn_gate_inp_shexp" },
	{ "model.layers.{}.self_attn.q_a_proj", NULL, "blk.{}.attn_q_a" },
	{ "model.layers.{}.self_attn.q_a_layernorm", NULL, "blk.{}.attn_q_a_norm" },
	{ "model.layers.{}.self_attn.q_b_proj", NULL, "blk.{}.attn_q_b" },
	{ "model.layers.{}.self_attn.kv_a_proj_with_mqa", NULL, "blk.{}.attn_kv_a_mqa" },
	{ "model.layers.{}.self_attn.kv_a_layernorm", NULL, "blk.{}.attn_kv_a_norm" },
	{ "model.layers.{}.self_attn.embed_q", NULL, "blk.{}.attn_k_b" },
	{ "model.layers.{}.self_attn.unembed_out", NULL, "blk.{}.attn_v_b" },
	{ "model.layers.{}.self_attn.kv_b_proj", NULL, "blk.{}.attn_kv_b" },
	{ "model.embed_tokens_per_layer", NULL, "per_layer_token_embd" },
	{ "model.per_layer_model_projection", NULL, "per_layer_model_proj" },
	{ "model.per_layer_projection_norm", NULL, "per_layer_proj_norm" },
	{ "model.layers.{}.per_layer_input_gate", NULL, "blk.{}.inp_gate" },
	{ "model.layers.{}.per_layer_projection", NULL, "blk.{}.proj" },
	{ "model.layers.{}.post_per_layer_input_norm", NULL, "blk.{}.post_norm" },
	{ "model.embed_positions", NULL, "position_embd" },
	{ "model.embed_types", NULL, "token_types" },
	{ "model.embed_norm", NULL, "token_embd_norm" },
	{ "model.layers.{}.conv.in_proj", NULL, "blk.{}.shortconv.in_proj" },
	{ "model.layers.{}.conv.conv", NULL, "blk.{}.shortconv.conv" },
	{ "model.layers.{}.conv.out_proj", NULL, "blk.{}.shortconv.out_proj" },
	/* fused rows; from a GGUF the first that fits is meant */
	{ "model.layers.{}.self_attn.qkv_proj", NULL, "blk.{}.attn_qkv" },
	{ "model.layers.{}.mlp.gate_up_proj", NULL, "blk.{}.ffn_up" },
};
/* Whole names: what ends otherwise in a GGUF. */
static const struct rename wholes[] = {
	{ "model.layers.{}.self_attn.sinks", NULL, "blk.{}.attn_sinks.weight" },
	{ "model.layers.{}.mlp.gate.e_score_correction_bias", NULL, "blk.{}.exp_probs_b.bias" },
	{ "model.layers.{}.mlp.e_score_correction_bias", NULL, "blk.{}.exp_probs_b.bias" },
	{ "model.layers.{}.layer_scalar", NULL, "blk.{}.layer_output_scale.weight" },
};
enum { N_RENAMES = sizeof renames / sizeof *renames, N_WHOLES = sizeof wholes / sizeof *wholes,
       LAYER_DIGITS = 5 };

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

/* The pattern with the layer in its place, and a leaf. */
static bool fill(char *out, size_t room, const char *pattern, const char *layer, const char *leaf)
{
	const char *hole = strstr(pattern, "{}");
	int n = hole ? snprintf(out, room, "%.*s%s%s%s", (int)(hole - pattern), pattern, layer,
	                        hole + 2, leaf) :
	               snprintf(out, room, "%s%s", pattern, leaf);

	return n > 0 && (size_t)n < room;
}

static bool rename_path(char *out, size_t room, enum naming from, enum naming to, const char *name)
{
	const char *leaf = strrchr(name, '.');
	char layer[LAYER_DIGITS + 1] = "";

	for (size_t i = 0; i < N_WHOLES; i++) {
		const char *a = side(&wholes[i], from), *b = side(&wholes[i], to);

		if (a && b && match(layer, a, name, strlen(name)))
			return fill(out, room, b, layer, "");
	}
	for (size_t i = 0; leaf && i < N_RENAMES; i++) {
		const char *a = side(&renames[i], from), *b = side(&renames[i], to);

		if (a && b && match(layer, a, name, (size_t)(leaf - name)))
			return fill(out, room, b, layer, leaf);
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
	size_t front = f->prefix ? strlen(f->prefix) : 0, own = f->layers ? strlen(f->layers) : 0;
	const char *leaf;
	char plain[256];

	if (front && !strncmp(name, f->prefix, front))
		name += front;
	if (own && !strncmp(name, f->layers, own)) {
		snprintf(plain, sizeof plain, "model.layers%s", name + own);
		name = plain;
	}
	leaf = strrchr(name, '.');
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

static const char *gguf_norm(const struct family *f, size_t i)
{
	bool own = false;

	for (size_t k = 0; k < N_NORMS; k++)
		own |= f->gguf_norms[k] != NULL;
	return own ? f->gguf_norms[i] : gguf_norms[i];
}

/* A module of a layer, or a tensor of it: "model.layers.N.OURS", "blk.N.THEIRS". */
static bool rename_within(char *out, size_t room, bool in, const char *ours, const char *theirs,
                          const char *name)
{
	const char *leaf = strrchr(name, '.');
	char a[160], b[160], layer[LAYER_DIGITS + 1];

	snprintf(a, sizeof a, in ? "blk.{}.%s" : "model.layers.{}.%s", in ? theirs : ours);
	snprintf(b, sizeof b, in ? "model.layers.{}.%s" : "blk.{}.%s", in ? ours : theirs);
	if (match(layer, a, name, strlen(name)))
		return fill(out, room, b, layer, "");
	return leaf && match(layer, a, name, (size_t)(leaf - name)) && fill(out, room, b, layer, leaf);
}

/* What a family calls otherwise than most. */
static bool rename_own(const struct family *f, char *out, size_t room, bool in, const char *name)
{
	char last[64];

	snprintf(last, sizeof last, "%s.weight", f->gguf_norm ? f->gguf_norm : "output_norm");
	if (!strcmp(name, in ? last : "model.norm.weight"))
		return (size_t)snprintf(out, room, "%s", in ? "model.norm.weight" : last) < room;
	for (size_t i = 0; i < N_NORMS; i++)
		if (f->norm[i] && gguf_norm(f, i) &&
		    rename_within(out, room, in, f->norm[i], gguf_norm(f, i), name))
			return true;
	for (const struct alias *a = f->gguf_names; a && a->ours; a++)
		if (rename_within(out, room, in, a->ours, a->theirs, name))
			return true;
	return in && f->fused_gate_up &&
	       rename_within(out, room, in, "mlp.gate_up_proj", "ffn_up", name);
}

bool family_name_out(const struct family *f, char *out, size_t room, enum naming n,
                     const char *name)
{
	if (n == NAMING_HF)
		return alias_out(f, out, room, name);
	return (n == NAMING_GGUF && rename_own(f, out, room, false, name)) ||
	       name_out(out, room, n, name);
}

static bool family_name_in(const struct family *f, char *out, size_t room, enum naming n,
                           const char *name)
{
	if (n == NAMING_HF)
		return alias_in(f, out, room, name);
	if (n == NAMING_GGUF && rename_own(f, out, room, true, name))
		return true;
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
