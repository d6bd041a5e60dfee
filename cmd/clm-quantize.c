/* SPDX-License-Identifier: MIT */
/* clm-quantize.c - a model in fewer bits, and what that cost */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "making.h"
#include "util/file.h"

enum { TEXT_CEILING = 64 << 20, PLAN_CEILING = 1 << 20, ALL_BITS = 16 };

struct args {
	struct cli_common common;
	const char *out, *to, *plan, *calibrate, *evaluate, *size, *json, *device;
	int format, dtype, threads;
	size_t shard, window, tokens;
	bool dequantize;
	struct making making;
	struct buf plan_text, calibrate_text, evaluate_text;
	struct arena arena;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option output[] = {
	{ 'o', "output", "OUT", CLI_TEXT, AT(out),
	  .help = "a directory, or a file ending in .npz or .gguf" },
	{ 'f', "format", "FORMAT", CLI_CHOICE, AT(format), .words = "auto mlx npz gguf",
	  .help = "auto, mlx, npz or gguf" },
	{ 0, "dtype", "TYPE", CLI_CHOICE, AT(dtype), .words = "keep f16 bf16 f32",
	  .help = "type of floats and scales: keep, f16, bf16 or f32" },
	{ 0, "shard-size", "BYTES", CLI_SIZE, AT(shard), .min = 1,
	  .help = "most bytes of a file of a directory (5G)" },
};
static const struct cli_option how[] = {
	{ 't', "to", "FORM", CLI_TEXT, AT(to),
	  .words = "4 4:32 3 8 mxfp4 mxfp8 nvfp4 mixed_3_6 q4_0 q8_0 q4_k_m q6_k iq4_xs",
	  .help = "BITS[:GROUP], mxfp4, a recipe (mixed_3_6), a GGUF type (q4_k_m)" },
	{ 'p', "plan", "FILE", CLI_TEXT, AT(plan),
	  .help = "lines of PATTERN FORM [GROUP], asked before --to" },
	{ 0, "dequantize", NULL, CLI_FLAG, AT(dequantize),
	  .help = "floats in place of quantized weights" },
	{ 'c', "calibrate", "FILE", CLI_TEXT, AT(calibrate),
	  .help = "quantize by what this text sends through the model" },
	{ 's', "size", "BPW", CLI_TEXT, AT(size),
	  .help = "share out bits to come to this many a weight (4.5bpw)" },
	{ 0, "size-tokens", "N", CLI_SIZE, AT(tokens), .min = 16, .max = (size_t)1 << 24,
	  .help = "tokens of the text that --size measures by (512)" },
};
static const struct cli_option measure[] = {
	{ 'e', "evaluate", "FILE", CLI_TEXT, AT(evaluate),
	  .help = "perplexity on this text, and divergence from IN" },
	{ 'w', "window", "N", CLI_SIZE, AT(window), .min = 2, .max = (size_t)1 << 24,
	  .help = "tokens that see each other (2048)" },
	{ 0, "json", "FILE", CLI_TEXT, AT(json), .help = "the report as JSON too" },
	{ 0, "device", "NAME", CLI_TEXT, AT(device), .env = true, .words = "auto cpu opencl ref",
	  .help = "that evaluates; calibration is done by the cpu" },
	{ 0, "threads", "N", CLI_INT, AT(threads), .env = true, .max = 4096,
	  .help = "threads; 0 is all" },
};
static const struct cli_group groups[] = {
	{ .title = "Output", .option = output, .n = sizeof output / sizeof *output },
	{ .title = "Quantization", .option = how, .n = sizeof how / sizeof *how },
	{ .title = "Measures", .option = measure, .n = sizeof measure / sizeof *measure },
};
static const struct cli command = {
	.synopsis = "-t FORM [OPTION...] IN -o OUT",
	.about = "Writes a model in fewer bits, and prints what each weight and the whole lost.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

/* "4.5bpw" or "4.5" */
static double size_of(const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || (*end && strcmp(end, "bpw")) || !(v >= 1 && v <= ALL_BITS))
		cli_misuse("--size: expected bits per weight from 1 to 16, such as 4.5bpw, found \"%s\"",
		           text);
	return v;
}

static bool is_gguf(const struct args *a)
{
	return making_is_gguf(a->out, a->format == 3);
}

static int translate(struct quantize_options *q, struct args *a, struct err *e)
{
	static const enum convert_format formats[] = { CONVERT_AUTO, CONVERT_MLX, CONVERT_NPZ,
		                                       CONVERT_GGUF };
	static const unsigned char none[1];
	struct convert_options *o = &q->convert;
	struct rule *rule = NULL;

	convert_options_init(o);
	o->format = formats[a->format];
	o->dtype = making_dtype(a->dtype);
	o->dequantize = a->dequantize;
	o->shard_bytes = a->shard;
	o->threads = a->threads;
	if (a->to)
		making_form(o, "--to", a->to, is_gguf(a));
	if (a->plan && (file_read(&a->plan_text, a->plan, PLAN_CEILING, e) ||
	                rules_parse(&rule, &o->n_rules, buf_bytes(&a->plan_text), &a->arena, e)))
		return err_in(e, "%s", a->plan);
	o->rule = rule;
	if ((a->calibrate && file_read(&a->calibrate_text, a->calibrate, TEXT_CEILING, e)) ||
	    (a->evaluate && file_read(&a->evaluate_text, a->evaluate, TEXT_CEILING, e)))
		return -1;
	if (a->calibrate)
		q->calibrate = (struct bytes){ a->calibrate_text.p ? a->calibrate_text.p : none,
			                       a->calibrate_text.n };
	if (a->evaluate)
		q->evaluate = (struct bytes){ a->evaluate_text.p ? a->evaluate_text.p : none,
			                      a->evaluate_text.n };
	q->bits_per_weight = a->size ? size_of(a->size) : 0;
	q->tokens = a->tokens;
	q->window = a->window;
	q->device = a->device;
	return 0;
}

static int write_json(const char *path, const struct buf *text, struct err *e)
{
	struct file_out *f;

	if (file_out_open(&f, path, e))
		return -1;
	if (file_out_write(f, text->p, text->n, e)) {
		file_out_abort(f);
		return -1;
	}
	return file_out_commit(f, e);
}

static void check(const struct args *a, char **in)
{
	if (!in[0] || in[1])
		cli_misuse("expected one model to quantize, found %s", in[0] ? "more" : "none");
	if (!a->out)
		cli_misuse("no output: give -o OUT");
	if (!strcmp(a->out, "-"))
		cli_misuse("-o -: the report goes to standard output; use clm-convert -q in a pipe");
	if (!a->to && !a->plan && !a->size && !a->dequantize)
		cli_misuse("no form: give --to FORM, --plan FILE, --size BPW or --dequantize");
	if (a->size && (a->to || a->plan || a->dequantize))
		cli_misuse("--size chooses the forms itself");
	if (a->size && !a->calibrate)
		cli_misuse("--size needs a text to measure by: --calibrate FILE");
	if (a->size && is_gguf(a))
		cli_misuse("--size: a GGUF holds no such forms");
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct quantize_options q = { 0 };
	struct quantize_result r = { 0 };
	struct err e = { 0 };
	char **in = cli_parse(argc, argv, &command, &a);
	int rc;

	check(&a, in);
	rc = translate(&q, &a, &e);
	making_begin(&a.making, &q.convert, "quantizing", &a.common);
	rc = rc || quantize_model(&r, in[0], a.out, &q, &e) ||
	     (a.json && write_json(a.json, &r.json, &e));
	progress_clear(&a.making.progress);
	if (rc == 0)
		cli_put(r.table.p, r.table.n);
	buf_release(&r.table);
	buf_release(&r.json);
	buf_release(&a.plan_text);
	buf_release(&a.calibrate_text);
	buf_release(&a.evaluate_text);
	arena_release(&a.arena);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
