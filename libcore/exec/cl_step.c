/* SPDX-License-Identifier: MIT */
/* cl_step.c - a step: its table written, the launches, the result read.
 *
 * Nothing is allocated, built or looked up here, but for a step table whose
 * page lists outgrow a full pool because sequences share them. */
#include <string.h>

#include "exec/blas.h"
#include "exec/limits.h"

/* rows of a sequence that one item of the CPU rows takes through the context */
enum { ROW_TILE = 8 };

static int fail_launch(struct err *e, cl_int status, const struct launch *l)
{
	return cl_fail(e, status, "kernel %s for %s", l->row->entry, l->name);
}

/* A part of the table as a buffer of its own. */
static int bind_place(struct opencl *d, const struct record *r, struct cl_plan *p, size_t i,
                      struct err *e)
{
	size_t at = i == 0 ? p->pos_at : p->row_pages_at + (i - 1) * p->row_pages_step;
	cl_buffer_region part = { at * sizeof(int32_t), r->max_rows * sizeof(int32_t) };
	cl_int status;

	if (p->place[i])
		clReleaseMemObject(p->place[i]);
	p->place[i] = clCreateSubBuffer(d->table, CL_MEM_READ_ONLY, CL_BUFFER_CREATE_TYPE_REGION, &part,
	                                &status);
	return p->place[i] ? 0 : cl_fail(e, status, "a part of the step table");
}

/* Gives every launch what records share, where that has changed. */
static int bind(struct opencl *d, struct record *r, struct cl_plan *p, struct err *e)
{
	if (p->n_rooms == d->n_rooms)
		return 0;
	for (size_t i = 0; i < p->n_places; i++)
		if (bind_place(d, r, p, i, e) != 0)
			return -1;
	for (size_t i = 0; i < p->n_launches; i++) {
		const struct launch *l = &p->launch[i];

		for (size_t k = 0; k < l->n_bound; k++) {
			unsigned room = l->bound[k].room;
			const cl_mem *m = room == ROOM_SCRATCH ? &d->scratch :
			                  room == ROOM_TABLE   ? &d->table :
			                                         &p->place[room - ROOM_POS];
			cl_int status = clSetKernelArg(l->kernel, l->bound[k].arg, sizeof *m, m);

			if (status)
				return fail_launch(e, status, l);
		}
	}
	p->n_rooms = d->n_rooms;
	if (p->persist.kernel && persist_bind(d, &p->persist, e) != 0)
		return -1;
	return teams_bind(r, e);
}

/* The step as launches see it. */
struct live {
	size_t rows, out, spans, runs;
	size_t tile;           /* rows that share a pass over their keys */
};

static cl_int set_live(struct launch *l, const struct live *live, size_t rows)
{
	cl_int status = CL_SUCCESS;

	for (size_t i = 0; i < l->n_live && !status; i++) {
		enum live_number what = l->live[i].what;
		size_t v = what == LIVE_ROWS     ? rows :
		           what == LIVE_ELEMENTS ? rows * l->width :
		           what == LIVE_SPANS    ? live->spans :
		           l->tokens             ? l->tokens : live->tile;

		if (v == l->live[i].value)
			continue;
		l->live[i].value = v;
		status = what == LIVE_ELEMENTS ?
			clSetKernelArg(l->kernel, l->live[i].arg, sizeof(cl_ulong), &(cl_ulong){ v }) :
			clSetKernelArg(l->kernel, l->live[i].arg, sizeof(cl_int), &(cl_int){ (cl_int)v });
	}
	return status;
}

static int enqueue(struct opencl *d, struct launch *l, const struct live *live, struct err *e)
{
	size_t rows = l->out ? live->out : live->rows, tokens = l->tokens ? l->tokens : live->tile;
	size_t tiles = l->runs  ? live->runs :
	               l->n_used ? experts_tiles(rows, l->n_used, l->n_stack, l->pad) * l->pad /
	                           tokens : (rows + tokens - 1) / tokens;
	size_t spans = l->spans ? live->spans : 1;
	size_t local[3] = { l->row->lanes, 1, 1 }, global[3] = { l->groups, tiles, spans };
	cl_int status = set_live(l, live, rows);

	if (l->blas)
		return blas_run(d, l->blas, rows, e);
	if (l->flat) {
		global[0] = l->width ? (rows * l->width + l->row->rows - 1) / l->row->rows :
		                       l->groups * tiles * spans;
		global[1] = global[2] = 1;
	} else if (l->rows_first) {
		global[0] = tiles;
		global[1] = l->groups;
	}
	global[0] *= local[0];
	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, l->kernel, l->flat ? 1 : 3, NULL, global,
		                                local, 0, NULL, NULL);
	return status ? fail_launch(e, status, l) : 0;
}

