/* SPDX-License-Identifier: MIT */
/* step.cl - a step of up to ROWS rows in one launch
 *
 * As many groups as the device holds at once walk a table of phases
 * (phase.clh) and wait for each other between two. A product reads its
 * weights as tiles (tile.clh): a group takes every n-th row of tiles
 * (walk.clh), its 16 warps the 16 partial sums (sums.clh), BLOCK rows of
 * tiles are in flight, and the first of the next phase are asked for before
 * the wait. What one product gives and the next takes goes without a wait
 * (edge.clh). Norm, bias, gate and addition belong to the product before or
 * after which they stand, rotation and cache to attention (heads.clh,
 * half.clh); norms of several rows are phases (norms.clh).
 *
 * A phase is short, and its code runs once: what is long or keeps registers
 * from the loop over tiles costs more than it gains.
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
#include "edge.clh"
#include "heads.clh"
#include "inputs.clh"
#if ROWS > 1 && defined(HALF_SLOTS)
#include "norms.clh"
#endif
#include "walk.clh"
#include "sums.clh"
#if SHARE * V_DIM <= 512 && V_DIM % 64 == 0 && SHARE <= 8
#define ROOMY
#include "half.clh"
#endif
#ifdef USED
#include "mixture.clh"
#endif

/* ---- products */
INLINE void product(struct tile *slot, struct cursor *c, struct rooms l,
                    local const struct phase *ph, global const int *table, global float *act,
                    const struct gains *gain, global uint *word)
{
	int id = lane_id(), lane = id % TEAM, warp = id / TEAM, g = lane / 4, t = lane % 4;
	int tiles = ph->n_in / TILE_COLUMNS, n = tiles_of(ph);
	int mine = tiles > warp ? (tiles - warp + WARPS - 1) / WARPS : 0;
	int count = l.live[ph->out ? STEP_OUT : STEP_ROWS], r0 = ROWS == 1 ? 0 : min(g, count - 1);
	int hop = ph->pairs ? BLOCK / 2 : ph->parts == 1 ? BLOCK : 0;
	struct inputs x[INPUTS] = { { { 0 } } };

	if (count <= 0 || n == 0) {
		come(word);
		return;
	}
	hop *= get_num_groups(0) * tiles;
	hop -= hop ? (mine - 1) * WARPS : 0;
	size_t row = input_row(ph, table, r0);
#ifdef STAGED
	inputs_make(l, ph, act, row, gain);
#elif ONLY_HALVES
	float scale = 0.0f;
#else
	if (ph->input == INPUT_NORM)
		norm_scales(l, ph, table, act, count);
	float scale = ph->input == INPUT_NORM ? l.scale[r0] : 0.0f;
#endif
	for (int b = 0; b < n; b += BLOCK) {
		float acc[BLOCK][4];

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
		if ((b + BLOCK) % FLUSH == 0 || b + BLOCK >= n)
			block_end(l, ph, act, b / FLUSH * FLUSH, min(b + BLOCK, n), count,
			          b + BLOCK >= n ? word : 0);
	}
}

/* The page that a warp reads first comes to the second cache. */
INLINE void attention_fetch(struct rooms l, local const struct phase *ph, global const int *table)
{
	int rows = l.live[STEP_ROWS], i = item_first();

	if (lane_id() % TEAM || i >= rows * KV_HEADS * l.live[STEP_SPANS])
		return;
	int kv = i % KV_HEADS, row = i / KV_HEADS % rows, pos = table[ph->pos_at + row];
	int first = ph->window > 0 && pos >= ph->window ? pos + 1 - ph->window : 0;
	int span = i / KV_HEADS / rows + first / SPAN;
	int at = max(first / PAGE, span * SPAN_PAGES) + half_id() / TEAM;

	if (at >= min(pos / PAGE + 1, (span + 1) * SPAN_PAGES))
		return;
	int page = table[table[ph->pages_at + row] + at];
	fetch((global const char *)((global const kv_t *)place_of(l, &ph->keys) +
	                            KEY_AT(page, kv, 0, 0)), PAGE * K_DIM * 2);
	fetch((global const char *)((global const kv_t *)place_of(l, &ph->values) +
	                            VALUE_AT(page, kv, 0, 0)), PAGE * V_DIM * 2);
}

