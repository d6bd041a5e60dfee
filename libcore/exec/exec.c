/* SPDX-License-Identifier: MIT */
/* exec.c - the device: choosing a backend, host memory and its accounting,
 * and the cache of keys and values. What runs, and how, is the backends'. */
#include "exec/exec.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/record.h"
#include "util/num.h"
#include "util/pages.h"

static const struct backend *const backends[] = { &backend_opencl, &backend_cpu, &backend_ref };
enum { N_BACKENDS = sizeof backends / sizeof *backends };

static int open_with(struct exec *x, const struct backend *b, const struct exec_options *o,
                     struct err *e)
{
	x->backend = b;
	x->flags = o->flags;
	x->tap = o->tap;
	x->info.backend = b->name;
	x->info.device = x->device_name;
	x->info.rows = x->rows_name;
	x->info.exact = o->flags & EXEC_EXACT;
	if (b->open(x, o, e) == 0)
		return 0;
	memset(x, 0, sizeof *x);
	return -1;
}

int exec_open(struct exec **out, const struct exec_options *o, struct err *e)
{
	struct exec_options chosen = *o;
	struct exec *x = calloc(1, sizeof *x);
	bool found = false;

	*out = NULL;
	if (!x)
		return err_memory(e, sizeof *x);
	if (!chosen.device)
		chosen.device = getenv("CLM_DEVICE");
	if (!chosen.device || !*chosen.device)
		chosen.device = "auto";
	for (int i = 0; i < N_BACKENDS && !x->backend; i++) {
		if (!backends[i] || !backends[i]->takes(chosen.device))
			continue;
		found = true;
		if (open_with(x, backends[i], &chosen, e) != 0 && strcmp(chosen.device, "auto"))
			break;
	}
	if (x->backend) {
		*out = x;
		return 0;
	}
	free(x);
	if (!found)
		return err_set(e, ERR_MISUSE, "device \"%s\": expected auto, cpu, ref, opencl "
		               "or opencl:PLATFORM.DEVICE", chosen.device);
	return err_in(e, "device %s", chosen.device);
}

void exec_close(struct exec *x)
{
	if (!x)
		return;
	x->backend->close(x);
	free(x->angle_room);
	free(x);
}

void exec_describe(const struct exec *x, struct exec_info *out)
{
	*out = x->info;
}

int exec_list(struct buf *out, struct err *e)
{
	for (int i = 0; i < N_BACKENDS; i++)
		if (backends[i] && backends[i]->list(out, e) != 0)
			return -1;
	return buf_check(out, e);
}

size_t exec_bytes(const struct exec *x)
{
	return x->n_bytes;
}

size_t exec_events(const struct exec *x)
{
	return x->n_events;
}

size_t exec_read(const struct exec *x)
{
	return x->n_read;
}

size_t exec_waits(const struct exec *x)
{
	return x->n_waits;
}

/* ---- host memory: calloc() leaves fresh pages untouched; what it gave and
 * how much stands before the border. What fills large pages begins with one:
 * keys and values are walked through in steps that small ones make slow. */
enum { BORDER = 64 };
struct host_block { void *base; size_t n_bytes; };

void *exec_host_new(struct exec *x, size_t n_bytes, struct err *e)
{
	struct host_block block = { .n_bytes = n_bytes };
	size_t n, align = n_bytes < PAGES_LARGE ? BORDER : PAGES_LARGE;
	unsigned char *p;

	if (!num_add(&n, n_bytes, BORDER + align) || !(block.base = calloc(1, n))) {
		err_memory(e, n_bytes);
		return NULL;
	}
	p = (unsigned char *)block.base + BORDER;
	p += align - (uintptr_t)p % align;
	pages_large(p, n_bytes);
	memcpy(p - sizeof block, &block, sizeof block);
	x->n_bytes += n_bytes;
	x->n_events++;
	return p;
}

void exec_host_end(struct exec *x, void *p)
{
	struct host_block block;

	if (!p)
		return;
	memcpy(&block, (unsigned char *)p - sizeof block, sizeof block);
	x->n_bytes -= block.n_bytes;
	free(block.base);
}

