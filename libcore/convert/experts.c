/* SPDX-License-Identifier: MIT */
/* experts.c - the experts of a layer as one stack, or each on its own
 *
 * Given the weights of a plan; gives them as the output's readers want them:
 * stacks for MLX and GGUF, one by one for Hugging Face. A stack is read
 * piece by piece, a part of a stack where it lies: nothing is copied. */
#include "convert/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_ROOM = 256 };

static const char *const ours[] = { "gate_proj", "up_proj", "down_proj" };

/* "model.layers.N." and, in *rest, what follows it. */
static bool layer_of(const char *name, size_t *layer, const char **rest)
{
	static const char front[] = "model.layers.";
	char *end;

	if (strncmp(name, front, sizeof front - 1))
		return false;
	*layer = strtoul(name + sizeof front - 1, &end, 10);
	*rest = end + 1;
	return *end == '.';
}

/* Expert `e`, part `k` of a layer: the family's "mlp.experts.E.PART.weight". */
static bool is_expert(const struct family_files *f, const char *name, size_t *layer, size_t *e,
                      size_t *k)
{
	size_t n = strlen(f->experts[0]);
	const char *rest;
	char *end;

	if (!layer_of(name, layer, &rest) || strncmp(rest, f->experts[0], n) || rest[n] != '.')
		return false;
	*e = strtoul(rest + n + 1, &end, 10);
	for (*k = 0; *end == '.' && *k < 3; ++*k) {
		size_t m = strlen(f->experts[1 + *k]);

		if (!strncmp(end + 1, f->experts[1 + *k], m) && !strcmp(end + 1 + m, ".weight"))
			return true;
	}
	return false;
}

/* Part k of a layer's stack. */
static bool is_stack(const char *name, size_t *layer, size_t *k)
{
	static const char at[] = "switch_mlp.";
	const char *rest;

	if (!layer_of(name, layer, &rest))
		return false;
	rest = strstr(rest, at);
	for (*k = 0; rest && *k < 3; ++*k) {
		size_t m = strlen(ours[*k]);

		if (!strncmp(rest + sizeof at - 1, ours[*k], m) &&
		    !strcmp(rest + sizeof at - 1 + m, ".weight"))
			return true;
	}
	return false;
}

/* ---- to stacks */

static bool alike(const struct item *a, const struct item *b)
{
	return a->weight->dtype == b->weight->dtype && a->in == b->in && a->in_bits == b->in_bits &&
	       a->in_group == b->in_group && shape_equal(&a->shape, &b->shape) &&
	       !a->tile_scales == !b->tile_scales &&
	       (!a->tile_scales || a->tile_scales->dtype == b->tile_scales->dtype) &&
	       (!a->scales || a->scales->dtype == b->scales->dtype);
}

static int one_stack(struct plan *p, struct item *out, const struct item *piece, size_t layer,
                     size_t k, struct err *e)
{
	size_t n = p->config->n_experts;
	char name[NAME_ROOM];

	for (size_t j = 0; j < n; j++)
		if (!piece[j].weight || !alike(&piece[0], &piece[j]))
			return err_set(e, ERR_INPUT, "model.layers.%zu: expert %zu: %s is missing or unlike "
			               "the first's", layer, j, ours[k]);
	snprintf(name, sizeof name, "model.layers.%zu.mlp.switch_mlp.%s.weight", layer, ours[k]);
	*out = piece[0];
	out->name = arena_text(&p->arena, name, strlen(name), e);
	out->piece = piece;
	out->n_pieces = n;
	out->n_rows = n * piece[0].n_rows;
	out->shape = shape_of(3, n, piece[0].shape.dim[0], piece[0].shape.dim[1]);
	return out->name ? 0 : -1;
}

static int stack(struct plan *p, const struct family_files *f, struct err *e)
{
	size_t n = p->config->n_experts, layers = p->config->n_layers, kept = 0, layer, j, k;
	struct item *all = arena_new(&p->arena, layers * 3 * n, sizeof *all, e);
	bool *there = all ? arena_new(&p->arena, layers * 3, sizeof *there, e) : NULL;

	if (!there)
		return -1;
	for (size_t i = 0; i < p->n_items; i++) {
		if (!is_expert(f, p->item[i].name, &layer, &j, &k) || layer >= layers || j >= n) {
			p->item[kept++] = p->item[i];
			continue;
		}
		all[(layer * 3 + k) * n + j] = p->item[i];
		there[layer * 3 + k] = true;
	}
	p->n_items = kept; /* a stack takes the place of at least one */
	for (size_t i = 0; i < layers * 3; i++)
		if (there[i] && one_stack(p, &p->item[p->n_items++], all + i * n, i / 3, i % 3, e))
			return -1;
	return 0;
}

/* ---- to experts of their own */

static int split(struct plan *p, const struct family_files *f, struct err *e)
{
	size_t n = p->config->n_experts, layer, k, count = 0, m = 0;
	struct item *item;

	for (size_t i = 0; i < p->n_items; i++) {
		bool stack = is_stack(p->item[i].name, &layer, &k);

		if (stack && f->paired_experts)
			return err_set(e, ERR_INPUT, "%s: in a Hugging Face model gate and up are one tensor, "
			               "which is not made here: write an MLX directory", p->item[i].name);
		count += stack ? n : 1;
	}
	item = arena_new(&p->arena, count + 2, sizeof *item, e);
	if (!item)
		return -1;
	for (size_t i = 0; i < p->n_items; i++) {
		struct item *t = &p->item[i];

		if (!is_stack(t->name, &layer, &k) || t->shape.rank != 3 || t->shape.dim[0] != n) {
			item[m++] = *t;
			continue;
		}
		for (size_t j = 0; j < n; j++, m++) {
			item[m] = *t;
			item[m].part = j;
			item[m].n_parts = n;
			item[m].n_rows = t->n_rows / n;
			item[m].shape = shape_of(2, t->shape.dim[1], t->shape.dim[2]);
			item[m].name = arena_printf(&p->arena, e, "model.layers.%zu.%s.%zu.%s.weight", layer,
			                            f->experts[0], j, f->experts[1 + k]);
			if (!item[m].name)
				return -1;
		}
	}
	p->item = item;
	p->n_items = m;
	return 0;
}

int plan_stacks(struct plan *p, struct err *e)
{
	struct family_files f;

	if (!p->config || !p->config->n_experts || !family_files(&f, p->config->model_type) ||
	    !f.experts[0] || f.halved_experts)
		return 0;
	return p->format == CONVERT_SAFETENSORS ? split(p, &f, e) : stack(p, &f, e);
}
