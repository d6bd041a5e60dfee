/* SPDX-License-Identifier: MIT */
/* plan.c - which tensors the output has
 *
 * Given a source, what is known of its family and what was asked for; gives
 * the output's weights in order, each with the form it comes in. The form
 * it leaves in is chosen in choose.c. */
#include "convert/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

void plan_note(const struct plan *p, const char *fmt, ...)
{
	char text[512];
	va_list args;

	if (!p->options->note)
		return;
	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	p->options->note(p->options->arg, text);
}

/* ---- order: as text, numbers by value */

static int by_name(const void *a, const void *b)
{
	const char *x = ((const struct item *)a)->name, *y = ((const struct item *)b)->name;

	while (*x && *y) {
		size_t i = strspn(x, "0123456789"), j = strspn(y, "0123456789");

		if (i && j) {
			if (i != j)
				return i < j ? -1 : 1; /* no leading zeros in layer numbers */
			if (memcmp(x, y, i))
				return memcmp(x, y, i);
			x += i;
			y += j;
			continue;
		}
		if (*x != *y)
			return (unsigned char)*x < (unsigned char)*y ? -1 : 1;
		x++;
		y++;
	}
	return *x ? 1 : *y ? -1 : 0;
}

/* ---- all of them */

/* One that has its name in the output as a part of a stack. */
static bool expert_of(const struct plan *p, const char *name)
{
	struct family_files f;
	const char *at = p->config && p->config->n_experts &&
	                 family_files(&f, p->config->model_type) && f.experts[0] ?
	                 strstr(name, f.experts[0]) : NULL;

	return at && at[strlen(f.experts[0])] == '.';
}

/* A layer past the last: of a head that predicts further tokens. */
static bool is_extra(const struct plan *p, const char *name)
{
	return p->config && p->config->n_extra_layers && !strncmp(name, "model.layers.", 13) &&
	       strtoul(name + 13, NULL, 10) >= p->config->n_layers;
}

/* gpt-oss's experts as published, which are parted later (weave.c). */
static bool is_woven(const struct plan *p, const char *name)
{
	return p->config && p->config->n_experts && strstr(name, ".experts.") &&
	       (strstr(name, ".gate_up_proj") || strstr(name, ".down_proj"));
}

static bool is_left_out(const struct plan *p, const struct tensor *t, const char *name)
{
	char out[NAME_ROOM];

	if (plan_travels(p, t))
		return true;
	if (p->config && p->config->tied && !strncmp(name, "lm_head.", 8) &&
	    (p->format != CONVERT_SAFETENSORS || p->untied))
		return true;
	if (p->names == NAMING_GGUF && is_extra(p, name))
		return true;
	if (p->names == NAMING_HF || expert_of(p, name) || is_woven(p, name) ||
	    config_name_out(p->config, out, sizeof out, p->names, name))
		return false;
	if (!strstr(name, "rotary_emb") && !strstr(name, "masked_bias"))
		plan_note(p, "%s: left out: it has no name there", name);
	return true;
}

static int collect(struct plan *p, struct err *e)
{
	enum naming from = naming_of(p->source);

	for (size_t i = 0; i < source_count(p->source); i++) {
		const struct tensor *t = source_tensor(p->source, i);
		struct item *item = &p->item[p->n_items];
		char ours[NAME_ROOM];

		if (from != NAMING_HF && plan_travels(p, t))
			continue;
		if (!plan_our_name(p, ours, sizeof ours, t->name)) {
			p->n_left_out += from == NAMING_HF;
			continue;
		}
		if (is_left_out(p, t, ours))
			continue;
		item->weight = t;
		item->name = arena_text(&p->arena, ours, strlen(ours), e);
		if (!item->name || item_see(p, item, e))
			return -1;
		p->n_bytes += t->data.n;
		p->n_items++;
	}
	if (p->n_left_out)
		plan_note(p, "left out: %zu tensors that are not the text model's", p->n_left_out);
	return 0;
}

