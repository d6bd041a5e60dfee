/* SPDX-License-Identifier: MIT */
/* choose.c - which form each weight leaves in
 *
 * Given a plan with its weights; gives each the form that the options and
 * the container ask for. No weight is read here, but for norms that might be
 * narrowed and for scales that decide whether GGUF's blocks hold them. */
#include "convert/plan.h"

#include <stdio.h>
#include <string.h>

/* Small, and what is chosen hangs on its last bits. */
static bool is_router(const char *name)
{
	return bytes_ends(bytes_of(name), "mlp.gate.weight") ||
	       bytes_ends(bytes_of(name), ".shared_expert_gate.weight");
}

static bool is_taps(const char *name)
{
	return bytes_ends(bytes_of(name), "conv.conv.weight") ||
	       bytes_ends(bytes_of(name), "conv1d.weight");
}

/* Tables whose rows are added to those of the tokens. */
static bool is_added(const char *name)
{
	return !strncmp(name, "model.embed_positions.", 22) ||
	       !strncmp(name, "model.embed_types.", 18);
}

static bool is_stack(const char *name)
{
	return strstr(name, "switch_mlp.") || strstr(name, ".embed_q.") ||
	       strstr(name, ".unembed_out.");
}

/* What MLX makes of a router; the other matrices are alike. */
static enum router_codes router_codes(const struct plan *p, const char *name)
{
	struct family_files f = { .router = ROUTER_STAYS };

	if (!is_router(name))
		return ROUTER_ALIKE;
	if (p->format == CONVERT_GGUF || !p->config || !family_files(&f, p->config->model_type))
		return ROUTER_STAYS;
	return f.router;
}

static bool is_matrix(const struct plan *p, const struct item *t)
{
	char room[256];
	const char *name = plan_name(p, room, sizeof room, t->name);

	return (t->shape.rank == 2 || (t->shape.rank == 3 && is_stack(name))) &&
	       bytes_ends(bytes_of(name), ".weight") && plan_knows(p, name) &&
	       router_codes(p, name) != ROUTER_STAYS &&
	       !is_taps(name) && !is_added(name);
}

static void to_floats(struct item *t, enum dtype d)
{
	t->out = t->in == IN_FLOAT && t->weight->dtype == d && t->shift == 0 &&
	         t->map == NUMBERS_KEEP && !t->weave && !t->tile_scales ? OUT_SAME :
	                                                                       OUT_FLOAT;
	t->dtype = d;
}

static bool is_quantizing(const struct convert_options *o)
{
	return o->bits || o->blocks != DT_COUNT || o->recipe || o->n_rules;
}

/* What weights become that are stored as floats. */
static enum dtype float_dtype(const struct plan *p, enum dtype has)
{
	if (p->options->dtype != DT_COUNT)
		return p->options->dtype;
	/* mlx-lm casts to the config's dtype before it quantizes */
	return is_quantizing(p->options) && p->config ? p->config->dtype : has;
}

/* False: this target leaves it as it is. */
static bool quantize(const struct plan *p, struct item *t, enum dtype has)
{
	static const enum dtype blocks[] = { [4] = DT_Q4_1, [5] = DT_Q5_1, [8] = DT_Q8_0 };
	char room[256];
	struct target to;
	bool ruled = target_of(&to, p, t);

	if (!ruled && to.bits &&
	    router_codes(p, plan_name(p, room, sizeof room, t->name)) == ROUTER_EIGHT)
		to = (struct target){ CODING_AFFINE, 8, 64, DT_COUNT };

	if (p->format == CONVERT_GGUF) {
		if (to.blocks == DT_COUNT && to.bits < sizeof blocks / sizeof *blocks && blocks[to.bits])
			to.blocks = blocks[to.bits];
		to.blocks = target_fitting(to.blocks, t->n_cols);
		if (to.blocks == DT_COUNT || (t->in == IN_BLOCKS && t->weight->dtype == to.blocks))
			return false;
		t->out = OUT_BLOCKS;
		t->dtype = to.blocks;
		return true;
	}
	if (!to.bits || t->n_cols % to.group)
		return false;
	if ((t->in == IN_AFFINE || t->in == IN_CODED) && t->in_bits == to.bits &&
	    t->in_group == to.group && t->in_coding == to.coding)
		return false;
	t->bits = to.bits;
	t->group = to.group;
	t->coding = to.coding;
	t->out = to.coding == CODING_AFFINE ? OUT_AFFINE : OUT_CODED;
	t->dtype = to.coding == CODING_AFFINE ? float_dtype(p, has) : DT_U8;
	return true;
}

