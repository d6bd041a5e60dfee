/* SPDX-License-Identifier: MIT */
/* clm-infer.c - continues texts with a language model
 *
 * Prompts come as text, ids or records; what is made goes out as it is made,
 * in the order of the prompts, however many run at once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "feed.h"
#include "keep.h"
#include "open.h"
#include "records.h"

enum { TEXT_CEILING = 256 << 20, RECORD_CEILING = 32 << 20, DEFAULT_BATCH = 64 };

struct args {
	struct cli_common common;
	struct open_options open;
	struct feed_options feed;
	struct request request;
	struct talk_options talk;
	struct form_options form;
	const char *prompt, *save, *load;
	bool ids, echo, jsonl, unordered, special;
	size_t batch, chunk, context, cache_tokens;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option input[] = {
	{ 'p', "prompt", "TEXT", CLI_TEXT, AT(prompt),
	  .help = "the prompt, or what follows each FILE's text" },
	{ 0, "ids", NULL, CLI_FLAG, AT(ids), .help = "token ids in and out, a sequence per line" },
	{ 0, "jsonl", NULL, CLI_FLAG, AT(jsonl), .help = "a JSON record per line in and out" },
	{ 0, "unordered", NULL, CLI_FLAG, AT(unordered),
	  .help = "with --jsonl, each record as soon as it is done" },
};
static const struct cli_option talk[] = {
	{ 0, "messages", "FILE", CLI_TEXT, AT(talk.messages),
	  .help = "the conversation so far, JSON; the text is what the user says then" },
	{ 0, "reasoning", "WHERE", CLI_CHOICE, AT(talk.reasoning), .words = ANSWER_REASONING,
	  .help = "show it, or not" },
};
static const struct cli_option output[] = {
	{ 0, "echo", NULL, CLI_FLAG, AT(echo), .help = "print the prompt too" },
	{ 0, "special", NULL, CLI_FLAG, AT(special), .help = "show special tokens" },
};
static const struct cli_option memory[] = {
	{ 0, "batch", "N", CLI_SIZE, AT(batch), .env = true, .min = 1, .max = 4096,
	  .help = "texts that run at once (64)" },
	{ 0, "chunk", "N", CLI_SIZE, AT(chunk), .env = true, .min = 1, .max = 65536,
	  .help = "tokens of prompts computed in one pass (512)" },
	{ 0, "context", "N", CLI_SIZE, AT(context), .env = true, .min = 1, .max = (size_t)1 << 30,
	  .help = "longest prompt and answer; the model's" },
	{ 0, "cache-tokens", "N", CLI_SIZE, AT(cache_tokens), .env = true, .min = 32,
	  .max = (size_t)1 << 32, .help = "positions kept over all texts" },
	{ 0, "save-cache", "FILE", CLI_TEXT, AT(save), .help = "keep what was computed in FILE" },
	{ 0, "load-cache", "FILE", CLI_TEXT, AT(load), .help = "go on from FILE" },
};
#define N(table) (sizeof table / sizeof *table)
static const struct cli_group groups[] = {
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Model", .option = open_adapter_table, .n = OPEN_ADAPTER_N, .base = AT(open) },
	{ .title = "Prompts", .option = input, .n = N(input) },
	{ .title = "Prompts", .option = feed_table, .n = FEED_N, .base = AT(feed) },
	{ .title = "Conversations", .option = talk_table, .n = TALK_N, .base = AT(talk) },
	{ .title = "Conversations", .option = talk, .n = N(talk) },
	{ .title = "Output", .option = output, .n = N(output) },
	{ .title = "Sampling",
	  .request = true,
	  .base = AT(request),
	  .letter = 'n',
	  .letter_of = "max_tokens" },
	{ .title = "Sampling", .option = form_table, .n = FORM_N, .base = AT(form) },
	{ .title = "Memory", .option = memory, .n = N(memory) },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "-m MODEL [OPTION...] -p TEXT\n-m MODEL [OPTION...] [FILE...]\n"
	            "-m MODEL [OPTION...] --chat [--messages FILE] [-p TEXT | FILE...]\n"
	            "-m MODEL [OPTION...] --jsonl [FILE...]",
	.about = "Continues text with a language model.",
	.group = groups,
	.n_groups = N(groups),
};

struct infer {
	const struct args *a;
	struct opened o;
	struct request request;   /* of every text */
	struct talk talk;         /* --chat */
	struct answer_form form;
	struct jobs jobs;
	struct feed *feed;
	struct record_rules rules;
	struct bytes mark;        /* after each text */
	struct kv_seq *cache;     /* loaded, until the job has it */
	bool one;                 /* one text, not a line of many */
	struct progress progress;
};

