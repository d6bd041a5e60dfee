/* SPDX-License-Identifier: MIT */
/* bind_paired.c - experts as gpt-oss is published: a tensor for all of a layer,
 * rows of gate and up in turns
 *
 * mxfp4: X_blocks [experts][rows][groups][16] and X_scales [experts][rows]
 * [groups], bytes; floats: X [experts][inputs][rows]; both with X_bias
 * [experts][rows]. X is gate_up_proj, or down_proj. */
#include "model/bind.h"
#include "model/coded.h"
#include "model/inventory.h"

#include <stdio.h>
#include <string.h>

/* Which rows of X part k is; what X is called. */
struct part {
	const char *name;
	size_t first, step, rows, n_in; /* rows of one expert */
};

static struct part part_of(const struct config *c, size_t k)
{
	bool down = k == 2;

	return (struct part){ .name = down ? "down_proj" : "gate_up_proj", .first = down ? 0 : k,
		              .step = down ? 1 : 2, .rows = down ? c->hidden : c->expert_ffn,
		              .n_in = down ? c->expert_ffn : c->hidden };
}

/* X and `end`; `name` gets its name. */
static const struct tensor *find(struct binder *b, char name[NAME_ROOM], size_t i,
                                 const struct part *p, const char *end)
{
	char path[NAME_ROOM], leaf[64];
	const struct tensor *t;

	snprintf(path, sizeof path, "model.layers.%zu.mlp.experts", i);
	snprintf(leaf, sizeof leaf, "%s%s", p->name, end);
	t = bind_find(b, name, path, leaf);
	b->path = NULL;
	return t;
}

static int is_shape(const struct tensor *t, enum dtype dtype, struct shape want, struct err *e)
{
	char text[64];

	if ((dtype == DT_U8 ? t->dtype == DT_U8 : dtype_info(t->dtype)->is_float) &&
	    shape_equal(&t->shape, &want))
		return 0;
	return bind_bad_shape(t, shape_text(text, sizeof text, dtype, &want), e);
}

static int take_blocks(struct binder *b, struct weight_desc *d, const struct part *p,
                       const struct tensor *t, const struct tensor *s, struct err *e)
{
	size_t all = p->rows * p->step, groups = p->n_in / 32;
	struct bytes codes, scales;

	if (!s)
		return err_set(e, ERR_INPUT, "%s: scales are missing", t->name);
	if (p->n_in % 32)
		return err_set(e, ERR_INPUT, "%s: %zu columns are no groups of 32", t->name, p->n_in);
	if (is_shape(t, DT_U8, shape_of(4, b->stack, all, groups, (size_t)16), e) ||
	    is_shape(s, DT_U8, shape_of(3, b->stack, all, groups), e))
		return -1;
	if (source_data(b->s, t, &codes, &b->w->arena, e) ||
	    source_data(b->s, s, &scales, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	codes.p += p->first * groups * 16;
	scales.p += p->first * groups;
	d->bits = 4;
	d->group = 32;
	return coded_weight(d, &b->w->arena, codes, scales, p->step, e) ? err_in(e, "%s", t->name) : 0;
}

/* Floats are turned: a row's inputs lie apart in the file. */
static int take_floats(struct binder *b, struct weight_desc *d, const struct part *p,
                       const struct tensor *t, struct err *e)
{
	size_t all = p->rows * p->step, size = dtype_info(t->dtype)->block_bytes;
	struct bytes data;
	unsigned char *to;

	if (is_shape(t, t->dtype, shape_of(3, b->stack, p->n_in, all), e))
		return -1;
	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	to = arena_new(&b->w->arena, d->n_out * p->n_in, size, e);
	if (!to)
		return -1;
	d->dtype = t->dtype;
	d->data = to;
	for (size_t r = 0; r < d->n_out; r++)
		for (size_t k = 0; k < p->n_in; k++, to += size)
			memcpy(to, data.p + ((r / p->rows * p->n_in + k) * all + p->first +
			                     r % p->rows * p->step) * size, size);
	return 0;
}

static int take_bias(struct binder *b, struct weight **out, size_t i, const struct part *p,
                     struct err *e)
{
	char name[NAME_ROOM];
	const struct tensor *t = find(b, name, i, p, "_bias");
	size_t n = b->stack * p->rows, size, all = p->rows * p->step;
	struct weight_desc d = { .name = p->name, .n_out = 1, .n_in = n };
	struct bytes data;
	unsigned char *to;

	if (!t)
		return inventory_missing(b, name, e);
	size = dtype_info(t->dtype)->block_bytes;
	if (is_shape(t, t->dtype, shape_of(2, b->stack, all), e))
		return -1;
	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	to = arena_new(&b->w->arena, n, size, e);
	if (!to)
		return -1;
	for (size_t r = 0; r < n; r++)
		memcpy(to + r * size, data.p + (r * p->step + p->first) * size, size);
	d.dtype = t->dtype;
	d.data = to;
	return bind_add(b, out, &d, n * size, e);
}

int bind_paired(struct binder *b, struct layer *l, size_t i, size_t k, struct err *e)
{
	struct part p = part_of(b->c, k);
	struct weight_desc d = { .name = p.name, .n_out = b->stack * p.rows, .n_in = p.n_in };
	char name[NAME_ROOM], scales[NAME_ROOM];
	const struct tensor *floats = find(b, name, i, &p, "");
	const struct tensor *blocks = find(b, name, i, &p, "_blocks");
	size_t before = b->w->arena.n_bytes;

	if (!blocks && !floats)
		return inventory_missing(b, name, e);
	if (blocks ? take_blocks(b, &d, &p, blocks, find(b, scales, i, &p, "_scales"), e) :
	             take_floats(b, &d, &p, floats, e))
		return -1;
	return bind_add(b, &l->experts[k], &d, b->w->arena.n_bytes - before, e) ||
	       take_bias(b, &l->expert_bias[k], i, &p, e) ? -1 : 0;
}
