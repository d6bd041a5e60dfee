/* SPDX-License-Identifier: MIT */
/* see.c - what a tensor of the source is, and how it is to lie in the output
 *
 * Given a plan and a tensor; gives its name here, its form, and what moves
 * with it: rows, taps, numbers that a container keeps otherwise. */
#include "convert/plan.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

static bool ends(const char *name, const char *end)
{
	return bytes_ends(bytes_of(name), end);
}

/* PATH.LEAF beside PATH.weight, in the source's own naming. */
static const struct tensor *beside(const struct plan *p, const struct tensor *t, const char *leaf)
{
	char name[NAME_ROOM];
	const char *dot = strrchr(t->name, '.');
	int n = dot ? snprintf(name, sizeof name, "%.*s.%s", (int)(dot - t->name), t->name, leaf) : 0;

	return n > 0 && n < NAME_ROOM ? source_find(p->source, name) : NULL;
}

const char *plan_name(const struct plan *p, char *out, size_t room, const char *name)
{
	return p->config && config_name_in(p->config, out, room, NAMING_HF, name) ? out : name;
}

bool plan_knows(const struct plan *p, const char *name)
{
	char out[NAME_ROOM], in[NAME_ROOM];

	return p->config && config_name_out(p->config, out, sizeof out, NAMING_GGUF,
	                                    plan_name(p, in, sizeof in, name));
}

/* The name that a tensor of the source has here; false: none. */
bool plan_our_name(const struct plan *p, char *out, size_t room, const char *name)
{
	enum naming from = naming_of(p->source);

	if (from != NAMING_HF)
		return config_name_in(p->config, out, room, from, name);
	name = config_text_ours(p->config, name);
	if (name && p->format == CONVERT_GGUF)
		return config_name_in(p->config, out, room, NAMING_HF, name);
	return name && (size_t)snprintf(out, room, "%s", name) < room;
}

/* MLX's codes of a weight that is known. */
static bool is_packed(const struct plan *p, const struct tensor *w)
{
	const struct tensor *s = beside(p, w, "scales");
	char name[NAME_ROOM];

	return w->dtype == DT_U32 && (w->shape.rank == 2 || w->shape.rank == 3) && s &&
	       s->shape.rank == w->shape.rank &&
	       (s->dtype == DT_U8 || beside(p, w, "biases")) &&
	       plan_our_name(p, name, sizeof name, w->name) && plan_knows(p, name);
}

/* Scales and biases travel with their weight. */
bool plan_travels(const struct plan *p, const struct tensor *t)
{
	const struct tensor *w = beside(p, t, "weight");

	if (ends(t->name, ".weight_scale_inv"))
		return w && dtype_info(w->dtype)->is_float;
	return (ends(t->name, ".scales") || ends(t->name, ".biases")) && w && is_packed(p, w);
}

/* Matrices that do not read the residual stream, by the ends of their paths: codes do not tell
 * their width alone. */
static const struct { const char *path; size_t at; } widths[] = {
	{ "self_attn.q_b_proj", offsetof(struct config, q_rank) },
	{ "self_attn.kv_b_proj", offsetof(struct config, kv_rank) },
	{ "self_attn.unembed_out", offsetof(struct config, kv_rank) },
	{ "self_attn.embed_q", offsetof(struct config, nope_dim) },
	{ "self_attn.f_b_proj", offsetof(struct config, delta_v) },
	{ "self_attn.g_b_proj", offsetof(struct config, delta_v) },
	{ ".per_layer_projection", offsetof(struct config, own_dim) },
	{ "mlp.switch_mlp.down_proj", offsetof(struct config, expert_ffn) },
	{ "mlp.shared_experts.down_proj", offsetof(struct config, shared_ffn) },
};

/* What heads give: the input of the matrix that joins them. */
static size_t joined(const struct config *c, size_t i)
{
	switch (c->block[i]) {
	case BLOCK_LATENT:
		return c->n_heads * c->value_dim;
	case BLOCK_DELTA:
	case BLOCK_KDA:
		return c->delta_heads * c->delta_v;
	default:
		return c->n_heads * config_head_dim(c, i);
	}
}

