/* SPDX-License-Identifier: MIT */
/* states_check.c - pages of states: checkpoints hold what they should, in a
 * pool with few of them, whatever sequences do */
#include "kv/check.h"

enum { SEQS = 5, LONG = 500, TOKENS = 2048, STATE = 3 };

static const struct exec_kv_layer layers[2] = { { 1, DIM, DIM, .group = 0 },
	                                        { .state = { { 1, 1, STATE } }, .group = 1 } };
static uint32_t stream;

static uint32_t chance(uint32_t n)
{
	stream = stream * 1664525u + 1013904223u;
	return (stream >> 8) % n;
}

static void open_states(size_t tokens, size_t bytes)
{
	struct kv_shape shape = { layers, 2, 2, (size_t[]){ 0, 0 }, (bool[]){ false, true }, bytes };
	struct exec_options o = { .device = "ref", .cache_dir = "" };
	struct err e;

	ck_assert_msg(!exec_open(&check_exec, &o, &e), "%s", e.text);
	ck_assert_msg(!kv_pool_open(&pool, check_exec, &shape, tokens, &e), "%s", e.text);
}

/* What the states are after the position: 24 bits of the hash of all ids. */
static void state_after(float out[STATE], const int32_t *id, size_t pos)
{
	for (size_t i = 0; i < STATE; i++)
		out[i] = (float)((hash_of(id, pos) >> 8) + i);
}

static void expect(int32_t page, const int32_t *id, size_t pos)
{
	float want[STATE], have[STATE];
	struct err e;

	state_after(want, id, pos);
	ck_assert_int_ge(page, 0);
	ck_assert(!exec_kv_export(pool->store, 1, page, 0, 1, have, NULL, &e));
	ck_assert_msg(!memcmp(want, have, sizeof want), "position %zu: %g, expected %g", pos,
	              (double)have[0], (double)want[0]);
}

/* A step as exec makes it: the state before it is read, and it goes to each
 * page at the page's last position in this step. */
static void step(struct kv_seq *s, size_t n)
{
	size_t from = kv_computed(s), end = from + n, n_pages;
	const int32_t *id = kv_ids(s), *t;
	struct err e;

	if (chance(4) == 0)
		kv_ready(s, 1 + chance((uint32_t)(kv_len(s) - from))); /* a step that failed */
	kv_ready(s, n);
	t = kv_pages(s, 1, &n_pages);
	if (from)
		expect(t[(from - 1) / PAGE_POSITIONS], id, from - 1);
	for (size_t pos = from; pos < end; pos++) {
		size_t i = pos / PAGE_POSITIONS;
		float now[STATE];

		ck_assert_int_ge(t[i], 0);
		if (pos + 1 < end && ((pos + 1) % PAGE_POSITIONS || t[i] == t[i + 1]))
			continue;
		state_after(now, id, pos);
		ck_assert(!exec_kv_import(pool->store, 1, t[i], 0, 1, now, NULL, &e));
	}
	kv_done(s, n);
}

static void settle(struct kv_seq *s, size_t most)
{
	while (kv_computed(s) < kv_len(s)) {
		size_t left = kv_len(s) - kv_computed(s);

		step(s, 1 + chance((uint32_t)(left < most ? left : most)));
	}
}

/* The last state, and those at the borders behind it. Gives how many of these. */
static size_t check(struct kv_seq *s, const int32_t *id, size_t n)
{
	size_t n_pages, last = n ? (n - 1) / PAGE_POSITIONS : 0, kept = 0;
	const int32_t *t = kv_pages(s, 1, &n_pages);

	ck_assert_uint_eq(kv_len(s), n);
	ck_assert_uint_eq(kv_computed(s), n);
	for (size_t i = 0; n && i < last; i++)
		if (t[i] != NONE) {
			expect(t[i], id, (i + 1) * PAGE_POSITIONS - 1);
			kept++;
		}
	if (n)
		expect(t[last], id, n - 1);
	return kept;
}

struct line {
	struct kv_seq *s;
	int32_t id[LONG];
	size_t n;
};

static void extend(struct line *m)
{
	size_t n = 1 + chance(chance(3) ? 90 : 3), room = kv_room(m->s);
	struct err e;

	if (n > LONG - m->n)
		n = LONG - m->n;
	if (n > room)
		n = room;
	if (!n)
		return;
	/* few different ids: prefixes meet all the time */
	for (size_t i = 0; i < n; i++)
		m->id[m->n + i] = (m->n + i) % 24 ? 1 : (int32_t)chance(2);
	ck_assert(!kv_append(m->s, m->id + m->n, n, &e));
	m->n += n;
}

static void fork_of(struct line *to, struct line *from)
{
	struct err e;

	kv_seq_close(to->s);
	memcpy(to->id, from->id, sizeof to->id);
	to->n = from->n;
	if (!kv_fork(&to->s, from->s, &e)) /* with what is yet to be computed */
		return;
	ck_assert_int_eq(e.kind, ERR_MACHINE);
	to->s = open_seq();
	to->n = 0;
}

