/* SPDX-License-Identifier: MIT */
/* moments.c - a calibration text through the source; its second moments */
#include "convert/moments.h"

#include "convert/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256, TALL = 4, WIDE = 8 };

/* Of the mean of the diagonal, added to it: a text is a sample, and a table
 * that is the embedding as well must be good at every column. */
static const float damping = 0.1f, damping_of_table = 1;

struct named {
	char name[NAME_ROOM];   /* ours */
	struct moments *m;
};
struct moment_set {
	struct named *item;
	size_t n, room;
	struct moments *last;   /* of the product whose parts come */
	enum naming naming;
	struct pool *pool;
	bool failed;
};

static void moments_free(struct moments *m)
{
	if (!m)
		return;
	free(m->h);
	free(m->f);
	free(m->diagonal);
	free(m->pivot);
	free(m);
}

static struct moments *moments_new(size_t n_in)
{
	struct moments *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->n_in = n_in;
	m->block = n_in < MOMENT_BLOCK ? n_in : MOMENT_BLOCK;
	m->h = calloc(n_in * m->block, sizeof *m->h);
	m->diagonal = calloc(n_in, sizeof *m->diagonal);
	m->pivot = calloc(n_in, sizeof *m->pivot);
	if (m->h && m->diagonal && m->pivot)
		return m;
	moments_free(m);
	return NULL;
}

struct sum {
	struct moments *m;
	const float *x;
	size_t n_rows;
};

/* TALL rows of H by WIDE columns, which stay in registers over the rows of x. */
static void add_tile(float *h, size_t stride, const float *x, size_t n_rows, size_t n_in,
                     const float *left)
{
	float sum[TALL][WIDE] = { { 0 } };

	for (size_t r = 0; r < n_rows; r++, x += n_in, left += n_in)
		for (size_t i = 0; i < TALL; i++)
			for (size_t j = 0; j < WIDE; j++)
				sum[i][j] += left[i] * x[j];
	for (size_t i = 0; i < TALL; i++)
		for (size_t j = 0; j < WIDE; j++)
			h[i * stride + j] += sum[i][j];
}

/* Rows begin .. end of H, TALL at a time, from the diagonal's tile on. */
static void add_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct sum *s = arg;
	const struct moments *m = s->m;

	(void)thread;
	for (size_t t = begin; t < end; t++) {
		size_t i = t * TALL, first = i / m->block * m->block;
		size_t stop = first + m->block < m->n_in ? first + m->block : m->n_in;

		for (size_t j = i / WIDE * WIDE; j < stop; j += WIDE)
			add_tile(m->h + i * m->block + (j - first), m->block, s->x + j, s->n_rows, m->n_in,
			         s->x + i);
	}
}

static struct named *lookup(const struct moment_set *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++)
		if (!strcmp(set->item[i].name, name))
			return &set->item[i];
	return NULL;
}

static struct named *enter(struct moment_set *set, const char *name)
{
	struct named *n = lookup(set, name);

	if (n)
		return n;
	if (set->n == set->room) {
		size_t room = set->room ? 2 * set->room : 64;

		n = realloc(set->item, room * sizeof *n);
		if (!n)
			return NULL;
		set->item = n;
		set->room = room;
	}
	n = &set->item[set->n++];
	memset(n, 0, sizeof *n);
	snprintf(n->name, sizeof n->name, "%s", name);
	return n;
}

static void seen(void *arg, const char *weight, size_t part, size_t n_rows, const float *x,
                 size_t n_in, float *y, size_t n_out)
{
	struct moment_set *set = arg;
	char name[NAME_ROOM];
	struct named *n;

	(void)y, (void)n_out;
	if (set->naming == NAMING_HF)
		snprintf(name, sizeof name, "%s", weight);
	else if (!name_in(name, sizeof name, set->naming, weight))
		return;
	n = enter(set, name);
	if (n && !n->m)
		n->m = part ? set->last : moments_new(n_in);
	if (!n || !n->m) {
		set->failed = true;
		return;
	}
	if (part || n->m->n_in != n_in || n_in % WIDE)
		return;
	set->last = n->m;
	n->m->table = !strcmp(name, "model.embed_tokens.weight");
	n->m->n_rows += n_rows;
	pool_for(set->pool, n_in / TALL, 4, add_rows, &(struct sum){ n->m, x, n_rows });
}

static void damp(struct moments *m, size_t first, size_t n)
{
	float mean = 0;

	for (size_t i = 0; i < n; i++)
		mean += m->diagonal[first + i] / (float)n;
	mean = mean > 0 ? mean : 1;
	for (size_t i = 0; i < n; i++)
		m->h[(first + i) * m->block + i] += (m->table ? damping_of_table : damping) * mean;
}

