/* SPDX-License-Identifier: MIT */
/* snapshot.h - names in a prompt-cache file. Private to kv/.
 *
 * mlx_lm's save_prompt_cache() joins tree paths with dots. Since mlx-lm 0.32.2:
 *
 *   tensors   L.0 keys, L.1 values [1, heads, n, dim], L.2 offset; a rotating
 *             cache also L.3 keep, L.4 max_size, L.5 idx (scalars)
 *             a recurrent layer its states, f32, and nothing else: a
 *             convolution's last inputs [1, taps - 1, channels], a rule's
 *             [1, heads, v_dim, k_dim]
 *   metadata  0.KEY what the user gave, 1.L class, 2.0 "",
 *             2.K.0 and 2.K.1 the name of the K-th scalar and "scalar"
 *
 * Before that the scalars were metadata (0.L.0 to 0.L.3: keep, max_size,
 * offset, idx), what the user gave was 1.KEY and the class 2.L. Both are
 * read, the first is written. A key outside 0, 1 and 2 would break mlx_lm's
 * reader, so clm's own go with what the user gave: 0.clm.ids and so on. */
#ifndef CLM_KV_SNAPSHOT_H
#define CLM_KV_SNAPSHOT_H

#include "kv/pages.h"

#define CLASS_PLAIN "KVCache"
#define CLASS_RING  "RotatingKVCache"
#define CLASS_STATE "ArraysCache"

enum { SCALAR_OFFSET = 2, SCALAR_KEEP, SCALAR_SIZE, SCALAR_INDEX };

/* The shape of a layer's state in the file; rank 0: it has no such state. */
struct shape state_shape(const struct exec_kv_layer *l, size_t part);
/* A layer's states into the order of the file, or out of it; `room` as long as they are. */
void states_turn(const struct exec_kv_layer *l, float *states, float *room, bool out);

#endif
