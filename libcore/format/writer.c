/* SPDX-License-Identifier: MIT */
/* writer.c - models to files: what was declared is split into files, and
 * the bytes go to each in turn. How a file looks is its container's. */
#include "format/container.h"

#include "format/writer.h"
#include "util/json.h"
#include "util/map.h"
#include "util/num.h"
#include "util/utf8.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct writer {
	struct arena arena;
	const char *path;
	struct writer_options options;
	const struct out_row *row;
	struct dir_out *dir;  /* NULL: a lone file */
	struct buf tensors;   /* struct out_tensor */
	struct buf meta;      /* struct meta */
	struct buf siblings;  /* struct out_sibling, of a lone NPZ */
	size_t *first;        /* of each file, its first tensor; one more */
	size_t n_files, file; /* file: the one being written */
	struct part part;
	void *out;            /* the open file, or NULL */
	size_t tensor, given; /* next bytes: of that tensor, so many came */
	bool started;
};

static const struct out_row *const rows[] = { &safetensors_out, &gguf_out, &npz_out, &npy_out };

static const struct out_tensor *tensors_of(const struct writer *w)
{
	return (const struct out_tensor *)(const void *)w->tensors.p;
}

static size_t n_tensors(const struct writer *w)
{
	return w->tensors.n / sizeof(struct out_tensor);
}

int writer_open(struct writer **out, const char *path, bool as_dir, const struct writer_options *o,
                struct err *e)
{
	struct writer *w = calloc(1, sizeof *w);
	size_t n = strlen(path);

	*out = NULL;
	if (!w)
		return err_memory(e, sizeof *w);
	w->options = *o;
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i]->container == o->container)
			w->row = rows[i];
	w->path = arena_text(&w->arena, path, n, e);
	if (!w->path)
		goto fail;
	if (!w->row) {
		err_set(e, ERR_MISUSE, "%s: %s is not written", path, container_name(o->container));
		goto fail;
	}
	if (as_dir || (n && path[n - 1] == '/')) {
		if (!w->row->lone) {
			err_set(e, ERR_MISUSE, "%s: %s is one file, not a directory", path,
			        container_name(o->container));
			goto fail;
		}
		if (dir_out_open(&w->dir, path, e)) {
			err_in(e, "%s", path);
			goto fail;
		}
	}
	*out = w;
	return 0;
fail:
	writer_abort(w);
	return -1;
}

void writer_abort(struct writer *w)
{
	if (!w)
		return;
	if (w->out)
		w->row->drop(w->out);
	dir_out_abort(w->dir);
	buf_release(&w->tensors);
	buf_release(&w->meta);
	buf_release(&w->siblings);
	arena_release(&w->arena);
	free(w);
}

/* ---- declaring */

static bool is_name(const char *name)
{
	struct bytes b = bytes_of(name);

	return b.n && b.n <= NAME_MAX_BYTES && utf8_valid(b) == b.n;
}

static int add_meta(struct writer *w, const char *key, struct meta m, struct err *e)
{
	assert(!w->started);
	if (!is_name(key))
		return err_set(e, ERR_INPUT, "%s: metadata: %.80s: expected a name in UTF-8",
		               w->path, key);
	for (size_t i = 0; i < w->meta.n / sizeof m; i++)
		if (!strcmp(((struct meta *)(void *)w->meta.p)[i].key, key))
			return err_set(e, ERR_INPUT, "%s: metadata: %s: given twice", w->path, key);
	m.key = arena_text(&w->arena, key, strlen(key), e);
	if (!m.key)
		return -1;
	buf_add(&w->meta, &m, sizeof m);
	return buf_check(&w->meta, e);
}

static const unsigned char *copied(struct writer *w, const void *p, size_t n, struct err *e)
{
	return (const unsigned char *)arena_text(&w->arena, p, n, e);
}

int writer_meta_text(struct writer *w, const char *key, struct bytes text, struct err *e)
{
	struct meta m = { .type = META_STRING, .item = META_STRING, .count = 1 };

	m.raw = (struct bytes){ copied(w, text.p, text.n, e), text.n };
	return m.raw.p ? add_meta(w, key, m, e) : -1;
}

