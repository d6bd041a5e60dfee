/* SPDX-License-Identifier: MIT */
/* llama2c.c - reads llama2.c checkpoints, versions 0, 1 and 2, under Meta's
 * tensor names. Version 2 keeps int8 with a scale per `group_size` values
 * of the flattened matrix, which may straddle rows: it is unpacked to f32. */
#include "format/container.h"

#include "util/num.h"

#include <stdio.h>
#include <string.h>

enum { MAGIC = 0x616b3432, HEADER = 256, HEADER_V0 = 28, MAX_LAYERS = 4096, PER_LAYER = 9 };

struct config {
	int32_t version, dim, hidden, layers, heads, kv_heads, vocab, seq;
	int32_t group;
	bool shared;
};

/* What a matrix of version 2 is made of. */
struct int8_groups {
	const unsigned char *code, *scale;
	size_t group;
};

/* The matrices and norms by kind: rows and columns in terms of the config. */
enum kind { EMBED, RMS_ATT, WQ, WK, WV, WO, RMS_FFN, W1, W2, W3, RMS_FINAL, FREQS, WCLS, KINDS };
static const char *const names[KINDS] = {
	[EMBED] = "tok_embeddings.weight", [RMS_ATT] = "attention_norm.weight",
	[WQ] = "attention.wq.weight",      [WK] = "attention.wk.weight",
	[WV] = "attention.wv.weight",      [WO] = "attention.wo.weight",
	[RMS_FFN] = "ffn_norm.weight",     [W1] = "feed_forward.w1.weight",
	[W2] = "feed_forward.w2.weight",   [W3] = "feed_forward.w3.weight",
	[RMS_FINAL] = "norm.weight",       [WCLS] = "output.weight",
};

static const enum kind order_v0[] = { EMBED, RMS_ATT, WQ, WK,        WV,    WO,   RMS_FFN,
	                              W1,    W2,      W3, RMS_FINAL, FREQS, WCLS, KINDS };
static const enum kind order_v1[] = { RMS_ATT, RMS_FFN, RMS_FINAL, EMBED, WQ,   WK,   WV,
	                              WO,      W1,      W2,        W3,    WCLS, KINDS };

static bool per_layer(enum kind k)
{
	return k != EMBED && k != RMS_FINAL && k != FREQS && k != WCLS;
}

static struct shape kind_shape(enum kind k, const struct config *c)
{
	size_t dim = (size_t)c->dim, hidden = (size_t)c->hidden;
	size_t head = dim / (size_t)c->heads, kv = head * (size_t)c->kv_heads;

	switch (k) {
	case EMBED:
	case WCLS:
		return shape_of(2, (size_t)c->vocab, dim);
	case WQ:
	case WO:
		return shape_of(2, dim, dim);
	case WK:
	case WV:
		return shape_of(2, kv, dim);
	case W1:
	case W3:
		return shape_of(2, hidden, dim);
	case W2:
		return shape_of(2, dim, hidden);
	case FREQS:
		return shape_of(3, (size_t)2, (size_t)c->seq, head / 2);
	default:
		return shape_of(1, dim);
	}
}

