/* SPDX-License-Identifier: MIT */
/* source.c - all files of a model seen as one: tensors by name, metadata,
 * siblings. Nothing of the tensors' own pages is read on opening. */
#include "format/container.h"

#include "util/map.h"

#include <assert.h>
#include <string.h>

struct model_file {
	const char *path;
	struct file_map map;
	struct parsed parsed;
	size_t first; /* its first tensor among all */
};

struct sibling {
	struct sibling *next;
	const char *name;
	struct file_map map;
	struct bytes bytes;
};

struct source {
	struct arena arena;
	const char *path, *dir;
	enum container container;
	struct model_file *file;
	size_t n_files;
	struct tensor *tensor;
	size_t n_tensors;
	struct map names, keys; /* of tensors; of the first file's metadata */
	struct tensor *packed;  /* "clm/NAME" members of a lone NPZ */
	size_t n_packed;
	struct sibling *sibling;
	const char *const *siblings;
	size_t n_siblings;
};

static const char packed_prefix[] = "clm/";

static int open_file(struct source *s, struct model_file *f, struct err *e)
{
	enum container c;

	if (file_map(&f->map, f->path, e))
		return -1;
	if (container_tell(&c, f->map.bytes, f->path, e))
		return -1;
	if (f == s->file)
		s->container = c;
	if (c != s->container)
		return err_set(e, ERR_INPUT, "expected %s as in %s, found %s",
		               container_name(s->container), file_name(s->file->path),
		               container_name(c));
	return container_parse(&f->parsed, c, f->map.bytes, &s->arena, e);
}

static int open_files(struct source *s, const struct file_set *set, struct err *e)
{
	/* never none: the first also answers for metadata and members */
	s->file = arena_new(&s->arena, set->n ? set->n : 1, sizeof *s->file, e);
	if (!s->file)
		return -1;
	for (size_t i = 0; i < set->n; i++)
		s->file[i].map.fd = -1;
	s->n_files = set->n;
	for (size_t i = 0; i < set->n; i++) {
		struct model_file *f = &s->file[i];

		f->path = set->path[i];
		if (open_file(s, f, e))
			return err_in(e, "%s", f->path);
		s->n_tensors += f->parsed.n_tensors;
	}
	return 0;
}

/* An NPZ that clm wrote carries its siblings: apart from the tensors. */
static int split_packed(struct source *s, struct err *e)
{
	struct parsed *p = &s->file->parsed;
	size_t n = 0;

	if (s->container != CONTAINER_NPZ || s->n_files != 1)
		return 0;
	while (n < p->n_tensors && strncmp(p->tensor[n].name, packed_prefix, 4))
		n++;
	s->packed = p->tensor + n;
	s->n_packed = p->n_tensors - n;
	for (size_t i = 0; i < s->n_packed; i++)
		if (strncmp(s->packed[i].name, packed_prefix, 4))
			return err_set(e, ERR_INPUT,
			               "%s: %s: expected clm/ members last, found it after them",
			               s->file->path, s->packed[i].name);
	s->n_tensors -= s->n_packed;
	return 0;
}

static int gather(struct source *s, struct err *e)
{
	size_t n = 0;

	if (split_packed(s, e))
		return -1;
	s->tensor = arena_new(&s->arena, s->n_tensors, sizeof *s->tensor, e);
	if (!s->tensor || map_init(&s->names, s->n_tensors, e))
		return -1;
	for (size_t f = 0; f < s->n_files; f++) {
		const struct parsed *p = &s->file[f].parsed;

		s->file[f].first = n;
		for (size_t i = 0; i < p->n_tensors && n < s->n_tensors; i++) {
			int there = map_add(&s->names, bytes_of(p->tensor[i].name), (int64_t)n, e);

			if (there < 0)
				return -1;
			if (there)
				return err_set(e, ERR_INPUT, "%s: %s: is in %s too",
				               s->file[f].path, p->tensor[i].name,
				               source_file(s, source_find(s, p->tensor[i].name)));
			s->tensor[n++] = p->tensor[i];
		}
	}
	return 0;
}

