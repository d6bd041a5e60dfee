/* SPDX-License-Identifier: MIT */
/* peft_out.c - adapters as PEFT and as mlx-lm keep them, written
 *
 * mlx-lm has one rank and one scale for all modules: smaller ranks are
 * padded with zeros, and a module of another scale has it in its B. */
#include "convert/peft.h"

#include <stdlib.h>
#include <string.h>

struct out {
	const struct modules *m;
	struct writer *w;
	size_t rank;           /* of all modules; 0: each its own */
	double scale;
	float *room;
	struct arena names;
	struct err *e;
};

static size_t most_rank(const struct modules *m)
{
	size_t rank = 0;

	for (size_t i = 0; i < m->n; i++)
		rank = m->module[i].rank > rank ? m->module[i].rank : rank;
	return rank;
}

/* The scale that most modules have. */
static double usual_scale(const struct modules *m)
{
	double best = 1;
	size_t most = 0;

	for (size_t i = 0; i < m->n; i++) {
		size_t n = 0;

		for (size_t k = 0; k < m->n; k++)
			n += m->module[k].a && m->module[k].scale == m->module[i].scale;
		if (m->module[i].a && n > most && m->module[i].scale != 0) {
			most = n;
			best = m->module[i].scale;
		}
	}
	return best;
}

static int declare(struct out *o, const char *path, const char *leaf, unsigned rank, size_t n0,
                   size_t n1)
{
	struct shape s = { rank, { n0, n1 } };
	char *name = arena_printf(&o->names, o->e, "%s%s", path, leaf);

	return !name ? -1 : writer_declare(o->w, name, DT_F32, &s, o->e);
}

/* ---- MLX */

static int mlx_declare(struct out *o, const struct module *d)
{
	if (d->a && (declare(o, d->path, ".lora_a", 2, d->n_in, o->rank) ||
	             declare(o, d->path, ".lora_b", 2, o->rank, d->n_out)))
		return -1;
	if (d->m && declare(o, d->path, ".m", 1, d->n_out, 0))
		return -1;
	if (d->out && declare(o, d->path, ".ia3_out", 1, d->n_out, 0))
		return -1;
	return d->in ? declare(o, d->path, ".ia3_in", 1, d->n_in, 0) : 0;
}

static int vector(struct out *o, const float *v, size_t n)
{
	return v ? writer_data(o->w, v, n * sizeof *v, o->e) : 0;
}

static int mlx_data(struct out *o, const struct module *d)
{
	double by = d->scale / o->scale;
	size_t r = o->rank;

	if (d->a) {
		memset(o->room, 0, d->n_in * r * sizeof *o->room);
		for (size_t k = 0; k < d->rank; k++)
			for (size_t i = 0; i < d->n_in; i++)
				o->room[i * r + k] = d->a[k * d->n_in + i];
		if (vector(o, o->room, d->n_in * r))
			return -1;
		memset(o->room, 0, d->n_out * r * sizeof *o->room);
		for (size_t i = 0; i < d->n_out; i++)
			for (size_t k = 0; k < d->rank; k++)
				o->room[k * d->n_out + i] = (float)((double)d->b[i * d->rank + k] * by);
		if (vector(o, o->room, d->n_out * r))
			return -1;
	}
	return vector(o, d->m, d->n_out) || vector(o, d->out, d->n_out) || vector(o, d->in, d->n_in);
}

/* Past "model.layers.N.", or the whole path. */
static const char *key_of(const char *path)
{
	const char *p = strstr(path, "layers.");

	if (!p)
		return path;
	p += strlen("layers.");
	p += strspn(p, "0123456789");
	return *p == '.' ? p + 1 : path;
}

static void add_keys(struct buf *b, const struct modules *m)
{
	size_t n = 0;

	for (size_t i = 0; i < m->n; i++) {
		size_t k = 0;

		while (k < i && strcmp(key_of(m->module[k].path), key_of(m->module[i].path)))
			k++;
		if (k < i)
			continue;
		buf_add_text(b, n++ ? ",\n            " : "\n            ");
		json_add_string(b, bytes_of(key_of(m->module[i].path)));
	}
}

static void mlx_config(struct buf *b, const struct out *o)
{
	bool dora = false;

	for (size_t i = 0; i < o->m->n; i++)
		dora = dora || o->m->module[i].m;
	buf_add_text(b, "{\n");
	if (o->m->table_only)
		buf_add_text(b, "    \"clm_table_only\": true,\n");
	buf_printf(b, "    \"fine_tune_type\": \"%s\",\n    \"lora_parameters\": {\n"
	           "        \"dropout\": 0.0,\n        \"keys\": [",
	           o->m->ia3 ? "ia3" : dora ? "dora" : "lora");
	add_keys(b, o->m);
	buf_printf(b, "\n        ],\n        \"rank\": %zu,\n        \"scale\": %.17g\n    },\n"
	           "    \"num_layers\": -1\n}\n", o->rank, o->scale);
}

/* ---- PEFT */

static int peft_declare(struct out *o, const struct module *d)
{
	char *path = arena_printf(&o->names, o->e, "base_model.model.%s", d->path);
	const char *a = d->table ? ".lora_embedding_A" : ".lora_A.weight";
	const char *b = d->table ? ".lora_embedding_B" : ".lora_B.weight";

	if (!path || declare(o, path, a, 2, d->rank, d->n_in) ||
	    declare(o, path, b, 2, d->n_out, d->rank))
		return -1;
	return d->m ? declare(o, path, ".lora_magnitude_vector", 1, d->n_out, 0) : 0;
}

