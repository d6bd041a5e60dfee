/* SPDX-License-Identifier: MIT */
/* snapshot_in.c - a prompt-cache file into an empty sequence
 *
 * The file is a stranger's: every name, class, shape, dtype and count is
 * checked before a page is touched, and the sequence is empty again when
 * anything fails. Writing is snapshot.c. */
#include "kv/snapshot.h"

#include "format/format.h"
#include "util/num.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TENSORS_A_LAYER = 8 }; /* more are a file of something else */

/* What the file holds of one layer: logical entry j of n lies at physical
 * place (first + j) % stored and is position `from` + j. */
struct entry {
	const struct tensor *k, *v;
	size_t stored, first, n, from;
};

struct load {
	struct kv_seq *s;
	struct arena arena;
	struct parsed file;
	bool old;            /* mlx-lm before 0.32.2 */
	struct entry *entry; /* [n_layers] */
	size_t n;            /* positions */
	int32_t *id;         /* [n] */
	bool has_ids;
	struct buf f32, page[2];
};

/* ---- names */

static const char *meta_of(const struct load *l, const char *key)
{
	for (size_t i = 0; i < l->file.n_meta; i++)
		if (!strcmp(l->file.meta[i].key, key))
			return (const char *)l->file.meta[i].raw.p;
	return NULL;
}

/* What the user of save_prompt_cache() gave. */
static const char *meta_user(const struct load *l, const char *name)
{
	char key[64];

	snprintf(key, sizeof key, "%d.%s", l->old ? 1 : 0, name);
	return meta_of(l, key);
}

static const char *class_of(const struct load *l, size_t layer)
{
	char key[32];

	snprintf(key, sizeof key, "%d.%zu", l->old ? 2 : 1, layer);
	return meta_of(l, key);
}

static const struct tensor *tensor_of(const struct load *l, size_t layer, unsigned part)
{
	char name[32];

	snprintf(name, sizeof name, "%zu.%u", layer, part);
	for (size_t i = 0; i < l->file.n_tensors; i++)
		if (!strcmp(l->file.tensor[i].name, name))
			return &l->file.tensor[i];
	return NULL;
}

/* A count of a layer's state: metadata in old files, a scalar in new ones. */
static int count_of(size_t *out, const struct load *l, size_t layer, unsigned part, struct err *e)
{
	static const unsigned old_place[] = {
		[SCALAR_KEEP] = 0,
		[SCALAR_SIZE] = 1,
		[SCALAR_OFFSET] = 2,
		[SCALAR_INDEX] = 3,
	};
	const struct tensor *t;
	const char *value;
	char key[32];
	int64_t v = -1;
	int32_t small;

	if (l->old) {
		snprintf(key, sizeof key, "0.%zu.%u", layer, old_place[part]);
		value = meta_of(l, key);
		if (!value)
			return err_set(e, ERR_INPUT, "metadata: %s: missing", key);
		if (!num_i64(&v, value) || v < 0 || v > INT32_MAX)
			return err_set(e, ERR_INPUT,
			               "metadata: %s: expected a count, found \"%.40s\"", key,
			               value);
		*out = (size_t)v;
		return 0;
	}
	t = tensor_of(l, layer, part);
	if (!t || t->shape.rank || (t->dtype != DT_I32 && t->dtype != DT_I64))
		return err_set(e, ERR_INPUT, "%zu.%u: expected an integer", layer, part);
	if (t->dtype == DT_I32) {
		memcpy(&small, t->data.p, sizeof small);
		v = small;
	} else {
		memcpy(&v, t->data.p, sizeof v);
	}
	if (v < 0 || v > INT32_MAX)
		return err_set(e, ERR_INPUT, "%zu.%u: expected a count, found %lld", layer, part,
		               (long long)v);
	*out = (size_t)v;
	return 0;
}

/* ---- layers */

static int check_rows(const struct tensor *t, size_t layer, unsigned part, size_t heads, size_t dim,
                      struct err *e)
{
	char have[128];

	if (!t)
		return err_set(e, ERR_INPUT, "%zu.%u: missing", layer, part);
	if (t->shape.rank != 4 || t->shape.dim[0] != 1 || t->shape.dim[1] != heads ||
	    t->shape.dim[3] != dim ||
	    (t->dtype != DT_F16 && t->dtype != DT_BF16 && t->dtype != DT_F32))
		return err_set(e, ERR_INPUT,
		               "%zu.%u: expected [1,%zu,n,%zu] f16, bf16 or f32, found %s", layer,
		               part, heads, dim,
		               shape_text(have, sizeof have, t->dtype, &t->shape));
	return 0;
}

