/* SPDX-License-Identifier: MIT */
/* place.c - tokens that a file adds to a vocabulary: collected while files
 * are read, then given their ids and indexed. */
#include <stdlib.h>

#include "text/tokenizer.h"

enum { GIVEN_MAX = 1 << 18 };

int tokenizer_add(struct tokenizer *t, struct added_token token, struct err *e)
{
	size_t room = t->given_room ? 2 * t->given_room : 64;
	struct added_token *given;

	if (!token.text.n)
		return 0;
	if (token.text.n > ADDED_BYTES)
		return err_set(e, ERR_INPUT, "added token %d: %zu bytes, at most %d", (int)token.id,
		               token.text.n, ADDED_BYTES);
	if (t->n_given == GIVEN_MAX)
		return err_set(e, ERR_INPUT, "more than %d added tokens", GIVEN_MAX);
	if (t->n_given == t->given_room) {
		given = realloc(t->given, room * sizeof *given);
		if (!given)
			return err_memory(e, room * sizeof *given);
		t->given = given;
		t->given_room = room;
	}
	t->given[t->n_given++] = token;
	return 0;
}

/* The id under which the vocabulary knows the text, or -1. */
static int32_t known(const struct tokenizer *t, const struct added_token *a)
{
	const struct vocab *v = &t->vocab;
	unsigned char bytes[ADDED_BYTES];
	size_t n;
	int32_t id = -1;

	if (vocab_has(v, a->id) && bytes_equal(vocab_piece(v, a->id), a->text))
		return a->id;
	if (!t->byte_level)
		return vocab_find(v, a->text);
	n = alphabet_read(bytes, a->text);
	if (n != ALPHABET_NONE)
		id = vocab_find(v, (struct bytes){ bytes, n });
	return id;
}

int place_added(struct tokenizer *t, struct err *e)
{
	struct vocab *v = &t->vocab;

	for (size_t i = 0; i < t->n_given; i++) {
		struct added_token *a = &t->given[i];
		enum token_type type = a->flags & ADDED_SPECIAL ? TOKEN_CONTROL : TOKEN_USER;
		int32_t id = known(t, a);

		if (id >= 0) {
			a->id = id;
			if (v->token[id].type != TOKEN_UNKNOWN &&
			    v->token[id].type != TOKEN_CONTROL)
				v->token[id].type = (uint8_t)type;
			continue;
		}
		if (vocab_set(v, a->id, a->text, type, e))
			return err_in(e, "added token %zu", i);
		v->token[a->id].plain = true;
	}
	return 0;
}

/* A copy of the token whose text is as the normalizer leaves it. */
static int normalize(struct tokenizer *t, struct added_token *a, struct normal_room *room,
                     struct err *e)
{
	struct bytes text;

	if (normalizer_run(&t->normalizer, a->text, room, &text, e))
		return -1;
	a->text.p = (unsigned char *)arena_text(&t->arena, text.p, text.n, e);
	a->text.n = text.n;
	if (!a->text.p)
		return -1;
	t->vocab.token[a->id].shown_normal = !bytes_equal(a->text, vocab_piece(&t->vocab, a->id));
	return 0;
}

int index_added(struct tokenizer *t, struct err *e)
{
	struct added_token *early = arena_new(&t->arena, t->n_given, sizeof *early, e);
	struct added_token *late = arena_new(&t->arena, t->n_given, sizeof *late, e);
	struct normal_room room = { 0 };
	size_t n_early = 0, n_late = 0;
	int rc = early && late ? 0 : -1;

	for (size_t i = 0; !rc && i < t->n_given; i++) {
		if (!(t->given[i].flags & ADDED_NORMALIZED)) {
			early[n_early++] = t->given[i];
			continue;
		}
		late[n_late] = t->given[i];
		rc = normalize(t, &late[n_late++], &room, e);
	}
	normal_room_release(&room);
	if (rc || added_init(&t->added, early, n_early, &t->arena, e))
		return -1;
	return added_init(&t->added_normal, late, n_late, &t->arena, e);
}
