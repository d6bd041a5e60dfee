/* SPDX-License-Identifier: MIT */
/* vocab.c - the table of tokens and the index from text to id. */
#include "text/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "text/hash.h"

enum { SLOTS_MIN = 1 << 8 };

static int grow_slots(struct vocab *v, size_t n_slots, struct err *e)
{
	struct vocab_slot *slot = calloc(n_slots, sizeof *slot);

	if (!slot)
		return err_memory(e, n_slots * sizeof *slot);
	for (size_t i = 0; i < v->n_slots; i++) {
		size_t k = v->slot[i].hash & (n_slots - 1);

		if (!v->slot[i].id1)
			continue;
		while (slot[k].id1)
			k = (k + 1) & (n_slots - 1);
		slot[k] = v->slot[i];
	}
	free(v->slot);
	v->slot = slot;
	v->n_slots = n_slots;
	return 0;
}

int vocab_init(struct vocab *v, size_t n_expected, struct err *e)
{
	size_t n_slots = SLOTS_MIN;

	memset(v, 0, sizeof *v);
	buf_init(&v->text, UINT32_MAX);
	while (n_slots * 2 < 3 * n_expected && n_slots < 2 * (size_t)VOCAB_MAX)
		n_slots *= 2;
	return grow_slots(v, n_slots, e);
}

void vocab_release(struct vocab *v)
{
	free(v->token);
	free(v->slot);
	buf_release(&v->text);
	memset(v, 0, sizeof *v);
}

static int grow_tokens(struct vocab *v, size_t n, struct err *e)
{
	size_t room = v->room ? v->room : 1024;
	struct token *token;

	while (room < n)
		room *= 2;
	token = realloc(v->token, room * sizeof *token);
	if (!token)
		return err_memory(e, room * sizeof *token);
	v->token = token;
	v->room = room;
	return 0;
}

int vocab_set(struct vocab *v, int64_t id, struct bytes text, enum token_type type, struct err *e)
{
	struct token *t;

	if (id < 0 || id >= VOCAB_MAX)
		return err_set(e, ERR_INPUT, "token id %lld, expected 0 to %d", (long long)id,
		               VOCAB_MAX - 1);
	if (text.n > PIECE_MAX)
		return err_set(e, ERR_INPUT, "token %lld: %zu bytes, at most %d", (long long)id,
		               text.n, PIECE_MAX);
	if ((size_t)id >= v->room && grow_tokens(v, (size_t)id + 1, e))
		return -1;
	t = &v->token[id];
	if ((size_t)id >= v->n) /* what lies between is without tokens */
		memset(v->token + v->n, 0, ((size_t)id + 1 - v->n) * sizeof *t);
	else if (t->type != TOKEN_HOLE)
		return err_set(e, ERR_INPUT, "token id %lld is there twice", (long long)id);
	if ((size_t)id >= v->n)
		v->n = (size_t)id + 1;
	t->at = (uint32_t)v->text.n;
	t->n = (uint32_t)text.n;
	t->type = (uint8_t)type;
	if (buf_add(&v->text, text.p, text.n))
		return buf_check(&v->text, e) ? -1 : err_memory(e, text.n);
	return 0;
}

/* The slot where a text is, or the free one where it would go. */
static struct vocab_slot *probe(const struct vocab *v, uint32_t hash, struct bytes text)
{
	size_t k = hash & (v->n_slots - 1);

	for (; v->slot[k].id1; k = (k + 1) & (v->n_slots - 1))
		if (v->slot[k].hash == hash &&
		    bytes_equal(vocab_piece(v, (int32_t)(v->slot[k].id1 - 1)), text))
			break;
	return &v->slot[k];
}

int vocab_index(struct vocab *v, int32_t id, struct err *e)
{
	struct bytes text = vocab_piece(v, id);
	uint32_t hash = (uint32_t)hash_bytes(text.p, text.n);
	struct vocab_slot *s;

	if (v->n_used * 3 >= v->n_slots * 2 && grow_slots(v, v->n_slots * 2, e))
		return -1;
	s = probe(v, hash, text);
	if (s->id1)
		return s->id1 - 1 != (uint32_t)id;
	s->hash = hash;
	s->id1 = (uint32_t)id + 1;
	v->n_used++;
	return 0;
}

int32_t vocab_find(const struct vocab *v, struct bytes text)
{
	uint32_t hash = (uint32_t)hash_bytes(text.p, text.n);

	return (int32_t)probe(v, hash, text)->id1 - 1;
}
