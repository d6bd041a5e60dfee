/* SPDX-License-Identifier: MIT */
/* writer.h - inside format/: what writer.c asks of each container. */
#ifndef CLM_FORMAT_WRITER_H
#define CLM_FORMAT_WRITER_H

#include "format/format.h"

enum { DATA_ALIGNMENT = 64 };

struct out_tensor {
	const char *name;
	enum dtype dtype;
	struct shape shape;
	size_t n_bytes;
};

struct out_sibling {
	const char *name;
	struct bytes text;
};

/* One file to write: all of it known but the tensors' bytes. Lives until
 * the output ends. */
struct part {
	const char *path;
	const struct out_tensor *tensor;
	size_t n_tensors;
	const struct meta *meta;
	size_t n_meta;
	const struct out_sibling *sibling; /* to go inside the file */
	size_t n_siblings;
	bool deflate;
};

/* A way to write a container. data() is called for every tensor with bytes,
 * in order, in pieces that never cross tensors; commit() and drop() end the
 * output. Errors come without the path. */
struct out_row {
	enum container container;
	const char *lone;     /* its file's name in a directory */
	const char *numbered; /* of several; NULL if there is always one */
	size_t shard_bytes;
	/* ERR_INPUT if the container cannot hold such a tensor */
	int (*check)(const struct out_tensor *t, struct err *e);
	int (*open)(void **out, const struct part *p, struct err *e);
	int (*data)(void *o, const void *p, size_t n, struct err *e);
	int (*commit)(void *o, struct err *e);
	void (*drop)(void *o);
};
extern const struct out_row safetensors_out, gguf_out, npz_out, npy_out;

/* npy_out.c: the header of an array whose data shall begin at a multiple of
 * DATA_ALIGNMENT when the header begins at `at`. */
NEED int npy_header_make(struct buf *b, const struct out_tensor *t, size_t at, struct err *e);
NEED int npy_check(const struct out_tensor *t, struct err *e);

#endif