/* The bytes of a number as a type has them; -1 if it does not fit. */
static int number_bytes(unsigned char out[8], enum meta_type t, double v)
{
	static const double top[] = {
		[META_U8] = UINT8_MAX,  [META_I8] = INT8_MAX,    [META_U16] = UINT16_MAX,
		[META_I16] = INT16_MAX, [META_U32] = UINT32_MAX, [META_I32] = INT32_MAX,
		[META_BOOL] = 1,        [META_U64] = 0x1p63,     [META_I64] = 0x1p62,
		[META_F64] = 0,
	};
	bool is_signed = t == META_I8 || t == META_I16 || t == META_I32 || t == META_I64;
	uint64_t bits;
	float f = (float)v;

	if (t == META_F32) {
		memcpy(out, &f, sizeof f);
		return 0;
	}
	if (t == META_F64) {
		memcpy(out, &v, sizeof v);
		return 0;
	}
	if (v != floor(v) || v > top[t] || v < (is_signed ? -top[t] - 1 : 0))
		return -1;
	bits = is_signed ? (uint64_t)(int64_t)v : (uint64_t)v;
	for (size_t i = 0; i < 8; i++)
		out[i] = (unsigned char)(bits >> 8 * i);
	return 0;
}

int writer_meta_number(struct writer *w, const char *key, enum meta_type t, double v, struct err *e)
{
	struct meta m = { .type = t, .item = t, .count = 1 };
	unsigned char bytes[8];

	assert(meta_type_bytes(t));
	if (number_bytes(bytes, t, v))
		return err_set(e, ERR_INPUT, "%s: metadata: %s: %.17g does not fit its type",
		               w->path, key, v);
	m.raw.n = meta_type_bytes(t);
	m.raw.p = copied(w, bytes, m.raw.n, e);
	return m.raw.p ? add_meta(w, key, m, e) : -1;
}

int writer_meta_array(struct writer *w, const char *key, enum meta_type item, const void *items,
                      size_t count, struct err *e)
{
	struct meta m = { .type = META_ARRAY, .item = item, .count = count };

	assert(meta_type_bytes(item));
	if (!num_mul(&m.raw.n, count, meta_type_bytes(item)))
		return err_memory(e, SIZE_MAX);
	m.raw.p = copied(w, items, m.raw.n, e);
	return m.raw.p ? add_meta(w, key, m, e) : -1;
}

int writer_meta_strings(struct writer *w, const char *key, const struct bytes *items, size_t count,
                        struct err *e)
{
	struct meta m = { .type = META_ARRAY, .item = META_STRING, .count = count };
	struct bytes *views = arena_new(&w->arena, count, sizeof *views, e);
	unsigned char *text;
	size_t n = 0;

	if (!views)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (!num_add(&n, n, items[i].n))
			return err_memory(e, SIZE_MAX);
	text = arena_new(&w->arena, n, 1, e);
	if (!text)
		return -1;
	for (size_t i = 0; i < count; i++) {
		if (items[i].n)
			memcpy(text, items[i].p, items[i].n);
		views[i] = (struct bytes){ text, items[i].n };
		text += items[i].n;
	}
	m.strings = views;
	return add_meta(w, key, m, e);
}

int writer_declare(struct writer *w, const char *name, enum dtype t, const struct shape *s,
                   struct err *e)
{
	struct out_tensor d = { .dtype = t, .shape = *s };
	char text[128];

	assert(!w->started);
	if (w->row != &npy_out && !is_name(name))
		return err_set(e, ERR_INPUT, "%s: %.80s: expected a name in UTF-8", w->path, name);
	d.name = arena_text(&w->arena, name, strlen(name), e);
	if (!d.name)
		return -1;
	if (!shape_bytes(&d.n_bytes, t, s))
		return err_set(e, ERR_INPUT, "%s: %s: %s overflows or breaks a block", w->path,
		               name, shape_text(text, sizeof text, t, s));
	if (w->row->check(&d, e))
		return err_in(e, "%s: %s", w->path, name);
	buf_add(&w->tensors, &d, sizeof d);
	return buf_check(&w->tensors, e);
}

