/* SPDX-License-Identifier: MIT */
/* route.h - which experts a row takes, on the host (private to exec/) */
#ifndef CLM_EXEC_ROUTE_H
#define CLM_EXEC_ROUTE_H

#include "exec/record.h"

/* As op_route() says, for one row of n logits. */
void route_row(float *out, const float *logits, const float *bias, size_t n,
               const struct routing *how);

#endif
