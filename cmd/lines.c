/* SPDX-License-Identifier: MIT */
/* lines.c - figures as lines: TSV, JSONL, Markdown */
#include "lines.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "util/json.h"
#include "util/num.h"

enum kind { TEXT, SIZE, NUMBER };
static const struct column {
	const char *name;
	enum kind kind;
	size_t at;
	bool record_only;
} columns[] = {
#define AT(member) offsetof(struct line, member)
	{ "model", TEXT, AT(model), false },
	{ "form", TEXT, AT(form), false },
	{ "backend", TEXT, AT(backend), true },
	{ "device", TEXT, AT(device), true },
	{ "rows", TEXT, AT(rows), false },
	{ "units", SIZE, AT(units), false },
	{ "test", TEXT, AT(test), false },
	{ "depth", SIZE, AT(depth), false },
	{ "batch", SIZE, AT(batch), false },
	{ "runs", SIZE, AT(runs), false },
	{ "median", NUMBER, AT(median), false },
	{ "min", NUMBER, AT(least), false },
	{ "max", NUMBER, AT(most), false },
	{ "unit", TEXT, AT(unit), false },
	{ "bytes_per_s", NUMBER, AT(byte_rate), false },
	{ "flop_per_s", NUMBER, AT(flop_rate), false },
	{ "limit", TEXT, AT(limit), false },
	{ "limit_rate", NUMBER, AT(limit_rate), true },
	{ "share", NUMBER, AT(share), false },
	{ "error", NUMBER, AT(error), false },
#undef AT
};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

struct line line_of(const struct line *who, const char *test)
{
	struct line l = *who;

	l.test = test;
	l.depth = l.batch = l.runs = LINE_NO_SIZE;
	l.median = l.least = l.most = l.byte_rate = l.flop_rate = NAN;
	l.limit_rate = l.share = l.error = NAN;
	l.unit = l.limit = NULL;
	return l;
}

/* The value as text, in room of 32; NULL where there is none. */
static const char *value(char room[32], const struct line *l, const struct column *c)
{
	const char *p = (const char *)l + c->at;

	if (c->kind == TEXT)
		return *(const char *const *)(const void *)p;
	if (c->kind == SIZE) {
		size_t v = *(const size_t *)(const void *)p;

		snprintf(room, 32, "%zu", v);
		return v == LINE_NO_SIZE ? NULL : room;
	}
	return isnan(*(const double *)(const void *)p) ? NULL :
	       num_text_f64(room, *(const double *)(const void *)p);
}

/* ---- TSV */

static void put_tsv(const struct line *l)
{
	const char *between = "";

	for (size_t i = 0; i < N_COLUMNS; i++) {
		char room[32];
		const char *v = l ? value(room, l, &columns[i]) : columns[i].name;

		if (columns[i].record_only)
			continue;
		cli_puts(between);
		cli_puts(v && *v ? v : "-");
		between = "\t";
	}
	cli_puts("\n");
}

/* ---- JSONL */

static void put_json(const struct line *l)
{
	struct buf b = { 0 };
	const char *between = "{";
	struct err e;

	for (size_t i = 0; i < N_COLUMNS; i++) {
		char room[32];
		const char *v = value(room, l, &columns[i]);

		if (!v)
			continue;
		buf_printf(&b, "%s\"%s\": ", between, columns[i].name);
		if (columns[i].kind == TEXT)
			json_add_string(&b, bytes_of(v));
		else
			buf_printf(&b, "%s", v);
		between = ", ";
	}
	buf_printf(&b, "}\n");
	if (buf_check(&b, &e))
		cli_die(&e);
	cli_put(b.p, b.n);
	buf_release(&b);
}

/* ---- Markdown: for people */

/* "1.23 T", "45.6 m" and the like: three digits before a unit. */
static const char *short_number(char room[32], double v, const char *unit)
{
	static const struct { double times; const char *name; } scales[] = {
		{ 1e12, "T" }, { 1e9, "G" }, { 1e6, "M" }, { 1e3, "k" }, { 1, "" },
		{ 1e-3, "m" }, { 1e-6, "u" }, { 1e-9, "n" },
	};
	size_t i = 0, last = sizeof scales / sizeof *scales - 1;
	bool plain = !strcmp(unit, "tok/s");

	*room = 0;
	if (isnan(v))
		return room;
	while (i < last && (plain ? scales[i].times != 1 : fabs(v) < scales[i].times))
		i++;
	v /= scales[i].times;
	snprintf(room, 32, "%.*f%s%s%s", v >= 100 ? 0 : v >= 10 ? 1 : 2, v, *unit ? " " : "",
	         scales[i].name, unit);
	return room;
}

static const char *short_size(char room[32], size_t v)
{
	snprintf(room, 32, "%zu", v);
	return v == LINE_NO_SIZE ? "" : room;
}

static void put_md(const struct line *l)
{
	char depth[32], batch[32], figure[32], least[32], most[32], rate[32], share[32] = "";
	bool reads = l->limit && !strcmp(l->limit, "read");
	const char *unit = l->unit ? l->unit : "", *of = l->limit ? l->limit : "";

	if (!isnan(l->share))
		snprintf(share, sizeof share, "%.0f %% of %s", 100 * l->share, of);
	short_number(rate, reads ? l->byte_rate : l->flop_rate, reads ? "B/s" : "FLOP/s");
	cli_printf("| %s | %s | %s/%zu | %s | %s | %s | %s |", l->model ? l->model : "",
	           l->form ? l->form : "", l->rows, l->units, l->test, short_size(depth, l->depth),
	           short_size(batch, l->batch), short_number(figure, l->median, unit));
	if (l->runs != LINE_NO_SIZE && l->runs > 1)
		cli_printf(" %s .. %s |", short_number(least, l->least, ""),
		           short_number(most, l->most, ""));
	else
		cli_puts(" |");
	cli_printf(" %s | %s |", rate, share);
	if (!isnan(l->error))
		cli_printf(" %.1e |\n", l->error);
	else
		cli_puts(" |\n");
}

void lines_begin(enum lines_format f)
{
	if (f == LINES_TSV)
		put_tsv(NULL);
	else if (f == LINES_MD)
		cli_puts("| model | form | rows | test | depth | batch | median | min .. max | "
		         "rate | share | error |\n"
		         "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|\n");
	cli_flush();
}

void lines_put(enum lines_format f, const struct line *l)
{
	if (f == LINES_TSV)
		put_tsv(l);
	else if (f == LINES_JSONL)
		put_json(l);
	else
		put_md(l);
	cli_flush();
}
