/* SPDX-License-Identifier: MIT */
/* best.cl - what is asked of output rows in their place: the best, one drawn
 * by chance, the FEW_MOST best with the mass of all
 * x: [rows][n] f32, n < 2^31. ask: four words a row: what (bits, as in
 * exec/ask.h), scale, chance, and its number among the rows that want a few.
 * Launches, all over the rows, in groups of LANES, in this order:
 *   best_parts    GROUPS a row  the best of each group; of each lane for a few
 *   few_bound     one a row     the FEW_MOST-th best of the lanes' best: no fewer
 *                               are as good
 *   few_gather    GROUPS a row  all of those: at most a lane's times FEW_MOST
 *   mass_parts    PARTS a row   masses of so many pieces of the row
 *   best_answers  one a row     what comes back
 * A value and its index make one number, larger where it comes first. Sums are
 * of integers: nothing depends on who adds when. LANES is FEW_MOST and 256. */
#include "common.clh"
#include "mass.clh"

#define ASK_DRAW 2
#define ASK_FEW 4
#define FEW_MOST 256
#define GROUPS 32
#define PARTS 64

struct ask { int what; float scale; uint chance; int slot; };
struct head { int best; float max; int drawn; float logit; ulong mass; uint n_few, pad; };
struct few { float logit; int id; };

/* 0: no number above -inf; both zeros are alike */
ulong key_of(float x, int i)
{
	uint u = as_uint(x == 0 ? 0.0f : x);

	u ^= u >> 31 ? 0xffffffffu : 0x80000000u;
	return x > -INFINITY ? (ulong)u << 32 | (uint)~i : 0;
}

float key_value(ulong key)
{
	uint u = key >> 32;

	return as_float(u ^ (u >> 31 ? 0x80000000u : 0xffffffffu));
}

int key_index(ulong key)
{
	return ~(uint)key;
}

/* Sums over lanes up to each; tmp may be used again afterwards. */
ulong group_scan(ulong v, local ulong *tmp)
{
	int id = get_local_id(0);

	tmp[id] = v;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int s = 1; s < LANES; s *= 2) {
		ulong before = id >= s ? tmp[id - s] : 0;

		barrier(CLK_LOCAL_MEM_FENCE);
		v += before;
		tmp[id] = v;
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	return v;
}

ulong group_max(ulong v, local ulong *tmp)
{
	int id = get_local_id(0);

	tmp[id] = v;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int s = LANES / 2; s > 0; s /= 2) {
		if (id < s)
			tmp[id] = max(tmp[id], tmp[id + s]);
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	v = tmp[0];
	barrier(CLK_LOCAL_MEM_FENCE);
	return v;
}

/* The least of the FEW_MOST largest of n different keys; 1 where all fit. Digits of
 * 8 bits from the top, over what no lane's best rules out: if each has one,
 * LANES keys are as large as the least of them. */
