/* SPDX-License-Identifier: MIT */
/* format.h - files to tensors and metadata, and back. The door of format/.
 *
 * A source is a model's files seen as one: a directory, any file in it, or
 * a lone container. Containers are known by their bytes. Weights are mapped
 * and used in place; only what a container packs (deflated or Fortran-order
 * NPZ members, big-endian data) is unpacked, on demand. */
/* clang-format off */
#ifndef CLM_FORMAT_H
#define CLM_FORMAT_H

#include "tensor/tensor.h"
#include "util/file.h"

enum container {
	CONTAINER_SAFETENSORS, CONTAINER_NPZ, CONTAINER_NPY, CONTAINER_GGUF, CONTAINER_LLAMA2C,
	CONTAINER_COUNT
};
/* "safetensors", "npz", "npy", "gguf", "llama2c" */
const char *container_name(enum container c);

/* ---- reading */
struct source;

/* `path`: a model directory, any file of it, or a lone container file. For
 * a directory, or a file that holds no tensors (config.json, an index), the
 * weights are found as mlx-lm and transformers do: model*.safetensors (the
 * index decides where there is one), weights*.npz, weights*.safetensors, a
 * single *.gguf, *.npz, *.safetensors or *.bin. ERR_INPUT with file, place,
 * expected and found. */
NEED int source_open(struct source **out, const char *path, struct err *e);
/* The same where the siblings alone will do, such as a tokenizer's: a
 * directory without weights is a source without tensors. */
NEED int source_open_bare(struct source **out, const char *path, struct err *e);
void source_close(struct source *s);

enum container source_container(const struct source *s);
const char *source_path(const struct source *s);       /* as given */
size_t source_count(const struct source *s);
const struct tensor *source_tensor(const struct source *s, size_t i); /* by file, then place */
const struct tensor *source_find(const struct source *s, const char *name); /* NULL if absent */
/* The file a tensor lies in, for messages. */
const char *source_file(const struct source *s, const struct tensor *t);
/* The tensor's bytes, row-major. Borrowed from the source where mapped
 * (valid until source_close()); otherwise unpacked into `a`. A foreign file
 * need not align them: only bytes may be assumed. */
NEED int source_data(struct source *s, const struct tensor *t, struct bytes *out,
                     struct arena *a, struct err *e);

/* A sibling file by name ("config.json", "1_Pooling/config.json", ...): a file in
 * the model's directory (nothing outside it), a member "clm/NAME" of an NPZ
 * that clm wrote, a uint8 array. 1 found, 0 absent, -1 failed. Borrowed. */
NEED int source_sibling(struct source *s, const char *name, struct bytes *out, struct err *e);
/* Names of all siblings that are there, for copying (config, generation
 * config, tokenizer files, templates, special tokens map, ...). */
size_t source_siblings(const struct source *s, const char *const **names);

/* Metadata: GGUF key-values, safetensors __metadata__ strings (keys as they
 * are), the llama2.c header (llama2c.dim, .hidden_dim, .n_layers, .n_heads,
 * .n_kv_heads, .vocab_size, .max_seq_len, .shared, .version, .group_size). */
enum meta_type {
	META_U8, META_I8, META_U16, META_I16, META_U32, META_I32, META_F32, META_BOOL,
	META_STRING, META_ARRAY, META_U64, META_I64, META_F64  /* GGUF's numbering */
};
struct meta {
	const char *key;
	enum meta_type type;
	enum meta_type item;  /* of an array */
	size_t count;         /* of an array, else 1 */
	struct bytes raw;     /* the value's (or items') bytes, little-endian; a string's text */
	const struct bytes *strings; /* an array of strings: one view each */
};
size_t source_meta_count(const struct source *s);
const struct meta *source_meta_at(const struct source *s, size_t i);
const struct meta *source_meta(const struct source *s, const char *key); /* NULL if absent */
/* Typed: 1 found, 0 absent, -1 wrong type or range (ERR_INPUT). Any integer
 * type widens. */
