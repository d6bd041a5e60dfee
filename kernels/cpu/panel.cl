/* SPDX-License-Identifier: MIT */
/* panel.cl - products of many tokens, lanes along the tokens, for every form:
 * the bits of matmul_float.cl and of matmul_affine.cl. panel.clh has the tile.
 *
 * q: prepared inputs, a panel of WIDTH tokens after the other, zeros past the
 * last token
 *   floats     [panel][lane][steps | 1][WIDTH], steps = ceil(n_in / WIDTH):
 *              step s of lane l is column s * WIDTH + l
 *   codes      [panel][group][2 + words][WIDTH], the groups of one lane (g, g +
 *              WIDTH, ...) before those of the next: scales, sums, words of two
 *              16-bit integers (of four 8-bit ones with `quads`), the largest
 *              being `most`; a group's words are planes of units as units.clh
 *              reads them
 *
 * panel_prepare_float   items: panels * steps
 * panel_prepare_codes   items: panels * groups
 * panel_float           items: ceil(n_out / (PANEL_ROWS * n_tiles)); scratch in
 *                       floats: 2 * WIDTH * (PANEL_ROWS * n_tiles + WIDTH) +
 *                       n_tiles * (PANEL_STATE + WIDTH * PANEL_WORDS(steps))
 * panel_codes           the same; in place of the last: groups * (2 *
 *                       PANEL_PADDED + PANEL_WORDS(words of a group)) */
#include "panel.clh"
#include "panel_words.clh"

enum { PANEL_GROUP = 128 }; /* columns of the largest */

/* Columns at .. at + WIDTH of up to WIDTH tokens, lanes as tokens. */
INLINE void panel_columns(VF v[WIDTH], __global const float *x, int tokens, int n_in, int at)
{
	UNROLL for (int t = 0; t < WIDTH; t++) {
		__global const float *p = x + (ulong)t * n_in + at;

		if (t >= tokens)
			v[t] = SPLATF(0.0f);
		else if (n_in - at >= WIDTH)
			v[t] = LOADF(p);
		else
			v[t] = load_few(p, n_in - at);
	}
	turn(v);
}

KERNEL(panel_prepare_float)(ITEM __global const float *x, ulong x_at, __global float *q, ulong q_at,
                            int n_rows, int n_in)
{
	int steps = (n_in + WIDTH - 1) / WIDTH, all = steps | 1;
	int t = (int)(ITEM_ID / steps) * WIDTH, s = (int)(ITEM_ID % steps);
	__global float *out = q + q_at + ((ulong)(t / WIDTH) * WIDTH * all + s) * WIDTH;
	VF v[WIDTH];

	panel_columns(v, x + x_at + (ulong)t * n_in, min_int(n_rows - t, WIDTH), n_in, s * WIDTH);
	UNROLL for (int l = 0; l < WIDTH; l++)
		STOREF(v[l], out + (ulong)l * all * WIDTH);
}

/* Codes `u` and so on of a unit's halves, as the words of a plane meet them. */
INLINE VI panel_word(const VF *v, int far, int quads, VF inv)
{
	VI low = round_lanes(v[0] * inv), high = round_lanes(v[far] * inv);

	if (!quads)
		return (low & SPLATI(0xffff)) | high << 16;
	return (low & SPLATI(0xff)) | (high & SPLATI(0xff)) << 16 |
	       (round_lanes(v[far / 2] * inv) & SPLATI(0xff)) << 8 |
	       round_lanes(v[far + far / 2] * inv) << 24;
}

KERNEL(panel_prepare_codes)(ITEM __global const float *x, ulong x_at, __global int *q, ulong q_at,
                            int n_rows, int n_in, int bits, int group, int quads, int most)
{
	int groups = n_in / group, unit = UNIT_OF(bits), far = unit / 2;
	int t = (int)(ITEM_ID / groups) * WIDTH, g = (int)(ITEM_ID % groups);
	int planes = quads ? unit / 4 : unit / 2, words = group / unit * planes;
	ulong at = ITEM_ID / groups * groups + panel_place(g, groups);
	__global int *out = q + q_at + at * (2 + words) * WIDTH;
	VF v[PANEL_GROUP], largest = SPLATF(0.0f), total = SPLATF(0.0f), inv;

	for (int i = 0; i < group; i += WIDTH)
		panel_columns(v + i, x + x_at + (ulong)t * n_in, min_int(n_rows - t, WIDTH), n_in,
		              g * group + i);
	for (int i = 0; i < group; i++) {
		largest = max_lanes(ASF(ASI(v[i]) & SPLATI(0x7fffffff)), largest);
		total += v[i];
	}
	inv = pick_lanes(largest > SPLATF(0.0f), SPLATF((float)most) / largest, SPLATF(0.0f));
	STOREF(largest * SPLATF(1.0f / (float)most), (__global float *)out);
	STOREF(total, (__global float *)out + WIDTH);
	out += 2 * WIDTH;
	for (int u = 0; u < group; u += WIDTH * unit)
		for (int p = 0; p < planes; p++)
			for (int i = u; i < min_int(group, u + WIDTH * unit); i += unit, out += WIDTH)
				STOREI(panel_word(v + i + p, far, quads, inv), out);
}

