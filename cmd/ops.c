/* SPDX-License-Identifier: MIT */
/* ops.c - each kind of kernel alone, at the sizes of a model: its time, its
 * share of the limit that binds it, its error against the reference
 *
 * An op is recorded once, and as often as there are weights or layers to
 * keep it from the caches; what the long record takes longer is the ops'. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "sides.h"

enum { MOST_ROWS = SIDE_ROWS, APART = 256 << 20, CACHE = 512 << 20 };
static const double long_enough = 0.05; /* seconds of a run, about */

struct ops {
	struct bench *b;
	const struct config *c;
	const struct bench_form *form;
	struct side here, ref;
	struct arena arena;    /* of one case */
	uint64_t seed;
	size_t depth;
	int32_t token[MOST_ROWS], pos[MOST_ROWS], seq[MOST_ROWS], out[2];
	int32_t *pages;
	size_t n_pages;
	/* the run being timed */
	struct record *one, *many;
	size_t n_rows, more;   /* ops that `many` has more */
};

/* ---- running */

/* All rows of a step, or only its first and its last. */
static int run_rows(struct ops *o, struct record *r, size_t n_rows, bool ends, struct err *e)
{
	const int32_t *pages[1] = { o->pages };
	struct step s = { .n_rows = ends && n_rows > 2 ? 2 : n_rows, .n_out = n_rows > 1 ? 2 : 1,
	                  .n_seqs = 1, .token = o->token, .pos = o->pos, .seq = o->seq,
	                  .out = o->out, .pages = pages, .n_pages = &o->n_pages };

	for (size_t i = 0; i < s.n_rows; i++) {
		size_t row = ends && i ? n_rows - 1 : i;

		o->token[i] = (int32_t)row;
		o->pos[i] = (int32_t)(o->depth + row);
		o->seq[i] = 0;
	}
	o->out[0] = 0;
	o->out[1] = (int32_t)s.n_rows - 1;
	return record_run(r, &s, e);
}

static int timed(void *arg, double *seconds, struct err *e)
{
	struct ops *o = arg;
	double t0 = cli_seconds(), t1, t2, mean;

	if (run_rows(o, o->many, o->n_rows, false, e))
		return -1;
	t1 = cli_seconds();
	if (run_rows(o, o->one, o->n_rows, false, e))
		return -1;
	t2 = cli_seconds();
	mean = (t1 - t0) / (double)(o->more + 1);
	*seconds = ((t1 - t0) - (t2 - t1)) / (double)o->more;
	if (*seconds < mean / 2) /* the short one was held up */
		*seconds = mean;
	return 0;
}

/* The worst of the first and the last row, over the rms of the reference. */
static int compare(struct ops *o, const struct op_case *k, double *error, struct err *e)
{
	size_t n = k->n_parts ? k->n_out[k->n_parts - 1] : k->n_in;
	struct record *r = NULL;
	const float *want;
	float *have;
	double squares = 0, worst = 0;

	n *= o->n_rows > 1 ? 2 : 1;
	have = arena_new(&o->arena, n, sizeof *have, e);
	if (!have || run_rows(o, o->one, o->n_rows, false, e))
		return -1;
	memcpy(have, record_output(o->one), n * sizeof *have);
	if (side_record(&r, &o->ref, k, 1, 2, e) || run_rows(o, r, o->n_rows, true, e)) {
		record_close(r);
		return -1;
	}
	want = record_output(r);
	for (size_t i = 0; i < n; i++) {
		worst = fmax(worst, fabs((double)have[i] - (double)want[i]));
		squares += (double)want[i] * (double)want[i];
	}
	*error = squares > 0 ? worst / sqrt(squares / (double)n) : worst;
	record_close(r);
	return 0;
}

/* ---- what an op does at least */

static double part_bytes(const struct ops *o, size_t n_out, size_t n_in)
{
	const struct bench_form *f = o->form;
	double value = (double)dtype_info(f->dtype)->block_bytes, n = (double)n_out * (double)n_in;

	if (!f->bits || n_in % f->group)
		return n * value;
	return n * f->bits / 8 + 2 * value * n / f->group;
}