static int write_table(struct opencl *d, size_t words, struct err *e)
{
	cl_int status = clEnqueueWriteBuffer(d->queue, d->table, CL_FALSE, 0, words * sizeof(int32_t),
	                                     d->stage.p, 0, NULL, NULL);

	if (status)
		return cl_fail(e, status, "writing the step table");
	d->busy = true;
	return 0;
}

/* Portable rows find a table without live rows; CPU rows do one row, at the
 * head of page 0, which they read but do not write. */
static int warm(struct opencl *d, struct launch *l, struct err *e)
{
	static const struct live one = { .rows = 1, .out = 1, .spans = 1, .runs = 1, .tile = 1 };
	cl_int status = CL_SUCCESS;

	for (size_t i = 0; i < l->n_idle && !status; i++)
		status = clSetKernelArg(l->kernel, l->idle[i].arg, sizeof(cl_int), &(cl_int){ 0 });
	if (!status && enqueue(d, l, &one, e) != 0)
		return -1;
	for (size_t i = 0; i < l->n_idle && !status; i++)
		status = clSetKernelArg(l->kernel, l->idle[i].arg, sizeof(cl_int), &l->idle[i].value);
	return status ? fail_launch(e, status, l) : 0;
}

int launches_warm(struct record *r, struct err *e)
{
	struct opencl *d = r->x->device;
	struct cl_plan *p = r->plan;

	if (device_idle(d, e) != 0 || bind(d, r, p, e) != 0)
		return -1;
	memset(d->stage.p, 0, p->end_at * sizeof(int32_t));
	if (write_table(d, p->end_at, e) != 0)
		return -1;
	for (size_t i = 0; i < p->n_launches; i++)
		if (p->launch[i].first && warm(d, &p->launch[i], e) != 0)
			return -1;
	if ((p->persist.kernel && persist_run(d, &p->persist, e) != 0) ||
	    teams_warm(d, &p->teams, e) != 0 || best_warm(r, e) != 0)
		return -1;
	return device_idle(d, e);
}

struct timed {
	struct record *r;
	const struct live *live;
	size_t first, end;
};

static int timed_pass(void *arg, struct err *e)
{
	const struct timed *t = arg;
	struct opencl *d = t->r->x->device;
	struct cl_plan *p = t->r->plan;

	for (size_t i = t->first; i < t->end; i++)
		if (t->live->rows >= p->launch[i].min_rows && t->live->rows <= p->launch[i].max_rows &&
		    enqueue(d, &p->launch[i], t->live, e) != 0)
			return -1;
	d->busy = true;
	return device_idle(d, e);
}

int launches_time(struct record *r, size_t first, size_t end, size_t rows, double *seconds,
                  struct err *e)
{
	struct opencl *d = r->x->device;
	struct live live = { .rows = rows, .out = rows, .spans = 1, .runs = 1, .tile = 1 };
	struct timed t = { r, &live, first, end };
	int32_t *table = d->stage.p;

	if (device_idle(d, e) != 0)
		return -1;
	table[STEP_ROWS] = table[STEP_OUT] = (int32_t)rows;
	/* the first pass is for caches alone */
	return write_table(d, ((struct cl_plan *)r->plan)->end_at, e) != 0 ||
	       timed_pass(&t, e) != 0 || limit_time(seconds, timed_pass, &t, e) != 0 ? -1 : 0;
}

/* ---- the table */
static size_t table_words(const struct record *r, const struct cl_plan *p, const struct step *s)
{
	size_t n_lists = r->kv ? r->kv->n_groups * s->n_seqs : 0, words = p->end_at + n_lists;

	for (size_t i = 0; i < n_lists; i++)
		words += s->n_pages[i];
	return words;
}

