/* SPDX-License-Identifier: MIT */
/* cl_blas.c - CLBlast: opened when it is wanted, asked for products, timed
 * against the rows of ours.
 *
 * It is opened at run time, as it would add 5 ms to the start of every
 * program, and most never use it. */
#include "exec/blas.h"

#include <clblast_c.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_FORMS = 16, FIRST_ROWS = 16 };
/* how much faster the library is where it is taken */
static const double gain = 1.05;

struct blas {
	__typeof__(CLBlastSgemmWithTempBuffer) *gemm;
	__typeof__(CLBlastSGemmTempBufferSize) *gemm_room;
	__typeof__(CLBlastClearCache) *clear;
	bool always;           /* checks: from two rows on, whatever was measured, and on any device */
	cl_mem room;           /* what the library works in */
	size_t n_room;
	struct { char form[128]; size_t from, most; } seen[MOST_FORMS];
	size_t n_seen;
};

static bool find(void **f, void *lib, const char *name)
{
	*f = dlsym(lib, name);
	return *f;
}

int blas_open(struct opencl *d, unsigned flags, struct err *e)
{
	const char *rows = getenv("CLM_OPENCL_ROWS");
	bool always = rows && !strcmp(rows, "blas");
	struct blas *b;
	void *lib;

	if ((!(flags & EXEC_RELAXED) || d->host_memory || d->can & (NEED_CPU | NEED_NVIDIA)) && !always)
		return 0;
	/* never closed: threads of an OpenCL driver may still be in it */
	lib = dlopen("libclblast.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return 0;
	b = arena_new(&d->arena, 1, sizeof *b, e);
	if (!b)
		return -1;
	b->always = always;
	if (find((void **)&b->gemm, lib, "CLBlastSgemmWithTempBuffer") &&
	    find((void **)&b->gemm_room, lib, "CLBlastSGemmTempBufferSize") &&
	    find((void **)&b->clear, lib, "CLBlastClearCache"))
		d->blas = b;
	return 0;
}

void blas_close(struct opencl *d)
{
	if (!d->blas)
		return;
	buffer_close(d, d->blas->room);
	d->blas->clear();
	d->blas = NULL;
}

static int fail(struct err *e, CLBlastStatusCode status, const struct blas_call *c, size_t rows)
{
	return cl_fail(e, (cl_int)status, "CLBlast's product of %zu x %zu by %zu", rows, c->k, c->n);
}

int blas_run(struct opencl *d, const struct blas_call *c, size_t rows, struct err *e)
{
	CLBlastStatusCode status = d->blas->gemm(
		CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, rows, c->n, c->k, 1.0f,
		d->scratch, c->x_at, c->k, c->b ? c->b : d->scratch, c->b_at, c->k,
		c->add ? 1.0f : 0.0f, d->scratch, c->y_at, c->width, &d->queue, NULL, d->blas->room);

	return status == CLBlastSuccess ? 0 : fail(e, status, c, rows);
}

/* Room for a call: it needs some to fill up tiles, so that a row less may ask for more. */
static int room_for(struct opencl *d, const struct blas_call *c, size_t rows, struct err *e)
{
	for (size_t less = 0; less < 2 && less < rows; less++) {
		size_t n = 0;
		CLBlastStatusCode status = d->blas->gemm_room(
			CLBlastLayoutRowMajor, CLBlastTransposeNo, CLBlastTransposeYes, rows - less, c->n, c->k,
			c->x_at, c->k, c->b_at, c->k, c->y_at, c->width, &d->queue, &n);

		if (status != CLBlastSuccess)
			return fail(e, status, c, rows);
		if (n <= d->blas->n_room)
			continue;
		buffer_close(d, d->blas->room);
		d->blas->n_room = 0;
		d->blas->room = buffer_open(d, n, e);
		if (!d->blas->room)
			return err_in(e, "the library's room");
		d->blas->n_room = n;
	}
	return 0;
}

/* ---- which way */
/* The least live rows from which the library is faster; SIZE_MAX: none. */
static int measure(struct record *r, const struct blas_choice *c, size_t *from, struct err *e)
{
	*from = SIZE_MAX;
	for (size_t rows = FIRST_ROWS; rows <= c->most; rows *= 2) {
		double ours, theirs;

		if (launches_time(r, c->first, c->lib, rows, &ours, e) != 0 ||
		    launches_time(r, c->lib, c->end, rows, &theirs, e) != 0)
			return -1;
		if (ours < theirs * gain)
			*from = SIZE_MAX;
		else if (*from == SIZE_MAX)
			*from = rows;
	}
	return 0;
}

/* Of all products of a form the one with most weights is measured, once for as many
 * rows as any record has had. */
static int verdict(struct record *r, const char *form, const struct blas_choice *c, size_t *from,
                   struct err *e)
{
	const struct cl_plan *p = r->plan;
	struct blas *b = ((struct opencl *)r->x->device)->blas;
	char other[128];
	size_t at = 0;

	for (size_t i = 0; i < p->n_choices; i++)
		if (p->choice[i].work * p->choice[i].most > c->work * c->most &&
		    !strcmp(form_options(other, sizeof other, p->choice[i].w), form))
			c = &p->choice[i];
	while (at < b->n_seen && strcmp(b->seen[at].form, form))
		at++;
	if (at < b->n_seen && b->seen[at].most >= c->most) {
		*from = b->seen[at].from;
		return 0;
	}
	if (measure(r, c, from, e) != 0)
		return -1;
	if (b->always)
		*from = 2;
	if (at == MOST_FORMS)
		return 0;
	snprintf(b->seen[at].form, sizeof b->seen->form, "%s", form);
	b->seen[at].from = *from;
	b->seen[at].most = c->most;
	b->n_seen += at == b->n_seen;
	return 0;
}

int blas_choose(struct record *r, struct err *e)
{
	struct opencl *d = r->x->device;
	struct cl_plan *p = r->plan;

	for (size_t i = 0; i < p->n_choices; i++)
		for (size_t k = p->choice[i].lib; k < p->choice[i].end; k++)
			if (p->launch[k].blas && room_for(d, p->launch[k].blas, p->choice[i].most, e) != 0)
				return -1;
	for (size_t i = 0; i < p->n_choices; i++) {
		const struct blas_choice *c = &p->choice[i];
		char form[128];
		size_t from;

		if (verdict(r, form_options(form, sizeof form, c->w), c, &from, e) != 0)
			return -1;
		for (size_t k = c->first; k < c->end; k++) {
			struct launch *l = &p->launch[k];

			if (k >= c->lib)
				l->min_rows = from;
			else if (l->max_rows >= from)
				l->max_rows = from - 1;
		}
	}
	return 0;
}
