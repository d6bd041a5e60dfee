/* SPDX-License-Identifier: MIT */
/* encode.c - text to ids: added tokens are cut out, the rest is normalized,
 * cut into pieces, and each piece merged alone. Cutting and merging depend on
 * nothing but the piece, so short pieces come from a cache. */
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

enum { TEXT_MAX = INT32_MAX };

struct job {
	const struct tokenizer *t;
	struct scratch *s;
	struct ids *out;
	size_t word;  /* where the word's ids begin in out */
	bool special; /* special tokens' text is parsed */
	const struct bars *bars; /* ... but where it holds one of these; NULL: none */
	const unsigned char *text;
};

/* ---- scratch memory, so that several threads may encode at once */

static struct scratch *scratch_take(const struct tokenizer *ct, struct err *e)
{
	struct tokenizer *t = (struct tokenizer *)ct; /* only the atomic slots change */
	struct scratch *s;

	for (size_t i = 0; i < SPARE; i++) {
		s = atomic_exchange(&t->spare[i], NULL);
		if (s)
			return s;
	}
	s = calloc(1, sizeof *s);
	if (!s)
		(void)err_memory(e, sizeof *s);
	return s;
}

/* Text may grow by a normalizer, but not without end. */
static void scratch_limit(struct scratch *s, size_t n)
{
	size_t ceiling = 32 * n + (1 << 20);

	if (ceiling > TEXT_MAX)
		ceiling = TEXT_MAX;
	s->normal.text[0].ceiling = s->normal.text[1].ceiling = s->spm.ceiling = ceiling;
	for (size_t i = 0; i < STEPS_MAX; i++)
		s->split.step[i].ceiling = s->split.map[i].ceiling = ceiling;
}

void scratch_free(struct scratch *s)
{
	if (!s)
		return;
	merge_room_release(&s->merge);
	split_room_release(&s->split);
	normal_room_release(&s->normal);
	buf_release(&s->spm);
	ids_release(&s->ids);
	free(s->best);
	free(s->cut);
	free(s);
}

static void scratch_give(const struct tokenizer *ct, struct scratch *s)
{
	struct tokenizer *t = (struct tokenizer *)ct;

	for (size_t i = 0; i < SPARE && s; i++) {
		struct scratch *none = NULL;

		if (atomic_compare_exchange_strong(&t->spare[i], &none, s))
			return;
	}
	scratch_free(s);
}

/* ---- one piece */

/* Unknown characters, as the reference collects them: the last one waits to
 * see whether the next joins it. */
struct unknown {
	bool waits;
	uint32_t at, n;
};

static int put_unknown(struct job *j, struct unknown *u, struct err *e)
{
	bool waits = u->waits;

	u->waits = false;
	return waits ? merge_add(&j->s->merge, u->at, u->n, j->t->unk, false, e) : 0;
}

static int add_unknown(struct job *j, struct unknown *u, uint32_t at, uint32_t n, struct err *e)
{
	if (j->t->unk < 0)
		return 0;
	if (u->waits && j->t->fuse_unk) {
		u->n += n;
		return 0;
	}
	if (put_unknown(j, u, e))
		return -1;
	*u = (struct unknown){ true, at, n };
	return 0;
}

static int add_bytes(struct job *j, struct bytes ch, uint32_t at, struct err *e)
{
	for (uint32_t i = 0; i < ch.n; i++)
		if (merge_add(&j->s->merge, at + i, 1, j->t->byte[ch.p[i]], false, e))
			return -1;
	return 0;
}

static bool has_bytes(const struct tokenizer *t, struct bytes ch)
{
	if (!t->byte_fallback)
		return false;
	for (size_t i = 0; i < ch.n; i++)
		if (t->byte[ch.p[i]] < 0)
			return false;
	return true;
}

