/* SPDX-License-Identifier: MIT */
/* kernels.c - the kernel rows: from special to general, the first that fits
 * wins, the last of each op has no needs. */
#include "exec/opencl.h"

#define CPU NEED_CPU
#define NV NEED_NVIDIA
#define HOPPER NEED_HOPPER
/* Warps along rows, tokens and columns; 16 rows and 8 tokens of a warp, how
 * often; stages, columns of one, units ahead: kernels/nvidia/tokens.cl. */
#define TOKENS(m, n, k, mt, nt, stages, step, ahead) \
	"nvidia/tokens.cl", "tokens", "-DWARPS_M=" #m " -DWARPS_N=" #n " -DWARPS_K=" #k \
	" -DMT=" #mt " -DNT=" #nt " -DSTAGES=" #stages " -DSTEP=" #step " -DAHEAD=" #ahead
/* Weights of 4 bits come to local memory past the registers. */
#define COPIED " -DCOPIED"
/* Tiles on their way to the second cache. */
#define GROUPED " -DGROUPED -DFETCH=2"

/* The same over runs that are sorted by their matrix; max_tokens are runs a matrix. */
#define HEAD "-DLIST_HEAD=16"
_Static_assert(LIST_HEAD == 16, "as HEAD has it");
#define RUNS " -DEXPERTS " HEAD

