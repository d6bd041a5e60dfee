/* SPDX-License-Identifier: MIT */
#include "text/merge.h"

#include <check.h>
#include <string.h>

Suite *merge_suite(void);

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* A vocabulary of the letters a to d and 60 joins of tokens it has, each a
 * merge; scores fall as ranks rise. */
static void make(struct vocab *v, struct merges *m, uint32_t *seed)
{
	unsigned char text[64];
	struct err e = { 0 };

	ck_assert_int_eq(vocab_init(v, 0, &e), 0);
	ck_assert_int_eq(merges_init(m, 0, &e), 0);
	for (int32_t id = 0; id < 4; id++) {
		text[0] = (unsigned char)('a' + id);
		ck_assert_int_eq(vocab_set(v, id, (struct bytes){ text, 1 }, TOKEN_NORMAL, &e), 0);
		ck_assert_int_eq(vocab_index(v, id, &e), 0);
	}
	for (uint32_t rank = 0; rank < 60; rank++) {
		int32_t left = (int32_t)(random_next(seed) % v->n);
		int32_t right = (int32_t)(random_next(seed) % v->n), id = (int32_t)v->n;
		struct bytes a = vocab_piece(v, left), b = vocab_piece(v, right);

		if (a.n + b.n > 12)
			continue;
		memcpy(text, a.p, a.n);
		memcpy(text + a.n, b.p, b.n);
		if (vocab_find(v, (struct bytes){ text, a.n + b.n }) >= 0)
			continue;
		ck_assert_int_eq(
			vocab_set(v, id, (struct bytes){ text, a.n + b.n }, TOKEN_NORMAL, &e), 0);
		v->token[id].score = -(float)rank;
		ck_assert_int_eq(vocab_index(v, id, &e), 0);
		ck_assert_int_eq(merges_add(m, left, right, rank, id, false, &e), 0);
	}
}

/* What merging means, one pair at a time: ends of the symbols into `end`. */
static size_t plain_merge(const struct joiner *j, const struct vocab *v, struct bytes text,
                          size_t *end)
{
	size_t n = text.n;

	for (size_t i = 0; i < n; i++)
		end[i] = i + 1;
	for (;;) {
		size_t best = n;
		float best_order = 0;

		for (size_t i = 0; i + 1 < n; i++) {
			size_t at = i ? end[i - 1] : 0;
			struct bytes both = { text.p + at, end[i + 1] - at };
			int32_t id = vocab_find(v, both);
			const struct merge_slot *m = NULL;
			float order;

			if (j->merges) {
				struct bytes a = { text.p + at, end[i] - at };
				struct bytes b = { text.p + end[i], end[i + 1] - end[i] };

				m = merges_find(j->merges, vocab_find(v, a), vocab_find(v, b));
			}
			if (id < 0 || (j->merges && !m))
				continue;
			order = j->merges ? (float)m->rank : -v->token[id].score;
			if (best == n || order < best_order) {
				best = i;
				best_order = order;
			}
		}
		if (best == n)
			return n;
		memmove(&end[best], &end[best + 1], (n - best - 1) * sizeof *end);
		n--;
	}
}

static void compare(const struct joiner *j, const struct vocab *v, struct bytes text)
{
	struct merge_room room = { 0 };
	struct err e = { 0 };
	size_t end[512], n = plain_merge(j, v, text, end);

	for (size_t i = 0; i < text.n; i++)
		ck_assert_int_eq(merge_add(&room, (uint32_t)i, 1,
		                           vocab_find(v, (struct bytes){ text.p + i, 1 }), false,
		                           &e),
		                 0);
	ck_assert_int_eq(merge_run(&room, j, text.p, &e), 0);
	ck_assert_msg(room.n == n, "%.*s: %zu symbols, expected %zu", (int)text.n, text.p, room.n,
	              n);
	for (size_t i = 0; i < n; i++) {
		ck_assert_uint_eq(room.symbol[i].at, i ? end[i - 1] : 0);
		ck_assert_uint_eq(room.symbol[i].at + room.symbol[i].n, end[i]);
		ck_assert_int_eq(room.symbol[i].id,
		                 vocab_find(v, (struct bytes){ text.p + room.symbol[i].at,
		                                               room.symbol[i].n }));
	}
	merge_room_release(&room);
}

/* Short and long texts take different ways to the same end. */
START_TEST(merging_is_best_pair_first)
{
	uint32_t seed = 1 + (uint32_t)_i;
	unsigned char text[300];
	struct vocab v;
	struct merges m;

	make(&v, &m, &seed);
	for (int round = 0; round < 60; round++) {
		size_t n = random_next(&seed) % (round % 2 ? 30 : sizeof text);

		for (size_t i = 0; i < n; i++)
			text[i] = (unsigned char)('a' + random_next(&seed) % (round % 5 ? 4 : 2));
		compare(&(struct joiner){ .merges = &m }, &v, (struct bytes){ text, n });
		compare(&(struct joiner){ .vocab = &v }, &v, (struct bytes){ text, n });
	}
	merges_release(&m);
	vocab_release(&v);
}
END_TEST

