/* SPDX-License-Identifier: MIT */
/* spm_file.c - SentencePiece's .model: a protocol buffer of pieces and two
 * specs, read with the bounded reader. Fields that encoding does not need are
 * passed over. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "text/tokenizer.h"

enum { WIRE_VARINT, WIRE_64, WIRE_BYTES, WIRE_32 = 5 };
enum { TYPE_UNIGRAM = 1, TYPE_BPE = 2 };

struct field {
	uint32_t number, wire;
	uint64_t value; /* of a varint or a fixed number */
	struct bytes bytes;
};

static uint64_t read_varint(struct reader *r)
{
	uint64_t v = 0;
	uint8_t b;

	for (unsigned shift = 0; shift < 64; shift += 7) {
		b = read_u8(r);
		v |= (uint64_t)(b & 0x7F) << shift;
		if (!(b & 0x80))
			return v;
	}
	r->failed = true; /* more than ten bytes */
	return 0;
}

/* 1: a field, 0: the end, -1: malformed. */
static int next_field(struct reader *r, struct field *f, struct err *e)
{
	size_t at = r->pos;
	uint64_t tag, n;

	if (!reader_left(r))
		return 0;
	tag = read_varint(r);
	*f = (struct field){ .number = (uint32_t)(tag >> 3), .wire = tag & 7 };
	if (f->wire == WIRE_VARINT) {
		f->value = read_varint(r);
	} else if (f->wire == WIRE_64) {
		f->value = read_u64(r);
	} else if (f->wire == WIRE_32) {
		f->value = read_u32(r);
	} else if (f->wire == WIRE_BYTES) {
		n = read_varint(r);
		if (n > reader_left(r))
			return err_set(e, ERR_INPUT,
			               "byte %zu: a field of %llu bytes, %zu are left", at,
			               (unsigned long long)n, reader_left(r));
		f->bytes = read_bytes(r, (size_t)n);
	} else {
		return err_set(e, ERR_INPUT, "byte %zu: wire type %u", at, (unsigned)f->wire);
	}
	if (reader_failed(r) || !f->number || tag >> 32)
		return err_set(e, ERR_INPUT, "byte %zu: no field", at);
	return 1;
}

/* What the specs say, with SentencePiece's defaults. */
struct spec {
	uint64_t model_type;
	bool byte_fallback, suffix, add_prefix, collapse, escape;
	struct bytes charsmap, unk_surface, bos, eos, pad;
};

static int read_trainer(struct spec *s, struct bytes b, struct err *e)
{
	struct reader r;
	struct field f;
	int more;

	reader_init(&r, b);
	while ((more = next_field(&r, &f, e)) == 1) {
		switch (f.number) {
		case 3:
			s->model_type = f.value;
			break;
		case 24:
			s->suffix = f.value;
			break;
		case 35:
			s->byte_fallback = f.value;
			break;
		case 44:
			s->unk_surface = f.bytes;
			break;
		case 46:
			s->bos = f.bytes;
			break;
		case 47:
			s->eos = f.bytes;
			break;
		case 48:
			s->pad = f.bytes;
			break;
		}
	}
	return more;
}

static int read_normalizer(struct spec *s, struct bytes b, struct err *e)
{
	struct reader r;
	struct field f;
	int more;

	reader_init(&r, b);
	while ((more = next_field(&r, &f, e)) == 1) {
		switch (f.number) {
		case 2:
			s->charsmap = f.bytes;
			break;
		case 3:
			s->add_prefix = f.value;
			break;
		case 4:
			s->collapse = f.value;
			break;
		case 5:
			s->escape = f.value;
			break;
		}
	}
	return more;
}

static int add_piece(struct tokenizer *t, struct bytes text, uint64_t type, float score,
                     struct err *e)
{
	int32_t id = (int32_t)t->vocab.n;
	int rc;

	if (!text.n)
		return err_set(e, ERR_INPUT, "empty");
	if (type < TOKEN_NORMAL || type > TOKEN_BYTE)
		return err_set(e, ERR_INPUT, "type %llu", (unsigned long long)type);
	if (!isfinite(score))
		return err_set(e, ERR_INPUT, "its score is not finite");
	if (vocab_set(&t->vocab, id, text, (enum token_type)type, e))
		return -1;
	t->vocab.token[id].score = score;
	rc = vocab_index(&t->vocab, id, e);
	if (rc == 1)
		return err_set(e, ERR_INPUT, "is there twice");
	if (type == TOKEN_UNKNOWN && t->unk >= 0)
		return err_set(e, ERR_INPUT, "a second unknown piece");
	if (type == TOKEN_UNKNOWN)
		t->unk = id;
	return rc;
}

static int read_piece(struct tokenizer *t, struct bytes b, struct err *e)
{
	uint64_t type = TOKEN_NORMAL;
	float score = 0;
	struct bytes text = { 0 };
	struct reader r;
	struct field f;
	int more;

	reader_init(&r, b);
	while ((more = next_field(&r, &f, e)) == 1) {
		uint32_t bits = (uint32_t)f.value;

		if (f.number == 1)
			text = f.bytes;
		else if (f.number == 2 && f.wire == WIRE_32)
			memcpy(&score, &bits, sizeof score);
		else if (f.number == 3)
			type = f.value;
	}
	return more ? -1 : add_piece(t, text, type, score, e);
}

