/* SPDX-License-Identifier: MIT */
/* cpu.c - the cpu backend: a pool of threads over the list of ops, kernels
 * built by the C compiler for one instruction set chosen at the start.
 * Weights are used where they lie. */
#include "exec/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OWN_ALIGN = 4096, SHARES = 4 };

static bool takes(const char *device)
{
	return !strcmp(device, "cpu") || !strcmp(device, "auto");
}

static void machine_name(char *out, size_t room)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[256];

	snprintf(out, room, "CPU");
	while (f && fgets(line, sizeof line, f)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) || !colon)
			continue;
		colon[strcspn(colon, "\n\t")] = 0;
		snprintf(out, room, "%s", colon + 1 + strspn(colon + 1, " "));
		break;
	}
	if (f)
		fclose(f);
}

static size_t machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : 0;
}

static int list(struct buf *out, struct err *e)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	char name[256];

	machine_name(name, sizeof name);
	buf_printf(out, "cpu\tcpu\t%s\t%ld\t%zu\n", name, n, machine_memory());
	return buf_check(out, e);
}

static int open_device(struct exec *x, const struct exec_options *o, struct err *e)
{
	struct cpu *d = calloc(1, sizeof *d);
	long cache;

	if (!d)
		return err_memory(e, sizeof *d);
	d->rows = cpu_rows_find(o->isa);
	if (!d->rows) {
		err_set(e, ERR_MACHINE, "instruction set \"%s\": not of this processor or this "
		        "build (plain, v2, v3, v4, v4vnni, v4amx)", o->isa);
		goto fail;
	}
	if (pool_open(&d->pool, o->threads, e) != 0)
		goto fail;
	cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
	d->last_cache = cache > 0 ? (size_t)cache : 0;
	x->device = d;
	x->info.units = pool_threads(d->pool);
	x->info.memory = machine_memory();
	machine_name(x->device_name, sizeof x->device_name);
	snprintf(x->rows_name, sizeof x->rows_name, "%s", d->rows->name);
	return 0;
fail:
	free(d);
	return -1;
}

static void close_device(struct exec *x)
{
	struct cpu *d = x->device;

	pool_close(d->pool);
	exec_host_end(x, d->slots.p);
	exec_host_end(x, d->inputs.p);
	exec_host_end(x, d->parts.p);
	exec_host_end(x, d->own.p);
	exec_host_end(x, d->probe.p);
	free(d);
}

/* By whether what steps read is in the last cache when they come to it again. */
static void set_fetch(struct cpu *d)
{
	d->fetch = cpu_fetch_flags(!d->last_cache || d->weight_bytes <= d->last_cache);
}

/* Vectors are few and small: f32 copies spare every kernel the types. */
static int open_weight(struct weight *w, struct err *e)
{
	const struct weight_desc *d = &w->d;
	struct cpu *cpu = w->x->device;

	if (d->form != FORM_FLOAT || d->n_out != 1) {
		cpu->weight_bytes += weight_bytes(d);
		set_fetch(cpu);
		return 0;
	}
	w->device = exec_host_new(w->x, d->n_in * sizeof(float), e);
	if (!w->device)
		return -1;
	dtype_to_f32(d->dtype, w->device, d->data, d->n_in);
	return 0;
}

static void close_weight(struct weight *w)
{
	struct cpu *cpu = w->x->device;

	exec_host_end(w->x, w->device);
	if (!w->device)
		cpu->weight_bytes -= weight_bytes(&w->d);
	set_fetch(cpu);
}

const float *cpu_vector(const struct weight *w)
{
	return w->device;
}

int cpu_stored(enum dtype t)
{
	switch (t) {
	case DT_F16:
		return CPU_F16;
	case DT_BF16:
		return CPU_BF16;
	case DT_F8_E4M3:
		return CPU_E4M3;
	case DT_F8_E5M2:
		return CPU_E5M2;
	default:
		return CPU_F32;
	}
}

int cpu_room(struct exec *x, struct cpu_room *room, size_t n, struct err *e)
{
	unsigned char *p;

	if (n <= room->n)
		return 0;
	p = exec_host_new(x, n, e);
	if (!p)
		return -1;
	exec_host_end(x, room->p);
	room->p = p;
	room->n = n;
	return 0;
}

int cpu_own_room(struct exec *x, size_t n, struct err *e)
{
	struct cpu *d = x->device;

	n = (sizeof(struct cpu_own) + n + OWN_ALIGN - 1) / OWN_ALIGN * OWN_ALIGN;
	if (n <= d->n_own)
		return 0;
	if (cpu_room(x, &d->own, n * (size_t)pool_threads(d->pool), e) != 0)
		return -1;
	d->n_own = n;
	return 0;
}

size_t cpu_grain(const struct cpu *d, size_t n_items)
{
	size_t shares = (size_t)pool_threads(d->pool) * SHARES;

	return (n_items + shares - 1) / shares + !n_items;
}

static void plan_end(struct record *r)
{
	(void)r;
}

static const float *output(const struct record *r)
{
	return cpu_slot(r->x->device, r->result);
}

const struct backend backend_cpu = {
	.name = "cpu",
	.takes = takes,
	.list = list,
	.open = open_device,
	.close = close_device,
	.weight = open_weight,
	.weight_end = close_weight,
	.kv = cpu_kv_open,
	.kv_end = cpu_kv_close,
	.kv_copy = cpu_kv_copy,
	.kv_move = cpu_kv_move,
	.plan = cpu_plan,
	.plan_end = plan_end,
	.run = cpu_run,
	.output = output,
	.limit = cpu_limit,
};