static int write_file(const char *path, struct bytes text, struct err *e)
{
	struct file_out *f;

	if (file_out_open(&f, path, e))
		return -1;
	if (file_out_write(f, text.p, text.n, e)) {
		file_out_abort(f);
		return -1;
	}
	return file_out_commit(f, e);
}

int writer_sibling(struct writer *w, const char *name, struct bytes text, struct err *e)
{
	struct out_sibling s = { .text = { NULL, text.n } };

	assert(!w->started);
	if (!sibling_name_ok(name))
		return err_set(e, ERR_INPUT, "%s: %s: expected a plain file name", w->path, name);
	if (w->dir) {
		const char *path = file_join(&w->arena, dir_out_temp(w->dir), name, e);

		if (!path)
			return -1;
		return write_file(path, text, e) ? err_in(e, "%s: %s", w->path, name) : 0;
	}
	if (w->row != &npz_out)
		return 0;
	s.name = arena_text(&w->arena, name, strlen(name), e);
	s.text.p = copied(w, text.p, text.n, e);
	if (!s.name || !s.text.p)
		return -1;
	buf_add(&w->siblings, &s, sizeof s);
	return buf_check(&w->siblings, e);
}

/* ---- splitting into files */

static int check_unique(const struct writer *w, struct err *e)
{
	struct map names;
	int there = 0;

	if (map_init(&names, n_tensors(w), e))
		return -1;
	for (size_t i = 0; i < n_tensors(w) && !there; i++) {
		there = map_add(&names, bytes_of(tensors_of(w)[i].name), (int64_t)i, e);
		if (there > 0)
			err_set(e, ERR_INPUT, "%s: %s: given twice", w->path,
			        tensors_of(w)[i].name);
	}
	map_release(&names);
	return there ? -1 : 0;
}

/* A file is closed before the tensor that would make it too long. */
static int split(struct writer *w, struct err *e)
{
	size_t limit = w->options.shard_bytes ? w->options.shard_bytes : w->row->shard_bytes;
	size_t n = n_tensors(w), bytes = 0;

	w->first = arena_new(&w->arena, n + 2, sizeof *w->first, e);
	if (!w->first)
		return -1;
	w->n_files = 1;
	for (size_t i = 0; i < n; i++) {
		size_t more = tensors_of(w)[i].n_bytes, total;
		bool fits = num_add(&total, bytes, more) && total <= limit;

		if (w->dir && w->row->numbered && bytes && !fits) {
			w->first[w->n_files++] = i;
			bytes = 0;
		}
		if (!num_add(&bytes, bytes, more))
			return err_set(e, ERR_INPUT, "%s: the tensors' sizes overflow", w->path);
	}
	w->first[w->n_files] = n;
	return 0;
}

/* The name of file i in the directory. */
static const char *file_of(struct writer *w, size_t i, struct err *e)
{
	if (w->n_files == 1)
		return w->row->lone;
	if (w->row == &npz_out)
		return arena_printf(&w->arena, e, "weights.%02zu.npz", i);
	return arena_printf(&w->arena, e, "model-%05zu-of-%05zu.safetensors", i + 1, w->n_files);
}

static int open_part(struct writer *w, struct err *e)
{
	size_t first = w->first[w->file];

	w->part = (struct part){
		.path = w->path,
		.tensor = tensors_of(w) + first,
		.n_tensors = w->first[w->file + 1] - first,
		.meta = (const struct meta *)(const void *)w->meta.p,
		.n_meta = w->meta.n / sizeof(struct meta),
		.sibling = (const struct out_sibling *)(const void *)w->siblings.p,
		.n_siblings = w->siblings.n / sizeof(struct out_sibling),
		.deflate = w->options.deflate,
	};
	if (w->dir) {
		const char *name = file_of(w, w->file, e);

		w->part.path = name ? file_join(&w->arena, dir_out_temp(w->dir), name, e) : NULL;
		if (!w->part.path)
			return -1;
	}
	return w->row->open(&w->out, &w->part, e) ? err_in(e, "%s", w->path) : 0;
}

