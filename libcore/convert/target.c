/* SPDX-License-Identifier: MIT */
/* target.c - what a weight becomes, by its name
 *
 * Rules are asked in order, then the recipe, then the one form for all. A
 * recipe is mlx-lm's or llama-quantize's: the same layers in the same forms. */
#include "convert/plan.h"

#include <ctype.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "util/num.h"

enum { WORD_ROOM = 256, PLAN_CEILING = 1 << 20 };

/* ---- words */

static const struct {
	const char *word;
	enum coding coding;
} codings[] = { { "mxfp4", CODING_MXFP4 }, { "mxfp8", CODING_MXFP8 }, { "nvfp4", CODING_NVFP4 } };

static const enum dtype blocks[] = { DT_Q4_0, DT_Q4_1, DT_Q5_0, DT_Q5_1, DT_Q8_0, DT_Q2_K,
	                             DT_Q3_K, DT_Q4_K, DT_Q5_K, DT_Q6_K, DT_IQ4_NL, DT_IQ4_XS,
	                             DT_MXFP4, DT_NVFP4 };

static bool affine_word(struct target *out, const char *word)
{
	unsigned bits = (unsigned)(*word - '0'), group = 64;

	if (!*word || !strchr("234568", *word))
		return false;
	if (word[1] == ':' && (!strcmp(word + 2, "32") || !strcmp(word + 2, "64") ||
	                       !strcmp(word + 2, "128")))
		group = (unsigned)atoi(word + 2);
	else if (word[1])
		return false;
	*out = (struct target){ CODING_AFFINE, bits, group, DT_COUNT };
	return true;
}

bool target_parse(struct target *out, const char *word)
{
	*out = (struct target){ .blocks = DT_COUNT };
	if (!strcmp(word, "keep") || affine_word(out, word))
		return true;
	for (size_t i = 0; i < sizeof codings / sizeof *codings; i++)
		if (!strcasecmp(word, codings[i].word)) {
			const struct coding_info *c = coding_info(codings[i].coding);

			*out = (struct target){ codings[i].coding, c->bits, c->group, DT_COUNT };
			break;
		}
	for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
		if (!strcasecmp(word, dtype_info(blocks[i])->name))
			out->blocks = blocks[i];
	return out->bits || out->blocks != DT_COUNT;
}

const char *target_text(char *out, size_t room, const struct target *t, bool gguf)
{
	if (gguf && t->blocks != DT_COUNT)
		snprintf(out, room, "%s", dtype_info(t->blocks)->name);
	else if (!t->bits)
		snprintf(out, room, "keep");
	else if (t->coding != CODING_AFFINE)
		snprintf(out, room, "%s", coding_info(t->coding)->name);
	else
		snprintf(out, room, "%u:%u", t->bits, t->group);
	return out;
}

/* ---- recipes of llama-quantize */

enum when { NEVER, ALWAYS, GQA4, MORE, FIRST2, FIRST4, EIGHTH, SIXTEENTH, EIGHTH_PLAIN, EIGHTH_BY };
struct part {
	enum when when;
	enum dtype then, otherwise; /* DT_BOOL (0): the recipe's own */
};
static const struct mix {
	const char *name;
	enum dtype type;
	unsigned file_type;
	struct part v, down, o;
} mixes[] = {
	{ "q2_k", DT_Q2_K, 10, { GQA4, DT_Q4_K, DT_Q3_K }, { ALWAYS, DT_Q3_K, 0 },
	  { ALWAYS, DT_Q3_K, 0 } },
	{ "q2_k_s", DT_Q2_K, 21, { GQA4, DT_Q4_K, 0 }, { EIGHTH, DT_Q4_K, 0 }, { 0 } },
	{ "q3_k_s", DT_Q3_K, 11, { 0 }, { 0 }, { 0 } },
	{ "q3_k_m", DT_Q3_K, 12, { FIRST2, DT_Q5_K, DT_Q4_K }, { SIXTEENTH, DT_Q5_K, DT_Q4_K },
	  { ALWAYS, DT_Q4_K, 0 } },
	{ "q3_k_l", DT_Q3_K, 13, { ALWAYS, DT_Q5_K, 0 }, { ALWAYS, DT_Q5_K, 0 },
	  { ALWAYS, DT_Q5_K, 0 } },
	{ "q4_k_s", DT_Q4_K, 14, { FIRST4, DT_Q5_K, 0 }, { EIGHTH, DT_Q5_K, 0 }, { 0 } },
	{ "q4_k_m", DT_Q4_K, 15, { MORE, DT_Q6_K, 0 }, { MORE, DT_Q6_K, 0 }, { 0 } },
	{ "q5_k_s", DT_Q5_K, 16, { 0 }, { 0 }, { 0 } },
	{ "q5_k_m", DT_Q5_K, 17, { MORE, DT_Q6_K, 0 }, { MORE, DT_Q6_K, 0 }, { 0 } },
	{ "q6_k", DT_Q6_K, 18, { 0 }, { 0 }, { 0 } },
	{ "q8_0", DT_Q8_0, 7, { 0 }, { 0 }, { 0 } },
	{ "q4_0", DT_Q4_0, 2, { 0 }, { EIGHTH_BY, DT_Q4_1, 0 }, { 0 } },
	{ "q4_1", DT_Q4_1, 3, { 0 }, { 0 }, { 0 } },
	{ "q5_0", DT_Q5_0, 8, { 0 }, { EIGHTH_BY, DT_Q5_1, 0 }, { 0 } },
	{ "q5_1", DT_Q5_1, 9, { 0 }, { 0 }, { 0 } },
	{ "iq4_nl", DT_IQ4_NL, 25, { GQA4, DT_Q5_K, 0 }, { EIGHTH_PLAIN, DT_Q5_K, 0 }, { 0 } },
	{ "iq4_xs", DT_IQ4_XS, 30, { GQA4, DT_Q5_K, 0 }, { EIGHTH_PLAIN, DT_Q5_K, 0 }, { 0 } },
};
enum { N_MIXES = sizeof mixes / sizeof *mixes };