static int check_config(struct config *c, struct err *e)
{
	const struct {
		const char *name;
		int32_t v;
	} rows[] = {
		{ "dim", c->dim },
		{ "hidden_dim", c->hidden },
		{ "n_layers", c->layers },
		{ "n_heads", c->heads },
		{ "n_kv_heads", c->kv_heads },
		{ "vocab_size", c->vocab },
		{ "max_seq_len", c->seq },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		if (rows[i].v < 1)
			return err_set(e, ERR_INPUT, "header: %s: expected at least 1, found %ld",
			               rows[i].name, (long)rows[i].v);
	if (c->layers > MAX_LAYERS)
		return err_set(e, ERR_INPUT, "header: n_layers: expected at most %d, found %ld",
		               MAX_LAYERS, (long)c->layers);
	if (c->dim % c->heads || c->dim / c->heads % 2)
		return err_set(
			e, ERR_INPUT,
			"header: n_heads: expected heads of an even size from dim %ld, found %ld",
			(long)c->dim, (long)c->heads);
	if (c->heads % c->kv_heads)
		return err_set(e, ERR_INPUT,
		               "header: n_kv_heads: expected a divisor of %ld, found %ld",
		               (long)c->heads, (long)c->kv_heads);
	if (c->version == 2 && c->group < 1)
		return err_set(e, ERR_INPUT, "header: group_size: expected at least 1, found %ld",
		               (long)c->group);
	return 0;
}

static void read_sizes(struct config *c, struct reader *r)
{
	c->dim = read_i32(r);
	c->hidden = read_i32(r);
	c->layers = read_i32(r);
	c->heads = read_i32(r);
	c->kv_heads = read_i32(r);
	c->vocab = read_i32(r);
	c->seq = read_i32(r);
}

static int read_config(struct config *c, struct reader *r, struct err *e)
{
	struct reader start = *r;

	*c = (struct config){ 0 };
	if (read_u32(r) == MAGIC) {
		c->version = read_i32(r);
		if (!reader_failed(r) && c->version != 1 && c->version != 2)
			return err_set(e, ERR_INPUT, "version: expected 1 or 2, found %ld",
			               (long)c->version);
		read_sizes(c, r);
		c->shared = read_u8(r) != 0;
		if (c->version == 2)
			c->group = read_i32(r);
		if (!reader_failed(r))
			read_skip(r, HEADER - r->pos);
	} else {
		*r = start;
		read_sizes(c, r);
		c->shared = c->vocab > 0;
		/* INT32_MIN has no opposite; it stays negative and is refused */
		if (c->vocab < 0 && c->vocab != INT32_MIN)
			c->vocab = -c->vocab;
	}
	if (reader_failed(r))
		return err_set(e, ERR_INPUT, "header: ends early, at byte %zu", r->pos);
	return check_config(c, e);
}

/* Bytes of one matrix or norm as it lies. */
static bool kind_bytes(size_t *out, enum kind k, const struct config *c, size_t *n_values)
{
	struct shape s = kind_shape(k, c);
	size_t scales;

	if (!shape_count(n_values, &s))
		return false;
	if (c->version < 2 || s.rank == 1)
		return num_mul(out, *n_values, 4);
	if (*n_values % (size_t)c->group)
		return false;
	return num_mul(&scales, *n_values / (size_t)c->group, 4) && num_add(out, *n_values, scales);
}

static int check_size(const struct config *c, const enum kind *order, const struct reader *r,
                      struct err *e)
{
	size_t total = 0, n, count;

	for (; *order != KINDS; order++) {
		if (*order == WCLS && c->shared)
			continue;
		if (!kind_bytes(&n, *order, c, &count) ||
		    (per_layer(*order) && !num_mul(&n, n, (size_t)c->layers)) ||
		    !num_add(&total, total, n))
			return err_set(
				e, ERR_INPUT,
				"header: %s: the sizes overflow, or are no multiple of the group",
				*order == FREQS ? "freq_cis" : names[*order]);
	}
	if (total != reader_left(r))
		return err_set(e, ERR_INPUT, "data: expected %zu bytes, found %zu", total,
		               reader_left(r));
	return 0;
}

struct layout {
	struct parsed *out;
	struct int8_groups *groups; /* per tensor */
	const struct config *config;
	struct reader *reader;
	struct arena *arena;
};

static int take_one(struct layout *l, enum kind k, int32_t layer, struct err *e)
{
	struct tensor *t = &l->out->tensor[l->out->n_tensors];
	struct int8_groups *g = &l->groups[l->out->n_tensors];
	const struct config *c = l->config;
	size_t n = 0, count = 0;
	struct bytes lies;

	/* check_size() has seen all of them fit */
	(void)kind_bytes(&n, k, c, &count);
	lies = read_bytes(l->reader, n);
	if (k == FREQS)
		return 0;
	l->out->n_tensors++;
	t->name = per_layer(k) ? arena_printf(l->arena, e, "layers.%ld.%s", (long)layer, names[k]) :
	                         names[k];
	if (!t->name)
		return -1;
	t->dtype = DT_F32;
	t->shape = kind_shape(k, c);
	t->data = lies;
	if (c->version < 2 || t->shape.rank == 1)
		return 0;
	*g = (struct int8_groups){ lies.p, lies.p + count, (size_t)c->group };
	t->data.p = NULL;
	return num_mul(&t->data.n, count, 4) ? 0 : err_memory(e, SIZE_MAX);
}

static int unpack(struct parsed *p, size_t i, struct bytes *out, struct arena *a, struct err *e)
{
	const struct int8_groups *g = (const struct int8_groups *)p->packed + i;
	size_t n = p->tensor[i].data.n / 4;
	float *f = arena_new(a, n, sizeof *f, e);

	if (!f)
		return -1;
	for (size_t j = 0; j < n; j++) {
		float scale;
		memcpy(&scale, g->scale + j / g->group * 4, sizeof scale);
		f[j] = (float)(signed char)g->code[j] * scale;
	}
	*out = (struct bytes){ (unsigned char *)f, n * sizeof *f };
	return 0;
}

static int take_meta(struct parsed *out, const struct config *c, struct arena *a, struct err *e)
{
	const struct {
		const char *key;
		int32_t v;
	} rows[] = {
		{ "llama2c.version", c->version },   { "llama2c.dim", c->dim },
		{ "llama2c.hidden_dim", c->hidden }, { "llama2c.n_layers", c->layers },
		{ "llama2c.n_heads", c->heads },     { "llama2c.n_kv_heads", c->kv_heads },
		{ "llama2c.vocab_size", c->vocab },  { "llama2c.max_seq_len", c->seq },
		{ "llama2c.group_size", c->group },  { "llama2c.shared", c->shared },
	};
	size_t n = sizeof rows / sizeof *rows;
	int32_t *values = arena_new(a, n, sizeof *values, e);

	out->meta = arena_new(a, n, sizeof *out->meta, e);
	if (!values || !out->meta)
		return -1;
	for (size_t i = 0; i < n; i++) {
		enum meta_type type = i == n - 1 ? META_BOOL : META_U32;

		values[i] = rows[i].v;
		out->meta[i] = (struct meta){
			.key = rows[i].key,
			.type = type,
			.item = type,
			.count = 1,
			.raw = { (unsigned char *)&values[i], meta_type_bytes(type) },
		};
	}
	out->n_meta = n;
	return 0;
}

int llama2c_parse(struct parsed *out, struct bytes file, struct arena *a, struct err *e)
{
	const enum kind *order;
	struct config c;
	struct reader r;
	struct layout l = { .out = out, .config = &c, .reader = &r, .arena = a };
	size_t n;

	*out = (struct parsed){ 0 };
	reader_init(&r, file);
	if (read_config(&c, &r, e))
		return -1;
	order = c.version ? order_v1 : order_v0;
	if (check_size(&c, order, &r, e))
		return -1;
	n = (size_t)c.layers * PER_LAYER + 3;
	out->tensor = arena_new(a, n, sizeof *out->tensor, e);
	l.groups = arena_new(a, n, sizeof *l.groups, e);
	if (!out->tensor || !l.groups)
		return -1;
	for (; *order != KINDS; order++) {
		if (*order == WCLS && c.shared)
			continue;
		for (int32_t i = 0; i < (per_layer(*order) ? c.layers : 1); i++)
			if (take_one(&l, *order, i, e))
				return -1;
	}
	out->packed = l.groups;
	out->unpack = unpack;
	return take_meta(out, &c, a, e);
}
