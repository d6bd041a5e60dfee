/* SPDX-License-Identifier: MIT */
/* step.cl - a step of up to ROWS rows in one launch
 *
 * As many groups as the device holds at once walk a table of phases
 * (phase.clh) and wait for each other between two. A product reads its
 * weights as tiles (tile.clh): a group takes every n-th row of tiles, its 16
 * warps the 16 partial sums, BLOCK rows of tiles are in flight, and the
 * first of the next phase are asked for before the wait. Norm, bias, gate
 * and addition belong to the product before or after which they stand,
 * rotation and cache to attention (heads.clh).
 *
 * With one row, its inputs are made once a phase in local memory; with more,
 * a lane keeps those of its row of two tiles. Slots between products hold
 * f16 where the weights take no more (HALF_SLOTS). */
#include "../common.clh"
#include "../cache.clh"
#include "../gated.clh"
#include "copy.clh"
#include "tile.clh"
#include "attend.clh"
#include "grid.clh"
#include "phase.clh"
#include "heads.clh"

#include "inputs.clh"

/* ---- the tiles a group does */
struct cursor {
	global const uint4 *w;
	global const uint *s;
};

INLINE int tiles_of(local const struct phase *ph)
{
	int n = get_num_groups(0), first = get_group_id(0), all = ph->pairs ? ph->tiles / 2 : ph->tiles;
	int mine = all > first ? (all - first + n - 1) / n : 0;

	return ph->pairs ? 2 * mine : mine;
}

/* The part and the tile's number in it of this group's i-th tile. */
INLINE local const struct phase_part *part_of(local const struct phase *ph, int i, int *tile)
{
	int n = get_num_groups(0), first = get_group_id(0), q = 0;

	if (ph->pairs) {
		*tile = first + i / 2 * n;
		return &ph->part[i % 2];
	}
	*tile = first + i * n;
	while (*tile >= ph->part[q].end)
		q++;
	*tile -= q ? ph->part[q - 1].end : 0;
	return &ph->part[q];
}

INLINE void cursor_set(struct cursor *c, struct rooms l, local const struct phase *ph, int i)
{
	int tile, lane = get_local_id(0) % TEAM, warp = get_local_id(0) / TEAM;
	local const struct phase_part *q = part_of(ph, i, &tile);
	size_t at = (size_t)tile * (ph->n_in / TILE_COLUMNS) + warp;

	c->w = (global const uint4 *)(l.slab[q->w.slab] + q->w.at) + at * TILE_LOADS * 32 + lane;
#ifdef W_AFFINE
	c->s = (global const uint *)(l.slab[q->s.slab] + q->s.at) +
	       (at * TILE_ROWS + lane / 4) * TILE_GROUPS;
#endif
}

INLINE void cursor_load(struct tile *o, const struct cursor *c)
{
#pragma unroll
	for (int i = 0; i < TILE_LOADS; i++)
		o->w[i] = load_once(c->w + i * 32);
#ifdef W_AFFINE
#pragma unroll
	for (int i = 0; i < TILE_GROUPS; i++) {
		o->low[i] = c->s[i];
		o->high[i] = c->s[i + 8 * TILE_GROUPS];
	}
#endif
}

INLINE void cursor_move(struct cursor *c, int tiles)
{
	c->w += tiles * (TILE_LOADS * 32);
#ifdef W_AFFINE
	c->s += tiles * (TILE_ROWS * TILE_GROUPS);
#endif
}

/* The tile after this one: the next of the same row of tiles, or the first
 * of the group's i-th, if it has as many; `hop` tiles on, if that is known. */
INLINE void tile_ask(struct tile *slot, struct cursor *c, struct rooms l,
                     local const struct phase *ph, bool same, int i, int n, int hop)
{
	if (!same && i >= n)
		return;
	if (same)
		cursor_move(c, WARPS);
	else if (hop)
		cursor_move(c, hop);
	else
		cursor_set(c, l, ph, i);
	cursor_load(slot, c);
}

