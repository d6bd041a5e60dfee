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
 *                       floats: n_tiles * WIDTH * ceil(steps / WIDTH) *
 *                       PANEL_ROWS * WIDTH + PANEL_STATE + 2 * WIDTH *
 *                       (PANEL_ROWS * n_tiles + WIDTH)
 * panel_codes           the same; scratch: n_tiles * PANEL_ROWS * (vectors *
 *                       planes * WIDTH + 2 * groups) + 6 * WIDTH and the rest, vectors of
 *                       units being ceil(n_in / UNIT / WIDTH), planes UNIT / 2,
 *                       with quads UNIT / 4 */
#include "panel.clh"
#include "units.clh"

enum { PANEL_GROUP = 128 };

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
INLINE VI panel_word(const VF *v, int half, int quads, VF inv)
{
	VI low = round_lanes(v[0] * inv), high = round_lanes(v[half] * inv);

	if (!quads)
		return (low & SPLATI(0xffff)) | high << 16;
	return (low & SPLATI(0xff)) | (high & SPLATI(0xff)) << 16 |
	       (round_lanes(v[half / 2] * inv) & SPLATI(0xff)) << 8 |
	       round_lanes(v[half + half / 2] * inv) << 24;
}

/* Where group g lies among those of a panel. */
static inline int panel_place(int g, int groups)
{
	int lane = g % WIDTH;

	return lane * (groups / WIDTH) + min_int(lane, groups % WIDTH) + g / WIDTH;
}

KERNEL(panel_prepare_codes)(ITEM __global const float *x, ulong x_at, __global int *q, ulong q_at,
                            int n_rows, int n_in, int bits, int group, int quads, int most)
{
	int groups = n_in / group, unit = UNIT_OF(bits), half = unit / 2;
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
				STOREI(panel_word(v + i + p, half, quads, inv), out);
}

/* What tiles multiply. */
struct panel {
	__global const float *x;
	LOCAL float *w, *scales, *acc, *out, *zeros;
	int row, n_tiles, n_rows, n_out;
	int steps, blocks;                           /* of floats: of a lane */
	int groups, words, units, planes, vectors, quads; /* of codes */
};

INLINE void panel_tile_floats(const struct panel *p, int tile, int t, int panels)
{
	ulong lane = (ulong)(p->steps | 1) * WIDTH, block = p->blocks * PANEL_ROWS * WIDTH;
	__global const float *x = p->x + (ulong)t * lane;
	LOCAL const float *w = p->w + (ulong)tile * WIDTH * block;

	for (int l = 0; l < WIDTH; l++, x += lane, w += block) {
		if (panels == 2)
			panel_floats(p->acc, w, x, WIDTH * lane, p->steps, panel_levels(l));
		else
			panel_floats_one(p->acc, w, x, WIDTH * lane, p->steps, panel_levels(l));
	}
}

INLINE void panel_tile_codes(const struct panel *p, int tile, int t, int panels)
{
	ulong one = (ulong)(2 + p->words) * WIDTH, apart = p->groups * one;
	__global const int *x = (__global const int *)p->x + (ulong)(t / WIDTH) * apart, *first = x;
	int row = p->planes * WIDTH;
	LOCAL const int *w = (LOCAL const int *)p->w + (ulong)tile * p->vectors * PANEL_ROWS * row;
	LOCAL const float *scales = p->scales + (ulong)tile * p->groups * PANEL_ROWS * 2;

	for (int l = 0; l < WIDTH; l++) {
		int g = l;

		do { /* a lane without groups has one of zeros */
			int unit = g < p->groups ? g * p->units : 0, none = g >= p->groups;
			int more = g + WIDTH < p->groups;
			int next = (more ? g + WIDTH : min_int(l + 1, p->groups - 1)) * p->units;

			panel_dots(panels, p->planes, p->quads, p->acc,
			           w + (ulong)(unit / WIDTH) * PANEL_ROWS * row + unit % WIDTH,
			           none ? p->zeros : scales + g * PANEL_ROWS * 2, none ? first : x, apart,
			           none ? 0 : p->units, w + (ulong)(next / WIDTH) * PANEL_ROWS * row,
			           g == l, more ? -1 : panel_levels(l));
			x += none ? 0 : one;
			g += WIDTH;
		} while (g < p->groups);
	}
}

