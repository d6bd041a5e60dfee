/* SPDX-License-Identifier: MIT */
/* team.cl - the CPU rows of a step of one row, launch after launch within one.
 *
 * A phase is what would be a launch: its kind, how many items, then its arguments as they would
 * be set, memory by its address, which is one on a CPU. The groups of the launch, one a
 * processor, take items of a phase until none is left and go on when all are done. Nobody waits
 * for a group that has taken nothing, so that it does not matter when groups begin, nor whether
 * beside each other.
 *
 *   phases   [n_phases][PHASE_WORDS]
 *   parts    a line with the time of a rest (seconds, nanoseconds, 64 bits each); then
 *            [n_groups][stride] what nobody has taken of the group's part of each phase,
 *            end << 16 | begin; then [n_groups][stride] items that the group has done, at
 *            first 0. A stride is whole lines.
 *   scratch  as much as the phase that needs most
 *
 * A part's owner takes half of it, then half of what is left, so that what it reads lies in
 * a row; whoever has nothing left takes half of what another has. */
#define TEAM
#include "cpu/attention.cl"
#include "cpu/kv_write.cl"
#include "cpu/rope.cl"
#include "cpu/norm.cl"
#include "cpu/glu.cl"
#include "cpu/matmul.clh" /* here: a text is included once */
#ifdef BITS
#include "cpu/matmul_affine.cl"
#endif
#include "cpu/matmul_float.cl"

enum {
	PHASE_NORM, PHASE_ROPE, PHASE_KV_WRITE, PHASE_ATTENTION, PHASE_MERGE, PHASE_GLU, PHASE_ADD,
	PHASE_SCALE, PHASE_FLOAT_PREPARE, PHASE_FLOAT_VEC, PHASE_AFFINE_PREPARE, PHASE_AFFINE_VEC,
};
enum { PHASE_WORDS = 32, LINE_WORDS = 16, HALF_WORD = 16, PATIENCE = 2000 };

#define BYTES(i) ((__global uchar *)(size_t)a[i])
#define FLOATS(i) ((__global float *)(size_t)a[i])
#define INTS(i) ((__global int *)(size_t)a[i])
#define INT(i) ((int)a[i])
#define FLOAT(i) as_float((uint)a[i])

static void do_item(int kind, ulong item, __global const ulong *a, LOCAL int *scratch)
{
	LOCAL float *floats = (LOCAL float *)scratch;

	switch (kind) {
	case PHASE_NORM:
		norm_rms(item, FLOATS(0), a[1], FLOATS(2), a[3], FLOATS(4), a[5], INT(6), FLOAT(7));
		break;
	case PHASE_ROPE:
		rope(item, FLOATS(0), a[1], FLOATS(2), a[3], INT(4), INT(5), INT(6), INT(7));
		break;
	case PHASE_KV_WRITE:
		kv_write(item, FLOATS(0), a[1], FLOATS(2), a[3], BYTES(4), a[5], BYTES(6), a[7], INT(8),
		         INTS(9), INTS(10), INTS(11), a[12], INT(13), INT(14), INT(15));
		break;
	case PHASE_ATTENTION:
		attention(item, FLOATS(0), a[1], FLOATS(2), a[3], BYTES(4), a[5], BYTES(6), a[7], INT(8),
		          INTS(9), INTS(10), INTS(11), a[12], INT(13), INT(14), INT(15), INT(16), INT(17),
		          FLOAT(18), FLOAT(19), INT(20), INT(21), INT(22), FLOATS(23), a[24], FLOATS(25),
		          floats);
		break;
	case PHASE_MERGE:
		attention_merge(item, FLOATS(0), a[1], FLOATS(2), a[3], INTS(4), INT(5), INT(6), INT(7),
		                INT(8), FLOATS(9), floats);
		break;
	case PHASE_GLU:
		glu(item, FLOATS(0), a[1], FLOATS(2), a[3], FLOATS(4), a[5], a[6], INT(7));
		break;
	case PHASE_ADD:
		add(item, FLOATS(0), a[1], FLOATS(2), a[3], a[4]);
		break;
	case PHASE_SCALE:
		scale(item, FLOATS(0), a[1], a[2], FLOAT(3), FLOAT(4));
		break;
	case PHASE_FLOAT_PREPARE:
		float_prepare(item, FLOATS(0), a[1], FLOATS(2), a[3], INT(4), INT(5));
		break;
	case PHASE_FLOAT_VEC:
		float_vec(item, BYTES(0), a[1], INT(2), FLOATS(3), a[4], FLOATS(5), a[6], FLOATS(7), a[8],
		          INT(9), INT(10), INT(11), INT(12), INT(13));
		break;
#ifdef TEAM_FORM
	case PHASE_AFFINE_PREPARE:
		TEAM_FORM(affine_prepare_one)(item, FLOATS(0), a[1], INTS(2), a[3], INT(4), INT(5),
		                              INT(6));
		break;
	case PHASE_AFFINE_VEC:
		TEAM_FORM(affine_vec)(item, BYTES(0), a[1], BYTES(2), a[3], BYTES(4), a[5], INT(6), INTS(7),
		                      a[8], FLOATS(9), a[10], FLOATS(11), a[12], INT(13), INT(14), INT(15),
		                      INT(16), INT(17));
		break;
#endif
	}
}

