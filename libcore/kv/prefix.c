/* SPDX-License-Identifier: MIT */
/* prefix.c - pages already computed for a prefix
 *
 * A node is a full page of 32 ids in all groups at once, hung under the node
 * of the ids before it; its hash runs over the parent's hash and the ids.
 * The hash only finds the bucket: a hit needs the same parent and the same
 * ids, so the whole prefix is compared. Kwon et al., 2023, arXiv:2309.06180
 *
 * A node's page of a full group is let go after those of its children, so
 * the oldest idle page never has children and can be evicted alone. A page
 * of a sliding group is evicted without its node: the prefix still serves
 * those that are far enough past it. */
#include "kv/pages.h"

#include "util/map.h"

#include <assert.h>
#include <string.h>

int prefix_open(struct kv_pool *p, struct err *e)
{
	p->n_buckets = 16;
	while (p->n_buckets < 2 * p->n_nodes)
		p->n_buckets *= 2;
	p->node = arena_new(&p->arena, p->n_nodes, sizeof *p->node, e);
	p->bucket = p->node ? arena_new(&p->arena, p->n_buckets, sizeof *p->bucket, e) : NULL;
	if (!p->bucket)
		return -1;
	for (size_t i = 0; i < p->n_buckets; i++)
		p->bucket[i] = NONE;
	p->free_node = NONE;
	for (size_t i = p->n_nodes; i-- > 0; p->free_node = (int32_t)i)
		p->node[i].next = p->free_node;
	return 0;
}

static uint64_t hash_of(const struct kv_pool *p, int32_t parent, const int32_t *id)
{
	unsigned char key[sizeof(uint64_t) + PAGE_POSITIONS * sizeof *id];
	uint64_t above = parent < 0 ? (uint64_t)(-1 - parent) : p->node[parent].hash;

	memcpy(key, &above, sizeof above);
	memcpy(key + sizeof above, id, PAGE_POSITIONS * sizeof *id);
	return map_hash((struct bytes){ key, sizeof key });
}

static int32_t find(const struct kv_pool *p, uint64_t hash, int32_t parent, const int32_t *id)
{
	int32_t i = p->bucket[hash & (p->n_buckets - 1)];

	while (i != NONE &&
	       (p->node[i].parent != parent || memcmp(p->node[i].id, id, sizeof p->node[i].id)))
		i = p->node[i].next;
	return i;
}

int32_t prefix_find(const struct kv_pool *p, int32_t parent, const int32_t id[PAGE_POSITIONS])
{
	return find(p, hash_of(p, parent, id), parent, id);
}

/* ---- making and removing nodes */

static int32_t make(struct kv_pool *p, uint64_t hash, int32_t parent, const int32_t *id)
{
	int32_t i = p->free_node, *bucket = &p->bucket[hash & (p->n_buckets - 1)];
	struct node *n;

	if (i == NONE)
		return NONE;
	n = &p->node[i];
	p->free_node = n->next;
	*n = (struct node){ .hash = hash, .parent = parent, .next = *bucket };
	*bucket = i;
	memcpy(n->id, id, sizeof n->id);
	for (size_t g = 0; g < KV_GROUPS; g++)
		n->page[g] = NONE;
	if (parent >= 0)
		p->node[parent].children++;
	return i;
}

static bool holds_nothing(const struct kv_pool *p, const struct node *n)
{
	for (size_t g = 0; g < p->n_groups; g++)
		if (n->page[g] != NONE)
			return false;
	return !n->children && !n->users;
}

/* Removes the node if it holds nothing, and then its parent likewise. */
static void remove_empty(struct kv_pool *p, int32_t i)
{
	while (i >= 0 && holds_nothing(p, &p->node[i])) {
		struct node *n = &p->node[i];
		int32_t *at = &p->bucket[n->hash & (p->n_buckets - 1)], parent = n->parent;

		while (*at != i)
			at = &p->node[*at].next;
		*at = n->next;
		n->next = p->free_node;
		p->free_node = i;
		if (parent >= 0)
			p->node[parent].children--;
		i = parent;
	}
}

static void let_go(struct kv_pool *p, struct node *n, unsigned g)
{
	int32_t page = n->page[g];

	if (page == NONE)
		return;
	n->page[g] = NONE;
	page_forget(p, g, page);
}

void prefix_forget(struct kv_pool *p, unsigned g, int32_t page)
{
	int32_t i = p->group[g].page[page].node;

	let_go(p, &p->node[i], g);
	remove_empty(p, i);
}

void prefix_evict(struct kv_pool *p, unsigned g, int32_t page)
{
	int32_t i = p->group[g].page[page].node;
	struct node *n = &p->node[i];

	if (p->group[g].window) {
		let_go(p, n, g);
	} else {
		assert(!n->children);
		for (unsigned k = 0; k < p->n_groups; k++)
			let_go(p, n, k);
	}
	remove_empty(p, i);
}

/* ---- users */

void prefix_use(struct kv_pool *p, int32_t node)
{
	p->node[node].users++;
}

void prefix_leave(struct kv_pool *p, int32_t node)
{
	p->node[node].users--;
	remove_empty(p, node);
}

static bool any_unknown(const int32_t *id)
{
	for (size_t i = 0; i < PAGE_POSITIONS; i++)
		if (id[i] < 0)
			return true;
	return false;
}

int32_t prefix_publish(struct kv_pool *p, int32_t parent, const int32_t id[PAGE_POSITIONS],
                       int32_t *const page[])
{
	uint64_t hash = hash_of(p, parent, id);
	int32_t i;

	if (any_unknown(id))
		return NONE;
	i = find(p, hash, parent, id);
	if (i == NONE)
		i = make(p, hash, parent, id);
	if (i == NONE)
		return NONE;
	for (unsigned g = 0; g < p->n_groups; g++) {
		int32_t *mine = page[g], *its = &p->node[i].page[g];

		if (*mine == NONE || *mine == *its)
			continue;
		if (*its == NONE) {
			page_hold(p, g, *mine);
			p->group[g].page[*mine].node = i;
			*its = *mine;
		} else {
			page_hold(p, g, *its);
			page_drop(p, g, *mine);
			*mine = *its;
		}
	}
	prefix_use(p, i);
	return i;
}
