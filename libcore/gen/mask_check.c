/* SPDX-License-Identifier: MIT */
/* mask_check.c - a mask has the tokens that the grammar takes one by one, and
 * what is drawn from masks alone is whole and valid */
#include "gen/gen.h"
#include "gen/mask.h"
#include "util/file.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct source *source;
static struct tokenizer *tokenizer;
static struct pieces *pieces;
static int32_t eos;
static size_t vocab;

static void open_vocabulary(const char *path)
{
	struct err e;

	ck_assert_msg(!source_open(&source, path, &e), "%s", e.text);
	ck_assert_msg(!tokenizer_open(&tokenizer, source, &e), "%s", e.text);
	vocab = tokenizer_size(tokenizer);
	eos = tokenizer_eos(tokenizer);
	ck_assert_msg(!pieces_open(&pieces, tokenizer, vocab, &e), "%s", e.text);
}

static void set_up(void)
{
	open_vocabulary("models/demo");
}

static void tear_down(void)
{
	pieces_close(pieces);
	tokenizer_close(tokenizer);
	source_close(source);
}

static uint32_t stream = 3;

static uint32_t any_of(uint32_t n)
{
	stream = stream * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(stream >> 4) * n) >> 28);
}

static const struct {
	enum grammar_kind kind;
	const char *text;
} cases[] = {
	{ GRAMMAR_OBJECT, NULL },
	{ GRAMMAR_VALUE, NULL },
	{ GRAMMAR_SCHEMA,
	  "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"minLength\":2,"
	  "\"maxLength\":9},"
	  "\"age\":{\"type\":\"integer\",\"minimum\":7,\"maximum\":120},\"tags\":{\"type\":"
	  "\"array\",\"items\":"
	  "{\"enum\":[\"x\",\"yy\",\"the\"]},\"maxItems\":3},\"when\":{\"type\":\"string\","
	  "\"format\":\"date\"}},"
	  "\"required\":[\"name\",\"age\",\"when\"],\"additionalProperties\":false}" },
	{ GRAMMAR_SCHEMA,
	  "{\"$ref\":\"#/$defs/"
	  "t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":"
	  "[\"number\",\"null\"]},\"k\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/"
	  "t\"}}},\"required\":"
	  "[\"v\"],\"additionalProperties\":{\"type\":\"string\",\"pattern\":\"^[a-z ]*$\"}}}}" },
	{ GRAMMAR_TEXT, "root ::= (\"yes\" | \"no\" [.!]) (\" \" word){0,4}\nword ::= "
	                "[a-z\\u00e0-\\u00ff]+ \"\\n\"?" },
};

static struct grammar *open_case(int i)
{
	struct grammar_ask a = { .kind = cases[i].kind };
	struct grammar *g;
	struct err e;
	cJSON *schema = NULL;

	if (a.kind == GRAMMAR_SCHEMA)
		a.schema = schema = json_parse(bytes_of(cases[i].text), &e);
	else if (cases[i].text)
		a.text = bytes_of(cases[i].text);
	ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
	cJSON_Delete(schema);
	return g;
}

static void begin(struct guard *k, struct grammar *g)
{
	const struct mask_ends ends = { &eos, 1 };
	struct mask *m;
	struct err e;

	ck_assert_msg(!mask_open(&m, pieces, ends, g, &e), "%s", e.text);
	ck_assert_msg(!guard_open(k, m, &e), "%s", e.text);
	mask_release(m);
}

static bool bit(const uint64_t *bits, size_t id)
{
	return bits[id / 64] >> id % 64 & 1;
}

/* One of the allowed ids; -1: there is none. */
static int32_t draw(const uint64_t *bits)
{
	size_t n = 0, k;

	for (size_t i = 0; i < vocab; i++)
		n += bit(bits, i);
	k = n ? any_of((uint32_t)n) : 0;
	for (size_t i = 0; n && i < vocab; i++)
		if (bit(bits, i) && !k--)
			return (int32_t)i;
	return -1;
}

