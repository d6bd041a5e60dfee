/* SPDX-License-Identifier: MIT */
/* shape.c - counts, equality, "[2048,1024] f16". */
#include "tensor/tensor.h"

#include "util/num.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct shape shape_of(unsigned rank, ...)
{
	struct shape s = { .rank = rank };
	va_list ap;

	assert(rank <= SHAPE_MAX_RANK);
	va_start(ap, rank);
	for (unsigned i = 0; i < rank; i++)
		s.dim[i] = va_arg(ap, size_t);
	va_end(ap);
	return s;
}

bool shape_equal(const struct shape *a, const struct shape *b)
{
	if (a->rank != b->rank)
		return false;
	for (unsigned i = 0; i < a->rank; i++)
		if (a->dim[i] != b->dim[i])
			return false;
	return true;
}

bool shape_count(size_t *out, const struct shape *s)
{
	size_t n = 1;
	bool zero = false;

	/* a zero axis does not excuse an overflow among the others: strides
	 * are products of them */
	for (unsigned i = 0; i < s->rank; i++) {
		if (s->dim[i] == 0)
			zero = true;
		else if (!num_mul(&n, n, s->dim[i]))
			return false;
	}
	*out = zero ? 0 : n;
	return true;
}

bool shape_bytes(size_t *out, enum dtype t, const struct shape *s)
{
	const struct dtype_info *d = dtype_info(t);
	size_t n, last = s->rank ? s->dim[s->rank - 1] : 1;

	if (last % d->block || !shape_count(&n, s))
		return false;
	return num_mul(out, n / d->block, d->block_bytes);
}

const char *shape_text(char *out, size_t room, enum dtype t, const struct shape *s)
{
	size_t at = 0;

	for (unsigned i = 0; i < s->rank; i++) {
		int n = snprintf(out + at, room - at, "%s%zu", i ? "," : "[", s->dim[i]);
		if (n < 0 || (size_t)n >= room - at)
			return out;
		at += (size_t)n;
	}
	snprintf(out + at, room - at, "%s] %s", s->rank ? "" : "[", dtype_info(t)->name);
	return out;
}
