/* SPDX-License-Identifier: MIT */
/* shards.c - which files make the model that a path names: the files of an
 * index, numbered shards, or a single container of the directory. */
#include "format/container.h"

#include "util/json.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static const char index_name[] = "model.safetensors.index.json";
enum { MAX_SHARDS = 100000 };

static bool five_digits(size_t *out, const char *p)
{
	*out = 0;
	for (int i = 0; i < 5; i++) {
		if (p[i] < '0' || p[i] > '9')
			return false;
		*out = *out * 10 + (size_t)(p[i] - '0');
	}
	return true;
}

bool shard_name(const char *name, size_t *number, size_t *total, size_t *at)
{
	for (const char *p = strstr(name, "-of-"); p; p = strstr(p + 1, "-of-")) {
		if (p - name < 6 || p[-6] != '-' || !five_digits(number, p - 5) ||
		    !five_digits(total, p + 4) || p[9] != '.')
			continue;
		*at = (size_t)(p - 5 - name);
		return *number >= 1 && *number <= *total && *total <= MAX_SHARDS;
	}
	return false;
}

static int add_file(struct file_set *s, const char *name, struct arena *a, struct err *e)
{
	s->path[s->n] = file_join(a, s->dir, name, e);
	if (!s->path[s->n])
		return -1;
	s->n++;
	return 0;
}

static int reserve(struct file_set *s, size_t n, struct arena *a, struct err *e)
{
	s->path = arena_new(a, n, sizeof *s->path, e);
	s->n = 0;
	return s->path ? 0 : -1;
}

static int one_file(struct file_set *s, const char *path, struct arena *a, struct err *e)
{
	if (reserve(s, 1, a, e))
		return -1;
	s->path[s->n++] = path;
	return 0;
}

/* All shards of the set that `name` is one of. */
static int numbered_files(struct file_set *s, const char *name, size_t total, size_t at,
                          struct arena *a, struct err *e)
{
	if (reserve(s, total, a, e))
		return -1;
	for (size_t i = 1; i <= total; i++) {
		char *one = arena_printf(a, e, "%.*s%05zu%s", (int)at, name, i, name + at + 5);

		if (!one || add_file(s, one, a, e))
			return -1;
		if (!file_exists(s->path[s->n - 1]))
			return err_set(e, ERR_INPUT, "%s: missing; it is shard %zu of %zu",
			               s->path[s->n - 1], i, total);
	}
	return 0;
}

/* ---- the index of a Hugging Face or MLX directory */

static int claim_file(struct file_set *s, const char *name, size_t *file, struct arena *a,
                      struct err *e)
{
	if (!sibling_name_ok(name))
		return err_set(e, ERR_INPUT, "weight_map: expected a plain file name, found %s",
		               name);
	/* from the last: an index names runs of tensors of one file */
	for (size_t i = s->n; i-- > 0;)
		if (!strcmp(file_name(s->path[i]), name)) {
			*file = i;
			return 0;
		}
	if (s->n == MAX_SHARDS)
		return err_set(e, ERR_INPUT, "weight_map: more than %d files", MAX_SHARDS);
	*file = s->n;
	if (add_file(s, name, a, e))
		return -1;
	if (!file_exists(s->path[*file]))
		return err_set(e, ERR_INPUT, "weight_map: %s is missing", name);
	return 0;
}

static int read_weight_map(struct file_set *s, const cJSON *root, struct arena *a, struct err *e)
{
	const cJSON *map = json_get(root, "weight_map"), *v;
	size_t n = 0;

	if (!cJSON_IsObject(map))
		return err_set(e, ERR_INPUT, "weight_map: expected an object, found %s",
		               map ? json_kind(map) : "nothing");
	cJSON_ArrayForEach(v, map) n++;
	s->claim = arena_new(a, n, sizeof *s->claim, e);
	if (!s->claim || reserve(s, n < MAX_SHARDS ? n : MAX_SHARDS, a, e))
		return -1;
	cJSON_ArrayForEach(v, map)
	{
		struct claim *c = &s->claim[s->n_claims];

		if (!cJSON_IsString(v))
			return err_set(e, ERR_INPUT,
			               "weight_map: %s: expected a file name, found %s", v->string,
			               json_kind(v));
		c->tensor = arena_text(a, v->string, strlen(v->string), e);
		if (!c->tensor || claim_file(s, v->valuestring, &c->file, a, e))
			return -1;
		s->n_claims++;
	}
	return 0;
}

static int order_claims(struct file_set *s, struct arena *a, struct err *e)
{
	/* files in the order of their names, as a directory listing has them */
	size_t *to = arena_new(a, s->n, sizeof *to, e);
	const char **sorted = arena_new(a, s->n, sizeof *sorted, e);

	if (!to || !sorted)
		return -1;
	for (size_t i = 0; i < s->n; i++)
		for (size_t j = 0; j < s->n; j++)
			to[i] += strcmp(s->path[j], s->path[i]) < 0;
	for (size_t i = 0; i < s->n; i++)
		sorted[to[i]] = s->path[i];
	for (size_t i = 0; i < s->n_claims; i++)
		s->claim[i].file = to[s->claim[i].file];
	s->path = sorted;
	return 0;
}