static void lose(struct plan *p, unsigned kind, const struct item *t)
{
	struct loss *l = &p->loss[kind];

	if (!l->n++) {
		l->first = t->name;
		l->to = t->dtype;
	}
}

static void tell_losses(const struct plan *p)
{
	for (unsigned i = 0; i < LOSSES; i++) {
		const struct loss *l = &p->loss[i];
		char from[32];

		if (!l->n)
			continue;
		if (i < LOSS_BITS)
			snprintf(from, sizeof from, "%s", dtype_info((enum dtype)i)->name);
		else
			snprintf(from, sizeof from, "affine %u-bit", i - LOSS_BITS);
		plan_note(p, "%s: %zu weights become %s, the first %s", from, l->n,
		          dtype_info(l->to)->name, l->first);
	}
}

/* The block type that holds the codes as they are; DT_COUNT: none. */
static int find_blocks(const struct plan *p, const struct item *t, enum dtype *out, struct err *e)
{
	struct arena a = { 0 };
	struct bytes s, b;
	int rc = 0;

	if (source_data(p->source, t->scales, &s, &a, e) ||
	    source_data(p->source, t->biases, &b, &a, e))
		rc = err_in(e, "%s", t->weight->name);
	else
		*out = blocks_for(t->in_bits, t->in_group, t->scales->dtype, s.p, b.p,
		                  t->n_rows * (t->n_cols / t->in_group));
	arena_release(&a);
	return rc;
}

static int choose_affine(struct plan *p, struct item *t, struct err *e)
{
	enum dtype asked = p->options->dtype, blocks = DT_COUNT;

	if (p->format == CONVERT_MLX || p->format == CONVERT_NPZ) {
		t->out = OUT_SAME;
		return 0;
	}
	if (p->format == CONVERT_GGUF && find_blocks(p, t, &blocks, e))
		return -1;
	if (blocks != DT_COUNT) {
		t->out = OUT_BLOCKS;
		t->dtype = blocks;
		t->exact = true;
		return 0;
	}
	if (p->format == CONVERT_SAFETENSORS) {
		to_floats(t, asked != DT_COUNT ? asked : t->scales->dtype);
		return 0;
	}
	to_floats(t, asked != DT_COUNT ? asked : DT_F16);
	lose(p, LOSS_BITS + t->in_bits, t);
	return 0;
}

/* A GGUF's mxfp4 holds the same codes and powers of two. */
static void choose_coded(struct plan *p, struct item *t)
{
	enum dtype asked = p->options->dtype;

	t->out = OUT_SAME;
	if (p->format == CONVERT_MLX || p->format == CONVERT_NPZ)
		return;
	if (p->format == CONVERT_GGUF && t->in_coding == CODING_MXFP4) {
		t->out = OUT_BLOCKS;
		t->dtype = DT_MXFP4;
		t->exact = true;
		return;
	}
	to_floats(t, asked != DT_COUNT ? asked : DT_BF16);
	lose(p, LOSS_BITS + t->in_bits, t);
}

static void choose_blocks(struct plan *p, struct item *t)
{
	struct affine_form f;

	if (p->format == CONVERT_GGUF) {
		t->out = OUT_SAME;
		return;
	}
	if (p->format != CONVERT_SAFETENSORS && t->weight->dtype == DT_MXFP4) {
		t->out = OUT_CODED;
		t->coding = CODING_MXFP4;
		t->bits = 4;
		t->group = 32;
		t->dtype = DT_U8;
		t->exact = true;
		return;
	}
	if (p->format != CONVERT_SAFETENSORS && affine_form_of(&f, t->weight->dtype) && f.group >= 32) {
		t->out = OUT_AFFINE;
		t->bits = f.bits;
		t->group = f.group;
		t->dtype = f.scale;
		t->exact = true;
		return;
	}
	to_floats(t, p->options->dtype != DT_COUNT ? p->options->dtype : DT_F16);
	lose(p, t->weight->dtype, t);
}

/* What a GGUF holds in f32 whatever the matrices are in; norms too. */
static bool is_vector(const struct plan *p, const struct item *t)
{
	char room[256];
	const char *name = plan_name(p, room, sizeof room, t->name);

	return t->shape.rank < 2 || is_router(name) || is_taps(name) || is_added(name) ||
	       !bytes_ends(bytes_of(name), ".weight");
}

static void choose_float(const struct plan *p, struct item *t, bool narrow)
{
	bool vector = is_vector(p, t);

	if (p->format == CONVERT_GGUF && (vector || bytes_ends(bytes_of(t->name), "norm.weight")))
		to_floats(t, DT_F32);
	else if (vector && narrow && t->map == NUMBERS_KEEP)
		to_floats(t, p->config->dtype);
	else
		to_floats(t, float_dtype(p, t->weight->dtype));
}

