/* SPDX-License-Identifier: MIT */
#include "util/map.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

Suite *map_suite(void);

START_TEST(many_keys)
{
	enum { N = 20000 };
	static char key[N][12];
	struct map m;
	struct err e;

	ck_assert_int_eq(map_init(&m, 0, &e), 0);
	for (int i = 0; i < N; i++) {
		snprintf(key[i], sizeof key[i], "key %d", i);
		ck_assert_int_eq(map_add(&m, bytes_of(key[i]), i, &e), 0);
	}
	ck_assert_uint_eq(m.n, N);
	for (int i = 0; i < N; i++) {
		ck_assert_int_eq(map_get(&m, bytes_of(key[i])), i);
		key[i][0] = 'K';
		ck_assert_int_eq(map_get(&m, bytes_of(key[i])), MAP_NONE);
		key[i][0] = 'k';
	}
	map_release(&m);
	map_release(&m);
	map_release(NULL);
}
END_TEST

START_TEST(the_first_value_stays)
{
	struct map m;
	struct err e;

	ck_assert_int_eq(map_init(&m, 1, &e), 0);
	ck_assert_int_eq(map_get(&m, bytes_of("a")), MAP_NONE);
	ck_assert_int_eq(map_add(&m, bytes_of("a"), 1, &e), 0);
	ck_assert_int_eq(map_add(&m, bytes_of("a"), 2, &e), 1);
	ck_assert_int_eq(map_get(&m, bytes_of("a")), 1);
	ck_assert_int_eq(map_add(&m, (struct bytes){ 0 }, 3, &e), 0);
	ck_assert_int_eq(map_get(&m, bytes_of("")), 3);
	ck_assert_uint_eq(m.n, 2);
	map_release(&m);
}
END_TEST

/* SipHash-1-3 with a zero key would differ from the seeded one only in the
 * key: what matters here is that it never changes, and that lengths and
 * zero bytes tell. */
START_TEST(hashes_stay_the_same)
{
	static const unsigned char zeros[16];
	uint64_t seen[17];

	for (size_t n = 0; n <= 16; n++) {
		seen[n] = map_hash((struct bytes){ zeros, n });
		for (size_t k = 0; k < n; k++)
			ck_assert(seen[k] != seen[n]);
	}
	ck_assert(map_hash(bytes_of("clm")) == map_hash(bytes_of("clm")));
	ck_assert(map_hash(bytes_of("clm")) != map_hash(bytes_of("cln")));
}
END_TEST

START_TEST(an_absurd_size)
{
	struct map m;
	struct err e = { 0 };

	ck_assert_int_eq(map_init(&m, SIZE_MAX / 2, &e), -1);
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	map_release(&m);
}
END_TEST

Suite *map_suite(void)
{
	Suite *s = suite_create("map");
	TCase *t = tcase_create("map");

	tcase_add_test(t, many_keys);
	tcase_add_test(t, the_first_value_stays);
	tcase_add_test(t, hashes_stay_the_same);
	tcase_add_test(t, an_absurd_size);
	suite_add_tcase(s, t);
	return s;
}
