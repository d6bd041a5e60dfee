/* SPDX-License-Identifier: MIT */
/* adapter.c - any bytes as an adapter: its configuration up to the first
 * NUL, then its tensors (none: a small file of a side that is right). It is
 * refused, or its sides are whole and of finite numbers. */
#include "convert/peft.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static char dir[64];

static const char *path(const char *name)
{
	static char text[128];

	snprintf(text, sizeof text, "%s%s%s", dir, *name ? "/" : "", name);
	return text;
}

static const char *const files[] = { "adapter_config.json", "adapter_model.safetensors",
	                             "adapters.safetensors" };

static void clean(void)
{
	for (size_t i = 0; i < 3; i++)
		unlink(path(files[i]));
	rmdir(dir);
}

static void put(const char *name, struct bytes b)
{
	FILE *f = fopen(path(name), "wb");

	if (!f || fwrite(b.p, 1, b.n, f) != b.n || fclose(f))
		abort();
}

/* A LoRA side of rank 1 from 2 inputs to 2 outputs, in the layout's names. */
static struct bytes right_tensors(bool peft)
{
	static char text[2][512];
	static const char *const head[] = {
		"{\"model.layers.0.self_attn.q_proj.lora_a\":{\"dtype\":\"F32\",\"shape\":[2,1],"
		"\"data_offsets\":[0,8]},\"model.layers.0.self_attn.q_proj.lora_b\":{\"dtype\":"
		"\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]}}",
		"{\"base_model.model.q.lora_A.weight\":{\"dtype\":\"F32\",\"shape\":[1,2],"
		"\"data_offsets\":[0,8]},\"base_model.model.q.lora_B.weight\":{\"dtype\":\"F32\","
		"\"shape\":[2,1],\"data_offsets\":[8,16]}}",
	};
	size_t n = strlen(head[peft]);
	uint64_t size = n;

	memcpy(text[peft], &size, 8);
	memcpy(text[peft] + 8, head[peft], n);
	memset(text[peft] + 8 + n, 0, 16);
	return (struct bytes){ (const unsigned char *)text[peft], 8 + n + 16 };
}

static void all_finite(const float *x, size_t n)
{
	for (size_t i = 0; x && i < n; i++)
		if (!isfinite(x[i]))
			abort();
}

static void look(struct err *e)
{
	struct modules m;

	if (modules_open(&m, dir, e)) {
		if (e->kind != ERR_INPUT && e->kind != ERR_MACHINE)
			abort();
		return;
	}
	for (size_t i = 0; i < m.n; i++) {
		const struct module *o = &m.module[i];

		if (!o->a != !o->b || (!o->a && !o->in && !o->out) || !isfinite(o->scale))
			abort();
		all_finite(o->a, o->rank * o->n_in);
		all_finite(o->b, o->rank * o->n_out);
		all_finite(o->m, o->m ? o->n_out : 0);
		all_finite(o->in, o->in ? o->n_in : 0);
		all_finite(o->out, o->out ? o->n_out : 0);
	}
	modules_release(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const uint8_t *end = n ? memchr(data, 0, n) : NULL;
	struct bytes config = { data, end ? (size_t)(end - data) : n };
	struct bytes tensors = { end ? end + 1 : NULL, end ? n - config.n - 1 : 0 };
	struct adapter *a;
	struct err e = { 0 };

	if (!*dir) {
		snprintf(dir, sizeof dir, "/tmp/adapter.XXXXXX");
		if (!mkdtemp(dir) || atexit(clean))
			abort();
	}
	put(files[0], config);
	for (int peft = 0; peft < 2; peft++) {
		put(files[2 - peft], tensors.n ? tensors : right_tensors(peft));
		look(&e);
		if (!peft && !adapter_open(&a, dir, &e))
			adapter_close(a);
		unlink(path(files[2 - peft]));
	}
	return 0;
}
