/* SPDX-License-Identifier: MIT */
/* known.c - scores that are known from before, and a trace of all of them
 *
 * A result is found by the digest of all that it depends on: the bytes of
 * this program, of the model's files and of the adapters, the device and its
 * options, the ids, and what was asked of them. */
#include "known.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { HEAD = 40 };

static void add_text(struct digest *d, const char *text)
{
	digest_add(d, (struct bytes){ (const unsigned char *)text, strlen(text) + 1 });
}

/* The files' own digests, each once. */
static int add_files(struct digest *d, struct source *s, struct pack *memo, struct err *e)
{
	const char *last = "";
	char sum[DIGEST_TEXT];

	if (file_digest(sum, "/proc/self/exe", memo, e))
		return -1;
	add_text(d, sum);
	for (size_t i = 0; i < source_count(s); i++) {
		const char *file = source_file(s, source_tensor(s, i));

		if (!strcmp(file, last))
			continue;
		if (file_digest(sum, file, memo, e))
			return -1;
		add_text(d, sum);
		last = file;
	}
	return 0;
}

static int add_context(struct digest *d, const struct opened *o, const struct open_options *a,
                       struct pack *memo, struct err *e)
{
	struct exec_info info;
	char text[64];

	exec_describe(o->exec, &info);
	add_text(d, info.backend);
	add_text(d, info.device);
	add_text(d, info.rows);
	snprintf(text, sizeof text, "%d %d %d", a->exact, a->fast, a->relaxed);
	add_text(d, text);
	add_text(d, model_digest(o->model));
	for (size_t i = 0; i < o->adapters.set.n; i++) {
		add_text(d, adapter_digest(o->adapters.use[i].adapter));
		snprintf(text, sizeof text, "%a", o->adapters.use[i].scale);
		add_text(d, text);
	}
	return add_files(d, o->source, memo, e);
}

int known_open(struct known *k, const struct opened *o, const struct open_options *a,
               struct err *e)
{
	struct arena arena = { 0 };
	struct err ignored;
	char *files = file_cache_path(&arena, "files.pack", &ignored), name[DIGEST_TEXT + 16], *path;
	struct pack *memo = NULL;
	struct digest *d = NULL;
	int rc = -1;

	/* where there is no place for a cache there is none */
	if (!files)
		return 0;
	if (pack_open(&memo, files, e) || digest_open(&d, e))
		goto done;
	if (add_context(d, o, a, memo, e)) {
		digest_abort(d);
		goto done;
	}
	if (digest_close(d, k->context, e))
		goto done;
	snprintf(name, sizeof name, "scores/%s", k->context);
	path = file_cache_path(&arena, name, e);
	rc = path ? pack_open(&k->pack, path, e) : -1;
done:
	/* one that cannot be written is no reason to stop */
	if (pack_close(memo, &ignored) && k->verbose)
		cli_warn("not kept for the next time: %s", ignored.text);
	arena_release(&arena);
	return rc;
}

int known_trace(struct known *k, const char *path, struct err *e)
{
	return path && file_out_open(&k->trace, path, e) ? err_in(e, "%s", path) : 0;
}

/* ---- a result as bytes: n, n_top, n_scored, greedy, tail, then the numbers */

static int key_of(char out[DIGEST_TEXT], const struct known *k, const struct score_text *x,
                  struct err *e)
{
	struct digest *d;
	char text[160];

	if (digest_open(&d, e))
		return -1;
	add_text(d, k->context);
	snprintf(text, sizeof text, "%zu %zu %d %d %zu %d %zu", x->o.window, x->o.first,
	         x->o.whole_only, (int)x->o.bos, x->o.top, (int)x->o.adapter, x->n);
	add_text(d, text);
	digest_add(d, (struct bytes){ (const unsigned char *)x->id, x->n * sizeof *x->id });
	return digest_close(d, out, e);
}

static void pack_result(struct buf *b, const struct score_text *x)
{
	uint64_t head[] = { x->n, x->n_top, x->n_scored, x->greedy, x->tail };

	buf_add(b, head, sizeof head);
	buf_add(b, &x->nll, sizeof x->nll);
	buf_add(b, &x->tail_logprob, sizeof x->tail_logprob);
	buf_add(b, x->logprob, x->n * sizeof *x->logprob);
	buf_add(b, x->top_logprob, x->n_top * sizeof *x->top_logprob);
	buf_add(b, x->top_id, x->n_top * sizeof *x->top_id);
}

static bool unpack_result(struct score_text *x, struct bytes b)
{
	struct reader r;

	reader_init(&r, b);
	if (read_u64(&r) != x->n || (x->n_top = read_u64(&r)) > x->o.top ||
	    b.n != HEAD + (2 + x->n) * sizeof(double) + x->n_top * (sizeof(double) + 4))
		return false;
	x->n_scored = read_u64(&r);
	x->greedy = read_u64(&r) != 0;
	x->tail = (enum score_tail)(read_u64(&r) % (TAIL_MASS + 1));
	x->nll = read_f64(&r);
	x->tail_logprob = read_f64(&r);
	for (size_t i = 0; i < x->n; i++)
		x->logprob[i] = read_f64(&r);
	for (size_t i = 0; i < x->n_top; i++)
		x->top_logprob[i] = read_f64(&r);
	for (size_t i = 0; i < x->n_top; i++)
		x->top_id[i] = read_i32(&r);
	return !reader_failed(&r);
}

static int trace(struct known *k, const struct task *t, struct err *e)
{
	struct buf b = { 0 };
	int rc;

	buf_printf(&b, "{\"id\": %s, \"op\": \"%s\", \"view\": ", (const char *)t->id.p,
	           task_op_name(t->op));
	json_add_string(&b, bytes_of(k->view));
	buf_printf(&b, ", \"tokens\": %zu, \"scored\": %zu, \"top\": %zu, \"key\": \"%s\", "
	           "\"cached\": %s, \"seconds\": ", t->text.n, t->text.n_scored, t->text.o.top, t->key,
	           t->known ? "true" : "false");
	json_add_f64(&b, t->seconds);
	buf_add_text(&b, "}\n");
	rc = buf_check(&b, e) || file_out_write(k->trace, b.p, b.n, e) ? -1 : 0;
	buf_release(&b);
	return rc;
}

int known_find(struct known *k, struct task *t, struct err *e)
{
	struct bytes b;

	if (key_of(t->key, k, &t->text, e))
		return -1;
	if (!k->pack || !pack_get(k->pack, t->key, &b) || !unpack_result(&t->text, b))
		return 0;
	k->n_known++;
	t->known = true;
	return 1;
}

int known_keep(struct known *k, struct task *t, struct err *e)
{
	struct buf b = { 0 };
	int rc = 0;

	t->seconds = cli_seconds() - t->began;
	if (k->pack && !t->known && t->text.n < PACK_VALUE_MAX / 16) {
		pack_result(&b, &t->text);
		rc = buf_check(&b, e) || pack_put(k->pack, t->key, buf_bytes(&b), e) ? -1 : 0;
	}
	buf_release(&b);
	return rc || (k->trace && trace(k, t, e)) ? -1 : 0;
}

int known_close(struct known *k, struct err *e)
{
	struct file_out *o = k->trace;
	struct err why;

	if (pack_close(k->pack, &why) && k->verbose)
		cli_warn("not kept for the next time: %s", why.text);
	k->pack = NULL;
	k->trace = NULL;
	return o ? file_out_commit(o, e) : 0;
}

void known_abort(struct known *k)
{
	pack_abort(k->pack);
	file_out_abort(k->trace);
	*k = (struct known){ 0 };
}
