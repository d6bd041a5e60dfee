/* SPDX-License-Identifier: MIT */
/* sides.c - one op on two devices: weights, cache, record */
#include "sides.h"

#include <math.h>

int side_weights(struct side *const *s, size_t n_sides, const struct op_case *k,
                 const struct bench_form *form, size_t i, struct arena *a, uint64_t *seed,
                 struct err *e)
{
	for (size_t p = 0; p < k->n_parts; p++) {
		struct weight_desc d = { .name = k->name, .n_out = k->n_out[p], .n_in = k->n_in };

		if (synthetic_matrix(&d, a, form->dtype, form->bits, form->group, seed, e))
			return -1;
		for (size_t side = 0; side < n_sides; side++)
			if (weight_open(&s[side]->w[i][p], s[side]->x, &d, e))
				return -1;
	}
	return 0;
}

int side_inputs(struct side *const *s, size_t n_sides, const struct op_case *k, struct arena *a,
                uint64_t *seed, struct err *e)
{
	struct weight_desc norm = { .name = "norm", .n_out = 1, .n_in = k->n_in };
	struct weight_desc rows = { .name = "inputs", .n_out = SIDE_ROWS, .n_in = k->n_in };

	if (synthetic_vector(&norm, a, DT_F32, 1, seed, e) ||
	    synthetic_matrix(&rows, a, DT_F32, 0, 0, seed, e))
		return -1;
	for (size_t side = 0; side < n_sides; side++)
		if (weight_open(&s[side]->norm, s[side]->x, &norm, e) ||
		    weight_open(&s[side]->table, s[side]->x, &rows, e))
			return -1;
	return 0;
}

int side_cache(struct side *s, size_t n_layers, size_t n_pages, bool exact, struct arena *a,
               struct err *e)
{
	size_t heads = s->c->n_kv_heads, dim = s->c->head_dim;
	struct exec_kv_layer layer[SIDE_COPIES];
	struct weight_desc page = { .n_out = 1, .n_in = heads * dim * PAGE_POSITIONS };
	uint64_t seed = 7;

	for (size_t i = 0; i < n_layers; i++)
		layer[i] = (struct exec_kv_layer){ heads, dim, dim, .group = 0 };
	if (synthetic_vector(&page, a, exact ? DT_F32 : DT_F16, 0, &seed, e) ||
	    exec_kv_open(&s->kv, s->x, layer, n_layers, &n_pages, 1, e))
		return -1;
	for (size_t l = 0; l < n_layers; l++)
		for (size_t p = 0; p < n_pages; p++)
			if (exec_kv_import(s->kv, l, (int32_t)p, 0, PAGE_POSITIONS, page.data,
			                   page.data, e))
				return -1;
	return 0;
}

void side_close(struct side *s)
{
	for (size_t i = 0; i < SIDE_COPIES; i++)
		for (size_t p = 0; p < SIDE_PARTS; p++)
			weight_close(s->w[i][p]);
	weight_close(s->table);
	weight_close(s->norm);
	exec_kv_close(s->kv);
	*s = (struct side){ .x = s->x, .c = s->c };
}

static void add_op(struct record *r, const struct side *s, const struct op_case *k, size_t i,
                   struct slot *in, struct slot *const *out)
{
	const struct config *c = s->c;
	struct op_product part[SIDE_PARTS];
	struct attention a = { .layer = i, .n_heads = c->n_heads,
	                       .scale = (float)(1 / sqrt((double)c->head_dim)) };
	struct rope rope = { .dims = c->head_dim, .scale = 1 };

	switch (k->kind) {
	case PRODUCT:
		for (size_t p = 0; p < k->n_parts; p++)
			part[p] = (struct op_product){ out[p], s->w[i][p], NULL };
		op_matmul(r, part, k->n_parts, in, false);
		return;
	case ATTENTION:
		op_attention(r, out[0], in, &a);
		return;
	case NORM:
		op_norm_rms(r, out[0], in, s->norm, 1e-5f);
		return;
	case ROPE:
		for (size_t d = 0; d < rope.dims / 2; d++)
			rope.inv_freq[d] = pow(10000, -2.0 * (double)d / (double)rope.dims);
		op_rope(r, out[0], c->n_heads, c->head_dim, &rope);
		return;
	case GLU:
		op_glu(r, out[0], in, in, ACT_SILU);
		return;
	case ADD:
		op_add(r, out[0], in);
	}
}

int side_record(struct record **out, const struct side *s, const struct op_case *k, size_t times,
                size_t max_rows, struct err *e)
{
	struct slot *in, *dst[SIDE_PARTS], *last;
	size_t n = k->n_parts ? k->n_parts : 1;
	bool each = k->kind == PRODUCT || k->kind == ATTENTION;

	if (record_open(out, s->x, max_rows, 2, s->kv, e))
		return -1;
	in = record_slot(*out, "in", k->n_in);
	op_embed(*out, in, s->table);
	for (size_t p = 0; p < n; p++)
		dst[p] = record_slot(*out, k->name, k->n_parts ? k->n_out[p] : k->n_in);
	if (k->kind == ROPE || k->kind == ADD)
		op_embed(*out, dst[0], s->table);
	for (size_t i = 0; i < times; i++)
		add_op(*out, s, k, each ? i : 0, in, dst);
	last = record_slot_out(*out, "last", k->n_parts ? k->n_out[n - 1] : k->n_in);
	op_pick(*out, last, dst[n - 1]);
	record_result(*out, last);
	return record_end(*out, e);
}
