/* SPDX-License-Identifier: MIT */
/* hf.c - tokenizer.json: its vocabulary, merges and added tokens, read as a
 * stream; nothing of them is kept but the tables that encoding needs. */
#include "text/hf.h"

#include <stdlib.h>
#include <string.h>

#include "util/json.h"

enum { BYTES_PER_TOKEN = 32 }; /* with its merge: a guess */

struct reading {
	struct tokenizer *t;
	struct json_pull *j;
	struct err *e;
	struct bytes normalizer, splitter, ends, decoder, model; /* their JSON */
	bool has_splitter, has_model;
	/* the model's */
	bool has_vocab;
	struct bytes merges; /* its JSON, where it comes before the vocabulary */
	struct bytes unk;
	int32_t merged; /* the last merge's token */
	size_t n_added;
};

static int expect(struct reading *r, enum json_token want, const char *what)
{
	enum json_token got = json_next(r->j, r->e);

	if (got == want)
		return 0;
	if (got != JSON_ERROR)
		(void)err_set(r->e, ERR_INPUT, "expected %s", what);
	return -1;
}

static int keep_text(struct reading *r, struct bytes *out)
{
	char *copy = arena_text(&r->t->arena, r->j->string.p, r->j->string.n, r->e);

	if (!copy)
		return -1;
	*out = (struct bytes){ (unsigned char *)copy, r->j->string.n };
	return 0;
}

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

