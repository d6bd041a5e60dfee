/* SPDX-License-Identifier: MIT */
/* snapshot.c - a sequence to a file, as mlx_lm saves a prompt cache
 *
 * Full layers hold every position; sliding ones a ring of at most the window,
 * written in temporal order. Reading it back is snapshot_in.c. */
#include "kv/snapshot.h"

#include "format/format.h"
#include "util/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What of a layer goes into the file. */
struct span {
	size_t from, n; /* positions */
	size_t window;
};

struct save {
	struct kv_seq *s;
	const struct kv_file *f;
	struct writer *w;
	size_t n_scalars;
	struct buf page[2], rows[2], out; /* keys, values: of a page, of a layer; converted */
};

static struct span span_of(const struct kv_seq *s, size_t layer)
{
	size_t window = s->pool->group[s->pool->layer[layer].group].window;
	size_t n = window && window < s->computed ? window : s->computed;

	return (struct span){ s->computed - n, n, window };
}

/* ---- head */

static int text(struct save *v, const char *key, const char *value, struct err *e)
{
	return writer_meta_text(v->w, key, bytes_of(value), e);
}

static int scalar(struct save *v, size_t layer, unsigned part, struct err *e)
{
	struct shape none = shape_of(0);
	char name[32], key[32];

	snprintf(name, sizeof name, "%zu.%u", layer, part);
	if (writer_declare(v->w, name, DT_I32, &none, e))
		return -1;
	v->n_scalars++;
	snprintf(key, sizeof key, "2.%zu.0", v->n_scalars);
	if (text(v, key, name, e))
		return -1;
	snprintf(key, sizeof key, "2.%zu.1", v->n_scalars);
	return text(v, key, "scalar", e);
}

struct shape state_shape(const struct exec_kv_layer *l, size_t part)
{
	const size_t *n = l->state[part];

	if (part == KV_STATES || !n[0])
		return shape_of(0);
	return n[0] == 1 ? shape_of(3, n[0], n[1], n[2]) :
	                   shape_of(4, (size_t)1, n[0], n[2], n[1]);
}

void states_turn(const struct exec_kv_layer *l, float *states, float *room, bool out)
{
	for (size_t part = 0; part < KV_STATES; part++) {
		size_t heads = l->state[part][0], rows = l->state[part][out ? 1 : 2];
		size_t columns = l->state[part][out ? 2 : 1], n = heads * rows * columns;

		for (size_t i = 0; heads > 1 && i < n; i++) {
			size_t h = i / (rows * columns), r = i / columns % rows, c = i % columns;

			room[(h * columns + c) * rows + r] = states[i];
		}
		if (heads > 1)
			memcpy(states, room, n * sizeof *room);
		states += n;
	}
}

static int declare_states(struct save *v, size_t i, struct err *e)
{
	char name[32];

	for (size_t part = 0; part < KV_STATES; part++) {
		struct shape shape = state_shape(&v->s->pool->layer[i], part);

		snprintf(name, sizeof name, "%zu.%zu", i, part);
		if (shape.rank && writer_declare(v->w, name, DT_F32, &shape, e))
			return -1;
	}
	snprintf(name, sizeof name, "1.%zu", i);
	return text(v, name, CLASS_STATE, e);
}

static int declare_layer(struct save *v, size_t i, struct err *e)
{
	const struct exec_kv_layer *l = &v->s->pool->layer[i];
	struct span span = span_of(v->s, i);
	struct shape keys = shape_of(4, (size_t)1, l->n_heads, span.n, l->k_dim);
	struct shape values = shape_of(4, (size_t)1, l->n_heads, span.n, l->v_dim);
	char name[32];

	if (exec_kv_state(l, KV_STATES))
		return declare_states(v, i, e);
	snprintf(name, sizeof name, "%zu.0", i);
	if (writer_declare(v->w, name, v->f->dtype, &keys, e))
		return -1;
	snprintf(name, sizeof name, "%zu.1", i);
	if (writer_declare(v->w, name, v->f->dtype, &values, e))
		return -1;
	for (unsigned part = SCALAR_OFFSET; part <= (span.window ? SCALAR_INDEX : SCALAR_OFFSET);
	     part++)
		if (scalar(v, i, part, e))
			return -1;
	snprintf(name, sizeof name, "1.%zu", i);
	return text(v, name, span.window ? CLASS_RING : CLASS_PLAIN, e);
}

