/* SPDX-License-Identifier: MIT */
/* weights.h - the slots of a model (private to model/) */
#ifndef CLM_MODEL_WEIGHTS_H
#define CLM_MODEL_WEIGHTS_H

#include "model/model.h"

/* NULL where the family has none. */
struct layer {
	struct weight *norm[4]; /* before and after attention, before and after feed-forward */
	struct weight *norm_bias[4];
	struct weight *q, *k, *v, *o, *q_bias, *k_bias, *v_bias, *o_bias;
	struct weight *q_norm, *k_norm, *v_norm, *sinks;
	struct weight *own_gate, *own_out, *own_norm; /* of the layer's own embedding */
	float scalar;
	bool wide;           /* its feed-forward is */
	/* latent attention: queries by way of `low`, the latent vector, the key that is rotated;
	 * stacks of a matrix for every head */
	struct weight *low, *low_norm, *latent, *pe, *latent_norm, *embed_q, *unembed_out;
	struct weight *in[3], *conv; /* a short convolution: both gates, the input, the taps */
	/* the delta rule: q, k, v and the outer gate in one, or in groups of their own; beta and
	 * decay in one; or q, k, v each with taps, and beta, decay and outer gate by low ranks */
	struct weight *qkvz, *qkv, *z, *ba, *taps[3], *beta, *decay[2], *outer[2];
	struct weight *rate, *rate_bias, *head_norm;
	struct weight *gate, *up, *down, *gate_bias, *up_bias, *down_bias; /* or of the shared expert */
	/* router_bias: of the choice; experts: stacks of gate, up, down */
	struct weight *router, *logit_bias, *router_bias, *experts[3], *expert_bias[3];
	struct weight *share; /* weighs the shared expert */
	/* experts beside the feed-forward: the norm that is routed by; each one's gain is
	 * router_bias; norms after the feed-forward, before and after the experts */
	struct weight *route_norm, *side_norm[3];
};
/* A matrix and the path it was found by; rows first .. of `total` where the
 * tensor has more than it (0: it has them alone). */
struct bound {
	const struct weight *w;
	const char *path;
	struct weight_desc d, bias; /* no data: none */
	size_t first, total;
};
struct weights {
	struct weight *embed, *norm, *head; /* head is embed where they are tied */
	struct weight *own_table, *own_in, *own_norm; /* embeddings of the layers */
	struct weight *positions, *embed_norm, *embed_norm_bias; /* of an encoder */
	struct layer *layer;
	size_t n_layers;
	size_t n_bytes;      /* in their compute form */
	size_t embed_bytes, coded_bytes; /* of them, the table's; of matrices of codes */
	size_t spared_bytes; /* of experts that a row does not take */
	double flop;         /* products with all matrices of a row but the table */
	struct weight **all; /* for closing */
	size_t n_all;
	struct bound *bound; /* [n_bound] */
	size_t n_bound;
	const char *left_out; /* tensors of parts that make no text; NULL: none */
	struct arena arena; /* what had to be unpacked or repacked */
};

/* Notes what was found by a path: a matrix, or the bias of the last one (bound.c). */
NEED int weights_note(struct weights *w, const struct weight *m, const struct weight_desc *d,
                      const char *path, size_t first, size_t total, struct err *e);
/* Finds, checks and uploads each slot. ERR_INPUT names the tensor as the
 * file has it, expected and found. */
NEED int weights_open(struct weights *w, const struct config *c, struct source *s, struct exec *x,
                      struct err *e);
/* Random weights of the config's shape; bits 0: floats of the config's
 * dtype, else grouped affine. */
NEED int weights_make(struct weights *w, const struct config *c, unsigned bits, unsigned group,
                      struct exec *x, struct err *e);
/* The same weights as tensors of a file that is being written. */
NEED int weights_save(struct writer *file, const struct config *c, unsigned bits, unsigned group,
                      struct err *e);
void weights_close(struct weights *w);

#endif
