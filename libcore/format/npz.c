/* SPDX-License-Identifier: MIT */
/* npz.c - reads a zip of .npy members through libzip, from bytes.
 *
 * libzip has no ceilings: it inflates what a stream gives, whatever the
 * directory says, and lets members share bytes. So here: members lie apart,
 * what is inflated is bounded by the file's size, and a stream ends where
 * the directory says. Stored members are used where they lie: libzip reads
 * the file through a view of ours, which sees where a member's data begins.
 */
#include "format/container.h"

#include "util/map.h"
#include "util/num.h"

#include <stdlib.h>
#include <string.h>

#include <zip.h>

/* Inflated members together: INFLATE_BASE + INFLATE_RATIO * file bytes. An
 * honest weight file packs to a third at best. */
enum { INFLATE_BASE = 32 << 20, INFLATE_RATIO = 32, CHUNK = 1 << 17 };

struct view {
	struct bytes bytes;
	size_t pos;
	size_t last; /* where the last read began */
	zip_error_t error;
};

struct member {
	const char *name; /* as in the archive */
	zip_uint64_t index;
	struct npy_header header;
	size_t at;       /* of the member's data in the file */
	size_t n_packed; /* there */
	size_t n;        /* unpacked */
	bool deflated, checked;
};

struct npz {
	struct view view;
	zip_t *zip;
	struct member *member;
};

static zip_int64_t view_read(struct view *v, void *out, zip_uint64_t n)
{
	size_t left = v->bytes.n - v->pos;

	if (n > left)
		n = left;
	if (n)
		memcpy(out, v->bytes.p + v->pos, (size_t)n);
	v->last = v->pos;
	v->pos += (size_t)n;
	return (zip_int64_t)n;
}

static zip_int64_t view_command(void *user, void *data, zip_uint64_t n, zip_source_cmd_t cmd)
{
	struct view *v = user;
	zip_stat_t *st = data;
	zip_int64_t to;

	switch (cmd) {
	case ZIP_SOURCE_OPEN:
		v->pos = 0;
		return 0;
	case ZIP_SOURCE_READ:
		return view_read(v, data, n);
	case ZIP_SOURCE_CLOSE:
		return 0;
	case ZIP_SOURCE_STAT:
		zip_stat_init(st);
		st->size = v->bytes.n;
		st->valid |= ZIP_STAT_SIZE;
		return sizeof *st;
	case ZIP_SOURCE_ERROR:
		return zip_error_to_data(&v->error, data, n);
	case ZIP_SOURCE_FREE:
		return 0;
	case ZIP_SOURCE_SEEK:
		to = zip_source_seek_compute_offset(v->pos, v->bytes.n, data, n, &v->error);
		if (to < 0)
			return -1;
		v->pos = (size_t)to;
		return 0;
	case ZIP_SOURCE_TELL:
		return (zip_int64_t)v->pos;
	case ZIP_SOURCE_SUPPORTS:
		return zip_source_make_command_bitmap(
			ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
			ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL,
			ZIP_SOURCE_SUPPORTS, -1);
	default:
		zip_error_set(&v->error, ZIP_ER_OPNOTSUPP, 0);
		return -1;
	}
}

static int open_zip(struct npz *z, struct bytes file, struct err *e)
{
	zip_source_t *source;
	zip_error_t error;

	z->view.bytes = file;
	zip_error_init(&z->view.error);
	zip_error_init(&error);
	source = zip_source_function_create(view_command, &z->view, &error);
	if (source)
		z->zip = zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &error);
	if (!z->zip) {
		bool memory = zip_error_code_zip(&error) == ZIP_ER_MEMORY;

		err_set(e, memory ? ERR_MACHINE : ERR_INPUT, "zip: %s", zip_error_strerror(&error));
		zip_source_free(source);
		zip_error_fini(&error);
		return -1;
	}
	zip_error_fini(&error);
	return 0;
}

static int read_failed(const char *what, zip_file_t *f, struct err *e)
{
	zip_error_t *error = zip_file_get_error(f);

	return err_set(e, zip_error_code_zip(error) == ZIP_ER_MEMORY ? ERR_MACHINE : ERR_INPUT,
	               "%s: %s", what, zip_error_strerror(error));
}

