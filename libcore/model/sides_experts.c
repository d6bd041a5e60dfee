/* SPDX-License-Identifier: MIT */
/* sides_experts.c - low-rank sides of experts, as stacks beside their stacks
 *
 * An adapter has the sides of a layer's experts as one tensor (MLX), or each
 * as those of a module of its own (Hugging Face). Both become a stack of A
 * and one of B, experts without a side all zero, ranks filled up to the
 * largest: products with them are chosen like those with the experts. */
#include "model/sides_in.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/family.h"

enum { PARTS = 3 };
static const char *const ours[PARTS] = { "gate_proj", "up_proj", "down_proj" };

/* Which experts a side is of; part PARTS: none that they have. */
struct place {
	size_t layer, part, expert;
	bool all;
};

static int part_of(const char *name, const char *const *names)
{
	for (int k = 0; k < PARTS; k++)
		if (names[k] && !strcmp(name, names[k]))
			return k;
	return -1;
}

static bool place_of(struct place *out, const struct config *c, const struct side *s)
{
	static const char front[] = "model.layers.";
	const char *const *f = c->family->experts, *at = s->path;
	size_t n = f[0] ? strlen(f[0]) : 0;
	char *end;
	int part;

	if (!c->n_experts || strncmp(at, front, sizeof front - 1))
		return false;
	*out = (struct place){ .all = s->n_stack > 0 };
	out->layer = strtoul(at + sizeof front - 1, &end, 10);
	if (*end != '.')
		return false;
	at = end + 1;
	if (s->n_stack) {
		const char *dot = strrchr(at, '.');

		part = dot ? part_of(dot + 1, ours) : -1;
	} else {
		if (!n || strncmp(at, f[0], n) || at[n] != '.')
			return false;
		out->expert = strtoul(at + n + 1, &end, 10);
		part = *end == '.' ? part_of(end + 1, f + 1) : -1;
	}
	out->part = part < 0 ? PARTS : (size_t)part;
	return true;
}

bool sides_of_experts(const struct config *c, const struct side *s)
{
	struct place p;

	return place_of(&p, c, s);
}

static int check(const struct side *s, const struct place *p, const struct weights *w,
                 const struct config *c, struct err *e)
{
	size_t n_out = p->part == 2 ? c->hidden : c->expert_ffn;
	size_t n_in = p->part == 2 ? c->expert_ffn : c->hidden;

	if (p->layer >= w->n_layers || p->part >= PARTS ||
	    !w->layer[p->layer].experts[p->part] || (!p->all && p->expert >= c->n_experts))
		return err_set(e, ERR_INPUT, "%s: the model has no such product", s->path);
	if (!s->a || s->m || s->out || s->in)
		return err_set(e, ERR_INPUT, "%s: an expert takes lora_a and lora_b alone", s->path);
	if ((p->all && s->n_stack != c->n_experts) || s->n_in != n_in || s->n_out != n_out)
		return err_set(e, ERR_INPUT, "%s: a side of %zu times [%zu,%zu], the model has %zu of "
		               "[%zu,%zu]", s->path, p->all ? s->n_stack : 1, s->n_out, s->n_in,
		               c->n_experts, n_out, n_in);
	return 0;
}

/* ---- one stack of sides */

struct stack {
	struct binding *b;
	const struct side **side;  /* [n_experts], NULL: none */
	size_t n, rank, n_in, n_out;
};

/* Expert j's matrix of a side that may be a stack. */
static const float *matrix_of(const struct side *s, const float *all, size_t j, size_t n)
{
	return s->n_stack ? all + j * n : all;
}

static int upload(struct stack *k, struct weight **out, const float *v, size_t n_out, size_t n_in,
                  struct err *e)
{
	struct weight_desc d = { .name = k->b->side->path, .form = FORM_FLOAT, .dtype = DT_F32,
		                 .n_out = k->n * n_out, .n_in = n_in, .data = v, .n_stack = k->n };
	struct sides *s = k->b->s;

	if (weight_open(out, k->b->x, &d, e))
		return -1;
	s->all[s->n_all++] = *out;
	return 0;
}

