/* SPDX-License-Identifier: MIT */
/* program.c - kernel text and options to a built program.
 *
 * A device builds each pair of text and options once. What was built is kept
 * on disk under a hash of text, options, device and driver; a file that
 * cannot be read, is damaged or is refused by the driver is built anew and
 * replaced. Trouble with the cache is never an error. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "exec/opencl.h"
#include "exec/texts.h"
#include "util/file.h"
#include "util/thread.h"

struct hash { uint64_t v[2]; };

struct program {
	struct program *next;
	struct opencl *d;
	const struct kernel_text *text;
	const char *options;
	struct hash key;
	cl_program built;      /* NULL until programs_build() */
	bool cached;           /* came from disk */
	bool covered;          /* has PTX for sm_90a behind marks */
	unsigned used;         /* bits: launch steps that asked for it */
	struct err err;        /* of its build */
};

enum { BINARY_CEILING = 256 << 20, BUILD_THREADS = 8 };

/* ---- keys: FNV-1a of 128 bits (Fowler, Noll and Vo; the IETF draft) */
static void hash_add(struct hash *h, const void *p, size_t n)
{
	const unsigned char *b = p;
	unsigned __int128 v = (unsigned __int128)h->v[1] << 64 | h->v[0];

	for (size_t i = 0; i < n; i++)
		v = (v ^ b[i]) * (((unsigned __int128)1 << 88) + 0x13b);
	h->v[0] = (uint64_t)v;
	h->v[1] = (uint64_t)(v >> 64);
}

static struct hash hash_of(const void *p, size_t n)
{
	struct hash h = { { 0x62b821756295c58d, 0x6c62272e07bb0142 } };

	hash_add(&h, p, n);
	return h;
}

static struct hash key_of(const struct opencl *d, const struct kernel_text *t, const char *options)
{
	struct hash h = hash_of(t->text, t->n);

	hash_add(&h, options, strlen(options) + 1);
	hash_add(&h, d->device_facts.p, d->device_facts.n);
	return h;
}

/* ---- the file: magic, hash of the rest, binary */
static const char magic[8] = "clmprog1";
enum { HEAD = sizeof magic + sizeof(struct hash) };

static int cache_path(char *out, size_t room, const struct program *p)
{
	int n;

	if (!p->d->cache_dir)
		return -1;
	n = snprintf(out, room, "%s/%016llx%016llx.program", p->d->cache_dir,
	             (unsigned long long)p->key.v[1], (unsigned long long)p->key.v[0]);
	return n > 0 && (size_t)n < room ? 0 : -1;
}

static cl_program from_binary(const struct opencl *d, const unsigned char *p, size_t n)
{
	cl_int status, binary_status;
	cl_program built = clCreateProgramWithBinary(d->context, 1, &d->id, &n, &p, &binary_status,
	                                             &status);

	if (!built)
		return NULL;
	if (!binary_status && !clBuildProgram(built, 1, &d->id, "", NULL, NULL))
		return built;
	clReleaseProgram(built);
	return NULL;
}

static void cache_load(struct program *p)
{
	struct buf file = { .ceiling = BINARY_CEILING };
	struct err ignored = { 0 };
	struct hash h;
	char path[4096];

	if (cache_path(path, sizeof path, p) != 0 || !file_exists(path))
		return;
	if (file_read(&file, path, BINARY_CEILING, &ignored) == 0 && file.n > HEAD &&
	    !memcmp(file.p, magic, sizeof magic)) {
		h = hash_of(file.p + HEAD, file.n - HEAD);
		if (!memcmp(file.p + sizeof magic, &h, sizeof h))
			p->built = from_binary(p->d, file.p + HEAD, file.n - HEAD);
	}
	p->cached = p->built;
	buf_release(&file);
}

static int write_file(const char *path, const unsigned char *p, size_t n, struct err *e)
{
	struct hash h = hash_of(p, n);
	struct file_out *out;

	if (file_out_open(&out, path, e) != 0)
		return -1;
	if (file_out_write(out, magic, sizeof magic, e) != 0 ||
	    file_out_write(out, &h, sizeof h, e) != 0 || file_out_write(out, p, n, e) != 0) {
		file_out_abort(out);
		return -1;
	}
	return file_out_commit(out, e);
}

