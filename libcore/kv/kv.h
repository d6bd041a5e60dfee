/* SPDX-License-Identifier: MIT */
/* kv.h - what the model remembers of a sequence. The door of kv/.
 *
 * Pages of 32 positions from one pool; a table per sequence and page group;
 * reference counts and copy on write, so that forks and shared prefixes
 * cost nothing; prefix reuse by hash chain; rewind; snapshots in mlx-lm's
 * prompt-cache format. Used by one thread at a time. */
#ifndef CLM_KV_H
#define CLM_KV_H

#include "exec/exec.h"

struct kv_shape {
	const struct exec_kv_layer *layer;
	size_t n_layers;
	size_t n_groups;
	const size_t *window; /* [n_groups]: 0 full, else the sliding window in positions */
	const bool *state;    /* [n_groups]: pages of recurrent states; NULL: none of them */
	size_t state_bytes;   /* of these pages, at most, where 16 fit; 0: 1 GiB */
};
struct kv_pool;
struct kv_seq;

/* Opens a pool with room for `tokens` positions over all its sequences.
 * ERR_MACHINE if the device has no room. Ended with kv_pool_close(). */
NEED int kv_pool_open(struct kv_pool **out, struct exec *x, const struct kv_shape *shape,
                      size_t tokens, struct err *e);
void kv_pool_close(struct kv_pool *p);
struct exec_kv *kv_pool_store(struct kv_pool *p);
/* Positions that a new sequence could have now, counting what can be
 * evicted; and the longest one that an empty pool could hold (SIZE_MAX where
 * every layer slides). */
size_t kv_pool_room(const struct kv_pool *p);
size_t kv_pool_tokens(const struct kv_pool *p);
/* Its pages over all groups: free, held by sequences, kept for their prefixes alone. */
struct kv_pages { size_t free, active, cached; };
void kv_pool_count(const struct kv_pool *p, struct kv_pages *out);

NEED int kv_seq_open(struct kv_seq **out, struct kv_pool *p, struct err *e);
void kv_seq_close(struct kv_seq *s); /* its full pages stay for prefix reuse until evicted */
NEED int kv_fork(struct kv_seq **out, struct kv_seq *s, struct err *e);

size_t kv_len(const struct kv_seq *s);         /* positions, computed and appended */
size_t kv_computed(const struct kv_seq *s);    /* of them, computed */
const int32_t *kv_ids(const struct kv_seq *s); /* [kv_len]; until the next append */
/* The adapter that computes it, as the model numbers them: of an empty sequence, and what a
 * new one begins with (0). Prefixes are shared under the same adapter alone. */
void kv_seq_use(struct kv_seq *s, int32_t adapter);
void kv_pool_use(struct kv_pool *p, int32_t adapter);
int32_t kv_adapter(const struct kv_seq *s);
/* How many positions could be appended now. */
size_t kv_room(const struct kv_seq *s);
/* Appends ids: their positions get pages of their own (shared ones are
 * copied first) and await computing. ERR_MACHINE: the pool is full (nothing
 * changed). */
NEED int kv_append(struct kv_seq *s, const int32_t *id, size_t n, struct err *e);
/* The next step will compute the next n appended positions: settles where its
 * states are kept. Before the step takes kv_pages(). */
void kv_ready(struct kv_seq *s, size_t n);
/* The step that computed the next n appended positions has run: full pages
 * become findable by prefix, and pages wholly before a sliding window are
 * given back. */
void kv_done(struct kv_seq *s, size_t n);
/* Forgets every position from `pos` on; pos <= kv_len(s). Gives the length
 * it reached: pos, or 0 where a sliding layer no longer holds what the
 * position needs. With recurrent layers a computed position is reached where
 * a state was kept: at the last checkpoint before it that is still there, or
 * at 0. Checkpoints lie at borders of pages: the last few behind the sequence,
 * and as many more as the pool has room for. */
size_t kv_rewind(struct kv_seq *s, size_t pos);
/* Fills an empty sequence with the longest computed prefix of ids, at most n
 * - 1 positions, whole pages. Gives how many. Ids are compared one by one;
 * -1 is like no other id. */
size_t kv_match(struct kv_seq *s, const int32_t *id, size_t n);
/* Page table of a group, for struct step: n entries, -1 where a sliding
 * group gave the page back (all of it lies before the window). */
const int32_t *kv_pages(const struct kv_seq *s, unsigned group, size_t *n);

/* A sequence to a file and back: safetensors as mlx_lm's save_prompt_cache()
 * writes it (KVCache; RotatingKVCache for sliding layers), with clm.ids
 * (decimal, blanks between), clm.model (digest) and clm.dtype beside
 * mlx-lm's metadata. What is computed is saved. Keys and values are stored
 * in `dtype` (DT_F16, DT_BF16 or DT_F32; the pool's own keeps the bits).
 * mlx_lm opens only names that end in ".safetensors". Messages of kv_save()
 * and kv_load() begin with the path. */
struct kv_file {
	const char *model;            /* as mlx_lm.generate --model will name it */
	const char *digest;           /* of the model */
	const char *tokenizer_config; /* JSON; NULL: "{}" */
	enum dtype dtype;
};
NEED int kv_save(struct kv_seq *s, const char *path, const struct kv_file *f, struct err *e);
/* Into an empty sequence; it stays empty on failure. A file of mlx_lm's own
 * has no ids: `*has_ids` is false and the positions hold id -1. A digest
 * that is there and differs is ERR_INPUT. What was loaded, and what is
 * computed after it, is never offered to other sequences. */
NEED int kv_load(struct kv_seq *s, const char *path, const char *digest, bool *has_ids,
                 struct err *e);
/* The same from the file's bytes. */
NEED int kv_load_bytes(struct kv_seq *s, struct bytes file, const char *digest, bool *has_ids,
                       struct err *e);

#endif
