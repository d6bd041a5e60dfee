/* SPDX-License-Identifier: MIT */
/* conv.c - x += o(c * conv(b * u)): a short convolution over the last
 * positions, gated before and after. */
#include "model/block.h"

void conv_slots(struct pass *p)
{
	p->b = record_slot(p->r, "b", p->c->hidden);
	p->u = record_slot(p->r, "u", p->c->hidden);
}

void conv_block(struct pass *p, const struct layer *l, size_t i)
{
	struct op_product in[] = { product(p->b, l->in[0], NULL), product(p->y, l->in[1], NULL),
		                   product(p->u, l->in[2], NULL) };
	struct conv conv = { .layer = i, .taps = p->c->conv_taps, .w = l->conv, .act = ACT_NONE };

	block_matmul(p, in, 3, block_input(p, l->norm[0]), false);
	op_glu(p->r, p->b, p->b, p->u, ACT_NONE);
	op_conv(p->r, p->u, p->b, &conv);
	op_glu(p->r, p->u, p->y, p->u, ACT_NONE);
	block_join(p, l->o, l->o_bias, l->norm[1], p->u);
}
