/* SPDX-License-Identifier: MIT */
/* limits_opencl.c - what an OpenCL device does at most: the rows of a GPU,
 * or the CPU's own where the device is one. */
#include <stdio.h>

#include "exec/limits.h"
#include "exec/opencl.h"

enum {
	MEMORY = 1 << 30, HOST_MEMORY = 256 << 20, LEAST_MEMORY = 64 << 20, LOADS = 8,
	BLOCK = 16, CHUNK = 1 << 20,
	GROUPS_A_UNIT = 8, FMA_CHAINS = 16, TILES = 8, TILE_OPS = 2 * 16 * 8 * 16, WARP = 32,
	FIRST_LOOPS = 64, MOST_LOOPS = 1 << 24,
	LAUNCHES = 100, BARRIERS = 1000, PATIENCE = 1 << 20, OUTS = 4096,
};
static const double enough = 0.002; /* seconds of a launch that works */

static const struct probe_row {
	enum limit what;
	struct kernel_row row;
	double operations;     /* of an item a loop; CPU: of a lane */
} rows[] = {
	{ LIMIT_READ, { 0, 0, NEED_CPU, 0, "cpu/limits.cl", "limit_read", "", 1, 1, 1 }, 0 },
	{ LIMIT_READ, { 0, 0, 0, 0, "limits.cl", "limit_read", "", 256, 1, 1 }, 0 },
	{ LIMIT_FMA, { 0, 0, NEED_CPU, 0, "cpu/limits.cl", "limit_fma", "", 1, 1, 1 },
	  2 * CPU_LIMIT_CHAINS },
	{ LIMIT_FMA, { 0, 0, 0, 0, "limits.cl", "limit_fma", "", 256, 1, 1 }, 2 * FMA_CHAINS },
	{ LIMIT_DOT16, { 0, 0, NEED_CPU, 0, "cpu/limits.cl", "limit_dot16", "", 1, 1, 1 },
	  4 * CPU_LIMIT_CHAINS },
	{ LIMIT_DOT8, { 0, 0, NEED_CPU, 0, "cpu/limits.cl", "limit_dot8", "", 1, 1, 1 },
	  8 * CPU_LIMIT_CHAINS },
	{ LIMIT_MATRIX, { 0, 0, NEED_NVIDIA, 0, "limits.cl", "limit_matrix", "-DPTX", 256, 1, 1 },
	  (double)TILES * TILE_OPS / WARP },
	{ LIMIT_LAUNCH, { 0, 0, 0, 0, "limits.cl", "limit_launch", "", 256, 1, 1 }, 0 },
	{ LIMIT_BARRIER, { 0, 0, 0, 0, "limits.cl", "limit_barrier", "", 256, 1, 1 }, 0 },
};
enum { N_ROWS = sizeof rows / sizeof *rows };

struct probe {
	struct opencl *d;
	const struct probe_row *row;
	cl_kernel kernel;
	cl_mem out;            /* what the kernels write */
	size_t groups, launches;
	cl_int loops;
};

static const struct probe_row *find(const struct opencl *d, enum limit what)
{
	for (size_t i = 0; i < N_ROWS; i++)
		if (rows[i].what == what && !(rows[i].row.needs & ~d->can))
			return &rows[i];
	return NULL;
}

static int open_memory(struct opencl *d, struct err *e)
{
	size_t n = d->host_memory ? HOST_MEMORY : MEMORY;
	cl_uint one = 0x01010101;
	cl_int status;

	if (d->probe)
		return 0;
	while (n > LEAST_MEMORY && (n > d->max_alloc || n > d->x->info.memory / 8))
		n /= 2;
	d->probe = buffer_open(d, n, e);
	if (!d->probe)
		return -1;
	status = clEnqueueFillBuffer(d->queue, d->probe, &one, sizeof one, 0, n, 0, NULL, NULL);
	status = status ? status : clFinish(d->queue);
	return status ? cl_fail(e, status, "filling %zu bytes", n) : 0;
}

static size_t memory_bytes(const struct opencl *d)
{
	size_t n = 0;

	clGetMemObjectInfo(d->probe, CL_MEM_SIZE, sizeof n, &n, NULL);
	return n;
}

static int pass(void *arg, struct err *e)
{
	struct probe *p = arg;
	size_t lanes = p->row->row.lanes, size = p->groups * lanes;
	cl_int status = CL_SUCCESS;

	for (size_t i = 0; i < p->launches && !status; i++)
		status = clEnqueueNDRangeKernel(p->d->queue, p->kernel, 1, NULL, &size, &lanes, 0,
		                                NULL, NULL);
	status = status ? status : clFinish(p->d->queue);
	return status ? cl_fail(e, status, "kernel %s", p->row->row.entry) : 0;
}