static size_t width_of(const struct plan *p, const char *name)
{
	const struct config *c = p->config;
	char room[NAME_ROOM];
	const char *ours = plan_name(p, room, sizeof room, name), *at = strstr(ours, "layers.");
	size_t i = at ? strtoul(at + 7, NULL, 10) : 0;

	i = i < c->n_layers ? i : 0;
	for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
		if (strstr(ours, widths[k].path))
			return *(const size_t *)((const char *)c + widths[k].at);
	if (strstr(ours, ".o_proj.") || strstr(ours, "linear_attn.out_proj."))
		return joined(c, i);
	if (!strncmp(ours, "model.embed_tokens_per_layer.", 29))
		return c->own_dim * c->n_layers;
	if (c->n_experts && strstr(ours, "experts.") &&
	    (strstr(ours, ".down_proj.") || strstr(ours, ".w2.")))
		return c->expert_ffn;
	return strstr(ours, ".down_proj.") ? config_ffn(c, i) : c->hidden;
}

static int see_affine(const struct plan *p, struct item *t, struct err *e)
{
	const struct shape *w = &t->weight->shape, *s;
	size_t words = w->rank ? w->dim[w->rank - 1] : 0, groups;

	t->scales = beside(p, t->weight, "scales");
	t->biases = beside(p, t->weight, "biases");
	s = &t->scales->shape;
	groups = s->rank ? s->dim[s->rank - 1] : 0;
	t->n_cols = width_of(p, t->name);
	if (!words || !groups || !t->n_cols || words > t->n_cols || words * 32 % t->n_cols ||
	    t->n_cols % groups || s->dim[0] != w->dim[0] ||
	    (t->biases && (!shape_equal(s, &t->biases->shape) ||
	                   t->scales->dtype != t->biases->dtype ||
	                   !dtype_info(t->scales->dtype)->is_float)))
		return err_set(e, ERR_INPUT, "%s: weight, scales and biases do not fit %zu columns",
		               t->weight->name, t->n_cols);
	t->in = IN_AFFINE;
	t->shape.dim[t->shape.rank - 1] = t->n_cols;
	t->in_bits = (unsigned)(words * 32 / t->n_cols);
	t->in_group = (unsigned)(t->n_cols / groups);
	if (t->biases)
		return 0;
	t->in = IN_CODED;
	t->in_coding = coding_of(t->in_bits, t->in_group);
	if (t->in_bits != coding_info(t->in_coding)->bits ||
	    t->in_group != coding_info(t->in_coding)->group)
		return err_set(e, ERR_INPUT, "%s: %u bits in groups of %u, and scales of one byte",
		               t->weight->name, t->in_bits, t->in_group);
	return 0;
}

/* An fp8 matrix with a scale for each tile. */
static int see_tiles(const struct plan *p, struct item *t, struct err *e)
{
	const struct shape *w = &t->weight->shape, *s;

	t->tile_scales = beside(p, t->weight, "weight_scale_inv");
	if (!t->tile_scales)
		return 0;
	s = &t->tile_scales->shape;
	if (w->rank != 2 || s->rank != 2 || s->dim[0] != (w->dim[0] + 127) / 128 ||
	    s->dim[1] != (w->dim[1] + 127) / 128 || !dtype_info(t->tile_scales->dtype)->is_float)
		return err_set(e, ERR_INPUT, "%s: expected a scale for each 128 by 128 weights",
		               t->tile_scales->name);
	return 0;
}

/* Some families keep their norms less one, and whole in a GGUF, or beside taps that MLX turned. */
static float shift_of(const struct plan *p, const struct item *t)
{
	bool from = naming_of(p->source) == NAMING_GGUF || p->turned, to = p->format == CONVERT_GGUF;
	struct family_files f;

	if (p->turned && p->format != CONVERT_SAFETENSORS)
		return 0;
	if (from == to || !p->config || !ends(t->name, "norm.weight") ||
	    ends(t->name, ".linear_attn.norm.weight") ||
	    !family_files(&f, p->config->model_type) || !f.norm_less_one)
		return 0;
	return to ? 1 : -1;
}

/* Taps of the delta rule keep the layout that goes with their names and norms; of short
 * convolutions MLX has them turned. */
enum taps { TAPS_NONE, TAPS_SHORT, TAPS_DELTA, TAPS_KDA };

static enum taps taps_of(const char *name)
{
	return ends(name, ".conv.conv.weight") ? TAPS_SHORT :
	       ends(name, ".linear_attn.conv1d.weight") ? TAPS_DELTA :
	       ends(name, "_conv.conv.weight") || ends(name, "_conv1d.weight") ? TAPS_KDA : TAPS_NONE;
}

