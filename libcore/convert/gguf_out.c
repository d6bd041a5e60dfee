/* SPDX-License-Identifier: MIT */
/* gguf_out.c - the metadata of a GGUF
 *
 * From a GGUF it is copied; from anything else it is written with the keys
 * and types that llama.cpp's own converter uses, which its reader insists
 * on. What GGUF has no key for is noted. */
#include "convert/gguf_out.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *gguf_out_key(struct gguf_out *o, const char *rest)
{
	snprintf(o->key, sizeof o->key, "%s.%s", o->arch, rest);
	return o->key;
}

static int text(struct gguf_out *o, const char *k, const char *v)
{
	return writer_meta_text(o->w, k, bytes_of(v), o->e);
}

static int u32(struct gguf_out *o, const char *k, size_t v)
{
	return writer_meta_number(o->w, k, META_U32, (double)v, o->e);
}

static int f32(struct gguf_out *o, const char *k, double v)
{
	return writer_meta_number(o->w, k, META_F32, v, o->e);
}

static int flag(struct gguf_out *o, const char *k, bool v)
{
	return writer_meta_number(o->w, k, META_BOOL, v, o->e);
}

/* ---- general */

static const struct {
	enum dtype dtype;
	unsigned file_type;
} file_types[] = {
	{ DT_F32, 0 }, { DT_F16, 1 }, { DT_Q4_0, 2 }, { DT_Q4_1, 3 }, { DT_Q8_0, 7 },
	{ DT_Q5_0, 8 }, { DT_Q5_1, 9 }, { DT_Q2_K, 10 }, { DT_Q3_K, 12 }, { DT_Q4_K, 15 },
	{ DT_Q5_K, 17 }, { DT_Q6_K, 18 }, { DT_IQ4_NL, 25 }, { DT_IQ4_XS, 30 }, { DT_BF16, 32 },
};

static enum dtype dtype_of(const struct item *t)
{
	return t->out == OUT_SAME ? t->weight->dtype : t->dtype;
}

/* The type of most matrices. */
static int general(struct gguf_out *o)
{
	size_t count[DT_COUNT] = { 0 };
	enum dtype most = DT_F32;
	bool quantized = false;

	for (size_t i = 0; i < o->p->n_items; i++) {
		const struct item *t = &o->p->item[i];

		if (t->shape.rank < 2)
			continue;
		count[dtype_of(t)]++;
		quantized |= dtype_info(dtype_of(t))->block > 1;
	}
	for (unsigned t = 0; t < DT_COUNT; t++)
		if (count[t] > count[most])
			most = (enum dtype)t;
	if (recipe_file_type(o->p))
		return u32(o, "general.file_type", recipe_file_type(o->p)) ||
		       u32(o, "general.quantization_version", 2);
	for (size_t i = 0; i < sizeof file_types / sizeof *file_types; i++)
		if (file_types[i].dtype == most && u32(o, "general.file_type", file_types[i].file_type))
			return -1;
	return quantized ? u32(o, "general.quantization_version", 2) : 0;
}

/* ---- the family's numbers */

