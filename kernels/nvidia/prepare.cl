/* SPDX-License-Identifier: MIT */
/* prepare.cl - the input of products as the matrix unit reads it
 * x: [rows][k] f32, as it is; or NORM: its norm (norm.cl); or GLU: act(x) *
 * up (glu.cl). It becomes f16, or with BF16 a plane of bf16 and one of what
 * that left, in blocks [rows / 8][k / 32] of 512 bytes as a team of lanes
 * feeds them to the matrix unit: lane 4 (row % 8) + t has columns 8t .. 8t +
 * 7 of the 32; or GROUPED (group.clh): [i][row % 8][t], pairs i of these. With
 * GROUP also the sums of each group of columns, as tile.clh adds them: [k /
 * GROUP][stride] f32.
 * EXPERTS: row i is that of the run in slot i, as experts.cl sorted them, of
 * whose runs `share` have one row of x; nothing where the slot has none.
 * A group of LANES does 8 columns a lane of one row. */
#include "../common.clh"
#include "../reduce.clh"
#include "../gated.clh"
#include "ptx.clh"

struct eight { float4 lo, hi; };

struct eight eight_at(global const float *p)
{
	global const float4 *v = (global const float4 *)p;
	struct eight e = { v[0], v[1] };

	return e;
}

#ifdef NORM
/* 1 / sqrt of the mean square, summed as norm.cl sums. */
float norm_scale(global const float *x, int k, float eps, local float *tmp)
{
	float sum = 0.0f;

	for (int i = get_local_id(0); i < k; i += LANES)
		sum = madd(x[i], x[i], sum);
	return 1.0f / sqrt(group_sum(sum, tmp) / k + eps);
}
#endif

/* What is rounded to the 16 bits of v, exactly. */
#ifdef BF16
#define round_pair(a, b) pack_bf16(a, b)
#define low_of(v) as_float((v) << 16)
#define high_of(v) as_float((v) & 0xffff0000)
#else
#define round_pair(a, b) pack_f16(a, b)
#define low_of(v) low_f16(v)
#define high_of(v) high_f16(v)
#endif

/* Eight columns of a row of a block. */
void block_put(global uint *to, int row, int t, uint4 v)
{
#ifdef GROUPED
	to += row * 4 + t;
	to[0] = v.x, to[32] = v.y, to[64] = v.z, to[96] = v.w;
#else
	((global uint4 *)to)[row * 4 + t] = v;
#endif
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void prepare(global const int *restrict table, global float *act, ulong x_at, ulong other_at,
             ulong to_at, ulong sum_at, int stride, int count_at, int k, float eps,
             global const float *restrict gain
#ifdef EXPERTS
             , ulong list_at, ulong slots_at, int pad, int share
#endif
             )
{
	local float tmp[LANES];
#ifdef EXPERTS
	int row = get_group_id(0), part = get_group_id(1);
#else
	int row = get_group_id(1), part = get_group_id(0);
#endif
	int from = row, id = get_local_id(0), base = part * LANES * 8, i = base + id * 8;
	struct eight v = { (float4)(0.0f), (float4)(0.0f) };
	global uint *to = (global uint *)(act + to_at) + (size_t)row / 8 * k * 4;
	global float *sums = act + sum_at + row;

#ifdef EXPERTS
	if (!table[count_at] || row >= *(global const int *)(act + list_at) * pad)
		return;
	from = ((global const int *)(act + slots_at))[row];
	if (from < 0)
		return;
	from /= share;
#else
	if (row >= table[count_at])
		return;
#endif
	global const float *x = act + x_at + (size_t)from * k;
#ifdef NORM
	float scale = norm_scale(x, k, eps, tmp);
#endif
	if (i < k) {
		uint4 h;

		v = eight_at(x + i);
#ifdef NORM
		struct eight g = eight_at(gain + i);
		v.lo = v.lo * scale * g.lo;
		v.hi = v.hi * scale * g.hi;
#endif
#ifdef GLU
		struct eight up = eight_at(act + other_at + (size_t)from * k + i);
		v.lo = (float4)(gated(v.lo.x, up.lo.x), gated(v.lo.y, up.lo.y),
		                gated(v.lo.z, up.lo.z), gated(v.lo.w, up.lo.w));
		v.hi = (float4)(gated(v.hi.x, up.hi.x), gated(v.hi.y, up.hi.y),
		                gated(v.hi.z, up.hi.z), gated(v.hi.w, up.hi.w));
#endif
		h = (uint4)(round_pair(v.lo.x, v.lo.y), round_pair(v.lo.z, v.lo.w),
		            round_pair(v.hi.x, v.hi.y), round_pair(v.hi.z, v.hi.w));
		block_put(to + i / 32 * 128, row % 8, i / 8 % 4, h);
		struct eight r = { (float4)(low_of(h.x), high_of(h.x), low_of(h.y), high_of(h.y)),
		                   (float4)(low_of(h.z), high_of(h.z), low_of(h.w), high_of(h.w)) };
#ifdef BF16
		v.lo -= r.lo;
		v.hi -= r.hi;
		block_put(to + (size_t)stride * (k / 2) + i / 32 * 128, row % 8, i / 8 % 4,
			(uint4)(pack_bf16(v.lo.x, v.lo.y), pack_bf16(v.lo.z, v.lo.w),
			        pack_bf16(v.hi.x, v.hi.y), pack_bf16(v.hi.z, v.hi.w)));
#endif
		v = r;
	}
#ifdef GROUP
	tmp[id] = v.lo.x + v.lo.y + v.lo.z + v.lo.w + v.hi.x + v.hi.y + v.hi.z + v.hi.w;
	barrier(CLK_LOCAL_MEM_FENCE);
	if (id < LANES * 8 / GROUP && base + id * GROUP < k) {
		local const float *p = tmp + id * (GROUP / 8);
		float sum = (p[0] + p[1]) + (p[2] + p[3]);

		for (int j = 4; j < GROUP / 8; j += 4)
			sum += (p[j] + p[j + 1]) + (p[j + 2] + p[j + 3]);
		sums[(size_t)(base / GROUP + id) * stride] = sum;
	}
#endif
}