/* ---- showing */

static void show(void *arg, struct job *j)
{
	struct infer *x = arg;

	if (x->a->jsonl && !j->ended)
		return;
	progress_clear(&x->progress);
	if (x->a->jsonl) {
		record_put(&x->rules, j);
		return;
	}
	if (j->ended && j->reason == END_ERROR) {
		if (x->one) {
			if (j->begun)
				cli_put(x->mark.p, x->mark.n);
			cli_die(&j->err);
		}
		cli_warn("text %zu: %s", j->number, j->err.text);
	}
	if (x->a->talk.chat) {
		answer_put(j, x->a->echo, (enum answer_reasoning)x->a->talk.reasoning, x->mark);
	} else if (x->a->ids) {
		job_put_ids(j, x->a->echo);
	} else {
		job_put_text(j, x->a->echo, x->mark);
	}
	j->begun = true;
	cli_flush();
}

/* ---- prompts */

/* The text's tokens; behind a loaded cache nothing is put before them. */
static int tokens(const struct infer *x, struct job *j, struct bytes text, struct err *e)
{
	unsigned flags = ENCODE_PARSE_SPECIAL | (x->a->load ? 0u : ENCODE_ADD_SPECIAL);

	return tokenizer_encode(x->o.tokenizer, text, flags, &j->prompt, e);
}

static int fill(struct infer *x, struct job *j, struct bytes text, struct err *e)
{
	const char *p = x->a->prompt;

	if (x->a->ids)
		return feed_ids(&j->prompt, text, e) ||
		       (p && x->feed && feed_ids(&j->prompt, bytes_of(p), e));
	buf_add(&j->text, text.p, text.n);
	if (p && x->feed) {
		buf_add_byte(&j->text, '\n');
		buf_add_text(&j->text, p);
	}
	if (buf_check(&j->text, e))
		return -1;
	if (x->a->talk.chat)
		return answer_turn(j, &x->talk, text.p ? buf_bytes(&j->text) : text, e);
	return tokens(x, j, buf_bytes(&j->text), e);
}

static struct job *text_job(struct infer *x, struct bytes text, struct err *e)
{
	struct job *j = job_new(&x->request, e);

	if (!j || fill(x, j, text, &j->err) == 0)
		return j;
	j->ended = true;
	j->reason = END_ERROR;
	return j;
}

/* The next job; NULL: none now (FEED_LATER), none any more, or failed. */
static struct job *next_job(struct infer *x, bool wait, enum feed_result *r, struct err *e)
{
	struct bytes text;
	struct job *j;

	do {
		*r = feed_next(x->feed, wait, &text, e);
	} while (x->a->jsonl && *r == FEED_TEXT && strspn((const char *)text.p, " \t\r") >= text.n);
	if (*r != FEED_TEXT && *r != FEED_LONG)
		return NULL;
	if (*r == FEED_LONG) {
		struct err why;

		err_set(&why, ERR_INPUT, "a text of over %d bytes",
		        x->a->jsonl ? RECORD_CEILING : TEXT_CEILING);
		j = record_refused(&x->rules, feed_number(x->feed), &why, e);
	} else if (x->a->jsonl) {
		j = record_job(&x->rules, feed_number(x->feed), text, e);
	} else {
		j = text_job(x, text, e);
	}
	if (!j)
		*r = FEED_ERROR;
	return j;
}

