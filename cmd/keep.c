/* SPDX-License-Identifier: MIT */
/* keep.c - a sequence's cache to a file and back, in mlx-lm's format */
#include "keep.h"

int keep_load(struct kv_seq **out, const struct opened *o, const char *path, struct err *e)
{
	bool has_ids;

	if (kv_seq_open(out, model_pool(o->model), e))
		return -1;
	if (kv_load(*out, path, model_digest(o->model), &has_ids, e) == 0)
		return 0;
	kv_seq_close(*out);
	*out = NULL;
	return -1; /* the message begins with the path */
}

/* The last token made is not computed yet; a text that goes on needs it. */
static int complete(const struct opened *o, const struct jobs *q, struct err *e)
{
	struct model_work work = { .seq = q->cache, .n = 1, .want = WANT_NONE };
	const float *ignored;

	if (q->tail < 0)
		return 0;
	return kv_append(q->cache, &q->tail, 1, e) ||
	       model_run(o->model, &work, 1, &ignored, e);
}

int keep_save(const struct opened *o, const char *path, struct jobs *q, struct err *e)
{
	struct kv_file f = { .model = source_path(o->source), .tokenizer_config = "{}" };

	if (!q->cache)
		return err_set(e, ERR_INPUT, "%s: nothing was computed", path);
	f.digest = model_digest(o->model);
	f.dtype = exec_kv_dtype(kv_pool_store(model_pool(o->model)));
	return complete(o, q, e) || kv_save(q->cache, path, &f, e) ? -1 : 0;
}
