/* SPDX-License-Identifier: MIT */
/* inventory.c - what a source lacks of its family, and has beyond it
 *
 * Given what the slots asked for; gives one line about all that is missing,
 * or about all that nothing asked for. Names that differ in their layer
 * alone are one: model.layers.{0-3,7}.mlp.up_proj.weight. What a family
 * does not need is passed over; whole parts of a model are told. */
#include "model/inventory.h"

#include "model/config.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_ROOM = 700, FEW_NUMBERS = 24 };

struct names { const char **name; size_t n, room; };

static int keep(struct names *l, const char *name, struct arena *a, struct err *e)
{
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 32;
		const char **more = arena_new(a, room, sizeof *more, e);

		if (!more)
			return -1;
		if (l->n)
			memcpy(more, l->name, l->n * sizeof *more);
		l->name = more;
		l->room = room;
	}
	l->name[l->n++] = name;
	return 0;
}

/* ---- a list of names as text */

static size_t digits_at(const char *name)
{
	return strcspn(name, "0123456789");
}

/* The same but for their first number. */
static bool alike(const char *a, const char *b)
{
	size_t n = digits_at(a);

	return n == digits_at(b) && !memcmp(a, b, n) &&
	       !strcmp(a + n + strspn(a + n, "0123456789"), b + n + strspn(b + n, "0123456789"));
}

static int by_value(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return x < y ? -1 : x > y;
}

static void add_numbers(struct buf *out, unsigned long *v, size_t n)
{
	size_t runs = 0;

	qsort(v, n, sizeof *v, by_value);
	for (size_t i = 0, k; i < n; i = k) {
		for (k = i + 1; k < n && v[k] <= v[k - 1] + 1; k++)
			;
		if (runs++ == FEW_NUMBERS) {
			buf_add_text(out, ",...");
			return;
		}
		buf_printf(out, "%s%lu", i ? "," : "", v[i]);
		if (v[k - 1] > v[i])
			buf_printf(out, "-%lu", v[k - 1]);
	}
}

/* Name i and those like it, which are taken from the list; how many. */
static size_t add_group(struct buf *out, struct names *l, size_t i, unsigned long *v)
{
	const char *first = l->name[i];
	size_t at = digits_at(first), n = 0;

	for (size_t k = i; k < l->n; k++)
		if (l->name[k] && alike(first, l->name[k])) {
			v[n++] = strtoul(l->name[k] + at, NULL, 10);
			l->name[k] = NULL;
		}
	if (n == 1) {
		buf_add_text(out, first);
		return n;
	}
	buf_printf(out, "%.*s{", (int)at, first);
	add_numbers(out, v, n);
	buf_printf(out, "}%s", first + at + strspn(first + at, "0123456789"));
	return n;
}

/* All of them, or as many as a line holds. The list is used up. */
static int list(struct buf *out, struct names *l, struct arena *a, struct err *e)
{
	unsigned long *v = arena_new(a, l->n, sizeof *v, e);
	size_t told = 0;

	if (!v)
		return -1;
	for (size_t i = 0; i < l->n; i++) {
		if (!l->name[i])
			continue;
		if (out->n > LIST_ROOM) {
			buf_printf(out, " and %zu more", l->n - told);
			break;
		}
		if (told)
			buf_add_text(out, ", ");
		told += add_group(out, l, i, v);
	}
	return buf_check(out, e);
}

/* ---- what the family does not need */

/* Not missed by anyone: made at run time, or there twice. */
static const char *const silent[] = { "rotary_emb.inv_freq", "masked_bias", "position_ids",
	                              "rope_freqs.weight", "rope_factors_long.weight",
	                              "rope_factors_short.weight", "rope.freqs" };
/* Parts of a model that make no text of text. */
static const char *const parts[] = { "vision_tower", "vision_model", "vision_encoder",
	"vision_embedder", "vision_language_adapter", "visual", "multi_modal_projector",
	"mm_projector", "connector", "patch_merger", "image_newline", "audio_tower", "embed_audio",
	"embed_vision", "mtp", "classifier", "score" };
/* Heads of an encoder that no vector is made by. */
static const char *const heads[] = { "pooler", "cls" };

/* The first part of a path, after what all paths have in front. */
static struct bytes component(const struct config *c, const char *name)
{
	const char *front = c->family->prefix ? c->family->prefix : "model.";
	size_t n = strlen(front);
	const char *at = !strncmp(name, front, n) ? name + n : name;

	return (struct bytes){ (const unsigned char *)at, strcspn(at, ".") };
}

