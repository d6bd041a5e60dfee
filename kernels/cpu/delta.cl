/* SPDX-License-Identifier: MIT */
/* delta.cl - the gated delta rule over a run of rows of one sequence, and the
 * decay that it takes.
 *
 * With q and k scaled to lengths of 1 / sqrt(k_dim) and 1, of each head
 *     S *= decay;   S += k (x) beta * (v - S k);   y = S q
 * S: [k_dim][v_dim] f32. What S k is of the decayed state is summed with the
 * decay in k's place, so a row reads the state twice and writes it once. Sums
 * over k_dim are four, of every fourth, added as a tree.
 * Yang et al., 2024, arXiv:2412.06464 */
#include "gate.clh"

#define PAGE_SIZE 32
#define DELTA_BLOCK 32         /* columns of an item */
#define DELTA_DIM 256

static inline VF load_part(__global const float *p, int n)
{
	return n < WIDTH ? load_few(p, n) : LOADF(p);
}

static inline void store_part(VF v, __global float *p, int n)
{
	if (n < WIDTH)
		store_few(v, p, n);
	else
		STOREF(v, p);
}

/* out = x / |x| * by */
static inline void to_length(float *out, __global const float *x, int n, float eps, float by)
{
	VF squares = SPLATF(0.0f);
	float scale;
	int i = 0;

	for (; i + WIDTH <= n; i += WIDTH)
		squares = FMA(LOADF(x + i), LOADF(x + i), squares);
	if (i < n)
		squares = FMA(load_few(x + i, n - i), load_few(x + i, n - i), squares);
	scale = by / SQRT(sum(squares) + eps);
	for (i = 0; i < n; i++)
		out[i] = x[i] * scale;
}

/* WIDTH columns at `state`, of which the first n are there. */
static inline void turn_columns(float *state, const float *q, const float *k, const float *gk,
                                const float *g, int g_step, __global const float *v, float beta,
                                __global float *y, int k_dim, int n)
{
	VF part[4], move;

	for (int j = 0; j < 4; j++)
		part[j] = SPLATF(0.0f);
	int i = 0;
	for (; i + 4 <= k_dim; i += 4)
		UNROLL for (int j = 0; j < 4; j++)
			part[j] = FMA(LOADF(state + (i + j) * DELTA_BLOCK), SPLATF(gk[i + j]), part[j]);
	for (; i < k_dim; i++)
		part[i % 4] = FMA(LOADF(state + i * DELTA_BLOCK), SPLATF(gk[i]), part[i % 4]);
	move = (load_part(v, n) - ((part[0] + part[1]) + (part[2] + part[3]))) * SPLATF(beta);
	for (int j = 0; j < 4; j++)
		part[j] = SPLATF(0.0f);
	for (i = 0; i + 4 <= k_dim; i += 4)
		UNROLL for (int j = 0; j < 4; j++) {
			VF s = LOADF(state + (i + j) * DELTA_BLOCK) * SPLATF(g[(i + j) * g_step]);

			s = FMA(SPLATF(k[i + j]), move, s);
			STOREF(s, state + (i + j) * DELTA_BLOCK);
			part[j] = FMA(s, SPLATF(q[i + j]), part[j]);
		}
	for (; i < k_dim; i++) {
		VF s = LOADF(state + i * DELTA_BLOCK) * SPLATF(g[i * g_step]);

		s = FMA(SPLATF(k[i]), move, s);
		STOREF(s, state + i * DELTA_BLOCK);
		part[i % 4] = FMA(s, SPLATF(q[i]), part[i % 4]);
	}
	store_part((part[0] + part[1]) + (part[2] + part[3]), y, n);
}

/* n columns of a state in a page, into or out of rows of DELTA_BLOCK. */
static inline void move_state(float *state, __global float *page, int k_dim, int v_dim, int n,
                              bool out)
{
	for (int i = 0; i < k_dim; i++)
		for (int c = 0; c < n; c += WIDTH) {
			__global float *at = page + (ulong)i * v_dim + c;

			if (out)
				store_part(LOADF(state + i * DELTA_BLOCK + c), at, n - c);
			else
				STOREF(load_part(at, n - c), state + i * DELTA_BLOCK + c);
		}
}

