/* SPDX-License-Identifier: MIT */
/* convert.c - a model to a model: open, plan, write */
#include "convert/plan.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

void convert_options_init(struct convert_options *o)
{
	*o = (struct convert_options){ .dtype = DT_COUNT, .group = 64, .blocks = DT_COUNT };
}

static const struct {
	const char *end;
	enum convert_format format;
} endings[] = {
	{ ".npz", CONVERT_NPZ }, { ".safetensors", CONVERT_SAFETENSORS }, { ".gguf", CONVERT_GGUF },
};

static enum convert_format format_of(const char *out, enum convert_format asked)
{
	for (size_t i = 0; asked == CONVERT_AUTO && i < sizeof endings / sizeof *endings; i++)
		if (bytes_ends(bytes_of(out), endings[i].end))
			return endings[i].format;
	return asked == CONVERT_AUTO ? CONVERT_MLX : asked;
}

/* Whether the tensors can move under their own names, knowing nothing of
 * the family. */
static bool needs_config(struct source *s, const struct convert_options *o, enum convert_format f)
{
	return naming_of(s) != NAMING_HF || f == CONVERT_GGUF || (f == CONVERT_NPZ && o->as_dir) ||
	       o->bits || o->dequantize || o->recipe || o->n_rules || o->n_fuse;
}

static bool is_weights(const char *name)
{
	static const char *const patterns[] = { "model*.safetensors", "weights*.safetensors",
		                                "weights*.npz", "*.gguf" };

	for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
		if (!fnmatch(patterns[i], name, FNM_PERIOD))
			return true;
	return false;
}

/* A directory keeps what is not replaced. Weights that stay in it would be
 * read along with the new ones. */
static int check_target(const struct plan *p, const char *out, struct err *e)
{
	const char *lone = p->format == CONVERT_NPZ ? "weights.npz" : "model.safetensors";
	struct arena a = { 0 };
	size_t n = 0;
	int rc = 0;
	char **name = file_is_dir(out) ? file_list(&a, out, &n, e) : NULL;

	if (file_is_dir(out) && !name)
		rc = err_in(e, "%s", out);
	for (size_t i = 0; i < n && rc == 0; i++)
		if (is_weights(name[i]) && strcmp(name[i], lone))
			rc = err_set(e, ERR_MISUSE, "%s: holds %s, which would be read too: "
			             "name another output, or remove it first", out, name[i]);
	arena_release(&a);
	return rc;
}

static int write(struct plan *p, const char *out, bool as_dir, struct err *e)
{
	static const enum container containers[] = {
		[CONVERT_MLX] = CONTAINER_SAFETENSORS, [CONVERT_SAFETENSORS] = CONTAINER_SAFETENSORS,
		[CONVERT_NPZ] = CONTAINER_NPZ, [CONVERT_GGUF] = CONTAINER_GGUF,
	};
	struct writer_options wo = { .container = containers[p->format],
		                     .shard_bytes = p->options->shard_bytes,
		                     .deflate = p->options->deflate };
	struct writer *w = NULL;
	int rc;

	if ((as_dir && check_target(p, out, e)) || writer_open(&w, out, as_dir, &wo, e))
		return -1;
	if (p->format == CONVERT_GGUF)
		rc = gguf_metadata(p, w, e);
	else if (wo.container == CONTAINER_SAFETENSORS)
		rc = writer_meta_text(w, "format", bytes_of(p->format == CONVERT_MLX ? "mlx" : "pt"), e);
	else
		rc = 0;
	if (rc || stream_declare(p, w, e) || (p->format != CONVERT_GGUF && siblings_write(p, w, e)) ||
	    stream_data(p, w, e)) {
		writer_abort(w);
		return -1;
	}
	return writer_commit(w, e) ? err_in(e, "%s", out) : 0;
}

static int convert(struct source *s, const char *out, const struct convert_options *o,
                   struct err *e)
{
	enum convert_format format = format_of(out, o->format);
	bool lone = (format == CONVERT_SAFETENSORS && !o->as_dir) ||
	            (format == CONVERT_NPZ && !o->as_dir) || format == CONVERT_GGUF;
	struct config config;
	struct plan p = { .options = o };
	bool known = config_read(&config, s, e) == 0;
	int rc;

	if (!known && needs_config(s, o, format))
		return err_in(e, "%s", source_path(s));
	if (!known)
		plan_note(&p, "%s: the tensors keep their names and forms", e->text);
	rc = plan_open(&p, s, known ? &config : NULL, o, format, e);
	if (rc == 0) {
		rc = pool_open(&p.pool, o->threads, e) || write(&p, out, !lone, e) ? -1 : 0;
		pool_close(p.pool);
		plan_release(&p);
	}
	if (known)
		config_release(&config);
	return rc;
}

int convert_model(const char *in, const char *out, const struct convert_options *o, struct err *e)
{
	struct source *s;
	int rc;

	if (source_open(&s, in, e))
		return -1;
	rc = convert(s, out, o, e);
	source_close(s);
	return rc;
}
