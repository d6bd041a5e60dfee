/* SPDX-License-Identifier: MIT */
/* export.c - a vocabulary as GGUF files spell it. Made on the first call and
 * kept with the tokenizer. */
#include <stdlib.h>
#include <string.h>

#include "text/pre.h"
#include "text/tokenizer.h"

/* Texts one after the other, and a view of each. */
struct texts {
	struct buf all;
	struct bytes *view;
	size_t n;
};

static int texts_open(struct texts *x, struct tokenizer *t, size_t n, struct err *e)
{
	*x = (struct texts){ .view = arena_new(&t->arena, n, sizeof *x->view, e) };
	if (!x->view)
		return -1;
	buf_add_text(&x->all, "");
	return 0;
}

/* What was added since the last call is a text. */
static void texts_end_one(struct texts *x, size_t from)
{
	x->view[x->n++].n = x->all.n - from;
}

/* Moves the texts to the arena; the views are good after it. */
static int texts_close(struct texts *x, struct tokenizer *t, struct err *e)
{
	const char *p = NULL;

	if (!buf_check(&x->all, e))
		p = arena_text(&t->arena, x->all.p, x->all.n, e);
	for (size_t i = 0; p && i < x->n; p += x->view[i++].n)
		x->view[i].p = (const unsigned char *)p;
	buf_release(&x->all);
	return p ? 0 : -1;
}

/* Bytes in the alphabet, as they were before they were read. */
static void add_spelled(struct buf *b, struct bytes text)
{
	unsigned char ch[4];

	for (size_t i = 0; i < text.n; i++)
		buf_add(b, ch, (size_t)utf8_encode(ch, alphabet_of_byte[text.p[i]]));
}

/* User's symbols are looked for in the text as it comes: with spaces. */
static void add_unmarked(struct buf *b, struct bytes text)
{
	const size_t n = sizeof SPM_MARK - 1;

	while (text.n) {
		bool mark = text.n >= n && !memcmp(text.p, SPM_MARK, n);

		buf_add_byte(b, mark ? ' ' : *text.p);
		text.p += mark ? n : 1;
		text.n -= mark ? n : 1;
	}
}

/* What begins a word has the mark, what goes on one nothing. */
static void add_word(const struct tokenizer *t, struct buf *b, int32_t id)
{
	struct bytes text = vocab_piece(&t->vocab, id), prefix = t->word.prefix;

	if (!t->word.marked && t->vocab.token[id].type == TOKEN_NORMAL && id != t->unk) {
		if (text.n > prefix.n && !memcmp(text.p, prefix.p, prefix.n))
			text = (struct bytes){ text.p + prefix.n, text.n - prefix.n };
		else
			buf_add_text(b, SPM_MARK);
	}
	buf_add(b, text.p, text.n);
}

static void add_text(const struct tokenizer *t, struct buf *b, int32_t id)
{
	const struct token *k = &t->vocab.token[id];
	struct bytes text = vocab_piece(&t->vocab, id);

	if (k->type == TOKEN_HOLE)
		buf_printf(b, "[PAD%d]", (int)id);
	else if (t->model == MODEL_WORDPIECE)
		add_word(t, b, id);
	else if (t->byte_level && !k->plain)
		add_spelled(b, text);
	else if (!t->byte_level && k->type == TOKEN_USER)
		add_unmarked(b, text);
	else
		buf_add(b, text.p, text.n);
}

static int32_t type_of(const struct tokenizer *t, int32_t id)
{
	uint8_t type = t->vocab.token[id].type;

	if (type == TOKEN_HOLE)
		return TOKEN_UNUSED;
	if (id == t->unk)
		return TOKEN_UNKNOWN;
	if (t->is_spm || t->byte_level || type != TOKEN_NORMAL)
		return type;
	for (size_t b = 0; b < BYTE_TOKENS; b++)
		if (t->byte[b] == id)
			return TOKEN_BYTE;
	return TOKEN_NORMAL;
}

