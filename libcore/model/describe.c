/* SPDX-License-Identifier: MIT */
/* describe.c - what sets a family apart, in words, from its row */
#include "model/family.h"

#include <stdio.h>

static const struct {
	size_t at; /* of a bool of the row */
	const char *words;
} flags[] = {
	{ offsetof(struct family, qkv_bias), "biases of q, k and v" },
	{ offsetof(struct family, qk_norm), "norms of q and k" },
	{ offsetof(struct family, qk_norm_row), "over all heads at once" },
	{ offsetof(struct family, value_norm), "norms of v without weights" },
	{ offsetof(struct family, unscaled), "scores without a scale" },
	{ offsetof(struct family, two_kinds), "heads of another size in full layers, last layers that "
	  "use the cache of earlier ones, an embedding of the token for each layer" },
	{ offsetof(struct family, layer_scalar), "a scalar at the end of a layer" },
	{ offsetof(struct family, fused_qkv), "q, k and v in one matrix" },
	{ offsetof(struct family, fused_gate_up), "gate and up in one matrix" },
	{ offsetof(struct family, interleaved), "rotation of adjacent pairs" },
	{ offsetof(struct family, norm_plus_one), "norms stored less one" },
	{ offsetof(struct family, norm_bias), "norms with a mean and a bias" },
	{ offsetof(struct family, biased), "biases everywhere" },
	{ offsetof(struct family, sinks), "an attention sink for each head" },
	{ offsetof(struct family, ungated), "no gate in the feed-forward" },
	{ offsetof(struct family, embed_by_width), "scaled embeddings" },
	{ offsetof(struct family, gated_query), "a gate of each head's attention" },
	{ offsetof(struct family, gated_shared), "a gate of the shared expert" },
	{ offsetof(struct family, window_everywhere), "a sliding window in every layer" },
	{ offsetof(struct family, window_by_flag), "a sliding window where the config asks for it" },
};

static void join(struct buf *out, size_t *n, const char *words)
{
	buf_printf(out, "%s%s", (*n)++ ? ", " : "", words);
}

static void norms(struct buf *out, size_t *n, const struct family *f)
{
	if (f->norm[1] && f->norm[0])
		join(out, n, "norms before and after each block");
	else if (f->norm[1])
		join(out, n, "norms after each block");
}

void family_has(struct buf *out, size_t i)
{
	const struct family *f = family_at(i);
	size_t n = 0;

	norms(out, &n, f);
	for (size_t k = 0; k < sizeof flags / sizeof *flags; k++)
		if (*(const bool *)((const char *)f + flags[k].at))
			join(out, &n, flags[k].words);
	if (f->window_pattern)
		buf_printf(out, "%sa sliding window in all but every %u%s layer",
		           n++ ? ", " : "", f->window_pattern,
		           f->window_pattern == 2 ? "nd" : "th");
	if (f->unrotated_every == 1)
		join(out, &n, "no rotation");
	else if (f->unrotated_every)
		buf_printf(out, "%sno rotation in every %uth layer", n++ ? ", " : "",
		           f->unrotated_every);
	if (f->block == BLOCK_ENCODER)
		join(out, &n, "attention over all positions: for embeddings");
	if (f->block == BLOCK_LATENT || f->others == BLOCK_LATENT)
		join(out, &n, "attention over a latent vector of each position");
	if (f->block == BLOCK_CONV)
		join(out, &n, "short convolutions between layers of attention");
	if (f->block == BLOCK_DELTA)
		join(out, &n, "the gated delta rule between layers of attention");
	if (f->block == BLOCK_KDA)
		join(out, &n, "the delta rule with a decay per channel between them");
	if (f->act == ACT_CLIPPED)
		join(out, &n, "clipped gates");
	if (f->beside)
		join(out, &n, "experts beside the feed-forward where the config asks for them");
	else if (f->experts[0])
		join(out, &n, "a mixture of experts for feed-forward");
	if (!n)
		join(out, &n, "the plain block: rms norm, grouped heads, rotation, a gated feed-forward");
}
