/* SPDX-License-Identifier: MIT */
/* cl_weight.c - a weight on the device, as chunks of rows that each fit one
 * buffer. A device of the host's own memory reads the mapped file in place;
 * others get a copy, in tiles where special rows want them (cl_repack.c).
 * Vectors (one row of floats) become f32. */
#include <stdlib.h>
#include <string.h>

#include "exec/opencl.h"

/* Parts of a buffer from the pieces of a stack, each of `size` bytes. */
static cl_mem gather(struct opencl *d, const struct weight_piece *piece, size_t n, enum side side,
                     size_t size, struct err *e)
{
	cl_mem m = part_open(d, n * size, e);

	for (size_t i = 0; m && i < n; i++) {
		const void *p = side == SIDE_DATA   ? piece[i].data :
		                side == SIDE_SCALES ? piece[i].scales : piece[i].biases;

		if (buffer_write(d, m, i * size, p, size, e) != 0) {
			buffer_close(d, m);
			return NULL;
		}
	}
	return m;
}

static int open_pieces(struct opencl *d, const struct weight_desc *w, struct chunk *c,
                       struct err *e)
{
	size_t rows = w->n_out / w->n_stack, n = c->n / rows;
	size_t row = weight_row_bytes(w), scale = weight_scale_bytes(w);
	const struct weight_piece *p = w->piece + c->first / rows;

	c->data = gather(d, p, n, SIDE_DATA, rows * row, e);
	if (!c->data || w->form != FORM_AFFINE)
		return c->data ? 0 : -1;
	c->scales = gather(d, p, n, SIDE_SCALES, rows * scale, e);
	c->biases = c->scales ? gather(d, p, n, SIDE_BIASES, rows * scale, e) : NULL;
	return c->biases ? 0 : -1;
}

/* Host memory in place, where its border suits the kernels' loads; else a
 * copy. The source stays until weight_close(), so the copy need not be
 * waited for here. */
static cl_mem place(struct opencl *d, const void *p, size_t n_bytes, size_t border,
                    struct err *e)
{
	cl_int status;
	cl_mem m;

	if (d->host_memory && (uintptr_t)p % border == 0)
		return buffer_over(d, p, n_bytes, e);
	m = part_open(d, n_bytes, e);
	if (!m)
		return NULL;
	status = clEnqueueWriteBuffer(d->queue, m, CL_FALSE, 0, n_bytes, p, 0, NULL, NULL);
	if (status) {
		cl_fail(e, status, "writing %zu bytes to the device", n_bytes);
		buffer_close(d, m);
		return NULL;
	}
	d->busy = true;
	return m;
}

static int open_chunk(struct opencl *d, const struct weight_desc *w, struct chunk *c,
                      struct err *e)
{
	size_t row = weight_row_bytes(w), scale, size = dtype_info(w->dtype)->block_bytes;
	const unsigned char *data = w->data, *scales = w->scales, *biases = w->biases;

	if (w->piece)
		return open_pieces(d, w, c, e);
	/* codes are read as 32-bit words */
	c->data = place(d, data + c->first * row, c->n * row, w->form == FORM_AFFINE ? 4 : size, e);
	if (!c->data)
		return -1;
	if (w->form != FORM_AFFINE)
		return 0;
	scale = weight_scale_bytes(w);
	c->scales = place(d, scales + c->first * scale, c->n * scale, size, e);
	if (!c->scales)
		return -1;
	c->biases = place(d, biases + c->first * scale, c->n * scale, size, e);
	return c->biases ? 0 : -1;
}

static int open_vector(struct opencl *d, struct weight *w, struct cl_weight *c, struct err *e)
{
	float *v = malloc(w->d.n_in * sizeof *v);
	int status = -1;

	if (!v)
		return err_memory(e, w->d.n_in * sizeof *v);
	dtype_to_f32(w->d.dtype, v, w->d.data, w->d.n_in);
	c->dtype = DT_F32;
	c->aligned = w->d.n_in % 8 == 0;
	c->chunk[0].n = 1;
	c->chunk[0].data = part_open(d, w->d.n_in * sizeof *v, e);
	if (c->chunk[0].data)
		status = buffer_write(d, c->chunk[0].data, 0, v, w->d.n_in * sizeof *v, e);
	free(v);
	return status;
}

int opencl_weight(struct weight *w, struct err *e)
{
	struct opencl *d = w->x->device;
	size_t row = weight_row_bytes(&w->d), most = d->max_alloc / row;
	size_t least = w->d.n_stack ? w->d.n_out / w->d.n_stack : TILE_ROWS;
	bool vector = w->d.form == FORM_FLOAT && w->d.n_out == 1;
	struct cl_weight *c = arena_new(&w->arena, 1, sizeof *c, e);

	if (!c)
		return -1;
	if (w->d.form == FORM_AFFINE && d->max_alloc / weight_scale_bytes(&w->d) < most)
		most = d->max_alloc / weight_scale_bytes(&w->d);
	c->tiled = most / 2 >= least && repack_takes(d, &w->d);
	if (c->tiled)
		most = most / 2 / TILE_ROWS * TILE_ROWS; /* scales lie beside their biases */
	if (w->d.n_stack) /* whole matrices */
		most = most / (w->d.n_out / w->d.n_stack) * (w->d.n_out / w->d.n_stack);
	if (most == 0)
		return err_set(e, ERR_MACHINE, "a row of %zu bytes, the device allows %zu a buffer",
		               row, d->max_alloc);
	c->n_chunks = (w->d.n_out + most - 1) / most;
	c->chunk = arena_new(&w->arena, c->n_chunks, sizeof *c->chunk, e);
	if (!c->chunk)
		return -1;
	w->device = c;
	c->dtype = w->d.dtype;
	c->aligned = w->d.n_in % 8 == 0 &&
	             (!d->host_memory || w->d.piece || (uintptr_t)w->d.data % 16 == 0);
	if (vector) {
		if (open_vector(d, w, c, e) == 0)
			return 0;
		opencl_weight_end(w);
		return -1;
	}
	for (size_t i = 0; i < c->n_chunks; i++) {
		c->chunk[i].first = i * most;
		c->chunk[i].n = i + 1 < c->n_chunks ? most : w->d.n_out - i * most;
		if ((c->tiled ? repack_chunk : open_chunk)(d, &w->d, &c->chunk[i], e) != 0) {
			opencl_weight_end(w);
			return -1;
		}
	}
	return 0;
}

void opencl_weight_end(struct weight *w)
{
	struct opencl *d = w->x->device;
	struct cl_weight *c = w->device;
	struct err ignored = { 0 };

	if (!c)
		return;
	/* the caller may unmap the source after this */
	if (device_idle(d, &ignored) != 0)
		ignored.kind = ERR_NONE;
	for (size_t i = 0; i < c->n_chunks; i++) {
		buffer_close(d, c->chunk[i].data);
		buffer_close(d, c->chunk[i].scales);
		buffer_close(d, c->chunk[i].biases);
	}
	w->device = NULL;
}
