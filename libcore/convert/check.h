/* SPDX-License-Identifier: MIT */
/* check.h - what checks of adapters share: a small model's logits with and
 * without them, and the ids and logits of an independent implementation */
#ifndef CLM_CONVERT_CHECK_H
#define CLM_CONVERT_CHECK_H

#include "convert/convert.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_IDS = 64 };
#define BASE "tests/data/golden/llama"
#define ADAPTERS "tests/data/golden/adapters"

static const char *const kinds[] = { "peft_lora", "peft_rslora_all", "peft_dora", "peft_partial" };
static int32_t ids[MAX_IDS];
static size_t n_ids, vocab;
static char dir[64]; /* of this check's own files and cache */

static inline void ok(int bad, const struct err *e)
{
	ck_assert_msg(!bad, "%s", e->text);
}

static inline const char *in_dir(const char *name)
{
	static char text[4][160];
	static int i;

	i = (i + 1) % 4;
	snprintf(text[i], sizeof text[i], "%s/%s", dir, name);
	return text[i];
}

static inline void set_up(void)
{
	struct buf text = { 0 };
	struct err e = { 0 };
	const cJSON *v;
	cJSON *json;

	snprintf(dir, sizeof dir, "build/check/adapter.%ld", (long)getpid());
	ok(file_mkdirs(dir, &e), &e);
	setenv("XDG_CACHE_HOME", dir, 1);
	ok(file_read(&text, BASE "/golden.json", 1 << 20, &e), &e);
	json = json_parse(buf_bytes(&text), &e);
	n_ids = 0;
	cJSON_ArrayForEach(v, json_get(json, "ids"))
		if (n_ids < MAX_IDS)
			ids[n_ids++] = v->valueint;
	cJSON_Delete(json);
	buf_release(&text);
}

static inline void tear_down(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf '%s'", dir);
	ck_assert_int_eq(system(command), 0);
}

static inline float *golden(const char *kind)
{
	char path[192];
	struct file_map m;
	struct arena a = { 0 };
	struct err e = { 0 };
	struct tensor t;
	float *out;

	snprintf(path, sizeof path, "%s/logits.npy", kind);
	ok(file_map(&m, path, &e), &e);
	ok(npy_parse(&t, m.bytes, &a, &e), &e);
	vocab = t.shape.dim[1];
	out = malloc(t.data.n);
	memcpy(out, t.data.p, t.data.n);
	arena_release(&a);
	file_unmap(&m);
	return out;
}

struct rig {
	struct source *source;
	struct exec *exec;
	struct model *model;
};

static inline void rig_open(struct rig *r, const char *device, const char *base,
                     const struct adapter_set *sets, size_t n_sets)
{
	struct exec_options xo = { .device = device, .flags = EXEC_EXACT, .threads = 2 };
	struct model_options mo = { .kv_tokens = 512, .max_rows = 2 * MAX_IDS,
		                    .max_out = 2 * MAX_IDS, .sets = sets, .n_sets = n_sets };
	struct err e = { 0 };

	*r = (struct rig){ 0 };
	ok(source_open(&r->source, base, &e), &e);
	ok(exec_open(&r->exec, &xo, &e), &e);
	ok(model_open(&r->model, r->source, r->exec, &mo, &e), &e);
}

static inline void rig_close(struct rig *r)
{
	model_close(r->model);
	exec_close(r->exec);
	source_close(r->source);
}

/* All logits of the ids, under the adapter that new sequences begin with. */
static inline float *run(const char *device, const char *base, const struct adapter_set *sets,
                  size_t n_sets)
{
	struct err e = { 0 };
	const float *logits;
	struct kv_seq *seq;
	struct rig r;
	float *out;

	rig_open(&r, device, base, sets, n_sets);
	ok(kv_seq_open(&seq, model_pool(r.model), &e), &e);
	ok(kv_append(seq, ids, n_ids, &e), &e);
	ok(model_run(r.model, &(struct model_work){ seq, n_ids, WANT_ALL }, 1, &logits, &e), &e);
	vocab = model_config(r.model)->vocab;
	out = malloc(n_ids * vocab * sizeof *out);
	memcpy(out, logits, n_ids * vocab * sizeof *out);
	kv_seq_close(seq);
	rig_close(&r);
	return out;
}

static inline struct adapter *open_adapter(const char *path)
{
	struct adapter *a = NULL;
	struct err e = { 0 };

	ok(convert_adapter_open(&a, path, &e), &e);
	return a;
}

static inline float *run_with(const char *device, const char *path)
{
	struct adapter *a = open_adapter(path);
	struct adapter_use use = { a, 1 };
	float *out = run(device, BASE, &(struct adapter_set){ &use, 1 }, 1);

	adapter_close(a);
	return out;
}

static inline double worst(const float *a, const float *b)
{
	double most = 0;

	for (size_t i = 0; i < n_ids * vocab; i++)
		most = fmax(most, fabs((double)a[i] - (double)b[i]));
	return most;
}

/* Frees what was run. */
static inline void near(float *have, const float *want, double bound, const char *what)
{
	double d = worst(have, want);

	ck_assert_msg(d <= bound, "%s: differs by %g", what, d);
	free(have);
}

static inline void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert(f && fputs(text, f) >= 0 && !fclose(f));
}

#endif
