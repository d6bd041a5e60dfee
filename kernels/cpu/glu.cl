/* SPDX-License-Identifier: MIT */
/* glu.cl - y[i] = act(gate[i]) * up[i], or a clipped gate's; x[i] = act(x[i]);
 * y[i] += x[i]; y[i] = y[i] * by, and where cap is not 0 cap * tanh(y[i] / cap)
 * Flat arrays of n f32, y may be any of them. Item: GLU_BLOCK elements.
 * Shazeer, 2020, arXiv:2002.05202; Hendrycks and Gimpel, 2016,
 * arXiv:1606.08415 */
#include "gate.clh"

#define GLU_BLOCK 2048

/* Abramowitz and Stegun, 7.1.26: within 1.5e-7 */
static inline VF erf_lanes(VF x)
{
	VF a = magnitude(x), one = SPLATF(1.0f), t = one / FMA(a, SPLATF(0.3275911f), one);
	VF p = FMA(t, SPLATF(1.061405429f), SPLATF(-1.453152027f));

	p = FMA(p, t, SPLATF(1.421413741f));
	p = FMA(p, t, SPLATF(-0.284496736f));
	p = FMA(p, t, SPLATF(0.254829592f));
	return with_sign(one - p * t * exp_lanes(SPLATF(0.0f) - a * a), x);
}

static inline VF act_lanes(VF x, int act)
{
	VF one = SPLATF(1.0f), half_x = x * SPLATF(0.5f), u;

	if (act == GLU_SILU)
		return silu(x);
	if (act == GLU_NONE)
		return x;
	if (act == GLU_SIGMOID)
		return sigmoid(x);
	if (act == GLU_GELU)
		return half_x * (one + erf_lanes(x * SPLATF(0.707106781f)));
	u = x * SPLATF(0.797884561f) * FMA(x * x, SPLATF(0.044715f), one);
	return half_x * (one + tanh_lanes(u));
}

static inline VF gated(VF gate, VF up, int act)
{
	VF top = SPLATF(7.0f), low = SPLATF(-7.0f), one = SPLATF(1.0f);

	if (act != GLU_CLIPPED)
		return act_lanes(gate, act) * up;
	gate = pick_lanes(gate < top, gate, top);
	up = pick_lanes(up < top, up, top);
	return gate * sigmoid(gate * SPLATF(1.702f)) * (pick_lanes(up > low, up, low) + one);
}

KERNEL(glu)(ITEM __global const float *gate, ulong gate_at, __global const float *up, ulong up_at,
            __global float *y, ulong y_at, ulong n, int act)
{
	ulong i = ITEM_ID * GLU_BLOCK, end = i + GLU_BLOCK < n ? i + GLU_BLOCK : n;

	for (; i + WIDTH <= end; i += WIDTH)
		STOREF(gated(LOADF(gate + gate_at + i), LOADF(up + up_at + i), act), y + y_at + i);
	if (i < end)
		store_few(gated(load_few(gate + gate_at + i, end - i),
		                load_few(up + up_at + i, end - i), act), y + y_at + i, end - i);
}

KERNEL(activate)(ITEM __global float *x, ulong x_at, ulong n, int act)
{
	ulong i = ITEM_ID * GLU_BLOCK, end = i + GLU_BLOCK < n ? i + GLU_BLOCK : n;

	for (; i + WIDTH <= end; i += WIDTH)
		STOREF(act_lanes(LOADF(x + x_at + i), act), x + x_at + i);
	if (i < end)
		store_few(act_lanes(load_few(x + x_at + i, end - i), act), x + x_at + i, end - i);
}

KERNEL(add)(ITEM __global const float *x, ulong x_at, __global float *y, ulong y_at, ulong n)
{
	ulong i = ITEM_ID * GLU_BLOCK, end = i + GLU_BLOCK < n ? i + GLU_BLOCK : n;

	for (; i < end; i++)
		y[y_at + i] += x[x_at + i];
}

KERNEL(scale)(ITEM __global float *y, ulong y_at, ulong n, float by, float cap)
{
	ulong i = ITEM_ID * GLU_BLOCK, end = i + GLU_BLOCK < n ? i + GLU_BLOCK : n;

	for (; i + WIDTH <= end; i += WIDTH)
		STOREF(soft_capped(LOADF(y + y_at + i) * SPLATF(by), cap), y + y_at + i);
	if (i < end)
		store_few(soft_capped(load_few(y + y_at + i, end - i) * SPLATF(by), cap),
		          y + y_at + i, end - i);
}
