/* SPDX-License-Identifier: MIT */
/* attention.c - x += o(softmax(q k^T) v), grouped heads
 *
 * Grouped heads: Ainslie et al., 2023, arXiv:2305.13245 */
#include "model/block.h"

void attention_slots(struct pass *p)
{
	const struct config *c = p->c;

	p->q = record_slot(p->r, "q", c->n_heads * c->head_dim);
	p->k = record_slot(p->r, "k", c->n_kv_heads * c->head_dim);
	p->v = record_slot(p->r, "v", c->n_kv_heads * c->head_dim);
	p->mix = record_slot(p->r, "mix", c->n_heads * c->head_dim);
}

void attention_block(struct pass *p, const struct layer *l, size_t i)
{
	const struct config *c = p->c;
	struct record *r = p->r;
	const struct rope *rope = c->sliding[i] && c->rope_local_theta > 0 ? &p->local : &p->rope;
	struct op_product qkv[] = {
		product(p->q, l->q, l->q_bias),
		product(p->k, l->k, l->k_bias),
		product(p->v, l->v, l->v_bias),
	};
	struct attention att = {
		.layer = i,
		.n_heads = c->n_heads,
		.scale = c->attn_scale,
		.window = c->sliding[i] ? c->window : 0,
		.softcap = c->attn_softcap,
	};

	block_matmul(p, qkv, 3, block_input(p, l->norm[0]), false);
	if (l->q_norm) {
		op_norm_rms(r, p->q, p->q, l->q_norm, c->norm_eps);
		op_norm_rms(r, p->k, p->k, l->k_norm, c->norm_eps);
	}
	if (!c->unrotated || !c->unrotated[i]) {
		op_rope(r, p->q, c->n_heads, c->head_dim, rope);
		op_rope(r, p->k, c->n_kv_heads, c->head_dim, rope);
	}
	op_kv_write(r, p->k, p->v, i);
	op_attention(r, p->mix, p->q, &att);
	block_join(p, l->o, l->o_bias, l->norm[1], p->mix);
}
