/* SPDX-License-Identifier: MIT */
/* clm-score.c - how likely a model finds texts, and what it expects next */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "open.h"
#include "scoring.h"

enum { TEXT_CEILING = 1 << 30, RECORD_CEILING = 32 << 20, DEFAULT_WINDOW = 2048, BATCH = 64 };

enum definition { DEFINITION_OWN, DEFINITION_MLX_LM, DEFINITION_LLAMA_CPP };
enum { DEFINED_WINDOW = 512 }; /* of both */
struct args {
	struct cli_common common;
	struct open_options open;
	struct feed_options feed;
	size_t window, first, top;
	const char *prompt, *trace, *against, *scales;
	int boundary, format, definition;
	bool tokens, ids, jsonl, bos_each, whole_only, no_special, no_cache;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 'p', "prompt", "TEXT", CLI_TEXT, AT(prompt),
	  .help = "score each text as what follows TEXT, which is not scored" },
	{ 0, "boundary", "HOW", CLI_CHOICE, AT(boundary), .words = "text tokens",
	  .help = "text: the prompt's tokens begin the whole's; tokens: joined" },
	{ 0, "tokens", NULL, CLI_FLAG, AT(tokens),
	  .help = "each scored token: text, place, id, ln p" },
	{ 0, "top", "K", CLI_SIZE, AT(top), .min = 1, .max = (size_t)1 << 20,
	  .help = "the K likeliest ids after each text, and what the others have" },
	{ 0, "perplexity", "NAME", CLI_CHOICE, AT(definition), .words = "own mlx-lm llama.cpp",
	  .help = "as that program defines it: own, mlx-lm or llama.cpp" },
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
	{ 0, "jsonl", NULL, CLI_FLAG, AT(jsonl), .help = "a JSON record per line in and out" },
	{ 'f', "format", "FORMAT", CLI_CHOICE, AT(format), .words = "auto tsv jsonl",
	  .help = "of the output: auto, tsv or jsonl" },
	{ 0, "no-special", NULL, CLI_FLAG, AT(no_special),
	  .help = "do not add what the tokenizer adds (BOS, ...)" },
	{ 0, "no-cache", NULL, CLI_FLAG, AT(no_cache), .env = true,
	  .help = "compute what is known from before, and keep nothing" },
	{ 0, "trace", "FILE", CLI_TEXT, AT(trace), .help = "a record of every text's scoring" },
};
static const struct cli_option differing[] = {
	{ 0, "against", "MODEL", CLI_TEXT, AT(against), .help = "diff: the model beside BASE" },
	{ 0, "scale", "LIST", CLI_TEXT, AT(scales),
	  .help = "diff: strengths of the adapters, 0,0.5,1 (1)" },
};
static const struct cli_group groups[] = {
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Model", .option = open_adapter_table, .n = OPEN_ADAPTER_N, .base = AT(open) },
	{ .title = "Scoring", .option = options, .n = sizeof options / sizeof *options },
	{ .title = "Difference", .option = differing,
	  .n = sizeof differing / sizeof *differing },
	{ .title = "Texts", .option = feed_table, .n = FEED_N, .base = AT(feed) },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "-m MODEL [OPTION...] [FILE...]\n"
	            "diff BASE --adapter DIR [--scale LIST] [OPTION...] [FILE...]\n"
	            "diff BASE --against MODEL [OPTION...] [FILE...]",
	.about = "Prints how likely a model finds each text: tokens, scored tokens, -ln p, perplexity.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

/* ---- perplexity as others define it */

/* The tokenizer puts BOS before a text. */
static int adds_bos(const struct opened *o, bool *yes, struct err *e)
{
	struct ids v = { 0 };
	int32_t bos = tokenizer_bos(o->tokenizer);

	if (tokenizer_encode(o->tokenizer, (struct bytes){ 0 }, ENCODE_ADD_SPECIAL, &v, e))
		return -1;
	*yes = bos >= 0 && v.n && v.id[0] == bos;
	ids_release(&v);
	return 0;
}

/* mlx-lm: texts in a row, each ended by EOS, cut into whole windows, all but
 * the first token of which are scored. llama.cpp: each text in whole windows
 * that begin with BOS, of which the second half is scored. */
static int define(struct scoring *s, const struct args *a, const struct opened *o, struct err *e)
{
	static const char *const names[] = { NULL, "mlx-lm", "llama.cpp" };
	const struct config *c = model_config(o->model);
	struct score_options *so = &s->rules.o;
	bool bos = false;

	if (a->definition == DEFINITION_OWN)
		return 0;
	s->tell.definition = names[a->definition];
	so->whole_only = true;
	if (a->definition == DEFINITION_MLX_LM) {
		s->joined = true;
		s->end = c->n_eos ? c->eos[0] : -1;
		s->least = so->window;
		return 0;
	}
	if (!a->ids && !a->no_special && adds_bos(o, &bos, e))
		return -1;
	so->bos = bos ? tokenizer_bos(o->tokenizer) : -1;
	so->first = so->window / 2 + 1;
	s->least = 2 * so->window;
	return 0;
}

/* ---- opening */

/* One text: a window, and no more of the cache than that. */
static int open_model(struct opened *o, struct args *a, bool many, struct err *e)
{
	struct model_options m = { 0 };
	struct config c;
	size_t usual = a->definition ? DEFINED_WINDOW : DEFAULT_WINDOW;

	if (open_files(o, &a->open, e) || ((!a->ids || a->jsonl) && open_tokenizer(o, e)))
		return -1;
	if (config_read(&c, o->source, e))
		return err_in(e, "%s", source_path(o->source));
	if (!a->window)
		a->window = c.max_pos < usual ? c.max_pos : usual;
	config_release(&c);
	if (a->first >= a->window)
		cli_misuse("--first: expected less than the window's %zu, found %zu", a->window, a->first);
	if (open_device(o, &a->open, a->common.verbose, e))
		return -1;
	m.kv_tokens = a->window + PAGE_POSITIONS;
	if (many) {
		size_t more = open_cache_tokens(o, BATCH, a->window, e);

		if (!more)
			return -1;
		m.kv_tokens = more > m.kv_tokens ? more : m.kv_tokens;
	}
	return open_weights(o, &m, a->common.quiet, e);
}

static int set_rules(struct scoring *s, const struct args *a, const struct opened *o,
                     struct err *e)
{
	struct task_rules *r = &s->rules;

	r->tokenizer = o->tokenizer;
	r->no_special = a->no_special;
	r->ids = a->ids;
	r->tokens = a->tokens;
	r->boundary = a->boundary;
	if (a->prompt)
		r->prompt = bytes_of(a->prompt);
	r->o = (struct score_options){ .window = a->window, .first = a->first, .bos = -1,
		                       .whole_only = a->whole_only, .top = a->top,
		                       .adapter = o->adapters.set.n > 0 };
	if (!a->bos_each)
		return 0;
	r->o.bos = o->tokenizer ? tokenizer_bos(o->tokenizer) : model_config(o->model)->bos;
	return r->o.bos >= 0 ? 0 : err_set(e, ERR_INPUT, "--bos-each: the model has no BOS token");
}

/* "base", or the adapters as they were named. */
static int name_view(struct buf *out, const struct cli_texts *adapters, struct err *e)
{
	for (size_t i = 0; i < adapters->n; i++)
		buf_printf(out, "%s%s", i ? " " : "", adapters->text[i]);
	if (!adapters->n)
		buf_add_text(out, "base");
	return buf_check(out, e);
}

static int score(struct scoring *s, struct args *a, struct opened *o, char **files, struct err *e)
{
	enum feed_cut cut = a->jsonl || a->ids ? FEED_LINES : feed_cut(&a->feed);
	bool many = a->jsonl || a->ids || a->feed.lines || a->feed.zero || (files[0] && files[1]);
	struct buf view = { 0 };
	int rc;

	s->records = a->jsonl;
	s->known.verbose = a->common.verbose > 0;
	s->tell = (struct tell){ .records = a->format ? a->format == 2 : a->jsonl,
		                 .ids = a->jsonl, .tokens = a->tokens, .top = a->top };
	if (open_model(o, a, many && !a->definition, e) || set_rules(s, a, o, e) ||
	    define(s, a, o, e) || name_view(&view, &a->open.adapters, e) ||
	    (!a->no_cache && known_open(&s->known, o, &a->open, e)) ||
	    known_trace(&s->known, a->trace, e) ||
	    feed_open(&s->feed, files, cut, a->jsonl ? RECORD_CEILING : TEXT_CEILING, e)) {
		buf_release(&view);
		return -1;
	}
	s->known.view = (const char *)view.p;
	cli_interrupt_softly();
	rc = scoring_run(s, o->model, e);
	if (rc == 0)
		rc = known_close(&s->known, e);
	if (a->common.verbose)
		cli_warn("texts=%zu failed=%zu cached=%zu tokens=%zu passes=%zu", s->n_done, s->n_failed,
		         s->known.n_known, s->n_tokens, s->n_passes);
	buf_release(&view);
	return rc;
}

static void check(const struct args *a, char **files)
{
	bool windows = a->bos_each || a->first > 1 || a->whole_only;

	if (a->prompt && (a->ids || a->bos_each || a->first > 1))
		cli_misuse("--prompt goes without --ids, --bos-each and --first");
	if (a->boundary && !a->prompt && !a->jsonl)
		cli_misuse("--boundary goes with --prompt");
	if (a->jsonl && (a->prompt || a->ids || a->feed.lines || a->feed.zero || a->feed.raw))
		cli_misuse("--jsonl takes prompts, texts and ids from records");
	if (a->top && (a->prompt || a->tokens || windows))
		cli_misuse("--top goes without --prompt, --tokens and options of windows");
	if (a->definition && (a->prompt || a->top || windows || a->jsonl))
		cli_misuse("--perplexity goes without --prompt, --top, --jsonl and options of windows "
		           "but -w");
	if (a->against || a->scales)
		cli_misuse("--against and --scale go with diff");
	if (feed_would_wait(files))
		cli_misuse("no text: give a FILE, or text on standard input");
}

/* ---- diff */

/* Past "diff" and the base, unless -m names it. */
static int diff(struct args *a, char **files, size_t *n_failed, struct err *e)
{
	struct diff_options d = { .open = &a->open, .against = a->against, .scales = a->scales,
		                  .window = a->window, .ids = a->ids, .no_special = a->no_special,
		                  .jsonl = a->jsonl, .boundary = a->boundary,
		                  .records = a->format == 2 || a->jsonl, .quiet = a->common.quiet,
		                  .verbose = a->common.verbose, .feed = a->feed };

	files++;
	if (!a->open.model)
		a->open.model = *files ? *files++ : NULL;
	if (a->prompt || a->tokens || a->top || a->definition || a->bos_each ||
	    a->whole_only || a->first > 1 || a->trace)
		cli_misuse("diff takes --adapter, --scale, --against, -w, --ids, --jsonl, -f and options "
		           "of texts");
	if (a->jsonl && (a->format == 1 || a->ids || a->feed.lines || a->feed.zero || a->feed.raw))
		cli_misuse("--jsonl takes texts and ids from records, and writes records");
	if (feed_would_wait(files))
		cli_misuse("no text: give a FILE, or text on standard input");
	return diff_texts(&d, files, n_failed, e);
}

int main(int argc, char **argv)
{
	struct args a = { .first = 1 };
	struct scoring s = { 0 };
	struct opened o = { 0 };
	struct err e = { 0 };
	char **files = cli_parse(argc, argv, &command, &a);
	size_t failed = 0;
	int rc;

	if (files[0] && !strcmp(files[0], "diff")) {
		rc = diff(&a, files, &failed, &e);
	} else {
		check(&a, files);
		rc = score(&s, &a, &o, files, &e);
	}
	failed += s.n_failed;
	scoring_release(&s);
	open_release(&o);
	if (rc)
		cli_die(&e);
	rc = cli_finish();
	return rc ? rc : failed ? 1 : 0;
}
