/* SPDX-License-Identifier: MIT */
/* cl_world.h - what the OpenCL checks share: random data, a device with one
 * record on it, steps, and comparing within bounds (checks only) */
#ifndef CLM_EXEC_CL_WORLD_H
#define CLM_EXEC_CL_WORLD_H

#include "exec/opencl.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 67, VOCAB = 37, MAX_WEIGHTS = 32 };

/* ---- whether there is a device: asked in each test's own process, as a
 * driver's threads do not live on in a fork */
static bool here;

/* ---- random data: xorshift*, from a seed that a failure prints */
static inline uint64_t seed(void)
{
	const char *text = getenv("CHECK_SEED");

	return text ? strtoull(text, NULL, 10) : 20261120;
}

static uint64_t state;
/* What a check takes is freed after it, however it ends. */
static struct arena room;

static inline void *take(size_t n_bytes)
{
	struct err e = { 0 };
	void *p = arena_new(&room, n_bytes, 1, &e);

	ck_assert_msg(p, "%s", e.text);
	return p;
}

static inline float random_float(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (float)((double)(state * 0x2545f4914f6cdd1d >> 11) / 4503599627370496.0 - 1.0);
}

static inline float *random_floats(size_t n)
{
	float *v = take(n * sizeof *v);

	for (size_t i = 0; i < n; i++)
		v[i] = random_float();
	return v;
}

static inline void start(void)
{
	struct exec *x = NULL;
	struct err e = { 0 };

	state = seed();
	here = exec_open(&x, &(struct exec_options){ .device = "opencl", .cache_dir = "" }, &e) == 0;
	if (!here)
		fprintf(stderr, "opencl: %s: skipped\n", e.text);
	exec_close(x);
}

/* Every check runs over the portable rows, then over those that this device
 * prefers. */
static inline void start_portable(void)
{
	setenv("CLM_OPENCL_ROWS", "portable", 1);
	start();
}

static inline void finish_check(void)
{
	arena_release(&room);
}

static inline bool portable_rows(void)
{
	return getenv("CLM_OPENCL_ROWS");
}

static inline void start_special(void)
{
	unsetenv("CLM_OPENCL_ROWS");
	start();
}

static inline void *random_as(enum dtype t, size_t n)
{
	float *v = random_floats(n);
	unsigned char *out = take(n * 4);

	if (t == DT_F8_E4M3 || t == DT_F8_E5M2)
		for (size_t i = 0; i < n; i++)
			out[i] = (unsigned char)(fabsf(v[i]) * (t == DT_F8_E4M3 ? 126 : 123)) |
			         (unsigned char)(v[i] < 0 ? 0x80 : 0);
	else
		ck_assert(dtype_from_f32(t, out, v, n));
	return out;
}

/* ---- a device with one record on it */
struct world {
	struct exec *x;
	struct exec_kv *kv;
	struct weight *weight[MAX_WEIGHTS];
	size_t n_weights;
	struct record *r;
};
typedef void script(struct world *w, const void *arg);

static inline struct weight *give(struct world *w, const struct weight_desc *d)
{
	struct err e = { 0 };

	ck_assert_uint_lt(w->n_weights, MAX_WEIGHTS);
	ck_assert_msg(weight_open(&w->weight[w->n_weights], w->x, d, &e) == 0, "%s", e.text);
	return w->weight[w->n_weights++];
}

static inline struct weight *give_vector(struct world *w, const float *v, size_t n)
{
	return give(w, &(struct weight_desc){ .name = "v", .dtype = DT_F32, .n_out = 1, .n_in = n,
	                                      .data = v });
}

static inline struct weight *give_matrix(struct world *w, const float *v, size_t n_out, size_t n_in)
{
	return give(w, &(struct weight_desc){ .name = "m", .dtype = DT_F32, .n_out = n_out,
	                                      .n_in = n_in, .data = v });
}

/* Programs are built anew for each device, unless a folder is named: with
 * drivers that take long. */
static inline const char *world_cache(void)
{
	const char *dir = getenv("CLM_CHECK_CACHE");

	return dir ? dir : "";
}

static inline void world_device(struct world *w, const char *device, unsigned flags)
{
	struct exec_options o = { .device = device, .cache_dir = world_cache(), .flags = flags };
	struct err e = { 0 };

	memset(w, 0, sizeof *w);
	ck_assert_msg(exec_open(&w->x, &o, &e) == 0, "%s", e.text);
}

static inline void world_record(struct world *w, script *say, const void *arg)
{
	struct err e = { 0 };

	ck_assert_msg(record_open(&w->r, w->x, MAX_ROWS, MAX_ROWS, w->kv, &e) == 0, "%s", e.text);
	say(w, arg);
	ck_assert_msg(record_end(w->r, &e) == 0, "%s", e.text);
}

static inline void world_close(struct world *w)
{
	record_close(w->r);
	for (size_t i = 0; i < w->n_weights; i++)
		weight_close(w->weight[i]);
	exec_kv_close(w->kv);
	exec_close(w->x);
}

static inline const float *world_run(struct world *w, const struct step *s)
{
	struct err e = { 0 };
	size_t events = exec_events(w->x);

	ck_assert_msg(record_run(w->r, s, &e) == 0, "%s", e.text);
	ck_assert_uint_eq(exec_events(w->x), events);
	return record_output(w->r);
}

/* Records dst, picked. */
static inline void finish(struct world *w, struct slot *dst, size_t n)
{
	struct slot *out = record_slot_out(w->r, "out", n);

	op_pick(w->r, out, dst);
	record_result(w->r, out);
}

/* ---- steps without a cache: row i holds token i of VOCAB (from the first
 * again after the last), all wanted */
static int32_t counting[MAX_ROWS * 2], tokens[MAX_ROWS * 2], zeros[MAX_ROWS];

static inline struct step rows_of(size_t first, size_t n)
{
	for (int32_t i = 0; i < MAX_ROWS * 2; i++) {
		counting[i] = i;
		tokens[i] = i % VOCAB;
	}
	return (struct step){ .n_rows = n, .n_out = n, .token = tokens + first,
	                      .pos = counting + first, .seq = zeros, .out = counting };
}

/* ---- what may be asked */
static inline const struct ask *asks_of(size_t n)
{
	static struct ask ask[MAX_ROWS];

	ck_assert_uint_le(n, MAX_ROWS);
	for (size_t i = 0; i < n; i++)
		ask[i] = (struct ask){ .what = ASK_BEST };
	return ask;
}

static inline void compare(const float *got, const float *want, const float *bound, size_t n,
                    const char *what)
{
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(fabsf(got[i] - want[i]) <= bound[i],
		              "%s: element %zu is %.9g, expected %.9g within %.3g (seed %llu)", what, i,
		              (double)got[i], (double)want[i], (double)bound[i],
		              (unsigned long long)seed());
}

#endif