/* The symbols a piece begins as, for merges by rank. */
static int start_ranked(struct job *j, struct bytes w, struct err *e)
{
	const struct tokenizer *t = j->t;
	struct unknown u = { 0 };
	size_t n;

	for (size_t i = 0; i < w.n; i += n) {
		struct bytes ch = { w.p + i, 1 };
		int32_t id;

		n = t->byte_level ? 1 : chars_len(w.p + i, w.n - i);
		ch.n = n;
		id = t->byte_level ? t->byte[*ch.p] : vocab_find(&t->vocab, ch);
		if (id >= 0) {
			if (put_unknown(j, &u, e) ||
			    merge_add(&j->s->merge, (uint32_t)i, (uint32_t)n, id, false, e))
				return -1;
		} else if (has_bytes(t, ch)) {
			if (add_bytes(j, ch, (uint32_t)i, e))
				return -1;
		} else if (add_unknown(j, &u, (uint32_t)i, (uint32_t)n, e)) {
			return -1;
		}
	}
	return put_unknown(j, &u, e);
}

static int encode_ranked(struct job *j, struct bytes w, struct err *e)
{
	struct joiner joiner = { .merges = j->t->by_text ? NULL : &j->t->merges,
		                 .vocab = &j->t->vocab };
	struct merge_room *m = &j->s->merge;
	int32_t id;

	if ((j->t->ignore_merges || (j->t->lines_whole && *w.p == '\n')) &&
	    (id = vocab_find(&j->t->vocab, w)) >= 0)
		return ids_add(j->out, id, e);
	m->n = 0;
	if (start_ranked(j, w, e) || merge_run(m, &joiner, w.p, e))
		return -1;
	for (size_t i = 0; i < m->n; i++)
		if (ids_add(j->out, m->symbol[i].id, e))
			return -1;
	return 0;
}

/* The symbols a piece begins as, for merges by score: user's symbols whole. */
static int start_scored(struct job *j, struct bytes w, struct err *e)
{
	const struct tokenizer *t = j->t;
	int32_t id = -1;
	size_t n;

	for (size_t i = 0; i < w.n; i += n) {
		bool user;

		n = strings_longest(&t->spm.user, (struct bytes){ w.p + i, w.n - i }, &id);
		user = n != 0;
		if (!user)
			n = chars_len(w.p + i, w.n - i);
		if (merge_add(&j->s->merge, (uint32_t)i, (uint32_t)n, -1, user, e))
			return -1;
	}
	return 0;
}

static void note_cut(void *arg, int32_t id, uint32_t n_left)
{
	((uint32_t *)arg)[id] = n_left;
}

/* Text may become this token: control tokens come only from parsing. */
static bool is_text(const struct tokenizer *t, int32_t id)
{
	uint8_t type = t->vocab.token[id].type;

	return type == TOKEN_NORMAL || type == TOKEN_USER || type == TOKEN_UNUSED;
}

/* A symbol's ids. A token that must not be used is taken apart as it was
 * joined; halves are shorter, so this ends. */
static int put_scored(struct job *j, struct bytes w, struct err *e)
{
	const struct tokenizer *t = j->t;
	int32_t id = vocab_find(&t->vocab, w);
	uint32_t left;

	while (id >= 0 && t->vocab.token[id].type == TOKEN_UNUSED && j->s->cut &&
	       (left = j->s->cut[id]) > 0 && left < w.n) {
		if (put_scored(j, (struct bytes){ w.p, left }, e))
			return -1;
		w.p += left;
		w.n -= left;
		id = vocab_find(&t->vocab, w);
	}
	if (id >= 0 && is_text(t, id))
		return ids_add(j->out, id, e);
	if (has_bytes(t, w)) {
		for (size_t i = 0; i < w.n; i++)
			if (ids_add(j->out, t->byte[w.p[i]], e))
				return -1;
		return 0;
	}
	if (t->unk < 0 ||
	    (t->fuse_unk && j->out->n > j->word && j->out->id[j->out->n - 1] == t->unk))
		return 0;
	return ids_add(j->out, t->unk, e);
}

