/* SPDX-License-Identifier: MIT */
/* thread.h - parallel for over a range.
 *
 * A pool of workers that spin briefly (about 50 us), then sleep on a futex.
 * Each thread has a part of the range of its own, taken in chunks from its
 * begin on; whoever is done takes over half of what is left of another's, so
 * that one busy neighbour costs its share and no more. The caller is thread 0
 * and has the first part. */
#ifndef CLM_UTIL_THREAD_H
#define CLM_UTIL_THREAD_H

#include "util/err.h"

struct pool;

/* Processors that this process may use, and that its control group's quota pays for. */
int thread_cpus(void);
/* n_threads counts the caller; 0: one per processor this process may use. */
NEED int pool_open(struct pool **out, int n_threads, struct err *e);
void pool_close(struct pool *p);
int pool_threads(const struct pool *p);
/* Calls work(arg, begin, end, thread) until [0, n) is covered, in chunks of
 * at most `grain`; returns when all is done. n <= grain runs in the caller. */
void pool_for(struct pool *p, size_t n, size_t grain,
              void (*work)(void *arg, size_t begin, size_t end, int thread), void *arg);

#endif
