/* SPDX-License-Identifier: MIT */
/* adapter.h - an adapter in memory (private to model/, but for its
 * opening: model.h) */
#ifndef CLM_MODEL_ADAPTER_H
#define CLM_MODEL_ADAPTER_H

#include "model/model.h"
#include "util/digest.h"

/* What one module gets: y = W x becomes, at strength 1,
 *   y = m / |W + B A| * (W x + B A x)     without m the factor is 1
 * and then y * out, or W (x * in). |.| is of rows. NULL: the adapter has none. */
struct side {
	const char *path;      /* "model.layers.0.self_attn.q_proj" */
	size_t rank, n_in, n_out;
	size_t n_stack;        /* of experts: so many A and B, one after the other; else 0 */
	const float *a;        /* [rank][n_in] */
	const float *b;        /* [n_out][rank], the adapter's scale in it */
	const float *m;        /* [n_out] */
	const float *out, *in; /* IA3: [n_out], [n_in] */
};
struct adapter {
	struct arena arena;
	struct side *side;     /* [n_sides] */
	size_t n_sides;
	bool table_only;       /* a side of the embeddings is none of a tied head */
	char digest[DIGEST_TEXT];
};

#endif
