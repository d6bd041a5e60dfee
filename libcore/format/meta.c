/* SPDX-License-Identifier: MIT */
/* meta.c - metadata values as numbers, truths and text. */
#include "format/container.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const struct {
	size_t n_bytes;
	const char *name;
} types[] = {
	[META_U8] = { 1, "a u8" },         [META_I8] = { 1, "an i8" },
	[META_U16] = { 2, "a u16" },       [META_I16] = { 2, "an i16" },
	[META_U32] = { 4, "a u32" },       [META_I32] = { 4, "an i32" },
	[META_F32] = { 4, "an f32" },      [META_BOOL] = { 1, "a bool" },
	[META_STRING] = { 0, "a string" }, [META_ARRAY] = { 0, "an array" },
	[META_U64] = { 8, "a u64" },       [META_I64] = { 8, "an i64" },
	[META_F64] = { 8, "an f64" },
};

size_t meta_type_bytes(enum meta_type t)
{
	return types[t].n_bytes;
}

static uint64_t bits_at(enum meta_type t, const unsigned char *p)
{
	uint64_t v = 0;

	for (size_t i = 0; i < types[t].n_bytes; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

static bool is_signed(enum meta_type t)
{
	return t == META_I8 || t == META_I16 || t == META_I32 || t == META_I64;
}

static bool is_integer(enum meta_type t)
{
	return is_signed(t) || t == META_U8 || t == META_U16 || t == META_U32 || t == META_U64;
}

static int64_t signed_of(enum meta_type t, uint64_t bits)
{
	unsigned shift = 64 - 8 * (unsigned)types[t].n_bytes;

	return (int64_t)(bits << shift) >> shift;
}

double meta_number_at(enum meta_type t, const unsigned char *p)
{
	uint64_t bits = bits_at(t, p);
	uint32_t low = (uint32_t)bits;
	double d;
	float f;

	assert(types[t].n_bytes);
	switch (t) {
	case META_F32:
		memcpy(&f, &low, sizeof f);
		return f;
	case META_F64:
		memcpy(&d, &bits, sizeof d);
		return d;
	case META_BOOL:
		return bits != 0;
	default:
		return is_signed(t) ? (double)signed_of(t, bits) : (double)bits;
	}
}

double meta_number(const struct meta *m, size_t i)
{
	enum meta_type t = m->type == META_ARRAY ? m->item : m->type;

	assert(i < m->count && types[t].n_bytes);
	return meta_number_at(t, m->raw.p + i * types[t].n_bytes);
}

static int wrong(const struct meta *m, const char *expected, struct err *e)
{
	return err_set(e, ERR_INPUT, "%s: expected %s, found %s", m->key, expected,
	               types[m->type].name);
}

int source_meta_size(const struct source *s, const char *key, size_t *out, struct err *e)
{
	const struct meta *m = source_meta(s, key);
	uint64_t bits;

	if (!m)
		return 0;
	if (!is_integer(m->type))
		return wrong(m, "an integer", e);
	bits = bits_at(m->type, m->raw.p);
	if (is_signed(m->type) && signed_of(m->type, bits) < 0)
		return err_set(e, ERR_INPUT, "%s: expected a count, found %lld", key,
		               (long long)signed_of(m->type, bits));
	if (bits > SIZE_MAX)
		return err_set(e, ERR_INPUT, "%s: %llu is out of range", key,
		               (unsigned long long)bits);
	*out = (size_t)bits;
	return 1;
}

int source_meta_f64(const struct source *s, const char *key, double *out, struct err *e)
{
	const struct meta *m = source_meta(s, key);
	double v;

	if (!m)
		return 0;
	if (!is_integer(m->type) && m->type != META_F32 && m->type != META_F64)
		return wrong(m, "a number", e);
	v = meta_number_at(m->type, m->raw.p);
	if (!isfinite(v))
		return err_set(e, ERR_INPUT, "%s: expected a finite number, found %g", key, v);
	*out = v;
	return 1;
}

int source_meta_bool(const struct source *s, const char *key, bool *out, struct err *e)
{
	const struct meta *m = source_meta(s, key);

	if (!m)
		return 0;
	if (m->type != META_BOOL)
		return wrong(m, "a bool", e);
	*out = m->raw.p[0] != 0;
	return 1;
}

int source_meta_text(const struct source *s, const char *key, struct bytes *out, struct err *e)
{
	const struct meta *m = source_meta(s, key);

	if (!m)
		return 0;
	if (m->type != META_STRING)
		return wrong(m, "a string", e);
	*out = m->raw;
	return 1;
}
