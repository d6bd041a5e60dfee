/* SPDX-License-Identifier: MIT */
/* safetensors.c - reads: u64 header length, JSON header, data. The tensors
 * must tile the data exactly, as Hugging Face's reader demands. */
#include "format/container.h"

#include "util/json.h"
#include "util/map.h"
#include "util/num.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADER = 100000000 };

static const struct tag {
	const char *name;
	enum dtype dtype;
} tags[] = {
	{ "BF16", DT_BF16 },       { "F16", DT_F16 },         { "F32", DT_F32 },
	{ "U32", DT_U32 },         { "U8", DT_U8 },           { "I8", DT_I8 },
	{ "F8_E4M3", DT_F8_E4M3 }, { "F8_E5M2", DT_F8_E5M2 }, { "F8_E8M0", DT_F8_E8M0 },
	{ "BOOL", DT_BOOL },       { "I16", DT_I16 },         { "I32", DT_I32 },
	{ "I64", DT_I64 },         { "U16", DT_U16 },         { "U64", DT_U64 },
	{ "F64", DT_F64 },         { "C64", DT_C64 },
};

struct entry {
	const char *name;
	enum dtype dtype;
	struct shape shape;
	size_t begin, end;
};

struct header {
	struct json_pull json;
	struct arena *arena;
	struct buf entries; /* struct entry */
	struct buf meta;    /* struct meta */
};

/* A plain decimal count: no sign, point or exponent. */
static bool count_of(size_t *out, struct bytes text)
{
	size_t v = 0;

	if (text.n == 0)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < '0' || text.p[i] > '9')
			return false;
		if (!num_mul(&v, v, 10) || !num_add(&v, v, text.p[i] - '0'))
			return false;
	}
	*out = v;
	return true;
}

static int unexpected(struct header *h, enum json_token found, const char *what,
                      const char *expected, struct err *e)
{
	if (found == JSON_ERROR)
		return err_in(e, "header");
	return err_set(e, ERR_INPUT, "header: byte %zu: %s: expected %s", h->json.pos, what,
	               expected);
}

static int read_dtype(struct header *h, struct entry *t, struct err *e)
{
	enum json_token tok = json_next(&h->json, e);

	if (tok != JSON_STRING)
		return unexpected(h, tok, t->name, "a dtype name", e);
	for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
		if (bytes_is(h->json.string, tags[i].name)) {
			t->dtype = tags[i].dtype;
			return 0;
		}
	return err_set(e, ERR_INPUT,
	               "header: %s: dtype: expected one of BF16 F16 F32 ..., found \"%.*s\"",
	               t->name, (int)(h->json.string.n > 40 ? 40 : h->json.string.n),
	               (const char *)h->json.string.p);
}

/* An array of counts into out[0..max); the number of them in *n. */
static int read_counts(struct header *h, size_t *out, size_t max, size_t *n, const char *name,
                       const char *what, struct err *e)
{
	enum json_token tok = json_next(&h->json, e);

	if (tok != JSON_ARRAY)
		return unexpected(h, tok, name, what, e);
	for (*n = 0; (tok = json_next(&h->json, e)) == JSON_NUMBER; ++*n) {
		if (*n == max)
			return err_set(e, ERR_INPUT,
			               "header: %s: expected %s, found more than %zu numbers", name,
			               what, max);
		if (!count_of(&out[*n], h->json.string))
			return err_set(e, ERR_INPUT, "header: %s: expected %s, found %.*s", name,
			               what, (int)(h->json.string.n > 40 ? 40 : h->json.string.n),
			               (const char *)h->json.string.p);
	}
	return tok == JSON_ARRAY_END ? 0 : unexpected(h, tok, name, what, e);
}

