/* SPDX-License-Identifier: MIT */
/* grammars.c - grammars that were asked for lately, and a vocabulary's tree
 *
 * Requests come in rows with one schema, and what a session keeps of a grammar
 * goes by the grammar's number: who asks the same gets the same one. The whole
 * of what was asked is compared, not a digest. */
#include "gen/mask.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "util/map.h"

enum { KEPT = 32, KEPT_BYTES = 64 << 20, KEY_BYTES = 512 << 10 };

struct kept {
	struct buf key;
	uint64_t hash;
	struct grammar *grammar; /* held; NULL: a free place */
	size_t size;
	uint64_t used;
};

struct grammars {
	const struct tokenizer *tokenizer;
	size_t vocab;
	pthread_mutex_t lock, pieces_lock; /* of what was asked; of the tree */
	struct kept kept[KEPT];
	size_t size;
	uint64_t now;
	struct pieces *pieces;
};

int grammars_open(struct grammars **out, const struct tokenizer *t, size_t vocab, struct err *e)
{
	struct grammars *s = *out = calloc(1, sizeof *s);

	if (!s)
		return err_memory(e, sizeof *s);
	s->tokenizer = t;
	s->vocab = vocab;
	pthread_mutex_init(&s->lock, NULL);
	pthread_mutex_init(&s->pieces_lock, NULL);
	return 0;
}

static void forget(struct grammars *s, struct kept *k)
{
	s->size -= k->size;
	grammar_release(k->grammar);
	buf_release(&k->key);
	*k = (struct kept){ .grammar = NULL };
}

void grammars_close(struct grammars *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < KEPT; i++)
		forget(s, &s->kept[i]);
	pieces_close(s->pieces);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->pieces_lock);
	free(s);
}

/* ---- what was asked */

static void add_part(struct buf *b, const void *p, size_t n)
{
	buf_add(b, &n, sizeof n);
	buf_add(b, p, n);
}

static void add_words(struct buf *b, const char *text)
{
	add_part(b, text ? text : "", text ? strlen(text) + 1 : 0);
}

static void add_json(struct buf *b, const cJSON *v)
{
	struct err e;
	size_t at = b->n, n = 0;

	buf_add(b, &n, sizeof n);
	if (v && json_write(b, v, 0, false, &e))
		b->failed = true;
	n = b->n - at;
	if (!b->failed)
		memcpy(b->p + at, &n, sizeof n);
}

/* All that grammar_open() looks at. False: it is too long to be kept. */
static bool key_of(struct buf *b, const struct grammar_ask *a)
{
	const unsigned char flags[] = { (unsigned char)a->kind, a->many, a->thinking };

	b->ceiling = KEY_BYTES;
	add_part(b, flags, sizeof flags);
	add_json(b, a->schema);
	add_json(b, a->tools);
	add_part(b, a->text.p ? a->text.p : (const unsigned char *)"", a->text.n);
	add_part(b, &a->form, sizeof a->form);
	add_words(b, a->call_begin);
	add_words(b, a->think_begin);
	add_words(b, a->think_end);
	return !b->failed;
}

/* The lock is held. */
static struct kept *find(struct grammars *s, const struct buf *key, uint64_t hash)
{
	for (size_t i = 0; i < KEPT; i++) {
		struct kept *k = &s->kept[i];

		if (k->grammar && k->hash == hash && k->key.n == key->n &&
		    memcmp(k->key.p, key->p, key->n) == 0) {
			k->used = ++s->now;
			return k;
		}
	}
	return NULL;
}

static struct kept *oldest(struct grammars *s)
{
	struct kept *k = &s->kept[0];

	for (size_t i = 1; i < KEPT && k->grammar; i++)
		if (!s->kept[i].grammar || s->kept[i].used < k->used)
			k = &s->kept[i];
	return k;
}

/* Another thread may have made the same one meanwhile: then *g is that. */
static void keep(struct grammars *s, struct buf *take_key, uint64_t hash, struct grammar **g)
{
	size_t size = take_key->n + grammar_bytes(*g);
	struct kept *k = find(s, take_key, hash);

	if (k) {
		grammar_release(*g);
		*g = grammar_hold(k->grammar);
		return;
	}
	if (size > KEPT_BYTES / 4)
		return;
	for (k = oldest(s); k->grammar || s->size + size > KEPT_BYTES; k = oldest(s)) {
		if (!k->grammar) /* a free place: the ceiling is what is in the way */
			for (size_t i = 0; i < KEPT; i++)
				if (s->kept[i].grammar &&
				    (!k->grammar || s->kept[i].used < k->used))
					k = &s->kept[i];
		forget(s, k);
	}
	*k = (struct kept){ *take_key, hash, grammar_hold(*g), size, ++s->now };
	s->size += size;
	*take_key = (struct buf){ 0 };
}

int grammars_get(struct grammars *s, struct grammar **out, const struct grammar_ask *a,
                 struct err *e)
{
	struct buf key = { 0 };
	bool keeps = key_of(&key, a);
	uint64_t hash = keeps ? map_hash(buf_bytes(&key)) : 0;
	struct kept *k;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	k = keeps ? find(s, &key, hash) : NULL;
	*out = k ? grammar_hold(k->grammar) : NULL;
	pthread_mutex_unlock(&s->lock);
	if (!*out)
		rc = grammar_open(out, a, e);
	if (rc == 0 && !k && keeps) {
		pthread_mutex_lock(&s->lock);
		keep(s, &key, hash, out);
		pthread_mutex_unlock(&s->lock);
	}
	buf_release(&key);
	if (rc == 0 && !grammars_pieces(s, e)) {
		grammar_release(*out);
		*out = NULL;
		rc = -1;
	}
	return rc;
}

/* ---- the tree */

const struct pieces *grammars_pieces(struct grammars *s, struct err *e)
{
	pthread_mutex_lock(&s->pieces_lock);
	if (!s->pieces && pieces_open(&s->pieces, s->tokenizer, s->vocab, e))
		s->pieces = NULL;
	pthread_mutex_unlock(&s->pieces_lock);
	return s->pieces;
}
