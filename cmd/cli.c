/* SPDX-License-Identifier: MIT */
/* cli.c - option tables to parsed options, -h, and the table that others
 * read
 *
 * Given argv and a command's groups of options; gives its struct filled,
 * and the operands. Options may stand after operands, short ones may be
 * joined (-qv, -n64), "--" ends them and "-" is an operand. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "util/num.h"

enum { HELP_COLUMN = 28 };

static const struct cli_option common_options[] = {
	{ 'q', "quiet", NULL, CLI_FLAG, offsetof(struct cli_common, quiet),
	  .help = "no warnings and no progress" },
	{ 'v', "verbose", NULL, CLI_COUNT, offsetof(struct cli_common, verbose),
	  .help = "say on stderr what runs and how fast" },
	{ 'h', "help", NULL, CLI_FLAG, 0, .help = "print this help" },
	{ 'V', "version", NULL, CLI_FLAG, 0, .help = "print the version" },
};
enum { N_COMMON = sizeof common_options / sizeof *common_options };

static void spell(char *out, size_t room, const char *name, char from, char to)
{
	size_t i;

	for (i = 0; name[i] && i + 1 < room; i++)
		out[i] = name[i] == from ? to : name[i];
	out[i] = 0;
}

static struct row *rows_add(struct option_rows *r, const char *title)
{
	struct row *row = &r->row[r->n++];

	memset(row, 0, sizeof *row);
	row->title = title;
	return row;
}

static void rows_of_requests(struct option_rows *r, const struct cli_group *g, char *base)
{
	for (size_t i = 0; i < n_request_options && r->n < ROWS_MAX; i++) {
		const struct request_option *q = &request_options[i];
		struct row *row = rows_add(r, g->title);

		row->request = q;
		row->at = base;
		spell(row->name, sizeof row->name, q->name, '_', '-');
		row->o.name = row->name;
		row->o.arg = q->type == REQ_BOOL ? NULL : q->arg;
		row->o.help = q->help;
		if (g->letter && !strcmp(g->letter_of, q->name))
			row->o.letter = g->letter;
	}
}

/* A command's own letter wins over a common one. */
static void letters(struct option_rows *r)
{
	for (size_t i = 1; i < r->n; i++)
		for (size_t k = 0; k < i; k++)
			if (r->row[i].o.letter == r->row[k].o.letter)
				r->row[i].o.letter = 0;
}

static void rows_of(struct option_rows *r, const struct cli *c, char *args)
{
	const struct cli_group common = { .title = "Common", .option = common_options, .n = N_COMMON };

	r->n = 0;
	for (size_t k = 0; k <= c->n_groups; k++) {
		const struct cli_group *g = k < c->n_groups ? &c->group[k] : &common;
		char *base = args + g->base;

		if (g->request) {
			rows_of_requests(r, g, base);
			continue;
		}
		for (size_t i = 0; i < g->n && r->n < ROWS_MAX; i++) {
			struct row *row = rows_add(r, g->title);

			row->o = g->option[i];
			row->at = base + row->o.at;
		}
	}
	letters(r);
}

/* ---- one value */

static int choose(const char *words, const char *text)
{
	size_t n = strlen(text);
	int place = 0;

	for (const char *w = words; *w; place++) {
		size_t len = strcspn(w, " ");

		if (len == n && !memcmp(w, text, n))
			return place;
		w += len;
		w += *w == ' ';
	}
	return -1;
}

static int bad_value(const char *from, const struct cli_option *o, const char *text, struct err *e)
{
	if (o->type == CLI_CHOICE)
		return err_set(e, ERR_MISUSE, "%s: expected one of %s, found \"%s\"", from, o->words,
		               text);
	if (o->max)
		return err_set(e, ERR_MISUSE, "%s: expected a number from %zu to %zu, found \"%s\"",
		               from, o->min, o->max, text);
	return err_set(e, ERR_MISUSE, "%s: expected a number%s, found \"%s\"", from,
	               o->min ? " of at least 1" : "", text);
}

