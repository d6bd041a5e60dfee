/* SPDX-License-Identifier: MIT */
/* cl_parts.c - what stays on the device as parts of a few large buffers, so
 * that one kernel can be given all of it.
 *
 * A part is a buffer of its own to everyone else. Parts are cut from the
 * last slab, which is as large as a quarter of what there is already; a slab
 * goes with the last of its parts, and what a part leaves is not cut anew. */
#include "exec/opencl.h"

enum { SLAB_LEAST = 16 << 20 };
#define SLAB_MOST ((size_t)4 << 30)

static size_t align(const struct opencl *d, size_t n)
{
	return (n + d->border - 1) / d->border * d->border;
}

static struct slab *slab_open(struct opencl *d, size_t n_bytes, struct err *e)
{
	struct slab *s = NULL;
	size_t total = 0, n;

	for (size_t i = 0; i < MAX_SLABS; i++) {
		total += d->slab[i].n;
		if (!d->slab[i].m && !s)
			s = &d->slab[i];
	}
	if (!s)
		return NULL;
	n = total / 4 < SLAB_MOST ? total / 4 : SLAB_MOST;
	n = align(d, n < SLAB_LEAST ? SLAB_LEAST : n);
	n = n < n_bytes ? n_bytes : n > d->max_alloc ? d->max_alloc : n;
	s->m = buffer_open(d, n, e);
	s->n = s->m ? n : 0;
	s->used = s->parts = 0;
	return s->m ? s : NULL;
}

static cl_mem cut(struct opencl *d, struct slab *s, size_t n_bytes, struct err *e)
{
	cl_buffer_region part = { s->used, n_bytes };
	cl_int status;
	cl_mem m = clCreateSubBuffer(s->m, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &part,
	                             &status);

	if (!m) {
		cl_fail(e, status, "a part of %zu bytes of a buffer", n_bytes);
		return NULL;
	}
	s->used = align(d, s->used + n_bytes);
	s->parts++;
	d->x->n_events++;
	return m;
}

cl_mem part_open(struct opencl *d, size_t n_bytes, struct err *e)
{
	struct slab *s;
	struct err full = { 0 };

	if (!(d->can & NEED_NVIDIA) || !n_bytes || n_bytes > d->max_alloc)
		return buffer_open(d, n_bytes, e);
	for (size_t i = 0; i < MAX_SLABS; i++) {
		s = &d->slab[i];
		if (s->m && s->used < s->n && s->n - s->used >= n_bytes)
			return cut(d, s, n_bytes, e);
	}
	s = slab_open(d, n_bytes, &full);
	return s ? cut(d, s, n_bytes, e) : buffer_open(d, n_bytes, e);
}

static struct slab *slab_of(struct opencl *d, cl_mem m)
{
	cl_mem whole = NULL;

	if (clGetMemObjectInfo(m, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof whole, &whole, NULL) || !whole)
		return NULL;
	for (size_t i = 0; i < MAX_SLABS; i++)
		if (d->slab[i].m == whole)
			return &d->slab[i];
	return NULL;
}

bool part_find(struct opencl *d, cl_mem m, size_t *slab, size_t *at)
{
	const struct slab *s = m ? slab_of(d, m) : NULL;

	*at = 0;
	if (!s || clGetMemObjectInfo(m, CL_MEM_OFFSET, sizeof *at, at, NULL))
		return false;
	*slab = (size_t)(s - d->slab);
	return true;
}

bool part_close(struct opencl *d, cl_mem m)
{
	struct slab *s = slab_of(d, m);

	if (!s)
		return false;
	clReleaseMemObject(m);
	if (--s->parts == 0) {
		buffer_close(d, s->m);
		*s = (struct slab){ 0 };
	}
	return true;
}
