/* SPDX-License-Identifier: MIT */
/* tokenizer_out.c - a vocabulary as tokenizer.json and tokenizer_config.json
 *
 * Given what a GGUF or llama2.c keeps of a tokenizer; gives the files that
 * transformers reads. Byte-level BPE keeps its merges; SentencePiece's
 * scores become merges in the order that makes the same choices. */
#include "convert/plan.h"
#include "util/map.h"

#include <stdlib.h>
#include <string.h>

enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED, TYPE_BYTE };

/* ---- pre-tokenizers, by GGUF's name of them */

#define SHORT_FORMS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define TAIL "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define WORDS(digits) SHORT_FORMS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits TAIL
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(end)                                                                                 \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" end "|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER \
	"*" end
#define TAIL_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define CJK "[\xe4\xb8\x80-\xe9\xbe\xa5\xe3\x81\x80-\xe3\x82\x9f\xe3\x82\xa0-\xe3\x83\xbf]+"

struct cutting {
	const char *names;        /* blanks between and around */
	const char *split[4];     /* one after the other */
	bool nfc, ignore_merges;
};

/* The first that has the name; names that mean the same share a row. */
static const struct cutting cuttings[] = {
	{ " llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
	  { WORDS("\\p{N}{1,3}") },
	  .ignore_merges = true },
	{ " dbrx smaug-bpe glm4 chatglm-bpe ", { WORDS("\\p{N}{1,3}") }, .ignore_merges = false },
	{ " qwen2 deepseek-r1-qwen stablelm2 kormo f2llmv2 megrez hunyuan solar-open grok-2 ",
	  { WORDS("\\p{N}") },
	  .nfc = true },
	{ " gpt-2 phi-2 gigachat mellum mpt olmo jais exaone4 trillion granite-docling a.x-4.0 ",
	  { GPT2 },
	  .nfc = false },
	{ " starcoder refact command-r smollm codeshell exaone minerva-7b mellum2 ",
	  { "\\p{N}", GPT2 },
	  .nfc = false },
	{ " default ",
	  { "[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]" },
	  .nfc = false },
	{ " falcon ", { "[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]" }, .nfc = false },
	{ " tekken ", { CASED("") "|\\p{N}" TAIL_SLASH }, .ignore_merges = true },
	{ " gpt-4o llama4 kanana2 ",
	  { CASED(SHORT_FORMS "?") "|\\p{N}{1,3}" TAIL_SLASH },
	  .nfc = false },
	{ " deepseek-v3 hunyuan-dense joyai-llm ",
	  { "\\p{N}{1,3}", CJK,
	    "[!\"#$%&'()*+,\\-./"
	    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
	    " ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" },
	  .nfc = false },
};

static const struct cutting *cutting_of(const char *name)
{
	size_t n = strlen(name);

	if (!n || strchr(name, ' '))
		return NULL;
	for (size_t i = 0; i < sizeof cuttings / sizeof *cuttings; i++)
		for (const char *at = cuttings[i].names; (at = strstr(at, name)); at += n)
			if (at[-1] == ' ' && at[n] == ' ')
				return &cuttings[i];
	return NULL;
}

/* ---- parts that both kinds have */

static void add_text(struct buf *b, const char *text)
{
	json_add_string(b, bytes_of(text));
}

static bool is_added(int32_t type)
{
	return type == TYPE_CONTROL || type == TYPE_USER || type == TYPE_UNKNOWN;
}

/* Rows that llama.cpp wants and no text can have. */
static bool is_padding(const struct vocab_export *v, size_t i)
{
	return v->types[i] == TYPE_UNUSED && bytes_starts(v->tokens[i], "[PAD");
}

static void add_added(struct buf *b, const struct vocab_export *v)
{
	const char *comma = "";

	buf_add_text(b, "  \"added_tokens\": [");
	for (size_t i = 0; i < v->n_tokens; i++) {
		if (!is_added(v->types[i]))
			continue;
		buf_printf(b, "%s\n    {\"id\": %zu, \"content\": ", comma, i);
		json_add_string(b, v->tokens[i]);
		buf_printf(b,
		           ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
		           "\"normalized\": false, \"special\": %s}",
		           v->types[i] == TYPE_USER ? "false" : "true");
		comma = ",";
	}
	buf_add_text(b, *comma ? "\n  ],\n" : "],\n");
}

static void add_vocab(struct buf *b, const struct vocab_export *v)
{
	const char *comma = "";

	buf_add_text(b, "    \"vocab\": {");
	for (size_t i = 0; i < v->n_tokens; i++) {
		if (!v->tokens[i].n || is_padding(v, i))
			continue;
		buf_add_text(b, comma);
		buf_add_text(b, "\n      ");
		json_add_string(b, v->tokens[i]);
		buf_printf(b, ": %zu", i);
		comma = ",";
	}
	buf_add_text(b, "\n    },\n");
}

