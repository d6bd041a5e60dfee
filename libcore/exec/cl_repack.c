/* SPDX-License-Identifier: MIT */
/* cl_repack.c - weights that the device turns into tiles as they are
 * uploaded (kernels/nvidia/tile.clh says how a tile lies).
 *
 * Rows go in pieces to a buffer of bounded size, and from there into their
 * tiles by a kernel; the queue keeps the order. */
#include "exec/opencl.h"

enum { PIECE_BYTES = 32 << 20, LANES = 128 };

static const struct kernel_row rows[] = {
	[REPACK_4] = { .text = "nvidia/repack.cl", .entry = "repack4", .options = "", .lanes = LANES },
	[REPACK_8] = { .text = "nvidia/repack.cl", .entry = "repack8", .options = "", .lanes = LANES },
	[REPACK_16] = { .text = "nvidia/repack.cl", .entry = "repack16", .options = "",
	                .lanes = LANES },
	[REPACK_SCALES] = { .text = "nvidia/repack.cl", .entry = "repack_scales", .options = "",
	                    .lanes = LANES },
};

bool repack_probe(struct opencl *d)
{
	struct err ignored = { 0 };

	return program_tries(d, &rows[0], "", &ignored);
}

bool grouped_probe(struct opencl *d)
{
	static const struct kernel_row row = { .needs = NEED_HOPPER, .text = "nvidia/grouped.cl",
	                                       .entry = "grouped", .options = "", .lanes = 128 };
	struct err ignored = { 0 };

	return program_tries(d, &row, "", &ignored);
}

bool repack_takes(const struct opencl *d, const struct weight_desc *w)
{
	bool half = w->dtype == DT_F16 || w->dtype == DT_BF16;

	if (!(d->can & NEED_NVIDIA) || d->x->flags & EXEC_EXACT || w->n_out < 2 ||
	    (w->n_stack && w->n_out / w->n_stack % TILE_ROWS) || w->n_in % TILE_COLUMNS ||
	    weight_row_bytes(w) * TILE_ROWS > PIECE_BYTES)
		return false;
	return half && (w->form == FORM_FLOAT || ((w->bits == 4 || w->bits == 8) && w->group >= 32));
}

static int kernels_open(struct opencl *d, struct err *e)
{
	if (d->repack[0])
		return 0;
	for (size_t i = 0; i < N_REPACKS; i++) {
		struct program *p = program_want(d, &rows[i], "", e);

		if (!p || programs_build(d, e) != 0 ||
		    !(d->repack[i] = program_kernel(p, rows[i].entry, e)))
			return -1;
	}
	return 0;
}

static int stage_open(struct opencl *d, struct err *e)
{
	static const size_t part[N_RAW] = { 1, 8, 8 }; /* scales of the smallest group */

	if (kernels_open(d, e) != 0)
		return -1;
	for (size_t i = 0; i < N_RAW; i++)
		if (!d->raw[i] && !(d->raw[i] = buffer_open(d, PIECE_BYTES / part[i], e)))
			return -1;
	return 0;
}

void repack_close(struct opencl *d)
{
	for (size_t i = 0; i < N_REPACKS; i++)
		if (d->repack[i])
			clReleaseKernel(d->repack[i]);
	for (size_t i = 0; i < N_RAW; i++)
		buffer_close(d, d->raw[i]);
}

static int put(struct opencl *d, size_t i, const void *p, size_t n_bytes, struct err *e)
{
	cl_int status = clEnqueueWriteBuffer(d->queue, d->raw[i], CL_FALSE, 0, n_bytes, p, 0, NULL,
	                                     NULL);

	d->busy = true;
	return status ? cl_fail(e, status, "writing %zu bytes to the device", n_bytes) : 0;
}

