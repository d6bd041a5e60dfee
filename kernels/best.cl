/* SPDX-License-Identifier: MIT */
/* best.cl - the largest of each row of n floats, the lowest index on ties;
 * -1 where no value is above -inf
 * x: [rows][n] f32. best_parts: groups of LANES along a row, each gives a
 * pair of its largest value and that one's index; best_rows: a group a row,
 * of its n pairs. */
#include "common.clh"

struct pair { float v; int at; };

/* Whichever comes first. */
struct pair first_of(struct pair a, struct pair b)
{
	bool later = b.at >= 0 && (a.at < 0 || b.v > a.v || (b.v == a.v && b.at < a.at));

	return later ? b : a;
}

struct pair group_first(struct pair p, local struct pair *tmp)
{
	int id = get_local_id(0);

	tmp[id] = p;
	barrier(CLK_LOCAL_MEM_FENCE);
	for (int s = LANES / 2; s > 0; s /= 2) {
		if (id < s)
			tmp[id] = first_of(tmp[id], tmp[id + s]);
		barrier(CLK_LOCAL_MEM_FENCE);
	}
	return tmp[0];
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void best_parts(global const float *restrict act, ulong x_at, int n,
                global struct pair *restrict out)
{
	local struct pair tmp[LANES];
	global const float *x = act + x_at + (size_t)get_group_id(1) * n;
	struct pair p = { -INFINITY, -1 };

	for (int i = get_global_id(0); i < n; i += get_global_size(0))
		if (x[i] > p.v) {
			p.v = x[i];
			p.at = i;
		}
	p = group_first(p, tmp);
	if (get_local_id(0) == 0)
		out[get_group_id(1) * get_num_groups(0) + get_group_id(0)] = p;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void best_rows(global const struct pair *restrict part, int n, global int *restrict out)
{
	local struct pair tmp[LANES];
	int id = get_local_id(0);
	struct pair p = { -INFINITY, -1 };

	for (int i = id; i < n; i += LANES)
		p = first_of(p, part[get_group_id(0) * n + i]);
	p = group_first(p, tmp);
	if (id == 0)
		out[get_group_id(0)] = p.at;
}