INLINE void attention(struct rooms l, local const struct phase *ph, global const int *table,
                      global float *act, global uint *turn)
{
	int lane = lane_id() % TEAM, warp = half_id() / TEAM, rows = l.live[STEP_ROWS];
	int spans = l.live[STEP_SPANS], n = rows * KV_HEADS * spans;
	global const float *q_norm = (global const float *)place_of(l, &ph->q_norm);
	global const float *k_norm = (global const float *)place_of(l, &ph->k_norm);
	global kv_t *keys = (global kv_t *)place_of(l, &ph->keys);
	global kv_t *values = (global kv_t *)place_of(l, &ph->values);

	for (int i = item_first(); i < n; i += 2 * get_num_groups(0)) {
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
		bool live = low + warp < high;
		int page = live ? table[list + low + warp] : 0, base = (low + warp) * PAGE;
		heads_begin(l.heads, ph, table, act, l.room, row, kv, low * PAGE,
		            min(pos + 1, high * PAGE), q_norm, k_norm, keys, values);
		int from = max(first - base, 0), to = min(pos + 1 - base, (int)PAGE);
		uint w[2][4];

		if (live)
			page_take(l.heads, w, keys + KEY_AT(page, kv, 0, 0), warp, from, to, ph->scale, lane);
		for (int c = 0; c < (V_DIM + CHUNK - 1) / CHUNK; c++) {
			if (live)
				chunk_values(l.room + warp * 8 * CHUNK, w, values + VALUE_AT(page, kv, 0, 0), c,
				             from, to, lane);
			half_barrier();
			pages_merge(l.heads, l.room, c, high - low, act + ph->y,
			            s0 == s1 ? 0 : act + ph->spans_at, head, spans, span);
			half_barrier();
		}
		if (s0 == s1)
			continue;
		spans_end(l.heads, ph, act, turn + row * KV_HEADS + kv, row, kv, s0, s1, spans);
		half_barrier();
	}
}

#define PHASE_WORDS (int)(sizeof(struct phase) / 4)

INLINE void phase_copy(local struct phase *to, global const struct phase *from, int id)
{
	if (id >= 0 && id < PHASE_WORDS)
		((local int *)to)[id] = ((global const int *)from)[id];
}

/* The phase after the next comes to the ring, where lanes may still be in the
 * one before this. */
INLINE void next_copy(local struct phase *room, global const struct phase *phases, int p, int n)
{
	if (p + RING - 2 < n)
		phase_copy(&room[(p + RING - 2) % RING], phases + p + RING - 2,
		           lane_id() - (LANES - 4 * TEAM));
}

/* The groups have met, if the phase asks for it. */
INLINE bool phase_begin(struct rooms l, local const struct phase *ph,
                        global const struct phase *phases, int p, int n, uint until,
                        local int *here)
{
	if (ph->meets && !meet(l.sync, until, here))
		return false;
	next_copy(l.phase, phases, p, n);
	return true;
}

/* Floats of two rooms for heads, or of sums. */
#define HEADS_ROOMS (2 * (int)sizeof(struct heads_room) / 4)
#define SUMS_ROOM (HEADS_ROOMS > 2048 ? HEADS_ROOMS : 2048)

#define SLAB(i) , global const char *s##i
#define SLABS(m) \
	m(0) m(1) m(2) m(3) m(4) m(5) m(6) m(7) m(8) m(9) m(10) m(11) m(12) m(13) m(14) m(15) \
	m(16) m(17) m(18) m(19) m(20) m(21) m(22) m(23) m(24) m(25) m(26) m(27) m(28) m(29) m(30) \
	m(31)
