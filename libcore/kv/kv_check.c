/* SPDX-License-Identifier: MIT */
/* kv_check.c - sequences, one thing at a time: forks, rewinds, prefixes,
 * eviction and windows */
#include "kv/check.h"

/* ---- one thing at a time */

START_TEST(fork_then_append_on_both)
{
	int32_t a[100], b[100];
	struct kv_seq *s, *f;
	struct err e;
	size_t n;

	open_pool(1024, 0, 0, 0);
	count_up(a, 100, 0);
	memcpy(b, a, sizeof b);
	count_up(b + 50, 50, 900);
	s = open_seq();
	add(s, a, 50);
	ck_assert(!kv_fork(&f, s, &e));
	ck_assert_ptr_ne(kv_pages(s, 0, &n), kv_pages(f, 0, &n));
	ck_assert_int_eq(kv_pages(s, 0, &n)[1], kv_pages(f, 0, &n)[1]);
	add(f, b + 50, 50);
	add(s, a + 50, 50);
	ck_assert_int_ne(kv_pages(s, 0, &n)[1], kv_pages(f, 0, &n)[1]);
	ck_assert_int_eq(kv_pages(s, 0, &n)[0], kv_pages(f, 0, &n)[0]);
	verify(s, a, 100);
	verify(f, b, 100);
	kv_seq_close(s);
	verify(f, b, 100);
	kv_seq_close(f);
	close_pool();
}
END_TEST

START_TEST(rewind_and_redo)
{
	int32_t a[200], b[200];
	struct kv_seq *s, *other;

	open_pool(1024, 0, 0, 0);
	count_up(a, 200, 0);
	count_up(b, 200, 0);
	count_up(b + 70, 130, 700);
	s = open_seq();
	add(s, a, 200);
	ck_assert_uint_eq(kv_rewind(s, 70), 70);
	verify(s, a, 70);
	add(s, b + 70, 130); /* the page of 64..95 is findable by prefix: it must be copied */
	verify(s, b, 200);
	other = open_seq();
	ck_assert_uint_eq(kv_match(other, a, 200), 192);
	verify(other, a, 192);
	ck_assert_uint_eq(kv_rewind(s, 0), 0);
	verify(s, a, 0);
	kv_seq_close(other);
	kv_seq_close(s);
	close_pool();
}
END_TEST

START_TEST(appended_is_not_computed)
{
	int32_t a[80];
	struct kv_seq *s, *other;
	struct err e;

	open_pool(1024, 0, 0, 0);
	count_up(a, 80, 0);
	s = open_seq();
	other = open_seq();
	ck_assert(!kv_append(s, a, 80, &e));
	ck_assert_uint_eq(kv_len(s), 80);
	ck_assert_uint_eq(kv_computed(s), 0);
	ck_assert_uint_eq(kv_match(other, a, 80), 0);
	compute(s, 40);
	ck_assert_uint_eq(kv_match(other, a, 80), 32);
	ck_assert_uint_eq(kv_rewind(s, 40), 40);
	verify(s, a, 40);
	kv_seq_close(s);
	kv_seq_close(other);
	close_pool();
}
END_TEST

START_TEST(prefix_is_compared_id_by_id)
{
	int32_t a[128], b[128];
	struct kv_seq *s, *m;

	open_pool(1024, 0, 0, 0);
	pool->n_buckets = 1; /* every hash collides */
	count_up(a, 128, 0);
	s = open_seq();
	add(s, a, 128);
	memcpy(b, a, sizeof b);
	b[63] = 5;
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, b, 128), 32);
	verify(m, a, 32);
	kv_rewind(m, 0);
	ck_assert_uint_eq(kv_match(m, a, 128), 96); /* one token must be left */
	kv_rewind(m, 0);
	ck_assert_uint_eq(kv_match(m, a, 32), 0);
	ck_assert_uint_eq(kv_match(m, a, 33), 32);
	kv_rewind(m, 0);
	ck_assert_uint_eq(kv_match(m, a + 32, 96), 0); /* the same ids elsewhere */
	kv_seq_close(m);
	kv_seq_close(s);
	close_pool();
}
END_TEST

