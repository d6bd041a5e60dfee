/* SPDX-License-Identifier: MIT */
/* container.h - inside format/: what the files of this room share. */
#ifndef CLM_FORMAT_CONTAINER_H
#define CLM_FORMAT_CONTAINER_H

#include "format/format.h"

enum { NAME_MAX_BYTES = 65535 }; /* of tensors and metadata keys */

/* The container that the first bytes tell of, or CONTAINER_COUNT. */
enum container container_of(struct bytes file);
/* As container_of(), or by the suffix, so that a broken file gets its own
 * container's refusal; ERR_INPUT if neither tells. */
NEED int container_tell(enum container *out, struct bytes file, const char *path, struct err *e);
NEED int container_parse(struct parsed *out, enum container c, struct bytes file, struct arena *a,
                         struct err *e);

/* Bytes per item of a scalar type; 0 for strings and arrays. */
size_t meta_type_bytes(enum meta_type t);
/* Little-endian, any numeric type. */
double meta_number_at(enum meta_type t, const unsigned char *p);

/* ---- npy.c: the header of an array */
struct npy_header {
	enum dtype dtype;
	bool swapped; /* big-endian */
	bool fortran; /* first axis contiguous, and that matters */
	struct shape shape;
	size_t at;      /* where the data begins */
	size_t n_bytes; /* of the data */
};
enum { NPY_MAX_HEADER = 1 << 16, NPY_MAGIC = 6, NPY_PREFIX = 12 };
bool npy_is(struct bytes file);
/* "f4"; NULL if numpy has no such type. */
const char *npy_descr(enum dtype t);
/* Bytes up to the data, from the first NPY_PREFIX bytes or all there are. */
NEED int npy_header_size(size_t *out, struct bytes prefix, struct err *e);
/* `head` holds at least the header; `n_file` bytes follow from its start. */
NEED int npy_header_parse(struct npy_header *out, struct bytes head, size_t n_file, struct err *e);
/* Row-major little-endian from the data as it lies. */
void npy_unpack(unsigned char *out, const unsigned char *in, const struct npy_header *h);
static inline bool npy_is_plain(const struct npy_header *h)
{
	return !h->swapped && !h->fortran;
}

/* ---- shards.c: which files make a model */
struct claim { /* an index's word on where a tensor lies */
	const char *tensor;
	size_t file;
};
struct file_set {
	const char *dir; /* where siblings are */
	const char **path;
	size_t n;
	struct claim *claim;
	size_t n_claims;
	bool bare; /* no weights at all will do */
};
NEED int file_set_find(struct file_set *out, const char *path, bool bare, struct arena *a,
                       struct err *e);
/* "model-00002-of-00005.gguf": the number, the total, and where the number
 * begins. False if the name is not of that kind. */
bool shard_name(const char *name, size_t *number, size_t *total, size_t *at);

/* ---- sibling.c */
struct sibling; /* one that was read; a list */
/* A name of a file in a directory and nothing else. */
bool sibling_name_ok(const char *name);
NEED int sibling_open(struct file_map *out, const char *dir, const char *name, struct arena *a,
                      struct err *e);
/* Names of the siblings that are in `dir`. */
NEED int sibling_list(const char *const **out, size_t *n, const char *dir, struct arena *a,
                      struct err *e);

#endif
