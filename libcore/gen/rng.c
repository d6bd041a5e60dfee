/* SPDX-License-Identifier: MIT */
/* rng.c - Threefry-2x32, 20 rounds, and key splitting as MLX does it */
#include "gen/rng.h"

#include <sys/random.h>
#include <time.h>

static uint32_t rotate(uint32_t x, unsigned by)
{
	return x << by | x >> (32 - by);
}

static void threefry(const uint32_t key[2], uint32_t x[2])
{
	static const unsigned turn[2][4] = { { 13, 15, 26, 6 }, { 17, 29, 16, 24 } };
	const uint32_t k[3] = { key[0], key[1], key[0] ^ key[1] ^ 0x1BD11BDAu };

	x[0] += k[0];
	x[1] += k[1];
	for (uint32_t i = 0; i < 5; i++) {
		for (unsigned j = 0; j < 4; j++) {
			x[0] += x[1];
			x[1] = rotate(x[1], turn[i % 2][j]) ^ x[0];
		}
		x[0] += k[(i + 1) % 3];
		x[1] += k[(i + 2) % 3] + i + 1;
	}
}

void rng_seed(struct rng *r, uint64_t seed)
{
	r->key[0] = (uint32_t)(seed >> 32);
	r->key[1] = (uint32_t)seed;
}

uint64_t rng_any_seed(void)
{
	uint64_t seed;
	struct timespec t;

	if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) == (ssize_t)sizeof seed)
		return seed;
	clock_gettime(CLOCK_REALTIME, &t);
	return (uint64_t)t.tv_sec * 1000000007u ^ (uint64_t)t.tv_nsec;
}

float rng_uniform(struct rng *r)
{
	/* four words of the key from counters (0, 2) and (1, 3): the first
	 * words make the new key, the second ones the key of this draw */
	uint32_t a[2] = { 0, 2 }, b[2] = { 1, 3 }, word[2] = { 0, 0 }, use[2];
	float u;

	threefry(r->key, a);
	threefry(r->key, b);
	r->key[0] = a[0];
	r->key[1] = b[0];
	use[0] = a[1];
	use[1] = b[1];
	threefry(use, word);
	u = (float)word[0] / (float)UINT32_MAX;
	return u < 1.0f ? u : 0x1.fffffep-1f;
}