static const struct mix *mix_of(const struct plan *p)
{
	for (size_t i = 0; p->options->recipe && i < N_MIXES; i++)
		if (!strcasecmp(p->options->recipe, mixes[i].name))
			return &mixes[i];
	return NULL;
}

static size_t layer_of(const char *name)
{
	const char *at = strstr(name, "layers.");

	return at ? strtoul(at + 7, NULL, 10) : 0;
}

static bool more(size_t i, size_t n)
{
	return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
}

static bool applies(enum when when, const struct plan *p, size_t i)
{
	size_t n = p->config->n_layers, gqa = p->config->n_heads / p->config->n_kv_heads;

	switch (when) {
	case ALWAYS:
		return true;
	case GQA4:
		return gqa >= 4;
	case MORE:
		return more(i, n);
	case FIRST2:
		return i < 2;
	case FIRST4:
		return i < 4;
	case EIGHTH:
		return i < n / 8;
	case SIXTEENTH:
		return i < n / 16;
	case EIGHTH_PLAIN:
		return i < n / 8 && !p->options->moments;
	case EIGHTH_BY:
		return i < n / 8 && p->options->moments;
	case NEVER:
		break;
	}
	return false;
}

/* Where a row is no whole number of blocks. */
static enum dtype narrower(enum dtype t)
{
	switch (t) {
	case DT_IQ4_XS:
		return DT_IQ4_NL;
	case DT_Q2_K: case DT_Q3_K:
		return DT_Q4_0;
	case DT_Q4_K:
		return DT_Q5_0;
	case DT_Q5_K:
		return DT_Q5_1;
	case DT_Q6_K:
		return DT_Q8_0;
	default:
		return DT_COUNT;
	}
}

enum dtype target_fitting(enum dtype t, size_t n_cols)
{
	while (t != DT_COUNT && n_cols % dtype_info(t)->block)
		t = narrower(t);
	return t;
}

static bool is_output(const struct plan *p, const char *name)
{
	return !strncmp(name, "lm_head.", 8) ||
	       (p->config->tied && !strcmp(name, "model.embed_tokens.weight"));
}

static enum dtype by_mix(const struct plan *p, const struct mix *m, const struct item *t)
{
	const struct part none = { 0 }, *part = &none;
	size_t gqa = p->config->n_heads / p->config->n_kv_heads;
	bool value = strstr(t->name, "v_proj.") || strstr(t->name, "qkv_proj.");
	enum dtype d;

	if (is_output(p, t->name))
		return m->type == DT_Q8_0 || t->n_cols % dtype_info(m->type)->block ? DT_Q8_0 : DT_Q6_K;
	if (value)
		part = &m->v;
	else if (strstr(t->name, "down_proj."))
		part = &m->down;
	else if (strstr(t->name, "o_proj."))
		part = &m->o;
	d = applies(part->when, p, layer_of(t->name)) ? part->then : part->otherwise;
	d = d == DT_BOOL ? m->type : d;
	if (value && p->config->n_layers == 80 && gqa > 1 && (d == DT_Q3_K || d == DT_Q4_K))
		d = DT_Q5_K;
	return d;
}