static int set_size(const char *from, const struct row *r, const char *text, struct err *e)
{
	size_t n;

	if (!num_size(&n, text) || n < r->o.min || (r->o.max && n > r->o.max))
		return bad_value(from, &r->o, text, e);
	if (r->o.type == CLI_INT)
		*(int *)r->at = (int)n;
	else
		*(size_t *)r->at = n;
	return 0;
}

static int add_text(const char *from, struct cli_texts *t, const char *text, struct err *e)
{
	if (t->n == CLI_TEXTS_MAX)
		return err_set(e, ERR_MISUSE, "%s: at most %d times", from, CLI_TEXTS_MAX);
	t->text[t->n++] = text;
	return 0;
}

int row_set(const char *from, const struct row *r, const char *text, struct err *e)
{
	int place;

	if (r->request)
		return request_set_text(r->at, r->request, text ? text : "true", e);
	switch (r->o.type) {
	case CLI_FLAG:
		*(bool *)r->at = true;
		return 0;
	case CLI_COUNT:
		++*(int *)r->at;
		return 0;
	case CLI_TEXT:
	case CLI_CONFIG:
		*(const char **)r->at = text;
		return 0;
	case CLI_TEXTS:
		return add_text(from, r->at, text, e);
	case CLI_SIZE:
	case CLI_INT:
		return set_size(from, r, text, e);
	case CLI_CHOICE:
		place = choose(r->o.words, text);
		if (place < 0)
			return bad_value(from, &r->o, text, e);
		*(int *)r->at = place;
	}
	return 0;
}

/* ---- -h, --version, --completion-table */

static void help_row(const struct row *r)
{
	int n;

	if (r->o.letter)
		n = printf("  -%c, --%s", r->o.letter, r->o.name);
	else
		n = printf("      --%s", r->o.name);
	if (r->o.arg)
		n += printf(" %s", r->o.arg);
	if (n >= HELP_COLUMN - 1) {
		putchar('\n');
		n = 0;
	}
	printf("%*s%s\n", HELP_COLUMN - n, "", r->o.help);
}

static void help(const struct cli *c, const struct option_rows *r)
{
	const char *title = "";
	const char *line = c->synopsis;

	for (const char *lead = "usage:"; *line; lead = "      ") {
		int n = (int)strcspn(line, "\n");

		printf("%s %s %.*s\n", lead, cli_name(), n, line);
		line += n;
		line += *line == '\n';
	}
	printf("%s\n", c->about);
	for (size_t i = 0; i < r->n; i++) {
		if (strcmp(title, r->row[i].title))
			printf("\n%s:\n", title = r->row[i].title);
		help_row(&r->row[i]);
	}
	printf("\nExit status: 0 done, 1 some records failed, 2 misuse, 3 the input is refused,\n"
	       "4 the machine is, 130 interrupted. See man %s.\n", cli_name());
	exit(cli_finish());
}

static void variable(char *out, size_t room, const char *name)
{
	size_t n = (size_t)snprintf(out, room, "CLM_");

	for (; *name && n + 1 < room; name++)
		out[n++] = *name == '-' ? '_' : *name >= 'a' && *name <= 'z' ? (char)(*name - 32) : *name;
	out[n] = 0;
}

/* letter, name, argument, words, variable, help: for completion and tests */
static void table(const struct option_rows *r)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct cli_option *o = &r->row[i].o;
		char name[NAME_MAX_LENGTH + 8] = "-";

		if (o->env)
			variable(name, sizeof name, o->name);
		printf("%c\t%s\t%s\t%s\t%s\t%s\n", o->letter ? o->letter : '-', o->name,
		       o->arg ? o->arg : "-", o->words ? o->words : "-", name, o->help);
	}
	exit(cli_finish());
}

/* Options that answer at once. */
static void answer(const char *name, const struct cli *c, const struct option_rows *r)
{
	if (!strcmp(name, "help"))
		help(c, r);
	if (!strcmp(name, "version")) {
		printf("%s (clm) %s\n", cli_name(), CLM_VERSION);
		exit(cli_finish());
	}
}

/* ---- the words of the command line */

struct row *row_find(struct option_rows *r, char letter, const char *name, size_t n)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct cli_option *o = &r->row[i].o;

		if (name ? strlen(o->name) == n && !memcmp(o->name, name, n) : o->letter == letter)
			return &r->row[i];
	}
	return NULL;
}

