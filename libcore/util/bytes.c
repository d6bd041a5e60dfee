/* SPDX-License-Identifier: MIT */
/* bytes.c - views of bytes, and the bounded little-endian reader.
 *
 * What the bytes mean is left to the reader's caller. */
#include "util/bytes.h"

#include <string.h>

struct bytes bytes_of(const char *text)
{
	return (struct bytes){ (const unsigned char *)text, text ? strlen(text) : 0 };
}

bool bytes_equal(struct bytes a, struct bytes b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool bytes_is(struct bytes a, const char *text)
{
	return bytes_equal(a, bytes_of(text));
}

bool bytes_starts(struct bytes a, const char *prefix)
{
	size_t n = strlen(prefix);

	return a.n >= n && (n == 0 || memcmp(a.p, prefix, n) == 0);
}

bool bytes_ends(struct bytes a, const char *suffix)
{
	size_t n = strlen(suffix);

	return a.n >= n && (n == 0 || memcmp(a.p + a.n - n, suffix, n) == 0);
}

void reader_init(struct reader *r, struct bytes b)
{
	*r = (struct reader){ .p = b.p, .n = b.n };
}

bool reader_failed(const struct reader *r)
{
	return r->failed;
}

size_t reader_left(const struct reader *r)
{
	return r->failed ? 0 : r->n - r->pos;
}

struct bytes read_bytes(struct reader *r, size_t n)
{
	struct bytes b = { 0 };

	if (n > reader_left(r) || r->failed) {
		r->failed = true;
		return b;
	}
	if (n == 0)
		return b;
	b = (struct bytes){ r->p + r->pos, n };
	r->pos += n;
	return b;
}

void read_skip(struct reader *r, size_t n)
{
	(void)read_bytes(r, n);
}

/* The next n <= 8 bytes as a number. */
static uint64_t read_uint(struct reader *r, size_t n)
{
	struct bytes b = read_bytes(r, n);
	uint64_t v = 0;

	for (size_t i = b.n; i-- > 0;)
		v = v << 8 | b.p[i];
	return v;
}

uint8_t read_u8(struct reader *r)
{
	return (uint8_t)read_uint(r, 1);
}

uint16_t read_u16(struct reader *r)
{
	return (uint16_t)read_uint(r, 2);
}

uint32_t read_u32(struct reader *r)
{
	return (uint32_t)read_uint(r, 4);
}

uint64_t read_u64(struct reader *r)
{
	return read_uint(r, 8);
}

int32_t read_i32(struct reader *r)
{
	return (int32_t)read_u32(r);
}

int64_t read_i64(struct reader *r)
{
	return (int64_t)read_u64(r);
}

float read_f32(struct reader *r)
{
	uint32_t bits = read_u32(r);
	float v;

	memcpy(&v, &bits, sizeof v);
	return v;
}

double read_f64(struct reader *r)
{
	uint64_t bits = read_u64(r);
	double v;

	memcpy(&v, &bits, sizeof v);
	return v;
}