static int encode_scored(struct job *j, struct bytes w, struct err *e)
{
	struct joiner joiner = { .vocab = &j->t->vocab };
	struct merge_room *m = &j->s->merge;

	if (j->t->has_unused) {
		if (!j->s->cut)
			j->s->cut = calloc(j->t->vocab.n, sizeof *j->s->cut);
		if (!j->s->cut)
			return err_memory(e, j->t->vocab.n * sizeof *j->s->cut);
		joiner.unused = note_cut;
		joiner.arg = j->s->cut;
	}
	m->n = 0;
	j->word = j->out->n;
	if (start_scored(j, w, e) || merge_run(m, &joiner, w.p, e))
		return -1;
	for (size_t i = 0; i < m->n; i++)
		if (put_scored(j, (struct bytes){ w.p + m->symbol[i].at, m->symbol[i].n }, e))
			return -1;
	return 0;
}

static int encode_alone(struct job *j, struct bytes w, struct err *e)
{
	switch (j->t->model) {
	case MODEL_RANK:
		return encode_ranked(j, w, e);
	case MODEL_SCORE:
		return encode_scored(j, w, e);
	case MODEL_UNIGRAM:
		return unigram_encode(j->t, j->s, w, j->out, e);
	case MODEL_WORDPIECE:
		return wordpiece_encode(j->t, w, j->out, e);
	case MODEL_WORDLEVEL:
		return wordlevel_encode(j->t, w, j->out, e);
	}
	return -1;
}

static int encode_word(struct job *j, struct bytes w, struct err *e)
{
	struct word *at = w.n <= CACHE_BYTES ? cache_at(&j->s->cache, w) : NULL;
	size_t n = j->out->n;

	if (at && cache_has(at, w)) {
		if (n + CACHE_IDS > j->out->room && ids_reserve(j->out, CACHE_IDS, e))
			return -1;
		memcpy(j->out->id + n, at->id, sizeof at->id);
		j->out->n += at->n_ids;
		return 0;
	}
	if (encode_alone(j, w, e))
		return -1;
	if (at)
		cache_put(at, w, j->out->id + n, j->out->n - n);
	return 0;
}

/* Cuts before each run of marks: what comes out is the same, from the cache. */
static int encode_marked(struct job *j, struct bytes t, struct err *e)
{
	struct bytes mark = j->t->mark;
	size_t begin = 0, at = 0;

	while (at < t.n) {
		while (at + mark.n <= t.n && !memcmp(t.p + at, mark.p, mark.n))
			at += mark.n;
		while (at < t.n && (t.p[at] != mark.p[0] || at + mark.n > t.n ||
		                    memcmp(t.p + at, mark.p, mark.n)))
			at++;
		if (encode_word(j, (struct bytes){ t.p + begin, at - begin }, e))
			return -1;
		begin = at;
	}
	return 0;
}

static int take_piece(void *to, struct bytes piece, struct err *e)
{
	struct job *j = to;

	if (j->t->cut_at_marks)
		return encode_marked(j, piece, e);
	return encode_word(j, piece, e);
}

/* ---- stretches between added tokens */

typedef int stretch_fn(struct job *j, struct bytes text, bool first, struct err *e);