/* The order of a rotating cache, as mlx-lm unrolls it. */
static int order_ring(const struct load *l, struct entry *t, size_t layer, size_t offset,
                      struct err *e)
{
	size_t keep, index;

	if (count_of(&keep, l, layer, SCALAR_KEEP, e) ||
	    count_of(&index, l, layer, SCALAR_INDEX, e))
		return -1;
	if (keep)
		return err_set(e, ERR_INPUT,
		               "layer %zu: a rotating cache that keeps its first %zu positions",
		               layer, keep);
	if (index > t->stored)
		return err_set(e, ERR_INPUT, "layer %zu: index %zu of %zu entries", layer, index,
		               t->stored);
	t->n = t->stored;
	if (index < t->stored && index < offset)
		t->first = index;
	else if (index < t->stored)
		t->n = index;
	return 0;
}

/* The states of a recurrent layer: *offset is left alone. */
static int read_states(const struct load *l, size_t layer, const char *class, struct err *e)
{
	char have[128], want[128];

	if (strcmp(class, CLASS_STATE))
		return err_set(e, ERR_INPUT,
		               "layer %zu: expected " CLASS_STATE ", found \"%.40s\"", layer, class);
	for (unsigned part = 0; part < KV_STATES; part++) {
		struct shape shape = state_shape(&l->s->pool->layer[layer], part);
		const struct tensor *t = tensor_of(l, layer, part);

		if (!shape.rank && !t)
			continue;
		if (!t || !shape.rank)
			return err_set(e, ERR_INPUT, "%zu.%u: %s", layer, part,
			               t ? "not a state of this layer" : "missing");
		if (!shape_equal(&t->shape, &shape) ||
		    (t->dtype != DT_F32 && t->dtype != DT_F16 && t->dtype != DT_BF16))
			return err_set(e, ERR_INPUT, "%zu.%u: expected %s, found %s", layer, part,
			               shape_text(want, sizeof want, DT_F32, &shape),
			               shape_text(have, sizeof have, t->dtype, &t->shape));
	}
	return 0;
}

static int read_layer(const struct load *l, struct entry *t, size_t layer, size_t *offset,
                      struct err *e)
{
	const struct exec_kv_layer *have = &l->s->pool->layer[layer];
	size_t window = l->s->pool->group[have->group].window;
	const char *class = class_of(l, layer);
	bool ring = class && !strcmp(class, CLASS_RING);

	if (!class)
		return err_set(e, ERR_INPUT, "layer %zu: missing; the model has %zu", layer,
		               l->s->pool->n_layers);
	if (exec_kv_state(have, KV_STATES))
		return read_states(l, layer, class, e);
	if (!ring && strcmp(class, CLASS_PLAIN))
		return err_set(e, ERR_INPUT,
		               "layer %zu: expected " CLASS_PLAIN " or " CLASS_RING
		               ", found \"%.40s\"",
		               layer, class);
	t->k = tensor_of(l, layer, 0);
	t->v = tensor_of(l, layer, 1);
	if (check_rows(t->k, layer, 0, have->n_heads, have->k_dim, e) ||
	    check_rows(t->v, layer, 1, have->n_heads, have->v_dim, e))
		return -1;
	t->stored = t->k->shape.dim[2];
	if (t->v->shape.dim[2] != t->stored)
		return err_set(e, ERR_INPUT, "layer %zu: %zu keys, %zu values", layer, t->stored,
		               t->v->shape.dim[2]);
	*offset = t->stored;
	if ((!l->old || ring) && count_of(offset, l, layer, SCALAR_OFFSET, e))
		return -1;
	t->n = *offset;
	if (ring && order_ring(l, t, layer, *offset, e))
		return -1;
	if (!*offset || t->n > t->stored || t->n > *offset)
		return err_set(e, ERR_INPUT, "layer %zu: offset %zu, %zu entries of %zu", layer,
		               *offset, t->n, t->stored);
	t->from = *offset - t->n;
	if (t->from > kv_first_seen(window, *offset))
		return err_set(e, ERR_INPUT,
		               "layer %zu: holds the last %zu of %zu positions, %zu are needed",
		               layer, t->n, *offset, *offset - kv_first_seen(window, *offset));
	return 0;
}

