/* SPDX-License-Identifier: MIT */
/* sides_record.c - products with what adapters add to them
 *
 * y = gain * W x + shift, y += wide * (B (mid * (A x))) for every adapter,
 * y *= out. The low sides are products like any other, so that each backend
 * runs them by the rows it has. */
#include "model/sides_in.h"

struct sided *sides_find(struct sides *s, const struct weight *w, enum use use)
{
	for (size_t i = 0; s && i < s->n_sided; i++)
		if (s->sided[i].w == w && s->sided[i].use == use)
			return &s->sided[i];
	return NULL;
}

int sides_all_used(const struct sides *s, struct err *e)
{
	for (size_t i = 0; s && i < s->n_sided; i++)
		if (!s->sided[i].used)
			return err_set(e, ERR_INPUT, "adapter: %s: this family takes none there",
			               s->sided[i].path);
	return 0;
}

typedef struct slot *new_slot(struct record *r, const char *name, size_t n);

static void low_side(struct record *r, const struct low *l, struct slot *dst, struct slot *mid,
                     new_slot *room)
{
	struct slot *wide;

	if (l->mid)
		op_gain(r, mid, l->mid, NULL);
	if (!l->wide) {
		op_matmul(r, (struct op_product[]){ { dst, l->b, NULL } }, 1, mid, true);
		return;
	}
	wide = room(r, "side.wide", l->n_out);
	op_matmul(r, (struct op_product[]){ { wide, l->b, NULL } }, 1, mid, false);
	op_gain(r, wide, l->wide, NULL);
	op_add(r, dst, wide);
}

/* All that comes after the base product, in dst. */
static void after(struct record *r, struct sided *o, struct slot *dst, struct slot *src,
                  new_slot *room)
{
	o->used = true;
	if (o->gain.w)
		op_gain(r, dst, o->gain.w, o->shift.w);
	for (size_t i = 0; i < o->n_low; i++) {
		struct slot *mid = room(r, "side.mid", o->low[i].rank);

		op_matmul(r, (struct op_product[]){ { mid, o->low[i].a, NULL } }, 1, src, false);
		low_side(r, &o->low[i], dst, mid, room);
	}
	if (o->out.w)
		op_gain(r, dst, o->out.w, NULL);
}

/* A product whose result is changed as a whole before it is added. */
static void apart(struct record *r, struct sided *o, const struct op_product *p, struct slot *src,
                  size_t n_out)
{
	struct slot *y = record_slot(r, "side.y", n_out);

	op_matmul(r, (struct op_product[]){ { y, p->w, p->b } }, 1, src, false);
	after(r, o, y, src, record_slot);
	op_add(r, p->dst, y);
}

void sides_matmul(struct sides *s, struct record *r, const struct op_product *part, size_t n_parts,
                  struct slot *src, bool add)
{
	struct op_product plain[4];
	struct sided *o[4];
	size_t n = 0;

	for (size_t i = 0; i < n_parts && i < 4; i++) {
		o[i] = sides_find(s, part[i].w, USE_PRODUCT);
		/* an input that others read keeps its value: such sides find no place */
		if (o[i] && o[i]->in.w && n_parts > 1)
			o[i] = NULL;
		else if (o[i] && o[i]->in.w)
			op_gain(r, src, o[i]->in.w, NULL);
		if (!o[i] || !add || (!o[i]->gain.w && !o[i]->out.w))
			plain[n++] = part[i];
	}
	if (n)
		op_matmul(r, plain, n, src, add);
	for (size_t i = 0; i < n_parts && i < 4; i++) {
		size_t n_out = o[i] ? o[i]->gain.w ? o[i]->gain.n : o[i]->out.n : 0;

		if (o[i] && add && n_out)
			apart(r, o[i], &part[i], src, n_out);
		else if (o[i])
			after(r, o[i], part[i].dst, src, record_slot);
	}
}

void sides_embed(struct sides *s, struct record *r, struct slot *dst, const struct weight *table)
{
	struct sided *o = sides_find(s, table, USE_TABLE);

	op_embed(r, dst, table);
	for (size_t i = 0; o && i < o->n_low; i++) {
		struct slot *mid = record_slot(r, "side.mid", o->low[i].rank);

		op_embed(r, mid, o->low[i].a);
		low_side(r, &o->low[i], dst, mid, record_slot);
	}
	if (o)
		o->used = true;
}

void sides_head(struct sides *s, struct record *r, struct slot *dst, const struct weight *head,
                struct slot *src)
{
	struct sided *o = sides_find(s, head, USE_HEAD);

	op_matmul(r, (struct op_product[]){ { dst, head, NULL } }, 1, src, false);
	if (o)
		after(r, o, dst, src, record_slot_out);
}
