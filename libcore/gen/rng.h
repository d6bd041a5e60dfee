/* SPDX-License-Identifier: MIT */
/* rng.h - seeded uniform numbers: Threefry-2x32 with MLX's key splitting
 *
 * A seed is the key (high word, low word). Every draw splits the key in two:
 * the first half becomes the new key, the second makes the number. So equal
 * seeds give the numbers that mlx.random gives, and a session's stream
 * depends on nothing but its seed and how many draws it made.
 * Salmon, Moraes, Dror and Shaw, 2011, "Parallel random numbers: as easy as
 * 1, 2, 3". Private to gen/. */
#ifndef CLM_GEN_RNG_H
#define CLM_GEN_RNG_H

#include <stdint.h>

struct rng {
	uint32_t key[2];
};

void rng_seed(struct rng *r, uint64_t seed);
/* A seed nobody chose, from the system. */
uint64_t rng_any_seed(void);
/* In [0, 1): word / (2^32 - 1) as f32, at most the largest f32 below 1. */
float rng_uniform(struct rng *r);

#endif