/* ---- running */

static void tell_progress(struct infer *x)
{
	const struct job *j = x->jobs.first;
	char text[64];
	size_t done, all;

	if (!j || !j->session || !session_seq(j->session) || x->jobs.made_tokens)
		return;
	done = kv_computed(session_seq(j->session));
	all = session_prompt_tokens(j->session);
	snprintf(text, sizeof text, "%zu of %zu tokens", done, all);
	progress_at(&x->progress, (double)done, (double)all, text);
}

static int run(struct infer *x, struct job *first, struct err *e)
{
	size_t window = 4 * (x->a->batch ? x->a->batch : DEFAULT_BATCH);
	enum feed_result r = x->feed ? FEED_TEXT : FEED_END;

	if (first) {
		jobs_add(&x->jobs, first, x->cache);
		x->cache = NULL;
	}
	for (;;) {
		while (r != FEED_END && x->jobs.n < window && !cli_interrupted()) {
			struct job *j = next_job(x, !x->jobs.n, &r, e);

			if (r == FEED_ERROR)
				return -1;
			if (!j)
				break;
			jobs_add(&x->jobs, j, NULL);
		}
		if (!x->jobs.n && r != FEED_LATER)
			break;
		if (jobs_step(&x->jobs, e))
			return -1;
		tell_progress(x);
		if (cli_interrupted())
			break;
		if (r == FEED_LATER)
			r = FEED_TEXT;
	}
	return 0;
}

/* ---- opening */

static size_t cache_tokens(const struct infer *x, const struct job *first, struct err *e)
{
	const struct args *a = x->a;
	size_t batch = a->batch ? a->batch : DEFAULT_BATCH, most, need;

	if (a->cache_tokens)
		return a->cache_tokens;
	most = open_cache_tokens(&x->o, first ? 1 : batch, a->context, e);
	if (!first || a->load || !most)
		return most;
	/* one text: what it can need, and a page to complete a kept cache */
	need = first->prompt.n + a->request.max_tokens + 2 * PAGE_POSITIONS;
	return need < most ? need : most;
}

static int open_batch(struct infer *x, const struct job *first, struct err *e)
{
	const struct args *a = x->a;
	struct batch_options b = { .max_sessions = a->batch ? a->batch : DEFAULT_BATCH,
		                   .chunk = a->chunk,
		                   .context = a->context,
		                   .keep_special = a->special || a->talk.chat };
	struct model_options m = { .max_rows = a->chunk > 512 ? a->chunk : 0 };
	struct batch_events events = jobs_events(&x->jobs);

	if (open_device(&x->o, &a->open, a->common.verbose, e))
		return -1;
	if (first)
		b.max_sessions = 1;
	m.kv_tokens = cache_tokens(x, first, e);
	m.max_out = b.max_sessions;
	if (!m.kv_tokens || open_weights(&x->o, &m, a->common.quiet, e) ||
	    (a->load && keep_load(&x->cache, &x->o, a->load, e)))
		return -1;
	return batch_open(&x->jobs.batch, x->o.model, x->o.tokenizer, &b, &events, e);
}

