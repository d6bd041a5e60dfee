/* SPDX-License-Identifier: MIT */
/* status.c - what a server that runs is doing, from its metrics */
#include "status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli.h"
#include "serve/serve.h"
#include "util/file.h"

enum { KEY_BYTES = 1 << 20, NAME_BYTES = 300 };

static const struct line { const char *what, *metric; } lines[] = {
	{ "running", "clm_requests_running" },
	{ "waiting", "clm_requests_waiting" },
	{ "prompt_tokens", "clm_prompt_tokens_total" },
	{ "cached_tokens", "clm_prompt_tokens_cached_total" },
	{ "generated_tokens", "clm_generated_tokens_total" },
	{ "kv_usage", "clm_kv_usage_ratio" },
	{ "resident_bytes", "process_resident_memory_bytes" },
};

/* The value of a metric, at the start of a line; NULL: it has none. `label` is
 * "{...}" or empty. */
static const char *value(const char *text, const char *metric, const char *label)
{
	size_t n = strlen(metric), k = strlen(label);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (!strncmp(p, metric, n) && !strncmp(p + n, label, k) && p[n + k] == ' ')
			return p + n + k + 1;
	}
	return NULL;
}

static void put(const char *what, const char *v)
{
	if (v)
		cli_printf("%s\t%.*s\n", what, (int)strcspn(v, "\n"), v);
}

static void put_models(const char *text)
{
	static const char begin[] = "clm_model_loaded{";

	for (const char *p = strstr(text, begin); p; p = strstr(p, begin)) {
		const char *end = strchr(p, '}'), *bytes;
		char label[NAME_BYTES];

		p += sizeof begin - 2;
		if (!end)
			return;
		snprintf(label, sizeof label, "%.*s", (int)(end + 1 - p), p);
		bytes = value(text, "clm_model_bytes", label);
		if (strlen(label) > 10)
			cli_printf("model\t%.*s\t%s\t%.*s\n", (int)strlen(label) - 10, label + 8,
			           end[1] && end[2] == '1' ? "open" : "closed",
			           bytes ? (int)strcspn(bytes, "\n") : 1, bytes ? bytes : "-");
		p = end;
	}
}

static int first_key(struct buf *out, const char *path, struct err *e)
{
	char *text;
	size_t n;

	if (file_read(out, path, KEY_BYTES, e))
		return err_in(e, "%s", path);
	text = (char *)out->p;
	while (text && *text == '#')
		text += strcspn(text, "\n") + (strchr(text, '\n') != NULL);
	n = text ? strcspn(text, "\r\n") : 0;
	if (!n)
		return err_set(e, ERR_INPUT, "%s: no keys in it", path);
	memmove(out->p, text, n);
	out->p[n] = '\0';
	return 0;
}

int status_tell(const char *address, const char *key_file, struct err *e)
{
	struct buf b = { 0 }, key = { 0 };
	const char *text, *began;
	int status = 0, rc = 0;

	if (key_file)
		rc = first_key(&key, key_file, e);
	if (rc == 0)
		rc = serve_ask(address, "/metrics", (const char *)key.p, &b, &status, e);
	if (rc == 0 && status != 200)
		rc = err_set(e, ERR_MACHINE, "%s: expected status 200, found %d", address, status);
	if (rc == 0) {
		text = (const char *)b.p;
		began = value(text, "process_start_time_seconds", "");
		cli_printf("address\t%s\n", address);
		if (began)
			cli_printf("up_seconds\t%.0f\n", (double)time(NULL) - strtod(began, NULL));
		for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
			put(lines[i].what, value(text, lines[i].metric, ""));
		put_models(text);
	}
	buf_release(&b);
	buf_release(&key);
	return rc;
}
