/* SPDX-License-Identifier: MIT */
/* hash.h - a fast hash of short texts, for tables that live in memory only. */
#ifndef CLM_TEXT_HASH_H
#define CLM_TEXT_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t hash_mix(uint64_t a, uint64_t b)
{
	unsigned __int128 m = (unsigned __int128)a * b;

	return (uint64_t)m ^ (uint64_t)(m >> 64);
}

/* Up to 8 bytes, little-endian, without reading past the end. */
static inline uint64_t hash_tail(const unsigned char *p, size_t n)
{
	uint32_t lo, hi;

	if (n >= 4) {
		memcpy(&lo, p, 4);
		memcpy(&hi, p + n - 4, 4);
		return (uint64_t)hi << 32 | lo;
	}
	if (!n)
		return 0;
	return (uint64_t)p[0] << 16 | (uint64_t)p[n / 2] << 8 | p[n - 1];
}

/* Eight bytes at a time, then what is left: the same for any way of cutting
 * the text into calls, as long as all but the last are multiples of 8. */
static inline uint64_t hash_bytes(const unsigned char *p, size_t n)
{
	uint64_t h = UINT64_C(0x9E3779B97F4A7C15) ^ n, w;

	while (n > 8) {
		memcpy(&w, p, 8);
		h = hash_mix(h ^ w, UINT64_C(0xA0761D6478BD642F));
		p += 8;
		n -= 8;
	}
	return hash_mix(h ^ hash_tail(p, n), UINT64_C(0xE7037ED1A0B428DB));
}

static inline uint64_t hash_u64(uint64_t k)
{
	return hash_mix(k ^ UINT64_C(0x9E3779B97F4A7C15), UINT64_C(0xA0761D6478BD642F));
}

#endif
