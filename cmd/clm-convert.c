/* SPDX-License-Identifier: MIT */
/* clm-convert.c - models to models */
#include <stdlib.h>
#include <string.h>

#include "adapters.h"
#include "making.h"

enum format { FORMAT_AUTO, FORMAT_MLX, FORMAT_HF, FORMAT_SAFETENSORS, FORMAT_NPZ, FORMAT_GGUF };

struct args {
	struct cli_common common;
	const char *out, *to;
	int format, dtype;
	size_t group, shard;
	bool dequantize, deflate, fuse;
	struct cli_texts adapters;
	struct fuse_use use[CLI_TEXTS_MAX];
	char *dir[CLI_TEXTS_MAX];
	struct making making;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 'o', "output", "OUT", CLI_TEXT, AT(out),
	  .help = "a directory, or a file ending in .npz, .gguf or .safetensors" },
	{ 'f', "format", "FORMAT", CLI_CHOICE, AT(format),
	  .words = "auto mlx hf safetensors npz gguf",
	  .help = "auto, mlx, hf, safetensors, npz or gguf" },
	{ 'q', "quantize", "FORM", CLI_TEXT, AT(to),
	  .words = "4 3 8 mxfp4 mxfp8 nvfp4 mixed_3_6 q4_0 q8_0 q4_k_m q6_k iq4_xs",
	  .help = "products and embeddings in BITS, or in a form of clm-quantize" },
	{ 'g', "group-size", "N", CLI_SIZE, AT(group), .min = 32, .max = 128,
	  .help = "weights that share a scale: 32, 64 or 128 (64)" },
	{ 0, "dtype", "TYPE", CLI_CHOICE, AT(dtype), .words = "keep f16 bf16 f32",
	  .help = "type of floats: keep, f16, bf16 or f32" },
	{ 0, "dequantize", NULL, CLI_FLAG, AT(dequantize),
	  .help = "floats in place of quantized weights" },
	{ 0, "adapter", "DIR[=SCALE]", CLI_TEXTS, AT(adapters),
	  .help = "an adapter to --fuse, PEFT's or MLX's; may be repeated" },
	{ 0, "fuse", NULL, CLI_FLAG, AT(fuse),
	  .help = "add the adapters to the weights; codes are made anew in their form" },
	{ 0, "deflate", NULL, CLI_FLAG, AT(deflate), .help = "compress the members of an NPZ" },
	{ 0, "shard-size", "BYTES", CLI_SIZE, AT(shard), .min = 1,
	  .help = "most bytes of a file of a directory (5G)" },
};
static const struct cli_group groups[] = {
	{ .title = "Output", .option = options, .n = sizeof options / sizeof *options },
};
static const struct cli command = {
	.synopsis = "[OPTION...] IN -o OUT",
	.about = "Converts a model: MLX, Hugging Face, NPZ, GGUF, llama2.c in; MLX, Hugging Face, "
	         "NPZ, GGUF out.",
	.group = groups,
	.n_groups = 1,
};

static bool ends(const char *name, const char *end)
{
	return bytes_ends(bytes_of(name), end);
}

static void translate(struct convert_options *o, struct args *a)
{
	static const enum convert_format formats[] = {
		[FORMAT_AUTO] = CONVERT_AUTO,      [FORMAT_MLX] = CONVERT_MLX,
		[FORMAT_HF] = CONVERT_SAFETENSORS, [FORMAT_SAFETENSORS] = CONVERT_SAFETENSORS,
		[FORMAT_NPZ] = CONVERT_NPZ,        [FORMAT_GGUF] = CONVERT_GGUF,
	};

	convert_options_init(o);
	o->format = formats[a->format];
	o->as_dir = a->format == FORMAT_HF ||
	            (a->format == FORMAT_NPZ && !ends(a->out, ".npz") && strcmp(a->out, "-")) ||
	            (a->format == FORMAT_SAFETENSORS && !ends(a->out, ".safetensors") &&
	             strcmp(a->out, "-"));
	o->dtype = making_dtype(a->dtype);
	if (a->to)
		making_form(o, "-q", a->to, making_is_gguf(a->out, a->format == FORMAT_GGUF));
	if (a->group && (!o->bits || o->coding != CODING_AFFINE || strchr(a->to, ':')))
		cli_misuse("--group-size goes with -q BITS");
	o->group = a->group ? (unsigned)a->group : o->group;
	o->dequantize = a->dequantize;
	o->deflate = a->deflate;
	o->shard_bytes = a->shard;
}

/* An adapter goes to the other layout, or to the one that is named. */
static int turn_adapter(const char *in, const struct args *a, struct err *e)
{
	if (a->to || a->dequantize || a->fuse || a->dtype || !strcmp(a->out, "-") ||
	    (a->format != FORMAT_AUTO && a->format != FORMAT_MLX && a->format != FORMAT_HF))
		cli_misuse("%s: an adapter goes to a directory, with -f mlx, -f hf or nothing", in);
	return convert_adapter(in, a->out,
	                       a->format == FORMAT_MLX ? ADAPTER_MLX :
	                       a->format == FORMAT_HF  ? ADAPTER_PEFT :
	                                                 ADAPTER_AUTO,
	                       e);
}

/* The adapters that become part of the weights. */
static int take_adapters(struct convert_options *o, struct args *a, struct err *e)
{
	for (size_t i = 0; i < a->adapters.n; i++) {
		a->dir[i] = adapter_split(&a->use[i].scale, a->adapters.text[i], e);
		a->use[i].path = a->dir[i];
		if (!a->dir[i])
			return -1;
	}
	o->fuse = a->use;
	o->n_fuse = a->adapters.n;
	return 0;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct convert_options o;
	struct err e = { 0 };
	char **in = cli_parse(argc, argv, &command, &a);
	int rc;

	if (!in[0] || in[1])
		cli_misuse("expected one model to convert, found %s", in[0] ? "more" : "none");
	if (!a.out)
		cli_misuse("no output: give -o OUT");
	if (!strcmp(a.out, "-") && a.format == FORMAT_AUTO)
		cli_misuse("-o - needs a --format");
	if (!strcmp(a.out, "-") && a.format != FORMAT_GGUF && a.format != FORMAT_SAFETENSORS)
		cli_misuse("-o -: only a GGUF or a safetensors file can go to a pipe");
	if (a.fuse != (a.adapters.n > 0))
		cli_misuse("--adapter DIR and --fuse go together");
	translate(&o, &a);
	if (is_adapter(in[0])) {
		if (turn_adapter(in[0], &a, &e))
			cli_die(&e);
		return cli_finish();
	}
	making_begin(&a.making, &o, "converting", &a.common);
	rc = take_adapters(&o, &a, &e) || convert_model(in[0], a.out, &o, &e);
	progress_clear(&a.making.progress);
	for (size_t i = 0; i < a.adapters.n; i++)
		free(a.dir[i]);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