/* Sums to means, and the lower half, once: products share what enters them. */
static void finish(struct moments *m)
{
	float part = 1 / (float)(m->n_rows + !m->n_rows);

	if (m->finished)
		return;
	m->finished = true;
	for (size_t i = 0; i < m->n_in; i++) { /* the lower half is filled as its rows come */
		size_t first = i / m->block * m->block;
		float *h = m->h + i * m->block;

		for (size_t j = i; j < m->n_in && j < first + m->block; j++) {
			h[j - first] *= part;
			m->h[j * m->block + i - first] = h[j - first];
		}
		m->diagonal[i] = h[i - first];
	}
	for (size_t first = 0; first < m->n_in; first += m->block)
		damp(m, first, m->block < m->n_in - first ? m->block : m->n_in - first);
}

int moment_set_open(struct moment_set **out, struct source *s, const int32_t *id, size_t n,
                    size_t window, int threads, struct err *e)
{
	struct moment_set *set = calloc(1, sizeof *set);
	struct exec_tap tap = { seen, set };
	struct judge j = { 0 };
	int rc = -1;

	*out = NULL;
	if (!set)
		return err_memory(e, sizeof *set);
	set->naming = naming_of(s);
	if (pool_open(&set->pool, threads, e) == 0 &&
	    judge_open(&j, s, "cpu", &tap, window, threads, e) == 0)
		rc = judge_read(&j, id, n, e);
	judge_close(&j);
	if (rc == 0 && set->failed)
		rc = err_memory(e, sizeof *set);
	if (rc) {
		moment_set_close(set);
		return -1;
	}
	for (size_t i = 0; i < set->n; i++)
		finish(set->item[i].m);
	*out = set;
	return 0;
}

void moment_set_close(struct moment_set *set)
{
	if (!set)
		return;
	pool_close(set->pool);
	for (size_t i = 0; i < set->n; i++) {
		bool shared = false;

		for (size_t k = i + 1; k < set->n; k++)
			shared |= set->item[k].m == set->item[i].m;
		if (!shared)
			moments_free(set->item[i].m);
	}
	free(set->item);
	free(set);
}

struct moments *moment_set_find(const struct moment_set *set, const char *name)
{
	struct named *n = set ? lookup(set, name) : NULL;

	return n && n->m->n_rows ? n->m : NULL;
}

/* ---- H = R R^T with R upper, from the last column to the first */

struct column {
	struct moments *m;
	size_t first, n, j;     /* the block, its columns, the column */
};

static void column_rows(void *arg, size_t begin, size_t end, int thread)
{
	const struct column *c = arg;
	size_t width = c->m->block;
	const float *rj = c->m->f + (c->first + c->j) * width;

	(void)thread;
	for (size_t i = begin; i < end; i++) {
		float *ri = c->m->f + (c->first + i) * width, sum = ri[c->j];

		for (size_t k = c->j + 1; k < c->n; k++)
			sum -= ri[k] * rj[k];
		ri[c->j] = sum / rj[c->j];
	}
}

static void factor_block(struct moments *m, size_t first, size_t n, struct pool *pool)
{
	float *f = m->f + first * m->block, least = 0;

	for (size_t i = 0; i < n; i++)
		least += f[i * m->block + i] / (float)n * 1e-4f;
	for (size_t j = n; j-- > 0;) {
		float *rj = f + j * m->block, sum = rj[j];
		struct column c = { m, first, n, j };

		for (size_t k = j + 1; k < n; k++)
			sum -= rj[k] * rj[k];
		rj[j] = sqrtf(sum > least ? sum : least);
		pool_for(pool, j, 64, column_rows, &c);
	}
	for (size_t j = 0; j < n; j++) {
		float r = f[j * m->block + j];

		m->pivot[first + j] = r * r;
		for (size_t i = 0; i < j; i++)
			f[i * m->block + j] /= r;
	}
}

int moments_factor(struct moments *m, struct pool *pool, struct err *e)
{
	size_t size = m->n_in * m->block * sizeof *m->f;

	if (m->f)
		return 0;
	m->f = malloc(size);
	if (!m->f)
		return err_memory(e, size);
	memcpy(m->f, m->h, size);
	for (size_t first = 0; first < m->n_in; first += m->block)
		factor_block(m, first, m->block < m->n_in - first ? m->block : m->n_in - first, pool);
	return 0;
}

void moments_forget_factor(struct moments *m)
{
	free(m->f);
	m->f = NULL;
}