static void fill_pages(int32_t *t, const struct record *r, const struct cl_plan *p,
                       const struct step *s)
{
	size_t n_lists = r->kv ? r->kv->n_groups * s->n_seqs : 0, at = p->end_at + n_lists;

	for (size_t i = 0; i < n_lists; i++) {
		t[p->end_at + i] = (int32_t)at;
		if (s->n_pages[i])
			memcpy(t + at, s->pages[i], s->n_pages[i] * sizeof *t);
		at += s->n_pages[i];
	}
	for (size_t g = 0; r->kv && g < r->kv->n_groups; g++)
		for (size_t row = 0; row < s->n_rows; row++)
			t[p->row_pages_at + g * p->row_pages_step + row] =
				t[p->end_at + g * s->n_seqs + (size_t)s->seq[row]];
}

/* Where each run of rows of one sequence begins, and the last one ends; returns
 * how many there are. */
static size_t fill_runs(int32_t *t, const struct step *s, size_t most)
{
	size_t n = 0, begin = 0;

	for (size_t i = 1; i <= s->n_rows; i++) {
		if (i < s->n_rows && i - begin < most && s->seq[i] == s->seq[begin])
			continue;
		t[n++] = (int32_t)begin;
		begin = i;
	}
	t[n] = (int32_t)begin;
	return n;
}

static void fill_table(int32_t *t, const struct record *r, const struct cl_plan *p,
                       const struct step *s, const float *const *angles, struct live *live)
{
	live->runs = fill_runs(t + p->run_at, s, p->run_rows);
	t[STEP_ROWS] = (int32_t)s->n_rows;
	t[STEP_OUT] = (int32_t)s->n_out;
	t[STEP_SPANS] = (int32_t)live->spans;
	t[STEP_RUNS] = (int32_t)live->runs;
	memcpy(t + p->token_at, s->token, s->n_rows * sizeof *t);
	memcpy(t + p->pos_at, s->pos, s->n_rows * sizeof *t);
	if (s->n_out)
		memcpy(t + p->out_at, s->out, s->n_out * sizeof *t);
	if (p->adapter_at < p->ask_at && s->adapter)
		memcpy(t + p->adapter_at, s->adapter, s->n_rows * sizeof *t);
	else if (p->adapter_at < p->ask_at)
		memset(t + p->adapter_at, 0, s->n_rows * sizeof *t);
	if (s->ask)
		best_table(t + p->ask_at, s);
	for (size_t i = 0; i < r->n_ropes; i++)
		memcpy(t + p->angle_at[i], angles[i], s->n_rows * r->rope[i].dims * sizeof(float));
	fill_pages(t, r, p, s);
}

/* ---- running */
static size_t longest_spans(const struct opencl *d, const struct step *s)
{
	size_t most = 1, span = span_of(d);

	for (size_t i = 0; i < s->n_rows; i++)
		if ((size_t)s->pos[i] / span + 1 > most)
			most = (size_t)s->pos[i] / span + 1;
	return most;
}

/* Whether spans run beside each other: when rows and heads alone do not fill
 * the device. The bits are the same either way. */
static bool split(const struct record *r, const struct cl_plan *p, size_t n_rows, size_t spans)
{
	size_t groups = n_rows * p->max_heads;

	return spans > 1 && groups < 8 * (size_t)r->x->info.units && groups * spans <= p->n_parts;
}

/* Rows of one sequence may share a pass over their keys. */
static size_t row_tile(const struct step *s)
{
	for (size_t i = 1; i < s->n_rows; i++)
		if (s->seq[i] != s->seq[0])
			return 1;
	return s->n_rows < ROW_TILE ? s->n_rows : ROW_TILE;
}

static int run_launches(struct record *r, const struct live *live, enum launch_when when,
                        struct err *e)
{
	struct opencl *d = r->x->device;
	const struct cl_plan *p = r->plan;
	bool teams = p->teams.n && live->rows == 1 && live->out == 1;
	size_t k = 0;

	if (teams && teams_set(r, live->spans, when, e) != 0)
		return -1;
	for (size_t i = 0; i < p->n_launches; i++) {
		struct launch *l = &p->launch[i];
		size_t rows = l->out ? live->out : live->rows;

		if (teams && k < p->teams.n && i == p->teams.team[k].first) {
			i = p->teams.team[k].end - 1;
			if (team_run(d, &p->teams, &p->teams.team[k++], e) != 0)
				return -1;
			continue;
		}
		if (rows < l->min_rows || rows > l->max_rows ||
		    (l->when != WHEN_ALWAYS && l->when != when))
			continue;
		if (enqueue(d, l, live, e) != 0)
			return -1;
	}
	return 0;
}