static void cache_store(const struct program *p)
{
	unsigned char *binary = NULL;
	struct err ignored = { 0 };
	char path[4096];
	size_t n = 0;

	if (cache_path(path, sizeof path, p) != 0)
		return;
	if (clGetProgramInfo(p->built, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) || n == 0 ||
	    n > BINARY_CEILING - HEAD || !(binary = malloc(n)))
		return;
	if (!clGetProgramInfo(p->built, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) &&
	    file_mkdirs(p->d->cache_dir, &ignored) == 0 &&
	    write_file(path, binary, n, &ignored) != 0)
		ignored.kind = ERR_NONE;
	free(binary);
}

/* ---- building */
/* The driver's log on one line, cut to what an error holds. */
static void fail_build(struct program *p, cl_program program, cl_int status)
{
	char *log = NULL;
	size_t n = 0;

	if (!clGetProgramBuildInfo(program, p->d->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) && n > 0)
		log = malloc(n + 1);
	if (log && !clGetProgramBuildInfo(program, p->d->id, CL_PROGRAM_BUILD_LOG, n, log, NULL)) {
		log[n] = 0;
		for (char *c = log; *c; c++)
			if ((unsigned char)*c < ' ')
				*c = ' ';
		cl_fail(&p->err, status, "building %s (%s): %.600s", p->text->name, p->options, log);
	} else {
		cl_fail(&p->err, status, "building %s (%s)", p->text->name, p->options);
	}
	free(log);
}

/* ---- PTX for sm_90a: the driver takes it, but compiles OpenCL C for sm_90.
 * So kernels have it as remarks behind a mark (kernels/nvidia/group.clh), and
 * in the PTX that comes of them the mark goes and the target changes. */
static const char mark[] = "//@sm_90a ", target[] = ".target sm_90,", full[] = ".target sm_90a,";

static size_t uncover(char *out, const char *in, size_t n)
{
	const char *end = in + n;
	char *to = out;
	bool found = false;

	while (in < end) {
		size_t left = (size_t)(end - in);

		if (left >= sizeof mark - 1 && !memcmp(in, mark, sizeof mark - 1)) {
			in += sizeof mark - 1;
		} else if (!found && left >= sizeof target - 1 &&
		           !memcmp(in, target, sizeof target - 1)) {
			found = true;
			memcpy(to, full, sizeof full - 1);
			to += sizeof full - 1;
			in += sizeof target - 1;
		} else {
			*to++ = *in++;
		}
	}
	return found ? (size_t)(to - out) : 0;
}

/* The program anew, uncovered; NULL: the driver does not take it. */
static cl_program uncovered(const struct program *p, cl_program program)
{
	unsigned char *binary = NULL;
	cl_program built = NULL;
	char *ptx = NULL;
	size_t n = 0;

	if (!clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof n, &n, NULL) && n > 0 &&
	    n < BINARY_CEILING && (binary = malloc(n)) && (ptx = malloc(n + sizeof full)) &&
	    !clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL)) {
		n = uncover(ptx, (const char *)binary, n);
		if (n)
			built = from_binary(p->d, (const unsigned char *)ptx, n);
	}
	free(binary);
	free(ptx);
	return built;
}

static void build(struct program *p)
{
	cl_program program;
	cl_int status;

	cache_load(p);
	if (p->built)
		return;
	program = clCreateProgramWithSource(p->d->context, 1, (const char *[]){ p->text->text },
	                                    &p->text->n, &status);
	if (!program) {
		cl_fail(&p->err, status, "building %s", p->text->name);
		return;
	}
	status = clBuildProgram(program, 1, &p->d->id, p->options, NULL, NULL);
	if (status) {
		fail_build(p, program, status);
		clReleaseProgram(program);
		return;
	}
	p->built = program;
	if (p->covered) {
		p->built = uncovered(p, program);
		clReleaseProgram(program);
		if (!p->built)
			cl_fail(&p->err, CL_BUILD_PROGRAM_FAILURE, "building %s (%s) for sm_90a",
			        p->text->name, p->options);
	}
	if (p->built)
		cache_store(p);
}

struct job { struct program **p; };

