/* SPDX-License-Identifier: MIT */
/* gguf_vocab.c - the vocabulary in a GGUF: BPE with its way of cutting by
 * name ("gpt2", and "gemma4", which is one of them), SentencePiece's BPE
 * ("llama") and unigram ("t5"), WordPiece ("bert"). */
#include <math.h>
#include <string.h>

#include "text/pre.h"
#include "text/tokenizer.h"

#define KEY "tokenizer.ggml."

struct gguf_lists {
	const struct meta *tokens, *types, *scores, *merges;
};

static int get_list(struct source *s, const char *key, const struct meta **out, struct err *e)
{
	const struct meta *m = source_meta(s, key);

	*out = m;
	if (m && m->type != META_ARRAY)
		return err_set(e, ERR_INPUT, "%s: expected an array", key);
	return 0;
}

static int get_lists(struct source *s, struct gguf_lists *v, struct err *e)
{
	if (get_list(s, KEY "tokens", &v->tokens, e) ||
	    get_list(s, KEY "token_type", &v->types, e) ||
	    get_list(s, KEY "scores", &v->scores, e) || get_list(s, KEY "merges", &v->merges, e))
		return -1;
	if (!v->tokens || v->tokens->item != META_STRING)
		return err_set(e, ERR_INPUT, KEY "tokens: expected strings");
	if (v->merges && v->merges->item != META_STRING)
		return err_set(e, ERR_INPUT, KEY "merges: expected strings");
	if (v->types && (v->types->count < v->tokens->count || v->types->item >= META_STRING))
		return err_set(e, ERR_INPUT, KEY "token_type: expected %zu numbers",
		               v->tokens->count);
	if (v->scores && (v->scores->count < v->tokens->count || v->scores->item == META_STRING ||
	                  v->scores->item == META_ARRAY))
		return err_set(e, ERR_INPUT, KEY "scores: expected %zu numbers", v->tokens->count);
	return 0;
}

/* 1 and the id where the key is there, 0 where not; `fallback` counts only
 * if the vocabulary has it. */
static int get_id(struct tokenizer *t, struct source *s, const char *key, size_t fallback,
                  int32_t *out, struct err *e)
{
	size_t id = fallback;
	int has = source_meta_size(s, key, &id, e);

	if (has < 0)
		return -1;
	*out = id < t->vocab.n ? (int32_t)id : -1;
	return has;
}

static int get_flag(struct source *s, const char *key, bool fallback, bool *out, struct err *e)
{
	*out = fallback;
	return source_meta_bool(s, key, out, e) < 0 ? -1 : 0;
}

static int add_token(struct tokenizer *t, const struct gguf_lists *v, size_t id, struct err *e)
{
	unsigned char bytes[PIECE_MAX];
	struct bytes text = v->tokens->strings[id];
	double type = v->types ? meta_number(v->types, id) : TOKEN_NORMAL;
	double score = v->scores ? meta_number(v->scores, id) : 0;
	bool mapped = t->byte_level && type == TOKEN_NORMAL && text.n <= PIECE_MAX;
	size_t n = mapped ? alphabet_read(bytes, text) : ALPHABET_NONE;
	int rc;

	if (!(type >= TOKEN_NORMAL && type <= TOKEN_BYTE) || !isfinite(score))
		return err_set(e, ERR_INPUT, "type %g, score %g", type, score);
	if (n != ALPHABET_NONE)
		text = (struct bytes){ bytes, n };
	rc = vocab_set(&t->vocab, (int64_t)id, text, (enum token_type)type, e);
	if (rc)
		return -1;
	t->vocab.token[id].score = (float)score;
	t->vocab.token[id].plain = t->byte_level && n == ALPHABET_NONE;
	if (t->vocab.token[id].plain || !text.n)
		return 0;
	/* of equal texts the first counts */
	return vocab_index(&t->vocab, (int32_t)id, e) < 0 ? -1 : 0;
}

static int add_tokens(struct tokenizer *t, const struct gguf_lists *v, struct err *e)
{
	if (vocab_init(&t->vocab, v->tokens->count, e))
		return -1;
	for (size_t i = 0; i < v->tokens->count; i++)
		if (add_token(t, v, i, e))
			return err_in(e, KEY "tokens: %zu", i);
	return 0;
}

/* ---- gpt2 */

/* Half a merge; at most PIECE_MAX bytes. */
static size_t read_part(const struct tokenizer *t, unsigned char *out, struct bytes text)
{
	if (t->byte_level)
		return alphabet_read(out, text);
	memcpy(out, text.p, text.n);
	return text.n;
}