static int make_tokens(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	int32_t *types = arena_new(&t->arena, t->vocab.n, sizeof *types, e);
	struct texts texts;

	if (!types || texts_open(&texts, t, t->vocab.n, e))
		return -1;
	for (size_t i = 0; i < t->vocab.n; i++) {
		size_t from = texts.all.n;

		add_text(t, &texts.all, (int32_t)i);
		texts_end_one(&texts, from);
		types[i] = type_of(t, (int32_t)i);
	}
	x->tokens = texts.view;
	x->types = types;
	x->n_tokens = t->vocab.n;
	return texts_close(&texts, t, e);
}

static int by_rank(const void *a, const void *b)
{
	const struct merge_slot *x = a, *y = b;

	return (x->rank > y->rank) - (x->rank < y->rank);
}

/* The table's pairs by rank; the caller frees them. */
static struct merge_slot *sorted_merges(const struct tokenizer *t, struct err *e)
{
	struct merge_slot *m = malloc((t->merges.n + 1) * sizeof *m);
	size_t n = 0;

	if (!m) {
		(void)err_memory(e, (t->merges.n + 1) * sizeof *m);
		return NULL;
	}
	for (size_t i = 0; i < t->merges.n_slots; i++)
		if (t->merges.slot[i].key != MERGE_FREE)
			m[n++] = t->merges.slot[i];
	qsort(m, n, sizeof *m, by_rank);
	return m;
}

static void add_half(const struct tokenizer *t, struct buf *b, int32_t id)
{
	struct bytes text = vocab_piece(&t->vocab, id);

	if (t->byte_level)
		add_spelled(b, text);
	else
		buf_add(b, text.p, text.n);
}

static int make_merges(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	struct merge_slot *m = sorted_merges(t, e);
	struct texts texts;

	if (!m || texts_open(&texts, t, t->merges.n, e)) {
		free(m);
		return -1;
	}
	for (size_t i = 0; i < t->merges.n; i++) {
		size_t from = texts.all.n;

		add_half(t, &texts.all, (int32_t)(m[i].key >> 32));
		buf_add_byte(&texts.all, ' ');
		add_half(t, &texts.all, (int32_t)(m[i].key & UINT32_MAX));
		texts_end_one(&texts, from);
	}
	free(m);
	x->merges = texts.view;
	x->n_merges = t->merges.n;
	return texts_close(&texts, t, e);
}

/* Every way to halve a token into two is a merge. */
static bool merges_all_halves(const struct tokenizer *t, int32_t id)
{
	struct bytes text = vocab_piece(&t->vocab, id);
	size_t at = chars_len(text.p, text.n);

	for (; at < text.n; at += chars_len(text.p + at, text.n - at)) {
		int32_t left = vocab_find(&t->vocab, (struct bytes){ text.p, at });
		int32_t right = vocab_find(&t->vocab, (struct bytes){ text.p + at, text.n - at });

		if (left >= 0 && right >= 0 && t->vocab.token[left].type == TOKEN_NORMAL &&
		    t->vocab.token[right].type == TOKEN_NORMAL &&
		    !merges_find(&t->merges, left, right))
			return false;
	}
	return true;
}

/* Scores that give what ranks give: the sooner a token is merged the higher.
 * SentencePiece joins any two that make a token, so that all such pairs must
 * be merges, and those of one token in a row. 1: they are not. */
static int scores_from_ranks(struct tokenizer *t, float *score, struct err *e)
{
	struct merge_slot *m = sorted_merges(t, e);
	bool fits = m != NULL;

	for (size_t i = 0; m && i < t->vocab.n; i++)
		score[i] = -(float)t->merges.n - 1000.0f;
	for (size_t i = 0; fits && i < t->merges.n; i++) {
		bool first = !i || m[i - 1].id != m[i].id;

		fits = !first || score[m[i].id] < -(float)t->merges.n;
		if (first)
			score[m[i].id] = -(float)i;
	}
	free(m);
	for (size_t i = 0; fits && i < t->vocab.n; i++)
		fits = t->vocab.token[i].type != TOKEN_NORMAL ||
		       type_of(t, (int32_t)i) == TOKEN_BYTE || merges_all_halves(t, (int32_t)i);
	return m ? !fits : -1;
}

