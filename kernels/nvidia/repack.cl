/* SPDX-License-Identifier: MIT */
/* repack.cl - rows as a file has them into the tiles of tile.clh
 * w, s, z: `rows` rows of n_in columns; out: n_out words of tiles from word
 * `to` on. A work-item a word of the result. That this program builds is the
 * proof that the device takes our PTX. */
#include "ptx.clh"

/* The row of word `at` in rows of tiles of n words; past the end, the last. */
int row_of(ulong at, ulong n, int g, int rows)
{
	return min((int)(at / n) * 16 + g, rows - 1);
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void repack4(global const uint *restrict w, global uint *restrict out, ulong to, int n_in,
             int rows, ulong n_out)
{
	ulong at = get_global_id(0);
	int word = at % 256, lane = word / 4 % 32, tile = at / 256 % (n_in / 128);
	uint v, r = 0;

	if (at >= n_out)
		return;
	v = w[(size_t)row_of(at, (ulong)n_in * 2, word / 128 * 8 + lane / 4, rows) * (n_in / 8) +
	      tile * 16 + word % 4 * 4 + lane % 4];
	for (int i = 0; i < 8; i++)
		r |= (v >> 4 * i & 15) << 4 * (i / 2 + i % 2 * 4);
	out[to + at] = r;
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void repack8(global const uint *restrict w, global uint *restrict out, ulong to, int n_in,
             int rows, ulong n_out)
{
	ulong at = get_global_id(0);
	int word = at % 512, lane = word / 4 % 32, tile = at / 512 % (n_in / 128);
	int row = row_of(at, (ulong)n_in * 4, word % 2 * 8 + lane / 4, rows);

	if (at < n_out)
		out[to + at] = w[(size_t)row * (n_in / 4) + tile * 32 + word / 128 * 8 + lane % 4 * 2 +
		            word / 2 % 2];
}

kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void repack16(global const uint *restrict w, global uint *restrict out, ulong to, int n_in,
              int rows, ulong n_out)
{
	ulong at = get_global_id(0);
	int word = at % 1024, lane = word / 4 % 32, tile = at / 1024 % (n_in / 128);
	int row = row_of(at, (ulong)n_in * 8, word % 2 * 8 + lane / 4, rows);

	if (at < n_out)
		out[to + at] = w[(size_t)row * (n_in / 2) + tile * 64 + word / 256 * 16 + lane % 4 * 4 +
		            word / 128 % 2 * 2 + word / 2 % 2];
}

/* Scales and biases: `groups` to a tile's row. */
kernel __attribute__((reqd_work_group_size(LANES, 1, 1)))
void repack_scales(global const ushort *restrict s, global const ushort *restrict z,
                   global uint *restrict out, ulong to, int n_in, int rows, int groups,
                   ulong n_out)
{
	ulong at = get_global_id(0);
	int tiles = n_in / 128, word = at % (16 * groups), tile = at / (16 * groups) % tiles;
	int row = row_of(at, (ulong)tiles * 16 * groups, word / groups, rows);
	size_t from = ((size_t)row * tiles + tile) * groups + word % groups;

	if (at < n_out)
		out[to + at] = s[from] | (uint)z[from] << 16;
}

/* Never run. */
kernel void probe(global uint4 *p)
{
	uint4 v = load_once(p);
	float d[4] = {as_float(v.x), as_float(v.y), as_float(v.z), as_float(v.w)};

	mma_f16(d, codes4(v.x), codes8_low(v.y), codes8_high(v.z), v.w, v.x, v.y);
	mma_bf16(d, v.x, v.y, v.z, v.w, v.x, pack_bf16(d[0], d[1]));
	p[1] = (uint4)(pack_f16(d[0], low_f16(v.x)), as_uint(high_f16(v.y)),
	               as_uint(shuffle_xor(d[2], 1)), as_uint(shuffle_at(d[3], 2)));
}