/* Whether the step is one launch: then what comes before its phases is
 * launched, and nothing else. */
static bool persists(const struct opencl *d, const struct cl_plan *p, const struct live *live)
{
	return p->persist.kernel && !d->no_persist && live->out > 0 &&
	       (live->spans == 1 || live->rows * p->max_heads * live->spans <= p->n_parts);
}

static int run_persist(struct opencl *d, struct cl_plan *p, const struct live *live, struct err *e)
{
	for (size_t i = 0; i < p->n_launches; i++)
		if (p->launch[i].row->op == OP_EMBED && enqueue(d, &p->launch[i], live, e) != 0)
			return -1;
	return persist_run(d, &p->persist, e);
}

/* The result, or what was found of it, and beside it whether the groups have met. */
static int read_result(struct record *r, const struct step *s, bool asked, bool persist, bool *met,
                       struct err *e)
{
	struct opencl *d = r->x->device;
	const struct cl_plan *p = r->plan;
	size_t row = r->result->n * sizeof(float), n = s->n_out * row;
	cl_uint *flag = (cl_uint *)((char *)d->result.p + r->max_out * row);
	cl_int status = CL_SUCCESS;

	*flag = 0;
	if (persist)
		status = clEnqueueReadBuffer(d->queue, p->persist.sync, CL_FALSE, sizeof *flag,
		                             sizeof *flag, flag, 0, NULL, NULL);
	d->x->n_read += persist ? sizeof *flag : 0;
	if (asked && !status) {
		if (best_read(r, s, e) != 0)
			return -1;
	} else if (!status) {
		status = clEnqueueReadBuffer(d->queue, d->scratch, CL_TRUE, r->result->offset, n,
		                             d->result.p, 0, NULL, NULL);
		d->x->n_waits++;
		d->x->n_read += n;
		d->busy = false;
	}
	*met = *flag == 0;
	return status ? cl_fail(e, status, "reading %s", r->result->name) : 0;
}

static int start(struct record *r, const struct step *s, const float *const *angles,
                 struct live *live, struct err *e)
{
	struct opencl *d = r->x->device;
	struct cl_plan *p = r->plan;
	size_t words = table_words(r, p, s);

	if (device_idle(d, e) != 0)
		return -1;
	if (words * sizeof(int32_t) > d->n_table &&
	    device_rooms(d, 0, 2 * words * sizeof(int32_t), 0, e) != 0)
		return -1;
	fill_table(d->stage.p, r, p, s, angles, live);
	return write_table(d, words, e) != 0 || bind(d, r, p, e) != 0 ? -1 : 0;
}

/* The launches, or the one; then what is asked of what they gave, or all of it. */
static int run_and_read(struct record *r, const struct step *s, const struct live *live,
                        enum launch_when when, bool persist, bool *met, struct err *e)
{
	struct opencl *d = r->x->device;
	struct cl_plan *p = r->plan;
	bool asked = s->ask && best_here(r);

	if ((persist ? run_persist(d, p, live, e) : run_launches(r, live, when, e)) != 0 ||
	    (asked && best_run(r, s, e) != 0))
		return -1;
	return read_result(r, s, asked, persist, met, e);
}

int opencl_run(struct record *r, const struct step *s, const float *const *angles, struct err *e)
{
	struct opencl *d = r->x->device;
	struct cl_plan *p = r->plan;
	struct live live = { s->n_rows, s->n_out, longest_spans(d, s), 0, r->kv ? row_tile(s) : 1 };
	enum launch_when when = split(r, p, s->n_rows, live.spans) ? WHEN_SPLIT : WHEN_WHOLE;
	bool met;
	cl_int status;

	if (start(r, s, angles, &live, e) != 0)
		return -1;
	if (!r->result || s->n_out == 0) {
		if (run_launches(r, &live, when, e) != 0)
			return -1;
		status = clFlush(d->queue);
		return status ? cl_fail(e, status, "starting a step") : 0;
	}
	if (run_and_read(r, s, &live, when, persists(d, p, &live), &met, e) != 0)
		return -1;
	if (met)
		return 0;
	/* OpenCL promises no groups beside each other: launches from now on */
	d->no_persist = true;
	return run_and_read(r, s, &live, when, false, &met, e);
}

const float *opencl_output(const struct record *r)
{
	return ((const struct opencl *)r->x->device)->result.p;
}
