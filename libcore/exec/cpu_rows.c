/* SPDX-License-Identifier: MIT */
/* cpu_rows.c - the CPU kernels as tables, and which of them may run here. */
#include "exec/cpu_rows.h"

#include <string.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

#define FIELD(name) (*((const struct cpu_rows *)0)->name)
#define KERNEL(name, isa) extern __typeof__(FIELD(name)) name##_##isa
#define DECLARE(isa) \
	KERNEL(float_prepare, isa); \
	KERNEL(float_vec, isa); \
	KERNEL(float_tile, isa); \
	KERNEL(panel_prepare_float, isa); \
	KERNEL(panel_prepare_codes, isa); \
	KERNEL(panel_float, isa); \
	KERNEL(panel_codes, isa); \
	KERNEL(norm_rms, isa); \
	KERNEL(rope, isa); \
	KERNEL(glu, isa); \
	KERNEL(add, isa); \
	KERNEL(scale, isa); \
	KERNEL(activate, isa); \
	KERNEL(norm_layer, isa); \
	KERNEL(encode, isa); \
	KERNEL(conv, isa); \
	KERNEL(delta, isa); \
	KERNEL(decay, isa); \
	KERNEL(kv_write, isa); \
	KERNEL(attention, isa); \
	KERNEL(attention_merge, isa); \
	extern const struct cpu_affine affine_rows_##isa[CPU_AFFINE_BITS][CPU_AFFINE_GROUPS]
#define TABLE(level, isa, lanes, ...) \
	static const struct cpu_rows rows_##level = { \
		.name = #level, \
		.width = lanes, \
		.affine = affine_rows_##isa, \
		.float_prepare = float_prepare_##isa, \
		.float_vec = float_vec_##isa, \
		.float_tile = float_tile_##isa, \
		.panel_prepare_float = panel_prepare_float_##isa, \
		.panel_prepare_codes = panel_prepare_codes_##isa, \
		.panel_float = panel_float_##isa, \
		.panel_codes = panel_codes_##isa, \
		.norm_rms = norm_rms_##isa, \
		.rope = rope_##isa, \
		.glu = glu_##isa, \
		.add = add_##isa, \
		.scale = scale_##isa, \
		.activate = activate_##isa, \
		.norm_layer = norm_layer_##isa, \
		.encode = encode_##isa, \
		.conv = conv_##isa, \
		.delta = delta_##isa, \
		.decay = decay_##isa, \
		.kv_write = kv_write_##isa, \
		.attention = attention_##isa, \
		.attention_merge = attention_merge_##isa, \
		__VA_ARGS__ \
	}
#define ROWS(isa, lanes, fast, few, panels) \
	DECLARE(isa); \
	TABLE(isa, isa, lanes, .fast_bits = fast, .few_most = few, .panels_from = panels)

ROWS(plain, 4, 0, 4, 5);
#if defined(__x86_64__)
ROWS(v2, 4, 6, 4, 5);
ROWS(v3, 8, 6, 8, 25);
ROWS(v4, 16, 6, 8, 96);
ROWS(v4vnni, 16, 8, 16, 96);
KERNEL(split_prepare, v4amx);
KERNEL(split_tile, v4amx);
KERNEL(codes_prepare, v4amx);
KERNEL(codes_tile, v4amx);
TABLE(v4amx, v4vnni, 16, .few_most = 16, .panels_from = 96,
      .split_prepare = split_prepare_v4amx, .split_tile = split_tile_v4amx,
      .codes_prepare = codes_prepare_v4amx, .codes_tile = codes_tile_v4amx);
#endif

/* Intel's first cache waits for few lines at a time; fetched once, into it, codes
 * come 3 % slower there and 5 % slower from AMD's before those with AVX-512, and 4 % faster
 * from those. Weights that the last cache of these cannot hold drive out what else lies there
 * unless they are fetched past it: a step takes 1 to 4 % less, where Intel's take nearly twice
 * as long. */
int cpu_fetch_flags(bool held)
{
#if defined(__x86_64__)
	bool amd = __builtin_cpu_is("amd");

	if (__builtin_cpu_is("intel") || (amd && !__builtin_cpu_supports("avx512f")))
		return CPU_TWICE;
	return amd && !held ? CPU_PAST : 0;
#else
	(void)held;
	return 0;
#endif
}

static bool has_all(void)
{
	return true;
}

#if defined(__x86_64__)
static bool has_v2(void)
{
	return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt");
}

static bool has_v3(void)
{
	return has_v2() && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
	       __builtin_cpu_supports("bmi2");
}

