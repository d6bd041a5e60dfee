/* SPDX-License-Identifier: MIT */
/* weights.c - find, check and upload each slot
 *
 * Given a source and the hyperparameters; gives weights in one of the few
 * compute forms. Floats and MLX's packed rows are used where they lie in
 * the mapped file; GGUF blocks become grouped affine once, without loss.
 * How a device keeps them is exec's matter. */
#include "model/weights.h"

#include "model/family.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 160, PER_LAYER = 22, BESIDES = 3 };

struct binder {
	struct weights *w;
	const struct config *c;
	struct source *s;
	struct exec *x;
	enum naming naming;
	/* without a source the weights are made up */
	unsigned bits, group;
	uint64_t seed;
	struct config_size *size; /* not NULL: they are only counted */
	/* the rows wanted of a matrix that holds several; total 0: all of it */
	size_t first, total;
	const char *path; /* that was looked for last */
};

/* The tensor PATH.LEAF in the file's own naming; `name` gets that name. */
static const struct tensor *find(struct binder *b, char name[NAME_ROOM], const char *path,
                                 const char *leaf)
{
	char ours[NAME_ROOM];

	b->path = path;
	snprintf(ours, sizeof ours, "%s.%s", path, leaf);
	if (!family_name_out(b->c->family, name, NAME_ROOM, b->naming, ours))
		return NULL;
	return source_find(b->s, name);
}

static int bad_shape(const struct tensor *t, const char *want, struct err *e)
{
	char have[128];

	return err_set(e, ERR_INPUT, "%s: expected %s, found %s", t->name, want,
	               shape_text(have, sizeof have, t->dtype, &t->shape));
}

static int add(struct binder *b, struct weight **out, const struct weight_desc *d, size_t n_bytes,
               struct err *e)
{
	if (weight_open(out, b->x, d, e))
		return -1;
	b->w->all[b->w->n_all++] = *out;
	if (b->path && weights_note(b->w, *out, d, b->path, b->first, b->total, e))
		return -1;
	b->path = NULL;
	b->w->n_bytes += n_bytes;
	b->w->coded_bytes += d->form == FORM_AFFINE ? n_bytes : 0;
	b->w->flop += d->n_out > 1 ? 2.0 * (double)d->n_out * (double)d->n_in : 0;
	return 0;
}

/* Rows that the matrix in the file has. */
static size_t stored_rows(const struct binder *b, const struct weight_desc *d)
{
	return b->total ? b->total : d->n_out;
}

/* The wanted rows of what holds them all. */
static struct bytes wanted(const struct binder *b, const struct weight_desc *d, struct bytes all)
{
	size_t row = all.n / stored_rows(b, d);

	return (struct bytes){ all.p + b->first * row, d->n_out * row };
}

/* ---- one weight in each of its stored forms */

static int bind_float(struct binder *b, struct weight **out, const struct tensor *t,
                      struct weight_desc *d, struct err *e)
{
	struct bytes data;

	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	data = wanted(b, d, data);
	d->form = FORM_FLOAT;
	d->dtype = t->dtype;
	d->data = data.p;
	return add(b, out, d, data.n, e);
}

/* MLX's triple: the widths follow from the shapes, so that every per-layer
 * recipe is read alike. */
