/* SPDX-License-Identifier: MIT */
/* clm-bench.c - how fast a model runs, and how fast it could */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "open.h"
#include "util/num.h"

enum { ROWS = 512, MOST = 1 << 24, WORD = 32 };

struct args {
	struct cli_common common;
	struct open_options open;
	const char *synthetic, *save, *bits, *prompt, *make, *depth, *batch;
	size_t group, runs;
	int format;
	bool ops;
	struct bench_form form[BENCH_LIST];
	size_t n_forms;
	char name[128];
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option what[] = {
	{ 0, "synthetic", "SHAPE", CLI_TEXT, AT(synthetic),
	  .words = "tinyllama-1.1b llama-1b llama-3b llama-8b qwen-0.5b qwen3-0.6b qwen3-30b-a3b "
	          "lfm2-1.2b tiny",
	  .help = "random weights of this shape in place of a model" },
	{ 0, "bits", "LIST", CLI_TEXT, AT(bits), .words = "2 3 4 5 6 8 f16 bf16 f32",
	  .help = "their forms, each in turn: 2 to 8, f16, bf16, f32 (4)" },
	{ 0, "group", "N", CLI_SIZE, AT(group), .min = 16, .max = 128,
	  .help = "weights that share a scale: 16, 32, 64 or 128 (64)" },
	{ 0, "save", "DIR", CLI_TEXT, AT(save),
	  .help = "write them there as a model, and time nothing" },
	{ 0, "ops", NULL, CLI_FLAG, AT(ops),
	  .help = "time each kind of kernel alone, with its error against ref" },
};
static const struct cli_option tests[] = {
	{ 'p', "prompt", "LIST", CLI_TEXT, AT(prompt),
	  .help = "tokens of a prompt (512); 0 is none" },
	{ 'n', "make", "LIST", CLI_TEXT, AT(make),
	  .help = "tokens made in a run (128); 0 is none" },
	{ 'd', "depth", "LIST", CLI_TEXT, AT(depth),
	  .help = "positions that lie before them (0)" },
	{ 'b', "batch", "LIST", CLI_TEXT, AT(batch),
	  .help = "sequences that decode side by side (1)" },
	{ 'r', "runs", "N", CLI_SIZE, AT(runs), .min = 1, .max = BENCH_RUNS,
	  .help = "runs of each test (5)" },
	{ 0, "format", "NAME", CLI_CHOICE, AT(format), .words = LINES_FORMATS,
	  .help = "tsv, jsonl, or md for a table that people read" },
};
static const struct cli_group groups[] = {
	{ .title = "What to run", .option = what, .n = sizeof what / sizeof *what },
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Tests", .option = tests, .n = sizeof tests / sizeof *tests },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "[OPTION...] MODEL\n[OPTION...] --synthetic SHAPE",
	.about = "Times prompts and decode, and the limits of the device beside them.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

/* ---- lists */

/* Calls take() with each of the words between commas; none is empty. */
static void each(struct args *a, const char *option, const char *text,
                 void (*take)(struct args *a, const char *option, const char *word, void *to),
                 void *to)
{
	for (const char *p = text;; p++) {
		size_t n = strcspn(p, ",");
		char word[WORD];

		if (!n || n >= sizeof word)
			cli_misuse("%s: expected values with commas between, found \"%s\"", option, text);
		memcpy(word, p, n);
		word[n] = 0;
		take(a, option, word, to);
		p += n;
		if (!*p)
			return;
	}
}

static void take_number(struct args *a, const char *option, const char *word, void *to)
{
	struct bench_list *l = to;
	size_t v;

	(void)a;
	if (!num_size(&v, word) || v > MOST)
		cli_misuse("%s: expected numbers from 0 to %d, found \"%s\"", option, MOST, word);
	if (l->n == BENCH_LIST)
		cli_misuse("%s: more than %d values", option, BENCH_LIST);
	l->at[l->n++] = v;
}

static void take_form(struct args *a, const char *option, const char *word, void *to)
{
	static const struct { const char *name; enum dtype dtype; } floats[] = {
		{ "f16", DT_F16 }, { "bf16", DT_BF16 }, { "f32", DT_F32 },
	};
	struct bench_form f = { .group = (unsigned)a->group, .dtype = DT_F16 };
	size_t bits;

	(void)to;
	for (size_t i = 0; i < sizeof floats / sizeof *floats; i++)
		if (!strcmp(word, floats[i].name)) {
			f.dtype = floats[i].dtype;
			snprintf(f.name, sizeof f.name, "%s", word);
		}
	if (!*f.name) {
		if (!num_size(&bits, word) || bits < 2 || bits > 8 || bits == 7)
			cli_misuse("%s: expected 2, 3, 4, 5, 6, 8, f16, bf16 or f32, found \"%s\"", option,
			           word);
		f.bits = (unsigned)bits;
		snprintf(f.name, sizeof f.name, "q%ug%u", f.bits, f.group);
	}
	if (a->n_forms == BENCH_LIST)
		cli_misuse("%s: more than %d values", option, BENCH_LIST);
	a->form[a->n_forms++] = f;
}

static void read_lists(struct args *a, struct bench *b)
{
	if (a->group != 16 && a->group != 32 && a->group != 64 && a->group != 128)
		cli_misuse("--group: expected 16, 32, 64 or 128, found %zu", a->group);
	each(a, "--prompt", a->prompt, take_number, &b->prompt);
	each(a, "--make", a->make, take_number, &b->make);
	each(a, "--depth", a->depth, take_number, &b->depth);
	each(a, "--batch", a->batch, take_number, &b->batch);
	for (size_t i = 0; i < b->batch.n; i++)
		if (!b->batch.at[i] || b->batch.at[i] > BENCH_BATCH)
			cli_misuse("--batch: expected numbers from 1 to %d, found %zu", BENCH_BATCH,
			           b->batch.at[i]);
	each(a, "--bits", a->bits ? a->bits : "4", take_form, NULL);
}

/* ---- what a file's weights are, in a word */

static void form_of(struct bench_form *f, const struct source *s, const struct config *c)
{
	size_t by[DT_COUNT] = { 0 };
	struct affine_form affine;
	enum dtype most = c->dtype;

	*f = (struct bench_form){ .bits = c->quant_bits, .group = c->quant_group, .dtype = c->dtype };
	for (size_t i = 0; i < source_count(s); i++) {
		const struct tensor *t = source_tensor(s, i);
		size_t n;

		if (shape_bytes(&n, t->dtype, &t->shape))
			by[t->dtype] += n;
		most = by[t->dtype] > by[most] ? t->dtype : most;
	}
	snprintf(f->name, sizeof f->name, "%s", dtype_info(most)->name);
	if (c->quant_bits) {
		snprintf(f->name, sizeof f->name, "q%ug%u", f->bits, f->group);
	} else if (affine_form_of(&affine, most)) {
		f->bits = affine.bits;
		f->group = affine.group;
		f->dtype = affine.scale;
	} else {
		f->dtype = dtype_info(most)->is_float ? most : DT_F32;
	}
}

/* The last part of a path, as lines show it. */
static void base_name(char *out, size_t room, const char *path)
{
	size_t end = strlen(path), begin;

	while (end > 1 && path[end - 1] == '/')
		end--;
	begin = end;
	while (begin && path[begin - 1] != '/')
		begin--;
	snprintf(out, room, "%.*s", (int)(end - begin), path + begin);
	for (; *out; out++)
		*out = (unsigned char)*out < ' ' ? '_' : *out;
}

/* ---- one model in one form */

static int run_form(struct bench *b, struct opened *o, const struct args *a,
                    const struct bench_form *form, const struct config *c, struct err *e)
{
	struct model_options m = { .max_rows = ROWS, .max_out = 1 };
	double begin = cli_seconds();

	b->who.form = form->name;
	b->f32 = !form->bits && form->dtype == DT_F32;
	if (a->ops)
		return bench_ops(b, c, form, e);
	for (size_t i = 0; i < b->batch.n; i++)
		m.max_out = b->batch.at[i] > m.max_out ? b->batch.at[i] : m.max_out;
	m.kv_tokens = bench_positions(b, c);
	bench_memory_reset();
	if (a->synthetic ? model_open_synthetic(&o->model, a->synthetic, form->bits, form->group,
	                                        form->dtype, o->exec, &m, e) :
	                   model_open(&o->model, o->source, o->exec, &m, e))
		return -1;
	if (bench_passes(b, o->model, a->synthetic ? NAN : cli_seconds() - begin, e))
		return -1;
	model_close(o->model);
	o->model = NULL;
	return 0;
}

static int run_all(struct bench *b, struct opened *o, struct args *a, struct err *e)
{
	struct bench_form form;
	struct config c;
	int bad = 0;

	if (a->synthetic) {
		b->who.model = a->synthetic;
		for (size_t i = 0; !bad && i < a->n_forms; i++) {
			if (synthetic_config(&c, a->synthetic, a->form[i].dtype, e))
				return -1;
			bad = run_form(b, o, a, &a->form[i], &c, e);
			config_release(&c);
		}
		return bad;
	}
	if (config_read(&c, o->source, e))
		return err_in(e, "%s", source_path(o->source));
	base_name(a->name, sizeof a->name, source_path(o->source));
	b->who.model = a->name;
	form_of(&form, o->source, &c);
	bad = run_form(b, o, a, &form, &c, e);
	config_release(&c);
	return bad;
}

static int open_all(struct bench *b, struct opened *o, const struct args *a, struct err *e)
{
	struct exec_info info;
	struct config c;
	double begin;

	if (a->synthetic) {
		if (synthetic_config(&c, a->synthetic, DT_F16, e))
			return -1;
		config_release(&c);
	} else if (open_files(o, &a->open, e)) {
		return -1;
	}
	begin = cli_seconds();
	if (open_device(o, &a->open, a->common.verbose, e))
		return -1;
	b->device_seconds = cli_seconds() - begin;
	b->exec = o->exec;
	b->exact = a->open.exact;
	b->fast = a->open.fast;
	exec_describe(o->exec, &info);
	b->who.backend = info.backend;
	b->who.device = info.device;
	b->who.rows = info.rows;
	b->who.units = (size_t)info.units;
	return 0;
}

/* Writes the model that would be made up. */
static int save(const struct args *a, struct err *e)
{
	const struct bench_form *f = a->form;

	if (!a->synthetic)
		cli_misuse("--save is for --synthetic: a model is there");
	if (a->n_forms > 1)
		cli_misuse("--save: expected one form of --bits, found %zu", a->n_forms);
	return synthetic_save(a->save, a->synthetic, f->bits, f->group, f->dtype, e);
}

int main(int argc, char **argv)
{
	struct args a = { .group = 64, .runs = 5, .prompt = "512", .make = "128", .depth = "0",
	                  .batch = "1" };
	struct opened o = { 0 };
	struct bench b = { 0 };
	struct err e = { 0 };
	char **models = cli_parse(argc, argv, &command, &a);
	int rc;

	if (models[0] && (models[1] || a.synthetic))
		cli_misuse("expected one model%s", a.synthetic ? " or --synthetic, found both" :
		                                                 ", found more");
	if (models[0])
		a.open.model = models[0];
	if (!a.synthetic && a.bits)
		cli_misuse("--bits is for --synthetic: a model has its own");
	b.common = &a.common;
	b.runs = a.runs;
	b.format = (enum lines_format)a.format;
	read_lists(&a, &b);
	rc = a.save ? save(&a, &e) : open_all(&b, &o, &a, &e);
	if (rc == 0 && !a.save) {
		lines_begin(b.format);
		rc = bench_limits(&b, &e) || run_all(&b, &o, &a, &e);
	}
	open_release(&o);
	if (rc)
		cli_die(&e);
	rc = cli_finish();
	return rc ? rc : b.skipped;
}