static int read_vocab(struct reading *r)
{
	enum json_token t;
	char *name = NULL;
	struct buf text = { .ceiling = PIECE_MAX * 6 };
	int rc = -1;

	if (expect(r, JSON_OBJECT, "an object of texts and ids (other models are not supported)"))
		return -1;
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
	if (expect(r, JSON_STRING, "a text") || add_half(r, p, r->j->string))
		return -1;
	p->n_left = p->n;
	if (expect(r, JSON_STRING, "a second text") || add_half(r, p, r->j->string))
		return -1;
	return expect(r, JSON_ARRAY_END, "the pair's end");
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
	rc = expect(r, JSON_ARRAY, "a list");
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

static int get_bool(struct reading *r, bool *out)
{
	enum json_token t = json_next(r->j, r->e);

	if (t != JSON_TRUE && t != JSON_FALSE && t != JSON_NULL)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected true or false");
	*out = t == JSON_TRUE;
	return 0;
}

static int get_text(struct reading *r, struct bytes *out)
{
	enum json_token t = json_next(r->j, r->e);

	*out = (struct bytes){ 0 };
	if (t == JSON_STRING)
		return keep_text(r, out);
	if (t != JSON_NULL)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected a text");
	return 0;
}

static int get_type(struct reading *r)
{
	struct bytes type;

	if (get_text(r, &type))
		return -1;
	if (type.n && !bytes_is(type, "BPE"))
		return err_set(r->e, ERR_INPUT, "\"%.*s\" is not supported", (int)type.n,
		               (const char *)type.p);
	return 0;
}

/* A feature of old models that must be absent. */
static int get_none(struct reading *r)
{
	struct bytes text;

	if (get_text(r, &text))
		return -1;
	return text.n ? err_set(r->e, ERR_INPUT, "is not supported") : 0;
}

static int model_key(struct reading *r, struct bytes key)
{
	struct tokenizer *t = r->t;

	if (bytes_is(key, "type"))
		return get_type(r);
	if (bytes_is(key, "vocab"))
		return r->has_vocab ? err_set(r->e, ERR_INPUT, "is there twice") : read_vocab(r);
	if (bytes_is(key, "merges"))
		return r->has_vocab ? read_merges(r) : json_raw(r->j, &r->merges, r->e);
	if (bytes_is(key, "unk_token"))
		return get_text(r, &r->unk);
	if (bytes_is(key, "byte_fallback"))
		return get_bool(r, &t->byte_fallback);
	if (bytes_is(key, "fuse_unk"))
		return get_bool(r, &t->fuse_unk);
	if (bytes_is(key, "ignore_merges"))
		return get_bool(r, &t->ignore_merges);
	if (bytes_is(key, "continuing_subword_prefix") || bytes_is(key, "end_of_word_suffix"))
		return get_none(r);
	return json_skip(r->j, r->e); /* dropout is for training */
}

/* Key by key with fn until the object ends. */
static int each_key(struct reading *r, int (*fn)(struct reading *, struct bytes))
{
	char key[64];
	enum json_token t;

	while ((t = json_next(r->j, r->e)) == JSON_KEY) {
		size_t n = r->j->string.n < sizeof key - 1 ? r->j->string.n : sizeof key - 1;

		memcpy(key, r->j->string.p, n);
		key[n] = '\0';
		if (fn(r, bytes_of(key)))
			return err_in(r->e, "%s", key);
	}
	return t == JSON_OBJECT_END ? 0 : -1;
}

/* Runs fn with the reader on another text of the same file. */
static int reread(struct reading *r, struct bytes json, int (*fn)(struct reading *))
{
	struct json_pull other, *before = r->j;
	int rc;

	json_pull_init(&other, json);
	r->j = &other;
	rc = fn(r);
	r->j = before;
	json_pull_release(&other);
	return rc;
}

static int read_model(struct reading *r)
{
	struct tokenizer *t = r->t;

	if (expect(r, JSON_OBJECT, "an object") || each_key(r, model_key))
		return -1;
	if (!r->has_vocab)
		return err_set(r->e, ERR_INPUT, "vocab: missing");
	if (r->merges.n && reread(r, r->merges, read_merges))
		return err_in(r->e, "merges");
	if (!t->merges.n_slots)
		return err_set(r->e, ERR_INPUT, "merges: missing (only BPE is supported)");
	if (!r->unk.n)
		return 0;
	t->unk = vocab_find(&t->vocab, r->unk);
	return 0;
}

/* ---- added_tokens: [{"id": n, "content": "text", ...}, ...] */

static const struct {
	const char *key;
	unsigned flag;
} flags[] = {
	{ "single_word", ADDED_WORD },      { "lstrip", ADDED_LEFT },     { "rstrip", ADDED_RIGHT },
	{ "normalized", ADDED_NORMALIZED }, { "special", ADDED_SPECIAL },
};
enum { FLAGS = sizeof flags / sizeof *flags };

struct entry {
	struct bytes text;
	double id;
	unsigned flags;
	bool has[FLAGS];
};

static int entry_key(struct reading *r, struct entry *n, struct bytes key)
{
	bool on = false;

	if (bytes_is(key, "content"))
		return get_text(r, &n->text);
	if (bytes_is(key, "id")) {
		if (expect(r, JSON_NUMBER, "a number"))
			return -1;
		n->id = r->j->number;
		return 0;
	}
	for (size_t i = 0; i < FLAGS; i++) {
		if (!bytes_is(key, flags[i].key))
			continue;
		n->has[i] = true;
		if (get_bool(r, &on))
			return -1;
		n->flags |= on ? flags[i].flag : 0;
		return 0;
	}
	return json_skip(r->j, r->e);
}

static int keep_entry(struct reading *r, const struct entry *n)
{
	if (!(n->id >= 0 && n->id < VOCAB_MAX) || n->id != (double)(int32_t)n->id)
		return err_set(r->e, ERR_INPUT, "id %.17g, expected 0 to %d", n->id, VOCAB_MAX - 1);
	for (size_t i = 0; i < FLAGS; i++)
		if (!n->has[i])
			return err_set(r->e, ERR_INPUT, "%s: missing", flags[i].key);
	r->n_added++;
	return tokenizer_add(r->t, (struct added_token){ (int32_t)n->id, n->flags, n->text }, r->e);
}

static int read_entry(struct reading *r)
{
	struct entry n = { .id = -1 };
	enum json_token t;
	char key[32];

	while ((t = json_next(r->j, r->e)) == JSON_KEY) {
		size_t len = r->j->string.n < sizeof key - 1 ? r->j->string.n : sizeof key - 1;

		memcpy(key, r->j->string.p, len);
		key[len] = '\0';
		if (entry_key(r, &n, bytes_of(key)))
			return err_in(r->e, "%s", key);
	}
	return t == JSON_OBJECT_END ? keep_entry(r, &n) : -1;
}

static int read_added(struct reading *r)
{
	enum json_token t = json_next(r->j, r->e);

	if (t == JSON_NULL)
		return 0;
	if (t != JSON_ARRAY)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected a list");
	while ((t = json_next(r->j, r->e)) == JSON_OBJECT)
		if (read_entry(r))
			return err_in(r->e, "token %zu", r->n_added);
	if (t != JSON_ARRAY_END && t != JSON_ERROR)
		return err_set(r->e, ERR_INPUT, "token %zu: expected an object", r->n_added);
	return t == JSON_ARRAY_END ? 0 : -1;
}

/* ---- the file */

static int top_key(struct reading *r, struct bytes key)
{
	if (bytes_is(key, "added_tokens"))
		return read_added(r);
	if (bytes_is(key, "normalizer"))
		return json_raw(r->j, &r->normalizer, r->e);
	if (bytes_is(key, "post_processor"))
		return json_raw(r->j, &r->ends, r->e);
	if (bytes_is(key, "decoder"))
		return json_raw(r->j, &r->decoder, r->e);
	if (bytes_is(key, "pre_tokenizer")) {
		if (r->has_splitter)
			return err_set(r->e, ERR_INPUT, "is there twice");
		r->has_splitter = true;
		return json_raw(r->j, &r->splitter, r->e);
	}
	if (!bytes_is(key, "model"))
		return json_skip(r->j, r->e);
	if (r->has_model)
		return err_set(r->e, ERR_INPUT, "is there twice");
	r->has_model = true;
	/* how its texts are spelled depends on the pre-tokenizer */
	if (!r->has_splitter)
		return json_raw(r->j, &r->model, r->e);
	if (hf_read_splitter(r->t, r->splitter, r->e))
		return -1;
	return read_model(r);
}

static int read_file(struct reading *r)
{
	if (expect(r, JSON_OBJECT, "an object") || each_key(r, top_key) ||
	    expect(r, JSON_END, "the end"))
		return -1;
	if (!r->has_model)
		return err_set(r->e, ERR_INPUT, "model: missing");
	if (r->model.n) {
		if (r->has_splitter && hf_read_splitter(r->t, r->splitter, r->e))
			return -1;
		if (reread(r, r->model, read_model))
			return err_in(r->e, "model");
	}
	if ((r->normalizer.n && hf_read_normalizer(r->t, r->normalizer, r->e)) ||
	    (r->ends.n && hf_read_ends(r->t, r->ends, r->e)))
		return -1;
	r->t->decoder.join = !r->t->byte_level;
	return r->decoder.n ? hf_read_decoder(r->t, r->decoder, r->e) : 0;
}

int hf_parse(struct tokenizer *t, struct bytes file, struct err *e)
{
	struct json_pull j;
	struct reading r = { .t = t, .j = &j, .e = e };
	int rc;

	json_pull_init(&j, file);
	t->model = MODEL_RANK;
	rc = vocab_init(&t->vocab, file.n / BYTES_PER_TOKEN, e);
	if (!rc)
		rc = read_file(&r);
	json_pull_release(&j);
	return rc;
}