/* Item: DELTA_BLOCK columns of a head. q, k, v, decay, beta, y: the run's
 * first row, *_step floats from row to row; heads h / per share q and k;
 * g_step: 1 where each channel decays by itself, else 0. states: pages of
 * `size` f32, of which [n_heads][k_dim][v_dim] at `part` are ours; pages:
 * those of the sequence, pos: the first row's. */
KERNEL(delta)(ITEM __global const float *q, ulong q_step, __global const float *k, ulong k_step,
              __global const float *v, ulong v_step, __global const float *decay, int g_step,
              __global const float *beta, __global float *y, __global float *states, ulong part,
              ulong size, __global const int *pages, int pos, int n_rows, int n_heads, int per,
              int k_dim, int v_dim, float eps)
{
	int blocks = (v_dim + DELTA_BLOCK - 1) / DELTA_BLOCK, h = (int)ITEM_ID / blocks;
	int from = (int)ITEM_ID % blocks * DELTA_BLOCK, n = min_int(DELTA_BLOCK, v_dim - from);
	int g_width = g_step ? k_dim : 1;
	ALIGNED float state[DELTA_DIM * DELTA_BLOCK];
	float unit_q[DELTA_DIM], unit_k[DELTA_DIM], gk[DELTA_DIM];
	float by = 1 / SQRT((float)k_dim);

	states += part + (ulong)h * k_dim * v_dim + from;
	if (pos > 0)
		move_state(state, states + pages[(pos - 1) / PAGE_SIZE] * size, k_dim, v_dim, n, false);
	else
		for (int i = 0; i < k_dim * DELTA_BLOCK; i += WIDTH)
			STOREF(SPLATF(0.0f), state + i);
	for (int row = 0; row < n_rows; row++, pos++) {
		__global const float *g = decay + ((ulong)row * n_heads + h) * g_width;
		ulong at = ((ulong)row * n_heads + h) * v_dim + from;

		to_length(unit_q, q + row * q_step + h / per * k_dim, k_dim, eps, by);
		to_length(unit_k, k + row * k_step + h / per * k_dim, k_dim, eps, 1.0f);
		for (int i = 0; i < k_dim; i++)
			gk[i] = g[i * g_step] * unit_k[i];
		for (int c = 0; c < n; c += WIDTH)
			turn_columns(state + c, unit_q, unit_k, gk, g, g_step,
			             v + row * v_step + h * v_dim + from + c,
			             beta[(ulong)row * n_heads + h], y + at + c, k_dim, n - c);
		if (row + 1 == n_rows || pages[pos / PAGE_SIZE] != pages[(pos + 1) / PAGE_SIZE])
			move_state(state, states + pages[pos / PAGE_SIZE] * size, k_dim, v_dim, n, true);
	}
}

/* log(1 + e), 0 <= e <= 1: an odd series in e / (2 + e) <= 1 / 3. */
static inline VF log_past_one(VF e)
{
	VF s = e / (e + SPLATF(2.0f)), q = s * s, p = SPLATF(0.153846154f);

	p = FMA(p, q, SPLATF(0.181818182f));
	p = FMA(p, q, SPLATF(0.222222222f));
	p = FMA(p, q, SPLATF(0.285714286f));
	p = FMA(p, q, SPLATF(0.4f));
	p = FMA(p, q, SPLATF(0.666666667f));
	p = FMA(p, q, SPLATF(2.0f));
	return s * p;
}

/* x = exp(-rate * softplus(x + bias)) over a row of n_heads runs of n.
 * Item: a row. */
KERNEL(decay)(ITEM __global float *x, ulong x_at, __global const float *rate,
              __global const float *bias, int n_heads, int n)
{
	x += x_at + ITEM_ID * n_heads * n;
	for (int i = 0; i < n_heads * n; i += WIDTH) {
		int few = min_int(WIDTH, n_heads * n - i);
		VF v = load_part(x + i, few) + load_part(bias + i, few), soft;
		float by[WIDTH];

		for (int k = 0; k < WIDTH; k++)
			by[k] = rate[(k < few ? i + k : i) / n];
		soft = log_past_one(exp_lanes(SPLATF(0.0f) - magnitude(v))) +
		       max_lanes(v, SPLATF(0.0f));
		store_part(exp_lanes(SPLATF(0.0f) - soft * LOADF(by)), x + i, few);
	}
}
