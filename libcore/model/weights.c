/* SPDX-License-Identifier: MIT */
/* weights.c - every slot of a model, found, checked and uploaded
 *
 * Given a source and the hyperparameters; gives weights in one of the few
 * compute forms. Floats and MLX's packed rows are used where they lie in
 * the mapped file; GGUF blocks become grouped affine once, without loss.
 * How a device keeps them is exec's matter. */
#include "model/bind.h"
#include "model/coded.h"
#include "model/family.h"
#include "model/inventory.h"

#include <stdio.h>
#include <string.h>

enum { PER_LAYER = 44, BESIDES = 10 };

/* ---- slots */

/* One that is there packed, or is missing. */
static int bind_packed(struct binder *b, struct weight **out, const char *path,
                       const char *missing, struct weight_desc *d, struct err *e)
{
	int got = packed_weight(b, d, path, bind_stored_rows(b, d), e);
	size_t scale;

	if (got <= 0)
		return got < 0 ? -1 : inventory_missing(b, missing, e);
	scale = d->n_in / d->group * dtype_info(d->dtype)->block_bytes;
	d->data = (const unsigned char *)d->data + b->first * d->n_in * d->bits / 8;
	d->scales = (const unsigned char *)d->scales + b->first * scale;
	d->biases = (const unsigned char *)d->biases + b->first * scale;
	return bind_add(b, out, d, d->n_out * packed_bytes(d), e);
}

int bind_matrix(struct binder *b, struct weight **out, const char *path, size_t n_out,
                       size_t n_in, struct err *e)
{
	char name[NAME_ROOM], scales[NAME_ROOM], want[64];
	const struct tensor *t, *tiles;
	struct shape have;
	struct weight_desc d = { .name = name, .n_out = n_out, .n_in = n_in };

	if (!b->s)
		return made_matrix(b, out, path, n_out, n_in, e);
	t = bind_find(b, name, path, "weight");
	if (!t)
		return bind_packed(b, out, path, name, &d, e);
	if (bind_find(b, scales, path, "scales"))
		return bind_triple(b, out, t, path, &d, e);
	have = bind_flat(b, t);
	if (n_out == 1 && have.rank == 1) /* in a GGUF */
		have = shape_of(2, (size_t)1, have.dim[0]);
	if (have.rank != 2 || have.dim[0] != bind_stored_rows(b, &d) || have.dim[1] != n_in) {
		snprintf(want, sizeof want, "[%zu,%zu]", bind_stored_rows(b, &d), n_in);
		return bind_bad_shape(t, want, e);
	}
	tiles = bind_find(b, scales, path, "weight_scale_inv");
	if (dtype_info(t->dtype)->is_float && tiles)
		return tiled_weight(&d, &b->w->arena, b->s, t, tiles, b->first, e) ||
		       bind_add(b, out, &d, n_out * n_in * sizeof(float), e) ? -1 : 0;
	if (dtype_info(t->dtype)->is_float)
		return bind_float(b, out, t, &d, e);
	if (dtype_info(t->dtype)->block > 1)
		return bind_blocks(b, out, t, &d, e);
	return bind_bad_shape(t, "a floating type", e);
}

/* A vector of n, or one for each matrix of a stack. */
static bool is_vector(const struct binder *b, const struct tensor *t, size_t n)
{
	const struct shape *s = &t->shape;

	return (s->rank == 1 && s->dim[0] == n) ||
	       (b->stack && s->rank == 2 && s->dim[0] == b->stack && s->dim[0] * s->dim[1] == n);
}

int bind_vector(struct binder *b, struct weight **out, const char *path, const char *leaf,
                       size_t n, struct err *e)
{
	char name[NAME_ROOM], want[32];
	const struct tensor *t;
	struct weight_desc d = { .name = name, .n_out = 1, .n_in = n };

	if (!b->s)
		return made_vector(b, out, path, leaf, n, 0, e);
	t = bind_find(b, name, path, leaf);
	if (!t)
		return inventory_missing(b, name, e);
	if (!is_vector(b, t, n) || !dtype_info(t->dtype)->is_float) {
		snprintf(want, sizeof want, "[%zu]", n);
		return bind_bad_shape(t, want, e);
	}
	return bind_float(b, out, t, &d, e);
}

int bind_linear(struct binder *b, struct weight **w, struct weight **bias, size_t i,
                       const char *module, size_t n_out, size_t n_in, bool has_bias, struct err *e)
{
	char path[NAME_ROOM];

	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	if (bind_matrix(b, w, path, n_out, n_in, e))
		return -1;
	return has_bias ? bind_vector(b, bias, path, "bias", n_out, e) : 0;
}