ulong few_least(global const ulong *restrict key, int n, local ulong *tmp, local uint *count,
                local uint *found)
{
	int id = get_local_id(0);
	ulong most = 0, bound, prefix = 0;
	uint above = 0;

	for (int i = id; i < n; i += LANES)
		most = max(most, key[i]);
	bound = max(~group_max(~most, tmp), (ulong)1);
	for (int shift = 56; shift >= 0; shift -= 8) {
		uint here, upto, all;

		count[id] = 0;
		barrier(CLK_LOCAL_MEM_FENCE);
		for (int i = id; i < n; i += LANES)
			if (key[i] >= bound && (shift == 56 || key[i] >> shift >> 8 == prefix))
				atomic_inc(&count[key[i] >> shift & 255]);
		barrier(CLK_LOCAL_MEM_FENCE);
		here = count[id];
		upto = group_scan(here, tmp);
		if (id == LANES - 1)
			found[0] = upto;
		barrier(CLK_LOCAL_MEM_FENCE);
		all = found[0];
		barrier(CLK_LOCAL_MEM_FENCE);
		if (above + all < FEW_MOST)
			return 1;
		if (above + all - upto < FEW_MOST && above + all - upto + here >= FEW_MOST) {
			found[0] = id;
			found[1] = above + all - upto;
			found[2] = here;
		}
		barrier(CLK_LOCAL_MEM_FENCE);
		prefix = prefix << 8 | found[0];
		above = found[1];
		here = found[2];
		barrier(CLK_LOCAL_MEM_FENCE);
		if (above + here == FEW_MOST)
			return max(prefix << shift, bound); /* what is less was not counted */
	}
	return prefix;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void best_parts(global const float *restrict act, ulong x_at, int n,
                global const int *restrict table, ulong ask_at, global ulong *restrict part,
                global ulong *restrict lane)
{
	local ulong tmp[LANES];
	global const struct ask *ask = (global const struct ask *)(table + ask_at);
	int row = get_group_id(1), g = get_group_id(0), id = get_local_id(0);
	global const float *x = act + x_at + (size_t)row * n;
	ulong best = 0;

	if (ask[row].what == 0)
		return;
	for (size_t i = get_global_id(0); i < n; i += GROUPS * LANES)
		best = max(best, key_of(x[i], i));
	if (ask[row].what & ASK_FEW)
		lane[((size_t)ask[row].slot * GROUPS + g) * LANES + id] = best;
	best = group_max(best, tmp);
	if (id == 0)
		part[(size_t)row * GROUPS + g] = best;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void few_bound(global const int *restrict table, ulong ask_at, global const ulong *restrict lane,
               global ulong *restrict bound, global uint *restrict n_list)
{
	local ulong tmp[LANES];
	local uint count[256], found[3];
	global const struct ask *ask = (global const struct ask *)(table + ask_at);
	int row = get_group_id(0), slot = ask[row].slot;
	ulong least;

	if (!(ask[row].what & ASK_FEW))
		return;
	least = few_least(lane + (size_t)slot * GROUPS * LANES, GROUPS * LANES, tmp, count, found);
	if (get_local_id(0) == 0) {
		bound[slot] = least;
		n_list[slot] = 0;
	}
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void few_gather(global const float *restrict act, ulong x_at, int n,
                global const int *restrict table, ulong ask_at, global const ulong *restrict bound,
                global uint *restrict n_list, global ulong *restrict list, ulong list_room)
{
	global const struct ask *ask = (global const struct ask *)(table + ask_at);
	int row = get_group_id(1), slot = ask[row].slot;
	global const float *x = act + x_at + (size_t)row * n;

	if (!(ask[row].what & ASK_FEW))
		return;
	for (size_t i = get_global_id(0); i < n; i += GROUPS * LANES) {
		ulong key = key_of(x[i], i);

		if (key >= bound[slot]) {
			uint at = atomic_inc(&n_list[slot]);

			if (at < list_room)
				list[slot * list_room + at] = key;
		}
	}
}

ulong best_of(global const ulong *restrict part, int row, local ulong *tmp)
{
	int id = get_local_id(0);

	return group_max(id < GROUPS ? part[(size_t)row * GROUPS + id] : 0, tmp);
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void mass_parts(global const float *restrict act, ulong x_at, int n,
                global const int *restrict table, ulong ask_at, global const ulong *restrict part,
                global ulong *restrict mass)
{
	local ulong tmp[LANES];
	global const struct ask *ask = (global const struct ask *)(table + ask_at);
	int row = get_group_id(1), g = get_group_id(0), id = get_local_id(0);
	global const float *x = act + x_at + (size_t)row * n;
	size_t len = (n + PARTS - 1) / PARTS, end = min((g + 1) * len, (size_t)n);
	float most, scale = ask[row].scale;
	ulong drawn = 0, plain = 0;
	int what = ask[row].what;

	if (!(what & (ASK_DRAW | ASK_FEW)))
		return;
	most = key_value(best_of(part, row, tmp));
	for (size_t i = g * len + id; i < end; i += LANES) {
		if (what & ASK_DRAW)
			drawn += mass_of(x[i], most, scale);
		if (what & ASK_FEW)
			plain += mass_of(x[i], most, 1);
	}
	drawn = group_scan(drawn, tmp);
	plain = group_scan(plain, tmp);
	if (id == LANES - 1) {
		mass[((size_t)row * 2 + 0) * PARTS + g] = drawn;
		mass[((size_t)row * 2 + 1) * PARTS + g] = plain;
	}
}

/* The first index at which the sum of masses exceeds `chance` of them all. */
int drawn_at(global const float *restrict x, int n, global const ulong *restrict mass, float most,
             float scale, uint chance, local ulong *tmp, local ulong *found)
{
	int id = get_local_id(0);
	size_t len = (n + PARTS - 1) / PARTS, span = (len + LANES - 1) / LANES, first, end;
	ulong here = id < PARTS ? mass[id] : 0, upto = group_scan(here, tmp), at;

	if (id == LANES - 1)
		found[0] = (upto >> 32) * chance + ((upto & 0xffffffff) * chance >> 32);
	barrier(CLK_LOCAL_MEM_FENCE);
	at = found[0];
	barrier(CLK_LOCAL_MEM_FENCE);
	if (upto > at && upto - here <= at) {
		found[0] = id;
		found[1] = at - (upto - here);
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	first = found[0] * len;
	end = min(first + len, (size_t)n);
	at = found[1];
	barrier(CLK_LOCAL_MEM_FENCE);
	first += id * span;
	end = min(first + span, end);
	here = 0;
	for (size_t i = first; i < end; i++)
		here += mass_of(x[i], most, scale);
	upto = group_scan(here, tmp);
	if (upto > at && upto - here <= at) {
		upto -= here;
		while (first + 1 < end && (upto += mass_of(x[first], most, scale)) <= at)
			first++;
		found[0] = first;
	}
	barrier(CLK_LOCAL_MEM_FENCE);
	return found[0];
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void best_answers(global const float *restrict act, ulong x_at, int n,
                  global const int *restrict table, ulong ask_at,
                  global const ulong *restrict part, global const ulong *restrict mass,
                  global const uint *restrict n_list, global const ulong *restrict list,
                  ulong list_room, global struct head *restrict head,
                  global struct few *restrict few)
{
	local ulong tmp[LANES], at[2];
	local uint count[256], found[3];
	global const struct ask *ask = (global const struct ask *)(table + ask_at);
	int row = get_group_id(0), id = get_local_id(0), what = ask[row].what, slot = ask[row].slot;
	global const float *x = act + x_at + (size_t)row * n;
	struct head h = { -1, 0, -1, 0, 0, 0, 0 };
	ulong best;

	if (what == 0)
		return;
	best = best_of(part, row, tmp);
	if (best) {
		h.best = key_index(best);
		h.max = key_value(best);
	}
	if (what & ASK_DRAW && best && isfinite(h.max)) {
		h.drawn = drawn_at(x, n, mass + (size_t)row * 2 * PARTS, h.max, ask[row].scale,
		                   ask[row].chance, tmp, at);
		h.logit = x[h.drawn];
	}
	if (what & ASK_FEW) {
		global const ulong *key = list + (size_t)slot * list_room;
		int n_keys = min((ulong)n_list[slot], list_room);
		ulong least = few_least(key, n_keys, tmp, count, found);

		h.mass = group_scan(id < PARTS ? mass[((size_t)row * 2 + 1) * PARTS + id] : 0, tmp);
		if (id == 0)
			found[0] = 0;
		barrier(CLK_LOCAL_MEM_FENCE);
		for (int i = id; i < n_keys; i += LANES)
			if (key[i] >= least) {
				uint k = atomic_inc(&found[0]);

				if (k < FEW_MOST) {
					few[(size_t)slot * FEW_MOST + k].logit = key_value(key[i]);
					few[(size_t)slot * FEW_MOST + k].id = key_index(key[i]);
				}
			}
		barrier(CLK_LOCAL_MEM_FENCE);
		h.n_few = min(found[0], (uint)FEW_MOST);
	}
	if (id == LANES - 1) /* who has the sum */
		head[row] = h;
}
