/* SPDX-License-Identifier: MIT */
/* forward.c - the pass, as the paper tells it
 *
 * Prefill, decode, a mixed batch and draft verification are one path over
 * rows of (token, position, sequence). What a layer does is in a file per
 * kind of block. Touvron et al., 2023, arXiv:2302.13971 */
#include "model/forward.h"

#include "model/block.h"
#include "model/config.h"

struct slot *block_input(struct pass *p, const struct weight *norm)
{
	if (!norm)
		return p->x;
	op_norm_rms(p->r, p->h, p->x, norm, p->c->norm_eps);
	return p->h;
}

void block_join(struct pass *p, const struct weight *w, const struct weight *b,
                const struct weight *norm, struct slot *src)
{
	block_matmul(p, (struct op_product[]){ product(norm ? p->y : p->x, w, b) }, 1, src, !norm);
	if (!norm)
		return;
	op_norm_rms(p->r, p->y, p->y, norm, p->c->norm_eps);
	op_add(p->r, p->x, p->y);
}

static void open_slots(struct pass *p)
{
	p->x = record_slot(p->r, "x", p->c->hidden);
	p->h = record_slot(p->r, "h", p->c->hidden);
	p->y = record_slot(p->r, "y", p->c->hidden);
	attention_slots(p);
	latent_slots(p);
	delta_slots(p);
	conv_slots(p);
	ffn_slots(p);
	moe_slots(p);
	own_slots(p);
}

static const struct {
	void (*mix)(struct pass *, const struct layer *, size_t);
	void (*feed)(struct pass *, const struct layer *);
} blocks[] = {
	[BLOCK_ATTENTION] = { attention_block, ffn_block },
	[BLOCK_CONV] = { conv_block, ffn_block },
	[BLOCK_ENCODER] = { encoder_block, encoder_ffn },
	[BLOCK_LATENT] = { latent_block, ffn_block },
	[BLOCK_DELTA] = { delta_block, ffn_block },
	[BLOCK_KDA] = { kda_block, ffn_block },
};

static void layers(struct pass *p)
{
	for (size_t i = 0; i < p->w->n_layers; i++) {
		const struct layer *l = &p->w->layer[i];

		blocks[p->c->block[i]].mix(p, l, i);
		(l->router ? moe_block : blocks[p->c->block[i]].feed)(p, l);
		own_block(p, l, i);
	}
}

/* Logits of the rows whose outputs are wanted, or their hidden states. */
static void head(struct pass *p, bool hidden)
{
	const struct config *c = p->c;
	struct slot *last = record_slot_out(p->r, "last", c->hidden);
	struct slot *logits = record_slot_out(p->r, "logits", c->vocab);

	op_pick(p->r, last, p->x);
	if (p->w->norm)
		op_norm_rms(p->r, last, last, p->w->norm, c->norm_eps);
	if (hidden) {
		record_result(p->r, last);
		return;
	}
	sides_head(p->sides, p->r, logits, p->w->head, last);
	if (c->final_softcap > 0)
		op_scale(p->r, logits, 1, c->final_softcap);
	record_result(p->r, logits);
	record_asks(p->r);
}

int forward_record(struct record **out, struct exec *x, struct exec_kv *kv, const struct config *c,
                   const struct weights *w, struct sides *sides, const struct forward_limits *l,
                   struct err *e)
{
	struct pass p = { .c = c, .w = w, .sides = sides };

	if (record_open(&p.r, x, l->rows, l->out, kv, e))
		return -1;
	config_rope(c, &p.rope, false);
	config_rope(c, &p.local, true);
	open_slots(&p);
	sides_embed(sides, p.r, p.x, w->embed);
	if (c->embed_scale > 0)
		op_scale(p.r, p.x, c->embed_scale, 0);
	if (c->encoder)
		encoder_embed(&p);
	own_embed(&p);
	layers(&p);
	head(&p, l->hidden);
	if (record_end(p.r, e)) {
		record_close(p.r);
		return -1;
	}
	*out = p.r;
	return 0;
}