/* Rows first .. first + n_out of a module that has `total` of them. */
int bind_rows(struct binder *b, struct weight **w, size_t i, const char *module,
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
int bind_gain(struct binder *b, struct weight **w, const char *path, size_t n, struct err *e)
{
	char name[NAME_ROOM];
	/* a GGUF has them whole */
	bool less_one = b->s && b->c->family->norm_plus_one && b->naming != NAMING_GGUF &&
	                !b->whole;
	const struct tensor *t = less_one ?
	                         bind_find(b, name, path, "weight") : NULL;
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
	return bind_add(b, w, &d, n * sizeof *f, e);
}

int bind_norm(struct binder *b, struct weight **w, struct weight **bias, size_t i,
                     const char *module, size_t n, struct err *e)
{
	char path[NAME_ROOM];

	if (!module)
		return 0;
	snprintf(path, sizeof path, "model.layers.%zu.%s", i, module);
	if (bias && b->c->family->norm_bias && bind_vector(b, bias, path, "bias", n, e))
		return -1;
	return bind_gain(b, w, path, n, e);
}

static int bind_qkv(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t dim = config_head_dim(c, i), nq = c->n_heads * dim, nk = config_kv_heads(c, i) * dim;
	size_t all = nq + 2 * nk;
	bool has = c->qkv_bias;

	if (c->family->fused_qkv && b->s)
		return bind_rows(b, &l->q, i, "self_attn.qkv_proj", 0, nq, all, c->hidden, e) ||
		       bind_rows(b, &l->k, i, "self_attn.qkv_proj", nq, nk, all, c->hidden, e) ||
		       bind_rows(b, &l->v, i, "self_attn.qkv_proj", nq + nk, nk, all, c->hidden, e);
	if (i >= config_caches(c)) /* an earlier layer's keys and values are used */
		return bind_linear(b, &l->q, &l->q_bias, i, "self_attn.q_proj", nq, c->hidden, has, e);
	if (c->keys_are_values && !c->sliding[i])
		return bind_linear(b, &l->q, &l->q_bias, i, "self_attn.q_proj", nq, c->hidden, has, e) ||
		       bind_linear(b, &l->k, &l->k_bias, i, "self_attn.k_proj", nk, c->hidden, has, e);
	if (c->family->gated_query)
		nq *= 2;
	return bind_linear(b, &l->q, &l->q_bias, i, "self_attn.q_proj", nq, c->hidden, has, e) ||
	       bind_linear(b, &l->k, &l->k_bias, i, "self_attn.k_proj", nk, c->hidden, has, e) ||
	       bind_linear(b, &l->v, &l->v_bias, i, "self_attn.v_proj", nk, c->hidden, has, e);
}

int bind_feed_forward(struct binder *b, struct layer *l, size_t i, struct err *e)
{
	const struct config *c = b->c;
	size_t n = config_ffn(c, i), d = c->hidden;
	bool has = c->mlp_bias;

	l->wide = n != c->ffn;
	if (bind_linear(b, &l->down, &l->down_bias, i, "mlp.down_proj", d, n, has, e))
		return -1;
	if (c->family->ungated)
		return bind_linear(b, &l->up, &l->up_bias, i, "mlp.up_proj", n, d, has, e);
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
	size_t dim = config_head_dim(c, i), nq = c->n_heads * dim, nk = config_kv_heads(c, i) * dim;

	if (bind_qkv(b, l, i, e) ||
	    bind_linear(b, &l->o, &l->o_bias, i, "self_attn.o_proj", c->hidden, nq, c->o_bias, e))
		return -1;
	if (c->family->sinks) {
		char path[NAME_ROOM];

		snprintf(path, sizeof path, "model.layers.%zu.self_attn", i);
		if (bind_vector(b, &l->sinks, path, "sinks", c->n_heads, e))
			return -1;
	}
	if (c->family->value_norm && bind_ones(b, &l->v_norm, "v_norm", dim, e))
		return -1;
	if (!c->qk_norm)
		return 0;
	if (bind_norm(b, &l->q_norm, NULL, i, "self_attn.q_norm", row ? nq : dim, e))
		return -1;
	return i < config_caches(c) ?
	       bind_norm(b, &l->k_norm, NULL, i, "self_attn.k_norm", row ? nk : dim, e) : 0;
}

static int (*const bind_block[])(struct binder *, struct layer *, size_t, struct err *) = {
	[BLOCK_ATTENTION] = bind_attention,
	[BLOCK_CONV] = bind_conv,
	[BLOCK_ENCODER] = bind_attention,
	[BLOCK_LATENT] = bind_latent,
	[BLOCK_DELTA] = bind_delta,
	[BLOCK_KDA] = bind_kda,
};

static int bind_layer(struct binder *b, size_t i, struct err *e)
{
	const struct config *c = b->c;
	const struct family *f = c->family;
	struct layer *l = &b->w->layer[i];

	for (size_t k = 0; k < sizeof l->norm / sizeof *l->norm; k++)
		if (bind_norm(b, &l->norm[k], &l->norm_bias[k], i, f->norm[k], c->hidden, e))
			return -1;
	return bind_block[c->block[i]](b, l, i, e) ||
	       (c->sparse && c->sparse[i] ? bind_experts : bind_feed_forward)(b, l, i, e) ||
	       bind_own_layer(b, l, i, e) ? -1 : 0;
}

/* A table of positions, to each of which the first type of tokens is added:
 * the only one there is where no pairs are. */
static int read_positions(struct binder *b, struct err *e)
{
	static const char *const paths[] = { "model.embed_positions", "model.embed_types" };
	size_t n = b->c->hidden, rows = b->c->max_pos;
	struct weight_desc d = { .name = paths[0], .dtype = DT_F32, .n_out = rows, .n_in = n };
	float *table = arena_new(&b->w->arena, rows * n, sizeof *table, e);
	float *type = table ? arena_new(&b->w->arena, n, sizeof *type, e) : NULL;

	for (size_t k = 0; type && k < 2; k++) {
		char name[NAME_ROOM], want[64];
		const struct tensor *t = bind_find(b, name, paths[k], "weight");
		struct bytes data;

		snprintf(want, sizeof want, "floats, %zu rows of %zu", k ? (size_t)1 : rows, n);
		if (!t)
			return inventory_missing(b, name, e);
		if (t->shape.rank != 2 || t->shape.dim[1] != n || t->shape.dim[0] < (k ? 1 : rows) ||
		    !dtype_info(t->dtype)->is_float)
			return bind_bad_shape(t, want, e);
		if (source_data(b->s, t, &data, &b->w->arena, e))
			return err_in(e, "%s", t->name);
		dtype_to_f32(t->dtype, k ? type : table, data.p, k ? n : rows * n);
	}
	for (size_t i = 0; type && i < rows * n; i++)
		table[i] += type[i % n];
	d.data = table;
	b->path = NULL; /* no module's alone */
	return type ? bind_add(b, &b->w->positions, &d, rows * n * sizeof *table, e) : -1;
}

static int bind_positions(struct binder *b, struct err *e)
{
	if (b->s)
		return read_positions(b, e);
	if (b->size)
		b->size->parameters += 2 * b->c->hidden; /* types of tokens, two as published */
	return made_matrix(b, &b->w->positions, "positions", b->c->max_pos, b->c->hidden, e);
}

/* What stands around the layers, but for the table and the head. */
static int bind_ends(struct binder *b, struct err *e)
{
	struct weights *w = b->w;
	size_t n = b->c->hidden;

	if (!b->c->encoder)
		return bind_gain(b, &w->norm, "model.norm", n, e) || bind_own_ends(b, e) ? -1 : 0;
	return bind_positions(b, e) || bind_gain(b, &w->embed_norm, "model.embed_norm", n, e) ||
	       bind_vector(b, &w->embed_norm_bias, "model.embed_norm", "bias", n, e) ? -1 : 0;
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
	if (!w->bound || (b->s && inventory_open(b, e)))
		goto fail;
	b->whole = c->family->whole_if_turned && b->s && bind_turned(b);
	if (bind_matrix(b, &w->embed, "model.embed_tokens", c->vocab, c->hidden, e))
		goto fail;
	w->embed_bytes = w->n_bytes;
	w->flop = 0;
	if (bind_ends(b, e))
		goto fail;
	for (size_t i = 0; i < c->n_layers; i++)
		if (bind_layer(b, i, e))
			goto fail;
	w->head = w->embed;
	if ((!c->tied && bind_matrix(b, &w->head, "lm_head", c->vocab, c->hidden, e)) ||
	    (b->s && inventory_check(b, e)))
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

int weights_save(struct writer *file, const struct config *c, unsigned bits, unsigned group,
                 struct err *e)
{
	struct weights w;

	for (int pass = 0; pass < 2; pass++) {
		struct binder b = { .w = &w, .c = c, .bits = bits, .group = group, .seed = 1,
			            .save = file, .declare = !pass };

		if (open_all(&b, e))
			return -1;
		weights_close(&w);
	}
	return 0;
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