/* The first bar inside text that begins at p; bars->n: none. */
static size_t bar_inside(const struct job *j, const unsigned char *p, size_t n)
{
	size_t at = (size_t)(p - j->text), low = 0, high = j->bars->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (j->bars->at[middle] <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low < j->bars->n && j->bars->at[low] < at + n ? low : j->bars->n;
}

/* As added_find(), but for special tokens that are barred. */
static bool find_added(const struct job *j, const struct added *d, struct bytes text, size_t from,
                       size_t taken, struct added_hit *hit)
{
	while (added_find(d, text, from, taken, j->special, hit)) {
		if (!j->bars || d != &j->t->added || !tokenizer_special(j->t, hit->id) ||
		    bar_inside(j, text.p + hit->at, hit->resume - hit->at) == j->bars->n)
			return true;
		from = hit->at + 1;
	}
	return false;
}

/* Gives added tokens' ids and passes on the stretches between them. */
static int cut_added(struct job *j, const struct added *d, struct bytes text, bool first,
                     stretch_fn *take, struct err *e)
{
	struct added_hit hit;
	size_t from = 0, taken = 0;

	while (find_added(j, d, text, from, taken, &hit)) {
		if (hit.begin > taken &&
		    take(j, (struct bytes){ text.p + taken, hit.begin - taken }, first && !taken,
		         e))
			return -1;
		if (ids_add(j->out, hit.id, e))
			return -1;
		from = hit.resume;
		taken = hit.end > taken ? hit.end : taken;
	}
	if (taken < text.n)
		return take(j, (struct bytes){ text.p + taken, text.n - taken }, first && !taken,
		            e);
	return 0;
}

static int take_normalized(struct job *j, struct bytes text, bool first, struct err *e)
{
	if (splitter_run(&j->t->splitter, text, first, &j->s->split, take_piece, j, e))
		return err_in(e, "pre-tokenizer");
	return 0;
}

static int take_part(struct job *j, struct bytes text, bool first, struct err *e)
{
	if (!j->t->is_spm) {
		if (normalizer_run(&j->t->normalizer, text, &j->s->normal, &text, e))
			return err_in(e, "normalizer");
		return cut_added(j, &j->t->added_normal, text, first, take_normalized, e);
	}
	buf_clear(&j->s->spm);
	if (spm_normalize(&j->t->spm, text, first, &j->s->spm, e))
		return err_in(e, "normalizer");
	if (!j->s->spm.n)
		return 0;
	if (j->t->model == MODEL_UNIGRAM)
		return unigram_encode(j->t, j->s, buf_bytes(&j->s->spm), j->out, e);
	return take_piece(j, buf_bytes(&j->s->spm), e);
}

/* Special tokens that normalizing may make are barred by a cut. */
static int take_stretch(struct job *j, struct bytes text, bool first, struct err *e)
{
	while (j->bars && j->t->added_normal.n) {
		size_t bar = bar_inside(j, text.p, text.n), n;

		if (bar == j->bars->n)
			break;
		n = j->bars->at[bar] - (size_t)(text.p - j->text);
		if (take_part(j, (struct bytes){ text.p, n }, first, e))
			return -1;
		text = (struct bytes){ text.p + n, text.n - n };
		first = false;
	}
	return take_part(j, text, first, e);
}

static int add_all(struct ids *out, const struct ids *v, struct err *e)
{
	for (size_t i = 0; i < v->n; i++)
		if (ids_add(out, v->id[i], e))
			return -1;
	return 0;
}

int tokenizer_encode(const struct tokenizer *t, struct bytes text, unsigned flags, struct ids *out,
                     struct err *e)
{
	return tokenizer_encode_barred(t, text, flags, NULL, out, e);
}

int tokenizer_encode_barred(const struct tokenizer *t, struct bytes text, unsigned flags,
                            const struct bars *bars, struct ids *out, struct err *e)
{
	struct job j = { .t = t,
		         .out = out,
		         .special = flags & ENCODE_PARSE_SPECIAL,
		         .bars = bars && bars->n ? bars : NULL,
		         .text = text.p };
	size_t n = out->n;
	int rc = -1;

	if (text.n > TEXT_MAX / 4)
		return err_set(e, ERR_INPUT, "text: %zu bytes, at most %d", text.n, TEXT_MAX / 4);
	j.s = scratch_take(t, e);
	if (!j.s)
		return -1;
	scratch_limit(j.s, text.n);
	if (ids_reserve(out, text.n / 4 + CACHE_IDS, e) ||
	    ((flags & ENCODE_ADD_SPECIAL) && add_all(out, &t->before, e)) ||
	    cut_added(&j, &t->added, text, true, take_stretch, e) ||
	    ((flags & ENCODE_ADD_SPECIAL) && add_all(out, &t->after, e)))
		out->n = n;
	else
		rc = 0;
	scratch_give(t, j.s);
	return rc;
}