static int read_layers(struct load *l, struct err *e)
{
	size_t n_layers = l->s->pool->n_layers;

	l->old = !meta_of(l, "1.0");
	if (l->file.n_tensors > n_layers * TENSORS_A_LAYER)
		return err_set(e, ERR_INPUT, "expected at most %zu tensors, found %zu",
		               n_layers * TENSORS_A_LAYER, l->file.n_tensors);
	if (class_of(l, n_layers))
		return err_set(e, ERR_INPUT, "more layers than the model's %zu", n_layers);
	l->entry = arena_new(&l->arena, n_layers, sizeof *l->entry, e);
	if (!l->entry)
		return -1;
	for (size_t i = 0; i < n_layers; i++) {
		size_t offset = l->n;

		if (read_layer(l, &l->entry[i], i, &offset, e))
			return -1;
		if (l->n && offset != l->n)
			return err_set(e, ERR_INPUT, "layer %zu: expected %zu positions, found %zu",
			               i, l->n, offset);
		l->n = offset;
	}
	return l->n ? 0 : err_set(e, ERR_INPUT, "no layer says how many positions there are");
}

/* ---- ids */

static int bad_ids(size_t i, size_t n, const char *at, struct err *e)
{
	return err_set(e, ERR_INPUT,
	               "metadata: clm.ids: expected %zu ids, after %zu found \"%.20s\"", n, i, at);
}

static int read_ids(struct load *l, struct err *e)
{
	const char *at = meta_user(l, "clm.ids");

	l->id = arena_new(&l->arena, l->n, sizeof *l->id, e);
	if (!l->id)
		return -1;
	l->has_ids = at != NULL;
	for (size_t i = 0; i < l->n; i++) {
		size_t digits;
		char one[12];
		int64_t v;

		l->id[i] = -1;
		if (!at)
			continue;
		at += i && *at == ' ';
		digits = strcspn(at, " ");
		if (digits >= sizeof one)
			return bad_ids(i, l->n, at, e);
		snprintf(one, sizeof one, "%.*s", (int)digits, at);
		if (!num_i64(&v, one) || v < -1 || v > INT32_MAX)
			return bad_ids(i, l->n, at, e);
		l->id[i] = (int32_t)v;
		l->has_ids &= v >= 0;
		at += digits;
	}
	return at && *at ? bad_ids(l->n, l->n, at, e) : 0;
}

static int check_digest(const struct load *l, const char *digest, struct err *e)
{
	const char *made = meta_user(l, "clm.model");

	if (made && digest && strcmp(made, digest))
		return err_set(e, ERR_INPUT, "made with another model: expected %s, found %.64s",
		               digest, made);
	return 0;
}

/* ---- rows into pages */

/* n rows of the file, converted; ERR_INPUT where a number does not fit. */
static int convert(struct load *l, void *out, enum dtype want, const void *in, enum dtype have,
                   size_t n, struct err *e)
{
	float *x = (float *)(void *)l->f32.p;

	if (have == want) {
		memcpy(out, in, n * dtype_info(want)->block_bytes);
		return 0;
	}
	dtype_to_f32(have, x, in, n);
	if (want == DT_F16)
		for (size_t i = 0; i < n; i++)
			if (isfinite(x[i]) && fabsf(x[i]) >= 65520.0f)
				return err_set(e, ERR_INPUT, "%.9g does not fit the cache's f16",
				               (double)x[i]);
	dtype_from_f32(want, out, x, n);
	return 0;
}

/* Positions [pos, pos + n) of one page: rows [head][n][dim] into `out`,
 * zeros for those that the file lacks and nothing sees. */
static int gather(struct load *l, struct buf *out, const struct entry *t, const struct tensor *rows,
                  size_t pos, size_t n, struct err *e)
{
	enum dtype want = exec_kv_dtype(l->s->pool->store);
	size_t dim = rows->shape.dim[3], heads = rows->shape.dim[1];
	size_t in_row = dim * dtype_info(rows->dtype)->block_bytes;
	size_t out_row = dim * dtype_info(want)->block_bytes;

	buf_clear(out);
	buf_add_zeros(out, heads * n * out_row);
	buf_clear(&l->f32);
	buf_add_zeros(&l->f32, dim * sizeof(float));
	if (buf_check(out, e) || buf_check(&l->f32, e))
		return -1;
	for (size_t h = 0; h < heads; h++)
		for (size_t i = 0; i < n; i++) {
			size_t at;

			if (pos + i < t->from)
				continue;
			at = h * t->stored + (t->first + (pos + i - t->from)) % t->stored;
			if (convert(l, out->p + (h * n + i) * out_row, want,
			            rows->data.p + at * in_row, rows->dtype, dim, e))
				return -1;
		}
	return 0;
}