static struct bench_work work_of(const struct ops *o, const struct op_case *k, size_t n_rows)
{
	static const struct { double flop, bytes; } of_value[] = {
		[NORM] = { 4, 8 }, [ROPE] = { 3, 8 }, [GLU] = { 5, 8 }, [ADD] = { 1, 12 },
	};
	double rows = (double)n_rows, in = (double)k->n_in;
	struct bench_work w = { .peak = LIMIT_FMA, .unit = "s" };

	if (k->kind == PRODUCT) {
		w.peak = bench_peak(o->b, o->form->bits != 0);
		for (size_t p = 0; p < k->n_parts; p++) {
			w.bytes += part_bytes(o, k->n_out[p], k->n_in);
			w.flop += 2 * rows * (double)k->n_out[p] * in;
		}
	} else if (k->kind == ATTENTION) {
		double value = o->b->exact ? sizeof(float) : sizeof(uint16_t);
		double heads = (double)(o->c->n_kv_heads * o->c->head_dim);

		w.peak = o->b->limit[LIMIT_DOT16] > 0 ? LIMIT_FMA : bench_peak(o->b, false);
		w.bytes = 2 * value * heads * ((double)o->depth + rows);
		w.flop = 4 * rows * in * ((double)o->depth + (rows + 1) / 2);
	} else {
		w.flop = of_value[k->kind].flop * rows * in;
		w.bytes = of_value[k->kind].bytes * rows * in;
	}
	return w;
}

/* Ops of the long record beside the first. */
static size_t times_more(const struct ops *o, const struct bench_work *w, size_t most)
{
	double read = o->b->limit[LIMIT_READ], peak = o->b->limit[w->peak], t = 0;

	if (read > 0)
		t = w->bytes / read;
	if (peak > 0)
		t = fmax(t, w->flop / peak);
	if (!(t > 0) || long_enough / t < 1)
		return 1;
	return long_enough / t < (double)most ? (size_t)(long_enough / t) : most;
}

/* ---- a line for each count of rows */

/* The same bytes for both; the reference needs no copies. */
static int open_weights(struct ops *o, const struct op_case *k, size_t copies, struct err *e)
{
	struct side *s[] = { &o->here, &o->ref };

	for (size_t i = 0; i < copies; i++)
		if (side_weights(s, i ? 1 : 2, k, o->form, i, &o->arena, &o->seed, e))
			return -1;
	return side_inputs(s, 2, k, &o->arena, &o->seed, e);
}

static int put_rows(struct ops *o, const struct op_case *k, size_t n_rows, size_t copies,
                    struct err *e)
{
	struct bench_work w = work_of(o, k, n_rows);
	struct line l = line_of(&o->b->who, k->name);
	int bad;

	o->n_rows = n_rows;
	o->more = times_more(o, &w, copies - 1);
	bad = side_record(&o->one, &o->here, k, 1, n_rows, e) ||
	      side_record(&o->many, &o->here, k, 1 + o->more, n_rows, e) ||
	      compare(o, k, &l.error, e) || run_rows(o, o->many, n_rows, false, e) ||
	      bench_trial(o->b, &l, &w, timed, o, NULL, e);
	if (!bad) {
		l.batch = n_rows;
		l.depth = k->kind == ATTENTION ? o->depth : LINE_NO_SIZE;
		lines_put(o->b->format, &l);
	}
	record_close(o->one);
	record_close(o->many);
	o->one = o->many = NULL;
	return bad ? -1 : 0;
}

static int put_product(struct ops *o, const struct op_case *k, struct err *e)
{
	static const size_t rows[] = { 1, 4, 8, 16, 32, 64, MOST_ROWS };
	double bytes = 0;
	size_t copies;
	int bad;

	for (size_t p = 0; p < k->n_parts; p++)
		bytes += part_bytes(o, k->n_out[p], k->n_in);
	copies = 2 + (size_t)(APART / bytes);
	copies = copies < SIDE_COPIES ? copies : SIDE_COPIES;
	bad = open_weights(o, k, copies, e);
	for (size_t i = 0; !bad && i < sizeof rows / sizeof *rows; i++)
		if (!k->outputs || rows[i] < MOST_ROWS)
			bad = put_rows(o, k, rows[i], copies, e);
	return bad;
}

