/* SPDX-License-Identifier: MIT */
/* stream.c - weights from source to output, a block of rows at a time
 *
 * Given a plan and a writer that knows every tensor (declare.c); gives their
 * bytes in that order. In memory at once: a block of rows, one weight's scales and
 * biases, and one weight where its container has it packed. */
#include "convert/row.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK_BYTES = 8 << 20, AHEAD = 4 };

/* What a thread has to itself. */
struct own {
	double error, norm;         /* as item's */
	size_t bad_row;             /* the first that holds what the type cannot, + 1 */
	float bad_value;
	float *f32, *room;          /* [n_cols], [4 n_cols] */
	unsigned char *woven;       /* [n_cols] of the widest floats: a column of a piece */
};

/* A block is coded while the one before it is written. */
struct chunk {
	unsigned char *bytes;
	size_t first, n;            /* rows */
};

struct stream {
	struct plan *p;
	struct writer *w;
	struct item *t;
	struct arena arena;         /* of one weight */
	struct bytes weight, scales, biases, tiles;
	struct piece { struct bytes weight, scales, biases, tiles; } *piece; /* of a stack */
	struct moments *moments;    /* NULL: the plain rule */
	size_t block_rows, share;   /* share: rows that a thread takes at a time */
	struct chunk coded, done;
	int rc;                     /* of writing */
	struct bytes scales_out, biases_out;
	struct own *own;            /* [threads] */
	struct err *e;
};

/* ---- rows of the source */

/* The source's row that becomes row r. */
static size_t row_from(const struct stream *s, size_t r)
{
	size_t d = s->t->head_rows, half = d / 2, i;

	if (!d)
		return r;
	i = r % d;
	r -= i;
	if (s->p->rows == ROWS_TO_PAIRS)
		return r + i % 2 * half + i / 2;
	return r + i % half * 2 + i / half;
}

static const unsigned char *row_in(const struct stream *s, struct bytes data, size_t r)
{
	return data.p + row_from(s, r) * (data.n / s->t->n_rows);
}

static int give(struct stream *s, const void *p, size_t n)
{
	return writer_data(s->w, p, n, s->e);
}

/* Rows as they are, moved if heads are. */
static int copy_rows(struct stream *s, struct bytes data)
{
	size_t n = s->t->n_rows ? data.n / s->t->n_rows : 0;

	if (!s->t->head_rows)
		return give(s, data.p, data.n);
	for (size_t r = 0; r < s->t->n_rows; r++)
		if (give(s, row_in(s, data, r), n))
			return -1;
	return 0;
}

/* ---- forms of the output */

static int load(struct stream *s, const struct tensor *t, struct bytes *out)
{
	size_t n = s->t->weave ? 0 : s->t->n_parts;

	*out = (struct bytes){ 0 };
	if (t && source_data(s->p->source, t, out, &s->arena, s->e))
		return -1;
	if (t && n)
		*out = (struct bytes){ out->p + s->t->part * (out->n / n), out->n / n };
	return 0;
}

static int load_pieces(struct stream *s)
{
	const struct item *t = s->t;

	s->piece = t->n_pieces ? arena_new(&s->arena, t->n_pieces, sizeof *s->piece, s->e) : NULL;
	for (size_t j = 0; s->piece && j < t->n_pieces; j++)
		if (load(s, t->piece[j].weight, &s->piece[j].weight) ||
		    load(s, t->piece[j].scales, &s->piece[j].scales) ||
		    load(s, t->piece[j].biases, &s->piece[j].biases) ||
		    load(s, t->piece[j].tile_scales, &s->piece[j].tiles))
			return -1;
	return t->n_pieces && !s->piece ? -1 : 0;
}

/* A piece in f32. */
static int decode_piece(struct stream *s, size_t j)
{
	const struct item *t = &s->t->piece[j];
	struct piece *p = &s->piece[j];
	struct bytes tiles = { 0 };
	float *f = arena_new(&s->arena, t->n_rows * t->n_cols, sizeof *f, s->e);

	if (!f || load(s, t->tile_scales, &tiles))
		return -1;
	if (row_is_unknown(t))
		return err_set(s->e, ERR_INPUT, "%s is not decoded here",
		               dtype_info(t->weight->dtype)->name);
	for (size_t r = 0; r < t->n_rows; r++) {
		struct row_in in = { .t = t, .row = r, .tiles = tiles,
			             .weight = p->weight.p + r * (p->weight.n / t->n_rows) };

		if (p->scales.p)
			in.scales = p->scales.p + r * (p->scales.n / t->n_rows);
		if (p->biases.p)
			in.biases = p->biases.p + r * (p->biases.n / t->n_rows);
		row_decode(f + r * t->n_cols, &in);
	}
	*p = (struct piece){ .weight = { (const unsigned char *)f,
	                                 t->n_rows * t->n_cols * sizeof *f } };
	return 0;
}