static int unknown(struct err *e, const char *word, int n)
{
	return err_set(e, ERR_MISUSE, "unknown option %.*s", n, word);
}

static int lacks(struct err *e, const char *word, const struct row *r)
{
	return err_set(e, ERR_MISUSE, "%s needs a value, %s", word, r->o.arg);
}

/* `next` is the word that follows, or NULL. Gives how many words it took, or
 * -1. */
static int long_option(struct option_rows *rows, const struct cli *c, const char *word,
                       const char *next, struct err *e)
{
	const char *equals = strchr(word, '=');
	size_t n = equals ? (size_t)(equals - word) : strlen(word);
	struct row *r;

	if (!strcmp(word, "--completion-table"))
		table(rows);
	r = row_find(rows, 0, word + 2, n - 2);
	if (!r)
		return unknown(e, word, (int)n);
	if (!r->o.arg && equals)
		return err_set(e, ERR_MISUSE, "%.*s takes no value", (int)n, word);
	answer(r->o.name, c, rows);
	if (r->o.arg && !equals && !next)
		return lacks(e, word, r);
	r->seen = true;
	if (!r->o.arg)
		return row_set(word, r, NULL, e) ? -1 : 1;
	if (row_set(equals ? r->o.name : word, r, equals ? equals + 1 : next, e))
		return -1;
	return equals ? 1 : 2;
}

static int short_options(struct option_rows *rows, const struct cli *c, const char *word,
                         const char *next, struct err *e)
{
	for (const char *p = word + 1; *p; p++) {
		struct row *r = row_find(rows, *p, NULL, 0);
		char name[3] = { '-', *p, 0 };

		if (!r)
			return unknown(e, name, 2);
		answer(r->o.name, c, rows);
		if (r->o.arg && !p[1] && !next)
			return lacks(e, name, r);
		r->seen = true;
		if (row_set(name, r, !r->o.arg ? NULL : p[1] ? p + 1 : next, e))
			return -1;
		if (r->o.arg)
			return p[1] ? 1 : 2;
	}
	return 1;
}

static int from_environment(struct option_rows *r, struct err *e)
{
	for (size_t i = 0; i < r->n; i++) {
		struct row *row = &r->row[i];
		char name[NAME_MAX_LENGTH + 8];
		const char *value;

		if (row->seen || !row->o.env)
			continue;
		variable(name, sizeof name, row->o.name);
		value = getenv(name);
		if (!value || !*value || (!row->o.arg && !strcmp(value, "0")))
			continue;
		row->seen = true;
		if (row_set(name, row, value, e))
			return -1;
	}
	return 0;
}

static int from_file(struct option_rows *r, struct cli_common *common, struct err *e)
{
	for (size_t i = 0; i < r->n; i++) {
		const char **path = r->row[i].at;

		if (r->row[i].o.type == CLI_CONFIG && *path)
			return rows_from_file(r, *path, common, e);
	}
	return 0;
}

int cli_read(int argc, char **argv, const struct cli *c, void *args, struct err *e)
{
	struct option_rows rows;
	int i = 1, n = 0;

	rows_of(&rows, c, args);
	while (i < argc) {
		char *word = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;
		int took;

		if (!strcmp(word, "--")) {
			i++;
			break;
		}
		if (word[0] != '-' || !word[1]) {
			argv[n++] = word;
			i++;
			continue;
		}
		took = word[1] == '-' ? long_option(&rows, c, word, next, e) :
		                        short_options(&rows, c, word, next, e);
		if (took < 0)
			return -1;
		i += took;
	}
	while (i < argc)
		argv[n++] = argv[i++];
	argv[n] = NULL;
	return from_environment(&rows, e) || from_file(&rows, args, e) ? -1 : 0;
}

char **cli_parse(int argc, char **argv, const struct cli *c, void *args)
{
	struct err e = { 0 };

	cli_start();
	if (cli_read(argc, argv, c, args, &e)) {
		if (e.kind == ERR_MISUSE)
			cli_misuse("%s", e.text);
		cli_die(&e);
	}
	return argv;
}
