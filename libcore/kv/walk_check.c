/* SPDX-License-Identifier: MIT */
/* walk_check.c - everything at once, at random, in a pool that is too small:
 * after every step a sequence holds what its ids say */
#include "kv/check.h"

enum { N_SEQS = 6, LONGEST = 300 };

static uint32_t stream;

static uint32_t chance(uint32_t n)
{
	stream = stream * 1664525u + 1013904223u;
	return (stream >> 8) % n;
}

struct timeline {
	struct kv_seq *s;
	int32_t id[LONGEST];
	size_t n;
};

static void random_append(struct timeline *m)
{
	size_t room = kv_room(m->s), n = 1 + chance(60);
	struct err e;

	if (n > LONGEST - m->n)
		n = LONGEST - m->n;
	/* few different ids: prefixes meet all the time */
	for (size_t i = 0; i < n; i++)
		m->id[m->n + i] = (m->n + i) % 24 ? 1 : (int32_t)chance(2);
	if (n > room)
		ck_assert(kv_append(m->s, m->id + m->n, n, &e));
	if (!n || n > room)
		return;
	ck_assert(!kv_append(m->s, m->id + m->n, n, &e));
	m->n += n;
	while (kv_computed(m->s) < m->n) {
		size_t rest = m->n - kv_computed(m->s);

		compute(m->s, 1 + chance((uint32_t)rest));
	}
}

static void random_step(struct timeline *m)
{
	struct timeline *to = &m[chance(N_SEQS)], *from = &m[chance(N_SEQS)];
	struct err e;

	switch (chance(6)) {
	case 0:
		to->n = kv_rewind(to->s, chance((uint32_t)to->n + 1));
		break;
	case 1:
		if (to == from)
			break;
		kv_seq_close(to->s);
		ck_assert(!kv_fork(&to->s, from->s, &e));
		memcpy(to->id, from->id, sizeof to->id);
		to->n = from->n;
		break;
	case 2:
		kv_rewind(to->s, 0);
		for (size_t i = 0; i < LONGEST; i++)
			to->id[i] = i % 24 ? 1 : (int32_t)chance(2);
		to->n = kv_match(to->s, to->id, LONGEST);
		break;
	default:
		random_append(to);
	}
	verify(to->s, to->id, to->n);
}

static void random_walk(uint32_t seed, size_t tokens, size_t window0, size_t window1)
{
	struct timeline m[N_SEQS] = { 0 };

	stream = seed;
	open_pool(tokens, window0, window1, 0);
	for (int i = 0; i < N_SEQS; i++)
		m[i].s = open_seq();
	for (int i = 0; i < 200; i++)
		random_step(m);
	for (int i = 0; i < N_SEQS; i++) {
		verify(m[i].s, m[i].id, m[i].n);
		kv_seq_close(m[i].s);
	}
	close_pool();
}

START_TEST(random_walks)
{
	for (uint32_t seed = 1; seed <= 4; seed++) {
		random_walk(seed, 640, 0, 0);
		random_walk(seed, 640, 0, WINDOW);
		random_walk(seed, 4096, 0, WINDOW);
		random_walk(seed, 640, WINDOW, 33);
		random_walk(seed, 480, 1, WINDOW);
	}
}
END_TEST

Suite *walk_suite(void);
Suite *walk_suite(void)
{
	Suite *s = suite_create("walk");
	TCase *t = tcase_create("walk");

	tcase_add_test(t, random_walks);
	suite_add_tcase(s, t);
	return s;
}