/* One tile's part in a lane: n groups or steps from its `first` on. */
struct panel_lane {
	struct panel_part part;
	int lane, first, n, tile, panels;
	int far;                       /* as PANEL_STEPS has it */
};

/* The first of its inputs, of the panel at t. */
INLINE __global const float *panel_input(const struct panel *p, int lane, int first, int t)
{
	ulong at = p->groups ? (ulong)(panel_place(min_int(lane, p->groups - 1), p->groups) +
	                       first) * (2 + p->steps) : (ulong)lane * (p->steps | 1) + first;

	return p->x + (ulong)(t / WIDTH) * p->apart + at * WIDTH;
}

#define PANEL_LANE(kind, ...) \
	do { \
		if (l->panels == 1) \
			kind##_one(&l->part, state, w, __VA_ARGS__); \
		else if (l->far) \
			kind(&l->part, state, w, __VA_ARGS__); \
		else \
			kind##_near(&l->part, state, w, __VA_ARGS__); \
	} while (0)

INLINE void panel_lane_floats(const struct panel *p, const struct panel_lane *l,
                              LOCAL float *state)
{
	LOCAL const float *w = p->w + (ulong)l->tile * p->tile + (ulong)l->lane * p->lane +
	                       l->first * PANEL_ROWS;

	PANEL_LANE(panel_floats, min_int(l->n, p->steps - l->first));
}

INLINE void panel_lane_codes(const struct panel *p, const struct panel_lane *l,
                             LOCAL float *state)
{
	int first = panel_place(l->lane, p->groups) + l->first, steps = p->steps;
	int groups = min_int(l->n, (p->groups - l->lane + WIDTH - 1) / WIDTH - l->first);
	LOCAL const int *w = (LOCAL const int *)p->w + (ulong)l->tile * p->tile + first * p->lane;
	LOCAL const float *scales =
		p->scales + ((ulong)l->tile * p->groups + first) * 2 * PANEL_PADDED;

	if (l->lane >= p->groups) /* its sums are zeros */
		groups = 0;
#ifndef __OPENCL_C_VERSION__
	if (p->quads) {
		PANEL_LANE(panel_quads, scales, groups, steps);
		return;
	}
#endif
	PANEL_LANE(panel_pairs, scales, groups, steps);
}

/* What is read after l, for all its tiles. */
INLINE __global const float *panel_ahead(const struct panel *p, const struct panel_lane *l,
                                         int t)
{
	if (!l->part.ends)
		return panel_input(p, l->lane, l->first + l->n, t);
	if (l->lane + 1 < WIDTH)
		return panel_input(p, l->lane + 1, 0, t);
	return t + 2 * WIDTH < p->n_rows ? panel_input(p, 0, 0, t + 2 * WIDTH) : l->part.x;
}

/* Part of a lane for all tiles; of each panel that is read next a tile asks for
 * `share` numbers, of the one or of the other. */
INLINE void panel_tiles(const struct panel *p, const int floats, struct panel_lane *l, int t,
                        int tiles, const ulong share[2])
{
	__global const float *ahead = panel_ahead(p, l, t);

	for (l->tile = 0; l->tile < tiles; l->tile++) {
		LOCAL float *state = p->state + l->tile * PANEL_STATE;
		int k = l->tile & (l->panels - 1);

		l->far = l->tile == 0 || l->part.pace == WIDTH;
		l->part.next = ahead + k * p->apart + (l->tile >> (l->panels - 1)) * share[k];
		if (floats)
			panel_lane_floats(p, l, state);
		else
			panel_lane_codes(p, l, state);
	}
}

/* All tiles for the tokens from t on, lane by lane and part by part: a part's
 * inputs are in the first cache for all tiles but one, while the next one's
 * come nearer, and the results of a lane's share of the tokens. */
INLINE void panel_lanes(const struct panel *p, const int floats, int t, int tokens, int n,
                        __global const float *y)
{
	int panels = tokens > WIDTH ? 2 : 1, tiles = (n + PANEL_ROWS - 1) / PANEL_ROWS;
	int size = p->groups ? 2 + p->steps : 1; /* vectors of one of a part's */
	int all = p->groups ? (p->groups + WIDTH - 1) / WIDTH : p->steps;
	int parts = (all * size + PANEL_NEAR - 1) / PANEL_NEAR;
	struct panel_lane l = { { 0, 0, p->apart, tiles >= 2 * panels ? WIDTH / 2 : WIDTH, 0, 0, 0 },
	                        0, 0, (all + parts - 1) / parts, 0, panels, 1 };
	ulong share[2];

	if (floats)
		l.n = (l.n + PANEL_UNROLL - 1) / PANEL_UNROLL * PANEL_UNROLL;
	for (int k = 0; k < 2; k++) {
		int sharing = (tiles + panels - 1 - k) / panels;

		share[k] = (ulong)((l.n * size + sharing) / (sharing + !sharing)) * WIDTH;
	}
	for (l.lane = 0; l.lane < WIDTH; l.lane++) {
		for (int i = 2 * l.lane; i < min_int(tokens, 2 * l.lane + 2); i++)
			for (int k = 0; k < n; k += PANEL_ROWS)
				PREFETCH_FAR(y + (ulong)(t + i) * p->n_out + k);
		l.part.levels = panel_levels(l.lane);
		for (l.first = 0; l.first < all; l.first += l.n) {
			l.part.x = panel_input(p, l.lane, l.first, t);
			l.part.begins = l.first == 0;
			l.part.ends = l.first + l.n >= all;
			panel_tiles(p, floats, &l, t, tiles, share);
		}
	}
}

