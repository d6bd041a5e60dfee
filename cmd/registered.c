/* SPDX-License-Identifier: MIT */
/* registered.c - the models that the user's registry knows */
#include <stdio.h>
#include <time.h>

#include "cli.h"
#include "lists.h"
#include "store/store.h"
#include "util/json.h"

/* "2026-01-02T03:04:05Z", or "-" for never. */
static const char *when(char out[32], int64_t t)
{
	time_t at = (time_t)t;
	struct tm tm;

	if (!t || !gmtime_r(&at, &tm) || !strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(out, 32, "-");
	return out;
}

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static void as_line(const struct registry_row *r)
{
	char used[32];

	cli_printf("%s\t%s\t%s\t%s\t%lld\t%lld\t%s\t%s\t%s\n", r->name, or_dash(r->family),
	           or_dash(r->format), or_dash(r->quant), (long long)r->n_bytes,
	           (long long)r->parameters, or_dash(r->sha256), when(used, r->used), r->path);
}

static void as_object(const struct registry_row *r, bool first)
{
	const char *const texts[][2] = { { "name", r->name },     { "family", r->family },
		                         { "format", r->format }, { "quant", r->quant },
		                         { "sha256", r->sha256 }, { "origin", r->origin },
		                         { "path", r->path } };
	struct buf b = { 0 };
	char used[32];

	buf_add_text(&b, first ? "\n{" : ",\n{");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		buf_printf(&b, "%s\"%s\": ", i ? ", " : "", texts[i][0]);
		json_add_string(&b, bytes_of(texts[i][1]));
	}
	buf_printf(&b, ", \"bytes\": %lld, \"parameters\": %lld, \"context\": %lld, \"used\": ",
	           (long long)r->n_bytes, (long long)r->parameters, (long long)r->context);
	if (r->used)
		json_add_string(&b, bytes_of(when(used, r->used)));
	else
		buf_add_text(&b, "null");
	buf_add_byte(&b, '}');
	if (!b.failed)
		cli_put(b.p, b.n);
	buf_release(&b);
}

int tell_registry(bool json, struct err *e)
{
	struct registry_row *row;
	struct registry *r;
	struct arena a = { 0 };
	size_t n;
	int rc = registry_look(&r, NULL, e);

	if (rc)
		return -1;
	rc = registry_list(r, &row, &n, &a, e);
	if (rc == 0)
		cli_puts(json ? "[" :
		                "name\tfamily\tformat\tquant\tbytes\tparameters\tsha256\tused\tpath\n");
	for (size_t i = 0; rc == 0 && i < n; i++)
		if (json)
			as_object(&row[i], i == 0);
		else
			as_line(&row[i]);
	if (rc == 0 && json)
		cli_puts(n ? "\n]\n" : "]\n");
	arena_release(&a);
	registry_close(r);
	return rc;
}