static void build_range(void *arg, size_t begin, size_t end, int thread)
{
	struct job *job = arg;

	(void)thread;
	for (size_t i = begin; i < end; i++)
		build(job->p[i]);
}

static int build_all(struct opencl *d, struct job *job, size_t n, struct err *e)
{
	struct pool *pool;

	/* PoCL builds one program at a time whatever is asked of it */
	if (d->host_memory || n < 2) {
		build_range(job, 0, n, 0);
		return 0;
	}
	if (pool_open(&pool, n < BUILD_THREADS ? (int)n : BUILD_THREADS, e) != 0)
		return -1;
	pool_for(pool, n, 1, build_range, job);
	pool_close(pool);
	return 0;
}

int programs_build(struct opencl *d, struct err *e)
{
	struct job job;
	size_t n = 0;
	int status;

	for (struct program *p = d->programs; p; p = p->next)
		n += !p->built;
	if (n == 0)
		return 0;
	job.p = malloc(n * sizeof *job.p);
	if (!job.p)
		return err_memory(e, n * sizeof *job.p);
	n = 0;
	for (struct program *p = d->programs; p; p = p->next)
		if (!p->built)
			job.p[n++] = p;
	status = build_all(d, &job, n, e);
	d->x->n_events += n;
	for (size_t i = 0; i < n && status == 0; i++)
		if (!job.p[i]->built) {
			*e = job.p[i]->err;
			status = -1;
		}
	free(job.p);
	return status;
}

/* ---- what a device has built */
static const struct kernel_text *text_named(const char *name)
{
	for (const struct kernel_text *t = kernel_texts; t->name; t++)
		if (!strcmp(t->name, name))
			return t;
	return NULL;
}

struct program *program_want(struct opencl *d, const struct kernel_row *row,
                             const char *options, struct err *e)
{
	const struct kernel_text *text = text_named(row->text);
	char all[1024], lanes[32] = "";
	struct program *p;

	if (row->lanes > 1)
		snprintf(lanes, sizeof lanes, " -DLANES=%u%s", row->lanes,
		         d->fast_fma ? " -DFAST_FMA" : "");
	/* some makers' compilers count their warnings on the caller's stderr: -w, none */
	snprintf(all, sizeof all, "-cl-std=CL1.2 -w%s %s %s", lanes, row->options, options);
	for (p = d->programs; p; p = p->next)
		if (p->text == text && !strcmp(p->options, all))
			return p;
	if (!text) {
		err_set(e, ERR_MACHINE, "no kernel text \"%s\" in this program", row->text);
		return NULL;
	}
	p = arena_new(&d->arena, 1, sizeof *p, e);
	if (!p || !(p->options = arena_text(&d->arena, all, strlen(all), e)))
		return NULL;
	p->d = d;
	p->text = text;
	p->covered = row->needs & NEED_HOPPER;
	p->key = key_of(d, text, p->options);
	p->next = d->programs;
	d->programs = p;
	return p;
}

bool program_tries(struct opencl *d, const struct kernel_row *row, const char *options,
                   struct err *e)
{
	struct program *before = d->programs, *p = program_want(d, row, options, e);

	if (p && programs_build(d, e) == 0)
		return true;
	d->programs = before;
	return false;
}

cl_kernel program_kernel(struct program *p, const char *entry, struct err *e)
{
	cl_int status;
	cl_kernel k = clCreateKernel(p->built, entry, &status);

	if (!k)
		cl_fail(e, status, "kernel %s of %s (%s)", entry, p->text->name, p->options);
	return k;
}

bool program_first(struct program *p, unsigned step)
{
	bool first = !(p->used & 1u << step);

	p->used |= 1u << step;
	return first;
}

void programs_close(struct opencl *d)
{
	for (struct program *p = d->programs; p; p = p->next)
		if (p->built)
			clReleaseProgram(p->built);
	d->programs = NULL;
}

void programs_count(const struct opencl *d, size_t *n_cached, size_t *n_compiled)
{
	*n_cached = *n_compiled = 0;
	for (const struct program *p = d->programs; p; p = p->next) {
		*n_cached += p->built && p->cached;
		*n_compiled += p->built && !p->cached;
	}
}