static int read_file(struct tokenizer *t, struct spec *s, struct bytes file, struct err *e)
{
	struct reader r;
	struct field f;
	int more, rc = 0;

	reader_init(&r, file);
	while ((more = next_field(&r, &f, e)) == 1 && !rc) {
		if (f.number == 1 && read_piece(t, f.bytes, e))
			rc = err_in(e, "piece %zu", t->vocab.n);
		else if (f.number == 2 && read_trainer(s, f.bytes, e))
			rc = err_in(e, "trainer_spec");
		else if (f.number == 3 && read_normalizer(s, f.bytes, e))
			rc = err_in(e, "normalizer_spec");
	}
	return more ? -1 : rc;
}

/* The id of a control piece, or -1. */
static int32_t control(const struct tokenizer *t, struct bytes name)
{
	int32_t id = vocab_find(&t->vocab, name);

	return id >= 0 && t->vocab.token[id].type == TOKEN_CONTROL ? id : -1;
}

static int check_bytes(const struct tokenizer *t, struct err *e)
{
	char name[8];

	for (unsigned b = 0; b < BYTE_TOKENS; b++) {
		int32_t id;

		snprintf(name, sizeof name, "<0x%02X>", b);
		id = vocab_find(&t->vocab, bytes_of(name));
		if (id < 0 || t->vocab.token[id].type != TOKEN_BYTE)
			return err_set(e, ERR_INPUT, "byte_fallback without the piece %s", name);
	}
	return 0;
}

int spm_set_up(struct tokenizer *t, struct err *e)
{
	struct vocab *v = &t->vocab;
	struct string *user = arena_new(&t->arena, v->n, sizeof *user, e);
	size_t n = 0;

	if (!user)
		return -1;
	t->low_score = FLT_MAX;
	t->high_score = FLT_MIN; /* above 0, as in the reference */
	for (size_t i = 0; i < v->n; i++) {
		struct token *k = &v->token[i];
		struct added_token a = { .id = (int32_t)i };
		struct bytes text = vocab_piece(v, (int32_t)i);
		char *copy;

		if (k->type == TOKEN_NORMAL) {
			t->low_score = fmin(t->low_score, k->score);
			t->high_score = fmax(t->high_score, k->score);
		}
		if (k->type != TOKEN_CONTROL && k->type != TOKEN_UNKNOWN && k->type != TOKEN_USER)
			continue;
		copy = arena_text(&t->arena, text.p, text.n, e);
		if (!copy)
			return -1;
		a.flags = k->type == TOKEN_USER ? 0 : ADDED_SPECIAL;
		a.text = (struct bytes){ (unsigned char *)copy, text.n };
		if (k->type == TOKEN_USER && t->spm.user_inside)
			user[n++] = (struct string){ a.text, (int32_t)i };
		else if (text.n <= ADDED_BYTES && tokenizer_add(t, a, e))
			return -1;
	}
	t->is_spm = true;
	t->decoder.mark = bytes_of(SPM_MARK);
	t->decoder.bytes = t->decoder.each_byte = true;
	t->decoder.strip_first = t->spm.add_prefix;
	return strings_init(&t->spm.user, user, n, &t->arena, e);
}

int spm_parse(struct tokenizer *t, struct bytes file, struct err *e)
{
	struct spec s = {
		.model_type = TYPE_UNIGRAM,
		.add_prefix = true,
		.collapse = true,
		.escape = true,
		.unk_surface = bytes_of(" \xE2\x81\x87 "),
		.bos = bytes_of("<s>"),
		.eos = bytes_of("</s>"),
		.pad = bytes_of("<pad>"),
	};
	char *unk;

	if (vocab_init(&t->vocab, file.n / 16, e) || read_file(t, &s, file, e))
		return -1;
	if (s.model_type != TYPE_UNIGRAM && s.model_type != TYPE_BPE)
		return err_set(e, ERR_INPUT, "trainer_spec: model_type %llu is not supported",
		               (unsigned long long)s.model_type);
	if (t->unk < 0)
		return err_set(e, ERR_INPUT, "no piece is the unknown one");
	if (s.byte_fallback && check_bytes(t, e))
		return -1;
	if (s.charsmap.n && charsmap_init(&t->spm.map, s.charsmap, &t->arena, e))
		return err_in(e, "normalizer_spec");
	unk = arena_text(&t->arena, s.unk_surface.p, s.unk_surface.n, e);
	if (!unk)
		return -1;
	t->decoder.unknown = bytes_of(unk);
	t->model = s.model_type == TYPE_BPE ? MODEL_SCORE : MODEL_UNIGRAM;
	t->byte_fallback = s.byte_fallback;
	t->fuse_unk = true;
	t->spm.add_prefix = s.add_prefix;
	t->spm.suffix = s.suffix;
	t->spm.collapse = s.collapse;
	t->spm.escape = s.escape;
	t->spm.bad_replaced = t->spm.user_inside = true;
	t->decoder.strip_all = s.collapse;
	t->bos = control(t, s.bos);
	t->eos = control(t, s.eos);
	t->pad = control(t, s.pad);
	if (spm_set_up(t, e))
		return -1;
	t->decoder.strip_first = s.add_prefix || s.collapse;
	return tokenizer_set_ends(t, true, false, e);
}
