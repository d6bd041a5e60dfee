/* SPDX-License-Identifier: MIT */
/* allocate.c - bits go where they are missed most
 *
 * The loss of a weight is taken to be in proportion to the mean square of
 * what its product is off by. The factor is measured: the divergence of the
 * model when this weight alone has the errors of 3 bits. What each form is
 * off by comes from coding a sample of the weight's rows. Then every weight
 * starts at the smallest form, and the step that saves the most loss a bit
 * is taken until the size is reached. */
#include "convert/allocate.h"

#include "convert/judge.h"
#include "convert/row.h"

#include <math.h>
#include <string.h>

enum { SAMPLE = 128, PROBE_BITS = 3, PROBE_GROUP = 64 };

static const struct { unsigned bits, group; } forms[] = {
	{ 2, 128 }, { 2, 64 }, { 2, 32 }, { 3, 128 }, { 3, 64 }, { 3, 32 }, { 4, 128 }, { 4, 64 },
	{ 4, 32 }, { 5, 128 }, { 5, 64 }, { 5, 32 }, { 6, 64 }, { 8, 64 },
};
enum { N_FORMS = sizeof forms / sizeof *forms };

struct share {
	const struct item *item;
	struct moments *moments;
	double bits[N_FORMS];   /* of the whole weight; INFINITY: it cannot have this form */
	double loss[N_FORMS];
	size_t form;            /* that it has */
};
struct shares {
	const struct allocation *a;
	struct plan *plan;
	struct share *share;
	size_t n;
	double fixed_bits, n_values;
	enum dtype stored;
	/* the weight that is probed */
	const struct share *probed;
	float *delta;           /* [n_rows][n_cols] */
	double squares;         /* of what the outputs were off by, over n_rows rows */
	size_t n_rows;
	struct pool *pool;
	struct err *e;
};

/* ---- rows of a weight */

struct loaded {
	const struct item *t;
	struct bytes weight, scales, biases, tiles;
};

static int load(struct loaded *r, struct plan *p, const struct item *t, struct arena *a,
                struct err *e)
{
	const struct tensor *part[] = { t->weight, t->scales, t->biases, t->tile_scales };
	struct bytes *to[] = { &r->weight, &r->scales, &r->biases, &r->tiles };

	*r = (struct loaded){ .t = t };
	for (size_t i = 0; i < 4; i++)
		if (part[i] && source_data(p->source, part[i], to[i], a, e))
			return err_in(e, "%s", t->name);
	return 0;
}

static void decode(float *out, const struct loaded *r, size_t row)
{
	struct row_in in = { .t = r->t, .row = row, .tiles = r->tiles };

	in.weight = r->weight.p + row * (r->weight.n / r->t->n_rows);
	if (r->scales.p)
		in.scales = r->scales.p + row * (r->scales.n / r->t->n_rows);
	if (r->biases.p)
		in.biases = r->biases.p + row * (r->biases.n / r->t->n_rows);
	row_decode(out, &in);
}

/* ---- what each form is off by */

struct trial {
	const struct shares *s;
	const struct share *share;
	const struct loaded *rows;
	unsigned bits, group;
	size_t stride;
	float *room;            /* [threads][7 n_cols] */
	double *cost;           /* [threads] */
};

static void try_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct trial *t = arg;
	size_t n = t->share->item->n_cols;
	float *f = t->room + (size_t)thread * 7 * n, *scales = f + n, *biases = scales + n;
	unsigned char *q = (unsigned char *)(biases + n);

	for (size_t i = begin; i < end; i++) {
		decode(f, t->rows, i * t->stride);
		t->cost[thread] += fit_row(q, scales, biases, f, t->share->moments, t->bits, t->group,
		                           t->s->stored, biases + 2 * n);
	}
}

static int try_forms(struct shares *s, struct share *share, double factor)
{
	const struct item *t = share->item;
	size_t threads = (size_t)pool_threads(s->pool), n = t->n_rows < SAMPLE ? t->n_rows : SAMPLE;
	struct arena a = { 0 };
	struct loaded rows;
	struct trial trial = { .s = s, .share = share, .rows = &rows, .stride = t->n_rows / n };
	int rc = load(&rows, s->plan, t, &a, s->e);

	trial.room = rc ? NULL : arena_new(&a, threads * 7 * t->n_cols, sizeof(float), s->e);
	if (trial.room && moments_factor(share->moments, s->pool, s->e) == 0)
		trial.cost = arena_new(&a, threads, sizeof(double), s->e);
	for (size_t k = 0; k < N_FORMS && trial.cost; k++) {
		double cost = 0;

		if (!isfinite(share->bits[k]))
			continue;
		trial.bits = forms[k].bits;
		trial.group = forms[k].group;
		memset(trial.cost, 0, threads * sizeof *trial.cost);
		pool_for(s->pool, n, 4, try_rows, &trial);
		for (size_t i = 0; i < threads; i++)
			cost += trial.cost[i];
		share->loss[k] = factor * cost * (double)t->n_rows / (double)n;
	}
	rc = trial.cost ? 0 : -1;
	moments_forget_factor(share->moments);
	arena_release(&a);
	return rc;
}

