/* SPDX-License-Identifier: MIT */
/* cl_best.c - what is asked of output rows in their place, found on the
 * device: of a step's result ids, or a few candidates, come back.
 *
 * Launches after the step's, over all rows (kernels/best.cl). What they write
 * in between lies in buffers that all records of a device share. Where the
 * device computes in the host's memory, the host looks at the rows itself. */
#include "exec/opencl.h"

#include <string.h>

#include "exec/ask.h"

enum { GROUPS = 32, PARTS = 64, LANES = 256, MAX_ARGS = 12 };

/* A row's answer as kernels/best.cl writes it. */
struct head {
	cl_int best;
	cl_float max;
	cl_int drawn;
	cl_float logit;
	cl_ulong mass;
	cl_uint n_few, pad;
};

/* What is launched: over how many groups a row, for which asks. */
enum argument { X, X_AT, N, TABLE, ASK_AT, ROOM, PART, LANE, BOUND, N_LIST, LIST, MASS, HEAD, FEWS,
                END };
static const struct stage {
	const char *entry;
	size_t groups;
	unsigned asks;
	enum argument arg[MAX_ARGS + 1];
} stages[BEST_STAGES] = {
	{ "best_parts", GROUPS, ~0u, { X, X_AT, N, TABLE, ASK_AT, PART, LANE, END } },
	{ "few_bound", 1, ASK_FEW, { TABLE, ASK_AT, LANE, BOUND, N_LIST, END } },
	{ "few_gather", GROUPS, ASK_FEW,
	  { X, X_AT, N, TABLE, ASK_AT, BOUND, N_LIST, LIST, ROOM, END } },
	{ "mass_parts", PARTS, ASK_DRAW | ASK_FEW, { X, X_AT, N, TABLE, ASK_AT, PART, MASS, END } },
	{ "best_answers", 1, ~0u,
	  { X, X_AT, N, TABLE, ASK_AT, PART, MASS, N_LIST, LIST, ROOM, HEAD, FEWS, END } },
};

/* Portable, and for what would fuse products and sums all the same. */
static const struct kernel_row rows[] = {
	{ .text = "best.cl", .entry = "best", .options = "", .lanes = LANES },
	{ .needs = NEED_NVIDIA, .text = "best.cl", .entry = "best", .options = "-DPTX",
	  .lanes = LANES },
};

bool best_here(const struct record *r)
{
	const struct opencl *d = r->x->device;

	return r->answer && !(d->can & NEED_CPU);
}

/* As many as a lane of best_parts sees, of FEW_MOST lanes. */
static size_t list_room(const struct record *r)
{
	return (r->result->n + GROUPS * LANES - 1) / (GROUPS * LANES) * FEW_MOST;
}

static int make_rooms(struct record *r, struct err *e)
{
	const size_t n = r->max_out, bytes[N_FOUND] = {
		[FOUND_PART] = n * GROUPS * sizeof(cl_ulong),
		[FOUND_LANE] = n * GROUPS * LANES * sizeof(cl_ulong),
		[FOUND_BOUND] = n * sizeof(cl_ulong),
		[FOUND_N_LIST] = n * sizeof(cl_uint),
		[FOUND_LIST] = n * list_room(r) * sizeof(cl_ulong),
		[FOUND_MASS] = n * 2 * PARTS * sizeof(cl_ulong),
		[FOUND_HEAD] = n * sizeof(struct head),
		[FOUND_FEW] = n * FEW_MOST * sizeof(struct few),
	};

	return device_found(r->x->device, bytes, e) ? err_in(e, "candidates of tokens") : 0;
}

int best_make(struct record *r, bool dry, struct err *e)
{
	struct opencl *d = r->x->device;
	struct best *b = &((struct cl_plan *)r->plan)->best;
	const struct kernel_row *row = &rows[d->can & NEED_NVIDIA ? 1 : 0];
	struct program *p;

	if (!best_here(r))
		return 0;
	p = program_want(d, row, "", e);
	if (!p || dry)
		return p ? 0 : -1;
	for (size_t i = 0; i < BEST_STAGES; i++)
		if (!(b->kernel[i] = program_kernel(p, stages[i].entry, e)))
			return -1;
	return make_rooms(r, e);
}

void best_end(struct best *b)
{
	for (size_t i = 0; i < BEST_STAGES; i++)
		if (b->kernel[i])
			clReleaseKernel(b->kernel[i]);
	*b = (struct best){ 0 };
}

/* Gives the kernel what records share, which may have moved, and what is the record's. */
static cl_int set(const struct record *r, cl_kernel kernel, const struct stage *s)
{
	const struct opencl *d = r->x->device;
	const struct cl_plan *p = r->plan;
	cl_int n = (cl_int)r->result->n, status = CL_SUCCESS;
	cl_ulong x_at = r->result->offset / sizeof(float), ask_at = p->ask_at, room = list_room(r);
	const struct { const void *p; size_t n; } value[END] = {
		[X] = { &d->scratch, sizeof d->scratch },
		[X_AT] = { &x_at, sizeof x_at },
		[N] = { &n, sizeof n },
		[TABLE] = { &d->table, sizeof d->table },
		[ASK_AT] = { &ask_at, sizeof ask_at },
		[ROOM] = { &room, sizeof room },
		[PART] = { &d->found[FOUND_PART], sizeof(cl_mem) },
		[LANE] = { &d->found[FOUND_LANE], sizeof(cl_mem) },
		[BOUND] = { &d->found[FOUND_BOUND], sizeof(cl_mem) },
		[N_LIST] = { &d->found[FOUND_N_LIST], sizeof(cl_mem) },
		[LIST] = { &d->found[FOUND_LIST], sizeof(cl_mem) },
		[MASS] = { &d->found[FOUND_MASS], sizeof(cl_mem) },
		[HEAD] = { &d->found[FOUND_HEAD], sizeof(cl_mem) },
		[FEWS] = { &d->found[FOUND_FEW], sizeof(cl_mem) },
	};

	for (cl_uint i = 0; s->arg[i] != END && !status; i++)
		status = clSetKernelArg(kernel, i, value[s->arg[i]].n, value[s->arg[i]].p);
	return status;
}