INLINE void panel_all(const struct panel *p, const int floats, MATMUL_OUT)
{
	int stride = p->n_tiles * PANEL_ROWS + WIDTH;
	int n = min_int(p->n_out - p->row, p->n_tiles * PANEL_ROWS);

	for (int t = 0; t < p->n_rows; t += 2 * WIDTH) {
		int tokens = min_int(p->n_rows - t, 2 * WIDTH), panels = tokens > WIDTH ? 2 : 1;

		for (int tile = 0; tile * PANEL_ROWS < n; tile++) {
			if (floats)
				panel_tile_floats(p, tile, t, panels);
			else
				panel_tile_codes(p, tile, t, panels);
			panel_turn(p->out + tile * PANEL_ROWS, stride, p->acc, panels);
		}
		for (int i = 0; i < tokens; i++)
			panel_put(p->out + i * stride, y + y_at + (ulong)(t + i) * p->n_out + p->row, n,
			          bias, bias_at + p->row, flags);
	}
}

/* WIDTH vectors of a row, from column `at` on, to its places in a tile: of
 * each lane WIDTH steps. */
INLINE void panel_unpack_floats(LOCAL float *to, ulong lane, __global const uchar *w, int type,
                                int left)
{
	VF v[WIDTH];

	for (int i = 0; i < WIDTH; i++) {
		int n = left - i * WIDTH;

		if (n >= WIDTH)
			v[i] = load_stored(type, w, i * WIDTH);
		else if (n > 0)
			v[i] = load_stored_few(type, w, i * WIDTH, n);
		else
			v[i] = SPLATF(0.0f);
	}
	turn(v);
	UNROLL for (int l = 0; l < WIDTH; l++)
		STOREF(v[l], to + l * lane);
}

#define PANEL_UNPACK(TYPE) \
	case TYPE: \
		for (int c = 0; c < n_in; c += WIDTH * WIDTH, to += PANEL_ROWS * WIDTH, \
		         w += WIDTH * WIDTH * stored_size(TYPE)) { \
			for (int k = 0; k < WIDTH * WIDTH * stored_size(TYPE); k += 64) \
				PREFETCH(w + AHEAD + k); \
			panel_unpack_floats(to, lane, w, TYPE, n_in - c); \
		} \
		break

NOINLINE void panel_row_floats(LOCAL float *to, ulong lane, __global const uchar *w, int type,
                               int n_in)
{
	switch (type) {
	PANEL_UNPACK(STORED_F32);
	PANEL_UNPACK(STORED_F16);
	PANEL_UNPACK(STORED_BF16);
	PANEL_UNPACK(STORED_E4M3);
	PANEL_UNPACK(STORED_E5M2);
	}
}

KERNEL(panel_float)(ITEM __global const uchar *w, ulong w_at, int w_type, __global const float *q,
                    ulong q_at, MATMUL_OUT, int n_rows, int n_out, int n_in, int n_tiles,
                    LOCAL float *scratch)
{
	int steps = (n_in + WIDTH - 1) / WIDTH, blocks = (steps + WIDTH - 1) / WIDTH;
	ulong lane = (ulong)blocks * PANEL_ROWS * WIDTH;
	LOCAL float *acc = scratch + (ulong)n_tiles * WIDTH * lane;
	struct panel p;

	p.x = q + q_at;
	p.w = scratch;
	p.acc = acc;
	p.out = acc + PANEL_STATE;
	p.row = (int)ITEM_ID * PANEL_ROWS * n_tiles;
	p.n_tiles = n_tiles;
	p.n_rows = n_rows;
	p.n_out = n_out;
	p.steps = steps;
	p.blocks = blocks;
	for (int r = 0; r < n_tiles * PANEL_ROWS && p.row + r / PANEL_ROWS * PANEL_ROWS < n_out; r++)
		panel_row_floats(scratch + r / PANEL_ROWS * WIDTH * lane + r % PANEL_ROWS * WIDTH, lane,
		                 w + w_at + (ulong)min_int(p.row + r, n_out - 1) * n_in *
		                 stored_size(w_type), w_type, n_in);
	panel_all(&p, 1, y, y_at, bias, bias_at, flags);
}

