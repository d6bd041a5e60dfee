/* SPDX-License-Identifier: MIT */
/* synthetic_save.c - random weights of a known shape, as a model's directory
 *
 * config.json, model.safetensors (or its shards), and a tokenizer.json whose
 * tokens are the bytes and, up to the vocabulary, words that no text is cut
 * into but that are told apart when a model makes them. */
#include "model/family.h"
#include "model/weights.h"

#include <string.h>

/* ---- config.json */

static void config_layers(struct buf *b, const struct config *c)
{
	buf_printf(b, "  \"conv_L_cache\": %zu,\n  \"conv_bias\": false,\n"
	           "  \"block_auto_adjust_ff_dim\": false,\n  \"layer_types\": [", c->conv_taps);
	for (size_t i = 0; i < c->n_layers; i++)
		buf_printf(b, "%s\"%s\"", i ? ", " : "",
		           c->block[i] == BLOCK_ATTENTION ? "full_attention" : c->family->block_name);
	buf_add_text(b, "],\n");
}

static void config_out(struct buf *b, const struct config *c, unsigned bits, unsigned group)
{
	static const char *const names[DT_COUNT] = {
		[DT_F32] = "float32", [DT_F16] = "float16", [DT_BF16] = "bfloat16",
	};

	buf_printf(b, "{\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n"
	           "  \"vocab_size\": %zu,\n  \"hidden_size\": %zu,\n"
	           "  \"intermediate_size\": %zu,\n  \"num_hidden_layers\": %zu,\n"
	           "  \"num_attention_heads\": %zu,\n  \"num_key_value_heads\": %zu,\n"
	           "  \"head_dim\": %zu,\n  \"max_position_embeddings\": %zu,\n",
	           c->family->class, c->model_type, c->vocab, c->hidden, c->ffn, c->n_layers,
	           c->n_heads, c->n_kv_heads, c->head_dim, c->max_pos);
	buf_printf(b, "  \"hidden_act\": \"silu\",\n  \"%s\": %.9g,\n  \"rope_theta\": %.1f,\n"
	           "  \"attention_bias\": %s,\n  \"tie_word_embeddings\": %s,\n",
	           c->conv_taps ? "norm_eps" : "rms_norm_eps", (double)c->norm_eps, c->rope_theta,
	           c->qkv_bias ? "true" : "false", c->tied ? "true" : "false");
	if (c->conv_taps)
		config_layers(b, c);
	if (c->n_experts)
		buf_printf(b, "  \"num_experts\": %zu,\n  \"num_experts_per_tok\": %zu,\n"
		           "  \"moe_intermediate_size\": %zu,\n  \"norm_topk_prob\": true,\n"
		           "  \"decoder_sparse_step\": 1,\n  \"mlp_only_layers\": [],\n",
		           c->n_experts, c->routing.k, c->expert_ffn);
	if (bits)
		buf_printf(b, "  \"quantization\": { \"group_size\": %u, \"bits\": %u },\n", group,
		           bits);
	buf_printf(b, "  \"torch_dtype\": \"%s\"\n}\n", names[c->dtype]);
}

/* ---- tokenizer.json */

/* The letter that stands for a byte in byte-level vocabularies: itself where
 * it can be seen, else the next from U+0100 on. Radford et al., 2019. */
static void byte_letter(struct buf *b, unsigned byte)
{
	unsigned letter = byte, next = 0;

	for (unsigned i = 0; i <= byte; i++) {
		bool seen = (i > 0x20 && i < 0x7f) || (i > 0xa0 && i != 0xad);

		letter = seen ? i : 0x100 + next++;
	}
	if (letter < 0x80)
		buf_printf(b, letter == '"' || letter == '\\' ? "\\%c" : "%c", (int)letter);
	else
		buf_printf(b, "%c%c", (int)(0xc0 | letter >> 6), (int)(0x80 | (letter & 0x3f)));
}

static void tokenizer_out(struct buf *b, size_t vocab)
{
	buf_add_text(b, "{\"version\": \"1.0\", \"truncation\": null, \"padding\": null, "
	             "\"added_tokens\": [], \"normalizer\": null,\n\"pre_tokenizer\": {\"type\": "
	             "\"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, "
	             "\"use_regex\": true},\n\"post_processor\": null,\n\"decoder\": {\"type\": "
	             "\"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
	             "\"use_regex\": true},\n\"model\": {\"type\": \"BPE\", \"dropout\": null, "
	             "\"unk_token\": null, \"continuing_subword_prefix\": null, "
	             "\"end_of_word_suffix\": null, \"fuse_unk\": false, \"byte_fallback\": false,\n"
	             "\"merges\": [], \"vocab\": {");
	for (size_t i = 0; i < vocab; i++) {
		buf_add_text(b, i ? ",\n\"" : "\n\"");
		if (i < 256) {
			byte_letter(b, (unsigned)i);
		} else {
			byte_letter(b, ' ');
			buf_printf(b, "w%zu", i);
		}
		buf_printf(b, "\": %zu", i);
	}
	buf_add_text(b, "}}}\n");
}

static const char tokenizer_config[] =
	"{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"add_bos_token\": false,\n"
	"  \"clean_up_tokenization_spaces\": false,\n"
	"  \"chat_template\": \"{%- for message in messages -%}{{ message.role + ': ' + "
	"message.content + '\\n' }}{%- endfor -%}{%- if add_generation_prompt -%}"
	"{{ 'assistant:' }}{%- endif -%}\"\n}\n";

/* ---- the directory */

static int put_siblings(struct writer *w, const struct config *c, unsigned bits, unsigned group,
                        struct err *e)
{
	struct buf b = { 0 };
	int bad;

	config_out(&b, c, bits, group);
	bad = buf_check(&b, e) || writer_sibling(w, "config.json", buf_bytes(&b), e);
	buf_clear(&b);
	tokenizer_out(&b, c->vocab);
	bad = bad || buf_check(&b, e) || writer_sibling(w, "tokenizer.json", buf_bytes(&b), e) ||
	      writer_sibling(w, "tokenizer_config.json", bytes_of(tokenizer_config), e) ||
	      writer_meta_text(w, "format", bytes_of(bits ? "mlx" : "pt"), e);
	buf_release(&b);
	return bad;
}

int synthetic_save(const char *path, const char *shape, unsigned bits, unsigned group,
                   enum dtype dtype, struct err *e)
{
	struct writer_options o = { .container = CONTAINER_SAFETENSORS };
	struct writer *w = NULL;
	struct config_size size;
	struct config c;
	int bad;

	if (synthetic_config(&c, shape, dtype, e))
		return -1;
	bad = config_measure(&size, &c, e);
	o.total_parameters = bad ? 0 : size.parameters;
	bad = bad || writer_open(&w, path, true, &o, e) || put_siblings(w, &c, bits, group, e) ||
	      weights_save(w, &c, bits, group, e);
	config_release(&c);
	if (!bad)
		return writer_commit(w, e);
	writer_abort(w);
	return -1;
}
