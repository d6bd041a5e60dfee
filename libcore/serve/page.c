/* SPDX-License-Identifier: MIT */
/* page.c - the page for people: files that lie in the program. Clients that
 * do not ask for HTML get the line they know a server by. */
#include <string.h>

#include "serve/api.h"
#include "serve/page.h"

static const struct { const char *end, *type; } types[] = {
	{ ".html", "text/html; charset=utf-8" },
	{ ".css", "text/css; charset=utf-8" },
	{ ".js", "text/javascript; charset=utf-8" },
	{ ".svg", "image/svg+xml" },
};

static const char *type_of(const char *name)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
		size_t n = strlen(name), k = strlen(types[i].end);

		if (n > k && strcmp(name + n - k, types[i].end) == 0)
			return types[i].type;
	}
	return "application/octet-stream";
}

/* The page talks to this server alone and runs nothing but its own files,
 * whatever a model's answer holds. */
static void give(struct exchange *x, const struct page_file *p)
{
	respond_header(x, "Content-Security-Policy",
	               "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
	               "connect-src 'self'; base-uri 'none'; form-action 'none'; "
	               "frame-ancestors 'none'");
	respond_header(x, "X-Content-Type-Options", "nosniff");
	respond_header(x, "Referrer-Policy", "no-referrer");
	respond_header(x, "Cache-Control", "no-cache");
	respond(x, 200, type_of(p->name), (struct bytes){ p->p, p->n });
}

static const struct page_file *find(const char *name)
{
	for (size_t i = 0; i < n_page_files; i++)
		if (strcmp(page_files[i].name, name) == 0)
			return &page_files[i];
	return NULL;
}

void api_root(struct exchange *x)
{
	if (x->html)
		give(x, find("index.html"));
	else
		respond(x, 200, "text/plain; charset=utf-8", bytes_of("Ollama is running"));
}

void api_page(struct exchange *x)
{
	const struct page_file *p = find(x->name);
	struct fault f;

	if (p) {
		give(x, p);
		return;
	}
	fault_set(&f, 404, NULL, "there is no such path");
	respond_fault(x, &f);
}
