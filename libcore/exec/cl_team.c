/* SPDX-License-Identifier: MIT */
/* cl_team.c - a step of one row in a few launches, on a CPU.
 *
 * There a launch takes as long as a small op, many times over where processors
 * are far apart. So launches of the CPU rows that follow each other become
 * phases of one, kernels/team.cl, whose groups meet without the system: their arguments
 * are written down with memory as addresses, and what a step sets anew is set there. */
#include <stdio.h>
#include <string.h>

#include "exec/launch.h"
#include "util/thread.h"

/* These, and how words lie, as in kernels/team.cl. */
enum {
	PHASE_NORM, PHASE_ROPE, PHASE_KV_WRITE, PHASE_ATTENTION, PHASE_MERGE, PHASE_GLU, PHASE_ADD,
	PHASE_SCALE, PHASE_FLOAT_PREPARE, PHASE_FLOAT_VEC, PHASE_AFFINE_PREPARE, PHASE_AFFINE_VEC,
	PHASE_NONE = -1,
};
enum {
	PHASE_HEAD = 2, PHASE_WORDS = PHASE_HEAD + MAX_WORDS, HALF_WORD = 16, MOST_ITEMS = 0xffff,
	LINE_WORDS = 16, REST_NS = 20000,
	LEAST_PRODUCTS = 8,    /* of a record: fewer are not worth a program */
	LEAST_PHASES = 2,
	MOST_FORMS = 8,        /* of a record that get a program; launches of others stay */
};

#ifdef __linux__
#define SYSTEM "-DLINUX"
#else
#define SYSTEM ""
#endif
static const struct kernel_row row = {
	OP_MATMUL, 0, NEED_CPU, 0, "team.cl", "team", SYSTEM, 1, 1, 1,
};

static int phase_of(const struct launch *l)
{
	static const struct { enum op_kind op; unsigned step; int phase; } phases[] = {
		{ OP_NORM_RMS, 0, PHASE_NORM },
		{ OP_ROPE, 0, PHASE_ROPE },
		{ OP_KV_WRITE, 0, PHASE_KV_WRITE },
		{ OP_ATTENTION, ATTENTION_WHOLE, PHASE_ATTENTION },
		{ OP_ATTENTION, ATTENTION_SPLIT, PHASE_ATTENTION },
		{ OP_ATTENTION, ATTENTION_MERGE, PHASE_MERGE },
		{ OP_GLU, 0, PHASE_GLU },
		{ OP_ADD, 0, PHASE_ADD },
		{ OP_SCALE, 0, PHASE_SCALE },
		{ OP_MATMUL, FLOAT_PREPARE, PHASE_FLOAT_PREPARE },
		{ OP_MATMUL, FLOAT_VEC, PHASE_FLOAT_VEC },
		{ OP_MATMUL, ONE_PREPARE, PHASE_AFFINE_PREPARE },
		{ OP_MATMUL, AFFINE_VEC, PHASE_AFFINE_VEC },
	};

	for (size_t i = 0; l->flat && i < sizeof phases / sizeof *phases; i++)
		if (phases[i].op == l->row->op && phases[i].step == l->row->step)
			return phases[i].phase;
	return PHASE_NONE;
}

static bool of_one_row(const struct launch *l)
{
	return l->min_rows <= 1 && l->max_rows >= 1;
}

/* Items of the phase, where a row sees so many spans. */
static size_t items_of(const struct launch *l, size_t spans)
{
	return l->width ? (l->width + l->row->rows - 1) / l->row->rows :
	                  l->groups * (l->spans ? spans : 1);
}

/* ---- programs: one for each form of codes, as a text has one */
struct codes { unsigned bits, group; };

static struct program *want(struct opencl *d, struct codes f, struct err *e)
{
	char form[64] = "", all[128];

	if (f.bits)
		snprintf(form, sizeof form, " -DBITS=%u -DGROUP=%u", f.bits, f.group);
	return program_want(d, &row, cpu_options(all, sizeof all, d, form), e);
}

static size_t find_form(const struct codes *form, size_t n, unsigned bits, unsigned group)
{
	size_t i = 0;

	while (i < n && (form[i].bits != bits || form[i].group != group))
		i++;
	return i;
}

