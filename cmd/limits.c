/* SPDX-License-Identifier: MIT */
/* limits.c - what clients of clm-serve may take, as options */
#include "limits.h"

#include <stddef.h>

enum { DAY = 86400 };
#define AT(member) offsetof(struct serve_limits, member)

const struct cli_option limits_table[LIMITS_N] = {
	{ 0, "connections", "N", CLI_SIZE, AT(connections), .min = 1, .max = 65536,
	  .help = "connections at once (512)" },
	{ 0, "per-address", "N", CLI_SIZE, AT(per_address), .min = 1, .max = 65536,
	  .help = "of them from one address (64)" },
	{ 0, "max-body", "BYTES", CLI_SIZE, AT(body_bytes), .min = 1024, .max = (size_t)1 << 32,
	  .help = "longest body of a request (32M)" },
	{ 0, "head-timeout", "SECONDS", CLI_SIZE, AT(head_seconds), .min = 1, .max = DAY,
	  .help = "a request's head has to be there by then (10)" },
	{ 0, "body-timeout", "SECONDS", CLI_SIZE, AT(body_seconds), .min = 1, .max = DAY,
	  .help = "its body too, with a second more per 64 KiB (30)" },
	{ 0, "stall-timeout", "SECONDS", CLI_SIZE, AT(stall_seconds), .min = 1, .max = DAY,
	  .help = "cut off who takes nothing of a stream for so long (60)" },
	{ 0, "idle-timeout", "SECONDS", CLI_SIZE, AT(idle_seconds), .min = 1, .max = DAY,
	  .help = "close a connection that asks nothing for so long (75)" },
};
