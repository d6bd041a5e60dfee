/* SPDX-License-Identifier: MIT */
/* clm-tokenize.c - text to token ids, and ids to text */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encode.h"
#include "open.h"

enum { FLUSH_BYTES = 1 << 16 };

struct args {
	struct cli_common common;
	struct open_options open;
	struct feed_options feed;
	struct tokens_options tokens;
	struct talk_options talk;
	bool no_prompt;
	int threads;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 'd', "decode", NULL, CLI_FLAG, AT(tokens.decode), .help = "ids to text" },
	{ 'c', "count", NULL, CLI_FLAG, AT(tokens.count),
	  .help = "print how many ids each text has" },
	{ 0, "pieces", NULL, CLI_FLAG, AT(tokens.pieces),
	  .help = "a table: each token's id, its text as JSON, where it begins" },
	{ 0, "special", NULL, CLI_FLAG, AT(tokens.special),
	  .help = "the text of special tokens becomes them; with -d, show it" },
	{ 0, "no-special", NULL, CLI_FLAG, AT(tokens.no_special),
	  .help = "do not add what the tokenizer adds (BOS, ...)" },
	{ 0, "bos", NULL, CLI_FLAG, AT(tokens.bos), .help = "begin with BOS in any case" },
	{ 0, "no-bos", NULL, CLI_FLAG, AT(tokens.no_bos), .help = "add no BOS" },
	{ 0, "jsonl", NULL, CLI_FLAG, AT(tokens.jsonl),
	  .help = "records {\"id\", \"text\"} in, {\"id\", \"ids\"} out; -d: back" },
	{ 0, "field", "NAME", CLI_TEXT, AT(tokens.field),
	  .help = "where a record has its text, or with -d its ids" },
	{ 0, "threads", "N", CLI_INT, AT(threads), .env = true, .max = 4096,
	  .help = "threads over the texts; 0 is all" },
};
static const struct cli_option talk[] = {
	{ 0, "no-generation-prompt", NULL, CLI_FLAG, AT(no_prompt),
	  .help = "end where the answer would begin" },
	{ 0, "prompt", NULL, CLI_FLAG, AT(tokens.prompt),
	  .help = "print the prompt's text, not its ids" },
};
static const struct cli_group groups[] = {
	{ .title = "What to do", .option = options, .n = sizeof options / sizeof *options },
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Conversations", .option = talk_table, .n = TALK_N, .base = AT(talk) },
	{ .title = "Conversations", .option = talk, .n = sizeof talk / sizeof *talk },
	{ .title = "Texts", .option = feed_table, .n = FEED_N, .base = AT(feed) },
};
static const struct cli command = {
	.synopsis = "-m MODEL [-c | --pieces] [--lines | -0 | --raw | --jsonl] [FILE...]\n"
		    "-m MODEL --chat [--prompt] [--tools FILE] [--lines | --jsonl] [FILE...]\n"
		    "-m MODEL -d [--pieces] [-0 | --raw | --jsonl] [FILE...]",
	.about = "Turns text into token ids, a sequence per line, or with -d ids into text.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

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
	d->detok.keep_special = d->a->tokens.special;
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

static void check(const struct args *a, char **files)
{
	const struct tokens_options *o = &a->tokens;
	const struct feed_options *f = &a->feed;

	if (o->decode && (o->count || f->lines || o->no_special || o->bos || o->no_bos))
		cli_misuse("-d goes with --jsonl, --pieces, -0, --raw and --special only");
	if (o->bos && o->no_bos)
		cli_misuse("--bos and --no-bos are opposites");
	if (o->count && o->pieces)
		cli_misuse("--count and --pieces are two things to print");
	if (o->jsonl && (f->lines || f->zero || f->raw))
		cli_misuse("--jsonl does not go with --lines, --null or --raw");
	if (o->decode && o->pieces && (f->zero || f->raw))
		cli_misuse("--pieces is a table, whatever ends a text");
	if (o->field && !o->jsonl)
		cli_misuse("--field is for --jsonl");
	talk_check(&a->talk);
	if (!a->talk.chat && (a->no_prompt || o->prompt))
		cli_misuse("--no-generation-prompt and --prompt go with --chat");
	if (a->talk.chat && (o->decode || o->special || o->no_special || o->bos || o->no_bos ||
	                     o->field))
		cli_misuse("with --chat the template says what is special");
	if (o->prompt && (o->count || o->pieces))
		cli_misuse("--prompt prints text");
	if (feed_would_wait(files))
		cli_misuse("no text: give a FILE, or text on standard input");
}

static void tell(const char *what, double opening, const struct encode_totals *t)
{
	cli_warn("%s; opened in %.3f s", what, opening);
	if (t->n_texts)
		cli_warn("%zu texts, %zu bytes, %zu ids in %.4f s (%.4f s of processor): %.1f MB/s",
		         t->n_texts, t->n_bytes, t->n_ids, t->seconds, t->processor,
		         (double)t->n_bytes / 1e6 / (t->seconds > 0 ? t->seconds : 1));
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct opened o = { 0 };
	struct tokens k;
	struct talk t = { 0 };
	struct err e = { 0 };
	struct encode_totals totals = { 0 };
	char **files = cli_parse(argc, argv, &command, &a);
	bool streams = a.tokens.decode && !a.tokens.jsonl && !a.tokens.pieces;
	double opening;
	int rc;

	check(&a, files);
	opening = cli_seconds();
	rc = open_texts(&o, &a.open, &e) || tokens_begin(&k, &a.tokens, o.tokenizer, &e);
	t.no_prompt = a.no_prompt;
	if (!rc && a.talk.chat && !(rc = talk_open(&t, &a.talk, &o, a.common.quiet, &e))) {
		k.talk = &t;
		k.mark = feed_end_mark(&a.feed);
	}
	opening = cli_seconds() - opening;
	if (!rc)
		rc = streams ? decode(&a, o.tokenizer, files, &e) :
		               encode_files(&k, &a.feed, a.threads, files, &totals, &e);
	if (!rc && a.common.verbose)
		tell(tokenizer_describe(o.tokenizer), opening, &totals);
	talk_close(&t);
	open_release(&o);
	if (rc)
		cli_die(&e);
	rc = cli_finish();
	return rc ? rc : totals.n_failed != 0;
}
