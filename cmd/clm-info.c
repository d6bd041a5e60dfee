/* SPDX-License-Identifier: MIT */
/* clm-info.c - what a model is, and what this machine offers */
#include "lists.h"
#include "open.h"
#include "rows.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CONFIG = 1 << 20 };

struct args {
	struct cli_common common;
	struct open_options open;
	bool json, tensors, devices, families, registry;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 'j', "json", NULL, CLI_FLAG, AT(json), .help = "one JSON object in place of lines" },
	{ 't', "tensors", NULL, CLI_FLAG, AT(tensors),
	  .help = "list the tensors: name, dtype, shape, bytes, file" },
	{ 0, "devices", NULL, CLI_FLAG, AT(devices), .help = "list the devices of this machine" },
	{ 0, "families", NULL, CLI_FLAG, AT(families), .help = "list the families of models" },
	{ 0, "registry", NULL, CLI_FLAG, AT(registry),
	  .help = "list the models that clm-serve keeps a record of" },
};
static const struct cli_group groups[] = {
	{ .title = "What to tell", .option = options, .n = sizeof options / sizeof *options },
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "[-j] [-t] MODEL\n[-j] --devices\n[-j] --families\n[-j] --registry",
	.about = "Tells what a model is and the memory it needs, or which devices there are.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

/* ---- sums over the tensors */

struct sums {
	size_t n_values;      /* parameters, packed ones unpacked */
	size_t file_bytes;
	size_t memory;        /* in the form they are computed in */
	enum dtype most;      /* of most bytes */
};

static bool is_scale(const struct tensor *t)
{
	return bytes_ends(bytes_of(t->name), ".scales") || bytes_ends(bytes_of(t->name), ".biases");
}

/* Codes in 32-bit words: as many values as their scales say. */
static size_t packed_values(const struct source *s, const struct tensor *t, unsigned bits, size_t n)
{
	char name[512];
	const char *dot = strrchr(t->name, '.');

	if (t->dtype != DT_U32 || !bits || !dot)
		return n;
	snprintf(name, sizeof name, "%.*s.scales", (int)(dot - t->name), t->name);
	return source_find(s, name) ? n * 32 / bits : n;
}

static size_t compute_bytes(const struct tensor *t, size_t n, size_t n_bytes)
{
	struct affine_form f;

	if (dtype_info(t->dtype)->block == 1)
		return n_bytes;
	if (!affine_form_of(&f, t->dtype))
		return n * sizeof(float);
	return n * f.bits / 8 + n / f.group * 2 * dtype_info(f.scale)->block_bytes;
}

static struct sums sum(const struct source *s, unsigned bits)
{
	struct sums u = { .most = DT_F32 };
	size_t by[DT_COUNT] = { 0 };

	for (size_t i = 0; i < source_count(s); i++) {
		const struct tensor *t = source_tensor(s, i);
		size_t n, bytes;

		if (!shape_count(&n, &t->shape) || !shape_bytes(&bytes, t->dtype, &t->shape))
			continue;
		u.file_bytes += bytes;
		u.memory += compute_bytes(t, n, bytes);
		by[t->dtype] += bytes;
		if (!is_scale(t))
			u.n_values += packed_values(s, t, bits, n);
	}
	for (unsigned k = 0; k < DT_COUNT; k++)
		if (by[k] > by[u.most])
			u.most = (enum dtype)k;
	return u;
}

/* ---- what a model is */

static void tell_rope(struct rows *r, const struct config *c)
{
	static const char *const kinds[] = { [ROPE_PLAIN] = "plain", [ROPE_LINEAR] = "linear",
	                                     [ROPE_LLAMA3] = "llama3", [ROPE_YARN] = "yarn",
	                                     [ROPE_DYNAMIC] = "dynamic",
	                                     [ROPE_LONG] = "longrope",
	                                     [ROPE_PART] = "proportional" };
	char text[64];

	snprintf(text, sizeof text, "%s, base %.9g",
	         kinds[c->has_rope_divisor && c->rope_kind == ROPE_PLAIN ? ROPE_LLAMA3 :
	                                                                  c->rope_kind],
	         c->rope_theta);
	row_text(r, "rope", text);
	if (c->window)
		row_number(r, "window", c->window);
}

static void tell_config(struct rows *r, const struct config *c)
{
	row_text(r, "family", c->model_type);
	row_number(r, "layers", c->n_layers);
	row_number(r, "hidden", c->hidden);
	row_number(r, "heads", c->n_heads);
	row_number(r, "kv_heads", c->n_kv_heads);
	row_number(r, "head_size", c->head_dim);
	row_number(r, "feed_forward", c->ffn);
	row_number(r, "vocabulary", c->vocab);
	row_number(r, "context", c->max_pos);
	tell_rope(r, c);
	row_bool(r, "tied_embeddings", c->tied);
}

/* What recurrent layers hold of a sequence, however long it is. */
static void tell_states(struct rows *r, const struct config *c)
{
	if (config_state_bytes(c))
		row_number(r, "state_per_sequence", config_state_bytes(c));
}

/* Groups of 64 codes of 4 bits with a scale and a bias, the rest in f16. */
static void tell_needs(struct rows *r, const struct config *c, const struct config_size *s)
{
	size_t others = (s->parameters - s->matrices) * sizeof(uint16_t);

	row_number(r, "memory_f16", s->parameters * sizeof(uint16_t));
	row_number(r, "memory_4bit", s->matrices / 2 + s->matrices / 64 * 4 + others);
	row_number(r, "cache_per_token", config_cache_bytes(c, sizeof(uint16_t)));
	tell_states(r, c);
}

static void tell_sums(struct rows *r, const struct sums *u, const struct config *c)
{
	char text[64];

	row_number(r, "parameters", u->n_values);
	row_text(r, "dtype", dtype_info(u->most == DT_U32 ? c->dtype : u->most)->name);
	snprintf(text, sizeof text, "affine, %u bits, groups of %u", c->quant_bits, c->quant_group);
	if (dtype_info(u->most)->block > 1)
		snprintf(text, sizeof text, "%s", dtype_info(u->most)->name);
	else if (!c->quant_bits)
		snprintf(text, sizeof text, "none");
	row_text(r, "quantization", text);
	row_number(r, "weights_bytes", u->file_bytes);
	row_number(r, "weights_memory", u->memory);
	row_number(r, "cache_memory_per_1k", 1024 * config_cache_bytes(c, sizeof(uint16_t)));
	tell_states(r, c);
}

/* A config alone: what its model would have and need. */
static int tell_alone(const char *path, bool json, struct err *e)
{
	struct rows r = { .json = json };
	struct config c;
	struct config_size size;
	struct buf text = { 0 };
	int rc = file_read(&text, path, MAX_CONFIG, e);

	if (rc == 0 && config_parse(&c, buf_bytes(&text), e))
		rc = err_in(e, "%s", path);
	buf_release(&text);
	if (rc)
		return -1;
	rc = config_measure(&size, &c, e);
	if (rc == 0) {
		row_text(&r, "path", path);
		row_text(&r, "container", "config");
		tell_config(&r, &c);
		row_number(&r, "parameters", size.parameters);
		tell_needs(&r, &c, &size);
		cli_puts(json ? "}\n" : "");
	}
	config_release(&c);
	return rc;
}

static void tell_tokenizer(struct rows *r, struct opened *o)
{
	struct err ignored = { 0 };
	struct bytes text;
	struct source *s = o->source;

	if (open_tokenizer(o, &ignored)) {
		row_text(r, "tokenizer", "none");
		return;
	}
	row_text(r, "tokenizer", tokenizer_describe(o->tokenizer));
	row_bool(r, "chat_template",
	         source_sibling(s, "chat_template.jinja", &text, &ignored) > 0 ||
	         source_meta_text(s, "tokenizer.chat_template", &text, &ignored) > 0);
}

/* A file of tensors that is no model is told as that. */
static bool is_model(struct source *s)
{
	struct err ignored;
	struct bytes text;
	enum container c = source_container(s);

	return c == CONTAINER_LLAMA2C || source_sibling(s, "config.json", &text, &ignored) != 0 ||
	       (c == CONTAINER_GGUF && source_count(s));
}

static int tell_model(struct opened *o, bool json, struct err *e)
{
	struct rows r = { .json = json };
	struct config c = { .dtype = DT_F32 };
	struct sums u;

	if (is_model(o->source) && config_read(&c, o->source, e))
		return err_in(e, "%s", source_path(o->source));
	u = sum(o->source, c.quant_bits);
	row_text(&r, "path", source_path(o->source));
	row_text(&r, "container", container_name(source_container(o->source)));
	row_number(&r, "tensors", source_count(o->source));
	if (c.n_layers) {
		tell_config(&r, &c);
		tell_sums(&r, &u, &c);
		tell_tokenizer(&r, o);
	} else {
		row_text(&r, "family", "none");
		row_number(&r, "weights_bytes", u.file_bytes);
	}
	cli_puts(json ? "}\n" : "");
	config_release(&c);
	return 0;
}

/* A file that begins as a JSON object does. */
static bool is_config(const char *path)
{
	struct err ignored;
	struct file_map map = { 0 };
	bool yes = file_map(&map, path, &ignored) == 0 && map.bytes.n &&
	           map.bytes.n <= MAX_CONFIG && map.bytes.p[0] == '{';

	file_unmap(&map);
	return yes;
}

int main(int argc, char **argv)
{
	struct args a = { 0 };
	struct opened o = { 0 };
	struct err e = { 0 };
	char **models = cli_parse(argc, argv, &command, &a);
	int rc;

	if (models[0] && models[1])
		cli_misuse("expected one model, found more");
	if (!!models[0] + a.devices + a.families + a.registry > 1)
		cli_misuse("expected one of a model, --devices, --families and --registry");
	if (models[0])
		a.open.model = models[0];
	if (a.devices || a.families || a.registry) {
		rc = (a.devices ? tell_devices : a.families ? tell_families : tell_registry)(a.json, &e);
	} else {
		rc = open_files(&o, &a.open, &e);
		if (rc && is_config(a.open.model))
			rc = tell_alone(a.open.model, a.json, &e);
		else if (rc == 0 && a.tensors)
			tell_tensors(o.source, a.json);
		else if (rc == 0)
			rc = tell_model(&o, a.json, &e);
	}
	open_release(&o);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
