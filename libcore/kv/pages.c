/* SPDX-License-Identifier: MIT */
/* pages.c - the pool: counts, free pages, idle pages and their eviction
 *
 * Given a shape and a number of positions, gives pages one at a time. What a
 * page means to a prefix is left to prefix.c, to a sequence to kv.c. */
#include "kv/pages.h"

#include "util/num.h"

#include <assert.h>
#include <stdlib.h>

size_t kv_first_seen(size_t window, size_t pos)
{
	return window && pos + 1 > window ? pos + 1 - window : 0;
}

/* ---- open, close */

static int check_shape(const struct kv_shape *s, size_t tokens, struct err *e)
{
	if (!s->n_groups || s->n_groups > KV_GROUPS)
		return err_set(e, ERR_INPUT, "cache: expected 1 to %d groups, found %zu", KV_GROUPS,
		               s->n_groups);
	for (size_t i = 0; i < s->n_layers; i++)
		if (s->layer[i].group >= s->n_groups)
			return err_set(e, ERR_INPUT, "cache: layer %zu: group %u of %zu", i,
			               s->layer[i].group, s->n_groups);
	if (!tokens || tokens > INT32_MAX - PAGE_POSITIONS)
		return err_set(e, ERR_INPUT, "cache: expected 1 to %d positions, found %zu",
		               INT32_MAX - PAGE_POSITIONS, tokens);
	return 0;
}

enum { FEWEST_STATES = 16, STATE_BUDGET = 1 << 30 };

/* Pages of states: as many as of positions, but under the budget few; then
 * checkpoints lie so far apart that two pools' worth of them would fit. */
static size_t count_states(const struct kv_shape *s, unsigned g, size_t n, size_t *stride)
{
	size_t budget = s->state_bytes ? s->state_bytes : STATE_BUDGET, bytes = 0, most;

	for (size_t i = 0; i < s->n_layers; i++)
		if (s->layer[i].group == g)
			bytes += exec_kv_state(&s->layer[i], KV_STATES) * sizeof(float);
	most = bytes ? budget / bytes : n;
	if (most < FEWEST_STATES)
		most = FEWEST_STATES;
	*stride = most < n ? (2 * n + most - 1) / most : 1;
	return most < n ? most : n;
}

/* All pages free, the first one first: a host touches no more than it uses. */
static int open_group(struct kv_pool *p, struct group *g, size_t window, size_t n, struct err *e)
{
	g->page = arena_new(&p->arena, n, sizeof *g->page, e);
	if (!g->page)
		return -1;
	for (size_t i = 0; i < n; i++)
		g->page[i] = (struct page){ 0, NONE, NONE, i + 1 < n ? (int32_t)i + 1 : NONE };
	g->window = window;
	g->n = g->n_free = n;
	g->free = 0;
	g->oldest = g->newest = NONE;
	return 0;
}

int kv_pool_open(struct kv_pool **out, struct exec *x, const struct kv_shape *shape, size_t tokens,
                 struct err *e)
{
	size_t n = (tokens + PAGE_POSITIONS - 1) / PAGE_POSITIONS, n_pages[KV_GROUPS];
	struct kv_pool *p;

	if (check_shape(shape, tokens, e))
		return -1;
	p = calloc(1, sizeof *p);
	if (!p)
		return err_memory(e, sizeof *p);
	p->x = x;
	p->n_layers = shape->n_layers;
	p->n_groups = shape->n_groups;
	p->all_slide = true;
	p->layer = arena_new(&p->arena, p->n_layers, sizeof *p->layer, e);
	if (!p->layer)
		goto fail;
	for (size_t i = 0; i < p->n_layers; i++)
		p->layer[i] = shape->layer[i];
	for (unsigned g = 0; g < p->n_groups; g++) {
		n_pages[g] = n;
		p->group[g].state = shape->state && shape->state[g];
		if (p->group[g].state)
			n_pages[g] = count_states(shape, g, n, &p->group[g].stride);
		p->recurs |= p->group[g].state;
		p->all_slide &= shape->window[g] != 0 || p->group[g].state;
		if (open_group(p, &p->group[g], p->group[g].state ? 2 : shape->window[g],
		               n_pages[g], e))
			goto fail;
	}
	p->n_nodes = p->all_slide ? 2 * n : n; /* a sliding chain outlives its pages */
	if (prefix_open(p, e) ||
	    exec_kv_open(&p->store, x, p->layer, p->n_layers, n_pages, p->n_groups, e))
		goto fail;
	*out = p;
	return 0;
fail:
	kv_pool_close(p);
	return -1;
}