/* "a b", cut at the first space that is not at the start. A merge of texts
 * that are no tokens never comes about. */
static int add_merge(struct tokenizer *t, struct bytes text, uint32_t rank, struct err *e)
{
	unsigned char joined[2 * PIECE_MAX];
	const unsigned char *space = text.n > 1 ? memchr(text.p + 1, ' ', text.n - 1) : NULL;
	struct bytes a, b;
	size_t n_a, n_b;
	int32_t left, right, id;

	if (!space)
		return err_set(e, ERR_INPUT, "expected two texts with a space between");
	a = (struct bytes){ text.p, (size_t)(space - text.p) };
	b = (struct bytes){ space + 1, text.n - a.n - 1 };
	if (a.n > PIECE_MAX || b.n > PIECE_MAX)
		return err_set(e, ERR_INPUT, "%zu bytes, at most %d", text.n, PIECE_MAX);
	n_a = read_part(t, joined, a);
	n_b = n_a == ALPHABET_NONE ? n_a : read_part(t, joined + n_a, b);
	if (n_b == ALPHABET_NONE)
		return 0;
	left = vocab_find(&t->vocab, (struct bytes){ joined, n_a });
	right = vocab_find(&t->vocab, (struct bytes){ joined + n_a, n_b });
	id = vocab_find(&t->vocab, (struct bytes){ joined, n_a + n_b });
	if (left < 0 || right < 0 || id < 0)
		return 0;
	return merges_add(&t->merges, left, right, rank, id, false, e);
}

static int add_merges(struct tokenizer *t, const struct meta *m, struct err *e)
{
	if (!m)
		return err_set(e, ERR_INPUT, KEY "merges: missing");
	if (merges_init(&t->merges, m->count, e))
		return -1;
	for (size_t i = 0; i < m->count; i++)
		if (add_merge(t, m->strings[i], (uint32_t)i, e))
			return err_in(e, KEY "merges: %zu", i);
	return 0;
}

/* Control and user-defined tokens are looked for in text. */
static int add_specials(struct tokenizer *t, struct err *e)
{
	for (size_t i = 0; i < t->vocab.n; i++) {
		uint8_t type = t->vocab.token[i].type;
		struct bytes text = vocab_piece(&t->vocab, (int32_t)i);
		struct added_token a = { .id = (int32_t)i };

		if ((type != TOKEN_CONTROL && type != TOKEN_USER && type != TOKEN_UNKNOWN) ||
		    text.n > ADDED_BYTES)
			continue;
		a.flags = type == TOKEN_USER ? 0 : ADDED_SPECIAL;
		a.text.p = (unsigned char *)arena_text(&t->arena, text.p, text.n, e);
		a.text.n = text.n;
		if (!a.text.p || tokenizer_add(t, a, e))
			return -1;
	}
	return 0;
}

/* Tokens spelled as they are: bytes have tokens of their own, and spaces may
 * be marks. */
static void spell_raw(struct tokenizer *t, unsigned flags)
{
	struct normal marks = { .kind = NORMAL_REPLACE, .what = bytes_of(" "),
		                .with = bytes_of(SPM_MARK) };

	t->byte_fallback = t->decoder.bytes = t->decoder.each_byte = true;
	t->fuse_unk = true;
	t->lines_whole = flags & PRE_LINES;
	if (!(flags & PRE_MARKS))
		return;
	t->normalizer.step[t->normalizer.n++] = marks;
	t->decoder.mark = marks.with;
}

static int read_merged(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
                       struct bytes pre, unsigned *flags, struct err *e)
{
	if (source_meta_text(s, KEY "pre", &pre, e) < 0)
		return -1;
	if (pre_read(&t->splitter, flags, pre, e))
		return err_in(e, KEY "pre");
	t->pre = arena_text(&t->arena, pre.p, pre.n, e);
	if (!t->pre)
		return -1;
	t->model = MODEL_RANK;
	t->byte_level = !(*flags & PRE_RAW);
	t->ignore_merges = *flags & PRE_WHOLE;
	if (!t->byte_level)
		spell_raw(t, *flags);
	return add_tokens(t, v, e) || add_merges(t, v->merges, e) || add_specials(t, e) ? -1 : 0;
}

static int read_gpt2(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
                     struct err *e)
{
	unsigned flags = 0;
	const uint8_t *type;

