/* SPDX-License-Identifier: MIT */
/* thread.c - parallel for over a range, on workers that spin, then sleep.
 *
 * A job is open while it has chunks left. Each thread has a part of the range,
 * so that what it reads lies in a row; whoever has none left takes half of what
 * is left of another's. A worker joins an open job, takes chunks until none is
 * left, and leaves; the caller closes the job when the chunks are gone and waits
 * only for those who joined, so a worker that the system did not wake in time
 * costs nothing. */
#include "util/thread.h"

#include <assert.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NS = 50000, LINE = 64, THREADS_MAX = 1024 };
enum { LEAST = 8 };    /* of a grain: the last chunks are as much smaller */
enum { HALF_WORD = 32 };

/* `gate`: how many workers are in the job, whether others may join, and
 * whether the caller sleeps until the last has left. */
enum { GATE_COUNT = 0xffff, GATE_OPEN = 1 << 16, GATE_AWAITED = 1 << 17 };

struct worker {
	struct pool *pool;
	pthread_t id;
	int index;
};

/* What is left of a thread's part, in units: where it ends in the upper half of
 * the word, where it begins in the lower. No two parts of a job are the same. */
struct part {
	_Alignas(LINE) _Atomic uint64_t left;
};

struct pool {
	_Alignas(LINE) _Atomic uint32_t epoch; /* one more per job; slept on */
	_Atomic uint32_t sleepers;
	_Atomic bool stop;
	_Alignas(LINE) _Atomic uint32_t gate;
	_Alignas(LINE) size_t n, grain;
	size_t unit;           /* indices, so that 32 bits count all of them */
	void (*work)(void *arg, size_t begin, size_t end, int thread);
	void *arg;
	int n_threads, n_started;
	struct worker *worker;
	struct part *part;     /* of each thread */
};

static void futex_wait(_Atomic uint32_t *word, uint32_t while_it_is)
{
	syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, while_it_is, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int n)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Looks at *word for a while; true once (*word & mask) is no longer `old`. */
static bool spin(const _Atomic uint32_t *word, uint32_t mask, uint32_t old)
{
	uint64_t end = now_ns() + SPIN_NS;

	do {
		for (int i = 0; i < 32; i++) {
			if ((atomic_load_explicit(word, memory_order_acquire) & mask) != old)
				return true;
			pause_cpu();
		}
	} while (now_ns() < end);
	return false;
}

static uint64_t part_of(size_t begin, size_t end)
{
	return (uint64_t)end << HALF_WORD | begin;
}

static size_t part_begin(uint64_t part)
{
	return (uint32_t)part;
}

static size_t part_units(uint64_t part)
{
	return (size_t)(part >> HALF_WORD) - part_begin(part);
}

/* Half of what is left of a part, so that all end together. */
static size_t chunk_of(const struct pool *p, size_t left)
{
	size_t most = p->grain / p->unit, n = left / 2, least = (most + LEAST - 1) / LEAST;

	n = n < least ? least : n > most ? most : n;
	return n < left ? n : left;
}

/* Half of what is left of another thread's part, its end. */
static bool take_part(struct pool *p, int thread)
{
	for (int i = 1; i < p->n_threads; i++) {
		struct part *of = &p->part[(thread + i) % p->n_threads];
		uint64_t had = atomic_load_explicit(&of->left, memory_order_relaxed);

		while (part_units(had)) {
			size_t middle = part_begin(had) + part_units(had) / 2;

			if (!atomic_compare_exchange_weak_explicit(
			            &of->left, &had, part_of(part_begin(had), middle),
			            memory_order_relaxed, memory_order_relaxed))
				continue;
			atomic_store_explicit(&p->part[thread].left,
			                      part_of(middle, (size_t)(had >> HALF_WORD)),
			                      memory_order_relaxed);
			return true;
		}
	}
	return false;
}

static void take_chunks(struct pool *p, int thread)
{
	struct part *own = &p->part[thread];

	do {
		uint64_t had = atomic_load_explicit(&own->left, memory_order_relaxed);

		while (part_units(had)) {
			size_t begin = part_begin(had), n = chunk_of(p, part_units(had));
			size_t end = (begin + n) * p->unit;
			uint64_t now = part_of(begin + n, (size_t)(had >> HALF_WORD));

			if (!atomic_compare_exchange_weak_explicit(&own->left, &had, now,
			                                           memory_order_relaxed,
			                                           memory_order_relaxed))
				continue;
			p->work(p->arg, begin * p->unit, end < p->n ? end : p->n, thread);
			had = atomic_load_explicit(&own->left, memory_order_relaxed);
		}
	} while (take_part(p, thread));
}

static void join_job(struct pool *p, int thread)
{
	uint32_t gate = atomic_load(&p->gate);

	do
		if (!(gate & GATE_OPEN))
			return;
	while (!atomic_compare_exchange_weak(&p->gate, &gate, gate + 1));
	take_chunks(p, thread);
	gate = atomic_fetch_sub(&p->gate, 1);
	if ((gate & GATE_COUNT) == 1 && (gate & GATE_AWAITED))
		futex_wake(&p->gate, 1);
}

