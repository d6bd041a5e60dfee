/* SPDX-License-Identifier: MIT */
/* opencl.c - OpenCL devices: which there are, choosing one, opening it.
 *
 * A machine without any OpenCL driver has no platforms, which is no error
 * until an OpenCL device is asked for by name. */
#include "exec/blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/file.h"
#include "util/num.h"

enum { MAX_PLATFORMS = 16, MAX_DEVICES = 64, NVIDIA_VENDOR = 0x10de };
enum { ASM_UNTIL = 4 }; /* PoCL's version */

struct place {
	cl_platform_id platform;
	cl_device_id id;
	size_t p, d;           /* its numbers in "opencl:P.D" */
	cl_device_type type;
};

/* Calls visit(arg, place) for each device until it answers true. */
static void each_device(bool (*visit)(void *arg, const struct place *at), void *arg)
{
	cl_platform_id platform[MAX_PLATFORMS];
	cl_device_id id[MAX_DEVICES];
	cl_uint n_platforms = 0, n_devices;

	if (clGetPlatformIDs(MAX_PLATFORMS, platform, &n_platforms) != CL_SUCCESS)
		return;
	for (size_t p = 0; p < n_platforms && p < MAX_PLATFORMS; p++) {
		n_devices = 0;
		if (clGetDeviceIDs(platform[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, id, &n_devices) !=
		    CL_SUCCESS)
			continue;
		for (size_t d = 0; d < n_devices && d < MAX_DEVICES; d++) {
			struct place at = { platform[p], id[d], p, d, 0 };

			clGetDeviceInfo(id[d], CL_DEVICE_TYPE, sizeof at.type, &at.type, NULL);
			if (visit(arg, &at))
				return;
		}
	}
}

/* ---- facts of a device; those it does not tell are 0 or "" */
static cl_ulong fact(cl_device_id id, cl_device_info what)
{
	cl_ulong v = 0;

	if (clGetDeviceInfo(id, what, sizeof v, &v, NULL) != CL_SUCCESS)
		return 0;
	return v;
}

static cl_uint fact32(cl_device_id id, cl_device_info what)
{
	cl_uint v = 0;

	if (clGetDeviceInfo(id, what, sizeof v, &v, NULL) != CL_SUCCESS)
		return 0;
	return v;
}

static void fact_text(char *out, size_t room, cl_device_id id, cl_device_info what)
{
	size_t n = 0;

	if (clGetDeviceInfo(id, what, room, out, &n) != CL_SUCCESS || n == 0 || n > room)
		n = 1;
	out[n - 1] = 0;
	for (char *p = out; *p; p++)
		if ((unsigned char)*p < ' ')
			*p = ' ';
}

/* ---- the backend's list and names */
static bool list_one(void *arg, const struct place *at)
{
	struct buf *out = arg;
	char name[256];

	fact_text(name, sizeof name, at->id, CL_DEVICE_NAME);
	buf_printf(out, "opencl:%zu.%zu\topencl\t%s\t%u\t%llu\n", at->p, at->d, name,
	           (unsigned)fact32(at->id, CL_DEVICE_MAX_COMPUTE_UNITS),
	           (unsigned long long)fact(at->id, CL_DEVICE_GLOBAL_MEM_SIZE));
	return false;
}

static int opencl_list(struct buf *out, struct err *e)
{
	each_device(list_one, out);
	return buf_check(out, e);
}

struct wish {
	bool numbered;         /* P.D, else the first of `type` */
	size_t p, d;
	cl_device_type type;
	struct place found;
};

static bool grant(void *arg, const struct place *at)
{
	struct wish *w = arg;

	if (w->numbered ? at->p != w->p || at->d != w->d : !(at->type & w->type))
		return false;
	w->found = *at;
	return true;
}

static bool find_type(struct wish *w, cl_device_type type)
{
	w->type = type;
	each_device(grant, w);
	return w->found.id;
}

static bool opencl_takes(const char *device)
{
	struct wish w = { .numbered = false };

	if (!strcmp(device, "auto"))
		return find_type(&w, CL_DEVICE_TYPE_GPU);
	return !strcmp(device, "opencl") || !strncmp(device, "opencl:", 7);
}

static int choose(struct place *out, const char *device, struct err *e)
{
	struct wish w = { .numbered = !strncmp(device, "opencl:", 7) };

	if (w.numbered) {
		char number[32];
		const char *p = device + 7, *dot = strchr(p, '.');

		if (!dot || (size_t)(dot - p) >= sizeof number)
			return err_set(e, ERR_MISUSE, "expected opencl:PLATFORM.DEVICE");
		memcpy(number, p, (size_t)(dot - p));
		number[dot - p] = 0;
		if (!num_size(&w.p, number) || !num_size(&w.d, dot + 1))
			return err_set(e, ERR_MISUSE, "expected opencl:PLATFORM.DEVICE");
		each_device(grant, &w);
	} else if (!find_type(&w, CL_DEVICE_TYPE_GPU) && !find_type(&w, CL_DEVICE_TYPE_CPU)) {
		find_type(&w, CL_DEVICE_TYPE_ALL);
	}
	if (!w.found.id)
		return err_set(e, ERR_MACHINE, "no such OpenCL device on this machine");
	*out = w.found;
	return 0;
}

/* ---- opening */
static int find_cache(struct opencl *d, const struct exec_options *o, struct err *e)
{
	const char *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");

	if (o->cache_dir)
		d->cache_dir = *o->cache_dir ? arena_printf(&d->arena, e, "%s", o->cache_dir) : NULL;
	else if (base && *base == '/')
		d->cache_dir = arena_printf(&d->arena, e, "%s/clm", base);
	else if (home && *home)
		d->cache_dir = arena_printf(&d->arena, e, "%s/.cache/clm", home);
	else
		return 0;
	return d->cache_dir || (o->cache_dir && !*o->cache_dir) ? 0 : -1;
}

static int open_queue(struct opencl *d, struct err *e)
{
	cl_context_properties props[] = { CL_CONTEXT_PLATFORM,
	                                  (cl_context_properties)d->platform, 0 };
	cl_int status;

	d->context = clCreateContext(props, 1, &d->id, NULL, NULL, &status);
	if (!d->context)
		return cl_fail(e, status, "opening the device");
	d->queue = clCreateCommandQueue(d->context, d->id, 0, &status);
	if (!d->queue)
		return cl_fail(e, status, "opening a queue");
	return 0;
}

/* The one of which it is known what an address means to it. */
static bool is_pocl(cl_platform_id platform)
{
	char name[64] = "";

	clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
	return !strcmp(name, "Portable Computing Language");
}

static void describe(struct opencl *d)
{
	const char *rows = getenv("CLM_OPENCL_ROWS");
	bool portable = rows && (!strcmp(rows, "portable") || !strcmp(rows, "blas"));
	cl_device_type type = fact(d->id, CL_DEVICE_TYPE);
	struct exec *x = d->x;
	char version[64];
	cl_uint width;

	d->host_memory = type & CL_DEVICE_TYPE_CPU;
	d->one_memory = d->host_memory && is_pocl(d->platform);
	fact_text(version, sizeof version, d->id, CL_DRIVER_VERSION);
	d->inline_asm = !d->one_memory || atoi(version) < ASM_UNTIL;
	d->max_alloc = fact(d->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
	d->fast_fma = type & CL_DEVICE_TYPE_GPU &&
	              fact(d->id, CL_DEVICE_SINGLE_FP_CONFIG) & CL_FP_FMA;
	d->local_memory = fact(d->id, CL_DEVICE_LOCAL_MEM_SIZE);
	d->border = fact32(d->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
	d->border = d->border < 128 ? 128 : d->border;
	width = fact32(d->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT);
	d->width = width >= 16 ? 16 : width >= 8 ? 8 : 4;
	if (type & CL_DEVICE_TYPE_CPU && !portable)
		d->can |= NEED_CPU;
	if (fact32(d->id, CL_DEVICE_VENDOR_ID) == NVIDIA_VENDOR && !portable)
		d->can |= NEED_NVIDIA;
	fact_text(x->device_name, sizeof x->device_name, d->id, CL_DEVICE_NAME);
	x->info.units = (int)fact32(d->id, CL_DEVICE_MAX_COMPUTE_UNITS);
	x->info.memory = fact(d->id, CL_DEVICE_GLOBAL_MEM_SIZE);
}

static int begin_key(struct opencl *d, struct err *e)
{
	static const cl_device_info facts[] = { CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DEVICE_VERSION,
	                                        CL_DRIVER_VERSION };
	char text[256];

	d->device_facts = (struct buf){ .ceiling = 4096 };
	for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
		fact_text(text, sizeof text, d->id, facts[i]);
		buf_add(&d->device_facts, text, strlen(text) + 1);
	}
	return buf_check(&d->device_facts, e);
}

static void opencl_close(struct exec *x)
{
	struct opencl *d = x->device;

	if (!d)
		return;
	if (d->queue)
		clFinish(d->queue);
	programs_close(d);
	blas_close(d);
	repack_close(d);
	device_rooms_close(d);
	buffer_close(d, d->probe);
	if (d->queue)
		clReleaseCommandQueue(d->queue);
	if (d->context)
		clReleaseContext(d->context);
	buf_release(&d->device_facts);
	arena_release(&d->arena);
	free(d);
	x->device = NULL;
}

static int opencl_open(struct exec *x, const struct exec_options *o, struct err *e)
{
	struct opencl *d = calloc(1, sizeof *d);
	struct place at = { 0 };

	if (!d)
		return err_memory(e, sizeof *d);
	x->device = d;
	d->x = x;
	if (choose(&at, o->device, e) != 0)
		goto fail;
	d->platform = at.platform;
	d->id = at.id;
	describe(d);
	if (begin_key(d, e) != 0 || find_cache(d, o, e) != 0 || open_queue(d, e) != 0)
		goto fail;
	if (d->can & NEED_NVIDIA && !repack_probe(d))
		d->can &= ~(unsigned)NEED_NVIDIA;
	if (d->can & NEED_NVIDIA && grouped_probe(d))
		d->can |= NEED_HOPPER;
	if (blas_open(d, o->flags, e) != 0)
		goto fail;
	snprintf(x->rows_name, sizeof x->rows_name, "opencl-%s%s", kernel_rows_name(d),
	         d->blas ? "+clblast" : "");
	return 0;
fail:
	opencl_close(x);
	return -1;
}

const struct backend backend_opencl = {
	.name = "opencl",
	.takes = opencl_takes,
	.list = opencl_list,
	.open = opencl_open,
	.close = opencl_close,
	.weight = opencl_weight,
	.weight_end = opencl_weight_end,
	.kv = opencl_kv,
	.kv_end = opencl_kv_end,
	.kv_copy = opencl_kv_copy,
	.kv_move = opencl_kv_move,
	.plan = opencl_plan,
	.plan_end = opencl_plan_end,
	.run = opencl_run,
	.answers = best_here,
	.row = best_row,
	.output = opencl_output,
	.limit = opencl_limit,
};
