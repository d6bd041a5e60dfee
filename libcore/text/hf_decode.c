/* SPDX-License-Identifier: MIT */
/* hf_decode.c - the decoders of a tokenizer.json. What streams as it is has a
 * field of the decoder; the rest are steps that rewrite a token's text. */
#include <string.h>

#include "text/hf.h"

static int add_step(struct tokenizer *t, struct decode_step s, struct err *e)
{
	struct decoder *d = &t->decoder;
	const char *wrong = d->fused || d->bytes ? "after Fuse or ByteFallback is not supported" :
	                    d->first_unmarked    ? "after Metaspace is not supported" :
	                    t->byte_level        ? "in a byte-level alphabet is not supported" :
	                                           NULL;

	if (!wrong && d->mark.n && d->n_steps < DECODE_STEPS) { /* that came before this */
		d->step[d->n_steps++] = (struct decode_step){ .kind = DECODE_REPLACE,
			                                      .what = d->mark,
			                                      .with = bytes_of(" ") };
		d->mark.n = 0;
	}
	if (!wrong && d->n_steps < DECODE_STEPS) {
		d->step[d->n_steps++] = s;
		return 0;
	}
	regex_close(s.regex);
	return wrong ? err_set(e, ERR_INPUT, "%s", wrong) :
	               err_set(e, ERR_INPUT, "more than %d steps", DECODE_STEPS);
}

static int decode_byte_level(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	if (!t->byte_level)
		return err_set(e, ERR_INPUT, "without a ByteLevel pre-tokenizer or normalizer");
	return 0;
}

static int decode_replace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct decode_step s = { .kind = DECODE_REPLACE };
	bool is_regex;

	if (part_pattern(t, o, &s.what, &is_regex, e) || part_text(t, o, "content", &s.with, e))
		return -1;
	if (!is_regex && bytes_is(s.with, " ") && s.what.n && !t->decoder.mark.n &&
	    !t->decoder.n_steps) {
		t->decoder.mark = s.what;
		return 0;
	}
	if (!is_regex && !s.what.n)
		return err_set(e, ERR_INPUT, "pattern: empty");
	if (is_regex && regex_open(&s.regex, s.what, REGEX_FILE, e))
		return -1;
	return add_step(t, s, e);
}

static int decode_bytes(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o, (void)e;
	t->decoder.bytes = t->decoder.each_byte = true;
	return 0;
}

static int decode_fuse(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o, (void)e;
	t->decoder.fused = true;
	return 0;
}

static int decode_strip(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct decode_step s = { .kind = DECODE_STRIP };

	if (part_text(t, o, "content", &s.what, e) || json_get_size(o, "start", &s.left, e) < 0 ||
	    json_get_size(o, "stop", &s.right, e) < 0)
		return -1;
	if (!t->decoder.fused)
		return add_step(t, s, e);
	if (!bytes_is(s.what, " ") || s.left > 1 || s.right)
		return err_set(e, ERR_INPUT,
		               "after Fuse: only one space at the start is supported");
	t->decoder.strip_first = s.left == 1;
	return 0;
}

static int decode_metaspace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	enum prepend prepend;

	if (part_text(t, o, "replacement", &t->decoder.mark, e) || part_prepend(o, &prepend, e))
		return -1;
	t->decoder.first_unmarked = prepend != PREPEND_NEVER;
	return 0;
}

static int add_clean(struct tokenizer *t, const cJSON *o, struct err *e)
{
	bool on;

	if (part_bool(o, "cleanup", true, &on, e))
		return -1;
	return on ? add_step(t, (struct decode_step){ .kind = DECODE_CLEAN }, e) : 0;
}

static int decode_wordpiece(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct decode_step s = { .kind = DECODE_WORDPIECE };

	if (part_text(t, o, "prefix", &s.what, e) || add_step(t, s, e))
		return -1;
	return add_clean(t, o, e);
}

static int decode_ctc(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct decode_step s = { .kind = DECODE_CTC };
	struct decode_step space = { .kind = DECODE_REPLACE, .with = bytes_of(" ") };
	bool on;

	if (part_text(t, o, "pad_token", &s.what, e) ||
	    part_text(t, o, "word_delimiter_token", &space.what, e) ||
	    part_bool(o, "cleanup", true, &on, e) || add_step(t, s, e))
		return -1;
	if (!on)
		return 0;
	return add_clean(t, o, e) || (space.what.n && add_step(t, space, e)) ? -1 : 0;
}

static int decode_bpe(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct decode_step s = { .kind = DECODE_SUFFIX };

	if (t->decoder.n_steps || t->decoder.mark.n)
		return err_set(e, ERR_INPUT, "after another decoder is not supported");
	return part_text(t, o, "suffix", &s.what, e) ? -1 : add_step(t, s, e);
}

int hf_read_decoder(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "ByteLevel", decode_byte_level }, { "Replace", decode_replace },
		{ "ByteFallback", decode_bytes },   { "Fuse", decode_fuse },
		{ "Strip", decode_strip },          { "Metaspace", decode_metaspace },
		{ "WordPiece", decode_wordpiece },  { "CTC", decode_ctc },
		{ "BPEDecoder", decode_bpe },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "decoders" };

	t->decoder.join = bytes_is(json, "null") && !t->byte_level;
	return part_read(t, &table, json, e) ? err_in(e, "decoder") : 0;
}
