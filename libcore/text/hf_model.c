/* SPDX-License-Identifier: MIT */
/* hf_model.c - the model of a tokenizer.json: its vocabulary and merges, as
 * they stream by; nothing is kept but the tables that encoding needs. */
#include <stdlib.h>
#include <string.h>

#include "text/hf.h"

/* ---- vocab: {"text": id, ...} */

static int add_token(struct reading *r, const char *name, struct bytes text, double id)
{
	struct vocab *v = &r->t->vocab;
	bool plain = false;
	int rc;

	if (!(id > -0x1p53 && id < 0x1p53) || id != (double)(int64_t)id)
		return err_set(r->e, ERR_INPUT, "\"%s\": expected an integer", name);
	if (r->t->byte_level) {
		unsigned char bytes[PIECE_MAX];
		size_t n = text.n <= PIECE_MAX ? alphabet_read(bytes, text) : ALPHABET_NONE;

		plain = n == ALPHABET_NONE;
		if (!plain)
			text = (struct bytes){ bytes, n };
		rc = vocab_set(v, (int64_t)id, text, TOKEN_NORMAL, r->e);
	} else {
		rc = vocab_set(v, (int64_t)id, text, TOKEN_NORMAL, r->e);
	}
	if (rc)
		return -1;
	v->token[(size_t)id].plain = plain;
	if (plain)
		return 0;
	rc = vocab_index(v, (int32_t)id, r->e);
	return rc == 1 ? err_set(r->e, ERR_INPUT, "\"%s\" is there twice", name) : rc;
}

/* Unigram's: [["text", score], ...], the place being the id. */
static int read_scored(struct reading *r, int32_t id)
{
	struct tokenizer *t = r->t;
	struct bytes text;
	int rc;

	if (hf_expect(r, JSON_STRING, "a text"))
		return -1;
	text = r->j->string;
	if (vocab_set(&t->vocab, id, text, TOKEN_NORMAL, r->e))
		return -1;
	rc = vocab_index(&t->vocab, id, r->e); /* of equal texts the first counts */
	if (rc < 0 || hf_expect(r, JSON_NUMBER, "a score"))
		return -1;
	t->vocab.token[id].score = r->j->number;
	if (!id || r->j->number < t->low_score)
		t->low_score = r->j->number;
	return hf_expect(r, JSON_ARRAY_END, "the pair's end");
}

static int read_list(struct reading *r)
{
	enum json_token t;
	int32_t id = 0;

	if (r->t->byte_level)
		return err_set(r->e, ERR_INPUT, "a list of scores in a byte-level alphabet");
	while ((t = json_next(r->j, r->e)) == JSON_ARRAY)
		if (read_scored(r, id++))
			return err_in(r->e, "token %d", (int)id - 1);
	if (t != JSON_ARRAY_END)
		return t == JSON_ERROR ? -1 :
		                         err_set(r->e, ERR_INPUT,
		                                 "token %d: expected a text and a score", (int)id);
	r->has_vocab = r->is_list = true;
	return 0;
}

static int read_vocab(struct reading *r)
{
	enum json_token t;
	char *name = NULL;
	struct buf text = { .ceiling = PIECE_MAX * 6 };
	int rc = -1;

	t = json_next(r->j, r->e);
	if (t == JSON_ARRAY)
		return read_list(r);
	if (t != JSON_OBJECT)
		return t == JSON_ERROR ? -1 :
		                         err_set(r->e, ERR_INPUT,
		                                 "expected an object of texts and ids, or a list");
	while ((t = json_next(r->j, r->e)) == JSON_KEY) {
		buf_clear(&text);
		buf_add(&text, r->j->string.p, r->j->string.n);
		if (buf_check(&text, r->e))
			goto done;
		name = (char *)text.p;
		if (json_next(r->j, r->e) != JSON_NUMBER) {
			(void)err_set(r->e, ERR_INPUT, "\"%s\": expected an id", name);
			goto done;
		}
		if (add_token(r, name, buf_bytes(&text), r->j->number))
			goto done;
	}
	r->has_vocab = true;
	rc = t == JSON_OBJECT_END ? 0 : -1;
done:
	buf_release(&text);
	return rc;
}

/* ---- merges: ["a b", ...] or [["a", "b"], ...] */

struct pair {
	unsigned char text[2 * PIECE_MAX];
	size_t n_left, n;
	bool outside; /* of the alphabet: no text ever comes to it */
};

static int add_half(struct reading *r, struct pair *p, struct bytes half)
{
	size_t n = half.n;

	if (half.n > PIECE_MAX)
		return err_set(r->e, ERR_INPUT, "%zu bytes, at most %d", half.n, PIECE_MAX);
	if (r->t->byte_level)
		n = alphabet_read(p->text + p->n, half);
	else if (n)
		memcpy(p->text + p->n, half.p, n);
	if (n == ALPHABET_NONE) {
		p->outside = true;
		n = 0;
	}
	p->n += n;
	return 0;
}

