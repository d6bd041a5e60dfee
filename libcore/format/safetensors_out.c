/* SPDX-License-Identifier: MIT */
/* safetensors_out.c - writes a safetensors file whose data begins at a
 * multiple of 64, and its tensors too where their sizes allow it: the format
 * wants them end to end, so small tensors of an odd size go last. */
#include "format/container.h"

#include "format/writer.h"
#include "util/json.h"
#include "util/num.h"

#include <stdlib.h>
#include <string.h>

enum {
	TAIL_ONE = 1 << 20,  /* what goes last waits in memory: bytes of one, */
	TAIL_ALL = 64 << 20, /* and of all */
	MAX_HEADER = 100000000,
};

struct place {
	size_t index; /* of the tensor, in order of declaration */
	size_t at;    /* in the data */
	bool waits;
};

struct safetensors_out {
	const struct part *part;
	struct file_out *file;
	struct place *place; /* by index */
	unsigned char *tail;
	size_t tail_at, n_tail;
	size_t tensor, given;
};

static const char *const names[DT_COUNT] = {
	[DT_BOOL] = "BOOL",       [DT_I8] = "I8",           [DT_I16] = "I16",
	[DT_I32] = "I32",         [DT_I64] = "I64",         [DT_U8] = "U8",
	[DT_U16] = "U16",         [DT_U32] = "U32",         [DT_U64] = "U64",
	[DT_F16] = "F16",         [DT_BF16] = "BF16",       [DT_F32] = "F32",
	[DT_F64] = "F64",         [DT_C64] = "C64",         [DT_F8_E4M3] = "F8_E4M3",
	[DT_F8_E5M2] = "F8_E5M2", [DT_F8_E8M0] = "F8_E8M0",
};

static int check(const struct out_tensor *t, struct err *e)
{
	if (!names[t->dtype])
		return err_set(e, ERR_INPUT, "safetensors cannot hold %s",
		               dtype_info(t->dtype)->name);
	if (!strcmp(t->name, "__metadata__"))
		return err_set(e, ERR_INPUT, "safetensors keeps that name for itself");
	return 0;
}

/* The largest power of two, up to 64, that divides n. */
static size_t alignment_of(size_t n)
{
	size_t a = DATA_ALIGNMENT;

	while (n % a)
		a /= 2;
	return a;
}

/* Those that wait: the better aligned first, so that each element stays
 * aligned to its own size. */
static void place_tail(struct safetensors_out *o, size_t at)
{
	o->tail_at = at;
	for (size_t a = DATA_ALIGNMENT / 2; a; a /= 2)
		for (size_t i = 0; i < o->part->n_tensors; i++) {
			size_t n = o->part->tensor[i].n_bytes;

			if (!o->place[i].waits || alignment_of(n) != a)
				continue;
			o->place[i].at = at;
			at += n;
		}
	o->n_tail = at - o->tail_at;
}

static int place_all(struct safetensors_out *o, struct err *e)
{
	size_t at = 0, waiting = 0;

	for (size_t i = 0; i < o->part->n_tensors; i++) {
		size_t n = o->part->tensor[i].n_bytes;
		struct place *p = &o->place[i];

		p->index = i;
		p->waits = n % DATA_ALIGNMENT && n <= TAIL_ONE && waiting + n <= TAIL_ALL;
		if (p->waits) {
			waiting += n;
			continue;
		}
		p->at = at;
		if (!num_add(&at, at, n))
			return err_set(e, ERR_INPUT, "the tensors' sizes overflow");
	}
	place_tail(o, at);
	o->tail = malloc(o->n_tail + 1);
	return o->tail ? 0 : err_memory(e, o->n_tail);
}

static int by_place(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->index < y->index ? -1 : 1;
}

static int add_meta(struct buf *b, const struct meta *m, struct err *e)
{
	char number[32];

	json_add_string(b, bytes_of(m->key));
	buf_add_text(b, ":");
	if (m->type == META_ARRAY)
		return err_set(e, ERR_MISUSE, "%s: safetensors keeps text, no arrays", m->key);
	if (m->type == META_STRING)
		json_add_string(b, m->raw);
	else if (m->type == META_BOOL)
		buf_add_text(b, meta_number(m, 0) != 0 ? "\"true\"" : "\"false\"");
	else if (m->type == META_F32 || m->type == META_F64)
		buf_printf(b, "\"%s\"", num_text_f64(number, meta_number(m, 0)));
	else
		buf_printf(b, "\"%.0f\"", meta_number(m, 0));
	return 0;
}