static int sizes(struct gguf_out *o, const struct config *c)
{
	size_t full = c->full_head_dim ? c->full_head_dim : c->head_dim;
	size_t k = c->kv_rank ? c->kv_rank + c->pe_dim : full, v = c->kv_rank ? c->kv_rank : full;
	const struct {
		const char *key;
		size_t v;
	} row[] = {
		{ "context_length", c->max_pos },
		{ "embedding_length", c->hidden },
		{ "block_count", c->n_layers },
		{ "attention.head_count", c->n_heads },
		{ "attention.key_length", k },
		{ "attention.value_length", v },
		{ "rope.dimension_count", c->rope_dims },
		{ "vocab_size", c->vocab },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (u32(o, gguf_out_key(o, row[i].key), row[i].v))
			return -1;
	return f32(o, gguf_out_key(o, c->encoder ? "attention.layer_norm_epsilon" :
	                          "attention.layer_norm_rms_epsilon"), (double)c->norm_eps) ||
	       f32(o, gguf_out_key(o, "rope.freq_base"), c->rope_theta) || gguf_own(o, c);
}

static int yarn(struct gguf_out *o, const struct config *c)
{
	double gain = c->rope_factor > 1 ? 0.1 * log(c->rope_factor) + 1 : 1,
	       has = c->rope_attention_factor;

	struct family_files f = { 0 };

	family_files(&f, c->model_type);
	if (c->rope_truncate == f.yarn_exact)
		plan_note(o->p, "rope_scaling: GGUF keeps no truncate: it is %s in one of %s",
		          f.yarn_exact ? "false" : "true", o->arch);
	if ((c->rope_beta_fast != 32 &&
	     f32(o, gguf_out_key(o, "rope.scaling.yarn_beta_fast"), c->rope_beta_fast)) ||
	    (c->rope_beta_slow != 1 &&
	     f32(o, gguf_out_key(o, "rope.scaling.yarn_beta_slow"), c->rope_beta_slow)))
		return -1;
	if (!(has > 0) && c->rope_mscale > 0 && c->rope_mscale_all > 0)
		has = (0.1 * c->rope_mscale * log(c->rope_factor) + 1) /
		      (0.1 * c->rope_mscale_all * log(c->rope_factor) + 1);
	if (text(o, gguf_out_key(o, "rope.scaling.type"), "yarn") ||
	    f32(o, gguf_out_key(o, "rope.scaling.factor"), c->rope_factor) ||
	    u32(o, gguf_out_key(o, "rope.scaling.original_context_length"), c->rope_original))
		return -1;
	if (c->kv_rank && c->rope_mscale_all > 0) { /* then the usual gain is not taken */
		if (f32(o, gguf_out_key(o, "rope.scaling.yarn_log_multiplier"), 0.1 * c->rope_mscale_all))
			return -1;
		gain = 1;
	}
	/* the reader multiplies the usual gain by it */
	return has > 0 && has != gain ?
	       f32(o, gguf_out_key(o, "rope.scaling.attn_factor"), has / gain) : 0;
}

static int rope(struct gguf_out *o, const struct config *c)
{
	switch (c->rope_kind) {
	case ROPE_PLAIN:
	case ROPE_LLAMA3: /* in rope_freqs.weight */
	case ROPE_PART:
		return 0;
	case ROPE_LONG: /* and two tensors */
		return text(o, gguf_out_key(o, "rope.scaling.type"), "longrope") ||
		       u32(o, gguf_out_key(o, "rope.scaling.original_context_length"), c->rope_original) ||
		       f32(o, gguf_out_key(o, "rope.scaling.attn_factor"), c->rope_attention_factor);
	case ROPE_LINEAR:
		return text(o, gguf_out_key(o, "rope.scaling.type"), "linear") ||
		       f32(o, gguf_out_key(o, "rope.scaling.factor"), c->rope_factor);
	case ROPE_YARN:
		return yarn(o, c);
	case ROPE_DYNAMIC:
		plan_note(o->p,
		          "rope_scaling: GGUF has no dynamic scaling: positions past %zu differ",
		          c->max_pos);
	}
	return 0;
}

static int window(struct gguf_out *o, const struct config *c)
{
	struct family_files f = { 0 };
	size_t n = 0, implied = 0;

	family_files(&f, c->model_type);
	for (size_t i = 0; i < c->n_layers; i++) {
		n += c->sliding[i];
		implied += c->sliding[i] == (!f.window_pattern || (i + 1) % f.window_pattern);
	}
	if (!c->window || !n)
		return 0;
	if (u32(o, gguf_out_key(o, "attention.sliding_window"), c->window))
		return -1;
	if (implied == c->n_layers && !c->full_head_dim)
		return 0;
	return writer_meta_array(o->w, gguf_out_key(o, "attention.sliding_window_pattern"), META_BOOL,
	                         c->sliding, c->n_layers, o->e);
}

/* Layers without rotation have no key: the architecture's rule must hold. */
static int unrotated(struct gguf_out *o, const struct config *c)
{
	struct family_files f = { 0 };

	family_files(&f, c->model_type);
	for (size_t i = 0; c->unrotated && i < c->n_layers; i++)
		if (c->unrotated[i] != (f.unrotated_every && (i + 1) % f.unrotated_every == 0))
			return err_set(o->e, ERR_INPUT, "no_rope_layers: a GGUF of %s has every %uth "
			               "layer without rotation, found layer %zu %s", o->arch,
			               f.unrotated_every, i, c->unrotated[i] ? "without" : "with");
	return 0;
}

static int bounds(struct gguf_out *o, const struct config *c)
{
	if (c->attn_softcap > 0 &&
	    f32(o, gguf_out_key(o, "attn_logit_softcapping"), (double)c->attn_softcap))
		return -1;
	if (c->final_softcap > 0 &&
	    f32(o, gguf_out_key(o, "final_logit_softcapping"), (double)c->final_softcap))
		return -1;
	return c->rope_local_theta > 0 ?
	       f32(o, gguf_out_key(o, "rope.freq_base_swa"), c->rope_local_theta) : 0;
}

/* ---- the vocabulary */

/* As many tokens as the embedding has rows, as llama.cpp wants it. */
static int tokens(struct gguf_out *o, const struct vocab_export *v, size_t n)
{
	struct arena a = { 0 };
	struct bytes *token = arena_new(&a, n, sizeof *token, o->e);
	int32_t *type = token ? arena_new(&a, n, sizeof *type, o->e) : NULL;
	float *score = type ? arena_new(&a, n, sizeof *score, o->e) : NULL;
	int rc = score ? 0 : -1;

	if (v->n_tokens > n)
		plan_note(o->p,
		          "tokenizer: %zu tokens, %zu rows of embeddings: the last tokens are left "
		          "out",
		          v->n_tokens, n);
	for (size_t i = 0; i < n && rc == 0; i++) {
		if (i < v->n_tokens) {
			token[i] = v->tokens[i];
			type[i] = v->types[i];
			score[i] = v->scores ? v->scores[i] : 0;
			continue;
		}
		char *pad = arena_printf(&a, o->e, "[PAD%zu]", i);

		if (!pad) {
			rc = -1;
			break;
		}
		token[i] = bytes_of(pad);
		type[i] = 5;
		score[i] = -10000;
	}
	if (rc == 0)
		rc = writer_meta_strings(o->w, "tokenizer.ggml.tokens", token, n, o->e) ||
		     writer_meta_array(o->w, "tokenizer.ggml.token_type", META_I32, type, n, o->e);
	if (rc == 0 && v->scores)
		rc = writer_meta_array(o->w, "tokenizer.ggml.scores", META_F32, score, n, o->e);
	arena_release(&a);
	return rc;
}

static bool is_end(const struct config *c, int32_t id)
{
	for (size_t i = 0; i < c->n_eos; i++)
		if (c->eos[i] == id)
			return true;
	return false;
}

/* The tokenizer's end first where the config has it, then the others. */
static int end_ids(struct gguf_out *o, const struct vocab_export *v, const struct config *c)
{
	static const char *const keys[] = { "tokenizer.ggml.eos_token_id",
		                            "tokenizer.ggml.eot_token_id",
		                            "tokenizer.ggml.eom_token_id" };
	enum { N = sizeof keys / sizeof *keys };
	int32_t first = v->eos >= 0 && (is_end(c, v->eos) || !c->n_eos) ? v->eos : -1;
	size_t n = 0;

	if (first >= 0 && u32(o, keys[n++], (size_t)first))
		return -1;
	for (size_t i = 0; i < c->n_eos; i++) {
		if (c->eos[i] == first)
			continue;
		if (n == N)
			plan_note(o->p, "eos_token_id: GGUF keeps three ids: %d is left out", (int)c->eos[i]);
		else if (u32(o, keys[n++], (size_t)c->eos[i]))
			return -1;
	}
	return 0;
}

static int special_ids(struct gguf_out *o, const struct vocab_export *v, const struct config *c)
{
	const struct { const char *key; int32_t id; } row[] = {
		{ "tokenizer.ggml.bos_token_id", v->bos >= 0 ? v->bos : c->bos },
		{ "tokenizer.ggml.unknown_token_id", v->unk },
		{ "tokenizer.ggml.padding_token_id", v->pad },
	};

	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (row[i].id >= 0 && u32(o, row[i].key, (size_t)row[i].id))
			return -1;
	return end_ids(o, v, c);
}

static int words(struct gguf_out *o, const struct vocab_export *v)
{
	if ((v->cls >= 0 && u32(o, "tokenizer.ggml.cls_token_id", (size_t)v->cls)) ||
	    (v->sep >= 0 && u32(o, "tokenizer.ggml.seperator_token_id", (size_t)v->sep)))
		return -1;
	return flag(o, "tokenizer.ggml.add_sep_token", v->sep >= 0) ||
	               flag(o, "tokenizer.ggml.normalizer.lowercase", v->lower) ||
	               flag(o, "tokenizer.ggml.normalizer.strip_accents", v->no_accents) ?
	               -1 :
	               0;
}

static int vocabulary(struct gguf_out *o, const struct vocab_export *v)
{
	const struct config *c = o->p->config;

	if (text(o, "tokenizer.ggml.model", v->model) ||
	    text(o, "tokenizer.ggml.pre", v->pre ? v->pre : "default") || tokens(o, v, c->vocab) ||
	    special_ids(o, v, c) || flag(o, "tokenizer.ggml.add_bos_token", v->add_bos) ||
	    flag(o, "tokenizer.ggml.add_eos_token", v->add_eos))
		return -1;
	if (v->n_merges &&
	    writer_meta_strings(o->w, "tokenizer.ggml.merges", v->merges, v->n_merges, o->e))
		return -1;
	if (!strcmp(v->model, "bert"))
		return words(o, v);
	if (strcmp(v->model, "llama"))
		return 0;
	return flag(o, "tokenizer.ggml.add_space_prefix", v->add_space_prefix);
}

static int tokenizer(struct gguf_out *o)
{
	struct source *s = o->p->source;
	struct tokenizer *t = NULL;
	struct vocab_export v = { .bos = -1, .eos = -1, .unk = -1, .pad = -1 };
	struct buf chat = { 0 };
	int has = has_tokenizer(s, o->e), rc;

	if (has < 0)
		return -1;
	if (!has)
		return text(o, "tokenizer.ggml.model", "none") || special_ids(o, &v, o->p->config);
	if (tokenizer_open(&t, s, o->e) || tokenizer_export(t, &v, o->e))
		rc = err_in(o->e, "%s", source_path(s));
	else
		rc = vocabulary(o, &v);
	if (rc == 0) {
		rc = chat_template(s, &chat, o->e);
		if (rc > 0)
			rc = writer_meta_text(o->w, "tokenizer.chat_template", buf_bytes(&chat), o->e);
	}
	buf_release(&chat);
	tokenizer_close(t);
	return rc;
}

/* ---- from GGUF to GGUF */

static bool is_ours(const char *k)
{
	return !strncmp(k, "split.", 6) || !strcmp(k, "general.file_type") ||
	       !strcmp(k, "general.quantization_version") || !strcmp(k, "general.alignment");
}

static int copy(struct gguf_out *o)
{
	for (size_t i = 0; i < source_meta_count(o->p->source); i++) {
		const struct meta *m = source_meta_at(o->p->source, i);
		int rc;

		if (is_ours(m->key))
			continue;
		if (m->type == META_ARRAY && m->item == META_STRING)
			rc = writer_meta_strings(o->w, m->key, m->strings, m->count, o->e);
		else if (m->type == META_ARRAY)
			rc = writer_meta_array(o->w, m->key, m->item, m->raw.p, m->count, o->e);
		else if (m->type == META_STRING)
			rc = writer_meta_text(o->w, m->key, m->raw, o->e);
		else
			rc = writer_meta_number(o->w, m->key, m->type, meta_number(m, 0), o->e);
		if (rc)
			return -1;
	}
	return general(o);
}

int gguf_metadata(const struct plan *p, struct writer *w, struct err *e)
{
	struct gguf_out o = { .w = w, .p = p, .e = e };
	const char *arch = gguf_architecture(p->config);

	if (naming_of(p->source) == NAMING_GGUF)
		return copy(&o);
	if (!arch)
		return err_set(e, ERR_INPUT, "%s has no GGUF architecture here", p->config->model_type);
	snprintf(o.arch, sizeof o.arch, "%s", arch);
	if (text(&o, "general.architecture", arch) || text(&o, "general.type", "model") || general(&o))
		return -1;
	return sizes(&o, p->config) || rope(&o, p->config) || window(&o, p->config) ||
	       unrotated(&o, p->config) || bounds(&o, p->config) || tokenizer(&o);
}