static int decode_pieces(struct stream *s)
{
	for (size_t j = 0; s->t->weave && s->t->weave->apart && j < s->t->n_pieces; j++)
		if (decode_piece(s, j))
			return -1;
	return 0;
}

/* A row that is one of a piece, or a column of it. */
static struct row_in row_of_weave(const struct stream *s, size_t r, unsigned char *column)
{
	const struct item *t = s->t;
	struct spot at = weave_spot(t->weave, r);
	const struct piece *p = &s->piece[at.piece];
	size_t size = dtype_info(t->weight->dtype)->block_bytes;
	size_t n = t->piece[at.piece].n_rows, row = at.at / t->n_cols;
	struct row_in in = { .t = t, .row = r, .weight = p->weight.p + row * (p->weight.n / n) };

	if (at.step == 1 && t->in == IN_FLOAT)
		in.weight = p->weight.p + at.at * size;
	if (at.step == 1 && p->scales.p)
		in.scales = p->scales.p + row * (p->scales.n / n);
	if (at.step == 1 && p->biases.p)
		in.biases = p->biases.p + row * (p->biases.n / n);
	if (at.step == 1)
		return in;
	in.weight = column;
	for (size_t i = 0; i < t->n_cols; i++)
		memcpy(column + i * size, p->weight.p + (at.at + i * at.step) * size, size);
	return in;
}

/* A row of a stack lies in its piece. */
static struct row_in row_of_piece(const struct stream *s, size_t r)
{
	size_t n = s->t->n_rows / s->t->n_pieces, at = r % n;
	const struct piece *p = &s->piece[r / n];
	struct row_in in = { .t = s->t, .row = at, .weight = p->weight.p + at * (p->weight.n / n),
		             .tiles = p->tiles };

	if (p->scales.p)
		in.scales = p->scales.p + at * (p->scales.n / n);
	if (p->biases.p)
		in.biases = p->biases.p + at * (p->biases.n / n);
	return in;
}

/* A stack's pieces as they are. */
static int copy_pieces(struct stream *s)
{
	for (size_t k = 0; k < 3; k++)
		for (size_t j = 0; j < s->t->n_pieces; j++) {
			const struct piece *p = &s->piece[j];
			struct bytes data = k == 0 ? p->weight : k == 1 ? p->scales : p->biases;

			if (data.n && give(s, data.p, data.n))
				return -1;
		}
	return 0;
}

/* Rows as they are, from wherever they lie. */
static int copy_weave(struct stream *s)
{
	for (size_t k = 0; k < 3; k++)
		for (size_t r = 0; r < s->t->n_rows; r++) {
			size_t at = s->t->part * s->t->n_rows + r;
			size_t j = weave_spot(s->t->weave, at).piece, n = s->t->piece[j].n_rows;
			struct row_in in = row_of_weave(s, at, NULL);
			struct bytes all = k == 0 ? s->piece[j].weight :
			                   k == 1 ? s->piece[j].scales : s->piece[j].biases;
			const unsigned char *row = k == 0 ? in.weight : k == 1 ? in.scales : in.biases;

			if (all.n && give(s, row, all.n / n))
				return -1;
		}
	return 0;
}

static struct row_in row_of(const struct stream *s, size_t r)
{
	struct row_in in = { .t = s->t, .weight = row_in(s, s->weight, r), .row = r };

	if (s->scales.p)
		in.scales = row_in(s, s->scales, r);
	if (s->biases.p)
		in.biases = row_in(s, s->biases, r);
	in.tiles = s->tiles;
	return in;
}

/* The row of an adapter's side that belongs to the output's row r. */
static size_t side_row(const struct item *t, size_t r)
{
	size_t d = t->pairs, i = d ? r % d : 0;

	return d ? r - i + i % 2 * (d / 2) + i / 2 : r;
}