	if (read_merged(t, s, v, bytes_of("default"), &flags, e))
		return -1;
	t->add_bos = flags & PRE_BOS;
	if (get_id(t, s, KEY "bos_token_id", 11, &t->bos, e) < 0 ||
	    get_id(t, s, KEY "eos_token_id", 11, &t->eos, e) < 0 ||
	    get_id(t, s, KEY "unknown_token_id", SIZE_MAX, &t->unk, e) < 0)
		return -1;
	/* the fallback means one family; elsewhere it is a plain word */
	type = t->vocab.n > 11 ? &t->vocab.token[11].type : NULL;
	if (t->bos == 11 && *type != TOKEN_CONTROL)
		t->bos = -1;
	if (t->eos == 11 && *type != TOKEN_CONTROL)
		t->eos = -1;
	if (t->byte_level)
		t->unk = -1; /* bytes are never unknown */
	return 0;
}

static int read_gemma4(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
                       struct err *e)
{
	unsigned flags;

	if (read_merged(t, s, v, bytes_of("gemma4"), &flags, e))
		return -1;
	if (t->byte_level)
		return err_set(e, ERR_INPUT, KEY "pre: expected \"gemma4\", found \"%s\"", t->pre);
	if (get_id(t, s, KEY "bos_token_id", SIZE_MAX, &t->bos, e) < 0 ||
	    get_id(t, s, KEY "eos_token_id", SIZE_MAX, &t->eos, e) < 0)
		return -1;
	return get_id(t, s, KEY "unknown_token_id", SIZE_MAX, &t->unk, e) < 0 ? -1 : 0;
}

/* ---- llama */

/* One model's special tokens take the white space after them, which the file
 * does not say. */
static int strip_after(struct tokenizer *t, struct source *s, struct err *e)
{
	struct bytes name = { 0 };
	char low[64];
	size_t n;

	if (source_meta_text(s, "general.name", &name, e) < 0)
		return -1;
	n = name.n < sizeof low - 1 ? name.n : sizeof low - 1;
	for (size_t i = 0; i < n; i++)
		low[i] = (char)(name.p[i] >= 'A' && name.p[i] <= 'Z' ? name.p[i] | 0x20 :
		                                                       name.p[i]);
	low[n] = '\0';
	if (!strstr(low, "phi-3") && !strstr(low, "phi3"))
		return 0;
	for (size_t i = 0; i < t->n_given; i++)
		if ((t->given[i].flags & ADDED_SPECIAL) && !bytes_is(t->given[i].text, "<unk>") &&
		    !bytes_is(t->given[i].text, "<s>") &&
		    !bytes_is(t->given[i].text, "<|endoftext|>"))
			t->given[i].flags |= ADDED_RIGHT;
	return 0;
}

static int read_llama(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
                      struct err *e)
{
	t->model = MODEL_SCORE;
	t->byte_fallback = true;
	t->spm.escape = true;
	if (!v->scores)
		return err_set(e, ERR_INPUT, KEY "scores: missing");
	if (add_tokens(t, v, e) || get_flag(s, KEY "add_space_prefix", true, &t->spm.add_prefix, e))
		return -1;
	if (get_id(t, s, KEY "bos_token_id", 1, &t->bos, e) < 0 ||
	    get_id(t, s, KEY "eos_token_id", 2, &t->eos, e) < 0 ||
	    get_id(t, s, KEY "unknown_token_id", 0, &t->unk, e) < 0)
		return -1;
	return spm_set_up(t, e) ? -1 : strip_after(t, s, e);
}

/* ---- t5 */

/* SentencePiece's rules for rewriting text. */
static int read_charsmap(struct tokenizer *t, struct source *s, struct err *e)
{
	const struct meta *m;

	if (get_list(s, KEY "precompiled_charsmap", &m, e))
		return -1;
	if (!m || !m->count)
		return 0;
	if (m->item != META_U8 && m->item != META_I8)
		return err_set(e, ERR_INPUT, KEY "precompiled_charsmap: expected bytes");
	return charsmap_init(&t->spm.map, m->raw, &t->arena, e) ? err_in(e, KEY) : 0;
}

static int read_t5(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
                   struct err *e)
{
	t->model = MODEL_UNIGRAM;
	t->byte_fallback = t->fuse_unk = true;
	t->spm.escape = t->spm.bad_replaced = true;
	if (!v->scores)
		return err_set(e, ERR_INPUT, KEY "scores: missing");
	if (add_tokens(t, v, e) || read_charsmap(t, s, e) ||
	    get_flag(s, KEY "add_space_prefix", false, &t->spm.add_prefix, e) ||
	    get_flag(s, KEY "remove_extra_whitespaces", false, &t->spm.collapse, e))
		return -1;
	if (get_id(t, s, KEY "bos_token_id", SIZE_MAX, &t->bos, e) < 0 ||
	    get_id(t, s, KEY "eos_token_id", 1, &t->eos, e) < 0 ||
	    get_id(t, s, KEY "unknown_token_id", 2, &t->unk, e) < 0)
		return -1;
	if (t->unk < 0)
		return err_set(e, ERR_INPUT, KEY "unknown_token_id: missing");
	if (spm_set_up(t, e))
		return -1;
	t->decoder.strip_first = t->spm.add_prefix || t->spm.collapse;
	t->decoder.strip_all = t->spm.collapse;
	return 0;
}