static int peft_data(struct out *o, const struct module *d)
{
	return vector(o, d->a, d->rank * d->n_in) || vector(o, d->b, d->n_out * d->rank) ||
	       vector(o, d->m, d->n_out);
}

static void add_patterns(struct buf *b, const struct out *o, const char *key, bool alpha)
{
	size_t n = 0;

	buf_printf(b, "  \"%s\": {", key);
	for (size_t i = 0; i < o->m->n; i++) {
		const struct module *d = &o->m->module[i];

		if (d->rank == o->rank)
			continue;
		buf_add_text(b, n++ ? ", " : "");
		json_add_string(b, bytes_of(d->path));
		buf_printf(b, ": %.17g", alpha ? d->scale * (double)d->rank : (double)d->rank);
	}
	buf_add_text(b, "},\n");
}

static void peft_config(struct buf *b, const struct out *o)
{
	bool dora = false;

	for (size_t i = 0; i < o->m->n; i++)
		dora = dora || o->m->module[i].m;
	buf_add_text(b, "{\n");
	add_patterns(b, o, "alpha_pattern", true);
	buf_printf(b, "  \"base_model_name_or_path\": null,\n  \"bias\": \"none\",\n"
	           "  \"fan_in_fan_out\": false,\n  \"inference_mode\": true,\n"
	           "  \"lora_alpha\": %.17g,\n  \"lora_dropout\": 0.0,\n"
	           "  \"peft_type\": \"LORA\",\n  \"r\": %zu,\n",
	           o->scale * (double)o->rank, o->rank);
	add_patterns(b, o, "rank_pattern", false);
	buf_add_text(b, "  \"target_modules\": [");
	for (size_t i = 0; i < o->m->n; i++) {
		buf_add_text(b, i ? ", " : "");
		json_add_string(b, bytes_of(o->m->module[i].path));
	}
	buf_printf(b, "],\n  \"task_type\": \"CAUSAL_LM\",\n  \"use_dora\": %s,\n"
	           "  \"use_rslora\": false\n}\n", dora ? "true" : "false");
}

/* ---- either */

static int write_weights(struct out *o, const char *path,
                         int (*declare_one)(struct out *, const struct module *),
                         int (*give)(struct out *, const struct module *), const char *format)
{
	struct writer_options wo = { .container = CONTAINER_SAFETENSORS };
	int rc;

	if (writer_open(&o->w, path, false, &wo, o->e))
		return -1;
	rc = writer_meta_text(o->w, "format", bytes_of(format), o->e);
	for (size_t i = 0; !rc && i < o->m->n; i++)
		rc = declare_one(o, &o->m->module[i]);
	for (size_t i = 0; !rc && i < o->m->n; i++)
		rc = give(o, &o->m->module[i]);
	if (rc) {
		writer_abort(o->w);
		return -1;
	}
	return writer_commit(o->w, o->e);
}

static int write_text(const char *path, const struct buf *b, struct err *e)
{
	struct file_out *f;

	if (buf_check(b, e) || file_out_open(&f, path, e))
		return -1;
	if (file_out_write(f, b->p, b->n, e)) {
		file_out_abort(f);
		return -1;
	}
	return file_out_commit(f, e);
}

static int write_dir(struct out *o, const char *path, bool mlx)
{
	struct arena a = { 0 };
	struct buf config = { 0 };
	struct dir_out *d;
	char *weights, *text;
	int rc;

	if (dir_out_open(&d, path, o->e))
		return -1;
	(mlx ? mlx_config : peft_config)(&config, o);
	weights = file_join(&a, dir_out_temp(d),
	                    mlx ? "adapters.safetensors" : "adapter_model.safetensors", o->e);
	text = weights ? file_join(&a, dir_out_temp(d), "adapter_config.json", o->e) : NULL;
	rc = !text || write_weights(o, weights, mlx ? mlx_declare : peft_declare,
	                            mlx ? mlx_data : peft_data, mlx ? "mlx" : "pt") ||
	     write_text(text, &config, o->e);
	buf_release(&config);
	arena_release(&a);
	arena_release(&o->names);
	if (rc)
		dir_out_abort(d);
	return rc ? -1 : dir_out_commit(d, o->e);
}

int mlx_write(const struct modules *m, const char *path, struct err *e)
{
	struct out o = { .m = m, .rank = most_rank(m), .scale = usual_scale(m), .e = e };
	size_t most = 1;
	int rc;

	for (size_t i = 0; i < m->n; i++) {
		most = m->module[i].n_in > most ? m->module[i].n_in : most;
		most = m->module[i].n_out > most ? m->module[i].n_out : most;
	}
	o.room = malloc(most * (o.rank + 1) * sizeof *o.room);
	if (!o.room)
		return err_memory(e, most * o.rank * sizeof *o.room);
	rc = write_dir(&o, path, true);
	free(o.room);
	return rc;
}

int peft_write(const struct modules *m, const char *path, struct err *e)
{
	struct out o = { .m = m, .rank = most_rank(m), .scale = usual_scale(m), .e = e };

	return write_dir(&o, path, false);
}
