/* SPDX-License-Identifier: MIT */
/* own.c - x += norm(proj(act(gate(x)) * own)): an embedding of the token that
 * a layer has of its own, and what is said of all of them at the beginning
 *
 * own = (table[token] sqrt(n) + norm(P x0 / sqrt(width))) / sqrt(2), n numbers
 * for each layer. Google, 2025, Gemma 3n. */
#include "model/block.h"
#include "model/family.h"

#include <math.h>

void own_slots(struct pass *p)
{
	const struct config *c = p->c;

	if (!c->own_dim)
		return;
	p->owns = record_slot(p->r, "owns", c->n_layers * c->own_dim);
	p->own_given = record_slot(p->r, "own given", c->n_layers * c->own_dim);
	p->own = record_slot(p->r, "own", c->own_dim);
	p->own_gate = record_slot(p->r, "own gate", c->own_dim);
}

void own_embed(struct pass *p)
{
	const struct config *c = p->c;
	const struct weights *w = p->w;

	if (!c->own_dim)
		return;
	op_embed(p->r, p->owns, w->own_table);
	op_scale(p->r, p->owns, sqrtf((float)c->own_dim), 0);
	block_matmul(p, (struct op_product[]){ product(p->own_given, w->own_in, NULL) }, 1, p->x,
	             false);
	op_scale(p->r, p->own_given, (float)(1 / sqrt((double)c->hidden)), 0);
	op_norm_rms(p->r, p->own_given, p->own_given, w->own_norm, c->norm_eps);
	op_add(p->r, p->owns, p->own_given);
	op_scale(p->r, p->owns, (float)sqrt(0.5), 0);
}

void own_block(struct pass *p, const struct layer *l, size_t i)
{
	size_t n = p->c->own_dim;
	struct copy part = { 1, n, 0, n, i * n, p->c->n_layers * n };

	if (l->own_gate) {
		block_matmul(p, (struct op_product[]){ product(p->own_gate, l->own_gate, NULL) }, 1, p->x,
		             false);
		op_copy(p->r, p->own, p->owns, &part);
		op_glu(p->r, p->own_gate, p->own_gate, p->own, p->c->act);
		block_join(p, l->own_out, NULL, l->own_norm, p->own_gate);
	}
	if (p->c->family->layer_scalar)
		op_scale(p->r, p->x, l->scalar, 0);
}
