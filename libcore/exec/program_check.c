/* SPDX-License-Identifier: MIT */
/* Programs on disk, and the names of OpenCL devices. */
#include "exec/cl_world.h"

#include "util/file.h"

#include <unistd.h>

Suite *program_suite(void);

static char dir[] = "/tmp/clm-program-XXXXXX";
static float table[VOCAB * 8];

static void record_add(struct world *w, const void *arg)
{
	struct slot *x = record_slot(w->r, "x", 8);

	(void)arg;
	op_embed(w->r, x, give_matrix(w, table, VOCAB, 8));
	op_add(w->r, x, x);
	finish(w, x, 8);
}

/* Runs a record with the cache in `cache`; how many programs came from it. */
static void run_with(const char *cache, size_t *n_cached, size_t *n_compiled)
{
	struct exec_options o = { .device = "opencl", .cache_dir = cache };
	struct step s = rows_of(1, 2);
	struct err e = { 0 };
	struct world w = { 0 };
	const float *y;

	ck_assert_msg(exec_open(&w.x, &o, &e) == 0, "%s", e.text);
	world_record(&w, record_add, NULL);
	programs_count(w.x->device, n_cached, n_compiled);
	y = world_run(&w, &s);
	for (size_t i = 0; i < 16; i++)
		ck_assert(y[i] == 2 * table[8 + i]);
	world_close(&w);
}

static char **files(struct arena *a, size_t *n)
{
	struct err e = { 0 };
	char **name = file_list(a, dir, n, &e);

	ck_assert_msg(name, "%s", e.text);
	return name;
}

static void remove_all(void)
{
	struct arena a = { 0 };
	size_t n;
	char **name = files(&a, &n), path[4096];

	for (size_t i = 0; i < n; i++) {
		snprintf(path, sizeof path, "%s/%s", dir, name[i]);
		ck_assert_int_eq(unlink(path), 0);
	}
	ck_assert_int_eq(rmdir(dir), 0);
	arena_release(&a);
}

/* Changes, or cuts off, what lies at the middle of each file. */
static void damage(bool cut)
{
	struct arena a = { 0 };
	size_t n;
	char **name = files(&a, &n), path[4096];

	for (size_t i = 0; i < n; i++) {
		FILE *f;
		long at;

		snprintf(path, sizeof path, "%s/%s", dir, name[i]);
		f = fopen(path, "r+b");
		ck_assert_ptr_nonnull(f);
		fseek(f, 0, SEEK_END);
		at = ftell(f) / 2;
		fseek(f, at, SEEK_SET);
		if (cut)
			ck_assert_int_eq(ftruncate(fileno(f), at), 0);
		else
			ck_assert_int_ge(fputc(fgetc(f) ^ 0x55, f), 0);
		fclose(f);
	}
	arena_release(&a);
}

START_TEST(programs_are_kept)
{
	size_t cached, compiled, n;
	struct arena a = { 0 };

	if (!here)
		return;
	ck_assert_ptr_nonnull(mkdtemp(dir));
	for (size_t i = 0; i < VOCAB * 8; i++)
		table[i] = random_float();
	run_with("", &cached, &compiled);
	ck_assert_uint_eq(cached, 0);
	run_with(dir, &cached, &compiled);
	ck_assert_uint_eq(cached, 0);
	ck_assert_uint_eq(compiled, 3);
	files(&a, &n);
	ck_assert_uint_eq(n, 3);
	run_with(dir, &cached, &compiled);
	ck_assert_uint_eq(cached, 3);
	ck_assert_uint_eq(compiled, 0);
	for (int cut = 0; cut < 2; cut++) {
		damage(cut);
		run_with(dir, &cached, &compiled);
		ck_assert_uint_eq(compiled, 3);
		run_with(dir, &cached, &compiled);
		ck_assert_uint_eq(cached, 3);
	}
	/* a directory that cannot be made costs nothing but the time */
	run_with("/proc/nowhere", &cached, &compiled);
	ck_assert_uint_eq(compiled, 3);
	arena_release(&a);
	remove_all();
}
END_TEST

START_TEST(devices_have_names)
{
	static const struct { const char *name; enum err_kind kind; } bad[] = {
		{ "opencl:", ERR_MISUSE },    { "opencl:1", ERR_MISUSE },
		{ "opencl:a.b", ERR_MISUSE }, { "opencl:0.0x", ERR_MISUSE },
		{ "opencl:99.0", ERR_MACHINE }, { "opencl:0.99", ERR_MACHINE },
	};
	struct buf list = { 0 };
	struct err e = { 0 };

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct exec *x;

		ck_assert_int_eq(exec_open(&x, &(struct exec_options){ .device = bad[i].name }, &e), -1);
		ck_assert_msg(e.kind == bad[i].kind, "%s: %s", bad[i].name, e.text);
		ck_assert_ptr_null(x);
	}
	ck_assert_int_eq(exec_list(&list, &e), 0);
	if (here)
		ck_assert_ptr_nonnull(strstr((char *)list.p, "opencl:0.0\topencl\t"));
	buf_release(&list);
}
END_TEST

Suite *program_suite(void)
{
	Suite *s = suite_create("program");
	TCase *t = tcase_create("program");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, start_portable, finish_check);
	tcase_add_test(t, programs_are_kept);
	tcase_add_test(t, devices_have_names);
	suite_add_tcase(s, t);
	return s;
}
