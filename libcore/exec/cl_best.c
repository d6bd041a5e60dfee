/* SPDX-License-Identifier: MIT */
/* cl_best.c - the best id of each output row, taken on the device: of a
 * step's result only ids come back.
 *
 * Two launches after the step's: groups along the rows, then a group a row.
 * Where the device computes in the host's memory, the host looks itself. */
#include "exec/opencl.h"

enum { GROUPS = 64, LANES = 128, PAIR = 8 };

static const struct kernel_row rows[] = {
	{ .text = "best.cl", .entry = "best_parts", .options = "", .lanes = LANES },
	{ .text = "best.cl", .entry = "best_rows", .options = "", .lanes = LANES },
};

bool best_here(const struct record *r)
{
	const struct opencl *d = r->x->device;

	return r->best && !(d->can & NEED_CPU);
}

int best_make(struct record *r, bool dry, struct err *e)
{
	struct opencl *d = r->x->device;
	struct best *b = &((struct cl_plan *)r->plan)->best;
	struct program *p;

	if (!best_here(r))
		return 0;
	for (size_t i = 0; i < 2; i++) {
		p = program_want(d, &rows[i], "", e);
		if (!p || (!dry && !(b->kernel[i] = program_kernel(p, rows[i].entry, e))))
			return -1;
	}
	if (dry)
		return 0;
	b->parts = buffer_open(d, r->max_out * GROUPS * PAIR, e);
	b->ids = b->parts ? buffer_open(d, r->max_out * sizeof(cl_int), e) : NULL;
	return b->ids ? 0 : -1;
}

void best_end(struct opencl *d, struct best *b)
{
	for (size_t i = 0; i < 2; i++)
		if (b->kernel[i])
			clReleaseKernel(b->kernel[i]);
	buffer_close(d, b->parts);
	buffer_close(d, b->ids);
	*b = (struct best){ 0 };
}

/* What records share may have moved. */
static cl_int set(struct opencl *d, const struct best *b, const struct slot *s)
{
	cl_int n = (cl_int)s->n, groups = GROUPS, status;
	cl_ulong at = s->offset / sizeof(float);

	status = clSetKernelArg(b->kernel[0], 0, sizeof d->scratch, &d->scratch);
	status = status ? status : clSetKernelArg(b->kernel[0], 1, sizeof at, &at);
	status = status ? status : clSetKernelArg(b->kernel[0], 2, sizeof n, &n);
	status = status ? status : clSetKernelArg(b->kernel[0], 3, sizeof b->parts, &b->parts);
	status = status ? status : clSetKernelArg(b->kernel[1], 0, sizeof b->parts, &b->parts);
	status = status ? status : clSetKernelArg(b->kernel[1], 1, sizeof groups, &groups);
	return status ? status : clSetKernelArg(b->kernel[1], 2, sizeof b->ids, &b->ids);
}

int best_run(struct record *r, size_t n_out, struct err *e)
{
	struct opencl *d = r->x->device;
	const struct best *b = &((struct cl_plan *)r->plan)->best;
	size_t parts[2] = { (size_t)GROUPS * LANES, n_out }, lanes[2] = { LANES, 1 };
	size_t all = n_out * LANES;
	cl_int status = set(d, b, r->result);

	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, b->kernel[0], 2, NULL, parts, lanes, 0, NULL,
		                                NULL);
	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, b->kernel[1], 1, NULL, &all, lanes, 0, NULL,
		                                NULL);
	return status ? cl_fail(e, status, "kernel best of %s", r->result->name) : 0;
}