static void add_tensor(struct buf *b, const struct out_tensor *t, size_t at)
{
	json_add_string(b, bytes_of(t->name));
	buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", names[t->dtype]);
	for (unsigned i = 0; i < t->shape.rank; i++)
		buf_printf(b, "%s%zu", i ? "," : "", t->shape.dim[i]);
	buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", at, at + t->n_bytes);
}

/* 8 bytes of length, the JSON text, blanks up to the alignment. */
static int header_text(struct buf *b, const struct safetensors_out *o, struct place *sorted,
                       struct err *e)
{
	const struct part *p = o->part;
	uint64_t n;

	buf_add_zeros(b, 8);
	buf_add_text(b, "{");
	if (p->n_meta) {
		buf_add_text(b, "\"__metadata__\":{");
		for (size_t i = 0; i < p->n_meta; i++) {
			if (i)
				buf_add_text(b, ",");
			if (add_meta(b, &p->meta[i], e))
				return -1;
		}
		buf_add_text(b, p->n_tensors ? "}," : "}");
	}
	for (size_t i = 0; i < p->n_tensors; i++) {
		if (i)
			buf_add_text(b, ",");
		add_tensor(b, &p->tensor[sorted[i].index], sorted[i].at);
	}
	buf_add_text(b, "}");
	while (b->n % DATA_ALIGNMENT && !b->failed)
		buf_add_byte(b, ' ');
	if (buf_check(b, e))
		return -1;
	n = b->n - 8;
	if (n > MAX_HEADER)
		return err_set(e, ERR_INPUT, "a header of %zu bytes, at most %d", b->n - 8,
		               MAX_HEADER);
	memcpy(b->p, &n, sizeof n);
	return 0;
}

static int write_header(struct safetensors_out *o, struct err *e)
{
	size_t n = o->part->n_tensors;
	struct place *sorted = malloc((n + 1) * sizeof *sorted);
	struct buf b = { 0 };
	int failed;

	if (!sorted)
		return err_memory(e, n * sizeof *sorted);
	memcpy(sorted, o->place, n * sizeof *sorted);
	qsort(sorted, n, sizeof *sorted, by_place);
	failed = header_text(&b, o, sorted, e) || file_out_write(o->file, b.p, b.n, e);
	buf_release(&b);
	free(sorted);
	return failed ? -1 : 0;
}

static void end(struct safetensors_out *o)
{
	free(o->place);
	free(o->tail);
	free(o);
}

static void abandon(void *out)
{
	struct safetensors_out *o = out;

	file_out_abort(o->file);
	end(o);
}

static int start(void **out, const struct part *p, struct err *e)
{
	struct safetensors_out *o = calloc(1, sizeof *o);

	if (!o)
		return err_memory(e, sizeof *o);
	o->part = p;
	o->place = calloc(p->n_tensors + 1, sizeof *o->place);
	if (!o->place) {
		err_memory(e, p->n_tensors * sizeof *o->place);
		goto fail;
	}
	if (place_all(o, e) || file_out_open(&o->file, p->path, e) || write_header(o, e))
		goto fail;
	*out = o;
	return 0;
fail:
	abandon(o);
	return -1;
}

static int data(void *out, const void *p, size_t n, struct err *e)
{
	struct safetensors_out *o = out;
	struct place *place;

	while (o->given == o->part->tensor[o->tensor].n_bytes) {
		o->tensor++;
		o->given = 0;
	}
	place = &o->place[o->tensor];
	if (place->waits)
		memcpy(o->tail + (place->at - o->tail_at) + o->given, p, n);
	else if (file_out_write(o->file, p, n, e))
		return -1;
	o->given += n;
	return 0;
}

static int commit(void *out, struct err *e)
{
	struct safetensors_out *o = out;
	struct file_out *file = o->file;

	if (file_out_write(file, o->tail, o->n_tail, e)) {
		abandon(o);
		return -1;
	}
	end(o);
	return file_out_commit(file, e);
}

const struct out_row safetensors_out = {
	CONTAINER_SAFETENSORS,
	"model.safetensors",
	"model-%05zu-of-%05zu.safetensors",
	(size_t)5 << 30,
	check,
	start,
	data,
	commit,
	abandon,
};
