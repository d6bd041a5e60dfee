/* SPDX-License-Identifier: MIT */
/* gguf.c - reads GGUF 2 and 3: typed metadata, the tensor table, data. */
#include "format/container.h"

#include "format/gguf.h"
#include "util/map.h"
#include "util/num.h"
#include "util/utf8.h"

#include <stdlib.h>
#include <string.h>

enum {
	MIN_META = 14,   /* bytes of the smallest metadata entry */
	MIN_TENSOR = 33, /* and of the smallest tensor entry */
	MAX_ALIGNMENT = 1 << 20,
};

/* By type id; ids that are missing are retired or unknown. */
static const struct {
	unsigned id;
	enum dtype dtype;
} types[] = {
	{ 0, DT_F32 },      { 1, DT_F16 },     { 2, DT_Q4_0 },     { 3, DT_Q4_1 },
	{ 6, DT_Q5_0 },     { 7, DT_Q5_1 },    { 8, DT_Q8_0 },     { 9, DT_Q8_1 },
	{ 10, DT_Q2_K },    { 11, DT_Q3_K },   { 12, DT_Q4_K },    { 13, DT_Q5_K },
	{ 14, DT_Q6_K },    { 15, DT_Q8_K },   { 16, DT_IQ2_XXS }, { 17, DT_IQ2_XS },
	{ 18, DT_IQ3_XXS }, { 19, DT_IQ1_S },  { 20, DT_IQ4_NL },  { 21, DT_IQ3_S },
	{ 22, DT_IQ2_S },   { 23, DT_IQ4_XS }, { 24, DT_I8 },      { 25, DT_I16 },
	{ 26, DT_I32 },     { 27, DT_I64 },    { 28, DT_F64 },     { 29, DT_IQ1_M },
	{ 30, DT_BF16 },    { 34, DT_TQ1_0 },  { 35, DT_TQ2_0 },   { 39, DT_MXFP4 },
	{ 40, DT_NVFP4 },   { 41, DT_Q1_0 },   { 42, DT_Q2_0 },
};

bool gguf_type_id(unsigned *id, enum dtype t)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].dtype == t) {
			*id = types[i].id;
			return true;
		}
	return false;
}

static bool dtype_of(enum dtype *out, unsigned id)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].id == id) {
			*out = types[i].dtype;
			return true;
		}
	return false;
}

static int ends_early(const struct reader *r, struct err *e)
{
	return err_set(e, ERR_INPUT, "ends early, at byte %zu", r->pos);
}

/* u64 length, bytes; a view. */
static struct bytes read_string(struct reader *r)
{
	uint64_t n = read_u64(r);

	if (n > reader_left(r)) {
		r->failed = true;
		return (struct bytes){ 0 };
	}
	return read_bytes(r, (size_t)n);
}

/* A name: not empty, UTF-8, no NUL; NUL-terminated in the arena. */
static const char *read_name(struct reader *r, const char *what, struct arena *a, struct err *e)
{
	size_t at = r->pos;
	struct bytes s = read_string(r);

	if (reader_failed(r)) {
		ends_early(r, e);
		return NULL;
	}
	if (s.n == 0 || s.n > NAME_MAX_BYTES) {
		err_set(e, ERR_INPUT, "byte %zu: %s: expected 1 to %d bytes, found %zu", at, what,
		        NAME_MAX_BYTES, s.n);
		return NULL;
	}
	if (memchr(s.p, 0, s.n) || utf8_valid(s) != s.n) {
		err_set(e, ERR_INPUT, "byte %zu: %s: expected UTF-8 text, found other bytes", at,
		        what);
		return NULL;
	}
	return arena_text(a, s.p, s.n, e);
}

static int read_strings(struct meta *m, struct reader *r, struct arena *a, struct err *e)
{
	size_t begin = r->pos;
	struct bytes *s;

	if (m->count > reader_left(r) / 8)
		return err_set(e, ERR_INPUT, "%s: %zu strings announced, room for %zu", m->key,
		               m->count, reader_left(r) / 8);
	s = arena_new(a, m->count, sizeof *s, e);
	if (!s)
		return -1;
	for (size_t i = 0; i < m->count && !reader_failed(r); i++)
		s[i] = read_string(r);
	if (reader_failed(r))
		return err_set(e, ERR_INPUT, "%s: ends early, at byte %zu", m->key, r->pos);
	m->strings = s;
	m->raw = (struct bytes){ r->p + begin, r->pos - begin };
	return 0;
}

