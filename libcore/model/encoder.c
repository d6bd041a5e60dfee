/* SPDX-License-Identifier: MIT */
/* encoder.c - layers in which every position sees all, normed after each sum
 *
 * Devlin et al., 2018, arXiv:1810.04805 */
#include "model/block.h"

static void norm(struct pass *p, const struct weight *g, const struct weight *b)
{
	op_norm_layer(p->r, p->x, p->x, &(struct norm_layer){ g, b, p->c->norm_eps });
}

/* x = norm(x + W src + b) */
static void join(struct pass *p, const struct layer *l, size_t i, struct op_product w,
                 struct slot *src)
{
	block_matmul(p, &w, 1, src, true);
	norm(p, l->norm[i], l->norm_bias[i]);
}

void encoder_embed(struct pass *p)
{
	op_embed_position(p->r, p->y, p->w->positions);
	op_add(p->r, p->x, p->y);
	norm(p, p->w->embed_norm, p->w->embed_norm_bias);
}

void encoder_block(struct pass *p, const struct layer *l, size_t i)
{
	struct op_product qkv[] = { product(p->q, l->q, l->q_bias), product(p->k, l->k, l->k_bias),
		                    product(p->v, l->v, l->v_bias) };
	struct encode encode = { p->q, p->k, p->v, p->c->n_heads, p->c->attn_scale };

	(void)i;
	block_matmul(p, qkv, 3, p->x, false);
	op_encode(p->r, p->mix, &encode);
	join(p, l, 1, product(p->x, l->o, l->o_bias), p->mix);
}

void encoder_ffn(struct pass *p, const struct layer *l)
{
	struct op_product up = product(p->up, l->up, l->up_bias);

	block_matmul(p, &up, 1, p->x, false);
	op_act(p->r, p->up, p->c->act);
	join(p, l, 3, product(p->x, l->down, l->down_bias), p->up);
}