static unsigned all_asks(const struct step *s)
{
	unsigned what = 0;

	for (size_t i = 0; i < s->n_out; i++)
		what |= s->ask[i].what;
	return what;
}

/* Into the step table: four words a row. */
void best_table(int32_t *t, const struct step *s)
{
	int32_t slot = 0;

	for (size_t i = 0; i < s->n_out; i++, t += ASK_WORDS) {
		const struct ask *a = &s->ask[i];

		t[0] = (int32_t)a->what;
		memcpy(t + 1, &a->scale, sizeof *t);
		memcpy(t + 2, &a->chance, sizeof *t);
		t[3] = slot;
		slot += (a->what & ASK_FEW) != 0;
	}
}

static int launch(const struct record *r, unsigned asks, size_t n_out, struct err *e)
{
	struct opencl *d = r->x->device;
	const struct best *b = &((const struct cl_plan *)r->plan)->best;

	for (size_t i = 0; i < BEST_STAGES; i++) {
		const struct stage *s = &stages[i];
		size_t local[2] = { LANES, 1 }, global[2] = { s->groups * LANES, n_out };
		cl_int status;

		if (!(asks & s->asks))
			continue;
		if (s->groups == 1) {
			global[0] = n_out * LANES;
			global[1] = 1;
		}
		status = set(r, b->kernel[i], s);
		if (!status)
			status = clEnqueueNDRangeKernel(d->queue, b->kernel[i], 2, NULL, global,
			                                local, 0, NULL, NULL);
		if (status)
			return cl_fail(e, status, "kernel %s of %s", s->entry, r->result->name);
	}
	return 0;
}

int best_warm(const struct record *r, struct err *e)
{
	return best_here(r) ? launch(r, ~0u, 1, e) : 0;
}

int best_run(const struct record *r, const struct step *s, struct err *e)
{
	return launch(r, all_asks(s), s->n_out, e);
}

/* ---- what comes back */
static cl_int read_some(struct opencl *d, cl_mem m, bool wait, size_t at, void *p, size_t n)
{
	d->x->n_read += n;
	return clEnqueueReadBuffer(d->queue, m, wait, at, n, p, 0, NULL, NULL);
}

/* Rows that are wanted whole, to their place in the result, those side by side at once; waits
 * for them where they are all there is. */
static cl_int read_rows(struct record *r, const struct step *s)
{
	struct opencl *d = r->x->device;
	size_t n = r->result->n * sizeof(float), end;
	cl_int status = CL_SUCCESS;

	for (size_t i = 0; i < s->n_out && !status; i = end) {
		for (end = i; end < s->n_out && !s->ask[end].what;)
			end++;
		if (end > i)
			status = read_some(d, d->scratch, end - i == s->n_out,
			                   r->result->offset + i * n, (char *)d->result.p + i * n,
			                   (end - i) * n);
		else
			end++;
	}
	return status;
}

/* What was found, the few first. */
static cl_int read_found(struct record *r, const struct step *s)
{
	struct opencl *d = r->x->device;
	size_t heads = s->n_out * sizeof(struct head), fews = 0;
	cl_int status = CL_SUCCESS;

	for (size_t i = 0; i < s->n_out; i++)
		fews += s->ask[i].what & ASK_FEW ? FEW_MOST * sizeof(struct few) : 0;
	if (fews)
		status = read_some(d, d->found[FOUND_FEW], false, 0, (char *)d->back.p + heads,
		                   fews);
	return status ? status : read_some(d, d->found[FOUND_HEAD], true, 0, d->back.p, heads);
}

static void fill(struct record *r, const struct step *s)
{
	const struct opencl *d = r->x->device;
	const struct head *h = d->back.p;
	const struct few *few = (const struct few *)(const void *)(h + s->n_out);

	for (size_t i = 0; i < s->n_out; i++, h++) {
		struct answer *a = &r->answer[i];

		*a = (struct answer){ 0 };
		if (!s->ask[i].what) {
			a->row = (const float *)d->result.p + i * r->result->n;
			continue;
		}
		*a = (struct answer){ .best = h->best, .max = h->max, .drawn = h->drawn,
			              .logit = h->logit, .mass = h->mass };
		if (!(s->ask[i].what & ASK_FEW))
			continue;
		a->few = few;
		a->n_few = h->n_few;
		few += FEW_MOST;
	}
}

int best_read(struct record *r, const struct step *s, struct err *e)
{
	struct opencl *d = r->x->device;
	cl_int status = read_rows(r, s);

	if (!status && all_asks(s))
		status = read_found(r, s);
	d->x->n_waits++;
	d->busy = false;
	if (status)
		return cl_fail(e, status, "reading what was asked of %s", r->result->name);
	fill(r, s);
	return 0;
}

int best_row(struct record *r, size_t i, struct err *e)
{
	struct opencl *d = r->x->device;
	size_t n = r->result->n * sizeof(float);

	d->x->n_read += n;
	return buffer_read(d, d->scratch, r->result->offset + i * n, (char *)d->result.p + i * n, n,
	                   e);
}