#define SLAB_KEEP(i) slab_room[i] = s##i;

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void step(global const int *restrict table, global float *act, global uint *sync,
          global const struct phase *restrict phases, int n, uint met, uint turn SLABS(SLAB))
{
	local float room[ROOM] __attribute__((aligned(16))), scale[8];
	local struct phase phase_room[RING];
	global const char *local slab_room[32];
	local int here, live[STEP_TURN + 1];
#if ROWS == 1
	local float sums[SUMS_ROOM] __attribute__((aligned(16))), block_sum[MOST_INPUTS / 32];
	struct rooms l = { room, sums, scale, block_sum, phase_room, (local struct heads_room *)sums,
	                   slab_room, live, sync };
#else
	local struct heads_room heads[2];
	struct rooms l = { room, room, scale, 0, phase_room, heads, slab_room, live, sync };
#endif
#ifdef USED
	local struct mixture mixture;
#endif
	int id = lane_id(), groups = get_num_groups(0);

	if (id == 0) {
		SLABS(SLAB_KEEP)
	}
	if (id < 4)
		live[id] = table[id];
	if (id == STEP_TURN)
		live[id] = (int)turn;
	for (int p = 0; p < RING - 2 && p < n; p++)
		phase_copy(&phase_room[p], phases + p, id);
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int p = 0; p < n; p++) {
		local struct phase *ph = &phase_room[p % RING];
		uint until = met + (uint)(ph->meets * groups);

		/* what is asked for is given a value first: nothing of it lives on in
		 * the registers of other phases */
		if (ph->kind == PHASE_PRODUCT) {
			struct tile slot[BLOCK] = { { { (uint4)(0) } } };
			struct cursor c[BLOCK] = { { 0 } };
			struct gains gain = { { (uint4)(0) } };

			gains_ask(&gain, l, ph);
			tiles_ask(slot, c, l, ph);
			if (!phase_begin(l, ph, phases, p, n, until, &here))
				return;
			product(slot, c, l, ph, table, act, &gain, ph->comes ? sync : 0);
#if ROWS > 1 && defined(HALF_SLOTS)
		} else if (ph->kind == PHASE_NORM) {
			if (!phase_begin(l, ph, phases, p, n, until, &here))
				return;
			norm_rows(l, ph, table, act);
			come(ph->comes ? sync : 0);
#endif
#ifdef USED
		} else if (ph->kind == PHASE_EXPERTS || ph->kind == PHASE_ROUTER) {
			struct gains gain = { { (uint4)(0) } };

			gains_ask(&gain, l, ph);
			if (!phase_begin(l, ph, phases, p, n, until, &here))
				return;
#ifdef ROUTER_EIGHT
			if (ph->kind == PHASE_ROUTER)
				router(l, ph, table, act, &gain);
			else
#endif
				experts_in(&mixture, l, ph, table, act, &gain);
			come(ph->comes ? sync : 0);
		} else if (ph->kind == PHASE_MIX) {
			struct tile slot[DOWNS] = { { { (uint4)(0) } } };

			if (has_down(l, ph, get_group_id(0)))
				downs_ask(slot, &mixture, l, ph, get_group_id(0), 0);
			weigh(&mixture, ph, act, l.sums, live[STEP_ROWS]);
			if (!phase_begin(l, ph, phases, p, n, until, &here))
				return;
			experts_out(slot, &mixture, l, ph, act);
			come(ph->comes ? sync : 0);
#endif
		} else {
#ifdef ROOMY
#pragma unroll 1
			for (int i = item_first(), k = 0; !k || i < items_of(l); i += 2 * groups, k++) {
				struct ask ask;

				ask_pages(&ask, l, ph, table, i);
				ask_fetch(&ask, l, ph);
				if (k)
					half_barrier();
				else if (!phase_begin(l, ph, phases, p, n, until, &here))
					return;
				attention_roomy(&ask, half_rooms(l), ph, table, act, sync + 16);
			}
#else
			attention_fetch(l, ph, table);
			if (!phase_begin(l, ph, phases, p, n, until, &here))
				return;
			attention(half_rooms(l), ph, table, act, sync + 16);
#endif
			come(ph->comes ? sync : 0);
		}
	}
}
