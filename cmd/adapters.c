/* SPDX-License-Identifier: MIT */
/* adapters.c - adapters named on the command line, DIR[=SCALE] each */
#include "adapters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

char *adapter_split(double *scale, const char *text, struct err *e)
{
	const char *eq = strrchr(text, '=');
	char *end = NULL, *dir;

	*scale = eq ? strtod(eq + 1, &end) : 1;
	/* a name may have a "=" of its own */
	if (eq && (end == eq + 1 || *end) && (file_exists(text) || file_is_dir(text)))
		eq = NULL, *scale = 1;
	else if (eq && (end == eq + 1 || *end || !isfinite(*scale) || fabs(*scale) > 1000))
		cli_misuse("--adapter: expected a scale from -1000 to 1000, found \"%s\"", eq + 1);
	dir = strndup(text, eq ? (size_t)(eq - text) : strlen(text));
	if (!dir)
		err_memory(e, strlen(text));
	return dir;
}

static int open_one(struct adapters *a, const char *text, struct err *e)
{
	struct adapter_use *use = &a->use[a->set.n];
	char *dir = adapter_split(&use->scale, text, e);
	int rc = dir ? convert_adapter_open(&a->own[a->set.n], dir, e) : -1;

	free(dir);
	if (rc)
		return -1;
	use->adapter = a->own[a->set.n++];
	return 0;
}

int adapters_open(struct adapters *a, const struct cli_texts *t, struct err *e)
{
	a->set.use = a->use;
	for (size_t i = 0; i < t->n; i++)
		if (open_one(a, t->text[i], e))
			return -1;
	return 0;
}

void adapters_close(struct adapters *a)
{
	for (size_t i = 0; i < a->set.n; i++)
		adapter_close(a->own[i]);
	a->set.n = 0;
}
