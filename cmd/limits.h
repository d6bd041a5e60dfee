/* SPDX-License-Identifier: MIT */
/* limits.h - what clients of clm-serve may take, as options */
#ifndef CLM_CMD_LIMITS_H
#define CLM_CMD_LIMITS_H

#include "cli.h"
#include "serve/serve.h"

enum { LIMITS_N = 7 };
/* Of a struct serve_limits, for struct cli_group. */
extern const struct cli_option limits_table[LIMITS_N];

#endif