static int add_ids(struct save *v, struct err *e)
{
	struct buf b = { 0 };
	int failed;

	for (size_t i = 0; i < v->s->computed; i++)
		buf_printf(&b, i ? " %d" : "%d", (int)v->s->id[i]);
	failed = buf_check(&b, e) || writer_meta_text(v->w, "0.clm.ids", buf_bytes(&b), e);
	buf_release(&b);
	return failed ? -1 : 0;
}

static int declare(struct save *v, struct err *e)
{
	const struct kv_file *f = v->f;

	if (text(v, "0.model", f->model ? f->model : "", e) ||
	    text(v, "0.tokenizer_config", f->tokenizer_config ? f->tokenizer_config : "{}", e) ||
	    (f->digest && text(v, "0.clm.model", f->digest, e)) ||
	    text(v, "0.clm.dtype", dtype_info(f->dtype)->name, e) || add_ids(v, e) ||
	    text(v, "2.0", "", e))
		return -1;
	for (size_t i = 0; i < v->s->pool->n_layers; i++)
		if (declare_layer(v, i, e))
			return -1;
	return 0;
}

/* ---- data */

static int sized(struct buf *b, size_t n, struct err *e)
{
	buf_clear(b);
	buf_add_zeros(b, n);
	return buf_check(b, e);
}

/* Positions [from, from + n) of one page into the layer's rows. */
static void place(struct buf *rows, const struct buf *page, const struct exec_kv_layer *l,
                  size_t dim_bytes, size_t n, size_t at, size_t total)
{
	for (size_t h = 0; h < l->n_heads; h++)
		memcpy(rows->p + (h * total + at) * dim_bytes, page->p + h * n * dim_bytes,
		       n * dim_bytes);
}

/* Rows [head][span.n][dim] of a layer, zeros where the page is gone: only
 * the one position before the window, which nothing sees any more. */
static int gather(struct save *v, size_t layer, const struct span *span, struct err *e)
{
	struct kv_pool *p = v->s->pool;
	const struct exec_kv_layer *l = &p->layer[layer];
	size_t size = dtype_info(exec_kv_dtype(p->store))->block_bytes;
	size_t k = l->k_dim * size, w = l->v_dim * size, end = span->from + span->n;

	if (sized(&v->rows[0], l->n_heads * span->n * k, e) ||
	    sized(&v->rows[1], l->n_heads * span->n * w, e) ||
	    sized(&v->page[0], l->n_heads * PAGE_POSITIONS * k, e) ||
	    sized(&v->page[1], l->n_heads * PAGE_POSITIONS * w, e))
		return -1;
	for (size_t pos = span->from, n; pos < end; pos += n) {
		size_t first = pos % PAGE_POSITIONS;
		int32_t page = v->s->table[l->group][pos / PAGE_POSITIONS];

		n = PAGE_POSITIONS - first < end - pos ? PAGE_POSITIONS - first : end - pos;
		if (page == NONE)
			continue;
		if (exec_kv_export(p->store, layer, page, first, n, v->page[0].p, v->page[1].p, e))
			return -1;
		place(&v->rows[0], &v->page[0], l, k, n, pos - span->from, span->n);
		place(&v->rows[1], &v->page[1], l, w, n, pos - span->from, span->n);
	}
	return 0;
}