/* ---- the cache */
int exec_kv_open(struct exec_kv **out, struct exec *x, const struct exec_kv_layer *layer,
                 size_t n_layers, const size_t *n_pages, size_t n_groups, struct err *e)
{
	struct exec_kv *k = calloc(1, sizeof *k);

	*out = NULL;
	if (!k)
		return err_memory(e, sizeof *k);
	k->x = x;
	k->dtype = x->flags & EXEC_EXACT ? DT_F32 : DT_F16;
	k->n_layers = n_layers;
	k->n_groups = n_groups;
	k->layer = calloc(n_layers + !n_layers, sizeof *layer);
	k->n_pages = calloc(n_groups + !n_groups, sizeof *n_pages);
	if (!k->layer || !k->n_pages) {
		err_memory(e, n_layers * sizeof *layer);
		goto fail;
	}
	for (size_t i = 0; i < n_groups; i++)
		k->n_pages[i] = n_pages[i];
	for (size_t i = 0; i < n_layers; i++) {
		k->layer[i] = layer[i];
		assert(layer[i].group < n_groups);
		assert(exec_kv_state(&layer[i], KV_STATES) ||
		       (layer[i].n_heads > 0 && layer[i].k_dim > 0 && layer[i].v_dim > 0));
		assert(!layer[i].v_in_k || layer[i].v_dim <= layer[i].k_dim);
	}
	if (x->backend->kv(k, e) != 0) {
		err_in(e, "key-value cache");
		goto fail;
	}
	*out = k;
	return 0;
fail:
	free(k->layer);
	free(k->n_pages);
	free(k);
	return -1;
}

size_t exec_kv_state(const struct exec_kv_layer *l, size_t part)
{
	size_t n = 0;

	for (size_t i = 0; i < part; i++)
		n += l->state[i][0] * l->state[i][1] * l->state[i][2];
	return n;
}

size_t kv_page_bytes(const struct exec_kv *k, size_t layer, bool values, size_t dim)
{
	const struct exec_kv_layer *l = &k->layer[layer];
	size_t n = exec_kv_state(l, KV_STATES);

	if (n)
		return values ? 0 : n * sizeof(float);
	if (values && l->v_in_k)
		return 0;
	return l->n_heads * PAGE_POSITIONS * dim * dtype_info(k->dtype)->block_bytes;
}

void exec_kv_close(struct exec_kv *k)
{
	if (!k)
		return;
	k->x->backend->kv_end(k);
	free(k->layer);
	free(k->n_pages);
	free(k);
}

enum dtype exec_kv_dtype(const struct exec_kv *k)
{
	return k->dtype;
}

int exec_kv_copy(struct exec_kv *k, unsigned group, int32_t dst, int32_t src, struct err *e)
{
	assert(group < k->n_groups && dst >= 0 && src >= 0);
	assert((size_t)dst < k->n_pages[group] && (size_t)src < k->n_pages[group]);
	return k->x->backend->kv_copy(k, group, dst, src, e);
}

/* The values of rows of keys that hold them. */
static void values_of(const struct exec_kv *k, const struct exec_kv_layer *l, size_t n,
                      const unsigned char *keys, unsigned char *values)
{
	size_t size = dtype_info(k->dtype)->block_bytes, row = l->k_dim * size, v = l->v_dim * size;

	for (size_t i = 0; i < l->n_heads * n; i++)
		memcpy(values + i * v, keys + (i + 1) * row - v, v);
}

static int move(struct exec_kv *k, bool in, size_t layer, int32_t page, size_t first, size_t n,
                void *keys, void *values, struct err *e)
{
	assert(layer < k->n_layers && page >= 0);
	assert((size_t)page < k->n_pages[k->layer[layer].group]);
	assert(first <= PAGE_POSITIONS && n <= PAGE_POSITIONS - first);
	if (k->x->backend->kv_move(k, in, layer, page, first, n, keys, values, e) != 0)
		return -1;
	if (!in && values && k->layer[layer].v_in_k)
		values_of(k, &k->layer[layer], n, keys, values);
	return 0;
}

int exec_kv_export(struct exec_kv *k, size_t layer, int32_t page, size_t first, size_t n,
                   void *keys, void *values, struct err *e)
{
	return move(k, false, layer, page, first, n, keys, values, e);
}

int exec_kv_import(struct exec_kv *k, size_t layer, int32_t page, size_t first, size_t n,
                   const void *keys, const void *values, struct err *e)
{
	/* one entry of the table serves both ways; going in it only reads */
	return move(k, true, layer, page, first, n, (void *)keys, (void *)values, e);
}