/* Remembers a finite number that f16 would make an infinite one. */
static void check_row(struct own *own, const float *f, size_t n, size_t row)
{
	size_t i = row_over_f16(f, n);

	if (i < n) {
		own->bad_row = row + 1;
		own->bad_value = f[i];
	}
}

/* Row i of the block: decoded, coded, and what that lost. */
static void code_row(struct stream *s, size_t i, struct own *own)
{
	const struct item *t = s->t;
	size_t r = s->coded.first + i;
	struct row_in in = t->weave ? row_of_weave(s, t->part * t->n_rows + r, own->woven) :
	                   t->n_pieces ? row_of_piece(s, r) : row_of(s, r);
	float *f = own->f32;
	size_t wide = row_bytes_out(t), groups = t->group ? t->n_cols / t->group : 0;
	size_t scale = groups * dtype_info(t->dtype)->block_bytes;
	struct row_out out = { .t = t, .q = s->coded.bytes + i * wide, .moments = s->moments,
		               .room = own->room };

	if (t->group) {
		out.scales = (unsigned char *)s->scales_out.p + r * scale;
		out.biases = (unsigned char *)s->biases_out.p + r * scale;
	}
	if (t->exact) {
		row_move(&out, &in);
		return;
	}
	row_decode(f, &in);
	if (t->fused)
		fuse_row(t->fused, f, side_row(t, r), own->room);
	if (t->dtype == DT_F16 && !own->bad_row && !row_was_f16(t))
		check_row(own, f, t->n_cols, r);
	row_encode(&out, f, &own->error, &own->norm);
}

/* Job 0 writes the block before, the others code their share of this one. */
static void do_jobs(void *arg, size_t begin, size_t end, int thread)
{
	struct stream *s = arg;

	for (size_t job = begin; job < end; job++) {
		size_t i = job ? (job - 1) * s->share : 0, stop = job ? i + s->share : 0;

		if (job == 0 && s->done.n)
			s->rc = give(s, s->done.bytes, s->done.n * row_bytes_out(s->t));
		for (stop = stop < s->coded.n ? stop : s->coded.n; i < stop; i++)
			code_row(s, i, &s->own[thread]);
	}
}

/* A finite number must not become an infinite one. */
static int check_range(struct stream *s)
{
	for (int i = 0; i < pool_threads(s->p->pool); i++)
		if (s->own[i].bad_row)
			return err_set(s->e, ERR_INPUT, "row %zu: %g is over f16's %g",
			               s->own[i].bad_row - 1, (double)s->own[i].bad_value, 65504.0);
	return 0;
}

/* ---- one weight */

static int open_scales(struct stream *s)
{
	const struct item *t = s->t;
	size_t n = t->n_rows * (t->n_cols / t->group) * dtype_info(t->dtype)->block_bytes;
	unsigned char *room = arena_new(&s->arena, 2, n, s->e);

	if (!room)
		return -1;
	s->scales_out = (struct bytes){ room, n };
	s->biases_out = (struct bytes){ room + n, t->out == OUT_AFFINE ? n : 0 };
	return 0;
}

static int open_rows(struct stream *s)
{
	const struct item *t = s->t;
	size_t wide = t->n_cols ? t->n_cols : 1, n = (size_t)pool_threads(s->p->pool);
	size_t room = row_bytes_out(t) ? row_bytes_out(t) : 1;

	s->scales_out = s->biases_out = (struct bytes){ 0 };
	s->coded = s->done = (struct chunk){ 0 };
	s->block_rows = BLOCK_BYTES / (wide * sizeof(float));
	s->block_rows = s->block_rows < n ? n : s->block_rows;
	s->block_rows = s->block_rows < t->n_rows ? s->block_rows : t->n_rows;
	s->coded.bytes = arena_new(&s->arena, s->block_rows, room, s->e);
	s->done.bytes = s->coded.bytes ? arena_new(&s->arena, s->block_rows, room, s->e) : NULL;
	s->own = s->done.bytes ? arena_new(&s->arena, n, sizeof *s->own, s->e) : NULL;
	for (size_t i = 0; i < n && s->own; i++) {
		s->own[i].f32 = arena_new(&s->arena, 5 * wide, sizeof(float), s->e);
		s->own[i].woven = arena_new(&s->arena, wide, sizeof(double), s->e);
		if (!s->own[i].f32 || !s->own[i].woven)
			return -1;
		s->own[i].room = s->own[i].f32 + wide;
	}
	return !s->own || (t->group && open_scales(s)) ? -1 : 0;
}