START_TEST(unknown_ids_never_match)
{
	int32_t a[96];
	struct kv_seq *s, *m;

	open_pool(1024, 0, 0, 0);
	count_up(a, 96, 0);
	a[40] = -1;
	s = open_seq();
	add(s, a, 96);
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, a, 96), 32);
	kv_seq_close(m);
	kv_seq_close(s);
	close_pool();
}
END_TEST

START_TEST(same_prefix_is_held_once)
{
	int32_t a[96];
	struct kv_seq *s, *t;
	size_t room;

	open_pool(1024, 0, 0, 0);
	count_up(a, 96, 0);
	s = open_seq();
	t = open_seq();
	add(s, a, 96);
	room = kv_pool_room(pool);
	add(t, a, 96); /* computed side by side, then one copy goes */
	ck_assert_uint_eq(kv_pool_room(pool), room);
	verify(t, a, 96);
	kv_seq_close(s);
	verify(t, a, 96);
	kv_seq_close(t);
	close_pool();
}
END_TEST

START_TEST(idle_pages_go_when_needed)
{
	int32_t a[256], b[256];
	struct kv_seq *s, *m;
	struct err e;

	open_pool(256, 0, 0, 0);
	ck_assert_uint_eq(kv_pool_tokens(pool), 256);
	count_up(a, 256, 0);
	count_up(b, 256, 1000);
	s = open_seq();
	add(s, a, 128);
	kv_seq_close(s);
	ck_assert_uint_eq(kv_pool_room(pool), 256);
	s = open_seq();
	add(s, b, 160); /* takes a page of a's: its last one */
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, a, 128), 96);
	verify(m, a, 96);
	ck_assert_uint_eq(kv_room(m), 0);
	ck_assert_int_eq(kv_append(m, a + 96, 1, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	ck_assert_str_eq(e.text, "the cache is full: room for 0 more positions, 1 wanted");
	verify(m, a, 96);
	kv_seq_close(s);
	add(m, a + 96, 160);
	verify(m, a, 256);
	kv_seq_close(m);
	close_pool();
}
END_TEST

START_TEST(room_counts_the_copy)
{
	int32_t a[128];
	struct kv_seq *s, *f;
	struct err e;

	open_pool(64, 0, 0, 0);
	count_up(a, 128, 0);
	s = open_seq();
	add(s, a, 40);
	ck_assert_uint_eq(kv_room(s), 24);
	ck_assert(!kv_fork(&f, s, &e));
	ck_assert_uint_eq(kv_room(s), 0); /* the shared page would have to be copied */
	ck_assert(kv_append(f, a, 1, &e));
	kv_seq_close(f);
	ck_assert_uint_eq(kv_room(s), 24);
	add(s, a + 40, 24);
	verify(s, a, 64);
	kv_seq_close(s);
	close_pool();
}
END_TEST

/* ---- sliding */

START_TEST(sliding_pages_go_back)
{
	int32_t a[400];
	struct kv_seq *s;
	size_t n;

	open_pool(1024, 0, WINDOW, 0);
	count_up(a, 400, 0);
	s = open_seq();
	for (size_t i = 0; i < 400; i += 25) {
		size_t held = 0;

		add(s, a + i, 25);
		verify(s, a, i + 25);
		for (size_t k = 0; k < (i + 25 + 31) / 32; k++)
			held += kv_pages(s, 1, &n)[k] != NONE;
		ck_assert_uint_le(held, WINDOW / PAGE_POSITIONS + 2);
	}
	kv_seq_close(s);
	close_pool();
}
END_TEST

/* All layers slide: pages behind the windows go first, the ids' chain stays. */
START_TEST(rewind_past_the_window)
{
	int32_t a[400], b[2048];
	struct kv_seq *s, *other;

	open_pool(1024, WINDOW, 2 * WINDOW, 0);
	ck_assert(kv_pool_tokens(pool) == SIZE_MAX);
	count_up(a, 400, 0);
	count_up(b, 2048, 5000);
	s = open_seq();
	add(s, a, 400);
	ck_assert_uint_eq(kv_rewind(s, 399), 399);
	verify(s, a, 399);
	/* far back: the pages lie idle under their prefix and are taken back */
	ck_assert_uint_eq(kv_rewind(s, 200), 200);
	verify(s, a, 200);
	add(s, a + 200, 200);
	verify(s, a, 400);
	other = open_seq();
	for (size_t i = 0; i < 2048; i += 64)
		add(other, b + i, 64); /* longer than the pool: takes all that is idle */
	verify(other, b, 2048);
	verify(s, a, 400);
	ck_assert_uint_eq(kv_rewind(s, 400), 400);
	ck_assert_uint_eq(kv_rewind(s, 100), 0);
	verify(s, a, 0);
	kv_seq_close(s);
	kv_seq_close(other);
	close_pool();
}
END_TEST

START_TEST(match_needs_the_window)
{
	int32_t a[330], b[2048];
	struct kv_seq *s, *m;
	size_t n;

	open_pool(1024, WINDOW, 2 * WINDOW, 0);
	count_up(a, 330, 0);
	count_up(b, 2048, 5000);
	s = open_seq();
	add(s, a, 320);
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, a, 200), 192);
	verify(m, a, 192);
	ck_assert_int_eq(kv_pages(m, 0, &n)[3], NONE);
	ck_assert_int_eq(kv_pages(m, 1, &n)[2], NONE);
	ck_assert_int_ne(kv_pages(m, 1, &n)[3], NONE);
	kv_seq_close(m);
	m = open_seq();
	for (size_t i = 0; i < 2048; i += 64)
		add(m, b + i, 64);
	kv_seq_close(m);
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, a, 200), 0);
	ck_assert_uint_eq(kv_match(m, a, 330), 320);
	verify(m, a, 320);
	kv_seq_close(m);
	kv_seq_close(s);
	close_pool();
}
END_TEST

