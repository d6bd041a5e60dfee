/* SPDX-License-Identifier: MIT */
/* ffn.c - x += down(act(gate) * up). Shazeer, 2020, arXiv:2002.05202 */
#include "model/block.h"

void ffn_slots(struct pass *p)
{
	p->gate = record_slot(p->r, "gate", p->c->ffn);
	p->up = record_slot(p->r, "up", p->c->ffn);
	if (!p->c->wide_ffn)
		return;
	p->wide_gate = record_slot(p->r, "wide gate", p->c->wide_ffn);
	p->wide_up = record_slot(p->r, "wide up", p->c->wide_ffn);
}

void ffn_block(struct pass *p, const struct layer *l)
{
	struct slot *gate = l->wide ? p->wide_gate : p->gate, *up = l->wide ? p->wide_up : p->up;
	struct op_product in[] = { product(gate, l->gate, l->gate_bias),
		                   product(up, l->up, l->up_bias) };

	block_matmul(p, in, 2, block_input(p, l->norm[2]), false);
	op_glu(p->r, gate, gate, up, p->c->act);
	block_join(p, l->down, l->down_bias, l->norm[3], gate);
}