static void any_step(struct line *m)
{
	struct line *to = &m[chance(SEQS)], *from = &m[chance(SEQS)];

	switch (chance(6)) {
	case 0:
		to->n = kv_rewind(to->s, chance((uint32_t)to->n + 1));
		break;
	case 1:
		if (to == from)
			break;
		extend(from);
		if (kv_computed(from->s) < kv_len(from->s) && chance(2))
			step(from->s, 1);
		fork_of(to, from);
		settle(from->s, 100);
		break;
	case 2:
		kv_rewind(to->s, 0);
		for (size_t i = 0; i < LONG; i++)
			to->id[i] = i % 24 ? 1 : (int32_t)chance(2);
		to->n = kv_match(to->s, to->id, LONG);
		break;
	default:
		extend(to);
		if (chance(4) == 0 && kv_len(to->s) > kv_computed(to->s)) {
			size_t from_pos = kv_computed(to->s);

			to->n = kv_rewind(to->s, from_pos + chance((uint32_t)(to->n - from_pos)));
		}
	}
	settle(to->s, 100);
	check(to->s, to->id, to->n);
}

START_TEST(walks)
{
	static const struct { size_t tokens, bytes; } pools[] = { { TOKENS, 1 }, { TOKENS, 0 },
		                                                  { 320, 1 } };

	for (uint32_t seed = 1; seed <= 9; seed++) {
		struct line m[SEQS] = { 0 };

		stream = seed;
		open_states(pools[seed % 3].tokens, pools[seed % 3].bytes);
		for (size_t i = 0; i < SEQS; i++)
			m[i].s = open_seq();
		for (int i = 0; i < 150; i++)
			any_step(m);
		for (size_t i = 0; i < SEQS; i++) {
			check(m[i].s, m[i].id, m[i].n);
			kv_seq_close(m[i].s);
		}
		close_pool();
	}
}
END_TEST

/* Sixteen pages of states for 64 of positions: what is kept of a text. */
START_TEST(checkpoints)
{
	int32_t a[1600];
	struct kv_seq *s, *m;
	struct err e;

	open_states(TOKENS, 1);
	ck_assert_uint_eq(pool->group[1].n, 16);
	ck_assert_uint_eq(pool->group[1].stride, 8);
	for (size_t i = 0; i < 1600; i++)
		a[i] = (int32_t)i;
	s = open_seq();
	ck_assert(!kv_append(s, a, 1500, &e));
	while (kv_computed(s) < 1500)
		step(s, kv_computed(s) + 300 <= 1500 ? 300 : 1500 - kv_computed(s));
	check(s, a, 1500);
	/* the text's last border, and those of the grid with its prefix */
	ck_assert_uint_eq(kv_rewind(s, 1495), 1472);
	ck_assert_uint_eq(kv_rewind(s, 1471), 1280);
	ck_assert_uint_eq(kv_rewind(s, 1279), 1024);
	check(s, a, 1024);
	m = open_seq();
	ck_assert_uint_eq(kv_match(m, a, 900), 768);
	check(m, a, 768);
	/* one by one, checkpoints lie close behind */
	for (size_t i = 768; i < 900; i++) {
		ck_assert(!kv_append(m, a + i, 1, &e));
		step(m, 1);
	}
	ck_assert_uint_eq(check(m, a, 900), KEPT_STATES);
	ck_assert_uint_eq(kv_rewind(m, 895), 864);
	ck_assert_uint_eq(kv_rewind(m, 800), 768);
	kv_seq_close(m);
	kv_seq_close(s);
	close_pool();
}
END_TEST

/* Where a text leaves another's beginning a checkpoint is left for a third. */
START_TEST(beginnings)
{
	int32_t a[400];
	struct kv_seq *s;
	struct err e;

	open_states(TOKENS, 1);
	for (int32_t who = 0; who < 3; who++) {
		for (int32_t i = 0; i < 400; i++)
			a[i] = i < 200 ? i : 1000 * who + i;
		s = open_seq();
		ck_assert_uint_eq(kv_match(s, a, 400), who < 2 ? 0 : 192);
		ck_assert(!kv_append(s, a + kv_len(s), 400 - kv_len(s), &e));
		settle(s, 150);
		check(s, a, 400);
		kv_seq_close(s);
	}
	close_pool();
}
END_TEST

Suite *states_suite(void);
Suite *states_suite(void)
{
	Suite *s = suite_create("states");
	TCase *t = tcase_create("states");

	tcase_add_test(t, walks);
	tcase_add_test(t, checkpoints);
	tcase_add_test(t, beginnings);
	suite_add_tcase(s, t);
	return s;
}
