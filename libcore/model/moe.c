/* SPDX-License-Identifier: MIT */
/* moe.c - x += sum over the chosen experts of weight * expert(h), + shared(h)
 *
 * Shazeer et al., 2017, arXiv:1701.06538; shared experts: Dai et al., 2024,
 * arXiv:2401.06066 */
#include "model/block.h"
#include "model/family.h"

void moe_slots(struct pass *p)
{
	const struct config *c = p->c;
	size_t k = c->routing.k;

	if (!c->n_experts)
		return;
	p->logits = record_slot(p->r, "router", c->n_experts);
	p->chosen = record_slot(p->r, "chosen", 2 * k);
	p->gates = record_slot(p->r, "gates", k * c->expert_ffn);
	p->ups = record_slot(p->r, "ups", k * c->expert_ffn);
	if (c->family->gated_shared) {
		p->share = record_slot(p->r, "share", 1);
		p->shares = record_slot(p->r, "shares", 2);
	}
	p->each = record_slot(p->r, "each", k * c->hidden);
	if (c->shared_ffn && c->shared_ffn != c->ffn) {
		p->shared_gate = record_slot(p->r, "shared gate", c->shared_ffn);
		p->shared_up = record_slot(p->r, "shared up", c->shared_ffn);
	} else {
		p->shared_gate = p->gate;
		p->shared_up = p->up;
	}
}

/* x += sigmoid(share) * down(src): as one expert is mixed in. */
static void join_weighed(struct pass *p, const struct layer *l, struct slot *src)
{
	block_matmul(p, (struct op_product[]){ product(p->y, l->down, NULL) }, 1, src, false);
	op_act(p->r, p->share, ACT_SIGMOID);
	op_copy(p->r, p->shares, p->share, &(struct copy){ 1, 1, 1, 1, 0, 1 });
	op_mix(p->r, p->x, p->y, p->shares);
}

void moe_block(struct pass *p, const struct layer *l)
{
	size_t k = p->c->routing.k;
	struct slot *in = block_input(p, l->norm[2]);
	struct op_product router = product(p->logits, l->router, l->logit_bias);
	struct op_product in_parts[] = { product(p->gates, l->experts[0], l->expert_bias[0]),
		                         product(p->ups, l->experts[1], l->expert_bias[1]) };
	struct op_product out = product(p->each, l->experts[2], l->expert_bias[2]);

	block_matmul(p, &router, 1, in, false);
	op_route(p->r, p->chosen, p->logits, l->router_bias, &p->c->routing);
	op_experts(p->r, in_parts, 2, in, p->chosen, k);
	op_glu(p->r, p->gates, p->gates, p->ups, p->c->act);
	op_experts(p->r, &out, 1, p->gates, p->chosen, k);
	if (l->gate)
		block_matmul(p, (struct op_product[]){ product(p->shared_gate, l->gate, NULL),
		                                       product(p->shared_up, l->up, NULL),
		                                       product(p->share, l->share, NULL) },
		             l->share ? 3 : 2, in, false);
	op_mix(p->r, p->x, p->each, p->chosen);
	if (!l->gate)
		return;
	op_glu(p->r, p->shared_gate, p->shared_gate, p->shared_up, p->c->act);
	if (l->share)
		join_weighed(p, l, p->shared_gate);
	else
		block_join(p, l->down, NULL, NULL, p->shared_gate);
}