/* Exactly n bytes of a member, or an error. */
static int read_exactly(zip_file_t *f, unsigned char *out, size_t n, struct err *e)
{
	while (n) {
		zip_int64_t got = zip_fread(f, out, n);

		if (got < 0)
			return read_failed("unpacking", f, e);
		if (got == 0)
			return err_set(e, ERR_INPUT, "unpacking: ends %zu bytes early", n);
		out += got;
		n -= (size_t)got;
	}
	return 0;
}

/* The end comes now; libzip compares the CRC when it does. */
static int read_end(zip_file_t *f, struct err *e)
{
	unsigned char more;
	zip_int64_t got = zip_fread(f, &more, 1);

	if (got < 0)
		return read_failed("unpacking", f, e);
	if (got > 0)
		return err_set(e, ERR_INPUT, "unpacking: more bytes than the directory says");
	return 0;
}

static zip_file_t *open_member(struct npz *z, const struct member *m, zip_flags_t flags,
                               struct err *e)
{
	zip_file_t *f = zip_fopen_index(z->zip, m->index, flags);

	if (!f)
		err_set(e, ERR_INPUT, "zip: %s", zip_error_strerror(zip_get_error(z->zip)));
	return f;
}

/* Where the member's bytes begin: the place of the first read of them. */
static int find_data(struct npz *z, struct member *m, struct err *e)
{
	unsigned char first;
	zip_file_t *f;
	int failed = 0;

	if (m->n_packed == 0)
		return 0;
	f = open_member(z, m, ZIP_FL_COMPRESSED, e);
	if (!f)
		return -1;
	if (read_exactly(f, &first, 1, e))
		failed = -1;
	m->at = z->view.last;
	zip_fclose(f);
	if (!failed && (m->at > z->view.bytes.n || m->n_packed > z->view.bytes.n - m->at))
		failed = err_set(e, ERR_INPUT, "zip: data past the end");
	return failed;
}

/* Reads the array's header: where it lies, or out of the packed stream. */
static int read_npy_header(struct npz *z, struct member *m, struct err *e)
{
	unsigned char prefix[NPY_PREFIX], *head;
	size_t n = m->n < NPY_PREFIX ? m->n : NPY_PREFIX;
	zip_file_t *f;
	int failed = -1;

	if (!m->deflated)
		return npy_header_parse(&m->header, (struct bytes){ z->view.bytes.p + m->at, m->n },
		                        m->n, e);
	f = open_member(z, m, 0, e);
	if (!f)
		return -1;
	if (!read_exactly(f, prefix, n, e)) {
		size_t size;

		if (!npy_header_size(&size, (struct bytes){ prefix, n }, e)) {
			if (size > m->n)
				failed = err_set(e, ERR_INPUT,
				                 "npy header: expected %zu bytes, found %zu", size,
				                 m->n);
			else if (!(head = malloc(size)))
				failed = err_memory(e, size);
			else {
				memcpy(head, prefix, n < size ? n : size);
				if (size <= n || !read_exactly(f, head + n, size - n, e))
					failed = npy_header_parse(
						&m->header, (struct bytes){ head, size }, m->n, e);
				free(head);
			}
		}
	}
	zip_fclose(f);
	return failed;
}

static bool name_ok(const char *name)
{
	return *name && *name != '/' && strcmp(name, "..") && strncmp(name, "../", 3) &&
	       !strstr(name, "/../");
}

