/* SPDX-License-Identifier: MIT */
/* clm-score.c - how likely a model finds a text */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "gen/gen.h"
#include "open.h"

enum { TEXT_CEILING = 1 << 30, DEFAULT_WINDOW = 2048 };

struct args {
	struct cli_common common;
	struct open_options open;
	struct feed_options feed;
	size_t window, first;
	const char *prompt;
	int boundary;          /* 1: tokens */
	bool tokens, ids, bos_each, whole_only, no_special;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 'p', "prompt", "TEXT", CLI_TEXT, AT(prompt),
	  .help = "score each text as what follows TEXT, which is not scored" },
	{ 0, "boundary", "HOW", CLI_CHOICE, AT(boundary), .words = "text tokens",
	  .help = "text: the prompt's tokens begin the whole's; tokens: joined" },
	{ 0, "tokens", NULL, CLI_FLAG, AT(tokens),
	  .help = "a line per scored token: text, place, id, ln p" },
	{ 'w', "window", "N", CLI_SIZE, AT(window), .env = true, .min = 2, .max = (size_t)1 << 24,
	  .help = "tokens that see each other; a longer text is cut (2048)" },
	{ 0, "first", "K", CLI_SIZE, AT(first), .min = 1, .max = (size_t)1 << 24,
	  .help = "the first place of a window that is scored (1)" },
	{ 0, "bos-each", NULL, CLI_FLAG, AT(bos_each),
	  .help = "BOS in place of each window's first token" },
	{ 0, "whole-only", NULL, CLI_FLAG, AT(whole_only),
	  .help = "leave out a last window that is not full" },
	{ 0, "ids", NULL, CLI_FLAG, AT(ids),
	  .help = "the input is token ids, a sequence per line" },
	{ 0, "no-special", NULL, CLI_FLAG, AT(no_special),
	  .help = "do not add what the tokenizer adds (BOS, ...)" },
};
static const struct cli_group groups[] = {
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Model", .option = open_adapter_table, .n = OPEN_ADAPTER_N, .base = AT(open) },
	{ .title = "Scoring", .option = options, .n = sizeof options / sizeof *options },
	{ .title = "Texts", .option = feed_table, .n = FEED_N, .base = AT(feed) },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "-m MODEL [OPTION...] [FILE...]",
	.about = "Prints how likely a model finds each text: tokens, scored tokens, -ln p, perplexity.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

static void print_number(double v, char end)
{
	cli_printf("%.9g%c", v, end);
}

/* The ids of prompt and text; where the text's begin. */
static int encode(const struct args *a, const struct opened *o, struct bytes text, struct ids *ids,
                  size_t *first, struct err *e)
{
	unsigned flags = ENCODE_PARSE_SPECIAL | (a->no_special ? 0u : ENCODE_ADD_SPECIAL);
	struct bytes prompt = bytes_of(a->prompt);
	struct ids alone = { 0 };
	struct buf whole = { 0 };
	int bad = tokenizer_encode(o->tokenizer, prompt, flags, a->boundary ? ids : &alone, e);

	if (a->boundary) {
		*first = ids->n;
		bad = bad || tokenizer_encode(o->tokenizer, text, ENCODE_PARSE_SPECIAL, ids, e);
	} else {
		buf_add(&whole, prompt.p, prompt.n);
		buf_add(&whole, text.p, text.n);
		*first = alone.n;
		bad = bad || buf_check(&whole, e) ||
		      tokenizer_encode(o->tokenizer, buf_bytes(&whole), flags, ids, e);
		if (!bad && (ids->n < alone.n ||
		             memcmp(ids->id, alone.id, alone.n * sizeof *alone.id)))
			bad = err_set(e, ERR_INPUT, "a token spans the end of the prompt: move the border, "
			              "or give --boundary tokens");
	}
	if (!bad && !*first)
		bad = err_set(e, ERR_INPUT, "--prompt: no tokens");
	ids_release(&alone);
	buf_release(&whole);
	return bad ? -1 : 0;
}

static void show_token(void *arg, size_t at, int32_t id, double logprob)
{
	cli_printf("%zu\t%zu\t%d\t%.9g\n", *(const size_t *)arg, at, (int)id, logprob);
}

static int score_one(const struct args *a, const struct opened *o, struct bytes text, size_t number,
                     struct ids *ids, struct err *e)
{
	struct score_options so = {
		.window = a->window, .first = a->first, .whole_only = a->whole_only, .bos = -1
	};
	struct score s;
	unsigned flags = ENCODE_PARSE_SPECIAL | (a->no_special ? 0u : ENCODE_ADD_SPECIAL);

	ids->n = 0;
	if (a->bos_each) {
		so.bos = o->tokenizer ? tokenizer_bos(o->tokenizer) : model_config(o->model)->bos;
		if (so.bos < 0)
			return err_set(e, ERR_INPUT, "--bos-each: the model has no BOS token");
	}
	if (a->tokens) {
		so.token = show_token;
		so.arg = &number;
	}
	if (a->prompt ? encode(a, o, text, ids, &so.first, e) :
	    a->ids    ? feed_ids(ids, text, e) :
	                tokenizer_encode(o->tokenizer, text, flags, ids, e))
		return -1;
	if (a->prompt && ids->n > a->window)
		return err_set(e, ERR_INPUT, "prompt and text: at most the window's %zu tokens, found %zu",
		               a->window, ids->n);
	if (score_ids(o->model, ids->id, ids->n, &so, &s, e))
		return -1;
	if (a->tokens) {
		cli_flush();
		return 0;
	}
	cli_printf("%zu\t%zu\t", ids->n, s.n);
	print_number(s.nll, '\t');
	print_number(s.n ? exp(s.nll / (double)s.n) : NAN, '\n');
	cli_flush();
	return 0;
}

static int score_all(const struct args *a, const struct opened *o, char **files, struct err *e)
{
	enum feed_cut cut = a->ids ? FEED_LINES : feed_cut(&a->feed);
	struct feed *f = NULL;
	struct ids ids = { 0 };
	struct bytes text;
	enum feed_result r = FEED_ERROR;

	cli_puts(a->tokens ? "text\tplace\tid\tlogprob\n" : "tokens\tscored\tnll\tppl\n");
	if (feed_open(&f, files, cut, TEXT_CEILING, e) == 0)
		while ((r = feed_next(f, true, &text, e)) == FEED_TEXT)
			if (score_one(a, o, text, feed_number(f), &ids, e)) {
				r = err_in(e, "%s: text %zu", feed_file(f), feed_number(f));
				break;
			}
	if (r == FEED_LONG)
		r = err_set(e, ERR_INPUT, "%s: text %zu: over %d bytes", feed_file(f),
		            feed_number(f), TEXT_CEILING);
	ids_release(&ids);
	feed_close(f);
	return r == FEED_ERROR ? -1 : 0;
}

/* One window at a time, and no more of the cache than that. */
static int open_all(struct opened *o, struct args *a, struct err *e)
{
	struct model_options m = { 0 };
	struct config c;

	if (open_files(o, &a->open, e) || (!a->ids && open_tokenizer(o, e)))
		return -1;
	if (config_read(&c, o->source, e))
		return err_in(e, "%s", source_path(o->source));
	if (!a->window)
		a->window = c.max_pos < DEFAULT_WINDOW ? c.max_pos : DEFAULT_WINDOW;
	config_release(&c);
	if (a->first >= a->window)
		cli_misuse("--first: expected less than the window's %zu, found %zu", a->window, a->first);
	m.kv_tokens = a->window + PAGE_POSITIONS;
	return open_device(o, &a->open, a->common.verbose, e) ||
	       open_weights(o, &m, a->common.quiet, e) ? -1 : 0;
}

int main(int argc, char **argv)
{
	struct args a = { .first = 1 };
	struct opened o = { 0 };
	struct err e = { 0 };
	char **files = cli_parse(argc, argv, &command, &a);
	int rc;

	if (a.prompt && (a.ids || a.bos_each || a.first > 1))
		cli_misuse("--prompt goes without --ids, --bos-each and --first");
	if (a.boundary && !a.prompt)
		cli_misuse("--boundary goes with --prompt");
	if (feed_would_wait(files))
		cli_misuse("no text: give a FILE, or text on standard input");
	rc = open_all(&o, &a, &e) || score_all(&a, &o, files, &e);
	open_release(&o);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
