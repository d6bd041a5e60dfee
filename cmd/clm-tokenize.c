/* SPDX-License-Identifier: MIT */
/* clm-tokenize.c - text to token ids, and ids to text */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "open.h"
#include "util/json.h"

enum { TEXT_CEILING = 1 << 30, FLUSH_BYTES = 1 << 16 };

struct args {
	struct cli_common common;
	struct open_options open;
	struct feed_options feed;
	bool decode, count, pieces, no_special, no_parse, special;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 'd', "decode", NULL, CLI_FLAG, AT(decode), .help = "ids to text" },
	{ 'c', "count", NULL, CLI_FLAG, AT(count), .help = "print how many ids each text has" },
	{ 0, "pieces", NULL, CLI_FLAG, AT(pieces),
	  .help = "a line per token: id, tab, its text as JSON" },
	{ 0, "no-special", NULL, CLI_FLAG, AT(no_special),
	  .help = "do not add what the tokenizer adds (BOS, ...)" },
	{ 0, "no-parse-special", NULL, CLI_FLAG, AT(no_parse),
	  .help = "the text of special tokens is text like any other" },
	{ 0, "special", NULL, CLI_FLAG, AT(special), .help = "with -d, show special tokens" },
};
static const struct cli_group groups[] = {
	{ .title = "What to do", .option = options, .n = sizeof options / sizeof *options },
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Texts", .option = feed_table, .n = FEED_N, .base = AT(feed) },
};
static const struct cli command = {
	.synopsis = "-m MODEL [-c] [--lines | -0 | --raw] [FILE...]\n-m MODEL -d [-0 | --raw] "
	            "[FILE...]",
	.about = "Turns text into token ids, a sequence per line, or with -d ids into text.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

/* ---- text to ids */

static int print_pieces(const struct tokenizer *t, const struct ids *v, struct err *e)
{
	struct buf line = { 0 };
	int rc;

	for (size_t i = 0; i < v->n; i++) {
		buf_printf(&line, "%d\t", v->id[i]);
		json_add_string(&line, tokenizer_piece(t, v->id[i]));
		buf_add_byte(&line, '\n');
	}
	rc = buf_check(&line, e);
	if (rc == 0)
		cli_put(line.p, line.n);
	buf_release(&line);
	return rc;
}

static void print_ids(const struct ids *v)
{
	char text[16];

	for (size_t i = 0; i < v->n; i++)
		cli_put(text, (size_t)snprintf(text, sizeof text, i ? " %d" : "%d", v->id[i]));
	cli_puts("\n");
}

static int encode_one(const struct args *a, const struct tokenizer *t, struct bytes text,
                      struct ids *ids, struct err *e)
{
	unsigned flags = (a->no_special ? 0u : ENCODE_ADD_SPECIAL) |
	                 (a->no_parse ? 0u : ENCODE_PARSE_SPECIAL);

	ids->n = 0;
	if (tokenizer_encode(t, text, flags, ids, e))
		return -1;
	if (a->pieces)
		return print_pieces(t, ids, e);
	if (a->count)
		cli_printf("%zu\n", ids->n);
	else
		print_ids(ids);
	return 0;
}

static int encode(const struct args *a, const struct tokenizer *t, char **files, struct err *e)
{
	struct feed *f = NULL;
	struct ids ids = { 0 };
	struct bytes text;
	enum feed_result r = FEED_ERROR;

	if (feed_open(&f, files, feed_cut(&a->feed), TEXT_CEILING, e) == 0)
		while ((r = feed_next(f, false, &text, e)) != FEED_END && r != FEED_ERROR) {
			/* nothing more for now: what is done can be read */
			if (r == FEED_LATER) {
				cli_flush();
				r = feed_next(f, true, &text, e);
			}
			if (r == FEED_LONG)
				r = err_set(e, ERR_INPUT, "over %d bytes", TEXT_CEILING);
			if (r != FEED_TEXT)
				break;
			if (encode_one(a, t, text, &ids, e)) {
				r = err_in(e, "%s: text %zu", feed_file(f), feed_number(f));
				break;
			}
		}
	ids_release(&ids);
	feed_close(f);
	return r == FEED_ERROR ? -1 : 0;
}

/* ---- ids to text */

/* Ids arrive in pieces that may end within a number. */
struct decoding {
	const struct args *a;
	const struct tokenizer *t;
	struct detok detok;
	struct buf text;
	uint64_t id;
	bool in_number, in_line;
	size_t n_bytes;
};

static void begin_line(struct decoding *d)
{
	detok_init(&d->detok, d->t);
	d->detok.keep_special = d->a->special;
	d->detok.raw = d->a->feed.raw;
	d->in_line = false;
}

static int end_number(struct decoding *d, struct err *e)
{
	if (!d->in_number)
		return 0;
	d->in_number = false;
	if (d->id > INT32_MAX)
		return err_set(e, ERR_INPUT, "token id over %d", INT32_MAX);
	return detok_add(&d->detok, (int32_t)d->id, &d->text, e);
}

static int end_line(struct decoding *d, struct err *e)
{
	struct bytes mark = feed_end_mark(&d->a->feed);

	if (end_number(d, e) || detok_end(&d->detok, &d->text, e))
		return -1;
	buf_add(&d->text, mark.p, mark.n);
	begin_line(d);
	return buf_check(&d->text, e);
}

static int decode_byte(struct decoding *d, unsigned char c, struct err *e)
{
	d->n_bytes++;
	if (c >= '0' && c <= '9') {
		if (!d->in_number)
			d->id = 0;
		d->in_number = d->in_line = true;
		if (d->id <= INT32_MAX)
			d->id = d->id * 10 + (uint64_t)(c - '0');
		return 0;
	}
	if (c == '\n')
		return end_line(d, e);
	if (c == ' ' || c == '\t' || c == '\r' || c == ',')
		return end_number(d, e);
	return err_set(e, ERR_INPUT, "expected decimal token ids, found \"%c\"", c);
}

static int decode(const struct args *a, const struct tokenizer *t, char **files, struct err *e)
{
	struct decoding d = { .a = a, .t = t };
	struct feed *f = NULL;
	struct bytes piece;
	enum feed_result r = FEED_ERROR;

	begin_line(&d);
	if (feed_open(&f, files, FEED_PIECES, 0, e) == 0)
		while ((r = feed_next(f, true, &piece, e)) == FEED_TEXT) {
			int rc = 0;

			for (size_t i = 0; i < piece.n && rc == 0; i++) {
				rc = decode_byte(&d, piece.p[i], e);
				if (d.text.n < FLUSH_BYTES && i + 1 < piece.n && rc == 0)
					continue;
				cli_put(d.text.p, d.text.n);
				buf_clear(&d.text);
			}
			cli_flush();
			if (rc) {
				r = err_in(e, "%s: byte %zu", feed_file(f), d.n_bytes);
				break;
			}
		}
	if (r == FEED_END && d.in_line) {
		if (end_line(&d, e))
			r = err_in(e, "%s: byte %zu", feed_file(f), d.n_bytes);
		cli_put(d.text.p, d.text.n);
	}
	buf_release(&d.text);
	feed_close(f);
	return r == FEED_ERROR ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct opened o = { 0 };
	struct err e = { 0 };
	char **files = cli_parse(argc, argv, &command, &a);
	int rc;

	if (a.decode && (a.count || a.pieces || a.feed.lines || a.no_special || a.no_parse))
		cli_misuse("-d goes with -0, --raw and --special only");
	if (feed_would_wait(files))
		cli_misuse("no text: give a FILE, or text on standard input");
	rc = open_texts(&o, &a.open, &e) ||
	     (a.decode ? decode : encode)(&a, o.tokenizer, files, &e);
	open_release(&o);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