/* One merge; its texts are read into p. 1 at the list's end. */
static int next_pair(struct reading *r, struct pair *p)
{
	enum json_token t = json_next(r->j, r->e);
	struct bytes s = r->j->string;
	const unsigned char *space;

	p->n = 0;
	p->outside = false;
	if (t == JSON_ARRAY_END)
		return 1;
	if (t == JSON_STRING) {
		space = memchr(s.p, ' ', s.n);
		if (!space || memchr(space + 1, ' ', s.n - (size_t)(space + 1 - s.p)))
			return err_set(r->e, ERR_INPUT, "expected two texts with a space between");
		if (add_half(r, p, (struct bytes){ s.p, (size_t)(space - s.p) }))
			return -1;
		p->n_left = p->n;
		return add_half(r, p, (struct bytes){ space + 1, s.n - (size_t)(space + 1 - s.p) });
	}
	if (t != JSON_ARRAY)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected a pair of texts");
	if (hf_expect(r, JSON_STRING, "a text") || add_half(r, p, r->j->string))
		return -1;
	p->n_left = p->n;
	if (hf_expect(r, JSON_STRING, "a second text") || add_half(r, p, r->j->string))
		return -1;
	return hf_expect(r, JSON_ARRAY_END, "the pair's end");
}

static int add_pair(struct reading *r, const struct pair *p, uint32_t rank)
{
	struct tokenizer *t = r->t;
	int32_t left = vocab_find(&t->vocab, (struct bytes){ p->text, p->n_left });
	int32_t right = vocab_find(&t->vocab,
	                           (struct bytes){ p->text + p->n_left, p->n - p->n_left });
	struct bytes both = { p->text, p->n };
	int32_t id = r->merged + 1;

	if (p->outside)
		return 0;
	/* most vocabularies are in the order of their merges */
	if (!vocab_has(&t->vocab, id) || !bytes_equal(vocab_piece(&t->vocab, id), both) ||
	    t->vocab.token[id].plain)
		id = vocab_find(&t->vocab, both);
	r->merged = id;
	if (left < 0 || right < 0 || id < 0)
		return err_set(r->e, ERR_INPUT, "\"%.*s\" + \"%.*s\": %s is not in the vocabulary",
		               (int)p->n_left, (const char *)p->text, (int)(p->n - p->n_left),
		               (const char *)p->text + p->n_left,
		               left < 0  ? "the first" :
		               right < 0 ? "the second" :
		                           "the pair");
	return merges_add(&t->merges, left, right, rank, id, true, r->e);
}

static int read_merges(struct reading *r)
{
	struct pair *p = malloc(sizeof *p);
	uint32_t rank = 0;
	int rc;

	if (!p)
		return err_memory(r->e, sizeof *p);
	merges_release(&r->t->merges);
	rc = hf_expect(r, JSON_ARRAY, "a list");
	if (!rc)
		rc = merges_init(&r->t->merges, r->t->vocab.n_used, r->e);
	for (; !rc; rank++) {
		rc = next_pair(r, p);
		if (!rc)
			rc = add_pair(r, p, rank);
		if (rc < 0)
			(void)err_in(r->e, "merge %u", (unsigned)rank);
	}
	free(p);
	return rc == 1 ? 0 : -1;
}

/* ---- model */

/* A feature of old models that must be absent. */
static int get_none(struct reading *r)
{
	struct bytes text;

	if (hf_get_text(r, &text))
		return -1;
	return text.n ? err_set(r->e, ERR_INPUT, "is not supported") : 0;
}

static int get_unk_id(struct reading *r)
{
	enum json_token t = json_next(r->j, r->e);

	if (t == JSON_NULL)
		return 0;
	if (t != JSON_NUMBER)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected an id");
	if (!(r->j->number >= 0 && r->j->number < VOCAB_MAX))
		return err_set(r->e, ERR_INPUT, "%.17g, expected 0 to %d", r->j->number,
		               VOCAB_MAX - 1);
	r->unk_id = r->j->number;
	return 0;
}

static int get_word_max(struct reading *r)
{
	if (hf_expect(r, JSON_NUMBER, "a number"))
		return -1;
	if (!(r->j->number >= 1 && r->j->number <= 0x1p53))
		return err_set(r->e, ERR_INPUT, "%.17g, expected 1 or more", r->j->number);
	r->has_word_max = true;
	r->t->word.max_chars = (size_t)r->j->number;
	return 0;
}