/* 1: a member to use; 0: one that is no array (not *.npy); -1. */
static int stat_member(struct npz *z, struct member *m, struct arena *a, struct err *e)
{
	zip_stat_t st;
	size_t n_name;

	if (zip_stat_index(z->zip, m->index, ZIP_FL_ENC_GUESS, &st))
		return err_set(e, ERR_INPUT, "zip: member %llu: %s", (unsigned long long)m->index,
		               zip_error_strerror(zip_get_error(z->zip)));
	n_name = strlen(st.name);
	if (!name_ok(st.name) || n_name > NAME_MAX_BYTES)
		return err_set(e, ERR_INPUT, "zip: member %llu: a name that is none: %.80s",
		               (unsigned long long)m->index, st.name);
	if (n_name <= 4 || strcmp(st.name + n_name - 4, ".npy"))
		return 0;
	m->name = arena_text(a, st.name, n_name, e);
	if (!m->name)
		return -1;
	if (st.encryption_method != ZIP_EM_NONE)
		return err_set(e, ERR_INPUT, "%s: encrypted", m->name);
	if (st.comp_method != ZIP_CM_STORE && st.comp_method != ZIP_CM_DEFLATE)
		return err_set(e, ERR_INPUT, "%s: compression method: expected 0 or 8, found %u",
		               m->name, st.comp_method);
	m->deflated = st.comp_method == ZIP_CM_DEFLATE;
	m->n = (size_t)st.size;
	m->n_packed = (size_t)st.comp_size;
	if (!m->deflated && m->n != m->n_packed)
		return err_set(e, ERR_INPUT, "%s: stored, but of %zu and %zu bytes", m->name, m->n,
		               m->n_packed);
	return 1;
}

static int add_member(struct parsed *out, struct npz *z, zip_uint64_t index, size_t *inflated,
                      struct arena *a, struct err *e)
{
	struct member *m = &z->member[out->n_tensors];
	struct tensor *t = &out->tensor[out->n_tensors];
	size_t limit = z->view.bytes.n;
	int use;

	*m = (struct member){ .index = index };
	use = stat_member(z, m, a, e);
	if (use <= 0)
		return use;
	if (!num_mul(&limit, limit, INFLATE_RATIO) || !num_add(&limit, limit, INFLATE_BASE))
		limit = SIZE_MAX;
	if (m->deflated && (!num_add(inflated, *inflated, m->n) || *inflated > limit))
		return err_set(e, ERR_INPUT,
		               "%s: unpacks to %zu bytes; at most %zu in all from %zu", m->name,
		               m->n, limit, z->view.bytes.n);
	if (find_data(z, m, e) || read_npy_header(z, m, e))
		return err_in(e, "%s", m->name);
	t->name = arena_text(a, m->name, strlen(m->name) - 4, e);
	if (!t->name)
		return -1;
	t->dtype = m->header.dtype;
	t->shape = m->header.shape;
	t->data = (struct bytes){ NULL, m->header.n_bytes };
	out->n_tensors++;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	const struct member *const *x = a, *const *y = b;

	return ((*x)->at > (*y)->at) - ((*x)->at < (*y)->at);
}

/* Members that share bytes would unpack more than the file can hold. */
static int check_apart(const struct npz *z, size_t n, struct arena *a, struct err *e)
{
	const struct member **m = arena_new(a, n, sizeof *m, e);

	if (!m)
		return -1;
	for (size_t i = 0; i < n; i++)
		m[i] = &z->member[i];
	if (n)
		qsort(m, n, sizeof *m, by_place);
	for (size_t i = 1; i < n; i++)
		if (m[i]->at < m[i - 1]->at + m[i - 1]->n_packed)
			return err_set(e, ERR_INPUT, "%s: its data at byte %zu lies inside %s",
			               m[i]->name, m[i]->at, m[i - 1]->name);
	return 0;
}

static int check_names(const struct parsed *p, struct err *e)
{
	struct map names;
	int failed = 0;

	if (map_init(&names, p->n_tensors, e))
		return -1;
	for (size_t i = 0; i < p->n_tensors && !failed; i++) {
		failed = map_add(&names, bytes_of(p->tensor[i].name), (int64_t)i, e);
		if (failed > 0)
			err_set(e, ERR_INPUT, "%s.npy: appears twice", p->tensor[i].name);
	}
	map_release(&names);
	return failed ? -1 : 0;
}