static void add_made(struct plan *p, const char *name, const float *values, size_t n)
{
	p->item[p->n_items++] = (struct item){ .name = name, .made = values, .n_rows = n, .n_cols = 1,
	                                       .shape = shape_of(1, n), .in = IN_MADE };
}

/* Tensors that a layout wants and the source lacks. */
static void complete(struct plan *p)
{
	const struct config *c = p->config;

	if (p->format == CONVERT_GGUF && c->rope_kind == ROPE_LONG) {
		add_made(p, "rope_factors_short.weight", c->rope_divisor, c->rope_dims / 2);
		add_made(p, "rope_factors_long.weight", c->rope_far_divisor, c->rope_dims / 2);
	} else if (p->format == CONVERT_GGUF && c->has_rope_divisor)
		add_made(p, "rope_freqs.weight", c->rope_divisor, c->rope_dims / 2);
	/* the mlx-examples have no tied models */
	for (size_t i = 0, n = p->n_items;
	     (p->names == NAMING_META || p->untied) && p->config->tied && i < n; i++)
		if (!strcmp(p->item[i].name, "model.embed_tokens.weight")) {
			p->item[p->n_items] = p->item[i];
			p->item[p->n_items++].name = "lm_head.weight";
		}
}

/* What adapters do to each of them. */
static int fuse(struct plan *p, struct err *e)
{
	bool pairs = p->format == CONVERT_GGUF && gguf_pairs(p->config) && !p->config->rope_pairs_stay;

	for (size_t i = 0; i < p->n_items; i++) {
		struct item *t = &p->item[i];

		if (t->in == IN_WHOLE || t->in == IN_MADE)
			continue;
		if (fuse_find(&t->fused, p->fuse, t->name, t->n_rows, t->n_cols, e))
			return -1;
		if (pairs && (strstr(t->name, ".self_attn.q_proj.") ||
		              strstr(t->name, ".self_attn.k_proj.")))
			t->pairs = p->config->head_dim;
	}
	return fuse_all_used(p->fuse, e);
}

static bool same_form(const struct target *a, const struct target *b)
{
	return a->coding == b->coding && a->bits == b->bits && a->group == b->group;
}

static void count_triples(struct plan *p)
{
	size_t best = 0;

	for (size_t i = 0; i < p->n_items; i++) {
		struct target one, other;
		size_t same = 0;

		if (!item_is_triple(&p->item[i], &one) || (best && same_form(&one, &p->most)))
			continue;
		for (size_t k = i; k < p->n_items; k++)
			same += item_is_triple(&p->item[k], &other) && same_form(&one, &other);
		if (same > best) {
			best = same;
			p->most = one;
		}
	}
}

bool item_is_triple(const struct item *t, struct target *form)
{
	bool moved = (t->in == IN_AFFINE || t->in == IN_CODED) && t->out == OUT_SAME;

	form->coding = moved ? t->in_coding : t->coding;
	form->bits = moved ? t->in_bits : t->bits;
	form->group = moved ? t->in_group : t->group;
	form->blocks = DT_COUNT;
	return moved || t->out == OUT_AFFINE || t->out == OUT_CODED;
}

int item_name(const struct plan *p, const struct item *t, char *out, size_t room, struct err *e)
{
	int n = 0;

	if (t->in == IN_MADE || !p->config)
		n = snprintf(out, room, "%s", t->name);
	else if (!config_name_out(p->config, out, room, p->names, t->name))
		n = -1;
	if (n < 0 || (size_t)n >= room)
		return err_set(e, ERR_INPUT, "%s: no name for it in the output", t->name);
	return 0;
}

int item_path(const struct plan *p, const struct item *t, char *out, size_t room, struct err *e)
{
	char *dot;

	if (item_name(p, t, out, room, e))
		return -1;
	dot = strrchr(out, '.');
	if (dot)
		*dot = 0;
	return 0;
}

/* ---- options */

static bool has_packed(const struct source *s)
{
	for (size_t i = 0; i < source_count(s); i++)
		if (bytes_ends(bytes_of(source_tensor(s, i)->name), ".weight_packed"))
			return true;
	return false;
}