static int choose(struct plan *p, struct item *t, bool narrow, struct err *e)
{
	const struct convert_options *o = p->options;
	enum dtype has = DT_F16;

	if (t->in == IN_FLOAT)
		has = t->weight->dtype;
	if (t->in == IN_AFFINE)
		has = t->scales->dtype;
	if (t->in == IN_CODED || t->tile_scales)
		has = p->config ? p->config->dtype : DT_BF16;
	if (t->in == IN_WHOLE || t->in == IN_MADE) {
		t->out = t->in == IN_WHOLE ? OUT_SAME : OUT_FLOAT;
		t->dtype = DT_F32;
		return 0;
	}
	if (is_quantizing(o) && is_matrix(p, t) && quantize(p, t, has))
		return 0;
	if (t->tile_scales) {
		to_floats(t, o->dtype != DT_COUNT ? o->dtype : DT_BF16);
		return 0;
	}
	if (t->in == IN_FLOAT) {
		choose_float(p, t, narrow);
		return 0;
	}
	if (o->dequantize) {
		to_floats(t, o->dtype != DT_COUNT ? o->dtype : has);
		return 0;
	}
	if (t->in == IN_AFFINE)
		return choose_affine(p, t, e);
	if (t->in == IN_CODED) {
		choose_coded(p, t);
		return 0;
	}
	choose_blocks(p, t);
	return 0;
}

/* ---- a GGUF holds norms and biases in f32; where each of them is a number
 * of the model's own dtype they go back to it */

static bool fits(enum dtype d, float v)
{
	return v == (d == DT_F16 ? f16_to_f32(f16_from_f32(v)) : bf16_to_f32(bf16_from_f32(v)));
}

/* 1 or 0; -1: failed */
static int can_narrow(const struct plan *p, struct err *e)
{
	enum dtype d = p->config ? p->config->dtype : DT_F32;
	struct arena a = { 0 };
	int yes = naming_of(p->source) == NAMING_GGUF && p->format != CONVERT_GGUF &&
	          (d == DT_F16 || d == DT_BF16);

	for (size_t i = 0; i < p->n_items && yes > 0; i++) {
		const struct item *t = &p->item[i];
		struct bytes data;
		float v;

		if (t->in != IN_FLOAT || !is_vector(p, t) || t->weight->dtype != DT_F32 ||
		    t->map != NUMBERS_KEEP || t->weave)
			continue;
		if (source_data(p->source, t->weight, &data, &a, e)) {
			yes = err_in(e, "%s", t->weight->name);
			break;
		}
		for (size_t k = 0; k < data.n && yes; k += sizeof v) {
			memcpy(&v, data.p + k, sizeof v);
			yes = fits(d, v + t->shift);
		}
	}
	arena_release(&a);
	return yes;
}

/* The blocks have an encoder. */
static bool is_written(enum dtype t)
{
	static const float none[256];
	unsigned char out[512];

	return dtype_info(t)->block <= 256 && dtype_from_f32(t, out, none, dtype_info(t)->block);
}

/* A fused weight is rounded anew to the form that it would have kept. */
static void choose_fused(struct plan *p, struct item *t)
{
	enum dtype has = t->weight->dtype;

	t->exact = false;
	if (t->out == OUT_SAME && t->in == IN_FLOAT) {
		to_floats(t, is_written(has) && dtype_info(has)->block_bytes > 1 ? has : DT_BF16);
		t->out = OUT_FLOAT;
	} else if (t->out == OUT_SAME && (t->in == IN_AFFINE || t->in == IN_CODED)) {
		t->out = t->in == IN_AFFINE ? OUT_AFFINE : OUT_CODED;
		t->bits = t->in_bits;
		t->group = t->in_group;
		t->coding = t->in_coding;
		t->dtype = t->in == IN_AFFINE ? t->scales->dtype : DT_U8;
	} else if (t->out == OUT_SAME && is_written(has)) {
		t->out = OUT_BLOCKS;
		t->dtype = has;
	} else if (t->out == OUT_SAME) {
		to_floats(t, DT_F16);
		lose(p, has, t);
	}
}

int plan_choose(struct plan *p, struct err *e)
{
	int narrow = can_narrow(p, e);

	if (narrow < 0)
		return -1;
	for (size_t i = 0; i < p->n_items; i++)
		if (choose(p, &p->item[i], narrow > 0, e))
			return -1;
	for (size_t i = 0; i < p->n_items; i++)
		if (p->item[i].fused)
			choose_fused(p, &p->item[i]);
	tell_losses(p);
	return 0;
}
