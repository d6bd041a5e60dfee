/* SPDX-License-Identifier: MIT */
/* fuse.c - adapters added to the weights themselves
 *
 * Given adapters with their strengths s; a row w of a weight becomes
 *   out * ((1 + sum s (g - 1)) w + sum s g scale B A) * in,
 * g = m / |w + scale B A| of DoRA, else 1; out and in IA3's gains, each
 * 1 + s (v - 1): what run time does to the product, done to the weight. */
#include "convert/fuse.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct part {
	const struct module *m;
	double strength;
};
struct fused {
	size_t n_cols, n;
	bool bias;
	struct part *part;         /* [n] */
};
struct fuse {
	struct arena arena;
	struct modules *adapter;   /* [n] */
	const struct fuse_use *use;
	bool **used;               /* [n][modules] */
	size_t n;
};

int fuse_open(struct fuse **out, const struct fuse_use *use, size_t n, struct err *e)
{
	struct fuse *f = calloc(1, sizeof *f);

	*out = NULL;
	if (!f)
		return err_memory(e, sizeof *f);
	f->use = use;
	f->adapter = arena_new(&f->arena, n, sizeof *f->adapter, e);
	f->used = f->adapter ? arena_new(&f->arena, n, sizeof *f->used, e) : NULL;
	if (!f->used)
		goto fail;
	for (; f->n < n; f->n++) {
		struct modules *m = &f->adapter[f->n];

		if (modules_open(m, use[f->n].path, e))
			goto fail;
		f->used[f->n] = arena_new(&m->arena, m->n, sizeof **f->used, e);
		if (!f->used[f->n]) {
			modules_release(m);
			goto fail;
		}
	}
	*out = f;
	return 0;
fail:
	fuse_close(f);
	return -1;
}

void fuse_close(struct fuse *f)
{
	if (!f)
		return;
	for (size_t i = 0; i < f->n; i++)
		modules_release(&f->adapter[i]);
	arena_release(&f->arena);
	free(f);
}

bool fuse_unties(const struct fuse *f)
{
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->adapter[i].n; k++) {
			const struct module *m = &f->adapter[i].module[k];

			if (!strcmp(m->path, "lm_head") || (m->table && f->adapter[i].table_only))
				return true;
		}
	return false;
}

/* ---- a weight's part of them */

static int bad_shape(const struct module *m, size_t rows, size_t cols, struct err *e)
{
	return err_set(e, ERR_INPUT, "adapter: %s: a side of [%zu,%zu], the model has [%zu,%zu]",
	               m->path, m->table ? m->n_in : m->n_out, m->table ? m->n_out : m->n_in, rows,
	               cols);
}

static int check(const struct module *m, size_t rows, size_t cols, bool bias, struct err *e)
{
	size_t n_out = m->table ? m->n_in : m->n_out, n_in = m->table ? m->n_out : m->n_in;

	if (m->table && (m->m || m->out || m->in))
		return err_set(e, ERR_INPUT, "adapter: %s: expected lora_A and lora_B alone", m->path);
	if (m->m && !m->a)
		return err_set(e, ERR_INPUT, "adapter: %s: magnitudes without lora_A and lora_B", m->path);
	if ((n_out && n_out != rows) || (!bias && n_in && n_in != cols))
		return bad_shape(m, rows, cols, e);
	return 0;
}

/* The parts of a path of n bytes; a bias has only gains of the output. */
static int find_parts(struct fused *w, struct fuse *f, const char *path, size_t n, size_t rows,
                      struct err *e)
{
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->adapter[i].n; k++) {
			const struct module *m = &f->adapter[i].module[k];

			if (strncmp(m->path, path, n) || m->path[n] || (w->bias && !m->out))
				continue;
			if (check(m, rows, w->n_cols, w->bias, e))
				return -1;
			f->used[i][k] |= !w->bias;
			w->part[w->n++] = (struct part){ m, f->use[i].scale };
		}
	return 0;
}

