/* SPDX-License-Identifier: MIT */
/* cpu_kv.c - pages of keys and values in host memory. Keys lie in blocks of
 * 16 positions, values in rows padded to a multiple of 16:
 * kernels/cpu/cache.clh. */
#include <stdlib.h>
#include <string.h>

#include "exec/cpu.h"

static size_t padded(size_t dim)
{
	return (dim + 15) / 16 * 16;
}

/* Bytes of a page's keys (or values) of a layer. */
static size_t page_bytes(const struct exec_kv *k, size_t layer, bool values)
{
	const struct exec_kv_layer *l = &k->layer[layer];

	return kv_page_bytes(k, layer, values, values ? padded(l->v_dim) : l->k_dim);
}

void cpu_kv_close(struct exec_kv *k)
{
	struct cpu_kv *layer = k->device;

	for (size_t i = 0; layer && i < k->n_layers; i++) {
		exec_host_end(k->x, layer[i].keys);
		exec_host_end(k->x, layer[i].values);
	}
	free(layer);
}

int cpu_kv_open(struct exec_kv *k, struct err *e)
{
	struct cpu_kv *layer = calloc(k->n_layers + 1, sizeof *layer);

	k->device = layer;
	if (!layer)
		return err_memory(e, k->n_layers * sizeof *layer);
	for (size_t i = 0; i < k->n_layers; i++) {
		const struct exec_kv_layer *l = &k->layer[i];
		size_t n = k->n_pages[l->group];

		layer[i].keys = exec_host_new(k->x, n * page_bytes(k, i, false), e);
		layer[i].values = exec_host_new(k->x, n * page_bytes(k, i, true), e);
		if (!layer[i].keys || !layer[i].values) {
			cpu_kv_close(k);
			return -1;
		}
	}
	return 0;
}

int cpu_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e)
{
	const struct cpu_kv *layer = k->device;

	(void)e;
	for (size_t i = 0; i < k->n_layers && dst != src; i++) {
		const struct exec_kv_layer *l = &k->layer[i];
		size_t nk = page_bytes(k, i, false), nv = page_bytes(k, i, true);

		if (l->group != group)
			continue;
		memcpy(layer[i].keys + (size_t)dst * nk, layer[i].keys + (size_t)src * nk, nk);
		memcpy(layer[i].values + (size_t)dst * nv, layer[i].values + (size_t)src * nv, nv);
	}
	return 0;
}

static void move(bool in, unsigned char *page, unsigned char *row, size_t n)
{
	if (in)
		memcpy(page, row, n);
	else
		memcpy(row, page, n);
}

int cpu_kv_move(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first, size_t n,
                void *keys, void *values, struct err *e)
{
	const struct exec_kv_layer *l = &k->layer[layer];
	const struct cpu_kv *pages = (const struct cpu_kv *)k->device + layer;
	size_t size = dtype_info(k->dtype)->block_bytes, v_pad = padded(l->v_dim);
	unsigned char *kp = pages->keys + (size_t)page * page_bytes(k, layer, false);
	unsigned char *vp = pages->values + (size_t)page * page_bytes(k, layer, true);

	(void)e;
	if (exec_kv_state(l, KV_STATES)) {
		move(in, kp, keys, page_bytes(k, layer, false));
		return 0;
	}
	for (size_t h = 0; h < l->n_heads; h++)
		for (size_t i = 0; i < n; i++) {
			size_t at = first + i, row = h * n + i;
			unsigned char *block = kp + (h * PAGE_POSITIONS + at / CPU_KEY_BLOCK *
			                             CPU_KEY_BLOCK) * l->k_dim * size;

			for (size_t d = 0; d < l->k_dim; d++)
				move(in, block + (d * CPU_KEY_BLOCK + at % CPU_KEY_BLOCK) * size,
				     (unsigned char *)keys + (row * l->k_dim + d) * size, size);
			if (l->v_in_k)
				continue;
			move(in, vp + (h * PAGE_POSITIONS + at) * v_pad * size,
			     (unsigned char *)values + row * l->v_dim * size, l->v_dim * size);
		}
	return 0;
}
