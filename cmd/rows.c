/* SPDX-License-Identifier: MIT */
/* rows.c - facts as lines of key, tab, value, or as members of one object */
#include "rows.h"

#include "cli.h"
#include "util/json.h"

void row_begin(struct rows *r, const char *key)
{
	if (r->json)
		cli_printf("%s\"%s\": ", r->any ? ", " : "{", key);
	else
		cli_printf("%s\t", key);
	r->any = true;
}

static void put_json_text(const char *v)
{
	struct buf b = { 0 };
	struct err e;

	json_add_string(&b, bytes_of(v));
	if (buf_check(&b, &e))
		cli_die(&e);
	cli_put(b.p, b.n);
	buf_release(&b);
}

void row_text(struct rows *r, const char *key, const char *v)
{
	row_begin(r, key);
	if (r->json)
		put_json_text(v);
	else
		cli_printf("%s\n", v);
}

void row_number(struct rows *r, const char *key, size_t v)
{
	row_begin(r, key);
	cli_printf(r->json ? "%zu" : "%zu\n", v);
}

void row_bool(struct rows *r, const char *key, bool v)
{
	row_begin(r, key);
	cli_puts(r->json ? (v ? "true" : "false") : (v ? "yes\n" : "no\n"));
}