/* Its reader cuts before and behind line ends. */
static bool merges_across_lines(const struct tokenizer *t)
{
	for (size_t i = 0; i < t->merges.n_slots; i++) {
		const struct merge_slot *m = &t->merges.slot[i];
		struct bytes text;
		size_t n = 0;

		if (m->key == MERGE_FREE)
			continue;
		text = vocab_piece(&t->vocab, m->id);
		for (size_t k = 0; k < text.n; k++)
			n += text.p[k] == '\n';
		if (n && n < text.n)
			return true;
	}
	return false;
}

/* Merges by rank over text spelled as it is. */
static int make_raw(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	if (!t->pre && (x->add_space_prefix || merges_across_lines(t)))
		return err_set(e, ERR_INPUT,
		               "merges that are not a SentencePiece vocabulary's "
		               "cannot be written to a GGUF");
	x->pre = t->pre ? t->pre : "gemma4";
	x->model = strcmp(x->pre, "gemma4") ? "gpt2" : "gemma4";
	return make_merges(t, x, e);
}

static int make_scores(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	float *score = arena_new(&t->arena, t->vocab.n, sizeof *score, e);
	int rc = 0;

	if (!score)
		return -1;
	x->scores = score;
	if (t->model == MODEL_RANK)
		rc = scores_from_ranks(t, score, e);
	for (size_t i = 0; i < t->vocab.n && (rc > 0 || t->model != MODEL_RANK); i++)
		score[i] = (float)t->vocab.token[i].score;
	return rc > 0 ? make_raw(t, x, e) : rc;
}

static bool is_mark(struct bytes b)
{
	return bytes_is(b, SPM_MARK);
}

/* The steps do what SentencePiece's preparation does: spaces become marks,
 * one is put before the text (`prefix`) or not. */
static bool is_like_spm(const struct tokenizer *t, bool *prefix)
{
	const struct step *s = t->splitter.step;

	*prefix = false;
	for (size_t i = 0; i < t->normalizer.n; i++) {
		const struct normal *n = &t->normalizer.step[i];

		if (n->kind == NORMAL_PREPEND && is_mark(n->with))
			*prefix = true;
		else if (n->kind != NORMAL_REPLACE || n->regex || !bytes_is(n->what, " ") ||
		         !is_mark(n->with))
			return false;
	}
	if (!t->splitter.n)
		return t->normalizer.n > 0;
	if (t->splitter.n > 1 || s->kind != STEP_METASPACE || !is_mark(s->literal))
		return false;
	*prefix |= s->prepend != PREPEND_NEVER;
	return true;
}

/* The steps are BERT's: cleaned, characters of Chinese apart, then without
 * accents and in lower case, or not; words and punctuation apart. */
static bool is_like_bert(const struct tokenizer *t, struct vocab_export *x)
{
	const struct step *s = t->splitter.step;
	static const enum normal_kind order[] = { NORMAL_CLEAN, NORMAL_SPACE_CJK, NORMAL_NFD,
		                                  NORMAL_NO_ACCENTS, NORMAL_LOWER };
	enum { N = sizeof order / sizeof *order };
	bool on[N] = { false };
	size_t k = 0;

	for (size_t i = 0; i < t->normalizer.n; i++, k++) {
		while (k < N && t->normalizer.step[i].kind != order[k])
			k++;
		if (k == N)
			return false;
		on[k] = true;
	}
	x->no_accents = on[2];
	x->lower = on[4];
	return on[0] && on[1] && on[2] == on[3] && t->splitter.n == 2 && s[0].kind == STEP_WHITE &&
	       s[0].behaviour == SPLIT_REMOVED && s[1].kind == STEP_PUNCTUATION &&
	       t->word.prefix.n && t->word.max_chars == WORD_CHARS && t->before.n <= 1 &&
	       t->after.n <= 1;
}

