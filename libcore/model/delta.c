/* SPDX-License-Identifier: MIT */
/* delta.c - x += o(norm(S q) * gate): a state S of each head, carried along by
 * the gated delta rule, behind short convolutions of q, k and v
 *
 * delta_block(): one decay a head, q, k, v and the gate from one matrix in
 * groups of a head of keys. Yang et al., 2024, arXiv:2412.06464
 * kda_block(): a decay of each channel of the keys, gates by low ranks.
 * Kimi Team, 2025, arXiv:2510.26692 */
#include "model/block.h"
#include "model/family.h"

static const float unit_eps = 1e-6f; /* in the lengths of q and k */

void delta_slots(struct pass *p)
{
	const struct config *c = p->c;
	size_t h = c->delta_heads, nk = c->delta_key_heads * c->delta_k, nv = h * c->delta_v;
	bool one = c->family->block == BLOCK_DELTA; /* all in one matrix */

	if (!h)
		return;
	if (one) {
		p->qkvz = record_slot(p->r, "qkvz", 2 * nk + 2 * nv);
		p->ba = record_slot(p->r, "ba", 2 * h);
	} else {
		p->ranks[0] = record_slot(p->r, "decay rank", c->delta_v);
		p->ranks[1] = record_slot(p->r, "gate rank", c->delta_v);
	}
	for (size_t k = 0; k < (one ? 1 : 3); k++) {
		p->raw[k] = record_slot(p->r, "raw", one ? 2 * nk + nv : nk);
		p->qkv[k] = record_slot(p->r, "qkv", one ? 2 * nk + nv : nk);
	}
	p->decay = record_slot(p->r, "decay", one ? h : nk);
	p->beta = record_slot(p->r, "beta", h);
	p->outer = record_slot(p->r, "outer", nv);
	p->told = record_slot(p->r, "told", nv);
}

static void convolve(struct pass *p, const struct weight *taps, size_t i, size_t part)
{
	struct conv conv = { .layer = i, .part = part, .taps = p->c->conv_taps, .w = taps,
		             .act = ACT_SILU };

	op_conv(p->r, p->qkv[part], p->raw[part], &conv);
}

/* From the gates' inputs on. */
static void rule(struct pass *p, const struct layer *l, struct delta *d, enum activation gate)
{
	const struct config *c = p->c;

	d->n_heads = c->delta_heads;
	d->n_key_heads = c->delta_key_heads;
	d->k_dim = c->delta_k;
	d->v_dim = c->delta_v;
	d->decay = p->decay;
	d->beta = p->beta;
	d->eps = unit_eps;
	op_decay(p->r, p->decay, l->rate, l->rate_bias);
	op_act(p->r, p->beta, ACT_SIGMOID);
	op_delta(p->r, p->told, d);
	op_norm_rms(p->r, p->told, p->told, l->head_norm, c->norm_eps);
	op_glu(p->r, p->told, p->outer, p->told, gate);
	block_join(p, l->o, NULL, l->norm[1], p->told);
}

/* Each group of qkvz, where there is one, is a head's q and k, its heads' v, then their gates; of
 * ba the heads' betas, then what decays are made of. */
static void spread(struct pass *p, bool one)
{
	const struct config *c = p->c;
	size_t groups = c->delta_key_heads, dk = c->delta_k, per = c->delta_heads / groups;
	size_t v = per * c->delta_v, all = 2 * dk + 2 * v, nk = groups * dk;

	if (one) {
		op_copy(p->r, p->raw[0], p->qkvz, &(struct copy){ groups, dk, 0, dk, 0, all });
		op_copy(p->r, p->raw[0], p->qkvz, &(struct copy){ groups, dk, nk, dk, dk, all });
		op_copy(p->r, p->raw[0], p->qkvz, &(struct copy){ groups, v, 2 * nk, v, 2 * dk, all });
		op_copy(p->r, p->outer, p->qkvz, &(struct copy){ groups, v, 0, v, 2 * dk + v, all });
	}
	op_copy(p->r, p->beta, p->ba, &(struct copy){ groups, per, 0, per, 0, 2 * per });
	op_copy(p->r, p->decay, p->ba, &(struct copy){ groups, per, 0, per, per, 2 * per });
}

void delta_block(struct pass *p, const struct layer *l, size_t i)
{
	size_t nk = p->c->delta_key_heads * p->c->delta_k;
	struct op_product in[] = { product(p->ba, l->ba, NULL), product(p->qkvz, l->qkvz, NULL) };
	struct op_product apart[] = { in[0], product(p->raw[0], l->qkv, NULL),
		                      product(p->outer, l->z, NULL) };
	struct delta d = { .layer = i, .part = 1, .q = p->qkv[0], .k = p->qkv[0], .v = p->qkv[0],
		           .k_at = nk, .v_at = 2 * nk };

	block_matmul(p, l->qkvz ? in : apart, l->qkvz ? 2 : 3, block_input(p, l->norm[0]), false);
	spread(p, l->qkvz);
	convolve(p, l->conv, i, 0);
	rule(p, l, &d, ACT_SILU);
}

void kda_block(struct pass *p, const struct layer *l, size_t i)
{
	struct slot *x = block_input(p, l->norm[0]);
	struct op_product in[] = { product(p->raw[0], l->q, NULL), product(p->raw[1], l->k, NULL),
		                   product(p->raw[2], l->v, NULL) };
	struct op_product low[] = { product(p->beta, l->beta, NULL),
		                    product(p->ranks[0], l->decay[0], NULL),
		                    product(p->ranks[1], l->outer[0], NULL) };
	struct delta d = { .layer = i, .part = 3, .q = p->qkv[0], .k = p->qkv[1],
		           .v = p->qkv[2] };

	block_matmul(p, in, 3, x, false);
	block_matmul(p, low, 3, x, false);
	block_matmul(p, (struct op_product[]){ product(p->decay, l->decay[1], NULL) }, 1,
	             p->ranks[0], false);
	block_matmul(p, (struct op_product[]){ product(p->outer, l->outer[1], NULL) }, 1,
	             p->ranks[1], false);
	for (size_t k = 0; k < 3; k++)
		convolve(p, l->taps[k], i, k);
	rule(p, l, &d, ACT_SIGMOID);
}
