/* SPDX-License-Identifier: MIT */
/* gguf_out.c - writes GGUF version 3: tensors in order of declaration, each
 * at a multiple of the alignment. */
#include "format/container.h"

#include "format/gguf.h"
#include "format/writer.h"
#include "util/num.h"

#include <stdlib.h>
#include <string.h>

struct gguf_out {
	const struct part *part;
	struct file_out *file;
	size_t alignment;
	size_t tensor, given;
};

static int check(const struct out_tensor *t, struct err *e)
{
	unsigned id;

	if (!gguf_type_id(&id, t->dtype))
		return err_set(e, ERR_INPUT, "gguf cannot hold %s", dtype_info(t->dtype)->name);
	if (t->shape.rank > GGUF_MAX_RANK)
		return err_set(e, ERR_INPUT, "gguf holds up to %d axes, not %u", GGUF_MAX_RANK,
		               t->shape.rank);
	if (strlen(t->name) > GGUF_MAX_NAME)
		return err_set(e, ERR_INPUT, "gguf names have up to %d bytes", GGUF_MAX_NAME);
	return 0;
}

static void add_number(struct buf *b, uint64_t v, size_t n_bytes)
{
	buf_add(b, &v, n_bytes); /* little-endian, see tensor/blocks.h */
}

static void add_string(struct buf *b, struct bytes s)
{
	add_number(b, s.n, 8);
	buf_add(b, s.p, s.n);
}

static void add_meta(struct buf *b, const struct meta *m)
{
	add_string(b, bytes_of(m->key));
	add_number(b, m->type, 4);
	if (m->type == META_STRING) {
		add_string(b, m->raw);
		return;
	}
	if (m->type == META_ARRAY) {
		add_number(b, m->item, 4);
		add_number(b, m->count, 8);
	}
	if (m->type == META_ARRAY && m->item == META_STRING)
		for (size_t i = 0; i < m->count; i++)
			add_string(b, m->strings[i]);
	else
		buf_add(b, m->raw.p, m->raw.n);
}

static int find_alignment(struct gguf_out *o, bool *given, struct err *e)
{
	o->alignment = DATA_ALIGNMENT;
	*given = false;
	for (size_t i = 0; i < o->part->n_meta; i++) {
		const struct meta *m = &o->part->meta[i];

		if (strcmp(m->key, "general.alignment"))
			continue;
		*given = true;
		o->alignment = m->type == META_U32 ? (size_t)meta_number(m, 0) : 0;
		if (o->alignment == 0 || o->alignment & (o->alignment - 1) ||
		    o->alignment > DATA_ALIGNMENT * 1024)
			return err_set(e, ERR_INPUT, "general.alignment: expected a power of two");
	}
	return 0;
}

static int add_tensors(struct buf *b, const struct gguf_out *o, struct err *e)
{
	size_t offset = 0;

	for (size_t i = 0; i < o->part->n_tensors; i++) {
		const struct out_tensor *t = &o->part->tensor[i];
		unsigned id = 0;

		(void)gguf_type_id(&id, t->dtype); /* check() knows it has one */
		add_string(b, bytes_of(t->name));
		add_number(b, t->shape.rank ? t->shape.rank : 1, 4);
		for (unsigned k = t->shape.rank; k-- > 0;)
			add_number(b, t->shape.dim[k], 8);
		if (t->shape.rank == 0)
			add_number(b, 1, 8);
		add_number(b, id, 4);
		add_number(b, offset, 8);
		if (!num_add(&offset, offset, t->n_bytes) ||
		    !num_round_up(&offset, offset, o->alignment))
			return err_set(e, ERR_INPUT, "the tensors' sizes overflow");
	}
	return 0;
}

static int write_head(struct gguf_out *o, struct err *e)
{
	struct buf b = { 0 };
	uint32_t alignment = DATA_ALIGNMENT;
	struct meta own = {
		.key = "general.alignment",
		.type = META_U32,
		.count = 1,
		.raw = { (const unsigned char *)&alignment, sizeof alignment },
	};
	bool given;
	int failed;

	if (find_alignment(o, &given, e))
		return -1;
	add_number(&b, GGUF_MAGIC, 4);
	add_number(&b, 3, 4);
	add_number(&b, o->part->n_tensors, 8);
	add_number(&b, o->part->n_meta + !given, 8);
	for (size_t i = 0; i < o->part->n_meta; i++)
		add_meta(&b, &o->part->meta[i]);
	if (!given)
		add_meta(&b, &own);
	failed = add_tensors(&b, o, e);
	if (!failed) {
		buf_add_zeros(&b, (o->alignment - b.n % o->alignment) % o->alignment);
		failed = buf_check(&b, e) || file_out_write(o->file, b.p, b.n, e);
	}
	buf_release(&b);
	return failed ? -1 : 0;
}

static int write_padding(struct gguf_out *o, struct err *e)
{
	static const unsigned char zeros[256];
	size_t n = (o->alignment - file_out_at(o->file) % o->alignment) % o->alignment;

	while (n) {
		size_t some = n < sizeof zeros ? n : sizeof zeros;

		if (file_out_write(o->file, zeros, some, e))
			return -1;
		n -= some;
	}
	return 0;
}

static void abandon(void *out)
{
	struct gguf_out *o = out;

	file_out_abort(o->file);
	free(o);
}

static int start(void **out, const struct part *p, struct err *e)
{
	struct gguf_out *o = calloc(1, sizeof *o);

	if (!o)
		return err_memory(e, sizeof *o);
	o->part = p;
	if (file_out_open(&o->file, p->path, e) || write_head(o, e)) {
		abandon(o);
		return -1;
	}
	*out = o;
	return 0;
}

static int data(void *out, const void *p, size_t n, struct err *e)
{
	struct gguf_out *o = out;

	while (o->given == o->part->tensor[o->tensor].n_bytes) {
		o->tensor++;
		o->given = 0;
	}
	if (file_out_write(o->file, p, n, e))
		return -1;
	o->given += n;
	return o->given == o->part->tensor[o->tensor].n_bytes ? write_padding(o, e) : 0;
}

static int commit(void *out, struct err *e)
{
	struct gguf_out *o = out;
	struct file_out *file = o->file;

	free(o);
	return file_out_commit(file, e);
}

const struct out_row gguf_out = {
	CONTAINER_GGUF, "model.gguf", NULL, 0, check, start, data, commit, abandon,
};