static int model_key(struct reading *r, struct bytes key)
{
	struct tokenizer *t = r->t;

	if (bytes_is(key, "type"))
		return hf_get_text(r, &r->type);
	if (bytes_is(key, "vocab"))
		return r->has_vocab ? err_set(r->e, ERR_INPUT, "is there twice") : read_vocab(r);
	if (bytes_is(key, "merges"))
		return r->has_vocab ? read_merges(r) : json_raw(r->j, &r->merges, r->e);
	if (bytes_is(key, "unk_token"))
		return hf_get_text(r, &r->unk);
	if (bytes_is(key, "byte_fallback"))
		return hf_get_bool(r, &t->byte_fallback);
	if (bytes_is(key, "fuse_unk"))
		return hf_get_bool(r, &t->fuse_unk);
	if (bytes_is(key, "ignore_merges"))
		return hf_get_bool(r, &t->ignore_merges);
	if (bytes_is(key, "unk_id"))
		return get_unk_id(r);
	if (bytes_is(key, "max_input_chars_per_word"))
		return get_word_max(r);
	if (bytes_is(key, "continuing_subword_prefix"))
		return hf_get_text(r, &r->prefix);
	if (bytes_is(key, "end_of_word_suffix"))
		return get_none(r);
	return json_skip(r->j, r->e); /* dropout is for training */
}

/* ---- what each kind of model needs besides */

static int finish_ranked(struct reading *r)
{
	struct tokenizer *t = r->t;

	if (r->merges.n && hf_reread(r, r->merges, read_merges))
		return err_in(r->e, "merges");
	if (!t->merges.n_slots)
		return err_set(r->e, ERR_INPUT, "merges: missing");
	if (r->prefix.n)
		return err_set(r->e, ERR_INPUT, "continuing_subword_prefix: is not supported");
	return 0;
}

static int finish_unigram(struct reading *r)
{
	struct tokenizer *t = r->t;

	if (r->unk_id >= (double)t->vocab.n)
		return err_set(r->e, ERR_INPUT, "unk_id: %.17g, expected an id below %zu",
		               r->unk_id, t->vocab.n);
	t->unk = (int32_t)r->unk_id;
	t->fuse_unk = true;
	return 0;
}

static int finish_wordpiece(struct reading *r)
{
	r->t->word.prefix = r->prefix;
	if (!r->has_word_max)
		r->t->word.max_chars = WORD_CHARS;
	return 0;
}

static int finish_wordlevel(struct reading *r)
{
	(void)r;
	return 0;
}

static const struct model_row {
	const char *type;
	enum model_kind kind;
	bool is_list, has_unk_text;
	int (*finish)(struct reading *r);
} models[] = {
	{ "BPE", MODEL_RANK, false, false, finish_ranked },
	{ "Unigram", MODEL_UNIGRAM, true, false, finish_unigram },
	{ "WordPiece", MODEL_WORDPIECE, false, true, finish_wordpiece },
	{ "WordLevel", MODEL_WORDLEVEL, false, true, finish_wordlevel },
};

/* By name, or in old files by what is there. */
static const struct model_row *find_model(const struct reading *r)
{
	struct bytes type = r->type;

	if (!type.n)
		type = bytes_of(r->is_list                          ? "Unigram" :
		                r->merges.n || r->t->merges.n_slots ? "BPE" :
		                r->has_word_max || r->prefix.n      ? "WordPiece" :
		                r->unk.n                            ? "WordLevel" :
		                                                      "BPE");
	for (size_t i = 0; i < sizeof models / sizeof *models; i++)
		if (bytes_is(type, models[i].type))
			return &models[i];
	return NULL;
}

int hf_read_model(struct reading *r)
{
	struct tokenizer *t = r->t;
	const struct model_row *m;

	r->unk_id = -1;
	if (hf_expect(r, JSON_OBJECT, "an object") || hf_each_key(r, model_key))
		return -1;
	if (!r->has_vocab)
		return err_set(r->e, ERR_INPUT, "vocab: missing");
	m = find_model(r);
	if (!m)
		return err_set(r->e, ERR_INPUT, "type: \"%.*s\" is not supported", (int)r->type.n,
		               (const char *)r->type.p);
	if (m->is_list != r->is_list)
		return err_set(r->e, ERR_INPUT, "vocab: expected %s",
		               m->is_list ? "a list of texts and scores" :
		                            "an object of texts and ids");
	t->model = m->kind;
	if (m->finish(r))
		return -1;
	if (r->unk.n)
		t->unk = vocab_find(&t->vocab, r->unk);
	if (m->has_unk_text && t->unk < 0)
		return err_set(r->e, ERR_INPUT, "unk_token: missing, or not in the vocabulary");
	return 0;
}