static int make_words(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	x->model = "bert";
	x->pre = "default";
	if (!is_like_bert(t, x))
		return err_set(e, ERR_INPUT,
		               "a WordPiece vocabulary that is not used as BERT's is "
		               "cannot be written to a GGUF");
	x->cls = t->before.n ? t->before.id[0] : -1;
	x->sep = t->after.n ? t->after.id[0] : -1;
	x->bos = x->cls;
	x->add_bos = t->before.n;
	return 0;
}

static int make_like_spm(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	x->model = "llama";
	x->pre = "default";
	x->add_space_prefix = t->spm.add_prefix;
	if (t->pre)
		return make_raw(t, x, e);
	if (t->model == MODEL_UNIGRAM)
		return err_set(e, ERR_INPUT, "a unigram vocabulary cannot be written to a GGUF");
	if (t->model != MODEL_RANK && t->model != MODEL_SCORE)
		return err_set(e, ERR_INPUT, "a vocabulary of words cannot be written to a GGUF");
	if (!t->is_spm && (!is_like_spm(t, &x->add_space_prefix) || !t->byte_fallback))
		return err_set(e, ERR_INPUT,
		               "a tokenizer with this normalizer and pre-tokenizer "
		               "cannot be written to a GGUF");
	return make_scores(t, x, e);
}

/* Normalization that a GGUF's reader does not do. */
static int check_normalizer(const struct tokenizer *t, struct err *e)
{
	for (size_t i = 0; i < t->normalizer.n; i++)
		if (t->normalizer.step[i].kind != NORMAL_NFC)
			return err_set(
				e, ERR_INPUT,
				"a tokenizer with this normalizer cannot be written to a GGUF");
	return 0;
}

static const char *what_is_lost(const struct tokenizer *t)
{
	if (t->byte_level && t->normalizer.n)
		return "text is not brought to NFC";
	if (t->is_spm && t->spm.collapse)
		return "runs of spaces are not joined";
	for (size_t i = 0; i < t->n_given; i++)
		if (t->given[i].flags & (ADDED_LEFT | ADDED_RIGHT | ADDED_WORD))
			return "added tokens do not take white space or ask for whole words";
	return NULL;
}

static int make_byte_level(struct tokenizer *t, struct vocab_export *x, struct err *e)
{
	const char *names;
	char *pre;

	if (t->by_text)
		return err_set(e, ERR_INPUT, "a tiktoken vocabulary cannot be written to a GGUF");
	x->model = "gpt2";
	x->pre = t->pre;
	if (check_normalizer(t, e))
		return -1;
	if (!x->pre) {
		names = pre_name(&t->splitter, t->ignore_merges);
		if (!names)
			return err_set(e, ERR_INPUT, "the pre-tokenizer has no name in GGUF files");
		pre = arena_text(&t->arena, names, strcspn(names, " "), e);
		if (!pre)
			return -1;
		x->pre = t->pre = pre;
	}
	return make_merges(t, x, e);
}

int tokenizer_export(struct tokenizer *t, struct vocab_export *out, struct err *e)
{
	struct vocab_export x = {
		.bos = t->bos,
		.eos = t->eos,
		.unk = t->unk,
		.pad = t->pad,
		.cls = -1,
		.sep = -1,
		.add_bos = t->before.n && t->before.id[0] == t->bos,
		.add_eos = t->after.n && t->after.id[t->after.n - 1] == t->eos,
		.lost = what_is_lost(t),
	};

	if (!t->export) {
		if ((t->byte_level                 ? make_byte_level(t, &x, e) :
		     t->model == MODEL_WORDPIECE   ? make_words(t, &x, e) :
		                                     make_like_spm(t, &x, e)) ||
		    make_tokens(t, &x, e))
			return -1;
		t->export = arena_new(&t->arena, 1, sizeof x, e);
		if (!t->export)
			return -1;
		*t->export = x;
	}
	*out = *t->export;
	return 0;
}