static const struct kernel_row rows[] = {
	/* op        step  needs  max_tokens  text  entry  options  lanes  rows  tokens */
	{ OP_EMBED, EMBED_TILES, NEED_NVIDIA, 0, "nvidia/embed.cl", "embed", "", 128, 1024, 1 },
	{ OP_EMBED, EMBED_ROWS, 0, 0, "embed.cl", "embed", "", 128, 1024, 1 },

	{ OP_NORM_RMS, 0, CPU, 0, "cpu/norm.cl", "norm_rms", "", 1, 1, 1 },
	{ OP_NORM_RMS, 0, 0, 0, "norm.cl", "norm_rms", "", 256, 1, 1 },

	{ OP_MATMUL, FLOAT_PREPARE, CPU, 0, "cpu/matmul_float.cl", "float_prepare", "", 1, 1, 1 },
	{ OP_MATMUL, FLOAT_VEC, CPU, 1, "cpu/matmul_float.cl", "float_vec", "", 1, 32, 1 },
	{ OP_MATMUL, FLOAT_TILE, CPU, 0, "cpu/matmul_float.cl", "float_tile", "", 1, 32, 64 },
	{ OP_MATMUL, AFFINE_PREPARE, CPU, 0, "cpu/matmul_affine.cl", "affine_prepare", "", 1, 1, 1 },
	{ OP_MATMUL, AFFINE_VEC, CPU, 1, "cpu/matmul_affine.cl", "affine_vec", "", 1, 32, 1 },
	{ OP_MATMUL, ONE_PREPARE, CPU, 1, "cpu/matmul_affine.cl", "affine_prepare_one", "", 1, 1, 1 },
	{ OP_MATMUL, AFFINE_FEW, CPU, 0, "cpu/matmul_affine.cl", "affine_few", "", 1, 16, 1 },
	{ OP_MATMUL, AFFINE_TILE, CPU, 0, "cpu/matmul_affine.cl", "affine_tile", "", 1, 32, 64 },
	{ OP_MATMUL, EXACT_PREPARE, CPU, 0, "cpu/matmul_affine.cl", "affine_prepare_exact", "", 1,
	  1, 1 },
	{ OP_MATMUL, EXACT_TILE, CPU, 0, "cpu/matmul_affine.cl", "affine_exact", "", 1, 32, 64 },
	{ OP_MATMUL, FLOAT_PANELS, CPU, 0, "cpu/panel.cl", "panel_prepare_float", "", 1, 1, 1 },
	{ OP_MATMUL, FLOAT_PANEL, CPU, 0, "cpu/panel.cl", "panel_float", "", 1, 1, 1 },
	{ OP_MATMUL, CODES_PANELS, CPU, 0, "cpu/panel.cl", "panel_prepare_codes", "", 1, 1, 1 },
	{ OP_MATMUL, CODES_PANEL, CPU, 0, "cpu/panel.cl", "panel_codes", "", 1, 1, 1 },
	{ OP_MATMUL, MATMUL_TILES, NEED_NVIDIA, 8, "nvidia/product.cl", "product", "", 512, 16, 8 },
	{ OP_MATMUL, TOKENS_PREPARE, NV, 0, "nvidia/prepare.cl", "prepare", "", 256, 2048, 1 },
	{ OP_MATMUL, GROUPED_PREPARE, NV, 0, "nvidia/prepare.cl", "prepare", "-DGROUPED", 256, 2048,
	  1 },
	{ OP_MATMUL, GROUPED_FLOAT, HOPPER, 0, TOKENS(8, 1, 1, 1, 16, 5, 32, 2) GROUPED, 256, 128,
	  128 },
	{ OP_MATMUL, GROUPED_AFFINE, HOPPER, 0, TOKENS(8, 1, 1, 1, 16, 2, 64, 1) GROUPED, 256, 128,
	  128 },
	{ OP_MATMUL, TOKENS_AFFINE, NV, 16, TOKENS(2, 1, 4, 2, 2, 3, 64, 4), 256, 64, 16 },
	{ OP_MATMUL, TOKENS_AFFINE, NV, 32, TOKENS(4, 1, 1, 2, 4, 4, 64, 2), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_AFFINE, NV, 64, TOKENS(4, 1, 1, 2, 4, 4, 64, 2), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_AFFINE, NV, 128, TOKENS(4, 1, 1, 2, 4, 4, 64, 2), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_AFFINE, NV, 0, TOKENS(4, 1, 1, 2, 8, 2, 64, 1), 128, 128, 64 },
	{ OP_MATMUL, TOKENS_AFFINE_SETS, NV, 0, TOKENS(2, 1, 4, 2, 4, 2, 64, 2), 256, 64, 32 },
	{ OP_MATMUL, TOKENS_FOUR, NV, 64, TOKENS(4, 1, 1, 2, 8, 3, 64, 1) COPIED, 128, 128, 64 },
	{ OP_MATMUL, TOKENS_FOUR_SETS, NV, 64, TOKENS(2, 1, 2, 1, 4, 3, 64, 2) COPIED, 128, 32, 32 },
	{ OP_MATMUL, TOKENS_WIDE, NV, 0, TOKENS(4, 1, 1, 2, 4, 2, 128, 1), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_FLOAT, NV, 16, TOKENS(2, 1, 4, 2, 2, 3, 32, 4), 256, 64, 16 },
	{ OP_MATMUL, TOKENS_FLOAT, NV, 32, TOKENS(4, 1, 1, 2, 4, 4, 64, 4), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_FLOAT, NV, 64, TOKENS(4, 1, 1, 2, 4, 4, 64, 4), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_FLOAT, NV, 128, TOKENS(4, 1, 1, 2, 4, 4, 64, 4), 128, 128, 32 },
	{ OP_MATMUL, TOKENS_FLOAT, NV, 0, TOKENS(4, 1, 1, 2, 8, 2, 64, 2), 128, 128, 64 },
	{ OP_MATMUL, TOKENS_FLOAT_SETS, NV, 0, TOKENS(2, 1, 2, 2, 4, 2, 64, 4), 128, 64, 32 },
	{ OP_MATMUL, UNPACK_WEIGHT, 0, 0, "unpack.cl", "unpack", "", 128, 128, 1 },
	{ OP_MATMUL, UNPACK_BIAS, 0, 0, "unpack.cl", "bias", "-DBIAS", 128, 128, 1 },
	{ OP_MATMUL, MATMUL_AFFINE, 0, 1, "matmul.cl", "matmul", "-DROWS=2 -DTOKENS=1", 128, 8, 1 },
	{ OP_MATMUL, MATMUL_AFFINE, 0, 4, "matmul.cl", "matmul", "-DROWS=4 -DTOKENS=4", 128, 16, 4 },
	{ OP_MATMUL, MATMUL_AFFINE, 0, 0, "matmul.cl", "matmul", "-DROWS=8 -DTOKENS=8", 128, 32, 8 },
	{ OP_MATMUL, MATMUL, 0, 1, "matmul.cl", "matmul", "-DROWS=4 -DTOKENS=1", 128, 16, 1 },
	{ OP_MATMUL, MATMUL, 0, 4, "matmul.cl", "matmul", "-DROWS=4 -DTOKENS=4", 128, 16, 4 },
	{ OP_MATMUL, MATMUL, 0, 0, "matmul.cl", "matmul", "-DROWS=8 -DTOKENS=8", 128, 32, 8 },

	{ OP_ROPE, 0, CPU, 0, "cpu/rope.cl", "rope", "", 1, 1, 1 },
	{ OP_ROPE, ROPE_ALONE, 0, 0, "rope.cl", "rope", "", 128, 4, 1 },
	{ OP_ROPE, ROPE_TURN, 0, 0, "turn.cl", "turn", "", 128, 4, 1 },

	{ OP_KV_WRITE, 0, CPU, 0, "cpu/kv_write.cl", "kv_write", "", 1, 1, 1 },
	{ OP_KV_WRITE, 0, 0, 0, "kv_write.cl", "kv_write", "", 128, 128, 1 },

	{ OP_ATTENTION, ATTENTION_WHOLE, CPU, 0, "cpu/attention.cl", "attention", "", 1, 1, 8 },
	{ OP_ATTENTION, ATTENTION_SPLIT, CPU, 0, "cpu/attention.cl", "attention", "", 1, 1, 1 },
	{ OP_ATTENTION, ATTENTION_MERGE, CPU, 0, "cpu/attention.cl", "attention_merge", "", 1, 1, 1 },
	{ OP_ATTENTION, PAGES_WHOLE, NEED_NVIDIA, 0, "nvidia/attention.cl", "attention",
	  "-DSTAGES=2", 128, 1, 1 },
	{ OP_ATTENTION, PAGES_SPLIT, NEED_NVIDIA, 0, "nvidia/attention.cl", "attention_split",
	  "-DSTAGES=2", 128, 1, 1 },
	{ OP_ATTENTION, PAGES_MERGE, NEED_NVIDIA, 0, "nvidia/attention.cl", "attention_merge",
	  "-DSTAGES=2", 128, 1, 1 },
	{ OP_ATTENTION, ATTENTION_WHOLE, 0, 0, "attention.cl", "attention", "", 128, 1, 1 },
	{ OP_ATTENTION, ATTENTION_SPLIT, 0, 0, "attention.cl", "attention_split", "", 128, 1, 1 },
	{ OP_ATTENTION, ATTENTION_MERGE, 0, 0, "attention.cl", "attention_merge", "", 128, 1, 1 },

	{ OP_GLU, 0, CPU, 0, "cpu/glu.cl", "glu", "", 1, 2048, 1 },
	{ OP_GLU, 0, 0, 0, "glu.cl", "glu", "", 128, 128, 1 },

	{ OP_ADD, 0, CPU, 0, "cpu/glu.cl", "add", "", 1, 2048, 1 },
	{ OP_ADD, 0, 0, 0, "add.cl", "add", "", 128, 128, 1 },

	{ OP_SCALE, 0, CPU, 0, "cpu/glu.cl", "scale", "", 1, 2048, 1 },
	{ OP_SCALE, 0, 0, 0, "scale.cl", "scale", "", 128, 128, 1 },

	{ OP_NORM_LAYER, 0, 0, 0, "norm_layer.cl", "norm_layer", "", 256, 1, 1 },

	{ OP_ACT, 0, 0, 0, "act.cl", "activate", "", 128, 128, 1 },

	{ OP_ENCODE, 0, 0, 0, "encode.cl", "encode", "", 64, 1, 1 },

	{ OP_CONV, 0, 0, 0, "conv.cl", "conv", "", 128, 128, 1 },

	{ OP_DECAY, 0, 0, 0, "decay.cl", "decay", "", 128, 128, 1 },
	{ OP_DELTA, 0, 0, 0, "delta.cl", "delta", "", 32, 32, 1 },

	{ OP_PICK, 0, 0, 0, "pick.cl", "pick", "", 128, 128, 1 },

	{ OP_GAIN, 0, 0, 0, "gain.cl", "gain", "", 128, 128, 1 },
	{ OP_COPY, 0, 0, 0, "copy.cl", "copy", "", 128, 128, 1 },
	{ OP_ROUTE, 0, 0, 0, "route.cl", "route", "", 64, 1, 1 },
	{ OP_EXPERTS, EXPERTS_EACH, 0, 0, "experts.cl", "experts", "-DROWS=4", 128, 16, 1 },
	{ OP_EXPERTS, EXPERTS_GROUPED, 0, 0, "experts.cl", "experts_grouped",
	  "-DROWS=4 -DTOKENS=8", 128, 16, 8 },
	{ OP_EXPERTS, EXPERTS_FEW, NV, 0, "nvidia/experts.cl", "experts_few", "", 512, 16, 1 },
	{ OP_EXPERTS, EXPERTS_FEW_SHORT, NV, 0, "nvidia/experts.cl", "experts_few", "", 256, 16, 1 },
	{ OP_EXPERTS, EXPERTS_SORT, NV, 0, "nvidia/experts.cl", "experts_sort", "-DSORT " HEAD, 512,
	  1, 1 },
	{ OP_EXPERTS, EXPERTS_PREPARE, NV, 0, "nvidia/prepare.cl", "prepare", RUNS, 256, 2048, 1 },
	{ OP_EXPERTS, EXPERTS_PREPARE_SHORT, NV, 0, "nvidia/prepare.cl", "prepare", RUNS, 128, 1024,
	  1 },
	{ OP_EXPERTS, EXPERTS_AFFINE, NV, 8, TOKENS(2, 1, 4, 2, 2, 3, 64, 4) RUNS, 256, 64, 16 },
	{ OP_EXPERTS, EXPERTS_AFFINE, NV, 24, TOKENS(4, 1, 1, 2, 4, 4, 64, 2) RUNS, 128, 128, 32 },
	{ OP_EXPERTS, EXPERTS_AFFINE, NV, 0, TOKENS(4, 1, 1, 2, 8, 2, 64, 1) RUNS, 128, 128, 64 },
	{ OP_EXPERTS, EXPERTS_WIDE, NV, 0, TOKENS(4, 1, 1, 2, 4, 2, 128, 1) RUNS, 128, 128, 32 },
	{ OP_EXPERTS, EXPERTS_FLOAT, NV, 8, TOKENS(2, 1, 4, 2, 2, 3, 32, 4) RUNS, 256, 64, 16 },
	{ OP_EXPERTS, EXPERTS_FLOAT, NV, 24, TOKENS(4, 1, 1, 2, 4, 4, 64, 4) RUNS, 128, 128, 32 },
	{ OP_EXPERTS, EXPERTS_FLOAT, NV, 0, TOKENS(4, 1, 1, 2, 8, 2, 64, 2) RUNS, 128, 128, 64 },
	{ OP_MIX, 0, 0, 0, "mix.cl", "mix_runs", "", 128, 128, 1 },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

const struct kernel_row *kernel_find(const struct opencl *d, enum op_kind op, unsigned step,
                                     size_t n_tokens)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].op == op && rows[i].step == step && !(rows[i].needs & ~d->can) &&
		    (!rows[i].max_tokens || n_tokens <= rows[i].max_tokens))
			return &rows[i];
	return NULL;
}

const char *kernel_rows_name(const struct opencl *d)
{
	return d->can & NEED_CPU ? "cpu" : d->can & NEED_NVIDIA ? "nvidia" : "portable";
}
