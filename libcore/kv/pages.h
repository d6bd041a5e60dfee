/* SPDX-License-Identifier: MIT */
/* pages.h - the pool that sequences borrow from. Private to kv/.
 *
 * A page of a group is free, held (by sequences, by a prefix node, or both),
 * or idle: held by a prefix node alone. Idle pages wait in the order in which
 * they were last used and are evicted from the front when nothing is free. */
#ifndef CLM_KV_PAGES_H
#define CLM_KV_PAGES_H

#include "kv/kv.h"

enum { KV_GROUPS = 8, NONE = -1 };

struct page {
	uint32_t refs;        /* sequences that hold it, and the node */
	int32_t node;         /* the prefix node that holds it, or NONE */
	int32_t older, newer; /* among the idle; of a free page, `newer` is the next free */
};
struct group {
	size_t window;        /* of states 2: the page of the position before, and the own */
	bool state;
	size_t stride;        /* of states: every so many borders a checkpoint is for others too */
	struct page *page; /* [n] */
	size_t n, n_free, n_idle;
	int32_t free;           /* the first free page */
	int32_t oldest, newest; /* ends of the idle list */
};

/* A full page's place in the chain of prefixes: its parent, then these ids. */
struct node {
	uint64_t hash;            /* of the parent's hash and the ids */
	int32_t parent;           /* negative: it begins a sequence, of adapter -1 - parent */
	int32_t next;             /* in its bucket; of a free node, the next free */
	uint32_t children, users; /* nodes and sequences that build on it */
	int32_t page[KV_GROUPS];  /* NONE where the group's page was evicted */
	int32_t id[PAGE_POSITIONS];
};

struct kv_pool {
	struct exec *x;
	struct exec_kv *store;
	struct exec_kv_layer *layer;
	size_t n_layers, n_groups;
	bool all_slide, recurs;
	int32_t adapter; /* of a new sequence */
	struct group group[KV_GROUPS];
	struct node *node; /* [n_nodes] */
	size_t n_nodes;
	int32_t free_node;
	int32_t *bucket; /* [n_buckets]: first node, a power of two */
	size_t n_buckets;
	struct arena arena;
};

/* Checkpoints that a sequence keeps behind its last page, to be rewound to. */
enum { KEPT_STATES = 2 };

/* The first position that position `pos` sees. */
size_t kv_first_seen(size_t window, size_t pos);

/* A page for writing, refs 1: free, else evicted. The caller has made sure
 * with pages_left() that there is one. */
int32_t page_take(struct kv_pool *p, unsigned g);
void page_hold(struct kv_pool *p, unsigned g, int32_t page);
void page_drop(struct kv_pool *p, unsigned g, int32_t page);
void page_forget(struct kv_pool *p, unsigned g, int32_t page); /* the node lets go */
size_t pages_left(const struct kv_pool *p, unsigned g);

/* ---- prefix nodes (prefix.c) */
NEED int prefix_open(struct kv_pool *p, struct err *e);
/* The node of these ids after `parent`, NONE if there is none. */
int32_t prefix_find(const struct kv_pool *p, int32_t parent, const int32_t id[PAGE_POSITIONS]);
/* The node, made if it is missing (NONE when there are no nodes left, or an
 * id is -1). page[g]: the caller's page, NONE where it has none; where the
 * node has one already the caller's is swapped for it. The caller becomes a
 * user. */
int32_t prefix_publish(struct kv_pool *p, int32_t parent, const int32_t id[PAGE_POSITIONS],
                       int32_t *const page[]);
void prefix_use(struct kv_pool *p, int32_t node);
void prefix_leave(struct kv_pool *p, int32_t node);
/* A page of states leaves its node. */
void prefix_forget(struct kv_pool *p, unsigned g, int32_t page);
/* Takes an idle page away from its node. */
void prefix_evict(struct kv_pool *p, unsigned g, int32_t page);

/* ---- a sequence (kv.c), for snapshots and states */
struct kv_seq {
	struct kv_pool *pool;
	int32_t *id;
	int32_t adapter;
	size_t n, computed, room;  /* room: of id, a multiple of the page */
	int32_t *table[KV_GROUPS]; /* [room / PAGE_POSITIONS] */
	size_t given[KV_GROUPS];   /* entries from the front that were given back */
	int32_t *node;             /* [n_nodes] prefix nodes of the first pages */
	size_t n_nodes;
	size_t shared;             /* first pages whose ids others had too when it began */
	bool private; /* holds what a file said: never published */
};

/* ---- pages of states (states.c). Entries are pages of positions.
 * Pages that appending takes at least. */
size_t states_needed(const struct kv_seq *s, unsigned g);
/* Fills entries first .. end, of positions that are about to be appended. */
void states_append(struct kv_seq *s, unsigned g, size_t first, size_t end);
/* Checkpoints within the next n positions to be computed; after they are. */
void states_ready(struct kv_seq *s, unsigned g, size_t n);
void states_done(struct kv_seq *s, unsigned g, size_t from);
/* Entry i, of computed positions, is no longer written to. */
bool states_rest(const struct kv_seq *s, unsigned g, size_t i);
void states_slide(struct kv_seq *s, unsigned g);
/* Whether a border of pages has a checkpoint, here or with its prefix; takes it back from there. */
bool states_reach(const struct kv_seq *s, unsigned g, size_t pos);
void states_take_back(struct kv_seq *s, unsigned g, size_t pos);
/* Lets go of entries keep .. end. */
void states_cut(struct kv_seq *s, unsigned g, size_t keep, size_t end);
/* What is computed, into an empty fork whose tables have room. */
NEED int states_fork(struct kv_seq *f, const struct kv_seq *s, unsigned g, struct err *e);

#endif