/* A row of tiles of the phase that this one names comes to the second cache. */
INLINE void fetch_ahead(struct rooms l, local const struct phase *now, int p)
{
	local const struct phase *ph = &l.phase[(p + now->ahead) % RING];
	int tiles = ph->n_in / TILE_COLUMNS, tile;

	if (!now->ahead || get_local_id(0) != LANES - TEAM || now->skip >= tiles_of(ph))
		return;
	local const struct phase_part *q = part_of(ph, now->skip, &tile);
	fetch(l.slab[q->w.slab] + q->w.at + (size_t)tile * tiles * TILE_LOADS * 512,
	      tiles * TILE_LOADS * 512);
#ifdef W_AFFINE
	fetch(l.slab[q->s.slab] + q->s.at + (size_t)tile * tiles * TILE_ROWS * TILE_GROUPS * 4,
	      tiles * TILE_ROWS * TILE_GROUPS * 4);
#endif
}

/* The first tiles of a phase. */
INLINE void tiles_ask(struct tile *slot, struct cursor *c, struct rooms l,
                      local const struct phase *ph)
{
	int n = tiles_of(ph);
	bool mine = (int)get_local_id(0) / TEAM < ph->n_in / TILE_COLUMNS;

#pragma unroll
	for (int r = 0; r < BLOCK; r++)
		if (mine && r < n) {
			cursor_set(&c[r], l, ph, r);
			cursor_load(&slot[r], &c[r]);
		}
}

/* ---- results */
/* Tiles from .. to - 1 of the group's: the partial sums meet. */
INLINE float sum_parts(local const float *s, int parts)
{
	float v[WARPS], sum;

#pragma unroll
	for (int w = 0; w < WARPS; w++)
		v[w] = w < parts ? s[w * TILE_ROWS * ROWS] : 0.0f;
	sum = v[0];
#pragma unroll
	for (int w = 1; w < WARPS; w++)
		sum = w < parts ? sum + v[w] : sum;
	return sum;
}

/* Every time other warps take their turn. */
INLINE void sums_meet(struct rooms l, local const struct phase *ph, global float *act, int from,
                      int to, int count, int parts)
{
	int step = ph->pairs ? 2 : 1, n = (to - from) / step * TILE_ROWS * ROWS;
	int id = (get_local_id(0) + from / FLUSH * (LANES - FLUSH * TILE_ROWS)) % LANES;

	for (int o = id; o < n; o += LANES) {
		int i = from + o / (TILE_ROWS * ROWS) * step, r = o % ROWS, row = o / ROWS % TILE_ROWS;
		int tile;
		local const float *s = l.sums + i % (2 * FLUSH) * SUMS + row * ROWS + r;
		local const struct phase_part *q = part_of(ph, i, &tile);
		global const float *b = (global const float *)place_of(l, &q->b);
		float old = 0.0f, v;

		row += tile * TILE_ROWS;
		if (row >= q->n || r >= count)
			continue;
		size_t at = (size_t)r * q->width + q->first + row;
		if (ph->add)
			old = fresh(act + q->y + at);
		v = sum_parts(s, parts);
		if (b)
			v += b[q->first + row];
		if (ph->pairs) {
			float up = sum_parts(s + SUMS, parts);

			b = (global const float *)place_of(l, &q[1].b);
			if (b)
				up += b[q->first + row];
			mix_put(act + q->y, at, act_of(v) * up);
		} else
			act[q->y + at] = ph->add ? old + v : v;
	}
}

