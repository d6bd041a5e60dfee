/* SPDX-License-Identifier: MIT */
/* made.c - weights that are made up, slot by slot: uploaded, or written as
 * tensors of a file
 *
 * A file's tensors are all declared before the first one's data: the slots
 * are gone through twice, and each is drawn in the second, released after. */
#include "model/bind.h"
#include "model/family.h"

#include <stdio.h>
#include <string.h>

/* One tensor PATH.LEAF: declared, or its data written. */
static int put_tensor(struct binder *b, const char *path, const char *leaf, enum dtype t,
                      const struct shape *s, const void *data, struct err *e)
{
	char ours[NAME_ROOM], name[NAME_ROOM];
	size_t n;

	snprintf(ours, sizeof ours, "%s.%s", path, leaf);
	if (!family_name_out(b->c->family, name, sizeof name, NAMING_HF, ours))
		return err_set(e, ERR_INPUT, "%s: no name in the family's files", ours);
	if (b->declare)
		return writer_declare(b->save, name, t, s, e);
	return shape_bytes(&n, t, s) ? writer_data(b->save, data, n, e) : err_memory(e, SIZE_MAX);
}

/* Rows of `width` elements, [stack, rows, width] where there are several matrices. */
static struct shape rows_of(const struct binder *b, size_t n_out, size_t width)
{
	return b->stack ? shape_of(3, b->stack, n_out / b->stack, width) :
	                  shape_of(2, n_out, width);
}

static int save_matrix(struct binder *b, const char *path, struct weight_desc *d, struct err *e)
{
	struct arena a = { 0 };
	struct shape s;
	unsigned bits = d->n_in % (b->group ? b->group : 1) ? 0 : b->bits;
	int bad = 0;

	if (b->total && b->first)
		return 0; /* written with the first of its rows */
	d->n_out = b->total ? b->total : d->n_out;
	if (!b->declare &&
	    synthetic_matrix(d, &a, b->c->dtype, b->bits, b->group, &b->seed, e)) {
		bad = -1;
	} else if (!bits) {
		s = rows_of(b, d->n_out, d->n_in);
		bad = put_tensor(b, path, "weight", b->c->dtype, &s, d->data, e);
	} else {
		s = rows_of(b, d->n_out, d->n_in * bits / 32);
		bad = put_tensor(b, path, "weight", DT_U32, &s, d->data, e);
		s = rows_of(b, d->n_out, d->n_in / b->group);
		bad = bad || put_tensor(b, path, "scales", b->c->dtype, &s, d->scales, e) ||
		      put_tensor(b, path, "biases", b->c->dtype, &s, d->biases, e);
	}
	arena_release(&a);
	return bad ? -1 : 0;
}

int made_matrix(struct binder *b, struct weight **out, const char *path, size_t n_out,
                size_t n_in, struct err *e)
{
	struct weight_desc d = { .name = path, .n_out = n_out, .n_in = n_in };
	size_t before = b->w->arena.n_bytes;

	if (b->size) {
		b->size->parameters += n_out * n_in;
		b->size->matrices += n_out * n_in;
		return 0;
	}
	if (b->save)
		return save_matrix(b, path, &d, e);
	if (synthetic_matrix(&d, &b->w->arena, b->c->dtype, b->bits, b->group, &b->seed, e))
		return -1;
	return bind_add(b, out, &d, b->w->arena.n_bytes - before, e);
}

/* Gains lie around 1, biases around 0. */
int made_vector(struct binder *b, struct weight **out, const char *path, const char *leaf,
                size_t n, size_t taps, struct err *e)
{
	struct weight_desc d = { .name = path, .n_out = 1, .n_in = n };
	float centre = strcmp(leaf, "bias") ? 1 : 0;
	struct arena a = { 0 };
	struct shape s;
	int bad;

	if (b->size) {
		b->size->parameters += n;
		return 0;
	}
	if (!b->save)
		return synthetic_vector(&d, &b->w->arena, b->c->dtype, centre, &b->seed, e) ||
		       bind_add(b, out, &d, n * dtype_info(d.dtype)->block_bytes, e) ? -1 : 0;
	s = taps ? shape_of(3, n / taps, (size_t)1, taps) : shape_of(1, n);
	bad = (!b->declare && synthetic_vector(&d, &a, b->c->dtype, centre, &b->seed, e)) ||
	      put_tensor(b, path, leaf, b->c->dtype, &s, d.data, e);
	arena_release(&a);
	return bad ? -1 : 0;
}