/* n words of `out` from word `at` on, out of the raw rows. */
static int turn(struct opencl *d, enum repack what, cl_mem out, size_t at, const cl_int *number,
                size_t n, struct err *e)
{
	cl_kernel k = d->repack[what];
	size_t global = (n + LANES - 1) / LANES * LANES, local = LANES;
	bool scales = what == REPACK_SCALES;
	cl_uint i = 0;
	cl_int status = 0;

	for (size_t r = scales ? 1 : 0; r < (scales ? N_RAW : 1) && !status; r++)
		status = clSetKernelArg(k, i++, sizeof d->raw[r], &d->raw[r]);
	if (!status)
		status = clSetKernelArg(k, i++, sizeof out, &out);
	if (!status)
		status = clSetKernelArg(k, i++, sizeof(cl_ulong), &(cl_ulong){ at });
	for (size_t j = 0; j < (scales ? 3 : 2) && !status; j++)
		status = clSetKernelArg(k, i++, sizeof *number, &number[j]);
	if (!status)
		status = clSetKernelArg(k, i++, sizeof(cl_ulong), &(cl_ulong){ n });
	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, k, 1, NULL, &global, &local, 0, NULL, NULL);
	return status ? cl_fail(e, status, "kernel %s", rows[what].entry) : 0;
}

/* Rows from row `first` on, each of row_bytes, in one of the weight's arrays
 * or in that of a piece. */
static const char *rows_at(const struct weight_desc *w, enum side side, size_t first,
                           size_t row_bytes)
{
	struct weight_piece whole = { w->data, w->scales, w->biases };
	const struct weight_piece *p = &whole;

	if (w->piece) {
		p = w->piece + first / (w->n_out / w->n_stack);
		first %= w->n_out / w->n_stack;
	}
	return (const char *)(side == SIDE_DATA   ? p->data :
	                      side == SIDE_SCALES ? p->scales : p->biases) + first * row_bytes;
}

/* Rows first .. first + n - 1 of the weight, which begin at row `to` of the
 * chunk. */
static int piece(struct opencl *d, const struct weight_desc *w, const struct chunk *c,
                 size_t first, size_t to, size_t n, struct err *e)
{
	size_t row = weight_row_bytes(w), scale = weight_scale_bytes(w);
	size_t tiles = (n + TILE_ROWS - 1) / TILE_ROWS, words = TILE_ROWS * row / 4;
	size_t groups = w->group ? w->n_in / w->group : 0;
	const cl_int number[] = { (cl_int)w->n_in, (cl_int)n,
	                          (cl_int)(w->group ? TILE_COLUMNS / w->group : 0) };
	enum repack what = w->form == FORM_FLOAT ? REPACK_16 : w->bits == 4 ? REPACK_4 : REPACK_8;

	if (put(d, 0, rows_at(w, SIDE_DATA, first, row), n * row, e) != 0 ||
	    turn(d, what, c->data, to / TILE_ROWS * words, number, tiles * words, e) != 0)
		return -1;
	if (!groups)
		return 0;
	words = TILE_ROWS * groups;
	if (put(d, 1, rows_at(w, SIDE_SCALES, first, scale), n * scale, e) != 0 ||
	    put(d, 2, rows_at(w, SIDE_BIASES, first, scale), n * scale, e) != 0)
		return -1;
	return turn(d, REPACK_SCALES, c->scales, to / TILE_ROWS * words, number, tiles * words, e);
}

int repack_chunk(struct opencl *d, const struct weight_desc *w, struct chunk *c, struct err *e)
{
	size_t row = weight_row_bytes(w), most = PIECE_BYTES / row / TILE_ROWS * TILE_ROWS;
	size_t matrix = w->n_stack ? w->n_out / w->n_stack : w->n_out;
	size_t rows_up = (c->n + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;

	if (stage_open(d, e) != 0 || !(c->data = part_open(d, rows_up * row, e)))
		return -1;
	if (w->group && !(c->scales = part_open(d, rows_up * 2 * weight_scale_bytes(w), e)))
		return -1;
	for (size_t at = 0, n; at < c->n; at += n) {
		n = c->n - at < most ? c->n - at : most;
		if (w->piece && n > matrix - (c->first + at) % matrix) /* each from its own place */
			n = matrix - (c->first + at) % matrix;

		if (piece(d, w, c, c->first + at, at, n, e) != 0)
			return -1;
	}
	return 0;
}