INLINE void product(struct tile *slot, struct cursor *c, struct rooms l,
                    local const struct phase *ph, global const int *table, global float *act, int p)
{
	int id = get_local_id(0), lane = id % TEAM, warp = id / TEAM, g = lane / 4, t = lane % 4;
	int tiles = ph->n_in / TILE_COLUMNS, n = tiles_of(ph);
	int mine = tiles > warp ? (tiles - warp + WARPS - 1) / WARPS : 0;
	int count = table[ph->out ? STEP_OUT : STEP_ROWS], r0 = ROWS == 1 ? 0 : min(g, count - 1);
	int hop = ph->pairs ? BLOCK / 2 : ph->parts == 1 ? BLOCK : 0;
	struct inputs x[INPUTS];

	if (count <= 0)
		return;
	hop *= get_num_groups(0) * tiles;
	hop -= hop ? (mine - 1) * WARPS : 0;
	size_t row = input_row(ph, table, r0);
#ifdef STAGED
	inputs_make(l, ph, table, act, row);
#else
	if (ph->input == INPUT_NORM)
		norm_scales(l, ph, table, act, count);
	float scale = ph->input == INPUT_NORM ? l.scale[r0] : 0.0f;
#endif
	for (int b = 0; b < n; b += BLOCK) {
		float acc[BLOCK][4];

		if (b <= n - 4 ? b + BLOCK > n - 4 : b == 0)
			fetch_ahead(l, ph, p);
#pragma unroll
		for (int r = 0; r < BLOCK; r++)
			acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = 0.0f;
		for (int k = 0; k < mine; k += INPUTS)
#pragma unroll
			for (int h = 0; h < INPUTS; h++)
				if (k + h < mine) {
#ifdef STAGED
					inputs_get(&x[h], l, warp + k * WARPS);
#else
					if (b == 0 || mine > INPUTS)
						inputs_read(&x[h], l, ph, act, row, scale, warp + (k + h) * WARPS);
#endif
#pragma unroll
					for (int r = 0; r < BLOCK; r++)
						if (b + r < n) {
							tile_product(acc[r], &slot[r], &x[h]);
							tile_ask(&slot[r], &c[r], l, ph, k + h + 1 < mine, b + BLOCK + r, n,
							         hop);
						}
				}
#pragma unroll
		for (int r = 0; r < BLOCK; r++) {
			local float *s = l.sums + (b + r) % (2 * FLUSH) * SUMS + warp * TILE_ROWS * ROWS;

			if (ROWS == 1) {
				if (t == 0) {
					s[g] = acc[r][0];
					s[g + 8] = acc[r][2];
				}
			} else {
				s[g * ROWS + 2 * t] = acc[r][0];
				s[g * ROWS + 2 * t + 1] = acc[r][1];
				s[(g + 8) * ROWS + 2 * t] = acc[r][2];
				s[(g + 8) * ROWS + 2 * t + 1] = acc[r][3];
			}
		}
		if ((b + BLOCK) % FLUSH && b + BLOCK < n)
			continue;
		barrier(CLK_LOCAL_MEM_FENCE);
		sums_meet(l, ph, act, b / FLUSH * FLUSH, min(b + BLOCK, n), count, min(tiles, WARPS));
	}
}