static int read_field(struct header *h, struct entry *t, unsigned *seen, struct err *e)
{
	size_t n, offsets[2];
	unsigned bit;

	if (bytes_is(h->json.string, "dtype")) {
		bit = 1;
		if (read_dtype(h, t, e))
			return -1;
	} else if (bytes_is(h->json.string, "shape")) {
		bit = 2;
		if (read_counts(h, t->shape.dim, SHAPE_MAX_RANK, &n, t->name, "a shape", e))
			return -1;
		t->shape.rank = (unsigned)n;
	} else if (bytes_is(h->json.string, "data_offsets")) {
		bit = 4;
		if (read_counts(h, offsets, 2, &n, t->name, "two data offsets", e))
			return -1;
		if (n != 2)
			return err_set(e, ERR_INPUT,
			               "header: %s: expected two data offsets, found %zu", t->name,
			               n);
		t->begin = offsets[0];
		t->end = offsets[1];
	} else {
		return json_skip(&h->json, e) ? err_in(e, "header") : 0;
	}
	if (*seen & bit)
		return err_set(e, ERR_INPUT, "header: %s: a field appears twice", t->name);
	*seen |= bit;
	return 0;
}

static int read_entry(struct header *h, struct err *e)
{
	struct entry t = { 0 };
	size_t want;
	unsigned seen = 0;
	enum json_token tok;
	char text[128];

	if (h->json.string.n > NAME_MAX_BYTES)
		return err_set(e, ERR_INPUT, "header: a name of %zu bytes, at most %d",
		               h->json.string.n, NAME_MAX_BYTES);
	t.name = arena_text(h->arena, h->json.string.p, h->json.string.n, e);
	if (!t.name)
		return -1;
	tok = json_next(&h->json, e);
	if (tok != JSON_OBJECT)
		return unexpected(h, tok, t.name, "an object with dtype, shape and data_offsets",
		                  e);
	while ((tok = json_next(&h->json, e)) == JSON_KEY)
		if (read_field(h, &t, &seen, e))
			return -1;
	if (tok != JSON_OBJECT_END)
		return unexpected(h, tok, t.name, "the object's end", e);
	if (seen != 7)
		return err_set(e, ERR_INPUT, "header: %s: %s missing", t.name,
		               !(seen & 1) ? "dtype" :
		               !(seen & 2) ? "shape" :
		                             "data_offsets");
	if (!shape_bytes(&want, t.dtype, &t.shape))
		return err_set(e, ERR_INPUT, "header: %s: shape %s overflows", t.name,
		               shape_text(text, sizeof text, t.dtype, &t.shape));
	if (t.end < t.begin || t.end - t.begin != want)
		return err_set(
			e, ERR_INPUT,
			"header: %s: expected %zu bytes for %s, found data_offsets [%zu,%zu]",
			t.name, want, shape_text(text, sizeof text, t.dtype, &t.shape), t.begin,
			t.end);
	buf_add(&h->entries, &t, sizeof t);
	return buf_check(&h->entries, e);
}

/* null, or an object of strings. */
static int read_metadata(struct header *h, struct err *e)
{
	enum json_token tok = json_next(&h->json, e);

	if (tok == JSON_NULL)
		return 0;
	if (tok != JSON_OBJECT)
		return unexpected(h, tok, "__metadata__", "an object or null", e);
	while ((tok = json_next(&h->json, e)) == JSON_KEY) {
		struct meta m = { .type = META_STRING, .count = 1 };

		m.key = arena_text(h->arena, h->json.string.p, h->json.string.n, e);
		if (!m.key)
			return -1;
		tok = json_next(&h->json, e);
		if (tok != JSON_STRING)
			return unexpected(h, tok, "__metadata__", "strings as values", e);
		m.raw.n = h->json.string.n;
		m.raw.p = (unsigned char *)arena_text(h->arena, h->json.string.p, m.raw.n, e);
		if (!m.raw.p)
			return -1;
		buf_add(&h->meta, &m, sizeof m);
		if (buf_check(&h->meta, e))
			return -1;
	}
	return tok == JSON_OBJECT_END ? 0 :
	                                unexpected(h, tok, "__metadata__", "the object's end", e);
}

static int read_header(struct header *h, struct err *e)
{
	enum json_token tok = json_next(&h->json, e);
	bool metadata = false;

	if (tok != JSON_OBJECT)
		return unexpected(h, tok, "start", "an object", e);
	while ((tok = json_next(&h->json, e)) == JSON_KEY) {
		if (!bytes_is(h->json.string, "__metadata__")) {
			if (read_entry(h, e))
				return -1;
			continue;
		}
		if (metadata)
			return err_set(e, ERR_INPUT, "header: __metadata__ appears twice");
		metadata = true;
		if (read_metadata(h, e))
			return -1;
	}
	if (tok != JSON_OBJECT_END)
		return unexpected(h, tok, "tensors", "a name", e);
	tok = json_next(&h->json, e);
	return tok == JSON_END ? 0 : unexpected(h, tok, "end", "nothing after the object", e);
}