START_TEST(as_one_by_one)
{
	struct grammar *g = open_case(_i);
	struct guard k;
	struct err e;

	begin(&k, g);
	for (int step = 0; step < 40 && !guard_is_whole(&k); step++) {
		const uint64_t *bits;
		uint64_t copy[4096 / 64 + 64];
		int32_t id;

		ck_assert_msg(!guard_bits(&k, &bits, &e), "%s", e.text);
		memcpy(copy, bits, (vocab + 63) / 64 * sizeof *copy);
		for (size_t i = 0; i < vocab; i++) {
			bool allowed;

			ck_assert(!guard_allows(&k, (int32_t)i, &allowed, &e));
			ck_assert_msg(allowed == bit(copy, i), "step %d, token %zu", step, i);
			ck_assert(!allowed || (int32_t)i == eos ||
			          !tokenizer_special(tokenizer, (int32_t)i));
		}
		id = draw(copy);
		ck_assert_int_ge(id, 0);
		if (id == eos)
			break;
		ck_assert(!guard_take(&k, id, &e));
	}
	guard_release(&k);
	grammar_release(g);
}
END_TEST

/* Texts drawn token by token: whole ones are of the grammar, and JSON's parse. */
START_TEST(drawn)
{
	struct grammar *g = open_case(_i);
	int n_whole = 0;

	for (int round = 0; round < 30; round++) {
		struct buf text = { 0 };
		struct guard k;
		struct err e;
		bool whole = false;

		begin(&k, g);
		for (int step = 0; step < 400 && !whole; step++) {
			const uint64_t *bits;
			struct bytes t;
			int32_t id;

			ck_assert(!guard_bits(&k, &bits, &e));
			id = bit(bits, (size_t)eos) ? eos : draw(bits);
			ck_assert_int_ge(id, 0);
			whole = id == eos;
			if (whole)
				break;
			t = guard_text(&k, id);
			buf_add(&text, t.p, t.n);
			ck_assert(!guard_take(&k, id, &e));
			whole = guard_is_whole(&k);
		}
		if (whole) {
			cJSON *v = cases[_i].kind == GRAMMAR_TEXT ?
			                   NULL :
			                   json_parse(buf_bytes(&text), &e);
			bool takes;

			n_whole++;
			ck_assert(!grammar_takes(g, buf_bytes(&text), &takes, &e));
			ck_assert_msg(takes && (v || cases[_i].kind == GRAMMAR_TEXT ||
			                        strstr(e.text, "twice") ||
			                        strstr(e.text, "uplicate")),
			              "%s: %s", (const char *)text.p, e.text);
			cJSON_Delete(v);
		}
		guard_release(&k);
		buf_release(&text);
	}
	ck_assert_int_ge(n_whole, 3);
	grammar_release(g);
}
END_TEST

/* A place goes on in another walk as in its own. */
START_TEST(moved)
{
	static const char begun[] = "{\"a\": [[{\"b\": \"x", rest[] = "y\"}], -1.5e3]}";
	struct grammar *g = open_case(1);
	struct walk *one, *other;
	uint32_t at, to;
	struct err e;

	ck_assert(!walk_open(&one, g, &e) && !walk_open(&other, g, &e) &&
	          !walk_begin(one, &at, &e));
	for (size_t i = 0; begun[i]; i++)
		ck_assert(!walk_step(one, at, (unsigned char)begun[i], &at, &e) &&
		          at != PLACE_NOWHERE);
	ck_assert(!walk_move(other, one, at, &to, &e));
	for (size_t i = 0; rest[i]; i++)
		ck_assert(!walk_step(other, to, (unsigned char)rest[i], &to, &e) &&
		          to != PLACE_NOWHERE);
	ck_assert(walk_place(other, to).flags & PLACE_MAY_END);
	ck_assert_uint_eq(walk_place(other, to).n, 0);
	walk_close(one);
	walk_close(other);
	grammar_release(g);
}
END_TEST

/* ---- sessions of one batch, each with a grammar of its own or none */

struct said {
	struct buf text;
	enum end_reason reason;
};

static int on_token(void *arg, struct session *s, void *user, const struct token_event *t)
{
	struct said *k = user;

	(void)arg;
	(void)s;
	buf_add(&k->text, t->text.p, t->text.n);
	return 0;
}

static void on_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                   const struct err *err)
{
	struct said *k = user;

	(void)arg;
	(void)s;
	(void)err;
	buf_add(&k->text, text.p, text.n);
	buf_add_byte(&k->text, 0);
	k->reason = r;
}