INLINE void panel_all(const struct panel *p, const int floats, MATMUL_OUT)
{
	int stride = p->n_tiles * PANEL_ROWS + WIDTH;
	int n = min_int(p->n_out - p->row, p->n_tiles * PANEL_ROWS);

	for (int t = 0; t < p->n_rows; t += 2 * WIDTH) {
		int tokens = min_int(p->n_rows - t, 2 * WIDTH);

		panel_lanes(p, floats, t, tokens, n, y + y_at + p->row);
		for (int tile = 0; tile * PANEL_ROWS < n; tile++)
			panel_turn(p->out + tile * PANEL_ROWS, stride, p->state + tile * PANEL_STATE,
			           tokens > WIDTH ? 2 : 1);
		for (int i = 0; i < tokens; i++)
			panel_put(p->out + i * stride, y + y_at + (ulong)(t + i) * p->n_out + p->row, n,
			          bias, bias_at + p->row, flags);
	}
}

KERNEL(panel_float)(ITEM __global const uchar *w, ulong w_at, int w_type, __global const float *q,
                    ulong q_at, MATMUL_OUT, int n_rows, int n_out, int n_in, int n_tiles,
                    LOCAL float *scratch)
{
	struct panel p;

	p.steps = (n_in + WIDTH - 1) / WIDTH;
	p.lane = PANEL_WORDS(p.steps);
	p.tile = WIDTH * p.lane;
	p.apart = (ulong)(p.steps | 1) * WIDTH * WIDTH;
	p.x = q + q_at;
	p.out = scratch;
	p.state = p.out + 2 * WIDTH * (PANEL_ROWS * n_tiles + WIDTH);
	p.w = p.state + n_tiles * PANEL_STATE;
	p.scales = 0;
	p.groups = p.quads = 0;
	p.row = (int)ITEM_ID * PANEL_ROWS * n_tiles;
	p.n_tiles = n_tiles;
	p.n_rows = n_rows;
	p.n_out = n_out;
	for (int i = 0; i < n_tiles && p.row + i * PANEL_ROWS < n_out; i++)
		panel_tile_floats(&p, p.w + i * p.tile, w + w_at, w_type, p.row + i * PANEL_ROWS, n_in);
	panel_all(&p, 1, y, y_at, bias, bias_at, flags);
}

KERNEL(panel_codes)(ITEM __global const uchar *w, ulong w_at, __global const uchar *s, ulong s_at,
                    __global const uchar *b, ulong b_at, int s_type, __global const int *q,
                    ulong q_at, MATMUL_OUT, int n_rows, int n_out, int n_in, int bits, int group,
                    int quads, int n_tiles, LOCAL float *scratch)
{
	struct panel_source c = { w + w_at, s + s_at, b + b_at, s_type, 0, n_out,
	                          group / UNIT_OF(bits), (ulong)n_in / 8 * bits };
	struct panel p;

	p.groups = n_in / group;
	p.quads = quads;
	p.steps = c.units * UNIT_OF(bits) / (quads ? 4 : 2);
	p.lane = PANEL_WORDS(p.steps);
	p.tile = p.groups * p.lane;
	p.apart = (ulong)p.groups * (2 + p.steps) * WIDTH;
	p.x = (__global const float *)q + q_at;
	p.out = scratch;
	p.state = p.out + 2 * WIDTH * (PANEL_ROWS * n_tiles + WIDTH);
	p.scales = p.state + n_tiles * PANEL_STATE;
	p.w = p.scales + (ulong)n_tiles * p.groups * 2 * PANEL_PADDED;
	p.row = (int)ITEM_ID * PANEL_ROWS * n_tiles;
	p.n_tiles = n_tiles;
	p.n_rows = n_rows;
	p.n_out = n_out;
	for (int i = 0; i < n_tiles && p.row + i * PANEL_ROWS < n_out; i++) {
		LOCAL float *scales = p.scales + (ulong)i * p.groups * 2 * PANEL_PADDED;

		c.row = p.row + i * PANEL_ROWS;
		panel_unpack(bits, &p, &c, (LOCAL int *)p.w + i * p.tile);
		panel_scales(scales, &p, &c, c.s);
		panel_scales(scales + PANEL_PADDED, &p, &c, c.b);
	}
	panel_all(&p, 0, y, y_at, bias, bias_at, flags);
}