int fuse_find(struct fused **out, struct fuse *f, const char *name, size_t rows, size_t cols,
              struct err *e)
{
	bool bias = bytes_ends(bytes_of(name), ".bias");
	const char *dot = strrchr(name, '.');
	struct fused *w;

	*out = NULL;
	if (!bias && !bytes_ends(bytes_of(name), ".weight"))
		return 0;
	w = arena_new(&f->arena, 1, sizeof *w, e);
	if (w)
		w->part = arena_new(&f->arena, f->n, sizeof *w->part, e);
	if (!w || !w->part)
		return -1;
	w->bias = bias;
	w->n_cols = cols;
	if (find_parts(w, f, name, (size_t)(dot - name), rows, e))
		return -1;
	*out = w->n ? w : NULL;
	return 0;
}

int fuse_all_used(const struct fuse *f, struct err *e)
{
	for (size_t i = 0; i < f->n; i++)
		for (size_t k = 0; k < f->adapter[i].n; k++)
			if (!f->used[i][k])
				return err_set(e, ERR_INPUT, "%s: %s: the model has no such product",
				               f->use[i].path, f->adapter[i].module[k].path);
	return 0;
}

/* ---- a row */

/* scale B A of a row, written to y. */
static void low_side(float *y, const struct module *m, size_t row)
{
	memset(y, 0, (m->table ? m->n_out : m->n_in) * sizeof *y);
	if (m->table) {
		for (size_t i = 0; i < m->n_out; i++) {
			double sum = 0;

			for (size_t k = 0; k < m->rank; k++)
				sum += (double)m->b[i * m->rank + k] * (double)m->a[k * m->n_in + row];
			y[i] = (float)(m->scale * sum);
		}
		return;
	}
	for (size_t k = 0; k < m->rank; k++) {
		const float *a = m->a + k * m->n_in;
		float by = (float)(m->scale * (double)m->b[row * m->rank + k]);

		for (size_t i = 0; i < m->n_in; i++)
			y[i] += by * a[i];
	}
}

static double length(const float *w, const float *y, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double)w[i] + (double)y[i]) * ((double)w[i] + (double)y[i]);
	return sum > 0 ? sqrt(sum) : 1;
}

/* Adds what one side does, strength and all; gives what it adds to the gain
 * of the base. w: the base's row. */
static double add_side(float *sum, const struct part *p, const float *w, size_t n, size_t row,
                       float *room)
{
	double g = 1;

	low_side(room, p->m, row);
	if (p->m->m)
		g = (double)p->m->m[row] / length(w, room, n);
	for (size_t i = 0; i < n; i++)
		sum[i] += (float)(p->strength * g) * room[i];
	return p->strength * (g - 1);
}

static void gain_by(float *w, const struct part *p, size_t n, size_t row)
{
	float out = p->m->out ? (float)(1 + p->strength * ((double)p->m->out[row] - 1)) : 1;

	for (size_t i = 0; i < n; i++)
		w[i] *= p->m->in ? (float)(1 + p->strength * ((double)p->m->in[i] - 1)) * out : out;
}

void fuse_row(const struct fused *f, float *w, size_t row, float *room)
{
	float *sum = room + f->n_cols;
	size_t n = f->n_cols;
	double gain = 1;

	memset(sum, 0, n * sizeof *sum);
	for (size_t i = 0; i < f->n && !f->bias; i++)
		if (f->part[i].m->a)
			gain += add_side(sum, &f->part[i], w, n, row, room);
	for (size_t i = 0; i < n && !f->bias; i++)
		w[i] = (gain == 1 ? w[i] : (float)(gain * (double)w[i])) + sum[i];
	for (size_t i = 0; i < f->n; i++)
		if (f->part[i].m->out || (f->part[i].m->in && !f->bias))
			gain_by(w, &f->part[i], n, row);
}
