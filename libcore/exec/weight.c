/* SPDX-License-Identifier: MIT */
/* weight.c - a weight checked and handed to the backend. */
#include <stdio.h>
#include <stdlib.h>

#include "exec/record.h"
#include "util/num.h"

static bool is_affine_bits(unsigned bits)
{
	return bits >= 2 && bits <= 8 && bits != 7;
}

static bool is_affine_group(unsigned group)
{
	return group == 16 || group == 32 || group == 64 || group == 128;
}

static int check_affine(const struct weight_desc *d, struct err *e)
{
	if (!is_affine_bits(d->bits))
		return err_set(e, ERR_INPUT, "%u bits, expected 2, 3, 4, 5, 6 or 8", d->bits);
	if (!is_affine_group(d->group))
		return err_set(e, ERR_INPUT, "groups of %u, expected 16, 32, 64 or 128", d->group);
	if (d->n_in % d->group)
		return err_set(e, ERR_INPUT, "%zu columns are no multiple of the group, %u",
		               d->n_in, d->group);
	if (d->dtype != DT_F32 && d->dtype != DT_F16 && d->dtype != DT_BF16)
		return err_set(e, ERR_INPUT, "scales of %s, expected f32, f16 or bf16",
		               dtype_info(d->dtype)->name);
	if (!d->piece && (!d->scales || !d->biases))
		return err_set(e, ERR_INPUT, "no scales or biases");
	return 0;
}

static int check_float(const struct weight_desc *d, struct err *e)
{
	switch (d->dtype) {
	case DT_F32: case DT_F16: case DT_BF16: case DT_F8_E4M3: case DT_F8_E5M2:
		return 0;
	default:
		return err_set(e, ERR_INPUT, "%s, expected f32, f16, bf16 or f8",
		               dtype_info(d->dtype)->name);
	}
}

static int check(const struct weight_desc *d, struct err *e)
{
	size_t n;

	if (!d->n_out || !d->n_in || (!d->data && !d->piece))
		return err_set(e, ERR_INPUT, "empty");
	if ((d->piece && !d->n_stack) || (d->n_stack && d->n_out % d->n_stack))
		return err_set(e, ERR_INPUT, "%zu rows are no %zu matrices", d->n_out, d->n_stack);
	if (d->n_stack > MOST_EXPERTS)
		return err_set(e, ERR_INPUT, "%zu matrices, expected at most %d", d->n_stack, MOST_EXPERTS);
	if (d->n_in > INT32_MAX || d->n_out > INT32_MAX || !num_mul(&n, d->n_in, 4) ||
	    !num_mul(&n, n, d->n_out))
		return err_set(e, ERR_INPUT, "%zu by %zu is too large", d->n_out, d->n_in);
	return d->form == FORM_AFFINE ? check_affine(d, e) : check_float(d, e);
}

size_t weight_row_bytes(const struct weight_desc *d)
{
	if (d->form == FORM_AFFINE)
		return d->n_in * d->bits / 8;
	return d->n_in * dtype_info(d->dtype)->block_bytes;
}

size_t weight_scale_bytes(const struct weight_desc *d)
{
	return d->group ? d->n_in / d->group * dtype_info(d->dtype)->block_bytes : 0;
}

size_t weight_bytes(const struct weight_desc *d)
{
	return d->n_out * (weight_row_bytes(d) + 2 * weight_scale_bytes(d));
}

struct weight_piece weight_rows(const struct weight_desc *d, size_t *row)
{
	size_t n = d->n_stack ? d->n_out / d->n_stack : 0;
	struct weight_piece p = { d->data, d->scales, d->biases };

	if (!d->piece)
		return p;
	p = d->piece[*row / n];
	*row %= n;
	return p;
}

int weight_open(struct weight **out, struct exec *x, const struct weight_desc *d, struct err *e)
{
	const char *name = d->name ? d->name : "weight";
	struct weight *w = NULL;

	*out = NULL;
	if (check(d, e) != 0)
		return err_in(e, "%s", name);
	w = calloc(1, sizeof *w);
	if (!w)
		return err_memory(e, sizeof *w);
	w->x = x;
	w->d = *d;
	w->d.name = arena_printf(&w->arena, e, "%s", name);
	if (!w->d.name || x->backend->weight(w, e) != 0) {
		err_in(e, "%s", name);
		arena_release(&w->arena);
		free(w);
		return -1;
	}
	*out = w;
	return 0;
}

void weight_close(struct weight *w)
{
	if (!w)
		return;
	w->x->backend->weight_end(w);
	arena_release(&w->arena);
	free(w);
}