/* The forms of a record's codes, {0, 0} where it has none; 0: not worth it. */
static size_t find_forms(const struct record *r, struct codes form[MOST_FORMS])
{
	size_t n = 0, products = 0;

	for (size_t i = 0; i < r->n_ops; i++)
		for (size_t k = 0; r->op[i].kind == OP_MATMUL && k < r->op[i].n_parts; k++) {
			const struct weight_desc *w = &r->op[i].part[k].w->d;

			products++;
			if (w->form == FORM_AFFINE && n < MOST_FORMS &&
			    find_form(form, n, w->bits, w->group) == n)
				form[n++] = (struct codes){ w->bits, w->group };
		}
	if (!n)
		form[n++] = (struct codes){ 0, 0 };
	return products >= LEAST_PRODUCTS ? n : 0;
}

/* ---- addresses */
static int find_place(struct opencl *d, const struct teams *t, cl_mem m, size_t i, struct err *e)
{
	size_t one = 1;
	cl_int status = clSetKernelArg(t->place, 0, sizeof m, &m);

	if (!status)
		status = clSetKernelArg(t->place, 2, sizeof(cl_int), &(cl_int){ (cl_int)i });
	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, t->place, 1, NULL, &one, &one, 0, NULL, NULL);
	return status ? cl_fail(e, status, "kernel place") : 0;
}

/* Bits of a word, from the lowest on: *bit is the next that is set. */
static bool next_bit(uint32_t word, unsigned *bit)
{
	while (*bit < 32 && !(word >> *bit & 1))
		++*bit;
	return *bit < 32;
}

/* The addresses of what launches were given, into their words: all that a team needs in one go. */
static int find_memory(struct record *r, const struct team *t, struct err *e)
{
	struct cl_plan *p = r->plan;
	struct opencl *d = r->x->device;
	size_t n = 0;

	for (size_t k = 0; k < t->n_phases; k++) {
		struct launch *l = &p->launch[t->launch[k]];

		for (unsigned i = 0; next_bit(l->memory, &i); i++) {
			cl_mem m;

			memcpy(&m, &l->word[i], sizeof m);
			if (find_place(d, &p->teams, m, n++, e) != 0)
				return -1;
		}
	}
	if (n && buffer_read(d, p->teams.places, 0, t->words, n * sizeof *t->words, e) != 0)
		return -1;
	n = 0;
	for (size_t k = 0; k < t->n_phases; k++) {
		struct launch *l = &p->launch[t->launch[k]];

		for (unsigned i = 0; next_bit(l->memory, &i); i++)
			l->word[i] = t->words[n++];
		l->memory = 0;
	}
	return 0;
}

/* ---- teams */
/* Launches from t->first on that can be phases of one; sets t->end. Returns their program. */
static size_t gather(struct team *t, const struct cl_plan *p, const struct codes *form, size_t n)
{
	size_t have = n;

	for (t->end = t->first; t->end < p->n_launches; t->end++) {
		const struct launch *l = &p->launch[t->end];
		size_t f = l->bits ? find_form(form, n, l->bits, l->group) : have;

		if (!of_one_row(l))
			continue;
		if (phase_of(l) == PHASE_NONE || items_of(l, 1) > MOST_ITEMS ||
		    (l->bits && (f == n || (have < n && f != have))))
			break;
		have = f;
		t->n_phases++;
	}
	return have < n ? have : 0;
}