void kv_pool_close(struct kv_pool *p)
{
	if (!p)
		return;
	exec_kv_close(p->store);
	arena_release(&p->arena);
	free(p);
}

struct exec_kv *kv_pool_store(struct kv_pool *p)
{
	return p->store;
}

/* ---- counts */

size_t pages_left(const struct kv_pool *p, unsigned g)
{
	return p->group[g].n_free + p->group[g].n_idle;
}

void kv_pool_count(const struct kv_pool *p, struct kv_pages *out)
{
	*out = (struct kv_pages){ 0 };
	for (unsigned g = 0; g < p->n_groups; g++) {
		out->free += p->group[g].n_free;
		out->cached += p->group[g].n_idle;
		out->active += p->group[g].n - pages_left(p, g);
	}
}

size_t kv_pool_room(const struct kv_pool *p)
{
	size_t least = SIZE_MAX;

	for (unsigned g = 0; g < p->n_groups; g++) {
		size_t room = pages_left(p, g) * PAGE_POSITIONS;

		if (p->group[g].state) /* one serves any length */
			room = room ? SIZE_MAX : 0;
		if (room < least)
			least = room;
	}
	return least;
}

size_t kv_pool_tokens(const struct kv_pool *p)
{
	return p->all_slide ? SIZE_MAX : p->group[0].n * PAGE_POSITIONS;
}

/* ---- the idle, oldest to newest */

static void idle_add(struct group *g, int32_t i)
{
	g->page[i].older = g->newest;
	g->page[i].newer = NONE;
	if (g->newest != NONE)
		g->page[g->newest].newer = i;
	else
		g->oldest = i;
	g->newest = i;
	g->n_idle++;
}

static void idle_remove(struct group *g, int32_t i)
{
	struct page *t = &g->page[i];

	if (t->older != NONE)
		g->page[t->older].newer = t->newer;
	else
		g->oldest = t->newer;
	if (t->newer != NONE)
		g->page[t->newer].older = t->older;
	else
		g->newest = t->older;
	t->older = t->newer = NONE;
	g->n_idle--;
}

static bool is_idle(const struct page *t)
{
	return t->refs == 1 && t->node != NONE;
}

/* ---- pages */

int32_t page_take(struct kv_pool *p, unsigned gi)
{
	struct group *g = &p->group[gi];
	int32_t i;

	if (!g->n_free)
		prefix_evict(p, gi, g->oldest);
	assert(g->n_free);
	i = g->free;
	g->free = g->page[i].newer;
	g->n_free--;
	g->page[i] = (struct page){ 1, NONE, NONE, NONE };
	return i;
}

void page_hold(struct kv_pool *p, unsigned gi, int32_t i)
{
	struct group *g = &p->group[gi];

	if (is_idle(&g->page[i]))
		idle_remove(g, i);
	g->page[i].refs++;
}

void page_drop(struct kv_pool *p, unsigned gi, int32_t i)
{
	struct group *g = &p->group[gi];
	struct page *t = &g->page[i];

	assert(t->refs);
	if (is_idle(t))
		idle_remove(g, i);
	if (--t->refs) {
		if (is_idle(t))
			idle_add(g, i);
		return;
	}
	*t = (struct page){ 0, NONE, NONE, g->free };
	g->free = i;
	g->n_free++;
}

void page_forget(struct kv_pool *p, unsigned gi, int32_t i)
{
	struct page *t = &p->group[gi].page[i];

	if (is_idle(t))
		idle_remove(&p->group[gi], i);
	t->node = NONE;
	page_drop(p, gi, i);
}