static void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct pool *p = w->pool;
	uint32_t seen = 0;

	for (;;) {
		if (!spin(&p->epoch, UINT32_MAX, seen)) {
			atomic_fetch_add(&p->sleepers, 1);
			while (atomic_load(&p->epoch) == seen)
				futex_wait(&p->epoch, seen);
			atomic_fetch_sub(&p->sleepers, 1);
		}
		seen = atomic_load(&p->epoch);
		if (atomic_load(&p->stop))
			return NULL;
		join_job(p, w->index);
	}
}

/* Tells the workers that something changed; wakes up to n sleepers. */
static void announce(struct pool *p, size_t n)
{
	atomic_fetch_add(&p->epoch, 1);
	if (atomic_load(&p->sleepers))
		futex_wake(&p->epoch, n > THREADS_MAX ? THREADS_MAX : (int)n);
}

/* A part for each thread; the first ones' are not smaller. */
static void share_out(struct pool *p, size_t n, size_t grain)
{
	size_t begin = 0, units, threads = (size_t)p->n_threads;

	p->n = n;
	p->unit = n / UINT32_MAX + 1 < grain ? n / UINT32_MAX + 1 : grain;
	p->grain = grain;
	units = (n - 1) / p->unit + 1;
	assert(units <= UINT32_MAX);
	for (size_t i = 0; i < threads; i++) {
		size_t more = units / threads + (i < units % threads);

		atomic_store_explicit(&p->part[i].left, part_of(begin, begin + more),
		                      memory_order_relaxed);
		begin += more;
	}
}

void pool_for(struct pool *p, size_t n, size_t grain,
              void (*work)(void *arg, size_t begin, size_t end, int thread), void *arg)
{
	uint32_t gate;

	assert(grain > 0);
	if (n <= grain || p->n_threads == 1) {
		for (size_t at = 0; at < n; at += grain) {
			work(arg, at, n - at < grain ? n : at + grain, 0);
			if (n - at < grain)
				break;
		}
		return;
	}
	share_out(p, n, grain);
	p->work = work;
	p->arg = arg;
	atomic_store(&p->gate, GATE_OPEN);
	announce(p, (n - 1) / grain);
	take_chunks(p, 0);
	gate = atomic_fetch_and(&p->gate, ~(uint32_t)GATE_OPEN) & ~(uint32_t)GATE_OPEN;
	while (gate & GATE_COUNT) {
		if (!spin(&p->gate, GATE_COUNT, gate & GATE_COUNT)) {
			gate = atomic_fetch_or(&p->gate, GATE_AWAITED) | GATE_AWAITED;
			if (gate & GATE_COUNT)
				futex_wait(&p->gate, gate);
		}
		gate = atomic_load(&p->gate);
	}
}

/* Processors that the control group's quota pays for, rounded up; 0: all. */
static int quota_cpus(void)
{
	long quota, period;
	FILE *f = fopen("/sys/fs/cgroup/cpu.max", "re");
	int n = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
		n = (int)((quota + period - 1) / period);
	fclose(f);
	return n;
}

int thread_cpus(void)
{
	cpu_set_t set;
	int n, quota = quota_cpus();

	if (sched_getaffinity(0, sizeof set, &set) == 0)
		n = CPU_COUNT(&set);
	else
		n = (int)sysconf(_SC_NPROCESSORS_ONLN);
	if (quota && quota < n)
		n = quota;
	return n < 1 ? 1 : n;
}

static int start_workers(struct pool *p, struct err *e)
{
	sigset_t all, old;
	int rc = 0;

	/* a signal is the caller's business: workers take none */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (p->n_started < p->n_threads - 1 && rc == 0) {
		struct worker *w = &p->worker[p->n_started];

		*w = (struct worker){ .pool = p, .index = p->n_started + 1 };
		rc = pthread_create(&w->id, NULL, worker_main, w);
		p->n_started += rc == 0;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc) {
		errno = rc;
		return err_errno(e, "cannot start thread %d of %d", p->n_started + 1, p->n_threads);
	}
	return 0;
}

int pool_open(struct pool **out, int n_threads, struct err *e)
{
	struct pool *p = aligned_alloc(LINE, sizeof *p);

	*out = NULL;
	if (!p)
		return err_memory(e, sizeof *p);
	memset(p, 0, sizeof *p);
	p->n_threads = n_threads > 0 ? n_threads : thread_cpus();
	if (p->n_threads > THREADS_MAX)
		p->n_threads = THREADS_MAX;
	p->worker = calloc((size_t)p->n_threads, sizeof *p->worker);
	p->part = aligned_alloc(LINE, (size_t)p->n_threads * sizeof *p->part);
	if (!p->worker || !p->part) {
		err_memory(e, (size_t)p->n_threads * (sizeof *p->worker + sizeof *p->part));
		goto fail;
	}
	if (start_workers(p, e))
		goto fail;
	*out = p;
	return 0;
fail:
	pool_close(p);
	return -1;
}

void pool_close(struct pool *p)
{
	if (!p)
		return;
	atomic_store(&p->stop, true);
	announce(p, THREADS_MAX);
	for (int i = 0; i < p->n_started; i++)
		pthread_join(p->worker[i].id, NULL);
	free(p->worker);
	free(p->part);
	free(p);
}

int pool_threads(const struct pool *p)
{
	return p->n_threads;
}
