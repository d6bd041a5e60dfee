/* SPDX-License-Identifier: MIT */
/* npy_out.c - writes .npy: the header as numpy lays it out, which is where
 * MLX's reader, going by position, looks for it. */
#include "format/container.h"

#include "format/writer.h"

#include <stdlib.h>
#include <string.h>

struct npy_out {
	struct file_out *file;
};

int npy_check(const struct out_tensor *t, struct err *e)
{
	if (!npy_descr(t->dtype))
		return err_set(e, ERR_INPUT, "npy cannot hold %s", dtype_info(t->dtype)->name);
	return 0;
}

int npy_header_make(struct buf *b, const struct out_tensor *t, size_t at, struct err *e)
{
	static const unsigned char magic[8] = { 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0 };
	size_t begin = b->n, n;
	char order = dtype_info(t->dtype)->block_bytes > 1 ? '<' : '|';
	unsigned char length[2];

	buf_add(b, magic, sizeof magic);
	buf_add_zeros(b, 2);
	buf_printf(b, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order,
	           npy_descr(t->dtype));
	for (unsigned i = 0; i < t->shape.rank; i++)
		buf_printf(b, "%s%zu", i ? ", " : "", t->shape.dim[i]);
	buf_add_text(b, t->shape.rank == 1 ? ",), }" : "), }");
	while ((at + (b->n - begin) + 1) % DATA_ALIGNMENT && !b->failed)
		buf_add_byte(b, ' ');
	buf_add_byte(b, '\n');
	if (buf_check(b, e))
		return -1;
	n = b->n - begin - 10; /* a shape's text is far below 64 KiB */
	length[0] = (unsigned char)n;
	length[1] = (unsigned char)(n >> 8);
	memcpy(b->p + begin + 8, length, sizeof length);
	return 0;
}

static void abandon(void *out)
{
	struct npy_out *o = out;

	file_out_abort(o->file);
	free(o);
}

static int start(void **out, const struct part *p, struct err *e)
{
	struct npy_out *o = calloc(1, sizeof *o);
	struct buf b = { 0 };
	int failed;

	if (!o)
		return err_memory(e, sizeof *o);
	if (p->n_tensors != 1)
		failed = err_set(e, ERR_MISUSE, "npy holds one tensor, not %zu", p->n_tensors);
	else
		failed = npy_header_make(&b, p->tensor, 0, e) ||
		         file_out_open(&o->file, p->path, e) ||
		         file_out_write(o->file, b.p, b.n, e);
	buf_release(&b);
	if (failed) {
		abandon(o);
		return -1;
	}
	*out = o;
	return 0;
}

static int data(void *out, const void *p, size_t n, struct err *e)
{
	struct npy_out *o = out;

	return file_out_write(o->file, p, n, e);
}

static int commit(void *out, struct err *e)
{
	struct npy_out *o = out;
	struct file_out *file = o->file;

	free(o);
	return file_out_commit(file, e);
}

const struct out_row npy_out = {
	CONTAINER_NPY, NULL, NULL, 0, npy_check, start, data, commit, abandon,
};
