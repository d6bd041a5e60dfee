/* SPDX-License-Identifier: MIT */
/* depth.c - sequences that are long without having been computed */
#include "depth.h"

#include <stdlib.h>

/* Marsaglia, 2003 (xorshift) */
static uint64_t draw(struct depth *d)
{
	d->seed ^= d->seed << 13;
	d->seed ^= d->seed >> 7;
	d->seed ^= d->seed << 17;
	return d->seed;
}

int32_t depth_id(struct depth *d)
{
	return (int32_t)(draw(d) % model_config(d->m)->vocab);
}

/* Of the widest layer's keys in a page. */
static size_t page_values(const struct config *c)
{
	size_t n = c->kv_rank + c->pe_dim;

	for (size_t i = 0; i < config_caches(c); i++) {
		size_t row = config_kv_heads(c, i) * config_head_dim(c, i);

		n = row > n ? row : n;
	}
	return n * PAGE_POSITIONS;
}

int depth_open(struct depth *d, struct model *m, struct err *e)
{
	const struct config *c = model_config(m);
	size_t n = page_values(c);
	bool half = exec_kv_dtype(kv_pool_store(model_pool(m))) == DT_F16;

	d->m = m;
	d->seed = 88172645463325252u;
	d->page = calloc(n, sizeof(float));
	if (!d->page)
		return err_memory(e, n * sizeof(float));
	for (size_t i = 0; i < n; i++) {
		float v = (float)(draw(d) % 2048) / 1024 - 1;

		if (half)
			((uint16_t *)d->page)[i] = f16_from_f32(v);
		else
			((float *)d->page)[i] = v;
	}
	return 0;
}

void depth_close(struct depth *d)
{
	free(d->page);
	d->page = NULL;
}

/* Layers that slide share a page group of their own, after the others'. */
static unsigned group_of(const struct config *c, size_t layer)
{
	for (size_t i = 0; i < c->n_layers; i++)
		if (!c->sliding[i] && !config_state(c, i))
			return c->sliding[layer];
	return 0;
}

static int write_positions(struct depth *d, struct kv_seq *s, size_t from, size_t n,
                           struct err *e)
{
	const struct config *c = model_config(d->m);
	struct exec_kv *store = kv_pool_store(model_pool(d->m));

	for (size_t l = 0; l < config_caches(c); l++) {
		size_t n_pages, step;
		const int32_t *pages = kv_pages(s, group_of(c, l), &n_pages);

		if (config_state(c, l))
			continue;
		for (size_t i = from; i < from + n; i += step) {
			int32_t page = pages[i / PAGE_POSITIONS];

			step = PAGE_POSITIONS - i % PAGE_POSITIONS;
			step = step < from + n - i ? step : from + n - i;
			if (page >= 0 && exec_kv_import(store, l, page, i % PAGE_POSITIONS, step,
			                                d->page, d->page, e))
				return -1;
		}
	}
	return 0;
}

int depth_fill(struct depth *d, struct kv_seq *s, size_t n, struct err *e)
{
	while (kv_len(s) < n) {
		size_t from = kv_len(s), step = n - from < DEPTH_STEP ? n - from : DEPTH_STEP;

		for (size_t i = 0; i < step; i++)
			d->id[i] = depth_id(d);
		if (kv_append(s, d->id, step, e) || write_positions(d, s, from, step, e))
			return -1;
		kv_done(s, step);
	}
	return 0;
}