/* Second moments, where the form can use them. */
static int find_moments(struct stream *s)
{
	const struct item *t = s->t;
	struct moments *m = moment_set_find(s->p->options->moments, t->name);

	s->moments = NULL;
	if (!m || m->n_in != t->n_cols || t->exact || t->out == OUT_FLOAT)
		return 0;
	s->moments = m;
	return t->out == OUT_AFFINE ? moments_factor(m, s->p->pool, s->e) : 0;
}

/* The rows that are read after this block, so that they are there by then. */
static void expect_rows(const struct stream *s)
{
	const struct item *t = s->t;
	size_t wide = s->weight.n / (t->n_rows + !t->n_rows), at = s->coded.first + s->block_rows;
	struct bytes next = { s->weight.p + at * wide, AHEAD * s->block_rows * wide };

	if (!t->weight || s->weight.p != t->weight->data.p || at >= t->n_rows)
		return;
	if (next.n > s->weight.n - at * wide)
		next.n = s->weight.n - at * wide;
	file_expect(next);
}

/* Codes the block at `first`, if there is one, and writes the one before. */
static int do_block(struct stream *s, size_t first)
{
	size_t left = s->t->n_rows - first, n = left < s->block_rows ? left : s->block_rows;
	size_t shares = (size_t)pool_threads(s->p->pool) * 4;
	struct chunk done = s->coded;

	s->coded = (struct chunk){ s->done.bytes, first, n };
	s->done = done;
	s->share = (n + shares - 1) / shares;
	expect_rows(s);
	pool_for(s->p->pool, 1 + (n ? (n + s->share - 1) / s->share : 0), 1, do_jobs, s);
	return s->rc || check_range(s) ? -1 : 0;
}

static int rows(struct stream *s)
{
	struct item *t = s->t;

	if (row_is_unknown(t))
		return err_set(s->e, ERR_INPUT, "%s is not decoded here",
		               dtype_info(t->weight->dtype)->name);
	if (open_rows(s) || find_moments(s))
		return -1;
	for (size_t first = 0; first < t->n_rows; first += s->block_rows)
		if (do_block(s, first))
			return -1;
	if (do_block(s, t->n_rows)) /* the last to be written */
		return -1;
	for (int i = 0; i < pool_threads(s->p->pool); i++) {
		t->error += s->own[i].error;
		t->norm += s->own[i].norm;
	}
	if (s->moments)
		moments_forget_factor(s->moments);
	return give(s, s->scales_out.p, s->scales_out.n) || give(s, s->biases_out.p, s->biases_out.n);
}

static int one(struct stream *s)
{
	const struct item *t = s->t;

	if (load_pieces(s))
		return -1;
	for (size_t j = 0; j < t->n_pieces; j++) /* for what is told of the progress */
		s->weight.n += s->piece[j].weight.n;
	if (decode_pieces(s))
		return -1;
	if (!t->n_pieces && (load(s, t->weight, &s->weight) || load(s, t->scales, &s->scales) ||
	                     load(s, t->biases, &s->biases) || load(s, t->tile_scales, &s->tiles)))
		return -1;
	if (t->out != OUT_SAME)
		return rows(s);
	if (t->n_pieces)
		return (t->weave ? copy_weave : copy_pieces)(s);
	if (copy_rows(s, s->weight))
		return -1;
	return (t->scales && copy_rows(s, s->scales)) || (t->biases && copy_rows(s, s->biases)) ? -1
	                                                                                        : 0;
}

int stream_data(struct plan *p, struct writer *w, struct err *e)
{
	struct stream s = { .p = p, .w = w, .e = e };
	size_t done = 0;

	for (size_t i = 0; i < p->n_items; i++) {
		int rc;

		s.t = &p->item[i];
		s.weight = s.scales = s.biases = s.tiles = (struct bytes){ 0 };
		rc = one(&s);
		if (s.t->weight && s.weight.p == s.t->weight->data.p)
			file_forget(s.weight);
		arena_release(&s.arena);
		if (rc)
			return err_in(e, "%s", s.t->name);
		done += s.weight.n; /* two may be made of one */
		done = done < p->n_bytes ? done : p->n_bytes;
		if (p->options->outcome)
			row_outcome(p, s.t);
		if (p->options->progress)
			p->options->progress(p->options->arg, done, p->n_bytes);
	}
	return 0;
}