/* A channel's taps: [n, 1, taps], in a GGUF [n, taps] or [1, n, 1, taps], in MLX [n, taps, 1]. */
static void see_taps(const struct plan *p, struct item *t)
{
	size_t taps = p->config ? p->config->conv_taps : 0, n = taps ? t->n_rows * t->n_cols / taps : 0;
	enum taps kind = taps_of(t->name);
	bool gguf = naming_of(p->source) == NAMING_GGUF || p->format == CONVERT_GGUF;

	if (!n || kind == TAPS_NONE || t->n_rows * t->n_cols != n * taps)
		return;
	if (p->format == CONVERT_GGUF)
		t->shape = kind == TAPS_KDA ? shape_of(4, (size_t)1, n, (size_t)1, taps) :
		                              shape_of(2, n, taps);
	else if (p->format == CONVERT_SAFETENSORS || (kind != TAPS_SHORT && gguf))
		t->shape = shape_of(3, n, (size_t)1, taps);
	else if (kind == TAPS_SHORT)
		t->shape = shape_of(3, n, taps, (size_t)1);
	t->n_cols = t->shape.dim[t->shape.rank - 1];
	t->n_rows = n * taps / t->n_cols;
}

/* Rates of decay are negative powers in a GGUF; the weights of a shared expert's gate no matrix. */
static void see_own(const struct plan *p, struct item *t)
{
	bool from = naming_of(p->source) == NAMING_GGUF, to = p->format == CONVERT_GGUF;

	if (from == to)
		return;
	if (ends(t->name, ".A_log") && t->in == IN_FLOAT)
		t->map = to ? NUMBERS_RATE : NUMBERS_LOG;
	if (ends(t->name, ".shared_expert_gate.weight"))
		t->shape = to ? shape_of(1, t->n_rows * t->n_cols) :
		                shape_of(2, (size_t)1, t->n_rows * t->n_cols);
}

int item_see(const struct plan *p, struct item *t, struct err *e)
{
	const struct dtype_info *d = dtype_info(t->weight->dtype);
	struct affine_form f;
	size_t n;

	t->shape = t->weight->shape;
	if (!shape_count(&n, &t->shape))
		return err_set(e, ERR_INPUT, "%s: too large", t->weight->name);
	/* the elements of a vector are rows of one, as they move like rows */
	t->n_cols = 1;
	if (t->shape.rank > 1 || (t->shape.rank && d->block > 1))
		t->n_cols = t->shape.dim[t->shape.rank - 1];
	t->n_rows = t->n_cols ? n / t->n_cols : 0;
	t->in = d->block > 1 ? IN_BLOCKS : d->is_float ? IN_FLOAT : IN_WHOLE;
	if (t->in == IN_BLOCKS && affine_form_of(&f, t->weight->dtype)) {
		t->in_bits = f.bits;
		t->in_group = f.group;
	}
	if (is_packed(p, t->weight) && see_affine(p, t, e))
		return -1;
	if (dtype_info(t->weight->dtype)->is_float && see_tiles(p, t, e))
		return -1;
	t->shift = shift_of(p, t);
	see_taps(p, t);
	see_own(p, t);
	if (p->rows != ROWS_KEEP &&
	    (strstr(t->name, ".self_attn.q_proj.") || strstr(t->name, ".self_attn.k_proj.")))
		t->head_rows = p->config->head_dim;
	if (t->head_rows && (t->n_rows % t->head_rows || t->in == IN_WHOLE))
		return err_set(e, ERR_INPUT, "%s: expected rows of heads of %zu", t->weight->name,
		               t->head_rows);
	return 0;
}

/* MLX's own model of a family whose norms then stand whole. */
bool plan_is_turned(const struct plan *p)
{
	struct family_files f;

	if (!p->config || naming_of(p->source) == NAMING_GGUF ||
	    !family_files(&f, p->config->model_type) || !f.whole_if_turned)
		return false;
	for (size_t i = 0; i < source_count(p->source); i++) {
		const struct tensor *t = source_tensor(p->source, i);

		if (taps_of(t->name) == TAPS_DELTA && t->shape.rank == 3)
			return t->shape.dim[2] == 1;
	}
	return false;
}
