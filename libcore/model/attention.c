/* SPDX-License-Identifier: MIT */
/* attention.c - x += o(softmax(q k^T) v), grouped heads
 *
 * Grouped heads: Ainslie et al., 2023, arXiv:2305.13245 */
#include "model/block.h"
#include "model/family.h"

void attention_slots(struct pass *p)
{
	const struct config *c = p->c;

	p->q = record_slot(p->r, "q", c->n_heads * c->head_dim);
	if (c->family->gated_query) {
		p->asked = record_slot(p->r, "asked", 2 * c->n_heads * c->head_dim);
		p->ask = record_slot(p->r, "ask", c->n_heads * c->head_dim);
	}
	p->k = record_slot(p->r, "k", c->n_kv_heads * c->head_dim);
	p->v = record_slot(p->r, "v", c->n_kv_heads * c->head_dim);
	p->mix = record_slot(p->r, "mix", c->n_heads * c->head_dim);
}

/* Each head's query, then the gate of its result. */
static void part_queries(struct pass *p)
{
	size_t n = p->c->n_heads, d = p->c->head_dim;

	op_copy(p->r, p->q, p->asked, &(struct copy){ n, d, 0, d, 0, 2 * d });
	op_copy(p->r, p->ask, p->asked, &(struct copy){ n, d, 0, d, d, 2 * d });
}

void attention_block(struct pass *p, const struct layer *l, size_t i)
{
	const struct config *c = p->c;
	struct record *r = p->r;
	const struct rope *rope = c->sliding[i] && c->rope_local_theta > 0 ? &p->local : &p->rope;
	struct op_product qkv[] = {
		product(c->family->gated_query ? p->asked : p->q, l->q, l->q_bias),
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
	if (c->family->gated_query)
		part_queries(p);
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
	if (c->family->gated_query)
		op_glu(r, p->mix, p->ask, p->mix, ACT_SIGMOID);
	block_join(p, l->o, l->o_bias, l->norm[1], p->mix);
}
