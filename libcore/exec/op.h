/* SPDX-License-Identifier: MIT */
/* op.h - recording a step: slots, and every op with its shapes. Part of the
 * door of exec/, which includes it. */
#ifndef CLM_EXEC_OP_H
#define CLM_EXEC_OP_H

#include "exec/exec.h"

struct record;
struct slot;               /* activations [rows][n] f32 of one record */

NEED int record_open(struct record **out, struct exec *x, size_t max_rows, size_t max_out,
                     struct exec_kv *kv, struct err *e);
void record_close(struct record *r);
/* Slots: over the step's rows, or over its output rows. NULL once the record
 * has failed: errors stick and record_end() reports the first. */
struct slot *record_slot(struct record *r, const char *name, size_t n);
struct slot *record_slot_out(struct record *r, const char *name, size_t n);

/* dst[i] = table[token[i]] */
void op_embed(struct record *r, struct slot *dst, const struct weight *table);
/* dst[i] = table[pos[i]] */
void op_embed_position(struct record *r, struct slot *dst, const struct weight *table);
/* y = x * g / sqrt(mean(x^2) + eps) over runs of n elements (n divides the
 * slot's width: the whole row, or one head); dst may be src. `weight` a
 * FLOAT vector of n. Zhang and Sennrich, 2019, arXiv:1910.07467 */
void op_norm_rms(struct record *r, struct slot *dst, struct slot *src, const struct weight *g,
                 float eps);
/* y = (x - mean) / sqrt(variance + eps) * g + b over the whole row; dst may be
 * src. FLOAT vectors. Ba et al., 2016, arXiv:1607.06450 */
struct norm_layer { const struct weight *g, *b; float eps; };
void op_norm_layer(struct record *r, struct slot *dst, struct slot *src,
                   const struct norm_layer *n);
/* Products that share one input: dst[k] = W[k] src (+ b[k]); with `add`,
 * dst[k] += W[k] src (+ b[k]). n_parts 1..4; b[k] may be NULL. */
struct op_product { struct slot *dst; const struct weight *w, *b; };
void op_matmul(struct record *r, const struct op_product *part, size_t n_parts, struct slot *src,
               bool add);
/* Rotary embedding of n_heads heads of head_dim, in place; the first `dims`
 * elements of a head are rotated. Su et al., 2021, arXiv:2104.09864 */
struct rope {
	size_t dims;
	bool interleaved;      /* input pairs (2i, 2i+1); the output's are (i, i + dims/2) */
	double inv_freq[256];  /* [dims / 2] */
	float scale;           /* multiplies cos and sin (yarn) */
	size_t far;            /* longrope: positions from here on use these; 0: none */
	double far_inv_freq[256];
	/* dynamic NTK: from position max_pos on the base grows with it; 0: not dynamic */
	double dynamic_base, dynamic_factor;
	size_t dynamic_max_pos;
};
void op_rope(struct record *r, struct slot *x, size_t n_heads, size_t head_dim,
             const struct rope *rope);
/* Writes this step's keys and values of one layer at their positions; v is
 * NULL where values are in keys. */
void op_kv_write(struct record *r, struct slot *k, struct slot *v, size_t layer);
/* dst = softmax(scale * q k^T) v over the row's own sequence up to its own
 * position, and at most `window` positions (0: all), grouped heads. The
 * context is split at fixed borders of 512 positions (256 on NVIDIA's matrix
 * units), merged in order. With a softcap scores are softcap * tanh(score /
 * softcap) (0: as they are). A sink is one more score of a head, of nothing.
 * Xiao et al., 2023, arXiv:2309.17453 */
struct attention {
	size_t layer, n_heads;
	float scale;
	size_t window;
	float softcap;
	const struct weight *sinks; /* a FLOAT vector of n_heads; NULL: none */
};
void op_attention(struct record *r, struct slot *dst, struct slot *q, const struct attention *a);
enum activation { ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_NONE, ACT_SIGMOID, ACT_CLIPPED };
/* dst = softmax(scale * q k^T) v over all of the step's rows of the row's own
 * sequence, before it and after it: an encoder's, whose sequences are whole in
 * one step. No cache is used, but the record has one. */
struct encode { struct slot *q, *k, *v; size_t n_heads; float scale; };
void op_encode(struct record *r, struct slot *dst, const struct encode *a);
/* x = act(x); not ACT_CLIPPED */
void op_act(struct record *r, struct slot *x, enum activation act);
/* dst = act(gate) * up; dst may be either. ACT_CLIPPED: g * sigmoid(1.702 g) * (u + 1) of
 * gates of at most 7 and ups within 7 of 0. */
void op_glu(struct record *r, struct slot *dst, struct slot *gate, struct slot *up,
            enum activation act);