/* ---- recipes of mlx-lm: a low and a high width */

static bool widths_of(const char *recipe, unsigned *low, unsigned *high)
{
	static const char *const names[] = { "mixed_2_6", "mixed_3_4", "mixed_3_6", "mixed_4_6" };

	for (size_t i = 0; recipe && i < sizeof names / sizeof *names; i++)
		if (!strcmp(recipe, names[i])) {
			*low = (unsigned)(names[i][6] - '0');
			*high = (unsigned)(names[i][8] - '0');
			return true;
		}
	return false;
}

static bool is_high(const struct plan *p, const char *name)
{
	bool wide = strstr(name, "v_proj.") || strstr(name, "v_a_proj.") || strstr(name, "v_b_proj.") ||
	            strstr(name, "down_proj.");

	return !strncmp(name, "lm_head.", 8) || (wide && more(layer_of(name), p->config->n_layers));
}

bool recipe_is_known(const char *name, bool *gguf)
{
	unsigned low, high;

	*gguf = !widths_of(name, &low, &high);
	for (size_t i = 0; i < N_MIXES; i++)
		if (!strcasecmp(name, mixes[i].name))
			return true;
	return !*gguf;
}

unsigned recipe_file_type(const struct plan *p)
{
	const struct mix *m = mix_of(p);

	return m ? m->file_type : 0;
}

/* ---- one weight */

static bool matches(const char *pattern, const char *name)
{
	char path[WORD_ROOM];
	size_t n = strlen(name);

	if (!fnmatch(pattern, name, 0))
		return true;
	if (!bytes_ends(bytes_of(name), ".weight") || n >= sizeof path)
		return false;
	snprintf(path, sizeof path, "%.*s", (int)(n - 7), name);
	return !fnmatch(pattern, path, 0);
}

bool target_of(struct target *out, const struct plan *p, const struct item *t)
{
	const struct convert_options *o = p->options;
	const struct mix *m = mix_of(p);
	struct target to = { .coding = CODING_AFFINE, .bits = o->bits, .group = o->group,
		             .blocks = o->blocks };
	unsigned low, high;

	for (size_t i = 0; i < o->n_rules; i++)
		if (matches(o->rule[i].pattern, t->name))
			return *out = o->rule[i].to, true;
	to.coding = o->coding;
	if (m)
		to.blocks = by_mix(p, m, t);
	else if (widths_of(o->recipe, &low, &high))
		to.bits = is_high(p, t->name) ? high : low;
	*out = to;
	return false;
}

/* ---- a table of rules */

int rules_parse(struct rule **out, size_t *n, struct bytes text, struct arena *a, struct err *e)
{
	size_t line = 0, lines = 1;
	char *copy, *next;

	*n = 0;
	if (text.n > PLAN_CEILING)
		return err_set(e, ERR_INPUT, "a plan of %zu bytes, at most %d", text.n, PLAN_CEILING);
	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	if (memchr(text.p, 0, text.n))
		return err_set(e, ERR_INPUT, "a plan with a NUL");
	copy = arena_text(a, (const char *)text.p, text.n, e);
	*out = copy ? arena_new(a, lines, sizeof **out, e) : NULL;
	if (!*out)
		return -1;
	for (char *at = copy; at; at = next) {
		struct rule *r = &(*out)[*n];
		char *save, *word, *group, word_room[WORD_ROOM];

		line++;
		next = strchr(at, '\n');
		if (next)
			*next++ = 0;
		at[strcspn(at, "#\r")] = 0;
		r->pattern = strtok_r(at, " \t,", &save);
		if (!r->pattern)
			continue;
		word = strtok_r(NULL, " \t,", &save);
		group = word ? strtok_r(NULL, " \t,", &save) : NULL;
		snprintf(word_room, sizeof word_room, "%s%s%s", word ? word : "", group ? ":" : "",
		         group ? group : "");
		if (!word || !target_parse(&r->to, word_room) || strtok_r(NULL, " \t,", &save))
			return err_set(e, ERR_INPUT, "line %zu: expected PATTERN FORM [GROUP], "
			               "found \"%.64s %.64s\"", line, r->pattern, word_room);
		++*n;
	}
	return 0;
}
