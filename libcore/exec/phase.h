/* SPDX-License-Identifier: MIT */
/* phase.h - the phases of a persistent step, as in kernels/nvidia/phase.clh
 * (private to exec/). Places in slabs are in bytes, in the scratch in floats,
 * in the table in words. */
#ifndef CLM_EXEC_PHASE_H
#define CLM_EXEC_PHASE_H

#include <stdint.h>

enum { PHASE_PRODUCT, PHASE_ATTENTION, PHASE_NORM, PHASE_ROUTER, PHASE_EXPERTS, PHASE_MIX };
enum { INPUT_F32, INPUT_NORM, INPUT_HALF };
enum { PHASE_PARTS = 4 };

struct place {
	uint64_t at;
	int slab, given;
};

/* A run of tiles with one result. */
struct phase_part {
	struct place w, s, b;
	uint64_t y;
	int end, n, first, width; /* tiles up to here; rows; where they begin in y */
};

struct phase {
	int kind, input, n_in, parts;
	int pairs, add, out, picked; /* pairs: gate and up; picked: rows by the table's out */
	int tiles, out_at;
	float eps, scale;
	uint64_t x, k, v, y;            /* attention: queries, keys, values, result;
	                             * experts: k are the router's logits */
	struct place g;              /* the norm's weight */
	struct place q_norm, k_norm, keys, values;
	int pos_at, pages_at, angle_at, window;
	int each, more;              /* rows of tiles, or pairs, of every group; groups with another */
	uint64_t spans_at;
	int meets, comes;            /* how often the groups have met when it begins; 0: they
	                              * need not meet before it; whether they meet after it */
	struct edge { int ring, at; } from, to; /* ring 0: none */
	struct phase_part part[PHASE_PARTS];
};

/* As in kernels/nvidia/edge.clh: a ring for rows of f32, one for those of f16. */
enum { SYNC_WORDS = 16 + 8 * 256, EDGE_RINGS = 2, EDGE_RING = 4, EDGE_WORDS = 16384 };
#define EDGE_DUE 0xffffffffu

_Static_assert(sizeof(struct phase) == 504, "as the kernel has it");

#endif