/* dst[c] = act(sum over k of w[c][k] * src[c], taps - 1 - k positions ago), over the row's own
 * sequence, zeros before it: a convolution per channel. `w` a FLOAT vector of channels * taps, act
 * ACT_NONE or ACT_SILU. State `part` of the layer is the last inputs, [taps - 1][channels]; the
 * step's rows of a sequence follow each other without a gap. dst is not src. */
enum { CONV_TAPS = 8 };
struct conv { size_t layer, part, taps; const struct weight *w; enum activation act; };
void op_conv(struct record *r, struct slot *dst, struct slot *src, const struct conv *c);
/* x = exp(-rate[h] * softplus(x + bias)), how much of a state stays: x and `bias` (a FLOAT vector)
 * as many equal runs as `rate` has numbers. */
void op_decay(struct record *r, struct slot *x, const struct weight *rate,
              const struct weight *bias);
/* A state S [k_dim][v_dim] of each of n_heads heads carried along by the gated delta rule, with q
 * and k scaled to |q| = 1 / sqrt(k_dim) and |k| = 1 (eps inside the root):
 *     S *= decay;   S += k (x) beta * (v - S k);   dst = S q
 * q and k are n_key_heads heads each, of which head h takes h * n_key_heads / n_heads, from q_at
 * and k_at on in a row of their slots, v n_heads from v_at on. decay: [n_heads], or of each
 * channel of the keys [n_heads][k_dim]; beta: [n_heads]. The state is `part` of the layer. dst is
 * none of the others. Yang et al., 2024, arXiv:2412.06464; per channel: Kimi Team, 2025,
 * arXiv:2510.26692 */
enum { DELTA_DIM = 256 };
struct delta {
	size_t layer, part, n_heads, n_key_heads, k_dim, v_dim;
	struct slot *q, *k, *v, *decay, *beta;
	size_t q_at, k_at, v_at;
	float eps;
};
void op_delta(struct record *r, struct slot *dst, const struct delta *d);
/* dst += src; x *= scale, then, where cap is not 0, x = cap * tanh(x / cap) */
void op_add(struct record *r, struct slot *dst, struct slot *src);
void op_scale(struct record *r, struct slot *x, float scale, float cap);
/* x[i] = x[i] * gain[adapter[i]] (+ shift[adapter[i]]), by each row's adapter. `gain` and
 * `shift` (may be NULL) FLOAT vectors, f32, of n_adapters * the slot's width. */
void op_gain(struct record *r, struct slot *x, const struct weight *gain,
             const struct weight *shift);
/* Gathers the rows whose outputs are wanted: dst (an out slot) of src. */
void op_pick(struct record *r, struct slot *dst, struct slot *src);
/* dst[h * to_step + to + i] = src[h * from_step + from + i] for `n` elements of
 * each of n_runs runs of a row; the rest of dst stays. */
struct copy { size_t n_runs, n, to, to_step, from, from_step; };
void op_copy(struct record *r, struct slot *dst, struct slot *src, const struct copy *c);

/* ---- experts. Shazeer et al., 2017, arXiv:1701.06538
 *
 * Which experts each row takes: dst is [k] numbers of experts, best first and of equal ones the
 * lower, then their [k] weights. SOFTMAX weighs by the softmax over all logits, SIGMOID by each
 * logit's sigmoid, CHOSEN by the softmax over the chosen. `bias` (NULL: none) is added to what
 * is chosen by, not to weights. With n_groups > 1 only the top_groups groups of experts count
 * whose two best add up to most; the others are chosen by 0. DeepSeek-AI, 2024,
 * arXiv:2412.19437. With `gains` the vector multiplies the weights of its experts instead. */
enum routing_score { SCORE_SOFTMAX, SCORE_SIGMOID, SCORE_CHOSEN };
struct routing {
	size_t k, n_groups, top_groups;
	enum routing_score score;
	bool normalize;        /* weights by their sum */
	bool gains;
	float scale;           /* then times this */
};
void op_route(struct record *r, struct slot *dst, struct slot *logits, const struct weight *bias,
              const struct routing *how);
/* Products with stacks: dst[k] is [n_used][n_out] a row, run j the product with the matrix that
 * `chosen` (as op_route() fills it) names at j, or with matrix j where it is NULL. src is one
 * input for all runs, or n_used of them. b[k]: a vector of the whole stack. */
void op_experts(struct record *r, const struct op_product *part, size_t n_parts,
                struct slot *src, struct slot *chosen, size_t n_used);
/* dst += sum over j of weight[j] * src[j] */
void op_mix(struct record *r, struct slot *dst, struct slot *src, struct slot *chosen);
void record_result(struct record *r, struct slot *s); /* an out slot: read after each run */
void record_asks(struct record *r);  /* steps may ask of its rows in their place (ask.h) */
NEED int record_end(struct record *r, struct err *e);

#endif