/* A row's codes: `left` bytes of the weight from it on are there. */
INLINE void panel_unpack_codes(const int bits, int quads, LOCAL int *to, int vectors,
                               __global const uchar *w, ulong left)
{
	const int planes = UNIT_OF(bits) / 2, bytes = WIDTH * UNIT_OF(bits) * bits / 8;
	const VU mask = SPLATU(0x00010001u * ((1u << bits) - 1));
	uchar tail[4 * WIDTH];

	for (int i = 0; i < vectors; i++, w += bytes, left -= bytes) {
		__global const uchar *from = w;
		VU v;

		PREFETCH(w + AHEAD);
		if (left < 4 * WIDTH) {
			for (int k = 0; k < 4 * WIDTH; k++)
				tail[k] = k < (int)left ? w[k] : 0;
			from = AS_GLOBAL(tail);
		}
		v = load_units(bits, from);
		if (quads) {
			UNROLL for (int p = 0; p < planes / 2; p++)
				STOREI(ASI(((v >> (bits * p)) & mask) |
				           ((v >> (bits * (p + planes / 2))) & mask) << 8),
				       to + p * WIDTH);
			to += PANEL_ROWS * (planes / 2) * WIDTH;
		} else {
			UNROLL for (int p = 0; p < planes; p++)
				STOREI(ASI((v >> (bits * p)) & mask), to + p * WIDTH);
			to += PANEL_ROWS * planes * WIDTH;
		}
	}
}

NOINLINE void panel_row_codes(int bits, int quads, LOCAL int *to, int vectors,
                              __global const uchar *w, ulong left)
{
	switch (bits) {
	case 2:
		panel_unpack_codes(2, quads, to, vectors, w, left);
		break;
	case 3:
		panel_unpack_codes(3, quads, to, vectors, w, left);
		break;
	case 4:
		panel_unpack_codes(4, quads, to, vectors, w, left);
		break;
	case 5:
		panel_unpack_codes(5, quads, to, vectors, w, left);
		break;
	case 6:
		panel_unpack_codes(6, quads, to, vectors, w, left);
		break;
	default:
		panel_unpack_codes(8, quads, to, vectors, w, left);
		break;
	}
}

/* A row's scales or bases: those of group g to to[2 * PANEL_ROWS * g]. */
NOINLINE void panel_row_scales(LOCAL float *to, int type, __global const uchar *s, int groups,
                               int row, int n_out)
{
	for (int c = 0; c * WIDTH < groups; c++) {
		float t[WIDTH];

		STOREF(chunk_scales(type, s, groups, row, c, n_out), t);
		for (int i = 0; i < min_int(groups - c * WIDTH, WIDTH); i++, to += 2 * PANEL_ROWS)
			*to = t[i];
	}
}

KERNEL(panel_codes)(ITEM __global const uchar *w, ulong w_at, __global const uchar *s, ulong s_at,
                    __global const uchar *b, ulong b_at, int s_type, __global const int *q,
                    ulong q_at, MATMUL_OUT, int n_rows, int n_out, int n_in, int bits, int group,
                    int quads, int n_tiles, LOCAL int *scratch)
{
	ulong row_bytes = (ulong)n_in / 8 * bits;
	int unit = UNIT_OF(bits), groups = n_in / group;
	struct panel p;

	p.units = group / unit;
	p.planes = quads ? unit / 4 : unit / 2;
	p.words = p.units * p.planes;
	p.vectors = (groups * p.units + WIDTH - 1) / WIDTH;
	p.groups = groups;
	p.quads = quads;
	p.x = (__global const float *)q + q_at;
	p.w = (LOCAL float *)scratch;
	p.scales = p.w + (ulong)n_tiles * p.vectors * PANEL_ROWS * p.planes * WIDTH;
	p.acc = p.scales + ((ulong)n_tiles * groups * PANEL_ROWS * 2 + WIDTH - 1) / WIDTH * WIDTH;
	p.zeros = p.acc + PANEL_STATE;
	p.out = p.zeros + 4 * WIDTH;
	for (int i = 0; i < 4 * WIDTH; i += WIDTH)
		STOREF(SPLATF(0.0f), p.zeros + i);
	p.row = (int)ITEM_ID * PANEL_ROWS * n_tiles;
	p.n_tiles = n_tiles;
	p.n_rows = n_rows;
	p.n_out = n_out;
	for (int r = 0; r < n_tiles * PANEL_ROWS && p.row + r / PANEL_ROWS * PANEL_ROWS < n_out;
	     r++) {
		int row = min_int(p.row + r, n_out - 1), tile = r / PANEL_ROWS, at = r % PANEL_ROWS;
		LOCAL float *scales = p.scales + ((ulong)tile * groups * PANEL_ROWS + at) * 2;

		panel_row_codes(bits, quads, scratch + ((ulong)tile * p.vectors * PANEL_ROWS + at) *
		                p.planes * WIDTH, p.vectors, w + w_at + row * row_bytes,
		                (n_out - row) * row_bytes);
		panel_row_scales(scales, s_type, s + s_at, groups, row, n_out);
		panel_row_scales(scales + 1, s_type, b + b_at, groups, row, n_out);
	}
	panel_all(&p, 0, y, y_at, bias, bias_at, flags);
}
