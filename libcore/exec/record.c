/* SPDX-License-Identifier: MIT */
/* record.c - the recorded step: a list of ops, the slots they work on, and
 * where in one scratch each slot lies while it is needed. */
#include "exec/record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/step.h"
#include "util/num.h"

enum { SLOT_ALIGN = 64 };

void record_fail(struct record *r, const char *fmt, ...)
{
	char text[256];
	va_list ap;

	if (r->err.kind)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	err_set(&r->err, ERR_INPUT, "op %zu: %s", r->n_ops, text);
}

int record_grow(struct record *r, void **array, size_t n, size_t *room, size_t size)
{
	size_t want = *room ? *room * 2 : 32;
	void *p;

	if (n < *room)
		return 0;
	p = arena_new(&r->arena, want, size, &r->err);
	if (!p)
		return -1;
	if (n)
		memcpy(p, *array, n * size);
	*array = p;
	*room = want;
	return 0;
}

int record_open(struct record **out, struct exec *x, size_t max_rows, size_t max_out,
                struct exec_kv *kv, struct err *e)
{
	struct record *r = calloc(1, sizeof *r);

	*out = NULL;
	if (!r)
		return err_memory(e, sizeof *r);
	r->x = x;
	r->kv = kv;
	r->max_rows = max_rows;
	r->max_out = max_out;
	r->n_tokens = r->n_positions = r->n_adapters = INT32_MAX;
	*out = r;
	return 0;
}

void record_close(struct record *r)
{
	if (!r)
		return;
	if (r->ended)
		r->x->backend->plan_end(r);
	arena_release(&r->arena);
	free(r);
}

static struct slot *new_slot(struct record *r, const char *name, size_t n, bool out)
{
	void *array = r->slot;
	struct slot *s;

	if (r->err.kind)
		return NULL;
	if (!n || n > INT32_MAX)
		return record_fail(r, "slot %s: a width of %zu", name, n), NULL;
	if (record_grow(r, &array, r->n_slots, &r->room_slots, sizeof *r->slot) != 0)
		return NULL;
	r->slot = array;
	s = arena_new(&r->arena, 1, sizeof *s, &r->err);
	if (!s)
		return NULL;
	s->name = arena_printf(&r->arena, &r->err, "%s", name);
	if (!s->name)
		return NULL;
	s->n = n;
	s->out = out;
	s->first = SIZE_MAX;
	r->slot[r->n_slots++] = s;
	return s;
}

struct slot *record_slot(struct record *r, const char *name, size_t n)
{
	return new_slot(r, name, n, false);
}

struct slot *record_slot_out(struct record *r, const char *name, size_t n)
{
	return new_slot(r, name, n, true);
}

void record_asks(struct record *r)
{
	r->asks = true;
}

void record_result(struct record *r, struct slot *s)
{
	if (r->err.kind)
		return;
	if (!s || !s->out || s->first == SIZE_MAX)
		record_fail(r, "the result is no out slot, or nothing was written to it");
	else if (r->result)
		record_fail(r, "a second result");
	else
		r->result = s;
}

/* ---- memory: a slot's place is the lowest that no slot alive with it has */
static bool alive_together(const struct slot *a, const struct slot *b)
{
	return a->first <= b->last && b->first <= a->last;
}

static size_t slot_bytes(const struct record *r, const struct slot *s)
{
	size_t n = (s->out ? r->max_out : r->max_rows) * s->n * sizeof(float);

	return (n + SLOT_ALIGN - 1) / SLOT_ALIGN * SLOT_ALIGN;
}

static void place(struct record *r, size_t index)
{
	struct slot *s = r->slot[index];
	size_t n = slot_bytes(r, s);
	bool moved = true;

	s->offset = 0;
	while (moved) {
		moved = false;
		for (size_t i = 0; i < index; i++) {
			const struct slot *o = r->slot[i];
			size_t end = o->offset + slot_bytes(r, o);

			if (!alive_together(s, o) || s->offset >= end || o->offset >= s->offset + n)
				continue;
			s->offset = end;
			moved = true;
		}
	}
	if (s->offset + n > r->scratch_bytes)
		r->scratch_bytes = s->offset + n;
}

static int plan_slots(struct record *r, struct err *e)
{
	size_t rows = r->max_rows > r->max_out ? r->max_rows : r->max_out, n, total = 0, unused = 0;

	if (r->result)
		r->result->last = SIZE_MAX;
	for (size_t i = 0; i < r->n_slots; i++) {
		struct slot *s = r->slot[i];

		if (!num_mul(&n, s->n, sizeof(float)) || !num_mul(&n, n, rows) ||
		    !num_add(&total, total, n))
			return err_set(e, ERR_MACHINE, "%zu rows are too many", rows);
		if (s->first == SIZE_MAX)
			unused++;
		else
			r->slot[i - unused] = s;
	}
	r->n_slots -= unused;
	for (size_t i = 0; i < r->n_slots; i++)
		place(r, i);
	return 0;
}

