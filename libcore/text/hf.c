/* SPDX-License-Identifier: MIT */
/* hf.c - tokenizer.json, read as a stream: its added tokens and the order
 * in which its parts are taken. */
#include "text/hf.h"

#include <string.h>

enum { BYTES_PER_TOKEN = 32 }; /* with its merge: a guess */

int hf_expect(struct reading *r, enum json_token want, const char *what)
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

int hf_get_bool(struct reading *r, bool *out)
{
	enum json_token t = json_next(r->j, r->e);

	if (t != JSON_TRUE && t != JSON_FALSE && t != JSON_NULL)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected true or false");
	*out = t == JSON_TRUE;
	return 0;
}

int hf_get_text(struct reading *r, struct bytes *out)
{
	enum json_token t = json_next(r->j, r->e);

	*out = (struct bytes){ 0 };
	if (t == JSON_STRING)
		return keep_text(r, out);
	if (t != JSON_NULL)
		return t == JSON_ERROR ? -1 : err_set(r->e, ERR_INPUT, "expected a text");
	return 0;
}

/* Key by key with fn until the object ends. */
int hf_each_key(struct reading *r, int (*fn)(struct reading *, struct bytes))
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
int hf_reread(struct reading *r, struct bytes json, int (*fn)(struct reading *))
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
		return hf_get_text(r, &n->text);
	if (bytes_is(key, "id")) {
		if (hf_expect(r, JSON_NUMBER, "a number"))
			return -1;
		n->id = r->j->number;
		return 0;
	}
	for (size_t i = 0; i < FLAGS; i++) {
		if (!bytes_is(key, flags[i].key))
			continue;
		n->has[i] = true;
		if (hf_get_bool(r, &on))
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

/* The parts on which the model depends. */
static int read_before(struct reading *r)
{
	if (r->has_normalizer && hf_read_normalizer(r->t, r->normalizer, r->e))
		return -1;
	return r->has_splitter ? hf_read_splitter(r->t, r->splitter, r->e) : 0;
}

static int top_key(struct reading *r, struct bytes key)
{
	if (bytes_is(key, "added_tokens"))
		return read_added(r);
	if (bytes_is(key, "normalizer")) {
		if (r->has_normalizer)
			return err_set(r->e, ERR_INPUT, "is there twice");
		r->has_normalizer = true;
		return json_raw(r->j, &r->normalizer, r->e);
	}
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
	/* how its texts are spelled depends on these two */
	if (!r->has_splitter || !r->has_normalizer)
		return json_raw(r->j, &r->model, r->e);
	return read_before(r) ? -1 : hf_read_model(r);
}

static int read_file(struct reading *r)
{
	if (hf_expect(r, JSON_OBJECT, "an object") || hf_each_key(r, top_key) ||
	    hf_expect(r, JSON_END, "the end"))
		return -1;
	if (!r->has_model)
		return err_set(r->e, ERR_INPUT, "model: missing");
	if (r->model.n) {
		if (read_before(r))
			return -1;
		if (hf_reread(r, r->model, hf_read_model))
			return err_in(r->e, "model");
	}
	if (r->ends.n && hf_read_ends(r->t, r->ends, r->e))
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