static int infer(struct infer *x, struct err *e)
{
	struct bytes prompt = { 0 };
	struct job *first = NULL;
	enum feed_result r = FEED_END;
	bool formed = form_asked(&x->a->form);
	int rc;

	if (x->a->prompt)
		prompt = bytes_of(x->a->prompt);
	if (open_files(&x->o, &x->a->open, e))
		return -1;
	/* ids alone need no tokenizer */
	if ((!x->a->ids || x->a->jsonl || formed) && open_tokenizer(&x->o, e))
		return -1;
	/* a conversation's prompt tells whether the answer begins with reasoning */
	if (formed && form_open(&x->form, &x->a->form, x->o.tokenizer,
	                        x->a->talk.chat ? NULL : &x->request, e))
		return -1;
	x->rules.tokenizer = x->jobs.tokenizer = x->o.tokenizer;
	if (x->a->talk.chat) {
		if (talk_open(&x->talk, &x->a->talk, &x->o, x->a->common.quiet, e))
			return -1;
		x->rules.talk = &x->talk;
		x->talk.form = formed ? &x->form : NULL;
	}
	if (x->one) {
		first = x->feed ? next_job(x, true, &r, e) : text_job(x, prompt, e);
		if (!first)
			return r == FEED_ERROR ? -1 : 0;
		if (first->ended) {
			*e = first->err;
			job_free(first);
			return -1;
		}
	}
	if (open_batch(x, first, e)) {
		job_free(first);
		return -1;
	}
	cli_interrupt_softly();
	progress_begin(&x->progress, "prompt", &x->a->common);
	rc = run(x, first, e);
	progress_clear(&x->progress);
	if (!x->a->jsonl)
		jobs_cut_short(&x->jobs, x->a->ids, x->mark);
	if (x->a->common.verbose)
		jobs_tell(&x->jobs, x->one);
	return rc == 0 && x->a->save ? keep_save(&x->o, x->a->save, &x->jobs, e) : rc;
}

static void check(const struct args *a, char **files)
{
	bool many = a->jsonl || a->feed.lines || a->feed.zero || (files[0] && files[1]);

	if (a->jsonl && (a->prompt || a->talk.messages || a->feed.lines || a->feed.zero || a->feed.raw))
		cli_misuse("--jsonl takes its prompts from records");
	if (a->unordered && !a->jsonl)
		cli_misuse("--unordered goes with --jsonl");
	if (a->request.logprobs && !a->jsonl)
		cli_misuse("--logprobs goes with --jsonl");
	if ((a->save || a->load) && many)
		cli_misuse("--save-cache and --load-cache go with one text");
	talk_check(&a->talk);
	if (a->talk.chat && (a->load || (a->ids && !a->jsonl)))
		cli_misuse("--chat does not go with --ids or --load-cache");
	if (!a->prompt && !a->talk.messages && feed_would_wait(files))
		cli_misuse("no prompt: give -p TEXT, a FILE, or text on standard input");
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct infer x = { .a = &a };
	struct err e = { 0 };
	char **files;
	enum feed_cut cut;
	size_t failed;
	int rc;

	request_init(&a.request);
	files = cli_parse(argc, argv, &command, &a);
	check(&a, files);
	x.request = a.request;
	cut = a.jsonl || (a.ids && !a.save && !a.load) ? FEED_LINES : feed_cut(&a.feed);
	x.one = ((a.prompt || a.talk.messages) && !files[0]) ||
	        ((cut == FEED_WHOLE || cut == FEED_RAW) && !(files[0] && files[1]));
	x.mark = feed_end_mark(&a.feed);
	x.rules = (struct record_rules){ .request = &x.request, .echo = a.echo, .with_ids = a.ids };
	x.jobs = (struct jobs){ .unordered = a.unordered,
		                .keep_ids = a.ids,
		                .keep_cache = a.save,
		                .show = show,
		                .arg = &x };
	rc = ((!a.prompt && !a.talk.messages) || files[0]) &&
	     feed_open(&x.feed, files, cut, a.jsonl ? RECORD_CEILING : TEXT_CEILING, &e);
	if (rc == 0)
		rc = infer(&x, &e);
	failed = x.jobs.n_failed;
	jobs_release(&x.jobs);
	talk_close(&x.talk);
	kv_seq_close(x.cache);
	open_release(&x.o);
	feed_close(x.feed);
	form_close(&x.form);
	request_release(&x.request);
	if (rc)
		cli_die(&e);
	rc = cli_finish();
	return rc ? rc : failed ? 1 : 0;
}
