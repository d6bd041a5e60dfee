/* SPDX-License-Identifier: MIT */
#include "util/thread.h"

#include <check.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

Suite *thread_suite(void);

enum { N = 10007 };

struct job {
	unsigned char *times;
	size_t grain;
	int n_threads;
	atomic_int wrong;
};

static void mark(void *arg, size_t begin, size_t end, int thread)
{
	struct job *j = arg;

	if (begin >= end || end - begin > j->grain || thread < 0 || thread >= j->n_threads)
		atomic_fetch_add(&j->wrong, 1);
	for (size_t i = begin; i < end; i++)
		j->times[i]++;
}

START_TEST(each_index_once)
{
	static const size_t grains[] = { 1, 3, 64, N - 1, N, SIZE_MAX };
	static unsigned char times[N];
	struct pool *p;
	struct err e;

	ck_assert_int_eq(pool_open(&p, _i, &e), 0);
	if (_i)
		ck_assert_int_eq(pool_threads(p), _i);
	for (size_t g = 0; g < sizeof grains / sizeof *grains; g++)
		for (size_t n = 0; n <= N; n = n * 3 + 1 > N && n < N ? N : n * 3 + 1) {
			struct job j = { times, grains[g], pool_threads(p), 0 };

			memset(times, 0, sizeof times);
			pool_for(p, n, grains[g], mark, &j);
			ck_assert_int_eq(j.wrong, 0);
			for (size_t i = 0; i < N; i++)
				if (times[i] != (i < n))
					ck_abort_msg("%zu: %d times", i, times[i]);
		}
	pool_close(p);
}
END_TEST

static void add(void *arg, size_t begin, size_t end, int thread)
{
	(void)thread;
	atomic_fetch_add((atomic_size_t *)arg, end - begin);
}

#if SIZE_MAX > UINT32_MAX
/* More than 32 bits count. */
START_TEST(wide_range)
{
	const size_t n = ((size_t)1 << 40) + 5;
	atomic_size_t sum = 0;
	struct pool *p;
	struct err e;

	ck_assert_int_eq(pool_open(&p, 3, &e), 0);
	pool_for(p, n, (size_t)1 << 34, add, &sum);
	ck_assert_uint_eq(sum, n);
	pool_close(p);
}
END_TEST
#endif

/* Workers asleep, awake and in between: none is lost, none comes late. */
START_TEST(many_small_jobs)
{
	static const struct timespec nap = { 0, 200000 };
	atomic_size_t sum = 0;
	struct pool *p;
	struct err e;

	ck_assert_int_eq(pool_open(&p, 4, &e), 0);
	for (size_t i = 1; i <= 3000; i++) {
		pool_for(p, 7, 1, add, &sum);
		ck_assert_uint_eq(sum, 7 * i);
		if (i % 100 == 0)
			nanosleep(&nap, NULL);
	}
	pool_close(p);
	pool_close(NULL);
}
END_TEST

static void nothing(void *arg, size_t begin, size_t end, int thread)
{
	(void)arg, (void)begin, (void)end, (void)thread;
}

START_TEST(time_per_job)
{
	enum { JOBS = 20000 };
	struct timespec from, to;
	struct pool *p;
	struct err e;

	ck_assert_int_eq(pool_open(&p, 0, &e), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < JOBS; i++)
		pool_for(p, 64, 1, nothing, NULL);
	clock_gettime(CLOCK_MONOTONIC, &to);
	printf("pool_for: %d threads, 64 chunks: %.2f us\n", pool_threads(p),
	       ((double)(to.tv_sec - from.tv_sec) * 1e6 +
	        (double)(to.tv_nsec - from.tv_nsec) / 1e3) /
	               JOBS);
	pool_close(p);
}
END_TEST

Suite *thread_suite(void)
{
	Suite *s = suite_create("thread");
	TCase *t = tcase_create("thread"), *bench = tcase_create("bench");

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, each_index_once, 0, 5);
	tcase_add_test(t, many_small_jobs);
#if SIZE_MAX > UINT32_MAX
	tcase_add_test(t, wide_range);
#endif
	suite_add_tcase(s, t);
	tcase_set_tags(bench, "bench");
	tcase_add_test(bench, time_per_job);
	suite_add_tcase(s, bench);
	return s;
}