/* Rows in the pool's dtype to the file's, head by head. */
static int write_rows(struct save *v, const struct buf *rows, size_t n_heads, struct err *e)
{
	enum dtype have = exec_kv_dtype(v->s->pool->store), want = v->f->dtype;
	size_t count = rows->n / dtype_info(have)->block_bytes / n_heads;
	struct buf *f32 = &v->page[0];

	if (have == want)
		return writer_data(v->w, rows->p, rows->n, e);
	if (sized(f32, count * sizeof(float), e) ||
	    sized(&v->out, count * dtype_info(want)->block_bytes, e))
		return -1;
	for (size_t h = 0; h < n_heads; h++) {
		float *x = (float *)(void *)f32->p;

		dtype_to_f32(have, x, rows->p + h * count * dtype_info(have)->block_bytes, count);
		dtype_from_f32(want, v->out.p, x, count);
		if (writer_data(v->w, v->out.p, v->out.n, e))
			return -1;
	}
	return 0;
}

static int write_scalars(struct save *v, const struct span *span, struct err *e)
{
	int32_t number[] = { (int32_t)v->s->computed, 0, (int32_t)span->window, (int32_t)span->n };

	for (size_t i = 0; i < (span->window ? 4 : 1); i++)
		if (writer_data(v->w, &number[i], sizeof number[i], e))
			return -1;
	return 0;
}

static int write_states(struct save *v, size_t i, struct err *e)
{
	const struct exec_kv_layer *l = &v->s->pool->layer[i];
	size_t n = exec_kv_state(l, KV_STATES) * sizeof(float);
	int32_t page = v->s->table[l->group][(v->s->computed - 1) / PAGE_POSITIONS];

	if (sized(&v->page[0], n, e) || sized(&v->page[1], n, e) ||
	    exec_kv_export(v->s->pool->store, i, page, 0, 1, v->page[0].p, NULL, e))
		return -1;
	states_turn(l, (float *)(void *)v->page[0].p, (float *)(void *)v->page[1].p, true);
	for (size_t part = 0; part < KV_STATES; part++) {
		size_t at = exec_kv_state(l, part) * sizeof(float);
		size_t end = exec_kv_state(l, part + 1) * sizeof(float);

		if (end > at && writer_data(v->w, v->page[0].p + at, end - at, e))
			return -1;
	}
	return 0;
}

static int write_layer(struct save *v, size_t i, struct err *e)
{
	size_t n_heads = v->s->pool->layer[i].n_heads;
	struct span span = span_of(v->s, i);

	if (exec_kv_state(&v->s->pool->layer[i], KV_STATES))
		return write_states(v, i, e);
	if (gather(v, i, &span, e) || write_rows(v, &v->rows[0], n_heads, e) ||
	    write_rows(v, &v->rows[1], n_heads, e))
		return -1;
	return write_scalars(v, &span, e);
}

int kv_save(struct kv_seq *s, const char *path, const struct kv_file *f, struct err *e)
{
	struct save v = { .s = s, .f = f };
	struct writer_options o = { .container = CONTAINER_SAFETENSORS };
	int failed = -1;

	if (f->dtype != DT_F16 && f->dtype != DT_BF16 && f->dtype != DT_F32)
		return err_set(e, ERR_MISUSE, "%s: cache: expected f16, bf16 or f32, found %s",
		               path, dtype_info(f->dtype)->name);
	if (!s->computed)
		return err_set(e, ERR_INPUT, "%s: cache: nothing is computed yet", path);
	if (writer_open(&v.w, path, false, &o, e))
		return -1;
	if (declare(&v, e))
		goto out;
	for (size_t i = 0; i < s->pool->n_layers; i++)
		if (write_layer(&v, i, e))
			goto out;
	failed = writer_commit(v.w, e);
	v.w = NULL;
out:
	writer_abort(v.w);
	for (size_t i = 0; i < 2; i++) {
		buf_release(&v.page[i]);
		buf_release(&v.rows[i]);
	}
	buf_release(&v.out);
	return failed;
}