static int by_place(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->begin != y->begin)
		return x->begin < y->begin ? -1 : 1;
	if (x->end != y->end)
		return x->end < y->end ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* The tensors, in order of place, cover the data without hole or overlap. */
static int check_tiling(const struct entry *t, size_t n, size_t n_data, struct err *e)
{
	size_t at = 0;

	for (size_t i = 0; i < n; i++) {
		if (t[i].begin != at)
			return err_set(e, ERR_INPUT,
			               "%s: data: expected at offset %zu, found at %zu (%s)",
			               t[i].name, at, t[i].begin,
			               t[i].begin < at ? "an overlap" : "a hole");
		at = t[i].end;
	}
	if (at != n_data)
		return err_set(e, ERR_INPUT, "data: expected %zu bytes, found %zu", at, n_data);
	return 0;
}

static int check_names(const struct parsed *p, struct err *e)
{
	struct map names;
	int failed = 0;

	if (map_init(&names, p->n_tensors, e))
		return -1;
	for (size_t i = 0; i < p->n_tensors && !failed; i++) {
		failed = map_add(&names, bytes_of(p->tensor[i].name), (int64_t)i, e);
		if (failed > 0)
			err_set(e, ERR_INPUT, "header: %s: appears twice", p->tensor[i].name);
	}
	map_release(&names);
	return failed ? -1 : 0;
}

static int take_entries(struct parsed *out, struct header *h, struct bytes data, struct err *e)
{
	struct entry *t = (struct entry *)(void *)h->entries.p;

	out->n_tensors = h->entries.n / sizeof *t;
	out->n_meta = h->meta.n / sizeof *out->meta;
	out->tensor = arena_new(h->arena, out->n_tensors, sizeof *out->tensor, e);
	out->meta = arena_new(h->arena, out->n_meta, sizeof *out->meta, e);
	if (!out->tensor || !out->meta)
		return -1;
	if (h->meta.n)
		memcpy(out->meta, h->meta.p, h->meta.n);
	if (out->n_tensors)
		qsort(t, out->n_tensors, sizeof *t, by_place);
	if (check_tiling(t, out->n_tensors, data.n, e))
		return -1;
	for (size_t i = 0; i < out->n_tensors; i++)
		out->tensor[i] = (struct tensor){
			.name = t[i].name,
			.dtype = t[i].dtype,
			.shape = t[i].shape,
			.data = { data.p + t[i].begin, t[i].end - t[i].begin },
		};
	return check_names(out, e);
}

int safetensors_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e)
{
	struct header h = { .arena = a };
	struct reader r;
	struct bytes text, data;
	uint64_t n;
	int failed;

	*out = (struct parsed){ 0 };
	reader_init(&r, file);
	n = read_u64(&r);
	if (reader_failed(&r))
		return err_set(e, ERR_INPUT, "expected at least 8 bytes, found %zu", file.n);
	if (n == 0 || n > MAX_HEADER)
		return err_set(e, ERR_INPUT, "header length: expected 1 to %d, found %llu",
		               MAX_HEADER, (unsigned long long)n);
	if (n > reader_left(&r))
		return err_set(e, ERR_INPUT, "header: expected %zu bytes, found %zu", (size_t)n,
		               reader_left(&r));
	text = read_bytes(&r, (size_t)n);
	if (text.p[0] != '{')
		return err_set(e, ERR_INPUT, "header: expected '{' at byte 8, found byte %02x",
		               text.p[0]);
	data = read_bytes(&r, reader_left(&r));
	json_pull_init(&h.json, text);
	failed = read_header(&h, e) || take_entries(out, &h, data, e);
	json_pull_release(&h.json);
	buf_release(&h.entries);
	buf_release(&h.meta);
	return failed ? -1 : 0;
}