static void run_batch(struct said *said, const int *which, size_t n, double temp)
{
	struct exec_options eo = { .device = "cpu", .cache_dir = "", .threads = 2 };
	struct model_options mo = { .kv_tokens = 4096, .max_rows = 128, .max_out = 8 };
	struct batch_events ev = { .token = on_token, .end = on_end };
	struct batch_options bo = { .max_sessions = 8 };
	struct batch *b;
	struct exec *x;
	struct model *m;
	struct ids prompt = { 0 };
	struct err e;

	ck_assert_msg(!exec_open(&x, &eo, &e) && !model_open(&m, source, x, &mo, &e), "%s", e.text);
	ck_assert(!batch_open(&b, m, tokenizer, &bo, &ev, &e));
	ck_assert(!tokenizer_encode(tokenizer, bytes_of("The answer: "), 0, &prompt, &e));
	for (size_t i = 0; i < n; i++) {
		struct request r;

		request_init(&r);
		r.max_tokens = 60;
		r.temp = temp;
		r.seed = 11;
		r.has_seed = true;
		r.grammar = which[i] < 0 ? NULL : open_case(which[i]);
		ck_assert(!batch_add(b, NULL, prompt.id, prompt.n, &r, NULL, &said[i], &e));
		request_release(&r);
	}
	while (batch_active(b))
		ck_assert_msg(!batch_step(b, &e), "%s", e.text);
	ids_release(&prompt);
	batch_close(b);
	model_close(m);
	exec_close(x);
}

START_TEST(together)
{
	const int which[] = { -1, 2, 4, 0, -1, 3 };
	struct said all[6] = { 0 }, alone;
	double temp = _i ? 0.9 : 0;

	run_batch(all, which, 6, temp);
	ck_assert_str_eq((char *)all[0].text.p, (char *)all[4].text.p);
	for (size_t i = 0; i < 6; i++) {
		struct grammar *g;
		struct err e;
		bool takes;

		alone = (struct said){ 0 };
		run_batch(&alone, &which[i], 1, temp);
		ck_assert_str_eq((char *)alone.text.p, (char *)all[i].text.p);
		buf_release(&alone.text);
		if (which[i] < 0 || all[i].reason != END_STOP)
			continue;
		g = open_case(which[i]);
		ck_assert(!grammar_takes(g, bytes_of((char *)all[i].text.p), &takes, &e));
		ck_assert_msg(takes, "%s", (char *)all[i].text.p);
		grammar_release(g);
	}
	for (size_t i = 0; i < 6; i++)
		buf_release(&all[i].text);
}
END_TEST

/* ---- how long it takes, with a vocabulary of 151,643 */

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void time_text(struct guard *k, const struct ids *ids, const char *what)
{
	double bits_us = 0, most = 0, allow_us = 0, began;
	struct err e;

	for (size_t i = 0; i < ids->n; i++) {
		const uint64_t *bits;
		bool allowed;

		began = now_us();
		ck_assert(!guard_allows(k, ids->id[i], &allowed, &e) && allowed);
		allow_us += now_us() - began;
		began = now_us();
		ck_assert(!guard_bits(k, &bits, &e));
		began = now_us() - began;
		bits_us += began;
		most = began > most ? began : most;
		ck_assert(!guard_take(k, ids->id[i], &e));
	}
	printf("%s: %zu tokens: the mask %.1f us a token, %.0f us at most; one token asked %.2f "
	       "us\n",
	       what, ids->n, bits_us / (double)ids->n, most, allow_us / (double)ids->n);
}

static uint64_t number_of(struct grammars *all, const char *schema, bool many)
{
	struct err e;
	cJSON *v = json_parse(bytes_of(schema), &e);
	const struct grammar_ask a = { .kind = GRAMMAR_SCHEMA, .schema = v, .many = many };
	struct grammar *g;
	uint64_t n;

	ck_assert_msg(!grammars_get(all, &g, &a, &e), "%s", e.text);
	n = grammar_number(g);
	grammar_release(g);
	cJSON_Delete(v);
	return n;
}