/* ---- bert: words that begin with the mark, and what goes on without one */

static int read_bert(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
                     struct err *e)
{
	struct step space = { .kind = STEP_WHITE, .behaviour = SPLIT_REMOVED };
	struct step point = { .kind = STEP_PUNCTUATION };
	struct bert_rules r = { .clean = true, .cjk = true };

	t->model = MODEL_WORDPIECE;
	t->word.marked = true;
	t->word.max_chars = WORD_CHARS;
	t->word.prefix = t->decoder.mark = bytes_of(SPM_MARK);
	t->decoder.strip_first = true;
	t->splitter.step[t->splitter.n++] = space;
	t->splitter.step[t->splitter.n++] = point;
	if (get_flag(s, KEY "normalizer.lowercase", true, &r.lower, e) ||
	    get_flag(s, KEY "normalizer.strip_accents", r.lower, &r.no_accents, e) ||
	    bert_normalizer(t, &r, e) || add_tokens(t, v, e) || add_specials(t, e))
		return -1;
	if (get_id(t, s, KEY "cls_token_id", 101, &t->bos, e) < 0 ||
	    get_id(t, s, KEY "bos_token_id", t->bos < 0 ? SIZE_MAX : (size_t)t->bos, &t->bos, e) <
	            0 ||
	    get_id(t, s, KEY "eos_token_id", SIZE_MAX, &t->eos, e) < 0)
		return -1;
	return get_id(t, s, KEY "unknown_token_id", 100, &t->unk, e) < 0 ? -1 : 0;
}

/* ---- all of them */

static const struct kind {
	const char *name;
	int (*read)(struct tokenizer *t, struct source *s, const struct gguf_lists *v,
	            struct err *e);
	/* unless the file says otherwise; a reader may change add_bos */
	bool bos, eos, sep;
	bool always_bos;
	size_t sep_id, pad_id;
} kinds[] = {
	/* name     read          bos    eos    sep    always sep_id    pad_id */
	{ "gpt2",   read_gpt2,    false, false, false, false, SIZE_MAX, SIZE_MAX },
	{ "llama",  read_llama,   true,  false, false, false, SIZE_MAX, SIZE_MAX },
	{ "gemma4", read_gemma4,  true,  false, false, true,  SIZE_MAX, SIZE_MAX },
	{ "t5",     read_t5,      false, true,  false, false, SIZE_MAX, 0 },
	{ "bert",   read_bert,    true,  false, true,  false, 102,      SIZE_MAX },
};

static const struct kind *find_kind(struct source *s, struct err *e)
{
	struct bytes model = { 0 };

	if (source_meta_text(s, KEY "model", &model, e) < 0)
		return NULL;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (bytes_is(model, kinds[i].name))
			return &kinds[i];
	(void)err_set(e, ERR_INPUT, KEY "model: \"%.*s\" is not supported", (int)model.n,
	              (const char *)model.p);
	return NULL;
}

int gguf_vocab_read(struct tokenizer *t, struct source *s, struct err *e)
{
	const struct kind *k = find_kind(s, e);
	bool add_bos, add_eos, add_sep;
	struct gguf_lists v;
	int32_t sep;

	if (!k || get_lists(s, &v, e))
		return -1;
	t->add_bos = k->bos;
	if (k->read(t, s, &v, e) || get_id(t, s, KEY "padding_token_id", k->pad_id, &t->pad, e) < 0 ||
	    get_id(t, s, KEY "seperator_token_id", k->sep_id, &sep, e) < 0 ||
	    get_flag(s, KEY "add_bos_token", t->add_bos, &add_bos, e) ||
	    get_flag(s, KEY "add_eos_token", k->eos, &add_eos, e) ||
	    get_flag(s, KEY "add_sep_token", k->sep, &add_sep, e) ||
	    tokenizer_set_ends(t, add_bos || k->always_bos, add_eos, e))
		return -1;
	return add_sep && sep >= 0 && !t->add_eos ? ids_add(&t->after, sep, e) : 0;
}
