/* SPDX-License-Identifier: MIT */
/* internal.h - between cli.c and outcome.c */
#ifndef CLM_CMD_INTERNAL_H
#define CLM_CMD_INTERNAL_H

/* The command's name, for messages. */
const char *cli_name(void);
/* Sets up signals; once, before anything else. */
void cli_start(void);

#endif