/* Reads a stored member through once, for its CRC. */
static int check_stored(struct npz *z, struct member *m, struct err *e)
{
	unsigned char *chunk;
	zip_file_t *f;
	int failed = 0;

	if (m->checked)
		return 0;
	chunk = malloc(CHUNK);
	if (!chunk)
		return err_memory(e, CHUNK);
	f = open_member(z, m, 0, e);
	if (!f) {
		free(chunk);
		return -1;
	}
	for (size_t left = m->n; left && !failed;) {
		size_t n = left < CHUNK ? left : CHUNK;

		failed = read_exactly(f, chunk, n, e);
		left -= n;
	}
	if (!failed)
		failed = read_end(f, e);
	zip_fclose(f);
	free(chunk);
	m->checked = !failed;
	return failed;
}

static int inflate_data(struct npz *z, struct member *m, unsigned char *out, struct err *e)
{
	zip_file_t *f = open_member(z, m, 0, e);
	unsigned char *head = malloc(m->header.at);
	int failed = -1;

	if (f && !head)
		err_memory(e, m->header.at);
	if (f && head && !read_exactly(f, head, m->header.at, e) &&
	    !read_exactly(f, out, m->header.n_bytes, e))
		failed = read_end(f, e);
	free(head);
	if (f)
		zip_fclose(f);
	return failed;
}

static int unpack_data(struct npz *z, struct member *m, struct bytes *out, struct arena *a,
                       struct err *e)
{
	const unsigned char *lies = z->view.bytes.p + m->at + m->header.at;
	unsigned char *data, *raw = NULL;

	if (!m->deflated && check_stored(z, m, e))
		return -1;
	if (!m->deflated && npy_is_plain(&m->header)) {
		*out = (struct bytes){ lies, m->header.n_bytes };
		return 0;
	}
	data = arena_new(a, m->header.n_bytes, 1, e);
	if (!data)
		return -1;
	*out = (struct bytes){ data, m->header.n_bytes };
	if (m->deflated && npy_is_plain(&m->header))
		return inflate_data(z, m, data, e);
	if (m->deflated) {
		raw = malloc(m->header.n_bytes + 1);
		if (!raw)
			return err_memory(e, m->header.n_bytes);
		if (inflate_data(z, m, raw, e)) {
			free(raw);
			return -1;
		}
		lies = raw;
	}
	npy_unpack(data, lies, &m->header);
	free(raw);
	return 0;
}

static int unpack(struct parsed *p, size_t i, struct bytes *out, struct arena *a, struct err *e)
{
	struct npz *z = p->packed;
	struct member *m = &z->member[i];

	if (unpack_data(z, m, out, a, e))
		return err_in(e, "%s", m->name);
	if (!m->deflated && npy_is_plain(&m->header))
		p->tensor[i].data = *out;
	return 0;
}

static void release(struct parsed *p)
{
	struct npz *z = p->packed;

	if (z->zip)
		zip_discard(z->zip);
	zip_error_fini(&z->view.error);
}

static int parse(struct parsed *out, struct npz *z, struct arena *a, struct err *e)
{
	zip_int64_t n = zip_get_num_entries(z->zip, 0);
	size_t inflated = 0;

	out->tensor = arena_new(a, (size_t)n, sizeof *out->tensor, e);
	z->member = arena_new(a, (size_t)n, sizeof *z->member, e);
	if (!out->tensor || !z->member)
		return -1;
	for (zip_int64_t i = 0; i < n; i++)
		if (add_member(out, z, (zip_uint64_t)i, &inflated, a, e))
			return -1;
	if (n && !out->n_tensors)
		return err_set(e, ERR_INPUT, "zip: expected .npy members, found none%s",
		               zip_name_locate(z->zip, "data.pkl", ZIP_FL_NODIR) >= 0 ?
		                       " (a PyTorch pickle)" :
		                       "");
	return check_apart(z, out->n_tensors, a, e) || check_names(out, e) ? -1 : 0;
}

int npz_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e)
{
	struct npz *z;

	*out = (struct parsed){ 0 };
	z = arena_new(a, 1, sizeof *z, e);
	if (!z)
		return -1;
	if (open_zip(z, file, e))
		return -1;
	out->packed = z;
	out->unpack = unpack;
	out->release = release;
	if (parse(out, z, a, e)) {
		parsed_release(out);
		return -1;
	}
	return 0;
}