static int fill(struct record *r, struct team *t, struct err *e)
{
	struct cl_plan *p = r->plan;
	struct opencl *d = r->x->device;
	size_t n_local = 64, k = 0, n_parts;
	cl_int status;

	t->stride = (t->n_phases + LINE_WORDS - 1) / LINE_WORDS * LINE_WORDS;
	n_parts = LINE_WORDS + 2 * p->teams.n_groups * t->stride;
	t->launch = arena_new(&r->arena, t->n_phases, sizeof *t->launch, e);
	t->words = arena_new(&r->arena, t->n_phases * PHASE_WORDS, sizeof *t->words, e);
	t->part = arena_new(&r->arena, n_parts, sizeof *t->part, e);
	if (!t->launch || !t->words || !t->part)
		return -1;
	memcpy(t->part, (int64_t[]){ 0, REST_NS }, 2 * sizeof(int64_t));
	t->phases = buffer_open(d, t->n_phases * PHASE_WORDS * sizeof *t->words, e);
	t->parts = t->phases ? buffer_open(d, n_parts * sizeof *t->part, e) : NULL;
	if (!t->parts)
		return -1;
	for (size_t i = t->first; i < t->end; i++) {
		if (!of_one_row(&p->launch[i]))
			continue;
		n_local = p->launch[i].n_local > n_local ? p->launch[i].n_local : n_local;
		t->launch[k++] = i;
	}
	if (find_memory(r, t, e) != 0)
		return -1;
	status = clSetKernelArg(t->kernel, 0, sizeof t->phases, &t->phases);
	if (!status)
		status = clSetKernelArg(t->kernel, 2, sizeof t->parts, &t->parts);
	if (!status)
		status = clSetKernelArg(t->kernel, 3, sizeof(cl_int), &(cl_int){ (cl_int)t->stride });
	if (!status)
		status = clSetKernelArg(t->kernel, 4, n_local, NULL);
	return status ? cl_fail(e, status, "kernel team") : 0;
}

static int make_team(struct record *r, struct team *t, struct codes f, struct err *e)
{
	struct teams *all = &((struct cl_plan *)r->plan)->teams;
	struct opencl *d = r->x->device;
	struct program *program = want(d, f, e);
	size_t n = ((struct cl_plan *)r->plan)->n_launches * MAX_WORDS;
	cl_int status;

	if (!program || !(t->kernel = program_kernel(program, row.entry, e)))
		return -1;
	if (!all->place) {
		all->place = program_kernel(program, "place", e);
		all->places = all->place ? buffer_open(d, n * sizeof(uint64_t), e) : NULL;
		if (!all->places)
			return -1;
		status = clSetKernelArg(all->place, 1, sizeof all->places, &all->places);
		if (status)
			return cl_fail(e, status, "kernel place");
	}
	return fill(r, t, e);
}

int teams_make(struct record *r, bool dry, struct err *e)
{
	struct cl_plan *p = r->plan;
	struct opencl *d = r->x->device;
	struct teams *all = &p->teams;
	struct codes form[MOST_FORMS];
	size_t n = d->one_memory && d->can & NEED_CPU ? find_forms(r, form) : 0, f;
	int units = r->x->info.units, cpus;

	for (size_t i = 0; dry && i < n; i++)
		if (!want(d, form[i], e))
			return -1;
	if (dry || !n)
		return 0;
	cpus = thread_cpus();
	all->n_groups = (size_t)(units < cpus ? units : cpus);
	all->team = arena_new(&r->arena, p->n_launches, sizeof *all->team, e);
	if (!all->team)
		return -1;
	for (size_t at = 0; at < p->n_launches;) {
		struct team *t = &all->team[all->n];

		*t = (struct team){ .first = at };
		f = gather(t, p, form, n);
		at = t->end + (t->end == at);
		if (t->n_phases < LEAST_PHASES)
			continue;
		all->n++;
		if (make_team(r, t, form[f], e) != 0)
			return -1;
	}
	return 0;
}

void teams_end(struct opencl *d, struct teams *t)
{
	for (size_t i = 0; i < t->n; i++) {
		if (t->team[i].kernel)
			clReleaseKernel(t->team[i].kernel);
		buffer_close(d, t->team[i].phases);
		buffer_close(d, t->team[i].parts);
	}
	if (t->place)
		clReleaseKernel(t->place);
	buffer_close(d, t->places);
	*t = (struct teams){ 0 };
}