static int add_low(struct stack *k, struct sided *o, struct err *e)
{
	struct arena *arena = &k->b->s->arena;
	struct low *l = &o->low[o->n_low];
	float *a = arena_new(arena, k->n * k->rank * k->n_in, sizeof *a, e);
	float *b = a ? arena_new(arena, k->n * k->n_out * k->rank, sizeof *b, e) : NULL;

	if (!b)
		return -1;
	for (size_t j = 0; j < k->n; j++) {
		const struct side *s = k->side[j];

		if (!s)
			continue;
		memcpy(a + j * k->rank * k->n_in, matrix_of(s, s->a, j, s->rank * s->n_in),
		       s->rank * s->n_in * sizeof *a);
		for (size_t r = 0; r < s->n_out; r++)
			memcpy(b + (j * k->n_out + r) * k->rank,
			       matrix_of(s, s->b, j, s->n_out * s->rank) + r * s->rank,
			       s->rank * sizeof *b);
	}
	if (upload(k, &l->a, a, k->rank, k->n_in, e) || upload(k, &l->b, b, k->n_out, k->rank, e))
		return -1;
	l->rank = k->rank;
	l->n_out = k->n_out;
	l->mid = sides_strengths(k->b, NULL, k->b->c->routing.k * k->rank, e);
	o->n_low += l->mid != NULL;
	return l->mid ? 0 : -1;
}

/* The adapter's sides of a layer's part, if it has any. */
static int bind_part(struct stack *k, const struct adapter *a, const struct weights *w,
                     size_t layer, size_t part, struct err *e)
{
	struct place p;

	k->rank = 0;
	memset(k->side, 0, k->n * sizeof(struct side *));
	for (size_t i = 0; i < a->n_sides; i++) {
		const struct side *s = &a->side[i];

		if (!place_of(&p, k->b->c, s) || p.layer != layer || p.part != part)
			continue;
		for (size_t j = p.all ? 0 : p.expert; j < (p.all ? k->n : p.expert + 1); j++) {
			if (k->side[j])
				return err_set(e, ERR_INPUT, "%s: expert %zu has a side already", s->path, j);
			k->side[j] = s;
		}
		k->b->side = s;
		k->n_in = s->n_in;
		k->n_out = s->n_out;
		k->rank = s->rank > k->rank ? s->rank : k->rank;
	}
	return k->rank ? add_low(k, sides_add(k->b->s, w->layer[layer].experts[part],
	                                      k->b->side->path, USE_EXPERTS), e) : 0;
}

int sides_bind_experts(struct binding *b, const struct adapter *a, const struct weights *w,
                       struct err *e)
{
	struct stack k = { .b = b, .n = b->c->n_experts };
	struct place p;
	size_t n = 0;

	for (size_t i = 0; i < a->n_sides; i++) {
		if (!place_of(&p, b->c, &a->side[i]))
			continue;
		if (check(&a->side[i], &p, w, b->c, e))
			return -1;
		n++;
	}
	if (!n)
		return 0;
	k.side = arena_new(&b->s->arena, k.n, sizeof *k.side, e);
	if (!k.side)
		return -1;
	for (size_t i = 0; i < w->n_layers; i++)
		for (size_t part = 0; part < PARTS; part++)
			if (bind_part(&k, a, w, i, part, e))
				return -1;
	return 0;
}

/* ---- recording */

void sides_experts(struct sides *s, struct record *r, const struct op_product *part,
                   size_t n_parts, struct slot *src, struct slot *chosen, size_t n_used)
{
	op_experts(r, part, n_parts, src, chosen, n_used);
	for (size_t i = 0; i < n_parts; i++) {
		struct sided *o = sides_find(s, part[i].w, USE_EXPERTS);

		for (size_t k = 0; o && k < o->n_low; k++) {
			const struct low *l = &o->low[k];
			struct slot *mid = record_slot(r, "side.mid", n_used * l->rank);
			struct slot *y = record_slot(r, "side.y", n_used * l->n_out);

			op_experts(r, (struct op_product[]){ { mid, l->a, NULL } }, 1, src, chosen, n_used);
			op_gain(r, mid, l->mid, NULL);
			op_experts(r, (struct op_product[]){ { y, l->b, NULL } }, 1, mid, chosen, n_used);
			op_add(r, part[i].dst, y);
		}
		if (o)
			o->used = true;
	}
}
