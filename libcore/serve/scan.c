/* SPDX-License-Identifier: MIT */
/* scan.c - models under a directory: directories with a config.json, and
 * files of one, two levels deep (model, or owner/model) */
#include <stdlib.h>
#include <string.h>

#include "serve/library.h"
#include "util/file.h"

enum { LEVELS = 3, ENTRIES_MAX = 4096 };

struct scan {
	int (*found)(void *arg, const char *name, const char *path);
	void *arg;
	struct arena arena;
	size_t n;
};

/* A model's file: how long its name is without the suffix; 0: none. Of shards
 * the first stands for all. */
static size_t stem(const char *name)
{
	static const char *const suffixes[] = { ".gguf", ".npz", ".safetensors" };
	size_t n = strlen(name), k = 0;
	const char *of = strstr(name, "-of-");

	for (size_t i = 0; i < 3; i++)
		if (bytes_ends(bytes_of(name), suffixes[i]))
			k = n - strlen(suffixes[i]);
	if (!k || !of || of < name + 6)
		return k;
	return memcmp(of - 6, "-00001", 6) == 0 ? (size_t)(of - name) - 6 : 0;
}

static int walk(struct scan *c, const char *dir, const char *prefix, int level, struct err *e);

static int entry(struct scan *c, const char *dir, const char *prefix, const char *name, int level,
                 struct err *e)
{
	char *path = file_join(&c->arena, dir, name, e), *inner, *full;
	size_t n = strlen(name);
	bool is_dir;

	if (!path || ++c->n > ENTRIES_MAX)
		return path ? err_set(e, ERR_INPUT, "over %d files", ENTRIES_MAX) : -1;
	is_dir = file_is_dir(path);
	if (!is_dir)
		n = stem(name);
	full = arena_printf(&c->arena, e, "%s%s%.*s", prefix, *prefix ? "/" : "", (int)n, name);
	if (!full)
		return -1;
	if (!n || !library_name(full, LEVELS))
		return 0;
	if (!is_dir)
		return c->found(c->arg, full, path);
	inner = file_join(&c->arena, path, "config.json", e);
	if (!inner)
		return -1;
	if (file_exists(inner))
		return c->found(c->arg, full, path);
	return level + 1 < LEVELS ? walk(c, path, full, level + 1, e) : 0;
}

static int walk(struct scan *c, const char *dir, const char *prefix, int level, struct err *e)
{
	size_t n;
	char **name = file_list(&c->arena, dir, &n, e);

	if (!name)
		return -1;
	for (size_t i = 0; i < n; i++)
		if (name[i][0] != '.' && entry(c, dir, prefix, name[i], level, e))
			return -1;
	return 0;
}

int scan_models(const char *dir, int (*found)(void *arg, const char *name, const char *path),
                void *arg, struct err *e)
{
	struct scan c = { .found = found, .arg = arg };
	int rc = walk(&c, dir, "", 0, e);

	arena_release(&c.arena);
	return rc ? err_in(e, "%s", dir) : 0;
}
