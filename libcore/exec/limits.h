/* SPDX-License-Identifier: MIT */
/* limits.h - what measuring a device's limits shares (private to exec/) */
#ifndef CLM_EXEC_LIMITS_H
#define CLM_EXEC_LIMITS_H

#include "util/err.h"

/* as in kernels/cpu/limits.cl */
enum { CPU_LIMIT_CHAINS = 12 };

/* Runs pass(arg) some 40 ms long; the median of a pass's seconds. */
NEED int limit_time(double *seconds, int (*pass)(void *arg, struct err *e), void *arg,
                    struct err *e);

#endif