/* With a full layer beside them, no window is evicted before its page is. */
START_TEST(mixed_layers_match_anywhere)
{
	int32_t a[320];
	struct kv_seq *s, *m;

	open_pool(640, 0, WINDOW, 0);
	count_up(a, 320, 0);
	s = open_seq();
	add(s, a, 320);
	m = open_seq();
	for (size_t n = 33; n < 320; n += 32) {
		ck_assert_uint_eq(kv_match(m, a, n), n - 1);
		verify(m, a, n - 1);
		kv_rewind(m, 0);
	}
	kv_seq_close(m);
	kv_seq_close(s);
	close_pool();
}
END_TEST

START_TEST(shapes_are_checked)
{
	size_t window = 0;
	struct kv_shape shape = { check_layers, N_LAYERS, 1, &window, NULL, 0 };
	struct exec_options o = { .device = "ref", .cache_dir = "" };
	struct err e;

	ck_assert(!exec_open(&check_exec, &o, &e));
	ck_assert(kv_pool_open(&pool, check_exec, &shape, 64, &e));
	ck_assert_str_eq(e.text, "cache: layer 1: group 1 of 1");
	shape.n_layers = 1;
	ck_assert(kv_pool_open(&pool, check_exec, &shape, 0, &e));
	ck_assert(kv_pool_open(&pool, check_exec, &shape, SIZE_MAX, &e));
	exec_close(check_exec);
}
END_TEST

Suite *kv_suite(void);
Suite *kv_suite(void)
{
	Suite *s = suite_create("kv");
	TCase *t = tcase_create("kv");

	tcase_add_test(t, fork_then_append_on_both);
	tcase_add_test(t, rewind_and_redo);
	tcase_add_test(t, appended_is_not_computed);
	tcase_add_test(t, prefix_is_compared_id_by_id);
	tcase_add_test(t, unknown_ids_never_match);
	tcase_add_test(t, same_prefix_is_held_once);
	tcase_add_test(t, idle_pages_go_when_needed);
	tcase_add_test(t, room_counts_the_copy);
	tcase_add_test(t, sliding_pages_go_back);
	tcase_add_test(t, rewind_past_the_window);
	tcase_add_test(t, match_needs_the_window);
	tcase_add_test(t, mixed_layers_match_anywhere);
	tcase_add_test(t, shapes_are_checked);
	suite_add_tcase(s, t);
	return s;
}
