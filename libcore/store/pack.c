/* SPDX-License-Identifier: MIT */
/* pack.c - values by digest, in one file
 *
 *   "clm pack 1\n" and 5 zeros
 *   entries: key, 128 hex digits; size, u64; the value
 *   the digest of all that, 128 hex digits */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/buf.h"
#include "util/file.h"
#include "util/map.h"

enum { HEAD = 16, KEY = DIGEST_TEXT - 1, ENTRY_HEAD = KEY + 8 };
static const char magic[HEAD] = "clm pack 1\n";

struct entry {
	const char *key;       /* [KEY] */
	struct bytes value;
	bool fresh;            /* not in the file */
};
struct pack {
	struct arena arena;
	struct file_map file;
	struct map map;
	struct entry *entry;   /* [n], oldest first */
	size_t n, room, n_fresh;
	const char *path;
};

static int add(struct pack *p, const char *key, struct bytes value, bool fresh, struct err *e)
{
	struct entry *more;

	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 64;

		more = realloc(p->entry, room * sizeof *more);
		if (!more)
			return err_memory(e, room * sizeof *more);
		p->entry = more;
		p->room = room;
	}
	switch (map_add(&p->map, (struct bytes){ (const unsigned char *)key, KEY }, (int64_t)p->n, e)) {
	case 0:
		p->entry[p->n++] = (struct entry){ key, value, fresh };
		p->n_fresh += fresh;
		return 0;
	case 1:
		return 0;
	}
	return -1;
}

/* ---- the file */

static bool is_whole(struct bytes b)
{
	char sum[DIGEST_TEXT];
	struct digest *d;
	struct err e;

	if (b.n < HEAD + KEY || memcmp(b.p, magic, HEAD) || digest_open(&d, &e))
		return false;
	digest_add(d, (struct bytes){ b.p, b.n - KEY });
	return digest_close(d, sum, &e) == 0 && !memcmp(sum, b.p + b.n - KEY, KEY);
}

static int read_entries(struct pack *p, struct bytes b, struct err *e)
{
	struct reader r;

	reader_init(&r, (struct bytes){ b.p, b.n - KEY });
	read_skip(&r, HEAD);
	while (reader_left(&r) && !reader_failed(&r)) {
		struct bytes key = read_bytes(&r, KEY), value;

		value = read_bytes(&r, read_u64(&r));
		if (!reader_failed(&r) && add(p, (const char *)key.p, value, false, e))
			return -1;
	}
	return 0;
}

int pack_open(struct pack **out, const char *path, struct err *e)
{
	struct pack *p = calloc(1, sizeof *p);
	struct err ignored;

	*out = NULL;
	if (!p)
		return err_memory(e, sizeof *p);
	p->file.fd = -1;
	p->path = arena_text(&p->arena, path, strlen(path), e);
	if (!p->path || map_init(&p->map, 64, e))
		goto fail;
	if (file_exists(path) && file_map(&p->file, path, &ignored) == 0 && is_whole(p->file.bytes) &&
	    read_entries(p, p->file.bytes, e))
		goto fail;
	*out = p;
	return 0;
fail:
	pack_abort(p);
	return -1;
}

void pack_abort(struct pack *p)
{
	if (!p)
		return;
	file_unmap(&p->file);
	map_release(&p->map);
	free(p->entry);
	arena_release(&p->arena);
	free(p);
}

bool pack_get(const struct pack *p, const char *key, struct bytes *out)
{
	int64_t i = map_get(&p->map, (struct bytes){ (const unsigned char *)key, KEY });

	if (i == MAP_NONE)
		return false;
	*out = p->entry[i].value;
	return true;
}

int pack_put(struct pack *p, const char *key, struct bytes value, struct err *e)
{
	unsigned char *copy;
	char *name;

	if (value.n > PACK_VALUE_MAX)
		return 0;
	name = arena_text(&p->arena, key, KEY, e);
	copy = name ? arena_new(&p->arena, value.n + 1, 1, e) : NULL;
	if (!copy)
		return -1;
	if (value.n)
		memcpy(copy, value.p, value.n);
	return add(p, name, (struct bytes){ copy, value.n }, true, e);
}

/* ---- writing */

static int put(struct file_out *o, struct digest *d, const void *p, size_t n, struct err *e)
{
	digest_add(d, (struct bytes){ p, n });
	return file_out_write(o, p, n, e);
}

