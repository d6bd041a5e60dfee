/* SPDX-License-Identifier: MIT */
/* attention.c - x += o(softmax(q k^T) v), grouped heads
 *
 * Grouped heads: Ainslie et al., 2023, arXiv:2305.13245 */
#include "model/block.h"
#include "model/family.h"

static void slots(struct pass *p, struct slot *out[4], size_t dim, size_t n_kv)
{
	static const char *const names[] = { "q", "k", "v", "mix" };

	for (size_t k = 0; k < 4; k++)
		out[k] = record_slot(p->r, names[k], (k % 3 ? n_kv : p->c->n_heads) * dim);
}

void attention_slots(struct pass *p)
{
	const struct config *c = p->c;
	struct slot *s[4];

	if (c->family->gated_query) {
		p->asked = record_slot(p->r, "asked", 2 * c->n_heads * c->head_dim);
		p->ask = record_slot(p->r, "ask", c->n_heads * c->head_dim);
	}
	slots(p, s, c->head_dim, c->n_kv_heads);
	p->q = p->full_q = s[0];
	p->k = p->full_k = s[1];
	p->v = p->full_v = s[2];
	p->mix = p->full_mix = s[3];
	if (!c->full_head_dim)
		return;
	slots(p, s, c->full_head_dim, c->full_kv_heads ? c->full_kv_heads : c->n_kv_heads);
	p->full_q = s[0];
	p->full_k = s[1];
	p->full_v = s[2];
	p->full_mix = s[3];
}

/* Each head's query, then the gate of its result. */
static void part_queries(struct pass *p)
{
	size_t n = p->c->n_heads, d = p->c->head_dim;

	op_copy(p->r, p->q, p->asked, &(struct copy){ n, d, 0, d, 0, 2 * d });
	op_copy(p->r, p->ask, p->asked, &(struct copy){ n, d, 0, d, d, 2 * d });
}

/* Queries, and keys and values where the layer has its own. */
static void project(struct pass *p, const struct layer *l, size_t i, struct slot *q, struct slot *k,
                    struct slot *v)
{
	size_t n = config_kv_heads(p->c, i) * config_head_dim(p->c, i);
	struct op_product qkv[] = {
		product(p->c->family->gated_query ? p->asked : q, l->q, l->q_bias),
		product(k, l->k, l->k_bias),
		product(v, l->v, l->v_bias),
	};

	block_matmul(p, qkv, l->v ? 3 : l->k ? 2 : 1, block_input(p, l->norm[0]), false);
	if (p->c->family->gated_query)
		part_queries(p);
	if (l->k && !l->v)
		op_copy(p->r, v, k, &(struct copy){ 1, n, 0, n, 0, n });
	if (l->q_norm)
		op_norm_rms(p->r, q, q, l->q_norm, p->c->norm_eps);
	if (l->k_norm)
		op_norm_rms(p->r, k, k, l->k_norm, p->c->norm_eps);
	if (l->k && l->v_norm)
		op_norm_rms(p->r, v, v, l->v_norm, p->c->norm_eps);
}

void attention_block(struct pass *p, const struct layer *l, size_t i)
{
	const struct config *c = p->c;
	struct record *r = p->r;
	bool full = !c->sliding[i];
	struct slot *q = full ? p->full_q : p->q, *k = full ? p->full_k : p->k;
	struct slot *v = full ? p->full_v : p->v, *mix = full ? p->full_mix : p->mix;
	const struct rope *rope = !full && c->rope_local_theta > 0 ? &p->local : &p->rope;
	struct attention att = {
		.layer = config_cache_of(c, i),
		.n_heads = c->n_heads,
		.scale = c->attn_scale,
		.window = c->sliding[i] ? c->window : 0,
		.softcap = c->attn_softcap,
		.sinks = l->sinks,
	};

	project(p, l, i, q, k, v);
	if (!c->unrotated || !c->unrotated[i])
		op_rope(r, q, c->n_heads, config_head_dim(c, i), rope);
	if (l->k && (!c->unrotated || !c->unrotated[i]))
		op_rope(r, k, config_kv_heads(c, i), config_head_dim(c, i), rope);
	if (l->k)
		op_kv_write(r, k, v, i);
	op_attention(r, mix, q, &att);
	if (c->family->gated_query)
		op_glu(r, mix, p->ask, mix, ACT_SIGMOID);
	block_join(p, l->o, l->o_bias, l->norm[1], mix);
}