START_TEST(frozen_symbols_join_nothing)
{
	struct merge_room room = { 0 };
	struct joiner j = { 0 };
	struct vocab v;
	struct err e = { 0 };

	ck_assert_int_eq(vocab_init(&v, 0, &e), 0);
	ck_assert_int_eq(vocab_set(&v, 0, bytes_of("ab"), TOKEN_NORMAL, &e), 0);
	ck_assert_int_eq(vocab_index(&v, 0, &e), 0);
	j.vocab = &v;
	ck_assert_int_eq(merge_add(&room, 0, 1, -1, true, &e), 0);
	ck_assert_int_eq(merge_add(&room, 1, 1, -1, false, &e), 0);
	ck_assert_int_eq(merge_run(&room, &j, (const unsigned char *)"ab", &e), 0);
	ck_assert_uint_eq(room.n, 2);
	merge_room_release(&room);
	vocab_release(&v);
}
END_TEST

START_TEST(pairs_keep_or_change_their_rank)
{
	struct merges m;
	struct err e = { 0 };

	ck_assert_int_eq(merges_init(&m, 0, &e), 0);
	for (int32_t i = 0; i < 5000; i++)
		ck_assert_int_eq(merges_add(&m, i, i / 3, (uint32_t)i, i, false, &e), 0);
	ck_assert_int_eq(merges_add(&m, 7, 2, 9000, 7, false, &e), 0);
	ck_assert_uint_eq(merges_find(&m, 7, 2)->rank, 7);
	ck_assert_int_eq(merges_add(&m, 7, 2, 9000, 7, true, &e), 0);
	ck_assert_uint_eq(merges_find(&m, 7, 2)->rank, 9000);
	ck_assert_uint_eq(m.n, 5000);
	ck_assert_int_eq(merges_find(&m, 4999, 1666)->id, 4999);
	ck_assert_ptr_null(merges_find(&m, 4999, 1667));
	merges_release(&m);
}
END_TEST

START_TEST(the_vocabulary_refuses)
{
	struct vocab v;
	struct err e = { 0 };
	struct bytes big = { NULL, PIECE_MAX + 1 };

	ck_assert_int_eq(vocab_init(&v, 10, &e), 0);
	ck_assert_int_eq(vocab_find(&v, bytes_of("a")), -1);
	ck_assert_int_eq(vocab_set(&v, 3, bytes_of("a"), TOKEN_NORMAL, &e), 0);
	ck_assert_int_eq(vocab_find(&v, bytes_of("a")), -1);
	ck_assert_int_eq(vocab_index(&v, 3, &e), 0);
	ck_assert_int_eq(vocab_index(&v, 3, &e), 0);
	ck_assert_int_eq(vocab_set(&v, 4, bytes_of("a"), TOKEN_NORMAL, &e), 0);
	ck_assert_int_eq(vocab_index(&v, 4, &e), 1);
	ck_assert_int_eq(vocab_find(&v, bytes_of("a")), 3);
	ck_assert(vocab_has(&v, 3) && !vocab_has(&v, 2) && !vocab_has(&v, 5) && !vocab_has(&v, -1));
	ck_assert_int_eq(vocab_set(&v, 3, bytes_of("b"), TOKEN_NORMAL, &e), -1);
	ck_assert_str_eq(e.text, "token id 3 is there twice");
	ck_assert_int_eq(vocab_set(&v, VOCAB_MAX, bytes_of("b"), TOKEN_NORMAL, &e), -1);
	ck_assert_str_eq(e.text, "token id 2097152, expected 0 to 2097151");
	ck_assert_int_eq(vocab_set(&v, -1, bytes_of("b"), TOKEN_NORMAL, &e), -1);
	ck_assert_int_eq(vocab_set(&v, 9, big, TOKEN_NORMAL, &e), -1);
	ck_assert_str_eq(e.text, "token 9: 65537 bytes, at most 65536");
	vocab_release(&v);
}
END_TEST

Suite *merge_suite(void)
{
	Suite *s = suite_create("merge");
	TCase *c = tcase_create("merge");

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, merging_is_best_pair_first, 0, 20);
	tcase_add_test(c, frozen_symbols_join_nothing);
	tcase_add_test(c, pairs_keep_or_change_their_rank);
	tcase_add_test(c, the_vocabulary_refuses);
	suite_add_tcase(s, c);
	return s;
}