static int gather_meta(struct source *s, struct err *e)
{
	const struct parsed *p = &s->file->parsed;

	if (map_init(&s->keys, p->n_meta, e))
		return -1;
	for (size_t i = 0; i < p->n_meta; i++) {
		int there = map_add(&s->keys, bytes_of(p->meta[i].key), (int64_t)i, e);

		if (there < 0)
			return -1;
		if (there)
			return err_set(e, ERR_INPUT, "%s: metadata: %s: appears twice",
			               s->file->path, p->meta[i].key);
	}
	return 0;
}

static int check_claims(const struct source *s, const struct file_set *set, struct err *e)
{
	for (size_t i = 0; i < set->n_claims; i++) {
		const struct claim *c = &set->claim[i];
		const struct tensor *t = source_find(s, c->tensor);

		if (!t || strcmp(source_file(s, t), s->file[c->file].path))
			return err_set(e, ERR_INPUT, "%s: %s: expected by the index, found %s%s",
			               s->file[c->file].path, c->tensor, t ? "in " : "nowhere",
			               t ? source_file(s, t) : "");
	}
	return 0;
}

/* A split GGUF says how many parts and tensors it has. */
static int check_split(const struct source *s, struct err *e)
{
	size_t n;
	int found;

	if (s->container != CONTAINER_GGUF)
		return 0;
	found = source_meta_size(s, "split.count", &n, e);
	if (found > 0 && n > 0 && n != s->n_files)
		return err_set(e, ERR_INPUT, "%s: split.count: expected %zu, found %zu",
		               s->file->path, s->n_files, n);
	if (found < 0)
		return err_in(e, "%s", s->file->path);
	found = source_meta_size(s, "split.tensors.count", &n, e);
	if (found > 0 && n != s->n_tensors)
		return err_set(e, ERR_INPUT, "%s: split.tensors.count: expected %zu, found %zu",
		               s->file->path, s->n_tensors, n);
	return found < 0 ? err_in(e, "%s", s->file->path) : 0;
}

static int list_siblings(struct source *s, struct err *e)
{
	const char **names;

	if (!s->n_packed)
		return sibling_list(&s->siblings, &s->n_siblings, s->dir, &s->arena, e) ?
		               err_in(e, "%s", s->dir) :
		               0;
	names = arena_new(&s->arena, s->n_packed, sizeof *names, e);
	if (!names)
		return -1;
	for (size_t i = 0; i < s->n_packed; i++) {
		const struct tensor *t = &s->packed[i];

		names[i] = t->name + 4;
		if (t->dtype != DT_U8 || t->shape.rank != 1 || !sibling_name_ok(names[i]))
			return err_set(e, ERR_INPUT,
			               "%s: %s: expected a plain file name and an array of bytes",
			               s->file->path, t->name);
	}
	s->siblings = names;
	s->n_siblings = s->n_packed;
	return 0;
}

static int open_source(struct source *s, const char *path, bool bare, struct err *e)
{
	struct file_set set;

	s->path = arena_text(&s->arena, path, strlen(path), e);
	if (!s->path || file_set_find(&set, s->path, bare, &s->arena, e))
		return -1;
	s->dir = set.dir;
	return open_files(s, &set, e) || gather(s, e) || gather_meta(s, e) ||
	                       check_claims(s, &set, e) || check_split(s, e) ||
	                       list_siblings(s, e) ?
	               -1 :
	               0;
}

static int open_any(struct source **out, const char *path, bool bare, struct err *e)
{
	struct arena arena;
	struct source *s;

	arena_init(&arena, 0);
	s = arena_new(&arena, 1, sizeof *s, e);
	if (!s) {
		arena_release(&arena);
		return -1;
	}
	s->arena = arena;
	if (open_source(s, path, bare, e)) {
		source_close(s);
		return -1;
	}
	*out = s;
	return 0;
}

int source_open(struct source **out, const char *path, struct err *e)
{
	return open_any(out, path, false, e);
}

