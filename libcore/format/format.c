/* SPDX-License-Identifier: MIT */
/* format.c - the table of containers, told by first bytes. */
#include "format/container.h"

#include <assert.h>
#include <string.h>

static bool is_safetensors(struct bytes f)
{
	struct reader r;
	uint64_t n;

	reader_init(&r, f);
	n = read_u64(&r);
	return n >= 2 && n <= 100000000 && read_u8(&r) == '{';
}

static bool is_npz(struct bytes f)
{
	return bytes_starts(f, "PK\003\004") || bytes_starts(f, "PK\005\006");
}

static bool is_gguf(struct bytes f)
{
	return bytes_starts(f, "GGUF");
}

/* Version 0 has no magic: seven plausible sizes must do. */
static bool is_llama2c(struct bytes f)
{
	static const int32_t top[7] = { 1 << 16, 1 << 18, 4096, 1024, 1024, 1 << 24, 1 << 24 };
	struct reader r;
	bool all = true;

	if (bytes_starts(f, "24ka"))
		return true;
	reader_init(&r, f);
	for (int i = 0; i < 7; i++) {
		int32_t v = read_i32(&r);

		all = all && (i == 5 ? v != 0 && v >= -top[i] : v > 0) && v <= top[i];
	}
	return all && !reader_failed(&r);
}

static int npy_file_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e)
{
	*out = (struct parsed){ 0 };
	out->tensor = arena_new(a, 1, sizeof *out->tensor, e);
	if (!out->tensor || npy_parse(out->tensor, file, a, e))
		return -1;
	out->n_tensors = 1;
	return 0;
}

/* The weakest sign last. */
static const struct row {
	enum container container;
	const char *name, *suffix;
	bool (*is)(struct bytes file);
	int (*parse)(struct parsed *out, struct bytes file, struct arena *a, struct err *e);
} rows[CONTAINER_COUNT] = {
	{ CONTAINER_GGUF, "gguf", ".gguf", is_gguf, gguf_parse },
	{ CONTAINER_NPZ, "npz", ".npz", is_npz, npz_parse },
	{ CONTAINER_NPY, "npy", ".npy", npy_is, npy_file_parse },
	{ CONTAINER_SAFETENSORS, "safetensors", ".safetensors", is_safetensors, safetensors_parse },
	{ CONTAINER_LLAMA2C, "llama2c", ".bin", is_llama2c, llama2c_parse },
};

static const struct row *row_of(enum container c)
{
	for (size_t i = 0; i < CONTAINER_COUNT; i++)
		if (rows[i].container == c)
			return &rows[i];
	return NULL;
}

const char *container_name(enum container c)
{
	const struct row *row = row_of(c);

	return row ? row->name : "unknown";
}

enum container container_of(struct bytes file)
{
	for (size_t i = 0; i < CONTAINER_COUNT; i++)
		if (rows[i].is(file))
			return rows[i].container;
	return CONTAINER_COUNT;
}

/* No sign at all: the suffix then says whose refusal is worth reading. */
int container_tell(enum container *out, struct bytes file, const char *path, struct err *e)
{
	size_t n = strlen(path);

	*out = container_of(file);
	for (size_t i = 0; i < CONTAINER_COUNT && *out == CONTAINER_COUNT; i++) {
		size_t m = strlen(rows[i].suffix);

		if (n > m && !strcmp(path + n - m, rows[i].suffix))
			*out = rows[i].container;
	}
	if (*out != CONTAINER_COUNT)
		return 0;
	if (file.n < 4)
		return err_set(e, ERR_INPUT,
		               "expected safetensors, npz, npy, gguf or llama2.c, found %zu bytes",
		               file.n);
	return err_set(e, ERR_INPUT,
	               "expected safetensors, npz, npy, gguf or llama2.c, "
	               "found bytes %02x %02x %02x %02x",
	               file.p[0], file.p[1], file.p[2], file.p[3]);
}

int container_parse(struct parsed *out, enum container c, struct bytes file, struct arena *a,
                    struct err *e)
{
	const struct row *row = row_of(c);

	assert(row);
	return row->parse(out, file, a, e);
}

int parsed_data(struct parsed *p, size_t i, struct bytes *out, struct arena *a, struct err *e)
{
	const struct tensor *t = &p->tensor[i];

	if (!t->data.p && p->unpack)
		return p->unpack(p, i, out, a, e);
	*out = t->data;
	return 0;
}

void parsed_release(struct parsed *p)
{
	if (p->release)
		p->release(p);
	*p = (struct parsed){ 0 };
}