/* ---- a step */
int teams_bind(struct record *r, struct err *e)
{
	struct cl_plan *p = r->plan;
	struct opencl *d = r->x->device;
	uint64_t at[2];

	if (!p->teams.n)
		return 0;
	if (find_place(d, &p->teams, d->scratch, 0, e) != 0 ||
	    find_place(d, &p->teams, d->table, 1, e) != 0 ||
	    buffer_read(d, p->teams.places, 0, at, sizeof at, e) != 0)
		return -1;
	for (size_t i = 0; i < p->n_launches; i++) {
		struct launch *l = &p->launch[i];

		for (size_t k = 0; k < l->n_bound; k++) {
			size_t room = l->bound[k].room, word = 0;

			if (room >= ROOM_POS)
				word = room == ROOM_POS ? p->pos_at :
				       p->row_pages_at + (room - ROOM_SEQ) * p->row_pages_step;
			if (l->bound[k].arg < MAX_WORDS)
				l->word[l->bound[k].arg] = at[room != ROOM_SCRATCH] +
				                           word * sizeof(int32_t);
		}
	}
	p->teams.spans = 0;
	return 0;
}

static uint64_t live_word(const struct launch *l, enum live_number what, size_t spans)
{
	return what == LIVE_ELEMENTS ? l->width : what == LIVE_SPANS ? spans :
	       what == LIVE_TILE && l->tokens ? l->tokens : 1;
}

static void set_phase(struct team *t, size_t k, struct launch *l, size_t n, size_t groups,
                      size_t spans)
{
	uint64_t *w = t->words + k * PHASE_WORDS;
	size_t begin = 0;

	for (size_t i = 0; i < l->n_live; i++)
		l->word[l->live[i].arg] = live_word(l, l->live[i].what, spans);
	w[0] = (uint64_t)phase_of(l);
	w[1] = n;
	memcpy(w + PHASE_HEAD, l->word, sizeof l->word);
	for (size_t g = 0; g < groups; g++) {
		size_t more = n / groups + (g < n % groups);

		t->part[LINE_WORDS + g * t->stride + k] = (uint32_t)((begin + more) << HALF_WORD | begin);
		begin += more;
	}
}

static int set_team(struct record *r, struct team *t, size_t spans, enum launch_when when,
                    struct err *e)
{
	struct cl_plan *p = r->plan;
	struct opencl *d = r->x->device;
	cl_int status;

	for (size_t k = 0; k < t->n_phases; k++) {
		struct launch *l = &p->launch[t->launch[k]];
		bool runs = l->when == WHEN_ALWAYS || l->when == when;

		set_phase(t, k, l, runs ? items_of(l, spans) : 0, p->teams.n_groups, spans);
	}
	status = clEnqueueWriteBuffer(d->queue, t->phases, CL_FALSE, 0,
	                              t->n_phases * PHASE_WORDS * sizeof *t->words, t->words, 0, NULL,
	                              NULL);
	return status ? cl_fail(e, status, "writing the phases of a step") : 0;
}

int teams_set(struct record *r, size_t spans, enum launch_when when, struct err *e)
{
	struct teams *all = &((struct cl_plan *)r->plan)->teams;

	if (all->spans == spans && all->when == when)
		return 0;
	for (size_t i = 0; i < all->n; i++)
		if (set_team(r, &all->team[i], spans, when, e) != 0)
			return -1;
	all->spans = spans;
	all->when = when;
	return 0;
}

static int enqueue(struct opencl *d, const struct teams *all, const struct team *t,
                   size_t n_phases, struct err *e)
{
	size_t one = 1;
	cl_int status = clSetKernelArg(t->kernel, 1, sizeof(cl_int), &(cl_int){ (cl_int)n_phases });

	if (!status)
		status = clEnqueueWriteBuffer(d->queue, t->parts, CL_FALSE, 0,
		                              (LINE_WORDS + 2 * all->n_groups * t->stride) *
		                                      sizeof *t->part,
		                              t->part, 0, NULL, NULL);
	if (!status)
		status = clEnqueueNDRangeKernel(d->queue, t->kernel, 1, NULL, &all->n_groups, &one, 0,
		                                NULL, NULL);
	return status ? cl_fail(e, status, "kernel team") : 0;
}

int team_run(struct opencl *d, const struct teams *all, const struct team *t, struct err *e)
{
	return enqueue(d, all, t, t->n_phases, e);
}

int teams_warm(struct opencl *d, const struct teams *all, struct err *e)
{
	for (size_t i = 0; i < all->n; i++)
		if (enqueue(d, all, &all->team[i], 0, e) != 0)
			return -1;
	return 0;
}
