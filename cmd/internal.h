/* SPDX-License-Identifier: MIT */
/* internal.h - between cli.c, config.c and outcome.c */
#ifndef CLM_CMD_INTERNAL_H
#define CLM_CMD_INTERNAL_H

#include "cli.h"
#include "gen/gen.h"

enum { ROWS_MAX = 96, NAME_MAX_LENGTH = 48 };

/* One option as the parser sees it, whichever table it stands in. */
struct row {
	struct cli_option o;                /* letter, name, arg and help are set for both kinds */
	const struct request_option *request;
	void *at;                           /* the value, or the request */
	const char *title;
	char name[NAME_MAX_LENGTH];
	bool seen;
};
struct option_rows {
	struct row row[ROWS_MAX];
	size_t n;
};

/* By its letter, or by n bytes of a name; NULL: no such option. */
struct row *row_find(struct option_rows *r, char letter, const char *name, size_t n);
/* Sets it from text, NULL for a flag; `from` is the option, the variable or
 * the key as the user wrote it. ERR_MISUSE. */
NEED int row_set(const char *from, const struct row *r, const char *text, struct err *e);
/* What the file says of options that were not seen; they are the common's
 * from then on. ERR_INPUT, with file and line. */
NEED int rows_from_file(struct option_rows *r, const char *path, struct cli_common *common,
                      struct err *e);

/* The command's name, for messages. */
const char *cli_name(void);
/* Sets up signals; once, before anything else. */
void cli_start(void);

#endif