/* How far back attention reads in each group of layers. */
static int plan_windows(struct record *r, struct err *e)
{
	size_t n = r->kv ? r->kv->n_groups : 0;

	r->window = arena_new(&r->arena, n, sizeof *r->window, e);
	if (!r->window)
		return -1;
	memset(r->window, 0xff, n * sizeof *r->window); /* none as yet */
	for (size_t i = 0; i < r->n_ops; i++) {
		const struct op *op = &r->op[i];
		size_t *w;

		if (op->kind == OP_CONV) /* of the page before a row's, and its own */
			r->window[r->kv->layer[op->layer].group] = 2;
		if (op->kind != OP_ATTENTION)
			continue;
		w = &r->window[r->kv->layer[op->att.layer].group];
		if (*w == SIZE_MAX || !op->att.window)
			*w = op->att.window;
		else if (*w && op->att.window > *w)
			*w = op->att.window;
	}
	for (size_t i = 0; i < n; i++)
		if (r->window[i] == SIZE_MAX)
			r->window[i] = 1; /* only written */
	return 0;
}

static int plan_angles(struct record *r, struct err *e)
{
	struct exec *x = r->x;
	size_t n = 0;
	float *room;

	for (size_t i = 0; i < r->n_ropes; i++)
		n += r->rope[i].dims * r->max_rows;
	r->angles = arena_new(&r->arena, r->n_ropes, sizeof *r->angles, e);
	if (!r->angles)
		return -1;
	if (n <= x->n_angle_room)
		return 0;
	room = realloc(x->angle_room, n * sizeof *room);
	if (!room)
		return err_memory(e, n * sizeof *room);
	x->angle_room = room;
	x->n_angle_room = n;
	x->n_events++;
	return 0;
}

static int plan_answers(struct record *r, struct err *e)
{
	if (!r->asks)
		return 0;
	if (!r->result || !r->result->out)
		return err_set(e, ERR_MISUSE, "asks of a result that has no output rows");
	r->answer = arena_new(&r->arena, r->max_out, sizeof *r->answer, e);
	return r->answer ? 0 : -1;
}

int record_end(struct record *r, struct err *e)
{
	if (r->err.kind) {
		*e = r->err;
		return -1;
	}
	if (plan_slots(r, e) || plan_windows(r, e) || plan_angles(r, e) || plan_answers(r, e) ||
	    r->x->backend->plan(r, e))
		return err_in(e, "planning a step of %zu rows", r->max_rows);
	r->ended = true;
	return 0;
}

/* In blocks, the form that compilers turn into vector code. */
static int32_t best_of(const float *x, size_t n)
{
	enum { LANES = 16, BLOCK = 1024 };
	float most = -INFINITY;
	size_t from = n;

	for (size_t i = 0; i < n; i += BLOCK) {
		size_t end = n - i < BLOCK ? n : i + BLOCK, k = i;
		float lane[LANES], top;

		for (size_t j = 0; j < LANES; j++)
			lane[j] = -INFINITY;
		for (; k + LANES <= end; k += LANES)
			for (size_t j = 0; j < LANES; j++)
				lane[j] = x[k + j] > lane[j] ? x[k + j] : lane[j];
		for (; k < end; k++)
			lane[0] = x[k] > lane[0] ? x[k] : lane[0];
		top = lane[0];
		for (size_t j = 1; j < LANES; j++)
			top = lane[j] > top ? lane[j] : top;
		if (top > most) {
			most = top;
			from = i;
		}
	}
	while (from < n && x[from] != most)
		from++;
	return from < n ? (int32_t)from : -1;
}

/* The host looks for the best itself; of what else is asked it gives the row. */
static struct answer look(const struct ask *ask, const float *row, size_t n)
{
	struct answer a = { .row = row };

	if (ask->what != ASK_BEST)
		return a;
	a.best = best_of(row, n);
	a.max = a.best < 0 ? 0 : row[a.best];
	a.row = NULL;
	return a;
}

static bool device_answers(const struct record *r)
{
	return r->x->backend->answers && r->x->backend->answers(r);
}

int record_run(struct record *r, const struct step *s, struct err *e)
{
	if (!r->ended)
		return err_set(e, ERR_MISUSE, "a record that has not ended cannot run");
	if (step_check(r, s, e) != 0)
		return -1;
	if (s->ask && !r->answer)
		return err_set(e, ERR_MISUSE, "a record that was not told of asks has no answers");
	step_angles(r, s);
	if (r->x->backend->run(r, s, r->angles, e) != 0)
		return -1;
	if (s->ask && !device_answers(r))
		for (size_t i = 0; i < s->n_out; i++)
			r->answer[i] = look(&s->ask[i], record_output(r) + i * r->result->n,
			                    r->result->n);
	return 0;
}

const struct answer *record_answers(const struct record *r)
{
	return r->answer;
}

int record_row(struct record *r, size_t i, const float **row, struct err *e)
{
	if (device_answers(r) && r->x->backend->row(r, i, e) != 0)
		return -1;
	*row = record_output(r) + i * r->result->n;
	return 0;
}

const float *record_output(const struct record *r)
{
	return r->result ? r->x->backend->output(r) : NULL;
}

size_t slot_rows(const struct slot *s, const struct step *step)
{
	return s->out ? step->n_out : step->n_rows;
}