/* ---- the probe: one weight's errors, added where its product comes out */

struct push {
	struct shares *s;
	const float *x;
	float *y;
	size_t n_in, n_out, n_rows;
};

static void push_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct push *p = arg;

	(void)thread;
	for (size_t o = begin; o < end; o++) {
		const float *d = p->s->delta + o * p->n_in;

		for (size_t r = 0; r < p->n_rows; r++) {
			const float *x = p->x + r * p->n_in;
			float sum[8] = { 0 }, all = 0;

			for (size_t i = 0; i + 8 <= p->n_in; i += 8)
				for (size_t k = 0; k < 8; k++)
					sum[k] += d[i + k] * x[i + k];
			for (size_t k = 0; k < 8; k++)
				all += sum[k];
			p->y[r * p->n_out + o] += all;
		}
	}
}

static double sum_of_squares(const float *y, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)y[i] * (double)y[i];
	return sum;
}

static void probe(void *arg, const char *weight, size_t part, size_t n_rows, const float *x,
                  size_t n_in, float *y, size_t n_out)
{
	struct shares *s = arg;
	const struct item *t = s->probed ? s->probed->item : NULL;
	struct push p = { s, x, NULL, n_in, n_out, n_rows };
	struct arena a = { 0 };
	struct err ignored = { 0 };

	(void)part;
	if (!t || !t->weight || strcmp(t->weight->name, weight) || t->n_cols != n_in ||
	    t->n_rows != n_out)
		return;
	p.y = arena_new(&a, n_rows * n_out, sizeof *y, &ignored);
	if (p.y) {
		memset(p.y, 0, n_rows * n_out * sizeof *y);
		pool_for(s->pool, n_out, 16, push_rows, &p);
		s->squares += sum_of_squares(p.y, n_rows * n_out);
		s->n_rows += n_rows;
		for (size_t i = 0; i < n_rows * n_out; i++)
			y[i] += p.y[i];
	}
	arena_release(&a);
}

/* What 3 bits by the plain rule are off by. */
static int make_delta(struct shares *s, const struct share *share, struct arena *a)
{
	size_t n = share->item->n_cols, groups = n / PROBE_GROUP;
	struct loaded rows;
	float *f = arena_new(a, 4 * n, sizeof *f, s->e), *scales = f ? f + n : NULL;

	s->delta = f ? arena_new(a, share->item->n_rows * n, sizeof *s->delta, s->e) : NULL;
	if (!s->delta || load(&rows, s->plan, share->item, a, s->e))
		return -1;
	for (size_t r = 0; r < share->item->n_rows; r++) {
		float *d = s->delta + r * n, *q = scales + 2 * n;

		decode(f, &rows, r);
		affine_quantize(q, scales, scales + groups, f, 1, n, PROBE_BITS, PROBE_GROUP, DT_F32);
		affine_dequantize_row(d, q, scales, scales + groups, DT_F32, n, PROBE_BITS, PROBE_GROUP);
		for (size_t i = 0; i < n; i++)
			d[i] -= f[i];
	}
	return 0;
}

/* Divergence for each unit that a row of outputs is off by, squared. */
static int measure(double *factor, struct shares *s, struct share *share, struct judge *plain,
                   struct judge *off)
{
	struct arena a = { 0 };
	struct verdict v;
	int rc = make_delta(s, share, &a);

	s->probed = share;
	s->squares = 0;
	s->n_rows = 0;
	if (rc == 0)
		rc = judge_compare(&v, plain, off, s->a->id, s->a->n_ids, s->e);
	s->probed = NULL;
	arena_release(&a);
	if (rc)
		return -1;
	*factor = s->squares > 0 ? v.kl / (double)(v.n + !v.n) * (double)s->n_rows / s->squares : 0;
	return 0;
}

/* ---- greedy */

/* The form beyond the present one that saves the most for its bits. */
static size_t best_step(const struct share *h, double room, double *rate)
{
	size_t best = N_FORMS;

	*rate = 0;
	for (size_t k = 0; k < N_FORMS; k++) {
		double more = h->bits[k] - h->bits[h->form], less = h->loss[h->form] - h->loss[k];

		if (more > 0 && more <= room && less / more > *rate) {
			*rate = less / more;
			best = k;
		}
	}
	return best;
}