static int bind_triple(struct binder *b, struct weight **out, const struct tensor *t,
                       const char *path, struct weight_desc *d, struct err *e)
{
	char name[NAME_ROOM], want[128];
	const struct tensor *scales = find(b, name, path, "scales"),
			    *biases = find(b, name, path, "biases");
	struct bytes data, s, z;
	size_t words, groups, rows = stored_rows(b, d);

	if (!biases)
		return err_set(e, ERR_INPUT, "%s: missing (only affine quantization is read)",
		               name);
	snprintf(want, sizeof want, "packed rows for [%zu,%zu]", rows, d->n_in);
	if (t->dtype != DT_U32 || t->shape.rank != 2 || t->shape.dim[0] != rows)
		return bad_shape(t, want, e);
	words = t->shape.dim[1];
	if (words > d->n_in || words * 32 % d->n_in)
		return bad_shape(t, want, e);
	if (scales->shape.rank != 2 || scales->shape.dim[0] != rows || !scales->shape.dim[1] ||
	    d->n_in % scales->shape.dim[1] || scales->dtype != biases->dtype)
		return bad_shape(scales, want, e);
	if (!shape_equal(&scales->shape, &biases->shape))
		return bad_shape(biases, want, e);
	groups = scales->shape.dim[1];
	d->form = FORM_AFFINE;
	d->bits = (unsigned)(words * 32 / d->n_in);
	d->group = (unsigned)(d->n_in / groups);
	d->dtype = scales->dtype;
	if (source_data(b->s, t, &data, &b->w->arena, e) ||
	    source_data(b->s, scales, &s, &b->w->arena, e) ||
	    source_data(b->s, biases, &z, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	data = wanted(b, d, data);
	s = wanted(b, d, s);
	z = wanted(b, d, z);
	d->data = data.p;
	d->scales = s.p;
	d->biases = z.p;
	return add(b, out, d, data.n + s.n + z.n, e);
}

/* GGUF blocks whose values are scale * code + bias. */
static int bind_affine_blocks(struct binder *b, struct weight **out, const struct tensor *t,
                              const struct affine_form *form, struct bytes data,
                              struct weight_desc *d, struct err *e)
{
	size_t row_in = data.n / d->n_out, row_q = d->n_in * form->bits / 8;
	size_t row_s = d->n_in / form->group * dtype_info(form->scale)->block_bytes;
	unsigned char *q = arena_new(&b->w->arena, d->n_out, row_q, e);
	unsigned char *s = q ? arena_new(&b->w->arena, d->n_out, row_s, e) : NULL;
	unsigned char *z = s ? arena_new(&b->w->arena, d->n_out, row_s, e) : NULL;

	if (!z)
		return -1;
	for (size_t i = 0; i < d->n_out; i++)
		affine_from_blocks(q + i * row_q, s + i * row_s, z + i * row_s, t->dtype,
		                   data.p + i * row_in, d->n_in);
	d->form = FORM_AFFINE;
	d->dtype = form->scale;
	d->bits = form->bits;
	d->group = form->group;
	d->data = q;
	d->scales = s;
	d->biases = z;
	return add(b, out, d, d->n_out * (row_q + 2 * row_s), e);
}

/* What was repacked is not held twice: only where it lies in the file. */
static void forget(const struct tensor *t, struct bytes data)
{
	if (t->data.p == data.p)
		file_forget(data);
}

/* Every other block type that has a decoder becomes f32. */
static int bind_blocks(struct binder *b, struct weight **out, const struct tensor *t,
                       struct weight_desc *d, struct err *e)
{
	struct affine_form form;
	struct bytes data;
	float *f;

	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	if (affine_form_of(&form, t->dtype)) {
		int bad = bind_affine_blocks(b, out, t, &form, wanted(b, d, data), d, e);

		forget(t, data);
		return bad;
	}
	f = arena_new(&b->w->arena, d->n_out * d->n_in, sizeof *f, e);
	if (!f)
		return -1;
	if (!dtype_to_f32(t->dtype, f, wanted(b, d, data).p, d->n_out * d->n_in))
		return err_set(e, ERR_INPUT, "%s: %s is not read here yet", t->name,
		               dtype_info(t->dtype)->name);
	forget(t, data);
	d->form = FORM_FLOAT;
	d->dtype = DT_F32;
	d->data = f;
	return add(b, out, d, d->n_out * d->n_in * sizeof *f, e);
}

/* ---- slots */

static int made_matrix(struct binder *b, struct weight **out, const char *path, size_t n_out,
                       size_t n_in, struct err *e)
{
	struct weight_desc d = { .name = path, .n_out = n_out, .n_in = n_in };
	size_t before = b->w->arena.n_bytes;

	if (b->size) {
		b->size->parameters += n_out * n_in;
		b->size->matrices += n_out * n_in;
		return 0;
	}
	if (synthetic_matrix(&d, &b->w->arena, b->c->dtype, b->bits, b->group, &b->seed, e))
		return -1;
	return add(b, out, &d, b->w->arena.n_bytes - before, e);
}

static int bind_matrix(struct binder *b, struct weight **out, const char *path, size_t n_out,
                       size_t n_in, struct err *e)
{
	char name[NAME_ROOM], scales[NAME_ROOM], want[64];
	const struct tensor *t;
	struct weight_desc d = { .name = name, .n_out = n_out, .n_in = n_in };

	if (!b->s)
		return made_matrix(b, out, path, n_out, n_in, e);
	t = find(b, name, path, "weight");
	if (!t)
		return err_set(e, ERR_INPUT, "%s: missing", name);
	if (find(b, scales, path, "scales"))
		return bind_triple(b, out, t, path, &d, e);
	if (t->shape.rank != 2 || t->shape.dim[0] != stored_rows(b, &d) ||
	    t->shape.dim[1] != n_in) {
		snprintf(want, sizeof want, "[%zu,%zu]", stored_rows(b, &d), n_in);
		return bad_shape(t, want, e);
	}
	if (dtype_info(t->dtype)->is_float)
		return bind_float(b, out, t, &d, e);
	if (dtype_info(t->dtype)->block > 1)
		return bind_blocks(b, out, t, &d, e);
	return bad_shape(t, "a floating type", e);
}

static int bind_vector(struct binder *b, struct weight **out, const char *path, const char *leaf,
                       size_t n, struct err *e)
{
	char name[NAME_ROOM], want[32];
	const struct tensor *t;
	struct weight_desc d = { .name = name, .n_out = 1, .n_in = n };

	if (b->size) {
		b->size->parameters += n;
		return 0;
	}
	if (!b->s) {
		d.name = path;
		return synthetic_vector(&d, &b->w->arena, b->c->dtype, strcmp(leaf, "bias") ? 1 : 0,
		                        &b->seed, e) ||
		                       add(b, out, &d, n * dtype_info(d.dtype)->block_bytes, e) ?
		               -1 :
		               0;
	}
	t = find(b, name, path, leaf);
	if (!t)
		return err_set(e, ERR_INPUT, "%s: missing", name);
	if (t->shape.rank != 1 || t->shape.dim[0] != n || !dtype_info(t->dtype)->is_float) {
		snprintf(want, sizeof want, "[%zu]", n);
		return bad_shape(t, want, e);
	}
	return bind_float(b, out, t, &d, e);
}

/* A channel's taps, [n, 1, taps], or as MLX turns them [n, taps, 1]. */
static int bind_taps(struct binder *b, struct weight **out, size_t i, const char *module, size_t n,
                     struct err *e)
{
	char path[NAME_ROOM], name[NAME_ROOM], want[64];
	size_t taps = b->c->conv_taps;
	const struct tensor *t;
	struct weight_desc d = { .name = name, .n_out = 1, .n_in = n * taps };

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	if (!b->s)
		return bind_vector(b, out, path, "weight", n * taps, e);
	t = find(b, name, path, "weight");
	if (!t)
		return err_set(e, ERR_INPUT, "%s: missing", name);
	if (t->shape.rank != 3 || t->shape.dim[0] != n || t->shape.dim[1] * t->shape.dim[2] != taps ||
	    (t->shape.dim[1] != 1 && t->shape.dim[2] != 1) || !dtype_info(t->dtype)->is_float) {
		snprintf(want, sizeof want, "[%zu,1,%zu]", n, taps);
		return bad_shape(t, want, e);
	}
	return bind_float(b, out, t, &d, e);
}

static int bind_linear(struct binder *b, struct weight **w, struct weight **bias, size_t i,
                       const char *module, size_t n_out, size_t n_in, bool has_bias, struct err *e)
{
	char path[NAME_ROOM];

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	if (bind_matrix(b, w, path, n_out, n_in, e))
		return -1;
	return has_bias ? bind_vector(b, bias, path, "bias", n_out, e) : 0;
}

/* Rows first .. first + n_out of a module that has `total` of them. */
static int bind_rows(struct binder *b, struct weight **w, size_t i, const char *module,
                     size_t first, size_t n_out, size_t total, size_t n_in, struct err *e)
{
	int bad;

	b->first = first;
	b->total = total;
	bad = bind_linear(b, w, NULL, i, module, n_out, n_in, false, e);
	b->first = b->total = 0;
	return bad;
}

/* A norm's weights; some families store them less one. */
static int bind_gain(struct binder *b, struct weight **w, const char *path, size_t n, struct err *e)
{
	char name[NAME_ROOM];
	/* a GGUF has them whole */
	bool less_one = b->s && b->c->family->norm_plus_one && b->naming != NAMING_GGUF;
	const struct tensor *t = less_one ?
	                         find(b, name, path, "weight") : NULL;
	struct weight_desc d = { .name = name, .form = FORM_FLOAT, .dtype = DT_F32, .n_out = 1,
	                         .n_in = n };
	struct bytes data;
	float *f;

	if (!t || t->shape.rank != 1 || t->shape.dim[0] != n || !dtype_info(t->dtype)->is_float)
		return bind_vector(b, w, path, "weight", n, e);
	f = arena_new(&b->w->arena, n, sizeof *f, e);
	if (!f)
		return -1;
	if (source_data(b->s, t, &data, &b->w->arena, e))
		return err_in(e, "%s", t->name);
	dtype_to_f32(t->dtype, f, data.p, n);
	for (size_t i = 0; i < n; i++)
		f[i] += 1;
	d.data = f;
	return add(b, w, &d, n * sizeof *f, e);
}

static int bind_norm(struct binder *b, struct weight **w, size_t i, const char *module, size_t n,
                     struct err *e)
{
	char path[NAME_ROOM];

	if (!module)
		return 0;
	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	return bind_gain(b, w, path, n, e);
}

static int bind_qkv(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t nq = c->n_heads * c->head_dim, nk = c->n_kv_heads * c->head_dim, all = nq + 2 * nk;
	bool has = c->qkv_bias;

	if (c->family->fused_qkv && b->s)
		return bind_rows(b, &l->q, i, "self_attn.qkv_proj", 0, nq, all, c->hidden, e) ||
		       bind_rows(b, &l->k, i, "self_attn.qkv_proj", nq, nk, all, c->hidden, e) ||
		       bind_rows(b, &l->v, i, "self_attn.qkv_proj", nq + nk, nk, all, c->hidden, e);
	return bind_linear(b, &l->q, &l->q_bias, i, "self_attn.q_proj", nq, c->hidden, has, e) ||
	       bind_linear(b, &l->k, &l->k_bias, i, "self_attn.k_proj", nk, c->hidden, has, e) ||
	       bind_linear(b, &l->v, &l->v_bias, i, "self_attn.v_proj", nk, c->hidden, has, e);
}

static int bind_feed_forward(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t n = c->ffn, d = c->hidden;
	bool has = c->mlp_bias;

	if (bind_linear(b, &l->down, &l->down_bias, i, "mlp.down_proj", d, n, has, e))
		return -1;
	if (c->family->fused_gate_up && b->s)
		return bind_rows(b, &l->gate, i, "mlp.gate_up_proj", 0, n, 2 * n, d, e) ||
		       bind_rows(b, &l->up, i, "mlp.gate_up_proj", n, n, 2 * n, d, e);
	return bind_linear(b, &l->gate, &l->gate_bias, i, "mlp.gate_proj", n, d, has, e) ||
	       bind_linear(b, &l->up, &l->up_bias, i, "mlp.up_proj", n, d, has, e);
}

static int bind_attention(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	bool row = c->family->qk_norm_row;
	size_t nq = c->n_heads * c->head_dim, nk = c->n_kv_heads * c->head_dim;

	if (bind_qkv(b, l, i, e) ||
	    bind_linear(b, &l->o, &l->o_bias, i, "self_attn.o_proj", c->hidden, nq, c->o_bias, e))
		return -1;
	if (!c->qk_norm)
		return 0;
	return bind_norm(b, &l->q_norm, i, "self_attn.q_norm", row ? nq : c->head_dim, e) ||
	       bind_norm(b, &l->k_norm, i, "self_attn.k_norm", row ? nk : c->head_dim, e) ? -1 : 0;
}

static int bind_conv(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	size_t n = b->c->hidden;

	for (size_t k = 0; k < 3; k++)
		if (bind_rows(b, &l->in[k], i, "conv.in_proj", k * n, n, 3 * n, n, e))
			return -1;
	return bind_taps(b, &l->conv, i, "conv.conv", n, e) ||
	       bind_linear(b, &l->o, NULL, i, "conv.out_proj", n, n, false, e);
}

static int (*const bind_block[])(struct binder *, struct layer *, size_t, struct err *) = {
	[BLOCK_ATTENTION] = bind_attention,
	[BLOCK_CONV] = bind_conv,
};

static int bind_layer(struct binder *b, size_t i, struct err *e)
{
	const struct config *c = b->c;
	const struct family *f = c->family;
	struct layer *l = &b->w->layer[i];

	for (size_t k = 0; k < sizeof l->norm / sizeof *l->norm; k++)
		if (bind_norm(b, &l->norm[k], i, f->norm[k], c->hidden, e))
			return -1;
	return bind_block[c->block[i]](b, l, i, e) || bind_feed_forward(b, l, i, e) ? -1 : 0;
}

static int open_all(struct binder *b, struct err *e)
{
	struct weights *w = b->w;
	const struct config *c = b->c;

	*w = (struct weights){ .n_layers = c->n_layers };
	w->layer = arena_new(&w->arena, c->n_layers, sizeof *w->layer, e);
	w->all = w->layer ? arena_new(&w->arena, c->n_layers * PER_LAYER + BESIDES, sizeof *w->all,
	                              e) :
	                    NULL;
	w->bound = w->all ? arena_new(&w->arena, c->n_layers * PER_LAYER + BESIDES,
	                              sizeof *w->bound, e) : NULL;
	if (!w->bound)
		goto fail;
	if (bind_matrix(b, &w->embed, "model.embed_tokens", c->vocab, c->hidden, e))
		goto fail;
	w->embed_bytes = w->n_bytes;
	w->flop = 0;
	if (bind_gain(b, &w->norm, "model.norm", c->hidden, e))
		goto fail;
	for (size_t i = 0; i < c->n_layers; i++)
		if (bind_layer(b, i, e))
			goto fail;
	w->head = w->embed;
	if (!c->tied && bind_matrix(b, &w->head, "lm_head", c->vocab, c->hidden, e))
		goto fail;
	return 0;
fail:
	weights_close(w);
	return -1;
}

int weights_open(struct weights *w, const struct config *c, struct source *s, struct exec *x,
                 struct err *e)
{
	return open_all(&(struct binder){ .w = w, .c = c, .s = s, .x = x, .naming = naming_of(s) },
	                e);
}

int weights_make(struct weights *w, const struct config *c, unsigned bits, unsigned group,
                 struct exec *x, struct err *e)
{
	return open_all(
		&(struct binder){ .w = w, .c = c, .x = x, .bits = bits, .group = group, .seed = 1 },
		e);
}

int config_measure(struct config_size *out, const struct config *c, struct err *e)
{
	struct weights w;

	*out = (struct config_size){ 0 };
	if (open_all(&(struct binder){ .w = &w, .c = c, .size = out }, e))
		return -1;
	weights_close(&w);
	return 0;
}

void weights_close(struct weights *w)
{
	for (size_t i = 0; i < w->n_all; i++)
		weight_close(w->all[i]);
	arena_release(&w->arena);
	*w = (struct weights){ 0 };
}