/* 1: the set is the index's; 0: there is none, or one of nothing; -1. */
static int indexed_files(struct file_set *s, struct arena *a, struct err *e)
{
	struct file_map map;
	cJSON *root;
	int found = sibling_open(&map, s->dir, index_name, a, e), failed;

	if (found <= 0)
		return found;
	root = json_parse(map.bytes, e);
	file_unmap(&map);
	failed = !root || read_weight_map(s, root, a, e) || order_claims(s, a, e);
	cJSON_Delete(root);
	return failed ? err_in(e, "%s/%s", s->dir, index_name) : s->n_claims > 0;
}

/* ---- a directory */

/* The names that match; all of them make the set. */
static int matching_files(struct file_set *s, char **names, size_t n, const char *pattern,
                          struct arena *a, struct err *e)
{
	if (reserve(s, n, a, e))
		return -1;
	for (size_t i = 0; i < n; i++)
		if (!fnmatch(pattern, names[i], FNM_PERIOD) && add_file(s, names[i], a, e))
			return -1;
	return 0;
}

static bool is_container(const char *path, enum container want)
{
	struct file_map map;
	struct err ignored = { 0 };
	bool is;

	if (file_map(&map, path, &ignored))
		return false;
	is = container_of(map.bytes) == want;
	file_unmap(&map);
	return is;
}

/* 1 if exactly one file (or one set of shards) matches, 0 if none does. */
static int single_file(struct file_set *s, char **names, size_t n, const char *pattern,
                       struct arena *a, struct err *e)
{
	size_t number, total, at;

	if (matching_files(s, names, n, pattern, a, e))
		return -1;
	/* a .bin may be anything: a pickle, a tokenizer */
	if (!strcmp(pattern, "*.bin")) {
		size_t kept = 0;

		for (size_t i = 0; i < s->n; i++)
			if (is_container(s->path[i], CONTAINER_LLAMA2C))
				s->path[kept++] = s->path[i];
		s->n = kept;
	}
	if (s->n == 0)
		return 0;
	if (shard_name(file_name(s->path[0]), &number, &total, &at) && s->n == total)
		return numbered_files(s, file_name(s->path[0]), total, at, a, e) ? -1 : 1;
	if (s->n > 1)
		return err_set(e, ERR_INPUT, "%s: %zu files are %s: name one of them, such as %s",
		               s->dir, s->n, pattern, file_name(s->path[0]));
	return 1;
}

static int directory_files(struct file_set *s, struct arena *a, struct err *e)
{
	/* every file of the first pattern that has any */
	static const char *const sets[] = { "model*.safetensors", "weights.npz", "weights.*.npz",
		                            "weights*.safetensors" };
	static const char *const singles[] = { "*.gguf", "*.npz", "*.safetensors", "*.bin" };
	size_t n;
	char **names;
	int found = indexed_files(s, a, e);

	if (found)
		return found < 0 ? -1 : 0;
	names = file_list(a, s->dir, &n, e);
	if (!names)
		return err_in(e, "%s", s->dir);
	for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
		if (matching_files(s, names, n, sets[i], a, e))
			return -1;
		if (s->n)
			return 0;
	}
	for (size_t i = 0; i < sizeof singles / sizeof *singles; i++) {
		found = single_file(s, names, n, singles[i], a, e);
		if (found)
			return found < 0 ? -1 : 0;
	}
	if (s->bare)
		return 0;
	return err_set(
		e, ERR_INPUT,
		"%s: expected weights (model*.safetensors, weights*.npz, *.gguf), found none",
		s->dir);
}

/* ---- a file */

/* A file that tells of a model and holds no tensors. */
static bool is_about_model(const char *name)
{
	static const char *const patterns[] = { "*.json",     "*.jinja", "*.txt", "*.model",
		                                "*.tiktoken", "*.md",    "*.py" };

	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
		if (!fnmatch(patterns[i], name, 0))
			return true;
	return false;
}

static bool is_in_set(const struct file_set *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(file_name(s->path[i]), name))
			return true;
	return false;
}

static int file_files(struct file_set *s, const char *path, struct arena *a, struct err *e)
{
	const char *name = file_name(path);
	size_t number, total, at;

	if (is_about_model(name))
		return directory_files(s, a, e);
	if (!fnmatch("*.safetensors", name, 0)) {
		int found = indexed_files(s, a, e);

		if (found < 0)
			return -1;
		if (found && is_in_set(s, name))
			return 0;
		s->n_claims = 0;
	}
	if (shard_name(name, &number, &total, &at) && total > 1)
		return numbered_files(s, name, total, at, a, e);
	if (!fnmatch("weights.*.npz", name, 0)) {
		size_t n;
		char **names = file_list(a, s->dir, &n, e);

		if (!names)
			return err_in(e, "%s", s->dir);
		return matching_files(s, names, n, "weights.*.npz", a, e);
	}
	return one_file(s, path, a, e);
}

int file_set_find(struct file_set *out, const char *path, bool bare, struct arena *a, struct err *e)
{
	*out = (struct file_set){ .bare = bare };
	if (file_is_dir(path)) {
		out->dir = path;
		return directory_files(out, a, e);
	}
	if (!file_exists(path))
		return err_set(e, ERR_INPUT, "%s: no such file or directory", path);
	out->dir = file_dir(a, path, e);
	return out->dir ? file_files(out, path, a, e) : -1;
}