/* "a b" in old files; a pair where a blank belongs to a part. */
static void add_merge(struct buf *b, struct bytes left, struct bytes right)
{
	if (memchr(left.p, ' ', left.n) || memchr(right.p, ' ', right.n)) {
		buf_add_byte(b, '[');
		json_add_string(b, left);
		buf_add_text(b, ", ");
		json_add_string(b, right);
		buf_add_byte(b, ']');
		return;
	}
	struct buf both = { 0 };

	buf_add(&both, left.p, left.n);
	buf_add_byte(&both, ' ');
	buf_add(&both, right.p, right.n);
	json_add_string(b, buf_bytes(&both));
	b->failed |= both.failed;
	buf_release(&both);
}

/* What is put before and after a text. */
static void add_post(struct buf *b, const struct vocab_export *v)
{
	bool bos = v->add_bos && v->bos >= 0, eos = v->add_eos && v->eos >= 0;
	const int32_t ids[] = { bos ? v->bos : -1, eos ? v->eos : -1 };

	if (!bos && !eos) {
		buf_add_text(b, "  \"post_processor\": null,\n");
		return;
	}
	buf_add_text(b, "  \"post_processor\": {\"type\": \"TemplateProcessing\"");
	for (int pair = 0; pair < 2; pair++) {
		buf_printf(b, ", \"%s\": [", pair ? "pair" : "single");
		for (int part = 0; part <= pair; part++) {
			for (int end = 0; end < 2; end++) {
				if (end)
					buf_printf(b,
					           "{\"Sequence\": {\"id\": \"%c\", \"type_id\": "
					           "%d}}%s",
					           'A' + part, part,
					           eos || part < pair ? ", " : "");
				if (ids[end] < 0)
					continue;
				buf_add_text(b, "{\"SpecialToken\": {\"id\": ");
				json_add_string(b, v->tokens[ids[end]]);
				buf_printf(b, ", \"type_id\": %d}}%s", part, !end || part < pair ? ", " : "");
			}
		}
		buf_add_byte(b, ']');
	}
	buf_add_text(b, ", \"special_tokens\": {");
	for (int end = 0; end < 2; end++) {
		if (ids[end] < 0 || (end && ids[0] == ids[1]))
			continue;
		buf_add_text(b, end && bos ? ", " : "");
		json_add_string(b, v->tokens[ids[end]]);
		buf_add_text(b, ": {\"id\": ");
		json_add_string(b, v->tokens[ids[end]]);
		buf_printf(b, ", \"ids\": [%d], \"tokens\": [", (int)ids[end]);
		json_add_string(b, v->tokens[ids[end]]);
		buf_add_text(b, "]}");
	}
	buf_add_text(b, "}},\n");
}