static int close_part(struct writer *w, struct err *e)
{
	void *out = w->out;

	w->out = NULL;
	return w->row->commit(out, e) ? err_in(e, "%s", w->path) : 0;
}

static int start(struct writer *w, struct err *e)
{
	if (w->started)
		return 0;
	w->started = true;
	return check_unique(w, e) || split(w, e) || open_part(w, e) ? -1 : 0;
}

/* Passes over tensors that are complete, and from file to file. */
static int advance(struct writer *w, struct err *e)
{
	while (w->tensor < n_tensors(w) && w->given == tensors_of(w)[w->tensor].n_bytes) {
		w->tensor++;
		w->given = 0;
		if (w->tensor < n_tensors(w) && w->tensor == w->first[w->file + 1]) {
			if (close_part(w, e))
				return -1;
			w->file++;
			if (open_part(w, e))
				return -1;
		}
	}
	return 0;
}

int writer_data(struct writer *w, const void *p, size_t n, struct err *e)
{
	if (start(w, e) || advance(w, e))
		return -1;
	if (n == 0)
		return 0;
	assert(w->tensor < n_tensors(w) && n <= tensors_of(w)[w->tensor].n_bytes - w->given);
	w->given += n;
	return w->row->data(w->out, p, n, e) ? err_in(e, "%s", w->path) : 0;
}

/* ---- the index, as mlx-lm writes it */

struct place {
	const char *tensor, *file;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct place *)a)->tensor, ((const struct place *)b)->tensor);
}

static int index_text(struct buf *b, struct writer *w, struct place *place, struct err *e)
{
	size_t n = n_tensors(w), bytes = 0, count = 0, one;

	for (size_t f = 0; f < w->n_files; f++) {
		const char *name = file_of(w, f, e);

		if (!name)
			return -1;
		for (size_t i = w->first[f]; i < w->first[f + 1]; i++) {
			const struct out_tensor *t = &tensors_of(w)[i];

			place[i] = (struct place){ t->name, name };
			bytes += t->n_bytes;
			count += shape_count(&one, &t->shape) ? one : 0;
		}
	}
	if (n)
		qsort(place, n, sizeof *place, by_name);
	if (w->options.total_parameters)
		count = w->options.total_parameters;
	buf_printf(b,
	           "{\n    \"metadata\": {\n        \"total_size\": %zu,\n"
	           "        \"total_parameters\": %zu\n    },\n    \"weight_map\": {",
	           bytes, count);
	for (size_t i = 0; i < n; i++) {
		buf_add_text(b, i ? ",\n        " : "\n        ");
		json_add_string(b, bytes_of(place[i].tensor));
		buf_printf(b, ": \"%s\"", place[i].file);
	}
	buf_add_text(b, n ? "\n    }\n}" : "}\n}");
	return buf_check(b, e);
}

static int write_index(struct writer *w, struct err *e)
{
	struct place *place = arena_new(&w->arena, n_tensors(w), sizeof *place, e);
	const char *path = file_join(&w->arena, dir_out_temp(w->dir),
	                             "model.safetensors.index.json", e);
	struct buf b = { 0 };
	int failed;

	if (!place || !path)
		return -1;
	failed = index_text(&b, w, place, e) || write_file(path, buf_bytes(&b), e);
	buf_release(&b);
	return failed ? err_in(e, "%s", w->path) : 0;
}

static int finish(struct writer *w, struct err *e)
{
	struct dir_out *dir = w->dir;

	if (start(w, e) || advance(w, e))
		return -1;
	assert(w->tensor == n_tensors(w)); /* all that was declared came */
	if (close_part(w, e))
		return -1;
	if (!dir)
		return 0;
	if (w->row == &safetensors_out && write_index(w, e))
		return -1;
	w->dir = NULL;
	return dir_out_commit(dir, e) ? err_in(e, "%s", w->path) : 0;
}

int writer_commit(struct writer *w, struct err *e)
{
	int failed = finish(w, e);

	writer_abort(w);
	return failed;
}
