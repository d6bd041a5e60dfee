/* SPDX-License-Identifier: MIT */
/* forward.c - the pass, as the paper tells it
 *
 * Prefill, decode, a mixed batch and draft verification are one path over
 * rows of (token, position, sequence). Touvron et al., 2023,
 * arXiv:2302.13971; grouped heads: Ainslie et al., 2023, arXiv:2305.13245 */
#include "model/forward.h"

#include "model/config.h"

/* The activations of a pass. */
struct slots {
	struct slot *x, *h, *y;       /* the residual stream; its norm; what joins it normed */
	struct slot *q, *k, *v, *mix; /* attention */
	struct slot *gate, *up;       /* feed-forward */
};

static struct op_product product(struct slot *dst, const struct weight *w,
                                 const struct weight *bias)
{
	return (struct op_product){ dst, w, bias };
}

/* x += W src (+ b), with a norm of the product in between where there is one */
static void join(struct record *r, const struct config *c, const struct slots *s,
                 const struct weight *w, const struct weight *b, const struct weight *norm,
                 struct slot *src)
{
	op_matmul(r, (struct op_product[]){ product(norm ? s->y : s->x, w, b) }, 1, src, !norm);
	if (!norm)
		return;
	op_norm_rms(r, s->y, s->y, norm, c->norm_eps);
	op_add(r, s->x, s->y);
}

/* What a block reads: the stream, or its norm. */
static struct slot *input(struct record *r, const struct config *c, const struct slots *s,
                          const struct weight *norm)
{
	if (!norm)
		return s->x;
	op_norm_rms(r, s->h, s->x, norm, c->norm_eps);
	return s->h;
}

/* x += o(softmax(q k^T) v) */
static void attention(struct record *r, const struct config *c, const struct layer *l, size_t i,
                      const struct rope *rope, const struct slots *s)
{
	struct op_product qkv[] = {
		product(s->q, l->q, l->q_bias),
		product(s->k, l->k, l->k_bias),
		product(s->v, l->v, l->v_bias),
	};
	struct attention att = {
		.layer = i,
		.n_heads = c->n_heads,
		.scale = c->attn_scale,
		.window = c->sliding[i] ? c->window : 0,
		.softcap = c->attn_softcap,
	};

	op_matmul(r, qkv, 3, input(r, c, s, l->norm[0]), false);
	if (l->q_norm) {
		op_norm_rms(r, s->q, s->q, l->q_norm, c->norm_eps);
		op_norm_rms(r, s->k, s->k, l->k_norm, c->norm_eps);
	}
	if (!c->unrotated || !c->unrotated[i]) {
		op_rope(r, s->q, c->n_heads, c->head_dim, rope);
		op_rope(r, s->k, c->n_kv_heads, c->head_dim, rope);
	}
	op_kv_write(r, s->k, s->v, i);
	op_attention(r, s->mix, s->q, &att);
	join(r, c, s, l->o, l->o_bias, l->norm[1], s->mix);
}

/* x += down(act(gate) * up). Shazeer, 2020, arXiv:2002.05202 */
static void feed_forward(struct record *r, const struct config *c, const struct layer *l,
                         const struct slots *s)
{
	struct op_product in[] = { product(s->gate, l->gate, l->gate_bias),
		                   product(s->up, l->up, l->up_bias) };

	op_matmul(r, in, 2, input(r, c, s, l->norm[2]), false);
	op_glu(r, s->gate, s->gate, s->up, c->act);
	join(r, c, s, l->down, l->down_bias, l->norm[3], s->gate);
}

int forward_record(struct record **out, struct exec *x, struct exec_kv *kv, const struct config *c,
                   const struct weights *w, size_t max_rows, size_t max_out, struct err *e)
{
	struct slot *last, *logits;
	struct record *r;
	struct slots s;
	struct rope rope, local;

	if (record_open(&r, x, max_rows, max_out, kv, e))
		return -1;
	config_rope(c, &rope, false);
	config_rope(c, &local, true);
	s.x = record_slot(r, "x", c->hidden);
	s.h = record_slot(r, "h", c->hidden);
	s.y = record_slot(r, "y", c->hidden);
	s.q = record_slot(r, "q", c->n_heads * c->head_dim);
	s.k = record_slot(r, "k", c->n_kv_heads * c->head_dim);
	s.v = record_slot(r, "v", c->n_kv_heads * c->head_dim);
	s.mix = record_slot(r, "mix", c->n_heads * c->head_dim);
	s.gate = record_slot(r, "gate", c->ffn);
	s.up = record_slot(r, "up", c->ffn);
	last = record_slot_out(r, "last", c->hidden);
	logits = record_slot_out(r, "logits", c->vocab);

	op_embed(r, s.x, w->embed);
	if (c->embed_scale > 0)
		op_scale(r, s.x, c->embed_scale, 0);
	for (size_t i = 0; i < w->n_layers; i++) {
		bool own = c->sliding[i] && c->rope_local_theta > 0;

		attention(r, c, &w->layer[i], i, own ? &local : &rope, &s);
		feed_forward(r, c, &w->layer[i], &s);
	}
	op_pick(r, last, s.x);
	op_norm_rms(r, last, last, w->norm, c->norm_eps);
	op_matmul(r, (struct op_product[]){ product(logits, w->head, NULL) }, 1, last, false);
	if (c->final_softcap > 0)
		op_scale(r, logits, 1, c->final_softcap);
	record_result(r, logits);
	if (record_end(r, e)) {
		record_close(r);
		return -1;
	}
	*out = r;
	return 0;
}
