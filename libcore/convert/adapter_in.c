/* SPDX-License-Identifier: MIT */
/* adapter_in.c - an adapter of any layout: its files found, converted once
 *
 * PEFT's layout is told by its configuration. On first use it becomes MLX's
 * in a cache that is keyed by the digest of all its bytes, so that a changed
 * adapter is another one. */
#include "convert/peft.h"

#include "util/digest.h"

#include <stdio.h>
#include <string.h>

struct found {
	struct arena arena;
	struct source *source;
	cJSON *config;         /* NULL: none */
	bool peft;
};

static void found_release(struct found *f)
{
	source_close(f->source);
	cJSON_Delete(f->config);
	arena_release(&f->arena);
}

static int open_source(struct found *f, const char *path, struct err *e)
{
	static const char *const names[] = { "adapter_model.safetensors", "adapters.safetensors",
		                             "adapters.npz" };

	if (!file_is_dir(path))
		return source_open(&f->source, path, e);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *file = file_join(&f->arena, path, names[i], e);

		if (!file)
			return -1;
		if (file_exists(file))
			return source_open(&f->source, file, e);
	}
	return err_set(e, ERR_INPUT, "%s: expected an adapter: adapter_model.safetensors (PEFT) or "
	               "adapters.safetensors (MLX)", path);
}

static int find(struct found *f, const char *path, struct err *e)
{
	struct bytes text;
	int rc;

	*f = (struct found){ 0 };
	if (open_source(f, path, e))
		return -1;
	rc = source_sibling(f->source, "adapter_config.json", &text, e);
	if (rc < 0)
		return -1;
	if (rc) {
		f->config = json_parse(text, e);
		if (!f->config)
			return err_in(e, "%s: adapter_config.json", path);
	}
	f->peft = json_get(f->config, "peft_type") != NULL;
	return 0;
}

static int key_of(char out[DIGEST_TEXT], const struct found *f, struct err *e)
{
	struct file_map m;
	struct bytes config = { 0 };
	struct digest *d;
	int rc = source_sibling(f->source, "adapter_config.json", &config, e);

	if (rc < 0 || digest_open(&d, e))
		return -1;
	if (file_map(&m, source_file(f->source, source_tensor(f->source, 0)), e)) {
		digest_abort(d);
		return -1;
	}
	digest_add(d, config);
	digest_add(d, m.bytes);
	file_unmap(&m);
	return digest_close(d, out, e);
}

int modules_open(struct modules *out, const char *path, struct err *e)
{
	struct found f;
	int rc = find(&f, path, e);

	*out = (struct modules){ 0 };
	if (!rc && !f.config && source_container(f.source) != CONTAINER_NPZ)
		rc = err_set(e, ERR_INPUT, "%s: adapter_config.json: missing", path);
	if (!rc && (f.peft ? peft_read(out, f.source, f.config, e) :
	                     mlx_read(out, f.source, f.config, e))) {
		modules_release(out);
		rc = err_in(e, "%s", source_path(f.source));
	}
	found_release(&f);
	return rc;
}

static int make_parent(const char *path, struct err *e)
{
	struct arena a = { 0 };
	char *dir = file_dir(&a, path, e);
	int rc = dir ? file_mkdirs(dir, e) : -1;

	arena_release(&a);
	return rc;
}

static int convert(struct found *f, const char *out, bool to_peft, struct err *e)
{
	struct modules m;
	int rc = f->peft ? peft_read(&m, f->source, f->config, e) :
	                   mlx_read(&m, f->source, f->config, e);

	if (rc)
		rc = err_in(e, "%s", source_path(f->source));
	else if ((rc = to_peft ? peft_write(&m, out, e) : mlx_write(&m, out, e)))
		rc = err_in(e, "%s", out);
	modules_release(&m);
	return rc;
}

static int open_cached(struct adapter **out, struct found *f, struct err *e)
{
	char key[DIGEST_TEXT], name[DIGEST_TEXT + 16], *dir, *file;

	if (!source_count(f->source))
		return err_set(e, ERR_INPUT, "%s: no tensors", source_path(f->source));
	if (key_of(key, f, e))
		return -1;
	snprintf(name, sizeof name, "adapters/%s", key);
	dir = file_cache_path(&f->arena, name, e);
	file = dir ? file_join(&f->arena, dir, "adapters.safetensors", e) : NULL;
	if (!file)
		return -1;
	if (!file_exists(file) && (make_parent(dir, e) || convert(f, dir, false, e)))
		return -1;
	return adapter_open(out, dir, e);
}

int convert_adapter_open(struct adapter **out, const char *path, struct err *e)
{
	struct found f;
	int rc = find(&f, path, e);

	if (!rc)
		rc = f.peft ? open_cached(out, &f, e) : adapter_open(out, source_path(f.source), e);
	found_release(&f);
	return rc;
}

int convert_adapter(const char *in, const char *out, enum adapter_layout to, struct err *e)
{
	struct found f;
	const char *kind = "";
	int rc = find(&f, in, e);

	if (!rc)
		rc = json_get_text(f.config, f.peft ? "peft_type" : "fine_tune_type", &kind, e) < 0;
	if (!rc && !strcmp(kind, "IA3"))
		rc = err_set(e, ERR_INPUT, "%s: MLX has no IA3: it can be used as it is", in);
	if (!rc)
		rc = convert(&f, out, to == ADAPTER_AUTO ? !f.peft : to == ADAPTER_PEFT, e);
	found_release(&f);
	return rc;
}

bool is_adapter(const char *path)
{
	struct arena a = { 0 };
	struct err e;
	char *dir = file_is_dir(path) ? arena_printf(&a, &e, "%s", path) : file_dir(&a, path, &e);
	char *config = dir ? file_join(&a, dir, "adapter_config.json", &e) : NULL;
	char *model = config ? file_join(&a, dir, "config.json", &e) : NULL;
	bool yes = model && file_exists(config) && !file_exists(model);

	arena_release(&a);
	return yes;
}