static int check(const struct plan *p, struct err *e)
{
	const struct convert_options *o = p->options;
	const struct config *c = p->config;

	if (o->bits && !(o->bits >= 2 && o->bits <= 8 && o->bits != 7))
		return err_set(e, ERR_MISUSE, "%u bits: expected 2, 3, 4, 5, 6 or 8", o->bits);
	if (o->bits && o->coding == CODING_AFFINE && o->group != 32 && o->group != 64 &&
	    o->group != 128)
		return err_set(e, ERR_MISUSE, "groups of %u: expected 32, 64 or 128", o->group);
	if (o->bits && o->dequantize)
		return err_set(e, ERR_MISUSE, "quantize and dequantize are opposites");
	if ((p->format == CONVERT_GGUF) != (naming_of(p->source) == NAMING_GGUF) && c &&
	    !gguf_architecture(c))
		return err_set(e, ERR_INPUT, "%s has no GGUF architecture here", c->model_type);
	if (p->format == CONVERT_GGUF && has_packed(p->source))
		return err_set(e, ERR_INPUT, "weight_packed: the packed numbers of compressed-tensors are "
		               "not written to a GGUF here");
	if ((o->bits || o->n_rules || o->recipe) && p->format == CONVERT_SAFETENSORS)
		return err_set(e, ERR_MISUSE, "a Hugging Face model holds no MLX quantization");
	if (o->bits && o->blocks == DT_COUNT && p->format == CONVERT_GGUF && o->bits != 4 &&
	    o->bits != 5 && o->bits != 8)
		return err_set(e, ERR_MISUSE, "%u bits: a GGUF takes 4, 5 or 8", o->bits);
	if (o->dtype != DT_COUNT && o->dtype != DT_F16 && o->dtype != DT_BF16 && o->dtype != DT_F32)
		return err_set(e, ERR_MISUSE, "%s: expected f16, bf16 or f32", dtype_info(o->dtype)->name);
	if (p->names != NAMING_META)
		return 0;
	if (c->qkv_bias || c->qk_norm || c->rope_kind != ROPE_PLAIN || c->has_rope_divisor)
		return err_set(e, ERR_INPUT,
		               "%s with biases, q and k norms or scaled rotation has no form in "
		               "the mlx-examples layout",
		               c->model_type);
	return 0;
}

int plan_open(struct plan *p, struct source *s, const struct config *c,
              const struct convert_options *o, enum convert_format format, struct err *e)
{
	bool pairs;

	*p = (struct plan){ .source = s, .options = o, .config = c, .format = format };
	p->names = format == CONVERT_GGUF ? NAMING_GGUF
	         : format == CONVERT_NPZ && o->as_dir ? NAMING_META : NAMING_HF;
	if (o->n_fuse && fuse_open(&p->fuse, o->fuse, o->n_fuse, e))
		return -1;
	p->untied = p->fuse && c && c->tied && fuse_unties(p->fuse);
	if (check(p, e))
		goto fail;
	pairs = format == CONVERT_GGUF && gguf_pairs(c);
	if (c && c->rope_interleaved != pairs && !c->rope_pairs_stay)
		p->rows = pairs ? ROWS_TO_PAIRS : ROWS_TO_HALVES;
	p->item = arena_new(&p->arena, source_count(s) + 2, sizeof *p->item, e);
	p->turned = plan_is_turned(p);
	if (!p->item || collect(p, e))
		goto fail;
	complete(p);
	if (plan_weave(p, e) || plan_stacks(p, e))
		goto fail;
	if ((p->fuse && fuse(p, e)) || plan_choose(p, e))
		goto fail;
	qsort(p->item, p->n_items, sizeof *p->item, by_name);
	count_triples(p);
	return 0;
fail:
	plan_release(p);
	return -1;
}

void plan_release(struct plan *p)
{
	fuse_close(p->fuse);
	p->fuse = NULL;
	arena_release(&p->arena);
}
