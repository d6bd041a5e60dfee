/* SPDX-License-Identifier: MIT */
/* glu.cl - y[i] = act(gate[i]) * up[i]; y may be either
 * One of ACT_SILU, ACT_GELU, ACT_GELU_TANH is defined. A work-item an
 * element; groups along n, then rows.
 * Shazeer, 2020, arXiv:2002.05202 */
#include "common.clh"

float act_of(float v)
{
#if defined(ACT_SILU)
	return v / (1.0f + exp(-v));
#elif defined(ACT_GELU)
	return 0.5f * v * (1.0f + erf(v * 0.70710678118654752f));
#else
	float u = 0.79788456080286536f * (v + 0.044715f * v * v * v);

	return 0.5f * v * (1.0f + tanh(u));
#endif
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void glu(global const int *restrict table, global float *act, ulong y_at, ulong gate_at,
         ulong up_at, int count_at, int n)
{
	size_t row = get_group_id(1), i = get_global_id(0), at = row * n + i;

	if (i < (size_t)n && row < (size_t)table[count_at])
		act[y_at + at] = act_of(act[gate_at + at]) * act[up_at + at];
}