#define LEFT_OF(part) ((int)((part) >> HALF_WORD) - (int)((part) & 0xffff))

/* The first half of a part, or the second; how many, from *begin on. */
static int take(__global uint *part, bool second, int *begin)
{
	uint had = __atomic_load_n(part, __ATOMIC_RELAXED);

	while (LEFT_OF(had)) {
		uint begins = had & 0xffff, ends = had >> HALF_WORD;
		uint middle = (begins + ends + !second) / 2;
		uint now = second ? middle << HALF_WORD | begins : ends << HALF_WORD | middle;

		if (!__atomic_compare_exchange_n(part, &had, now, false, __ATOMIC_RELAXED,
		                                 __ATOMIC_RELAXED))
			continue;
		*begin = (int)(second ? middle : begins);
		return second ? (int)(ends - middle) : (int)(middle - begins);
	}
	return 0;
}

/* Items of a part until none is left; how many. */
static int do_part(__global uint *part, bool second, __global const ulong *phase,
                   LOCAL int *scratch)
{
	int n, begin, all = 0;

	while ((n = take(part, second, &begin))) {
		for (int i = begin; i < begin + n; i++)
			do_item((int)phase[0], (ulong)i, phase + 2, scratch);
		all += n;
	}
	return all;
}

static int count_done(__global const uint *done, int n_groups, int stride)
{
	int all = 0;

	for (int g = 0; g < n_groups; g++)
		all += (int)__atomic_load_n(done + (ulong)g * stride, __ATOMIC_ACQUIRE);
	return all;
}

/* A moment; after many of them a rest, so that whoever is waited for may have the processor. */
NOINLINE void wait_for_others(int waited, __global const uint *rest)
{
#if defined(LINUX) && defined(__x86_64__)
	long nanosleep = 35;

	if (waited > PATIENCE)
		__asm__ volatile("syscall" : "+a"(nanosleep) : "D"((size_t)rest), "S"(0L)
		                 : "rcx", "r11", "memory");
	else
		__builtin_ia32_pause();
#elif defined(LINUX) && defined(__aarch64__)
	if (waited > PATIENCE) /* nanosleep */
		__asm__ volatile("mov x8, #101\n\tmov x0, %0\n\tmov x1, xzr\n\tsvc #0"
		                 : : "r"((size_t)rest) : "x0", "x1", "x8", "memory");
#endif
}

/* Until all items are done; part and done are of the phase. */
static void do_phase(__global const ulong *phase, __global uint *part, __global uint *done,
                     int stride, __global const uint *rest, LOCAL int *scratch)
{
	int group = (int)get_group_id(0), n_groups = (int)get_num_groups(0);
	int n = (int)phase[1], mine, more, waited = 0;
	bool open = n > 0;

	mine = do_part(part + (ulong)group * stride, false, phase, scratch);
	if (mine)
		__atomic_store_n(done + (ulong)group * stride, (uint)mine, __ATOMIC_RELEASE);
	while (count_done(done, n_groups, stride) < n) {
		/* a single item is its owner's, unless that one is not there */
		if (!open || (n == 1 && waited < PATIENCE)) {
			wait_for_others(waited++, rest);
			continue;
		}
		more = 0;
		for (int g = 1; g < n_groups; g++)
			more += do_part(part + (ulong)((group + g) % n_groups) * stride, true, phase,
			                scratch);
		mine += more;
		if (more)
			__atomic_store_n(done + (ulong)group * stride, (uint)mine, __ATOMIC_RELEASE);
		open = more; /* what is taken does not come back */
	}
}

__kernel void team(__global const ulong *phases, int n_phases, __global uint *parts, int stride,
                   __local int *scratch)
{
	__global uint *part = parts + LINE_WORDS, *done = part + (ulong)get_num_groups(0) * stride;

	for (int k = 0; k < n_phases; k++)
		do_phase(phases + (ulong)k * PHASE_WORDS, part + k, done + k, stride, parts, scratch);
}

/* Where memory is that other kernels are given as an argument. */
__kernel void place(__global uchar *memory, __global ulong *out, int i)
{
	out[i] = (ulong)(size_t)memory;
}