static int put_entry(struct file_out *o, struct digest *d, const struct entry *t, struct err *e)
{
	unsigned char size[8];

	for (int i = 0; i < 8; i++)
		size[i] = (unsigned char)((uint64_t)t->value.n >> 8 * i);
	return put(o, d, t->key, KEY, e) || put(o, d, size, 8, e) ||
	       put(o, d, t->value.p, t->value.n, e);
}

static int write_all(const struct pack *p, struct file_out *o, struct err *e)
{
	size_t total = 0, first = p->n;
	char sum[DIGEST_TEXT];
	struct digest *d;
	int rc;

	while (first && total + ENTRY_HEAD + p->entry[first - 1].value.n <= PACK_MAX)
		total += ENTRY_HEAD + p->entry[--first].value.n;
	if (digest_open(&d, e))
		return -1;
	rc = put(o, d, magic, HEAD, e);
	for (size_t i = first; i < p->n && rc == 0; i++)
		rc = put_entry(o, d, &p->entry[i], e);
	if (digest_close(d, sum, e))
		return -1;
	return rc || file_out_write(o, sum, KEY, e) ? -1 : 0;
}

static int write_file(const struct pack *p, struct err *e)
{
	struct arena a = { 0 };
	struct file_out *o;
	char *dir = file_dir(&a, p->path, e);
	int rc = dir ? file_mkdirs(dir, e) : -1;

	arena_release(&a);
	if (rc || file_out_open(&o, p->path, e))
		return -1;
	if (write_all(p, o, e)) {
		file_out_abort(o);
		return -1;
	}
	return file_out_commit(o, e);
}

/* Adds what is fresh to the file as it is now. */
int pack_close(struct pack *p, struct err *e)
{
	struct pack *now;
	int rc = 0;

	if (!p || !p->n_fresh) {
		pack_abort(p);
		return 0;
	}
	if (pack_open(&now, p->path, e)) {
		pack_abort(p);
		return -1;
	}
	for (size_t i = 0; i < p->n && rc == 0; i++)
		if (p->entry[i].fresh)
			rc = add(now, p->entry[i].key, p->entry[i].value, true, e);
	rc = rc || write_file(now, e) ? -1 : 0;
	if (rc)
		err_in(e, "%s", p->path);
	pack_abort(now);
	pack_abort(p);
	return rc;
}

/* ---- files by digest */

static int memo_key(char out[DIGEST_TEXT], const char *path, const struct stat *s, struct err *e)
{
	char text[256], *real = realpath(path, NULL);
	struct digest *d;

	if (digest_open(&d, e)) {
		free(real);
		return -1;
	}
	snprintf(text, sizeof text, "%llu %llu %lld %lld.%09ld %lld.%09ld ",
	         (unsigned long long)s->st_dev, (unsigned long long)s->st_ino, (long long)s->st_size,
	         (long long)s->st_mtim.tv_sec, s->st_mtim.tv_nsec, (long long)s->st_ctim.tv_sec,
	         s->st_ctim.tv_nsec);
	digest_add(d, bytes_of(text));
	digest_add(d, bytes_of(real ? real : path));
	free(real);
	return digest_close(d, out, e);
}

static int digest_whole(char out[DIGEST_TEXT], const char *path, struct err *e)
{
	enum { PIECE = 1 << 24 };
	struct file_map m;
	struct digest *d;

	if (file_map(&m, path, e))
		return -1;
	if (digest_open(&d, e)) {
		file_unmap(&m);
		return -1;
	}
	for (size_t at = 0; at < m.bytes.n; at += PIECE)
		digest_add(d, (struct bytes){ m.bytes.p + at,
			                      m.bytes.n - at < PIECE ? m.bytes.n - at : PIECE });
	file_unmap(&m);
	return digest_close(d, out, e);
}

int file_digest(char out[DIGEST_TEXT], const char *path, struct pack *memo, struct err *e)
{
	char key[DIGEST_TEXT];
	struct bytes known;
	struct stat s;

	if (!memo || stat(path, &s))
		return digest_whole(out, path, e) ? err_in(e, "%s", path) : 0;
	if (memo_key(key, path, &s, e))
		return -1;
	if (pack_get(memo, key, &known) && known.n == KEY) {
		memcpy(out, known.p, KEY);
		out[KEY] = '\0';
		return 0;
	}
	if (digest_whole(out, path, e))
		return err_in(e, "%s", path);
	return pack_put(memo, key, bytes_of(out), e);
}
