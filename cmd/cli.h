/* SPDX-License-Identifier: MIT */
/* cli.h - what every command shares: options as tables, -h, messages and
 * the exit code, a stdout that notices failed writes, and SIGINT.
 *
 * A command states its options once. The parser, -h, the environment, the
 * bash completion and the check of the man page all read that table. */
#ifndef CLM_CMD_CLI_H
#define CLM_CMD_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "util/err.h"

#ifndef CLM_VERSION
#define CLM_VERSION "0.1.0"
#endif

enum cli_type {
	CLI_FLAG,    /* bool */
	CLI_COUNT,   /* int, one more each time */
	CLI_TEXT,    /* const char * */
	CLI_TEXTS,   /* struct cli_texts, one more each time */
	CLI_SIZE,    /* size_t, "4k" is 4096; min..max */
	CLI_INT,     /* int, min..max */
	CLI_CHOICE,  /* int, place of the value among `words`; 0 is the first */
	CLI_CONFIG,  /* const char *: a YAML file of the others; it goes last */
};

enum { CLI_TEXTS_MAX = 32 };
struct cli_texts {
	const char *text[CLI_TEXTS_MAX];
	size_t n;
};

struct cli_option {
	char letter;          /* 0: none */
	const char *name;     /* the long option */
	const char *arg;      /* what it takes, "FILE"; NULL: nothing */
	enum cli_type type;
	size_t at;            /* offset in the group's struct */
	const char *help;
	bool env;             /* $CLM_NAME is its default */
	size_t min, max;      /* max 0: none */
	const char *words;    /* blanks between: CLI_CHOICE's values, or examples to complete */
	bool once;            /* what to do, not how: never in a file */
};

/* A group is a table and the struct its offsets count from. */
struct cli_group {
	const char *title;
	const struct cli_option *option;
	size_t n;
	size_t base;          /* of that struct in the command's */
	bool request;         /* the table is gen's request_options instead */
	char letter;          /* a short letter for one request option ... */
	const char *letter_of;/* ... of this JSON name */
};

struct cli {
	const char *synopsis; /* after the name; a line each */
	const char *about;    /* one sentence */
	const struct cli_group *group;
	size_t n_groups;
};

/* The first member of every command's struct. */
struct cli_config;
struct cli_common {
	bool quiet;
	int verbose;
	struct cli_config *config; /* of CLI_CONFIG: the texts that came from the file */
};
void cli_release(struct cli_common *c);

/* Fills *args from argv and the environment. Gives the operands, ended by
 * NULL (argv's own memory, reordered). Misuse, -h and --version exit here. */
char **cli_parse(int argc, char **argv, const struct cli *c, void *args);

/* The same, again, into a fresh struct: the error is told, not the end. */
NEED int cli_read(int argc, char **argv, const struct cli *c, void *args, struct err *e);

/* "NAME: text; see NAME -h" and exit 2. */
_Noreturn void cli_misuse(const char *fmt, ...) PRINTF(1, 2);
/* "NAME: error" and the error's exit code; stdout is flushed first. */
_Noreturn void cli_die(const struct err *e);
/* "NAME: text" on stderr. */
void cli_warn(const char *fmt, ...) PRINTF(1, 2);

/* Data. A write that fails ends the command: quietly where the reader has
 * gone (exit 141, as a shell shows SIGPIPE), else with exit 4. */
void cli_put(const void *p, size_t n);
void cli_puts(const char *text);
void cli_printf(const char *fmt, ...) PRINTF(1, 2);
void cli_flush(void);
/* The exit code of a command that came to its end: 0, or 130 if it was
 * interrupted; stdout is flushed and closed. */
int cli_finish(void);

/* From cli_parse() on SIGINT, SIGTERM and SIGHUP remove temporary files and
 * end the command (130; the others by the signal). After this call the
 * first SIGINT only makes cli_interrupted() true; the second ends it. */
void cli_interrupt_softly(void);
bool cli_interrupted(void);

/* Seconds since some fixed moment. */
double cli_seconds(void);

/* A bar on stderr, only on a terminal that is not dumb, and only for work
 * over a second. Zeroed is a bar that never shows. */
struct progress {
	const char *title;    /* "converting"; NULL: never shown */
	double began, shown;
	bool drawn;
};
void progress_begin(struct progress *p, const char *title, const struct cli_common *c);
void progress_at(struct progress *p, double done, double all, const char *unit);
void progress_clear(struct progress *p); /* before other output; may be shown again */

#endif
