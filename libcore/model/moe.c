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

/* Which experts the rows take, by what is in `in`. */
static void route(struct pass *p, const struct layer *l, struct slot *in)
{
	block_matmul(p, (struct op_product[]){ product(p->logits, l->router, l->logit_bias) }, 1, in,
	             false);
	op_route(p->r, p->chosen, p->logits, l->router_bias, &p->c->routing);
}

static void experts(struct pass *p, const struct layer *l, struct slot *in)
{
	size_t k = p->c->routing.k;
	struct op_product in_parts[] = { product(p->gates, l->experts[0], l->expert_bias[0]),
		                         product(p->ups, l->experts[1], l->expert_bias[1]) };
	struct op_product out = product(p->each, l->experts[2], l->expert_bias[2]);

	sides_experts(p->sides, p->r, in_parts, 2, in, p->chosen, k);
	op_glu(p->r, p->gates, p->gates, p->ups, p->c->act);
	sides_experts(p->sides, p->r, &out, 1, p->gates, p->chosen, k);
}

/* x += norm(norm(feed-forward(x)) + norm(experts(x))), each with a norm before it, and the router
 * with one of its own. Google, 2026, Gemma 4. */
static void beside(struct pass *p, const struct layer *l)
{
	float eps = p->c->norm_eps;
	struct slot *gate = l->wide ? p->wide_gate : p->gate, *up = l->wide ? p->wide_up : p->up;
	struct op_product in[] = { product(gate, l->gate, NULL), product(up, l->up, NULL) };

	op_norm_rms(p->r, p->h, p->x, l->route_norm, eps);
	route(p, l, p->h);
	op_norm_rms(p->r, p->h, p->x, l->side_norm[1], eps);
	experts(p, l, p->h);
	block_matmul(p, in, 2, block_input(p, l->norm[2]), false);
	op_glu(p->r, gate, gate, up, p->c->act);
	block_matmul(p, (struct op_product[]){ product(p->y, l->down, NULL) }, 1, gate, false);
	op_norm_rms(p->r, p->y, p->y, l->side_norm[0], eps);
	op_scale(p->r, p->h, 0, 0); /* what the experts say is added to nothing */
	op_mix(p->r, p->h, p->each, p->chosen);
	op_norm_rms(p->r, p->h, p->h, l->side_norm[2], eps);
	op_add(p->r, p->y, p->h);
	op_norm_rms(p->r, p->y, p->y, l->norm[3], eps);
	op_add(p->r, p->x, p->y);
}

void moe_block(struct pass *p, const struct layer *l)
{
	struct slot *in;

	if (l->route_norm) {
		beside(p, l);
		return;
	}
	in = block_input(p, l->norm[2]);
	route(p, l, in);
	experts(p, l, in);
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