INLINE void attention(struct rooms l, local const struct phase *ph, global const int *table,
                      global float *act, global uint *turn)
{
	int lane = get_local_id(0) % TEAM, warp = get_local_id(0) / TEAM, rows = table[STEP_ROWS];
	int spans = table[STEP_SPANS], n = rows * KV_HEADS * spans;
	global const float *q_norm = (global const float *)place_of(l, &ph->q_norm);
	global const float *k_norm = (global const float *)place_of(l, &ph->k_norm);
	global kv_t *keys = (global kv_t *)place_of(l, &ph->keys);
	global kv_t *values = (global kv_t *)place_of(l, &ph->values);

	for (int i = get_group_id(0); i < n; i += get_num_groups(0)) {
		int kv = i % KV_HEADS, row = i / KV_HEADS % rows, span = i / KV_HEADS / rows;
		int pos = table[ph->pos_at + row], list = table[ph->pages_at + row];
		int first = ph->window > 0 && pos >= ph->window ? pos + 1 - ph->window : 0;
		int s0 = first / SPAN, s1 = pos / SPAN;
		size_t head = (size_t)row * HEADS + kv * SHARE;

		span += s0;
		if (span > s1)
			continue;
		int low = max(first / PAGE, span * SPAN_PAGES), high = min(pos / PAGE + 1, (span + 1) *
		                                                           SPAN_PAGES);
		heads_begin(l.heads, ph, table, act, l.room, row, kv, low * PAGE,
		            min(pos + 1, high * PAGE), q_norm, k_norm, keys, values);
		bool live = low + warp < high;
		int page = live ? table[list + low + warp] : 0, base = (low + warp) * PAGE;
		int from = max(first - base, 0), to = min(pos + 1 - base, (int)PAGE);
		uint w[2][4];

		if (live)
			page_take(l.heads, w, keys + KEY_AT(page, kv, 0, 0), warp, from, to, ph->scale, lane);
		for (int c = 0; c < (V_DIM + CHUNK - 1) / CHUNK; c++) {
			if (live)
				chunk_values(l.room + warp * 8 * CHUNK, w, values + VALUE_AT(page, kv, 0, 0), c,
				             from, to, lane);
			barrier(CLK_LOCAL_MEM_FENCE);
			pages_merge(l.heads, l.room, c, high - low, act + ph->y,
			            s0 == s1 ? 0 : act + ph->spans_at, head, spans, span);
			barrier(CLK_LOCAL_MEM_FENCE);
		}
		if (s0 == s1)
			continue;
		barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
		if (get_local_id(0) == 0) {
			global uint *done = turn + row * KV_HEADS + kv;

			l.heads->last = arrive(done) == (uint)(s1 - s0);
			if (l.heads->last)
				*done = 0;
		}
		barrier(CLK_LOCAL_MEM_FENCE | CLK_GLOBAL_MEM_FENCE);
		if (l.heads->last)
			spans_merge(ph, act, row, kv, s0, s1, spans);
		barrier(CLK_LOCAL_MEM_FENCE);
	}
}

#define PHASE_WORDS (int)(sizeof(struct phase) / 4)

INLINE void phase_copy(local struct phase *to, global const struct phase *from, int id)
{
	if (id >= 0 && id < PHASE_WORDS)
		((local int *)to)[id] = ((global const int *)from)[id];
}

#define SLAB(i) , global const char *s##i
#define SLABS(m) \
	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) \
	m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) m(29) m(30) \
	m(31)
#define SLAB_KEEP(i) slab_room[i] = s##i;

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void step(global const int *restrict table, global float *act, global uint *sync,
          global const struct phase *restrict phases, int n, uint met SLABS(SLAB))
{
	local float room[ROOM] __attribute__((aligned(16))), scale[8];
	local struct phase phase_room[RING];
	global const char *local slab_room[32];
	local int here;
#if ROWS == 1
	local float sums[2048] __attribute__((aligned(16))), block_sum[MOST_INPUTS / 32];
	struct rooms l = { room, sums, scale, block_sum, phase_room, (local struct heads_room *)sums,
	                   slab_room };
#else
	local struct heads_room heads;
	struct rooms l = { room, room, scale, 0, phase_room, &heads, slab_room };
#endif
	struct tile slot[BLOCK];
	struct cursor c[BLOCK];
	int id = get_local_id(0);

	if (id == 0) {
		SLABS(SLAB_KEEP)
	}
	for (int p = 0; p < RING - 1 && p < n; p++)
		phase_copy(&phase_room[p], phases + p, id);
	barrier(CLK_LOCAL_MEM_FENCE);
	if (phase_room[0].kind == PHASE_PRODUCT)
		tiles_ask(slot, c, l, &phase_room[0]);
	for (int p = 0; p < n; p++) {
		local struct phase *now = &phase_room[p % RING], *next = &phase_room[(p + 1) % RING];

		if (p + RING - 1 < n)
			phase_copy(&phase_room[(p + RING - 1) % RING], phases + p + RING - 1,
			           id - (LANES - 4 * TEAM));
		if (now->kind == PHASE_PRODUCT)
			product(slot, c, l, now, table, act, p);
		else {
			fetch_ahead(l, now, p);
			attention(l, now, table, act, sync + 16);
		}
		if (p + 1 == n)
			break;
		come(sync);
		if (next->kind == PHASE_PRODUCT)
			tiles_ask(slot, c, l, next);
		if (!meet(sync, met + (uint)((p + 1) * get_num_groups(0)), &here))
			return;
	}
}