static int share_out(struct shares *s)
{
	double room = s->a->bits_per_weight * s->n_values - s->fixed_bits;

	for (size_t i = 0; i < s->n; i++) {
		struct share *h = &s->share[i];

		for (size_t k = 0; k < N_FORMS; k++)
			if (h->bits[k] < h->bits[h->form])
				h->form = k;
		room -= h->bits[h->form];
	}
	if (room < 0)
		return err_set(s->e, ERR_MISUSE, "%g bits per weight: at least %.3g",
		               s->a->bits_per_weight,
		               s->a->bits_per_weight - room / s->n_values);
	for (;;) {
		size_t who = s->n, to = 0;
		double most = 0;

		for (size_t i = 0; i < s->n; i++) {
			double rate;
			size_t k = best_step(&s->share[i], room, &rate);

			if (k < N_FORMS && rate > most) {
				most = rate;
				who = i;
				to = k;
			}
		}
		if (who == s->n)
			return 0;
		room -= s->share[who].bits[to] - s->share[who].bits[s->share[who].form];
		s->share[who].form = to;
	}
}

/* ---- all of it */

static int collect(struct shares *s, struct arena *arena)
{
	s->share = arena_new(arena, s->plan->n_items, sizeof *s->share, s->e);
	if (!s->share)
		return -1;
	for (size_t i = 0; i < s->plan->n_items; i++) {
		const struct item *t = &s->plan->item[i];
		struct share *h = &s->share[s->n];
		double n = (double)t->n_rows * (double)t->n_cols;
		double scale = 16.0 * dtype_info(s->stored)->block_bytes;

		s->n_values += n;
		*h = (struct share){ .item = t, .moments = moment_set_find(s->a->moments, t->name) };
		if (!h->moments || h->moments->n_in != t->n_cols || t->n_cols % PROBE_GROUP ||
		    t->shape.rank != 2 || t->in == IN_WHOLE) {
			s->fixed_bits += n * 8 * dtype_info(s->stored)->block_bytes;
			continue;
		}
		for (size_t k = 0; k < N_FORMS; k++)
			h->bits[k] = t->n_cols % forms[k].group ? INFINITY :
			             n * (forms[k].bits + scale / forms[k].group);
		h->form = 1; /* groups of 64 are in all */
		s->n++;
	}
	return 0;
}

static int measure_all(struct shares *s)
{
	struct exec_tap tap = { probe, s };
	struct judge plain = { 0 }, off = { 0 };
	int rc = judge_open(&plain, s->a->source, "cpu", NULL, s->a->window, s->a->threads, s->e) ||
	         judge_open(&off, s->a->source, "cpu", &tap, s->a->window, s->a->threads, s->e);

	for (size_t i = 0; i < s->n && rc == 0; i++) {
		double factor = 0;

		rc = measure(&factor, s, &s->share[i], &plain, &off) ||
		     try_forms(s, &s->share[i], factor);
	}
	judge_close(&off);
	judge_close(&plain);
	return rc ? -1 : 0;
}

static int make_rules(const struct rule **rule, size_t *n, const struct shares *s,
                      struct arena *arena)
{
	struct rule *r = arena_new(arena, s->n + 1, sizeof *r, s->e);

	if (!r)
		return -1;
	for (size_t i = 0; i < s->n; i++) {
		const struct share *h = &s->share[i];

		r[i].to = (struct target){ CODING_AFFINE, forms[h->form].bits, forms[h->form].group,
			                   DT_COUNT };
		r[i].pattern = arena_text(arena, h->item->name, strlen(h->item->name), s->e);
		if (!r[i].pattern)
			return -1;
	}
	r[s->n].pattern = "*";
	r[s->n].to = (struct target){ .blocks = DT_COUNT };
	*rule = r;
	*n = s->n + 1;
	return 0;
}

int allocate_bits(const struct rule **rule, size_t *n, const struct allocation *a,
                  struct arena *arena, struct err *e)
{
	struct convert_options keep;
	struct plan plan;
	struct config c;
	struct shares s = { .a = a, .plan = &plan, .e = e };
	int rc = -1;

	convert_options_init(&keep);
	if (config_read(&c, a->source, e))
		return err_in(e, "%s", source_path(a->source));
	if (plan_open(&plan, a->source, &c, &keep, CONVERT_MLX, e)) {
		config_release(&c);
		return -1;
	}
	s.stored = a->dtype != DT_COUNT ? a->dtype : c.dtype;
	if (pool_open(&s.pool, a->threads, e) == 0) {
		rc = collect(&s, arena) || measure_all(&s) || share_out(&s) ||
		     make_rules(rule, n, &s, arena) ? -1 : 0;
		pool_close(s.pool);
	}
	plan_release(&plan);
	config_release(&c);
	return rc;
}