NEED int source_meta_size(const struct source *s, const char *key, size_t *out, struct err *e);
NEED int source_meta_f64(const struct source *s, const char *key, double *out, struct err *e);
NEED int source_meta_bool(const struct source *s, const char *key, bool *out, struct err *e);
NEED int source_meta_text(const struct source *s, const char *key, struct bytes *out,
                          struct err *e);
/* Item i of a numeric array as f64 (i < count). */
double meta_number(const struct meta *m, size_t i);

/* ---- parsers of single containers, from bytes (fuzzed; used by source) */
struct parsed {           /* lives in the arena given */
	struct tensor *tensor; /* sorted by place */
	size_t n_tensors;
	struct meta *meta;
	size_t n_meta;
	/* set where tensors are packed (data.p NULL): see parsed_data() */
	void *packed;
	int (*unpack)(struct parsed *p, size_t i, struct bytes *out, struct arena *a,
	              struct err *e);
	void (*release)(struct parsed *p);
};
/* Tensor i's bytes as source_data() gives them; checks what the container
 * lets one check (an NPZ member's CRC, once). */
NEED int parsed_data(struct parsed *p, size_t i, struct bytes *out, struct arena *a,
                     struct err *e);
void parsed_release(struct parsed *p);   /* handles only; {0} is fine */
NEED int safetensors_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e);
NEED int gguf_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e);
NEED int llama2c_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e);
/* One .npy: name empty; data borrowed where it is row-major little-endian,
 * otherwise unpacked into the arena. */
NEED int npy_parse(struct tensor *out, struct bytes file, struct arena *a, struct err *e);
/* A zip of .npy members. Members "clm/NAME" are tensors here too. */
NEED int npz_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e);

/* ---- writing: declare everything, then give the bytes in that order */
struct writer;
struct writer_options {
	enum container container;
	size_t shard_bytes;      /* in a directory: 0 is 5 GiB, for NPZ 15 GiB */
	bool deflate;            /* NPZ members deflated instead of stored */
	size_t total_parameters; /* of the index, where a quantized weight counts its
	                          * logical values; 0: the elements declared */
};
/* Safetensors: `path` is a directory (dir: model.safetensors or numbered
 * shards plus model.safetensors.index.json as mlx-lm writes them) if it ends
 * in "/" or `as_dir`, else one file. GGUF and NPZ: one file, or as_dir for
 * the mlx-examples layout (weights.npz / weights.NN.npz; model.gguf). NPY:
 * one file of one tensor. Data of what clm writes begins at multiples of 64,
 * deflated members aside. "-" is stdout, except for NPZ, which is patched. */
NEED int writer_open(struct writer **out, const char *path, bool as_dir,
                     const struct writer_options *o, struct err *e);
/* Before the first tensor's data. Metadata goes where the container keeps
 * it; NPZ and NPY have none (ignored). Safetensors keeps text: numbers turn
 * into it ("%.9g", "true"), arrays are refused. In a GGUF the keys keep
 * their order; general.alignment is added (64) unless given. */
NEED int writer_meta_text(struct writer *w, const char *key, struct bytes text, struct err *e);
NEED int writer_meta_number(struct writer *w, const char *key, enum meta_type t, double v,
                            struct err *e);
NEED int writer_meta_array(struct writer *w, const char *key, enum meta_type item,
                           const void *items, size_t count, struct err *e); /* little-endian */
NEED int writer_meta_strings(struct writer *w, const char *key, const struct bytes *items,
                             size_t count, struct err *e);
NEED int writer_declare(struct writer *w, const char *name, enum dtype t, const struct shape *s,
                        struct err *e);
/* A sibling: a file in the directory, or a "clm/NAME" uint8 member of a
 * lone NPZ. Not for a lone safetensors or GGUF (ignored). Copied. Before the
 * first tensor's data. */
NEED int writer_sibling(struct writer *w, const char *name, struct bytes text, struct err *e);
/* The next bytes of the declared tensors, in order of declaration; may come
 * in pieces, never across tensors. */
NEED int writer_data(struct writer *w, const void *p, size_t n, struct err *e);
/* Everything declared must have come. Ends the writer, either way. */
NEED int writer_commit(struct writer *w, struct err *e);
void writer_abort(struct writer *w);   /* NULL is fine; nothing stays behind */

#endif