static int read_array(struct meta *m, struct reader *r, struct arena *a, struct err *e)
{
	uint32_t item = read_u32(r);
	uint64_t count = read_u64(r);
	size_t size;

	if (reader_failed(r))
		return ends_early(r, e);
	if (item > META_F64 || item == META_ARRAY)
		return err_set(e, ERR_INPUT,
		               "%s: array items of type %u: expected 0 to 12 and no arrays", m->key,
		               (unsigned)item);
	m->item = (enum meta_type)item;
	m->count = (size_t)count;
	if (item == META_STRING)
		return read_strings(m, r, a, e);
	size = meta_type_bytes(m->item);
	if (count > reader_left(r) / size)
		return err_set(e, ERR_INPUT, "%s: %llu items announced, room for %zu", m->key,
		               (unsigned long long)count, reader_left(r) / size);
	m->raw = read_bytes(r, m->count * size);
	return 0;
}

static int read_meta(struct meta *m, struct reader *r, struct arena *a, struct err *e)
{
	uint32_t type;

	m->key = read_name(r, "a metadata key", a, e);
	if (!m->key)
		return -1;
	type = read_u32(r);
	if (reader_failed(r))
		return ends_early(r, e);
	if (type > META_F64)
		return err_set(e, ERR_INPUT, "%s: value type: expected 0 to 12, found %u", m->key,
		               (unsigned)type);
	m->type = m->item = (enum meta_type)type;
	m->count = 1;
	if (m->type == META_ARRAY)
		return read_array(m, r, a, e);
	if (m->type == META_STRING)
		m->raw = read_string(r);
	else
		m->raw = read_bytes(r, meta_type_bytes(m->type));
	return reader_failed(r) ?
	               err_set(e, ERR_INPUT, "%s: ends early, at byte %zu", m->key, r->pos) :
	               0;
}

static int alignment_of(size_t *out, const struct parsed *p, struct err *e)
{
	*out = 32;
	for (size_t i = 0; i < p->n_meta; i++) {
		const struct meta *m = &p->meta[i];
		double v;

		if (strcmp(m->key, "general.alignment"))
			continue;
		if (m->type == META_STRING || m->type == META_ARRAY)
			return err_set(e, ERR_INPUT, "general.alignment: expected a number");
		v = meta_number_at(m->type, m->raw.p);
		if (!(v >= 1 && v <= MAX_ALIGNMENT) || ((size_t)v & ((size_t)v - 1)) ||
		    v != (double)(size_t)v)
			return err_set(
				e, ERR_INPUT,
				"general.alignment: expected a power of two up to %d, found %g",
				MAX_ALIGNMENT, v);
		*out = (size_t)v;
	}
	return 0;
}

/* A table entry; data.p is left at the offset, data.n set. */
static int read_tensor(struct tensor *t, size_t *offset, struct reader *r, struct arena *a,
                       struct err *e)
{
	uint32_t rank, type;
	char text[128];

	t->name = read_name(r, "a tensor name", a, e);
	if (!t->name)
		return -1;
	rank = read_u32(r);
	if (!reader_failed(r) && (rank < 1 || rank > 4))
		return err_set(e, ERR_INPUT, "%s: rank: expected 1 to 4, found %u", t->name,
		               (unsigned)rank);
	t->shape.rank = rank;
	for (uint32_t i = 0; i < rank && !reader_failed(r); i++)
		t->shape.dim[rank - 1 - i] = (size_t)read_u64(r);
	type = read_u32(r);
	*offset = (size_t)read_u64(r);
	if (reader_failed(r))
		return err_set(e, ERR_INPUT, "%s: ends early, at byte %zu", t->name, r->pos);
	if (!dtype_of(&t->dtype, type))
		return err_set(e, ERR_INPUT, "%s: unknown tensor type %u", t->name, (unsigned)type);
	for (uint32_t i = 0; i < rank; i++)
		if (t->shape.dim[i] > INT64_MAX)
			return err_set(e, ERR_INPUT, "%s: a dimension of %zu", t->name,
			               t->shape.dim[i]);
	if (!shape_bytes(&t->data.n, t->dtype, &t->shape))
		return err_set(e, ERR_INPUT, "%s: %s overflows or is no multiple of a block of %u",
		               t->name, shape_text(text, sizeof text, t->dtype, &t->shape),
		               dtype_info(t->dtype)->block);
	return 0;
}

struct place {
	size_t offset, index;
	size_t n;
};

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->n != y->n)
		return x->n < y->n ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

/* Sorts by place, and points each tensor at its data. */
static int place_tensors(struct parsed *p, struct place *place, struct bytes data, size_t alignment,
                         struct arena *a, struct err *e)
{
	struct tensor *sorted = arena_new(a, p->n_tensors, sizeof *sorted, e);
	size_t end = 0;