static int put_attention(struct ops *o, const struct op_case *k, size_t depth, struct err *e)
{
	static const size_t rows[] = { 1, 8, 64, MOST_ROWS };
	size_t value = o->b->exact ? sizeof(float) : sizeof(uint16_t), layers = o->c->n_layers;
	size_t bytes = 2 * value * o->c->n_kv_heads * PAGE_POSITIONS * o->c->head_dim;
	int bad;

	o->depth = depth;
	o->n_pages = (depth + MOST_ROWS + PAGE_POSITIONS - 1) / PAGE_POSITIONS;
	layers = layers < SIDE_COPIES ? layers + (layers == 1) : SIDE_COPIES;
	while (layers > 2 && layers * bytes * o->n_pages > (size_t)CACHE)
		layers--;
	o->pages = arena_new(&o->arena, o->n_pages, sizeof *o->pages, e);
	if (!o->pages)
		return -1;
	for (size_t i = 0; i < o->n_pages; i++)
		o->pages[i] = (int32_t)i;
	bad = open_weights(o, k, 0, e) ||
	      side_cache(&o->here, layers, o->n_pages, o->b->exact, &o->arena, e) ||
	      side_cache(&o->ref, 1, o->n_pages, o->b->exact, &o->arena, e);
	for (size_t i = 0; !bad && i < sizeof rows / sizeof *rows; i++)
		bad = put_rows(o, k, rows[i], layers, e);
	return bad;
}

static int put_small(struct ops *o, const struct op_case *k, struct err *e)
{
	return open_weights(o, k, 0, e) || put_rows(o, k, 1, SIDE_COPIES, e) ||
	       put_rows(o, k, MOST_ROWS, SIDE_COPIES, e) ? -1 : 0;
}

static int put_case(struct ops *o, const struct op_case *k, struct err *e)
{
	int bad = 0;

	for (size_t d = 0; d < (k->kind == ATTENTION ? o->b->depth.n : 1) && !bad; d++) {
		o->depth = 0;
		o->n_pages = 0;
		o->pages = NULL;
		bad = k->kind == PRODUCT ? put_product(o, k, e) :
		      k->kind == ATTENTION ? put_attention(o, k, o->b->depth.at[d], e) :
		                             put_small(o, k, e);
		side_close(&o->here);
		side_close(&o->ref);
		arena_release(&o->arena);
	}
	return bad ? err_in(e, "%s", k->name) : 0;
}

int bench_ops(struct bench *b, const struct config *c, const struct bench_form *form,
              struct err *e)
{
	size_t nq = c->n_heads * c->head_dim, nk = c->n_kv_heads * c->head_dim;
	const struct op_case cases[] = {
		{ "matmul-qkv", PRODUCT, c->hidden, { nq, nk, nk }, 3, false },
		{ "matmul-o", PRODUCT, nq, { c->hidden }, 1, false },
		{ "matmul-gate-up", PRODUCT, c->hidden, { c->ffn, c->ffn }, 2, false },
		{ "matmul-down", PRODUCT, c->ffn, { c->hidden }, 1, false },
		{ "matmul-head", PRODUCT, c->hidden, { c->vocab }, 1, true },
		{ "attention", ATTENTION, nq, { 0 }, 0, false },
		{ "norm", NORM, c->hidden, { 0 }, 0, false },
		{ "rope", ROPE, nq, { 0 }, 0, false },
		{ "glu", GLU, c->ffn, { 0 }, 0, false },
		{ "add", ADD, c->hidden, { 0 }, 0, false },
	};
	struct exec_options ref = { .device = "ref", .flags = b->exact ? EXEC_EXACT : 0 };
	struct ops *o = calloc(1, sizeof *o);
	int bad;

	if (!o)
		return err_memory(e, sizeof *o);
	*o = (struct ops){ .b = b, .c = c, .form = form, .seed = 1,
	                  .here = { .x = b->exec, .c = c }, .ref.c = c };
	bad = exec_open(&o->ref.x, &ref, e);
	for (size_t i = 0; !bad && i < sizeof cases / sizeof *cases; i++)
		bad = put_case(o, &cases[i], e);
	exec_close(o->ref.x);
	free(o);
	return bad;
}
