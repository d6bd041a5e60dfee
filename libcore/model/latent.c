/* SPDX-License-Identifier: MIT */
/* latent.c - x += o(W_v softmax(q k^T) c): attention over a latent vector c of
 * each position and one rotated key that all heads share
 *
 * A head's keys and values are W_k c and W_v c. Neither is ever made: W_k goes
 * to the query and W_v to the mixture, so that the cache holds c and the
 * rotated key alone, as one head. DeepSeek-AI, 2024, arXiv:2405.04434 */
#include "model/block.h"

void latent_slots(struct pass *p)
{
	const struct config *c = p->c;
	size_t n = c->n_heads, key = c->pe_dim + c->kv_rank;

	if (!c->kv_rank)
		return;
	if (c->q_rank)
		p->low = record_slot(p->r, "low", c->q_rank);
	p->heads = record_slot(p->r, "heads", n * (c->nope_dim + c->pe_dim));
	p->nope = record_slot(p->r, "nope", n * c->nope_dim);
	p->seen = record_slot(p->r, "seen", n * c->kv_rank);
	p->query = record_slot(p->r, "query", n * key);
	p->latent = record_slot(p->r, "latent", c->kv_rank);
	p->pe = record_slot(p->r, "pe", c->pe_dim);
	p->key = record_slot(p->r, "key", key);
	p->mixed = record_slot(p->r, "mixed", n * c->kv_rank);
	p->values = record_slot(p->r, "values", n * c->value_dim);
}

/* The heads' queries, each of its rotated and its other part, and the latent
 * vector and the key of the position. */
static void project(struct pass *p, const struct layer *l)
{
	const struct config *c = p->c;
	struct op_product in[] = { product(p->latent, l->latent, NULL), product(p->pe, l->pe, NULL),
		                   product(c->q_rank ? p->low : p->heads, c->q_rank ? l->low : l->q,
		                           NULL) };

	block_matmul(p, in, 3, block_input(p, l->norm[0]), false);
	op_norm_rms(p->r, p->latent, p->latent, l->latent_norm, c->latent_eps);
	if (!c->q_rank)
		return;
	op_norm_rms(p->r, p->low, p->low, l->low_norm, c->latent_eps);
	block_matmul(p, (struct op_product[]){ product(p->heads, l->q, NULL) }, 1, p->low, false);
}

/* Queries and keys are alike: what is rotated comes first. */
static void join(struct pass *p, const struct layer *l)
{
	const struct config *c = p->c;
	size_t n = c->n_heads, pe = c->pe_dim, head = c->nope_dim + pe, key = pe + c->kv_rank;

	op_copy(p->r, p->nope, p->heads, &(struct copy){ n, c->nope_dim, 0, c->nope_dim, 0, head });
	op_experts(p->r, (struct op_product[]){ product(p->seen, l->embed_q, NULL) }, 1, p->nope,
	           NULL, n);
	op_copy(p->r, p->query, p->heads, &(struct copy){ n, pe, 0, key, c->nope_dim, head });
	op_copy(p->r, p->query, p->seen, &(struct copy){ n, c->kv_rank, pe, key, 0, c->kv_rank });
	op_copy(p->r, p->key, p->pe, &(struct copy){ 1, pe, 0, key, 0, pe });
	op_copy(p->r, p->key, p->latent, &(struct copy){ 1, c->kv_rank, pe, key, 0, c->kv_rank });
}

void latent_block(struct pass *p, const struct layer *l, size_t i)
{
	const struct config *c = p->c;
	size_t key = c->pe_dim + c->kv_rank;
	struct attention att = { .layer = i, .n_heads = c->n_heads, .scale = c->attn_scale };

	project(p, l);
	join(p, l);
	if (!c->unrotated || !c->unrotated[i]) {
		op_rope(p->r, p->query, c->n_heads, key, &p->rope);
		op_rope(p->r, p->key, 1, key, &p->rope);
	}
	op_kv_write(p->r, p->key, NULL, i);
	op_attention(p->r, p->mixed, p->query, &att);
	op_experts(p->r, (struct op_product[]){ product(p->values, l->unembed_out, NULL) }, 1,
	           p->mixed, NULL, c->n_heads);
	block_join(p, l->o, NULL, l->norm[1], p->values);
}
