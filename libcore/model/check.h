/* SPDX-License-Identifier: MIT */
/* check.h - what the checks of whole models share: golden logits, a model on
 * a device, feeding it (checks only) */
#ifndef CLM_MODEL_CHECK_H
#define CLM_MODEL_CHECK_H

#include "model/model.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GREEDY = 16, MAX_IDS = 256 };

struct golden {
	int32_t ids[MAX_IDS], greedy[GREEDY];
	size_t n;
	struct file_map npy;
	struct arena arena;
	const float *logits;
	size_t vocab;
};

struct rig {
	struct source *source;
	struct exec *exec;
	struct model *model;
};

static const struct {
	const char *device;
	unsigned flags;
	double bound; /* of |logit - golden|; 0: KL and the best token instead */
} backends[] = {
	{ "ref", EXEC_EXACT, 1e-3 },
	{ "cpu", EXEC_EXACT, 1e-3 },
	{ "opencl", EXEC_EXACT, 1e-3 },
	{ "ref", 0, 0 },
	{ "cpu", 0, 0 },
	{ "opencl", 0, 0 },
};
enum { N_BACKENDS = sizeof backends / sizeof *backends };

static inline void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static inline size_t read_ids(int32_t *out, const cJSON *a, size_t max)
{
	size_t n = 0;
	const cJSON *v;

	cJSON_ArrayForEach(v, a) if (n < max) out[n++] = v->valueint;
	return n;
}

static inline void golden_open(struct golden *g, const char *family)
{
	char path[256];
	struct err e = { 0 };
	struct buf text = { 0 };
	struct tensor t;
	cJSON *json;

	*g = (struct golden){ 0 };
	snprintf(path, sizeof path, "tests/data/golden/%s/golden.json", family);
	ok(file_read(&text, path, 1 << 20, &e), &e);
	json = json_parse(buf_bytes(&text), &e);
	ck_assert_msg(json != NULL, "%s", e.text);
	g->n = read_ids(g->ids, json_get(json, "ids"), MAX_IDS);
	ck_assert_uint_eq(read_ids(g->greedy, json_get(json, "greedy"), GREEDY), GREEDY);
	cJSON_Delete(json);
	buf_release(&text);
	snprintf(path, sizeof path, "tests/data/golden/%s/logits.npy", family);
	ok(file_map(&g->npy, path, &e), &e);
	ok(npy_parse(&t, g->npy.bytes, &g->arena, &e), &e);
	ck_assert_int_eq(t.dtype, DT_F32);
	g->vocab = t.shape.dim[1];
	g->logits = arena_new(&g->arena, g->n * g->vocab, sizeof(float), &e);
	memcpy((void *)(uintptr_t)g->logits, t.data.p, g->n * g->vocab * sizeof(float));
}

static inline void golden_close(struct golden *g)
{
	file_unmap(&g->npy);
	arena_release(&g->arena);
}

/* For steps of at most `rows` rows. False where the device is not there. */
static inline bool
rig_open_rows(struct rig *r, const char *path, const char *device, unsigned flags,
                          size_t rows)
{
	struct err e = { 0 };
	struct exec_options xo = { .device = device, .flags = flags, .threads = 2 };
	struct model_options mo = { .kv_tokens = 16 * rows, .max_rows = rows, .max_out = rows };

	*r = (struct rig){ 0 };
	if (exec_open(&r->exec, &xo, &e)) {
		ck_assert_msg(!strcmp(device, "opencl"), "%s: %s", device, e.text);
		return false;
	}
	ok(source_open(&r->source, path, &e), &e);
	ok(model_open(&r->model, r->source, r->exec, &mo, &e), &e);
	return true;
}

static inline bool rig_open(struct rig *r, const char *path, const char *device, unsigned flags)
{
	return rig_open_rows(r, path, device, flags, 64);
}

static inline void rig_close(struct rig *r)
{
	model_close(r->model);
	source_close(r->source);
	exec_close(r->exec);
}

static inline struct kv_seq *seq_of(struct rig *r)
{
	struct kv_seq *s;
	struct err e = { 0 };

	ok(kv_seq_open(&s, model_pool(r->model), &e), &e);
	return s;
}

/* Logits of ids [n] after what s holds, computed in chunks, into out. */
static inline void feed(struct rig *r, struct kv_seq *s, const int32_t *id, size_t n, size_t chunk,
                 float *out)
{
	size_t vocab = model_config(r->model)->vocab;
	struct err e = { 0 };

	ok(kv_append(s, id, n, &e), &e);
	for (size_t i = 0; i < n;) {
		size_t now = n - i < chunk ? n - i : chunk;
		struct model_work w = { s, now, WANT_ALL };
		const float *logits;

		ok(model_run(r->model, &w, 1, &logits, &e), &e);
		memcpy(out + i * vocab, logits, now * vocab * sizeof *out);
		i += now;
	}
}

static inline size_t best(const float *l, size_t n)
{
	size_t b = 0;

	for (size_t i = 1; i < n; i++)
		b = l[i] > l[b] ? i : b;
	return b;
}

/* Mean Kullback-Leibler divergence of rows of logits, in nats. */
static inline double mean_kl(const float *p, const float *q, size_t rows, size_t n)
{
	double sum = 0;

	for (size_t r = 0; r < rows; r++, p += n, q += n) {
		double zp = 0, zq = 0, kl = 0;

		for (size_t i = 0; i < n; i++) {
			zp += exp((double)p[i]);
			zq += exp((double)q[i]);
		}
		for (size_t i = 0; i < n; i++)
			kl += exp((double)p[i]) / zp *
			      ((double)p[i] - log(zp) - (double)q[i] + log(zq));
		sum += kl;
	}
	return sum / (double)rows;
}

#endif