static bool is_silent(const struct config *c, const char *whole)
{
	const char *ours = config_text_ours(c, whole), *name = ours ? ours : whole;

	for (size_t i = 0; i < sizeof silent / sizeof *silent; i++)
		if (strstr(name, silent[i]))
			return true;
	for (size_t i = 0; c->encoder && i < sizeof heads / sizeof *heads; i++)
		if (bytes_is(component(c, name), heads[i]))
			return true;
	return c->tied && (!strncmp(name, "lm_head.", 8) || !strncmp(name, "output.", 7));
}

/* A layer past the last: of a head that predicts further tokens. */
static bool is_extra(const struct config *c, const char *name)
{
	static const char layers[] = "model.layers.";

	return c->n_extra_layers && !strncmp(name, layers, sizeof layers - 1) &&
	       strtoul(name + sizeof layers - 1, NULL, 10) >= c->n_layers;
}

/* The part of the model that the tensor is of, if it is one to leave out. */
static struct bytes part_of(const struct config *c, const char *whole)
{
	const char *ours = config_text_ours(c, whole), *name = ours ? ours : whole;
	struct bytes part = component(c, name);

	if (!ours)
		return part;
	if (is_extra(c, name))
		return bytes_of("mtp");
	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (bytes_is(part, parts[i]))
			return part;
	return (struct bytes){ 0 };
}

/* One of each. */
static int keep_part(struct names *l, struct bytes part, struct arena *a, struct err *e)
{
	const char *text;

	for (size_t i = 0; i < l->n; i++)
		if (bytes_is(part, l->name[i]))
			return 0;
	text = arena_text(a, part.p, part.n, e);
	return text ? keep(l, text, a, e) : -1;
}

/* ---- the two questions */

static int missing(const struct binder *b, struct err *e)
{
	struct names l = { b->missing, b->n_missing, b->n_missing };
	struct buf text = { 0 };
	int rc = list(&text, &l, &b->w->arena, e);

	if (rc == 0 && b->n_missing == 1)
		rc = err_set(e, ERR_INPUT, "%.*s: missing", (int)text.n, (const char *)text.p);
	else if (rc == 0)
		rc = err_set(e, ERR_INPUT, "%zu tensors are missing: %.*s", b->n_missing, (int)text.n,
		             (const char *)text.p);
	buf_release(&text);
	return rc;
}

static int strangers(struct names *l, const struct binder *b, struct err *e)
{
	struct buf text = { 0 };
	size_t n = l->n;
	int rc = list(&text, l, &b->w->arena, e);

	if (rc == 0)
		rc = err_set(e, ERR_INPUT, "%.*s: %s has no such tensor%s", (int)text.n,
		             (const char *)text.p, b->c->model_type, n > 1 ? "s" : "");
	buf_release(&text);
	return rc;
}

static int tell_parts(struct names *l, const struct binder *b, size_t n, struct err *e)
{
	struct buf text = { 0 };
	int rc = list(&text, l, &b->w->arena, e);

	if (rc == 0) {
		b->w->left_out = arena_printf(&b->w->arena, e, "%zu tensors of %.*s", n, (int)text.n,
		                              (const char *)text.p);
		rc = b->w->left_out ? 0 : -1;
	}
	buf_release(&text);
	return rc;
}

int inventory_missing(struct binder *b, const char *name, struct err *e)
{
	struct names l = { b->missing, b->n_missing, b->room_missing };
	const char *copy;

	if (l.n && !strcmp(l.name[l.n - 1], name)) /* rows of one matrix */
		return 0;
	copy = arena_text(&b->w->arena, name, strlen(name), e);
	if (!copy || keep(&l, copy, &b->w->arena, e))
		return -1;
	b->missing = l.name;
	b->n_missing = l.n;
	b->room_missing = l.room;
	return 0;
}

int inventory_open(struct binder *b, struct err *e)
{
	b->seen = arena_new(&b->w->arena, source_count(b->s) + 1, sizeof *b->seen, e);
	return b->seen ? 0 : -1;
}

void inventory_seen(struct binder *b, const struct tensor *t)
{
	if (t)
		b->seen[t - source_tensor(b->s, 0)] = true;
}

int inventory_check(const struct binder *b, struct err *e)
{
	struct names strange = { 0 }, part = { 0 };
	size_t n_parts = 0;

	if (b->n_missing)
		return missing(b, e);
	for (size_t i = 0; i < source_count(b->s); i++) {
		const char *name = source_tensor(b->s, i)->name;
		struct bytes of = part_of(b->c, name);
		int bad = 0;

		if (b->seen[i] || is_silent(b->c, name))
			continue;
		n_parts += of.n != 0;
		bad = of.n ? keep_part(&part, of, &b->w->arena, e) :
		             keep(&strange, name, &b->w->arena, e);
		if (bad)
			return -1;
	}
	if (strange.n)
		return strangers(&strange, b, e);
	return part.n ? tell_parts(&part, b, n_parts, e) : 0;
}
