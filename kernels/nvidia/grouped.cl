/* SPDX-License-Identifier: MIT */
/* grouped.cl - that this program builds is the proof that the device takes
 * group.clh's PTX. Never run. */
#define NT 8
#include "group.clh"

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void grouped(global uint4 *p)
{
	local uint4 x[128] __attribute__((aligned(128)));
	uint4 v = p[get_local_id(0)];
	uint a[4] = { v.x, v.y, v.z, v.w };
	float d[4 * NT] = { 0.0f };

	x[get_local_id(0)] = v;
	group_fence();
	barrier(CLK_LOCAL_MEM_FENCE);
	group_begin();
	group_product(d, a, group_inputs(x, 256), 1);
	group_end();
	group_wait();
	for (int i = 0; i < 4 * NT; i++)
		((global float *)p)[i * LANES + get_local_id(0)] = d[i];
}