/* Who asks the same gets the same, until it is long ago. */
START_TEST(kept)
{
	const char *const one = "{\"type\":\"integer\"}", *const other = "{\"type\":\"number\"}";
	struct grammars *all;
	struct err e;
	uint64_t first, second;
	cJSON *bad = json_parse(bytes_of("{\"type\":\"x\"}"), &e);
	const struct grammar_ask wrong = { .kind = GRAMMAR_SCHEMA, .schema = bad };
	struct grammar *g;

	ck_assert(!grammars_open(&all, tokenizer, vocab, &e));
	first = number_of(all, one, false);
	second = number_of(all, other, false);
	ck_assert_uint_ne(first, second);
	ck_assert_uint_eq(number_of(all, one, false), first);
	ck_assert_uint_ne(number_of(all, one, true), first);
	for (int i = 0; i < 100; i++) {
		char text[64];

		snprintf(text, sizeof text, "{\"const\":%d}", i);
		number_of(all, text, false);
		ck_assert_uint_eq(number_of(all, one, false), first);
	}
	ck_assert_uint_ne(number_of(all, other, false), second);
	for (int i = 0; i < 2; i++)
		ck_assert(grammars_get(all, &g, &wrong, &e) && e.kind == ERR_INPUT);
	ck_assert_ptr_nonnull(grammars_pieces(all, &e));
	grammars_close(all);
	cJSON_Delete(bad);
}
END_TEST

START_TEST(bench)
{
	static const char object[] = "{\"name\": \"Ada Lovelace\", \"notes\": \"She wrote the "
	                             "first program, and the notes on it "
				     "are longer than the paper that they belong to.\", \"years\": "
	                             "[1815, 1852], \"tags\": "
				     "[\"mathematics\", \"engines\"]}",
			  schema[] = "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":"
	                             "\"string\"},\"notes\":{\"type\":"
				     "\"string\"},\"years\":{\"type\":\"array\",\"items\":{"
	                             "\"type\":\"integer\"}},\"tags\":{\"type\":"
				     "\"array\",\"items\":{\"type\":\"string\",\"maxLength\":40}}},"
	                             "\"required\":[\"name\",\"notes\","
				     "\"years\",\"tags\"],\"additionalProperties\":false}";
	const char *shared = getenv("SHARED");
	struct grammar_ask a = { .kind = GRAMMAR_OBJECT };
	char path[4096];
	double began;
	struct file_map file;
	struct ids ids = { 0 };
	struct guard k;
	struct err e;

	if (!shared)
		return;
	snprintf(path, sizeof path, "%s/data/tokenizers/hf/qwen2/tokenizer.json", shared);
	ck_assert_msg(!file_map(&file, path, &e), "%s", e.text);
	ck_assert_msg(!tokenizer_parse(&tokenizer, TOKENIZER_JSON, file.bytes, &e), "%s", e.text);
	vocab = tokenizer_size(tokenizer);
	eos = tokenizer_find(tokenizer, bytes_of("<|endoftext|>"));
	began = now_us();
	ck_assert(!pieces_open(&pieces, tokenizer, vocab, &e));
	printf("the tree of %zu tokens: %.1f ms\n", vocab, (now_us() - began) / 1e3);
	ck_assert(!tokenizer_encode(tokenizer, bytes_of(object), 0, &ids, &e));
	for (int i = 0; i < 2; i++) {
		cJSON *json = json_parse(bytes_of(schema), &e);
		struct grammar *g;

		a.schema = json;
		a.kind = i ? GRAMMAR_SCHEMA : GRAMMAR_OBJECT;
		began = now_us();
		ck_assert_msg(!grammar_open(&g, &a, &e), "%s", e.text);
		printf("%s: %zu states in %.1f ms\n", i ? "a schema" : "any object",
		       grammar_states(g), (now_us() - began) / 1e3);
		begin(&k, g);
		for (int n = 0; n < 2; n++) {
			struct guard again;

			ck_assert(!guard_open(&again, k.mask, &e));
			time_text(&again, &ids, n ? "again" : "the first time");
			guard_release(&again);
		}
		guard_release(&k);
		grammar_release(g);
		cJSON_Delete(json);
	}
	ids_release(&ids);
	pieces_close(pieces);
	tokenizer_close(tokenizer);
	file_unmap(&file);
}
END_TEST

Suite *mask_suite(void);
Suite *mask_suite(void)
{
	Suite *s = suite_create("mask");
	TCase *t = tcase_create("mask"), *b = tcase_create("bench");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, as_one_by_one, 0, sizeof cases / sizeof *cases);
	tcase_add_loop_test(t, drawn, 0, sizeof cases / sizeof *cases);
	tcase_add_test(t, moved);
	tcase_add_loop_test(t, together, 0, 2);
	tcase_add_test(t, kept);
	suite_add_tcase(s, t);
	tcase_set_tags(b, "bench");
	tcase_set_timeout(b, 120);
	tcase_add_test(b, bench);
	suite_add_tcase(s, b);
	return s;
}
