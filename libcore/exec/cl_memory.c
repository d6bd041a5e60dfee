/* SPDX-License-Identifier: MIT */
/* cl_memory.c - the device's buffers and their accounting.
 *
 * What all records of a device share - the scratch their slots lie in, the
 * step table, the result - grows when a record is planned, so that a step
 * allocates nothing. */
#include <string.h>

#include "exec/opencl.h"

cl_mem buffer_open(struct opencl *d, size_t n_bytes, struct err *e)
{
	cl_int status;
	cl_mem m;

	if (n_bytes > d->max_alloc) {
		err_set(e, ERR_MACHINE, "a buffer of %zu bytes, the device allows %zu", n_bytes,
		        d->max_alloc);
		return NULL;
	}
	m = clCreateBuffer(d->context, CL_MEM_READ_WRITE, n_bytes, NULL, &status);
	if (!m) {
		cl_fail(e, status, "a buffer of %zu bytes", n_bytes);
		return NULL;
	}
	d->x->n_bytes += n_bytes;
	d->x->n_events++;
	return m;
}

cl_mem buffer_over(struct opencl *d, const void *p, size_t n_bytes, struct err *e)
{
	cl_int status;
	/* the device only reads: OpenCL's prototype has no const */
	cl_mem m = clCreateBuffer(d->context, CL_MEM_READ_ONLY | CL_MEM_USE_HOST_PTR, n_bytes,
	                          (void *)(uintptr_t)p, &status);

	if (!m) {
		cl_fail(e, status, "a buffer over %zu bytes of host memory", n_bytes);
		return NULL;
	}
	d->x->n_events++;
	return m;
}

void buffer_close(struct opencl *d, cl_mem m)
{
	cl_mem_flags flags = 0;
	size_t n = 0;

	if (!m || part_close(d, m))
		return;
	clGetMemObjectInfo(m, CL_MEM_FLAGS, sizeof flags, &flags, NULL);
	clGetMemObjectInfo(m, CL_MEM_SIZE, sizeof n, &n, NULL);
	if (!(flags & CL_MEM_USE_HOST_PTR))
		d->x->n_bytes -= n;
	clReleaseMemObject(m);
}

int buffer_write(struct opencl *d, cl_mem m, size_t at, const void *p, size_t n_bytes,
                 struct err *e)
{
	cl_int status = clEnqueueWriteBuffer(d->queue, m, CL_TRUE, at, n_bytes, p, 0, NULL, NULL);

	d->x->n_waits++;
	return status ? cl_fail(e, status, "writing %zu bytes to the device", n_bytes) : 0;
}

int buffer_read(struct opencl *d, cl_mem m, size_t at, void *p, size_t n_bytes, struct err *e)
{
	cl_int status = clEnqueueReadBuffer(d->queue, m, CL_TRUE, at, n_bytes, p, 0, NULL, NULL);

	d->x->n_waits++;
	return status ? cl_fail(e, status, "reading %zu bytes from the device", n_bytes) : 0;
}

/* ---- host memory that the device reaches without a copy between */
static void pinned_close(struct opencl *d, struct pinned *p)
{
	if (p->p)
		clEnqueueUnmapMemObject(d->queue, p->m, p->p, 0, NULL, NULL);
	buffer_close(d, p->m);
	*p = (struct pinned){ 0 };
}

static int pinned_grow(struct opencl *d, struct pinned *p, size_t n_bytes, struct err *e)
{
	cl_int status;

	if (n_bytes <= p->n_bytes)
		return 0;
	pinned_close(d, p);
	p->m = clCreateBuffer(d->context, CL_MEM_READ_WRITE | CL_MEM_ALLOC_HOST_PTR, n_bytes, NULL,
	                      &status);
	if (!p->m)
		return cl_fail(e, status, "%zu bytes of host memory", n_bytes);
	d->x->n_bytes += n_bytes;
	d->x->n_events++;
	p->p = clEnqueueMapBuffer(d->queue, p->m, CL_TRUE, CL_MAP_READ | CL_MAP_WRITE, 0, n_bytes, 0,
	                          NULL, NULL, &status);
	if (!p->p) {
		pinned_close(d, p);
		return cl_fail(e, status, "mapping %zu bytes of host memory", n_bytes);
	}
	p->n_bytes = n_bytes;
	return 0;
}

static int room_grow(struct opencl *d, cl_mem *m, size_t *n, size_t n_bytes, struct err *e)
{
	cl_mem grown;

	if (n_bytes <= *n)
		return 0;
	grown = buffer_open(d, n_bytes, e);
	if (!grown)
		return -1;
	buffer_close(d, *m);
	*m = grown;
	*n = n_bytes;
	d->n_rooms++;
	return 0;
}

int device_idle(struct opencl *d, struct err *e)
{
	cl_int status;

	if (!d->busy)
		return 0;
	d->busy = false;
	d->x->n_waits++;
	status = clFinish(d->queue);
	return status ? cl_fail(e, status, "waiting for the device") : 0;
}

int device_rooms(struct opencl *d, size_t n_scratch, size_t n_table, size_t n_result,
                 struct err *e)
{
	if (device_idle(d, e) != 0)
		return -1;
	if (room_grow(d, &d->scratch, &d->n_scratch, n_scratch, e) != 0)
		return err_in(e, "activations");
	if (room_grow(d, &d->table, &d->n_table, n_table, e) != 0 ||
	    pinned_grow(d, &d->stage, n_table, e) != 0)
		return err_in(e, "step table");
	if (pinned_grow(d, &d->result, n_result, e) != 0)
		return err_in(e, "result");
	return 0;
}

int device_found(struct opencl *d, const size_t n_bytes[N_FOUND], struct err *e)
{
	if (device_idle(d, e) != 0)
		return -1;
	for (size_t i = 0; i < N_FOUND; i++)
		if (room_grow(d, &d->found[i], &d->n_found[i], n_bytes[i], e) != 0)
			return -1;
	return pinned_grow(d, &d->back, d->n_found[FOUND_HEAD] + d->n_found[FOUND_FEW], e);
}

void device_rooms_close(struct opencl *d)
{
	for (size_t i = 0; i < N_FOUND; i++)
		buffer_close(d, d->found[i]);
	pinned_close(d, &d->back);
	pinned_close(d, &d->stage);
	pinned_close(d, &d->result);
	buffer_close(d, d->scratch);
	buffer_close(d, d->table);
}
