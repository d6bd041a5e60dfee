/* SPDX-License-Identifier: MIT */
/* bytes.h - views of bytes, and the bounded reader.
 *
 * Past the end a reader returns zero, stays failed and stays put, so a
 * record is read in straight lines and checked once. Little-endian. */
#ifndef CLM_UTIL_BYTES_H
#define CLM_UTIL_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed view; p may be NULL when n is 0. Not NUL-terminated. */
struct bytes {
	const unsigned char *p;
	size_t n;
};

struct bytes bytes_of(const char *text);
bool bytes_equal(struct bytes a, struct bytes b);
bool bytes_is(struct bytes a, const char *text);
bool bytes_starts(struct bytes a, const char *prefix);
bool bytes_ends(struct bytes a, const char *suffix);

struct reader {
	const unsigned char *p;
	size_t n, pos;
	bool failed;
};

void reader_init(struct reader *r, struct bytes b);
bool reader_failed(const struct reader *r);
size_t reader_left(const struct reader *r);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
int32_t read_i32(struct reader *r);
int64_t read_i64(struct reader *r);
float read_f32(struct reader *r);
double read_f64(struct reader *r);
struct bytes read_bytes(struct reader *r, size_t n);
void read_skip(struct reader *r, size_t n);

#endif