static int import_states(struct load *l, size_t layer, int32_t page, struct err *e)
{
	buf_clear(&l->page[0]);
	for (unsigned part = 0; part < KV_STATES; part++) {
		const struct tensor *t = tensor_of(l, layer, part);
		size_t at = l->page[0].n, n = 0;

		if (t && !shape_count(&n, &t->shape))
			return err_set(e, ERR_INPUT, "%zu.%u: too large", layer, part);
		buf_add_zeros(&l->page[0], n * sizeof(float));
		if (buf_check(&l->page[0], e))
			return -1;
		if (n)
			dtype_to_f32(t->dtype, (float *)(void *)(l->page[0].p + at), t->data.p, n);
	}
	buf_clear(&l->page[1]);
	buf_add_zeros(&l->page[1], l->page[0].n);
	if (buf_check(&l->page[1], e))
		return -1;
	states_turn(&l->s->pool->layer[layer], (float *)(void *)l->page[0].p,
	            (float *)(void *)l->page[1].p, false);
	return exec_kv_import(l->s->pool->store, layer, page, 0, 1, l->page[0].p, NULL, e);
}

/* Of states the file had the last alone: the pages before hold none. */
static void forget_states(struct kv_seq *s)
{
	struct kv_pool *p = s->pool;

	for (unsigned g = 0; g < p->n_groups; g++)
		for (size_t last = (s->n - 1) / PAGE_POSITIONS; p->group[g].state && s->given[g] < last;) {
			int32_t *t = &s->table[g][s->given[g]++];

			if (*t != NONE)
				page_drop(p, g, *t);
			*t = NONE;
		}
}

static int import_page(struct load *l, size_t pos, size_t n, struct err *e)
{
	struct kv_pool *p = l->s->pool;

	for (size_t i = 0; i < p->n_layers; i++) {
		const struct entry *t = &l->entry[i];
		int32_t page = l->s->table[p->layer[i].group][pos / PAGE_POSITIONS];

		if (exec_kv_state(&p->layer[i], KV_STATES)) {
			if (pos + n == l->n && import_states(l, i, page, e))
				return -1;
			continue;
		}
		if (pos + n <= t->from)
			continue;
		if (gather(l, &l->page[0], t, t->k, pos, n, e) ||
		    gather(l, &l->page[1], t, t->v, pos, n, e))
			return err_in(e, "layer %zu", i);
		if (exec_kv_import(p->store, i, page, 0, n, l->page[0].p, l->page[1].p, e))
			return -1;
	}
	return 0;
}

static int import_all(struct load *l, struct err *e)
{
	struct kv_seq *s = l->s;

	s->private = true;
	for (size_t pos = 0, n; pos < l->n; pos += n) {
		n = l->n - pos < PAGE_POSITIONS ? l->n - pos : PAGE_POSITIONS;
		if (kv_append(s, l->id + pos, n, e) || import_page(l, pos, n, e)) {
			kv_rewind(s, 0);
			return -1;
		}
		kv_done(s, n);
	}
	forget_states(s);
	return 0;
}

/* ---- the door */

int kv_load_bytes(struct kv_seq *s, struct bytes file, const char *digest, bool *has_ids,
                  struct err *e)
{
	struct load l = { .s = s };
	int failed;

	if (s->n)
		return err_set(e, ERR_MISUSE, "cache: the sequence is not empty");
	failed = safetensors_parse(&l.file, file, &l.arena, e) || read_layers(&l, e) ||
	         check_digest(&l, digest, e) || read_ids(&l, e) || import_all(&l, e);
	*has_ids = !failed && l.has_ids;
	buf_release(&l.f32);
	buf_release(&l.page[0]);
	buf_release(&l.page[1]);
	arena_release(&l.arena);
	return failed ? -1 : 0;
}

int kv_load(struct kv_seq *s, const char *path, const char *digest, bool *has_ids, struct err *e)
{
	struct file_map map;
	int failed;

	if (file_map(&map, path, e))
		return err_in(e, "%s", path);
	failed = kv_load_bytes(s, map.bytes, digest, has_ids, e);
	file_unmap(&map);
	return failed ? err_in(e, "%s", path) : 0;
}