static void begin(struct buf *b, const struct vocab_export *v)
{
	buf_add_text(b, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
	add_added(b, v);
}

/* The vocabulary's merges, and the end of the file. */
static int add_merges(struct buf *b, const struct vocab_export *v, struct err *e)
{
	const char *comma = "";

	buf_add_text(b, "    \"merges\": [");
	for (size_t i = 0; i < v->n_merges; i++) {
		struct bytes m = v->merges[i];
		const unsigned char *at = m.n > 1 ? memchr(m.p + 1, ' ', m.n - 1) : NULL;

		if (!at)
			return err_set(e, ERR_INPUT, "merge %zu: expected two parts", i);
		buf_add_text(b, comma);
		buf_add_text(b, "\n      ");
		add_merge(b, (struct bytes){ m.p, (size_t)(at - m.p) },
		          (struct bytes){ at + 1, m.n - (size_t)(at - m.p) - 1 });
		comma = ",";
	}
	buf_add_text(b, "\n    ]\n  }\n}\n");
	return buf_check(b, e);
}

/* ---- byte-level BPE */

static int byte_level(struct buf *b, const struct vocab_export *v, struct err *e)
{
	const struct cutting *c = cutting_of(v->pre ? v->pre : "default");

	if (!c)
		return err_set(e, ERR_INPUT,
		               "tokenizer.ggml.pre: no tokenizer.json is known for \"%s\"", v->pre);
	begin(b, v);
	buf_printf(b, "  \"normalizer\": %s,\n", c->nfc ? "{\"type\": \"NFC\"}" : "null");
	buf_add_text(b, "  \"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
	for (size_t i = 0; i < 4 && c->split[i]; i++) {
		buf_add_text(b, "\n    {\"type\": \"Split\", \"pattern\": {\"Regex\": ");
		add_text(b, c->split[i]);
		buf_add_text(b, "}, \"behavior\": \"Isolated\", \"invert\": false},");
	}
	buf_add_text(b, "\n    {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
	                "\"trim_offsets\": false, "
	                "\"use_regex\": false}\n  ]},\n");
	add_post(b, v);
	buf_add_text(b, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, "
	             "\"trim_offsets\": false, \"use_regex\": false},\n"
	             "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": null, "
	             "\"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
	             "\"fuse_unk\": false, \"byte_fallback\": false, ");
	buf_printf(b, "\"ignore_merges\": %s,\n", c->ignore_merges ? "true" : "false");
	add_vocab(b, v);
	return add_merges(b, v, e);
}

/* ---- SentencePiece */

struct merge {
	uint32_t left, right, whole;
	float score;
};

/* Best score first, then as sentencepiece's converter has them. */
static int by_score(const void *a, const void *b)
{
	const struct merge *x = a, *y = b;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	if (x->whole != y->whole)
		return x->whole < y->whole ? -1 : 1;
	if (x->left != y->left)
		return x->left < y->left ? -1 : 1;
	return x->right < y->right ? -1 : x->right > y->right;
}

static int find_merges(struct merge **out, size_t *n, const struct vocab_export *v, struct err *e)
{
	struct map m;
	size_t room = 0;
	int rc = 0;

	*out = NULL;
	*n = 0;
	if (map_init(&m, v->n_tokens, e))
		return -1;
	for (size_t i = 0; i < v->n_tokens && rc >= 0; i++)
		if (v->types[i] == TYPE_NORMAL)
			rc = map_add(&m, v->tokens[i], (int64_t)i, e);
	for (size_t i = 0; i < v->n_tokens && rc >= 0; i++) {
		struct bytes t = v->tokens[i];

		for (size_t k = 1; v->types[i] == TYPE_NORMAL && k < t.n; k++) {
			int64_t left, right;
			struct merge *more;

			if ((t.p[k] & 0xc0) == 0x80)
				continue; /* inside a character */
			left = map_get(&m, (struct bytes){ t.p, k });
			right = map_get(&m, (struct bytes){ t.p + k, t.n - k });
			if (left == MAP_NONE || right == MAP_NONE)
				continue;
			if (*n == room) {
				room = room ? 2 * room : 1 << 16;
				more = realloc(*out, room * sizeof *more);
				if (!more) {
					rc = err_memory(e, room * sizeof *more);
					break;
				}
				*out = more;
			}
			(*out)[(*n)++] = (struct merge){ (uint32_t)left, (uint32_t)right, (uint32_t)i,
			                                 v->scores ? v->scores[i] : -(float)i };
		}
	}
	map_release(&m);
	if (rc >= 0 && *n)
		qsort(*out, *n, sizeof **out, by_score);
	return rc < 0 ? -1 : 0;
}

#define MARK "\xe2\x96\x81" /* U+2581, which stands for a space */

static void sentencepiece_frame(struct buf *b, const struct vocab_export *v, bool bytes)
{
	begin(b, v);
	buf_add_text(b, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
	if (v->add_space_prefix)
		buf_add_text(b, "{\"type\": \"Prepend\", \"prepend\": \"" MARK "\"}, ");
	buf_add_text(
		b, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" MARK
		   "\"}]},\n"
		   "  \"pre_tokenizer\": null,\n");
	add_post(b, v);
	buf_add_text(b, "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [\n"
	                "    {\"type\": \"Replace\", \"pattern\": {\"String\": \"" MARK
	                "\"}, \"content\": \" \"},\n"
	                "    {\"type\": \"ByteFallback\"},\n    {\"type\": \"Fuse\"}");
	if (v->add_space_prefix)
		buf_add_text(b, ",\n    {\"type\": \"Strip\", \"content\": \" \", \"start\": 1, "
		                "\"stop\": 0}");
	buf_add_text(b, "\n  ]},\n  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, "
	                "\"unk_token\": ");
	if (v->unk >= 0)
		json_add_string(b, v->tokens[v->unk]);
	else
		buf_add_text(b, "null");
	buf_printf(b, ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, "
	           "\"fuse_unk\": true, \"byte_fallback\": %s, \"ignore_merges\": false,\n",
	           bytes ? "true" : "false");
}

static bool has_bytes(const struct vocab_export *v)
{
	for (size_t i = 0; i < v->n_tokens; i++)
		if (v->types[i] == TYPE_BYTE)
			return true;
	return false;
}

static int sentencepiece(struct buf *b, const struct vocab_export *v, struct err *e)
{
	struct merge *m = NULL;
	size_t n = 0;
	int rc = find_merges(&m, &n, v, e);

	if (rc == 0) {
		sentencepiece_frame(b, v, has_bytes(v));
		add_vocab(b, v);
		buf_add_text(b, "    \"merges\": [");
		for (size_t i = 0; i < n; i++) {
			buf_add_text(b, i ? ",\n      " : "\n      ");
			add_merge(b, v->tokens[m[i].left], v->tokens[m[i].right]);
		}
		buf_add_text(b, "\n    ]\n  }\n}\n");
		rc = buf_check(b, e);
	}
	free(m);
	return rc;
}

/* Text as it is with marks for spaces, and merges of its own. */
static int marked(struct buf *b, const struct vocab_export *v, struct err *e)
{
	sentencepiece_frame(b, v, has_bytes(v));
	add_vocab(b, v);
	return add_merges(b, v, e);
}

/* ---- WordPiece */

static void add_words(struct buf *b, const struct vocab_export *v)
{
	const size_t mark = sizeof MARK - 1;
	struct buf text = { 0 };

	buf_add_text(b, "    \"vocab\": {");
	for (size_t i = 0; i < v->n_tokens; i++) {
		struct bytes t = v->tokens[i];
		bool begins = bytes_starts(t, MARK) && t.n > mark;

		buf_clear(&text);
		if (!is_added(v->types[i]) && !begins)
			buf_add_text(&text, "##");
		if (!is_added(v->types[i]) && begins)
			t = (struct bytes){ t.p + mark, t.n - mark };
		buf_add(&text, t.p, t.n);
		buf_add_text(b, i ? ",\n      " : "\n      ");
		json_add_string(b, buf_bytes(&text));
		buf_printf(b, ": %zu", i);
	}
	b->failed |= text.failed;
	buf_release(&text);
	buf_add_text(b, "\n    }\n  }\n}\n");
}

static int wordpiece(struct buf *b, const struct vocab_export *v, struct err *e)
{
	struct vocab_export ends = *v;

	ends.bos = v->cls;
	ends.eos = v->sep;
	ends.add_eos = v->sep >= 0;
	begin(b, v);
	buf_printf(b,
	           "  \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, "
	           "\"handle_chinese_chars\": true, \"strip_accents\": %s, \"lowercase\": %s},\n"
	           "  \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n",
	           v->no_accents ? "true" : "false", v->lower ? "true" : "false");
	add_post(b, &ends);
	buf_add_text(b, "  \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", "
	                "\"cleanup\": true},\n"
	                "  \"model\": {\n    \"type\": \"WordPiece\", \"unk_token\": ");
	json_add_string(b, v->unk >= 0 ? v->tokens[v->unk] : bytes_of("[UNK]"));
	buf_add_text(b, ", \"continuing_subword_prefix\": \"##\", "
	                "\"max_input_chars_per_word\": 100,\n");
	add_words(b, v);
	return buf_check(b, e);
}

int tokenizer_text(struct buf *out, const struct vocab_export *v, struct err *e)
{
	if (!strcmp(v->model, "bert"))
		return wordpiece(out, v, e);
	if (!strcmp(v->model, "gpt2"))
		return byte_level(out, v, e);
	if (!strcmp(v->model, "llama"))
		return sentencepiece(out, v, e);
	if (!strcmp(v->model, "gemma4"))
		return marked(out, v, e);
	return err_set(e, ERR_INPUT, "tokenizer.ggml.model: no tokenizer.json is known for \"%s\"",
	               v->model);
}

int tokenizer_config_text(struct buf *out, const struct vocab_export *v, struct bytes chat,
                          size_t context, struct err *e)
{
	const struct { const char *key; int32_t id;
	} row[] = {
		{ "bos_token", v->bos },
		{ "eos_token", v->eos },
		{ "pad_token", v->pad },
		{ "unk_token", v->unk },
		{ "cls_token", strcmp(v->model, "bert") ? -1 : v->cls },
		{ "sep_token", strcmp(v->model, "bert") ? -1 : v->sep },
	};

	buf_printf(out, "{\n    \"add_bos_token\": %s,\n    \"add_eos_token\": %s",
	           v->add_bos ? "true" : "false", v->add_eos ? "true" : "false");
	for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
		if (row[i].id < 0)
			continue;
		buf_printf(out, ",\n    \"%s\": ", row[i].key);
		json_add_string(out, v->tokens[row[i].id]);
	}
	if (chat.n) {
		buf_add_text(out, ",\n    \"chat_template\": ");
		json_add_string(out, chat);
	}
	buf_printf(
		out,
		",\n    \"clean_up_tokenization_spaces\": false,\n    \"model_max_length\": %zu,\n"
		"    \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n",
		context);
	return buf_check(out, e);
}