	if (!sorted)
		return -1;
	qsort(place, p->n_tensors, sizeof *place, by_place);
	for (size_t i = 0; i < p->n_tensors; i++) {
		struct tensor *t = &sorted[i];
		size_t at = place[i].offset;

		*t = p->tensor[place[i].index];
		if (at % alignment)
			return err_set(e, ERR_INPUT, "%s: offset %zu: expected a multiple of %zu",
			               t->name, at, alignment);
		if (at > data.n || t->data.n > data.n - at)
			return err_set(e, ERR_INPUT,
			               "%s: data: expected %zu bytes at offset %zu, found %zu",
			               t->name, t->data.n, at, at > data.n ? 0 : data.n - at);
		if (at < end)
			return err_set(e, ERR_INPUT,
			               "%s: offset %zu lies inside the tensor before, to %zu",
			               t->name, at, end);
		end = at + t->data.n;
		t->data.p = data.p + at;
	}
	p->tensor = sorted;
	return 0;
}

static int read_tensors(struct parsed *p, struct reader *r, struct arena *a, struct err *e)
{
	struct place *place = arena_new(a, p->n_tensors, sizeof *place, e);
	size_t alignment, begin;
	struct bytes data = { r->p + r->n, 0 }; /* at the end, where there is none */

	p->tensor = arena_new(a, p->n_tensors, sizeof *p->tensor, e);
	if (!place || !p->tensor)
		return -1;
	for (size_t i = 0; i < p->n_tensors; i++) {
		if (read_tensor(&p->tensor[i], &place[i].offset, r, a, e))
			return -1;
		place[i].index = i;
		place[i].n = p->tensor[i].data.n;
	}
	if (alignment_of(&alignment, p, e))
		return -1;
	if (!num_round_up(&begin, r->pos, alignment))
		return err_set(e, ERR_INPUT, "the data's start overflows");
	if (begin < r->n)
		data = (struct bytes){ r->p + begin, r->n - begin };
	return place_tensors(p, place, data, alignment, a, e);
}

static int check_unique(const struct parsed *p, struct err *e)
{
	struct map keys, names;
	int failed = 0;

	if (map_init(&keys, p->n_meta, e))
		return -1;
	if (map_init(&names, p->n_tensors, e)) {
		map_release(&keys);
		return -1;
	}
	for (size_t i = 0; i < p->n_meta && !failed; i++) {
		failed = map_add(&keys, bytes_of(p->meta[i].key), (int64_t)i, e);
		if (failed > 0)
			err_set(e, ERR_INPUT, "%s: a metadata key that appears twice",
			        p->meta[i].key);
	}
	for (size_t i = 0; i < p->n_tensors && !failed; i++) {
		failed = map_add(&names, bytes_of(p->tensor[i].name), (int64_t)i, e);
		if (failed > 0)
			err_set(e, ERR_INPUT, "%s: a tensor that appears twice", p->tensor[i].name);
	}
	map_release(&keys);
	map_release(&names);
	return failed ? -1 : 0;
}

static int read_counts(struct parsed *p, struct reader *r, struct err *e)
{
	uint32_t magic = read_u32(r), version = read_u32(r);
	uint64_t n_tensors, n_meta;

	if (reader_failed(r) || magic != GGUF_MAGIC)
		return err_set(e, ERR_INPUT, "expected \"GGUF\" and a version, found %s",
		               reader_failed(r) ? "an early end" : "other bytes");
	if ((version & 0xffff) == 0 && version != 0)
		return err_set(e, ERR_INPUT, "a big-endian GGUF: expected a little-endian one");
	if (version != 2 && version != 3)
		return err_set(e, ERR_INPUT, "version: expected 2 or 3, found %u",
		               (unsigned)version);
	n_tensors = read_u64(r);
	n_meta = read_u64(r);
	if (reader_failed(r))
		return ends_early(r, e);
	if (n_meta > reader_left(r) / MIN_META)
		return err_set(e, ERR_INPUT, "%llu metadata entries announced, room for %zu",
		               (unsigned long long)n_meta, reader_left(r) / MIN_META);
	if (n_tensors > reader_left(r) / MIN_TENSOR)
		return err_set(e, ERR_INPUT, "%llu tensors announced, room for %zu",
		               (unsigned long long)n_tensors, reader_left(r) / MIN_TENSOR);
	p->n_tensors = (size_t)n_tensors;
	p->n_meta = (size_t)n_meta;
	return 0;
}

int gguf_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e)
{
	struct reader r;

	*out = (struct parsed){ 0 };
	reader_init(&r, file);
	if (read_counts(out, &r, e))
		return -1;
	out->meta = arena_new(a, out->n_meta, sizeof *out->meta, e);
	if (!out->meta)
		return -1;
	for (size_t i = 0; i < out->n_meta; i++)
		if (read_meta(&out->meta[i], &r, a, e))
			return -1;
	if (read_tensors(out, &r, a, e))
		return -1;
	return check_unique(out, e);
}