/* The counters must begin at 0. */
static int barrier_pass(void *arg, struct err *e)
{
	struct probe *p = arg;
	cl_int zero[2] = { 0, 0 };

	return buffer_write(p->d, p->out, 0, zero, sizeof zero, e) != 0 ? -1 : pass(arg, e);
}

static int argument(const struct probe *p, cl_uint at, size_t n, const void *value, struct err *e)
{
	cl_int status = clSetKernelArg(p->kernel, at, n, value);

	return status ? cl_fail(e, status, "argument %u of kernel %s", at, p->row->row.entry) : 0;
}

/* ---- each kind: its arguments, then its figure */

static int set_read(struct probe *p, struct err *e)
{
	size_t n = memory_bytes(p->d), grid = p->groups * p->row->row.lanes;
	cl_ulong count;

	if (p->row->row.lanes == 1) {
		count = CHUNK;
		p->groups = n / CHUNK;
	} else {
		count = n / BLOCK / (LOADS * grid) * (LOADS * grid);
	}
	return argument(p, 0, sizeof p->d->probe, &p->d->probe, e) ||
	       argument(p, 1, sizeof count, &count, e) ||
	       argument(p, 2, sizeof p->out, &p->out, e) ? -1 : 0;
}

static double bytes_read(const struct probe *p)
{
	size_t n = memory_bytes(p->d), step = LOADS * p->groups * p->row->row.lanes * BLOCK;

	return (double)(p->row->row.lanes == 1 ? n / CHUNK * CHUNK : n / step * step);
}

static int set_work(struct probe *p, struct err *e)
{
	cl_int zero = 0;

	return argument(p, 0, sizeof zero, &zero, e) ||
	       argument(p, 1, sizeof p->loops, &p->loops, e) ||
	       argument(p, 2, sizeof p->out, &p->out, e) ? -1 : 0;
}

static double operations(const struct probe *p)
{
	double items = (double)(p->groups * p->row->row.lanes);

	if (p->row->row.lanes == 1)
		items *= p->d->width;
	return items * p->loops * p->row->operations;
}

/* As many loops as a launch is nothing beside, whatever the device. */
static int measure_work(struct probe *p, double *value, struct err *e)
{
	double t;

	for (p->loops = FIRST_LOOPS;; p->loops *= 16) {
		if (set_work(p, e) || limit_time(&t, pass, p, e))
			return -1;
		if (t >= enough || p->loops > MOST_LOOPS)
			break;
	}
	*value = operations(p) / t;
	return 0;
}

static int measure_barrier(struct probe *p, double *value, struct err *e)
{
	cl_int n = BARRIERS, patience = PATIENCE, count[2] = { 0, 0 };
	double t;

	p->groups = (size_t)p->d->x->info.units;
	if (p->d->host_memory) /* its groups wait for each other's threads */
		return 0;
	if (argument(p, 0, sizeof n, &n, e) || argument(p, 1, sizeof patience, &patience, e) ||
	    argument(p, 2, sizeof p->out, &p->out, e) || limit_time(&t, barrier_pass, p, e) ||
	    buffer_read(p->d, p->out, 0, count, sizeof count, e))
		return -1;
	*value = count[1] ? 0 : t / BARRIERS;
	return 0;
}

static int measure(struct probe *p, double *value, struct err *e)
{
	double t;

	switch (p->row->what) {
	case LIMIT_READ:
		if (open_memory(p->d, e) || set_read(p, e) || limit_time(&t, pass, p, e))
			return -1;
		*value = bytes_read(p) / t;
		return 0;
	case LIMIT_LAUNCH:
		p->launches = LAUNCHES;
		if (argument(p, 0, sizeof p->out, &p->out, e) || limit_time(&t, pass, p, e))
			return -1;
		*value = t / LAUNCHES;
		return 0;
	case LIMIT_BARRIER:
		return measure_barrier(p, value, e);
	default:
		return measure_work(p, value, e);
	}
}

int opencl_limit(struct exec *x, enum limit what, double *value, struct err *e)
{
	struct opencl *d = x->device;
	struct probe p = { .d = d, .row = find(d, what), .launches = 1 };
	struct program *program;
	char options[64] = "";
	int status = -1;

	if (!p.row)
		return 0;
	p.groups = (size_t)x->info.units * (p.row->row.lanes == 1 ? 1 : GROUPS_A_UNIT);
	if (p.row->row.lanes == 1)
		cpu_options(options, sizeof options, d, "");
	program = program_want(d, &p.row->row, options, e);
	if (!program || programs_build(d, e) != 0)
		return -1;
	p.out = buffer_open(d, OUTS * sizeof(float), e);
	if (!p.out)
		return -1;
	p.kernel = program_kernel(program, p.row->row.entry, e);
	if (p.kernel)
		status = measure(&p, value, e);
	if (p.kernel)
		clReleaseKernel(p.kernel);
	buffer_close(d, p.out);
	return status == 0 ? 0 : err_in(e, "measuring the device");
}