static bool has_v4(void)
{
	return has_v3() && __builtin_cpu_supports("avx512f") &&
	       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

static bool has_v4vnni(void)
{
	return has_v4() && __builtin_cpu_supports("avx512vnni");
}

/* The tiles' registers must be asked of the kernel, once a process. */
static bool has_v4amx(void)
{
	enum { VBMI = 1 << 1, BF16 = 1 << 22, TILE = 1 << 24, INT8 = 1 << 25 };
	enum { AVX512_BF16 = 1 << 5 };
	enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */
	unsigned a, b, c, d;

	if (!has_v4vnni() || !__get_cpuid_count(7, 0, &a, &b, &c, &d) ||
	    (d & (BF16 | TILE | INT8)) != (BF16 | TILE | INT8) || !(c & VBMI) ||
	    !__get_cpuid_count(7, 1, &a, &b, &c, &d) || !(a & AVX512_BF16))
		return false;
#if defined(__linux__)
	return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
	return false;
#endif
}
#endif

/* the best first; the last has no needs */
static const struct {
	const struct cpu_rows *rows;
	bool (*has)(void);
} levels[] = {
#if defined(__x86_64__)
	{ &rows_v4amx, has_v4amx },
	{ &rows_v4vnni, has_v4vnni },
	{ &rows_v4, has_v4 },
	{ &rows_v3, has_v3 },
	{ &rows_v2, has_v2 },
#endif
	{ &rows_plain, has_all },
};

const struct cpu_rows *cpu_rows_find(const char *isa)
{
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if ((!isa || !strcmp(isa, levels[i].rows->name)) && levels[i].has())
			return levels[i].rows;
	return NULL;
}

/* ---- panels
 * Tiles of 14 rows stay in the second cache. Those of six share a part of the inputs
 * with too few others there: more of them stay in the last one, which threads share. */
enum {
	PANEL_CACHE = 512 << 10, /* bytes of tiles in the second cache, at least */
	PANEL_LAST = 4 << 20,  /* in the last, at most */
};

/* Half of that cache, where it is known and a core's own. */
static size_t panel_cache(size_t width, size_t threads)
{
	long half = sysconf(_SC_LEVEL2_CACHE_SIZE) / 2, last = sysconf(_SC_LEVEL3_CACHE_SIZE) / 2;
	size_t cache = half >= 2 * PANEL_CACHE ? 2 * PANEL_CACHE : PANEL_CACHE;
	size_t own = last > 0 ? (size_t)last / threads : 0;

	if (width == 16 || own < cache)
		return cache;
	return own < PANEL_LAST ? own : PANEL_LAST;
}

/* At most, that share a part of the inputs. */
static size_t panel_most(size_t width)
{
	return width == 16 ? 8 : 16;
}

/* Words of a tile's row. */
static size_t panel_words(const struct cpu_panel *p)
{
	return p->group ? p->n_in / p->codes : (p->n_in + p->width - 1) / p->width * p->width;
}

size_t cpu_panel_tiles(const struct cpu_panel *p, size_t threads)
{
	size_t rows = cpu_panel_rows(p->width), all = (p->n_out + rows - 1) / rows;
	size_t bytes = rows * panel_words(p) * sizeof(float);
	size_t least = SIZE_MAX, best = 1, cache = panel_cache(p->width, threads);

	for (size_t n = panel_most(p->width); n > 0; n--) {
		size_t items = (all + n - 1) / n, most = (items + threads - 1) / threads * n;

		/* fewer share less, which is worth some idling */
		most += most * (panel_most(p->width) - n) / 200;
		if ((n > 2 && n * bytes > cache) || most >= least)
			continue;
		least = most;
		best = n;
	}
	return best;
}

size_t cpu_panel_bytes(const struct cpu_panel *p, size_t n_tiles)
{
	size_t width = p->width, tile = cpu_panel_rows(width), rows = n_tiles * tile;
	size_t groups = p->group ? p->n_in / p->group : width;
	/* of a tile's sums of 1, 2, 4, ... lanes */
	size_t state = (width == 16 ? 5 : width == 8 ? 4 : 3) * 2 * tile * width;

	/* scales and bases of rows up to a whole vector; some words at a row's end */
	return (rows * panel_words(p) + n_tiles * (groups * (2 * (tile + width) + width) + state) +
	        2 * width * (rows + width)) * sizeof(float);
}

size_t cpu_panel_items(const struct cpu_panel *p, size_t n_rows)
{
	return (n_rows + p->width - 1) / p->width *
	       (p->group ? p->n_in / p->group : (p->n_in + p->width - 1) / p->width);
}
