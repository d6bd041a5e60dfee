/* SPDX-License-Identifier: MIT */
/* cl_kv.c - the cache of keys and values: two buffers a layer, and pages
 * moved out of and into their private layout: that of kernels/cache.clh, or
 * of kernels/cpu/cache.clh where the CPU rows run. */
#include <stdlib.h>
#include <string.h>

#include "exec/opencl.h"
#include "util/num.h"

size_t kv_key_step(const struct exec_kv_layer *l)
{
	return l->k_dim % 8 == 0 ? 8 : 1;
}

static size_t element(const struct exec_kv *k)
{
	return k->dtype == DT_F32 ? 4 : 2;
}

static bool cpu_layout(const struct exec_kv *k)
{
	return ((const struct opencl *)k->x->device)->can & NEED_CPU;
}

/* Elements from one position's value to the next. */
static size_t value_step(const struct exec_kv *k, const struct exec_kv_layer *l)
{
	return cpu_layout(k) ? (l->v_dim + 15) / 16 * 16 : l->v_dim;
}

static size_t page_bytes(const struct exec_kv *k, size_t layer, bool values)
{
	const struct exec_kv_layer *l = &k->layer[layer];

	return kv_page_bytes(k, layer, values, values ? value_step(k, l) : l->k_dim);
}

/* Where element i of a position's key or value lies in a page. */
static size_t key_at(const struct exec_kv *k, const struct exec_kv_layer *l, size_t head,
                     size_t pos, size_t i)
{
	size_t step = kv_key_step(l), block = 16;

	if (cpu_layout(k))
		return ((head * PAGE_POSITIONS / block + pos / block) * l->k_dim + i) * block + pos % block;
	return ((head * (l->k_dim / step) + i / step) * PAGE_POSITIONS + pos) * step + i % step;
}

static size_t value_at(const struct exec_kv *k, const struct exec_kv_layer *l, size_t head,
                       size_t pos, size_t i)
{
	return (head * PAGE_POSITIONS + pos) * value_step(k, l) + i;
}

static cl_mem open_side(struct exec_kv *k, size_t layer, bool values, struct err *e)
{
	struct opencl *d = k->x->device;
	size_t n, pages = k->n_pages[k->layer[layer].group];
	cl_int status;
	cl_mem m;

	if (!num_mul(&n, page_bytes(k, layer, values), pages + !pages) || !num_add(&n, n, !n)) {
		err_set(e, ERR_MACHINE, "%zu pages are too many", pages);
		return NULL;
	}
	m = part_open(d, n, e);
	if (!m || !(d->can & NEED_NVIDIA))
		return m;
	/* special rows multiply what nobody wrote by 0: it must be a number */
	status = clEnqueueFillBuffer(d->queue, m, &(cl_uint){ 0 }, sizeof(cl_uint), 0, n, 0, NULL,
	                             NULL);
	if (!status)
		return m;
	cl_fail(e, status, "clearing %zu bytes of pages", n);
	buffer_close(d, m);
	return NULL;
}

int opencl_kv(struct exec_kv *k, struct err *e)
{
	struct cl_kv *c = calloc(1, sizeof *c);

	if (!c)
		return err_memory(e, sizeof *c);
	k->device = c;
	c->keys = calloc(k->n_layers + 1, sizeof *c->keys);
	c->values = calloc(k->n_layers + 1, sizeof *c->values);
	if (!c->keys || !c->values) {
		err_memory(e, k->n_layers * sizeof *c->keys);
		goto fail;
	}
	for (size_t i = 0; i < k->n_layers; i++) {
		c->keys[i] = open_side(k, i, false, e);
		c->values[i] = c->keys[i] ? open_side(k, i, true, e) : NULL;
		if (!c->values[i])
			goto fail;
	}
	return 0;
fail:
	opencl_kv_end(k);
	return -1;
}

void opencl_kv_end(struct exec_kv *k)
{
	struct cl_kv *c = k->device;

	if (!c)
		return;
	for (size_t i = 0; i < k->n_layers; i++) {
		if (c->keys)
			buffer_close(k->x->device, c->keys[i]);
		if (c->values)
			buffer_close(k->x->device, c->values[i]);
	}
	free(c->keys);
	free(c->values);
	free(c);
	k->device = NULL;
}

int opencl_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e)
{
	struct opencl *d = k->x->device;
	struct cl_kv *c = k->device;

	if (dst == src)
		return 0;
	for (size_t i = 0; i < k->n_layers; i++) {
		if (k->layer[i].group != group)
			continue;
		for (int values = 0; values < 2; values++) {
			cl_mem m = values ? c->values[i] : c->keys[i];
			size_t n = page_bytes(k, i, values);
			cl_int status = !n ? CL_SUCCESS :
			                clEnqueueCopyBuffer(d->queue, m, m, (size_t)src * n,
			                                    (size_t)dst * n, n, 0, NULL, NULL);

			if (status)
				return cl_fail(e, status, "copying a page of layer %zu", i);
		}
	}
	return 0;
}

/* Positions first .. first + n - 1 between their places in a page and
 * canonical rows. */
static void swap(const struct exec_kv *k, const struct exec_kv_layer *l, bool values, bool in,
                 unsigned char *page, unsigned char *rows, size_t first, size_t n)
{
	size_t dim = values ? l->v_dim : l->k_dim, size = element(k);

	for (size_t h = 0; h < l->n_heads; h++)
		for (size_t p = 0; p < n; p++)
			for (size_t i = 0; i < dim; i++) {
				size_t at = values ? value_at(k, l, h, first + p, i) :
				                     key_at(k, l, h, first + p, i);
				unsigned char *there = page + at * size;
				unsigned char *here = rows + ((h * n + p) * dim + i) * size;

				memcpy(in ? there : here, in ? here : there, size);
			}
}

static int move_side(struct exec_kv *k, bool values, bool in, size_t layer, int32_t page,
                     size_t first, size_t n, void *rows, struct err *e)
{
	struct opencl *d = k->x->device;
	struct cl_kv *c = k->device;
	const struct exec_kv_layer *l = &k->layer[layer];
	size_t n_bytes = page_bytes(k, layer, values), at = (size_t)page * n_bytes;
	cl_mem m = values ? c->values[layer] : c->keys[layer];
	unsigned char *copy = malloc(n_bytes);
	int status = -1;

	if (!copy)
		return err_memory(e, n_bytes);
	/* going in, the positions outside first .. first + n - 1 stay */
	if ((!in || n < PAGE_POSITIONS) && buffer_read(d, m, at, copy, n_bytes, e) != 0)
		goto done;
	swap(k, l, values, in, copy, rows, first, n);
	status = in ? buffer_write(d, m, at, copy, n_bytes, e) : 0;
done:
	free(copy);
	return status;
}

int opencl_kv_move(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first,
                   size_t n, void *keys, void *values, struct err *e)
{
	if (n == 0)
		return 0;
	if (exec_kv_state(&k->layer[layer], KV_STATES)) {
		const struct cl_kv *c = k->device;
		size_t bytes = page_bytes(k, layer, false), at = (size_t)page * bytes;

		return in ? buffer_write(k->x->device, c->keys[layer], at, keys, bytes, e) :
		            buffer_read(k->x->device, c->keys[layer], at, keys, bytes, e);
	}
	if (move_side(k, false, in, layer, page, first, n, keys, e) != 0)
		return -1;
	return k->layer[layer].v_in_k ? 0 :
	                                move_side(k, true, in, layer, page, first, n, values, e);
}