int source_open_bare(struct source **out, const char *path, struct err *e)
{
	return open_any(out, path, true, e);
}

void source_close(struct source *s)
{
	struct arena arena;

	if (!s)
		return;
	for (size_t i = 0; i < s->n_files; i++) {
		parsed_release(&s->file[i].parsed);
		file_unmap(&s->file[i].map);
	}
	for (struct sibling *b = s->sibling; b; b = b->next)
		file_unmap(&b->map);
	map_release(&s->names);
	map_release(&s->keys);
	arena = s->arena; /* s lies in it */
	arena_release(&arena);
}

enum container source_container(const struct source *s)
{
	return s->container;
}

const char *source_path(const struct source *s)
{
	return s->path;
}

size_t source_count(const struct source *s)
{
	return s->n_tensors;
}

const struct tensor *source_tensor(const struct source *s, size_t i)
{
	assert(i < s->n_tensors);
	return &s->tensor[i];
}

const struct tensor *source_find(const struct source *s, const char *name)
{
	int64_t i = map_get(&s->names, bytes_of(name));

	return i == MAP_NONE ? NULL : &s->tensor[i];
}

static struct model_file *file_of(const struct source *s, const struct tensor *t)
{
	size_t i = (size_t)(t - s->tensor), lo = 0, hi = s->n_files;

	assert(i < s->n_tensors);
	while (hi - lo > 1) {
		size_t middle = lo + (hi - lo) / 2;

		if (s->file[middle].first <= i)
			lo = middle;
		else
			hi = middle;
	}
	return &s->file[lo];
}

const char *source_file(const struct source *s, const struct tensor *t)
{
	return file_of(s, t)->path;
}

int source_data(struct source *s, const struct tensor *t, struct bytes *out, struct arena *a,
                struct err *e)
{
	struct model_file *f = file_of(s, t);
	size_t i = (size_t)(t - s->tensor) - f->first;

	if (parsed_data(&f->parsed, i, out, a, e))
		return err_in(e, "%s", f->path);
	/* what turned out to be usable where it lies */
	s->tensor[t - s->tensor].data.p = f->parsed.tensor[i].data.p;
	return 0;
}

size_t source_siblings(const struct source *s, const char *const **names)
{
	*names = s->siblings;
	return s->n_siblings;
}

/* 1, 0 or -1, as source_sibling(). */
static int read_sibling(struct source *s, struct sibling *b, struct err *e)
{
	struct parsed *p = &s->file->parsed;

	b->map.fd = -1;
	if (!s->n_packed) {
		int found = sibling_open(&b->map, s->dir, b->name, &s->arena, e);

		b->bytes = b->map.bytes;
		return found;
	}
	for (size_t i = 0; i < s->n_packed; i++) {
		if (strcmp(s->packed[i].name + 4, b->name))
			continue;
		if (parsed_data(p, s->n_tensors + i, &b->bytes, &s->arena, e))
			return err_in(e, "%s", s->file->path);
		return 1;
	}
	return 0;
}

int source_sibling(struct source *s, const char *name, struct bytes *out, struct err *e)
{
	struct sibling *b = s->sibling;
	int found;

	while (b && strcmp(b->name, name))
		b = b->next;
	if (!b) {
		b = arena_new(&s->arena, 1, sizeof *b, e);
		if (!b || !(b->name = arena_text(&s->arena, name, strlen(name), e)))
			return -1;
		found = read_sibling(s, b, e);
		if (found <= 0)
			return found;
		b->next = s->sibling;
		s->sibling = b;
	}
	*out = b->bytes;
	return 1;
}

size_t source_meta_count(const struct source *s)
{
	return s->file->parsed.n_meta;
}

const struct meta *source_meta_at(const struct source *s, size_t i)
{
	assert(i < s->file->parsed.n_meta);
	return &s->file->parsed.meta[i];
}

const struct meta *source_meta(const struct source *s, const char *key)
{
	int64_t i = map_get(&s->keys, bytes_of(key));

	return i == MAP_NONE ? NULL : &s->file->parsed.meta[i];
}
