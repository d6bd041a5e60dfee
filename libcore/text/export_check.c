/* SPDX-License-Identifier: MIT */
#include "text/tokenizer.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

Suite *export_suite(void);

#define DATA "tests/data/text/"

/* ---- a model that is nothing but its tokenizer */

struct model {
	char dir[64];
	struct source *s;
	struct tokenizer *t;
};

static void put_file(const struct model *m, const char *name, const void *p, size_t n)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof path, "%s/%s", m->dir, name);
	f = fopen(path, "wb");
	ck_assert_ptr_nonnull(f);
	ck_assert_uint_eq(fwrite(p, 1, n, f), n);
	fclose(f);
}

static void copy_file(const struct model *m, const char *name, const char *from)
{
	struct buf b = { 0 };
	struct err e = { 0 };

	ck_assert_msg(!file_read(&b, from, 1 << 24, &e), "%s", e.text);
	put_file(m, name, b.p, b.n);
	buf_release(&b);
}

static void model_begin(struct model *m)
{
	static const unsigned char weights[] = "\x02\0\0\0\0\0\0\0{}";

	*m = (struct model){ .dir = "/tmp/clm-text-XXXXXX" };
	ck_assert_ptr_nonnull(mkdtemp(m->dir));
	put_file(m, "model.safetensors", weights, sizeof weights - 1);
}

static void model_open(struct model *m, const char *path)
{
	struct err e = { 0 };

	ck_assert_msg(!source_open(&m->s, path, &e), "%s", e.text);
	ck_assert_msg(!tokenizer_open(&m->t, m->s, &e), "%s", e.text);
}

static void model_end(struct model *m)
{
	static const char *const names[] = {
		"model.safetensors",       "tokenizer.json", "tokenizer.model",
		"tokenizer_config.json",   "x.gguf",         "tokenizer.bin",
		"special_tokens_map.json",
	};
	char path[128];

	tokenizer_close(m->t);
	source_close(m->s);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", m->dir, names[i]);
		(void)unlink(path);
	}
	ck_assert_int_eq(rmdir(m->dir), 0);
}

/* ---- to a GGUF and back */

static int put_id(struct writer *w, const char *key, int32_t id, struct err *e)
{
	return id < 0 ? 0 : writer_meta_number(w, key, META_U32, id, e);
}

static void write_gguf(const char *path, const struct vocab_export *v)
{
	struct writer_options o = { .container = CONTAINER_GGUF };
	struct writer *w = NULL;
	struct err e = { 0 };
	int rc = writer_open(&w, path, false, &o, &e);

#define PUT(call) (rc = rc ? rc : (call))
	PUT(writer_meta_text(w, "general.architecture", bytes_of("llama"), &e));
	PUT(writer_meta_text(w, "tokenizer.ggml.model", bytes_of(v->model), &e));
	PUT(writer_meta_text(w, "tokenizer.ggml.pre", bytes_of(v->pre), &e));
	PUT(writer_meta_strings(w, "tokenizer.ggml.tokens", v->tokens, v->n_tokens, &e));
	PUT(writer_meta_array(w, "tokenizer.ggml.token_type", META_I32, v->types, v->n_tokens, &e));
	if (v->scores)
		PUT(writer_meta_array(w, "tokenizer.ggml.scores", META_F32, v->scores, v->n_tokens,
		                      &e));
	if (v->n_merges)
		PUT(writer_meta_strings(w, "tokenizer.ggml.merges", v->merges, v->n_merges, &e));
	PUT(put_id(w, "tokenizer.ggml.bos_token_id", v->bos, &e));
	PUT(put_id(w, "tokenizer.ggml.eos_token_id", v->eos, &e));
	PUT(put_id(w, "tokenizer.ggml.unknown_token_id", v->unk, &e));
	PUT(put_id(w, "tokenizer.ggml.cls_token_id", v->cls, &e));
	PUT(put_id(w, "tokenizer.ggml.seperator_token_id", v->sep, &e));
	if (!strcmp(v->model, "bert")) {
		PUT(writer_meta_number(w, "tokenizer.ggml.normalizer.lowercase", META_BOOL, v->lower,
		                       &e));
		PUT(writer_meta_number(w, "tokenizer.ggml.normalizer.strip_accents", META_BOOL,
		                       v->no_accents, &e));
	}
	PUT(writer_meta_number(w, "tokenizer.ggml.add_bos_token", META_BOOL, v->add_bos, &e));
	PUT(writer_meta_number(w, "tokenizer.ggml.add_eos_token", META_BOOL, v->add_eos, &e));
	PUT(writer_meta_number(w, "tokenizer.ggml.add_space_prefix", META_BOOL, v->add_space_prefix,
	                       &e));
#undef PUT
	ck_assert_msg(!rc, "%s", e.text);
	ck_assert_msg(!writer_commit(w, &e), "%s", e.text);
}

static uint32_t random_next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Nothing on which the readers of the two files differ: SentencePiece replaces
 * bytes that are no text, and takes its user's symbols before the prefix. */
static void random_text(struct buf *b, uint32_t *seed)
{
	static const char *const word[] = {
		"the",
		" the",
		" pipe",
		"froze",
		"'ll",
		"'LL",
		"  ",
		"\n",
		"\t",
		"123",
		"4",
		"!",
		"\xC3\xA9",
		"\xE6\x97\xA5",
		"\xF0\x9F\x98\x80",
		"<|end|>",
		"<|im_start|>",
		"<s>",
		"</s>",
		"\xE2\x96\x81",

		"z",
		" A",
	};
	size_t n = random_next(seed) % 20;

	buf_clear(b);
	buf_add_text(b, "");
	while (n--)
		buf_add_text(b, word[random_next(seed) % (sizeof word / sizeof *word)]);
}

static void same_encoding(const struct tokenizer *a, const struct tokenizer *b, unsigned flags)
{
	struct ids x = { 0 }, y = { 0 };
	struct buf text = { 0 };
	struct err e = { 0 };
	uint32_t seed = 5;

	for (int round = 0; round < 500; round++) {
		random_text(&text, &seed);
		x.n = y.n = 0;
		ck_assert_int_eq(tokenizer_encode(a, buf_bytes(&text), flags, &x, &e), 0);
		ck_assert_int_eq(tokenizer_encode(b, buf_bytes(&text), flags, &y, &e), 0);
		ck_assert_msg(x.n == y.n && (!x.n || !memcmp(x.id, y.id, x.n * sizeof *x.id)),
		              "differs: [%s]", (char *)text.p);
	}
	ids_release(&x);
	ids_release(&y);
	buf_release(&text);
}

/* The model goes to a GGUF that says `model` and `pre`, and ends. */
static void round_trip_of(struct model *m, const char *model, const char *pre)
{
	struct source *s = NULL;
	struct tokenizer *t = NULL;
	struct vocab_export v, again;
	struct err e = { 0 };
	char path[128];

	ck_assert_msg(!tokenizer_export(m->t, &v, &e), "%s", e.text);
	ck_assert_str_eq(v.model, model);
	ck_assert_str_eq(v.pre, pre);
	ck_assert_ptr_null(v.lost);
	snprintf(path, sizeof path, "%s/x.gguf", m->dir);
	write_gguf(path, &v);
	ck_assert_msg(!source_open(&s, path, &e), "%s", e.text);
	ck_assert_msg(!tokenizer_open(&t, s, &e), "%s", e.text);
	ck_assert_uint_eq(tokenizer_size(t), tokenizer_size(m->t));
	same_encoding(m->t, t, 0);
	same_encoding(m->t, t, ENCODE_PARSE_SPECIAL);
	same_encoding(m->t, t, ENCODE_PARSE_SPECIAL | ENCODE_ADD_SPECIAL);
	/* and it is spelled again as it was */
	ck_assert_msg(!tokenizer_export(t, &again, &e), "%s", e.text);
	ck_assert_str_eq(again.pre, pre);
	ck_assert_uint_eq(again.n_merges, v.n_merges);
	for (size_t i = 0; i < v.n_tokens; i++) {
		ck_assert(bytes_equal(again.tokens[i], v.tokens[i]));
		ck_assert_int_eq(again.types[i], v.types[i]);
	}
	for (size_t i = 0; i < v.n_merges; i++)
		ck_assert(bytes_equal(again.merges[i], v.merges[i]));
	tokenizer_close(t);
	source_close(s);
	model_end(m);
}

static void round_trip(const char *name, const char *from, const char *model, const char *pre)
{
	struct model m;

	model_begin(&m);
	copy_file(&m, name, from);
	model_open(&m, m.dir);
	round_trip_of(&m, model, pre);
}

START_TEST(a_gguf_tokenizes_as_its_source)
{
	round_trip("tokenizer.json", "models/demo/tokenizer.json", "gpt2", "gpt-2");
	round_trip("tokenizer.model", DATA "spm_bpe.model", "llama", "default");
	round_trip("tokenizer.bin", DATA "llama2c.bin", "llama", "default");
	round_trip("tokenizer.json", DATA "words.json", "bert", "default");
}
END_TEST

/* Merges that no scores give: "the" is not "th" and "e"; spaces are marks,
 * bytes have tokens. */
START_TEST(merges_by_rank_of_text_as_it_is)
{
	struct buf b = { 0 };
	struct model m;

	buf_add_text(&b, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},"
	                 "\"content\":\"\\u2581\"},\"added_tokens\":["
	                 "{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"single_word\":false,"
	                 "\"lstrip\":false,\"rstrip\":false,\"normalized\":false},"
	                 "{\"id\":1,\"content\":\"<s>\",\"special\":true,\"single_word\":false,"
	                 "\"lstrip\":false,\"rstrip\":false,\"normalized\":false}],"
	                 "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
	                 "{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},{\"Sequence\":"
	                 "{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":"
	                 "{\"id\":\"<s>\",\"ids\":[1],\"tokens\":[\"<s>\"]}}},"
	                 "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\","
	                 "\"pattern\":{\"String\":\"\\u2581\"},\"content\":\" \"},"
	                 "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"}]},"
	                 "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,"
	                 "\"byte_fallback\":true,\"vocab\":{\"<unk>\":0,\"<s>\":1");
	for (unsigned i = 0; i < 256; i++)
		buf_printf(&b, ",\"<0x%02X>\":%u", i, 2 + i);
	buf_add_text(&b, ",\"t\":258,\"h\":259,\"e\":260,\"\\u2581\":261,\"\\n\":262,\"th\":263,"
	                 "\"he\":264,\"the\":265,\"\\u2581the\":266,\"\\n\\n\":267,"
	                 "\"\\n\\n\\n\":268,\"\\u2581\\u2581\":269},"
	                 "\"merges\":[[\"h\",\"e\"],[\"t\",\"h\"],[\"t\",\"he\"],"
	                 "[\"\\u2581\",\"\\u2581\"],[\"\\u2581\",\"the\"],[\"\\n\",\"\\n\"],"
	                 "[\"\\n\\n\",\"\\n\"]]}}");
	model_begin(&m);
	put_file(&m, "tokenizer.json", b.p, b.n);
	buf_release(&b);
	model_open(&m, m.dir);
	round_trip_of(&m, "gemma4", "gemma4");
}
END_TEST

/* A SentencePiece unigram vocabulary, as a GGUF has it. */
START_TEST(a_unigram_in_a_gguf)
{
	struct writer_options o = { .container = CONTAINER_GGUF };
	const struct tokenizer *t;
	struct source *s = NULL;
	struct tokenizer *of_gguf = NULL;
	struct writer *w = NULL;
	struct err e = { 0 };
	struct model m;
	char path[128];
	struct bytes *token;
	int32_t *type;
	float *score;
	size_t n;
	int rc;

	model_begin(&m);
	copy_file(&m, "tokenizer.model", DATA "spm_unigram.model");
	model_open(&m, m.dir);
	t = m.t;
	n = t->vocab.n;
	token = calloc(n, sizeof *token);
	type = calloc(n, sizeof *type);
	score = calloc(n, sizeof *score);
	ck_assert(token && type && score);
	for (size_t i = 0; i < n; i++) {
		token[i] = vocab_piece(&t->vocab, (int32_t)i);
		type[i] = t->vocab.token[i].type;
		score[i] = (float)t->vocab.token[i].score;
	}
	snprintf(path, sizeof path, "%s/x.gguf", m.dir);
	rc = writer_open(&w, path, false, &o, &e) ||
	     writer_meta_text(w, "general.architecture", bytes_of("t5"), &e) ||
	     writer_meta_text(w, "tokenizer.ggml.model", bytes_of("t5"), &e) ||
	     writer_meta_strings(w, "tokenizer.ggml.tokens", token, n, &e) ||
	     writer_meta_array(w, "tokenizer.ggml.token_type", META_I32, type, n, &e) ||
	     writer_meta_array(w, "tokenizer.ggml.scores", META_F32, score, n, &e) ||
	     put_id(w, "tokenizer.ggml.eos_token_id", t->eos, &e) ||
	     put_id(w, "tokenizer.ggml.unknown_token_id", t->unk, &e) ||
	     writer_meta_number(w, "tokenizer.ggml.add_space_prefix", META_BOOL, t->spm.add_prefix,
	                        &e) ||
	     writer_meta_number(w, "tokenizer.ggml.remove_extra_whitespaces", META_BOOL,
	                        t->spm.collapse, &e);
	if (!rc && t->spm.map.trie.n) /* as it lay in the .model: a size, the trie, the texts */
		rc = writer_meta_array(w, "tokenizer.ggml.precompiled_charsmap", META_U8,
		                       t->spm.map.trie.p - 4,
		                       4 + t->spm.map.trie.n + t->spm.map.texts.n, &e);
	ck_assert_msg(!rc && !writer_commit(w, &e), "%s", e.text);
	ck_assert_msg(!source_open(&s, path, &e) && !tokenizer_open(&of_gguf, s, &e), "%s", e.text);
	same_encoding(m.t, of_gguf, 0);
	ck_assert_int_eq(of_gguf->after.n, 1);
	ck_assert_int_eq(of_gguf->after.id[0], t->eos);
	ck_assert_uint_eq(of_gguf->before.n, 0);
	tokenizer_close(of_gguf);
	source_close(s);
	free(token);
	free(type);
	free(score);
	model_end(&m);
}
END_TEST

START_TEST(what_a_gguf_loses_is_said)
{
	struct model m;
	struct vocab_export v;
	struct err e = { 0 };

	model_begin(&m);
	copy_file(&m, "tokenizer.json", DATA "byte.json");
	model_open(&m, m.dir);
	ck_assert_int_eq(tokenizer_export(m.t, &v, &e), 0);
	ck_assert_str_eq(v.lost, "added tokens do not take white space or ask for whole words");
	ck_assert_str_eq(v.pre, "dbrx");
	model_end(&m);
}
END_TEST

static void not_written(const char *name, const char *from, const char *message)
{
	struct model m;
	struct vocab_export v;
	struct err e = { 0 };

	model_begin(&m);
	copy_file(&m, name, from);
	model_open(&m, m.dir);
	ck_assert_int_eq(tokenizer_export(m.t, &v, &e), -1);
	ck_assert_str_eq(e.text, message);
	model_end(&m);
}

START_TEST(what_a_gguf_cannot_say_is_refused)
{
	not_written("tokenizer.model", DATA "spm_unigram.model",
	            "a unigram vocabulary cannot be written to a GGUF");
	not_written("tokenizer.json", DATA "marks.json",
	            "merges that are not a SentencePiece vocabulary's cannot be written to a GGUF");
}
END_TEST

/* ---- the files beside a tokenizer */

static void ends(const char *config, const char *map, const char *file, const char *from,
                 const int32_t *want, size_t n)
{
	struct model m;
	struct ids v = { 0 };
	struct err e = { 0 };

	model_begin(&m);
	copy_file(&m, file, from);
	if (config)
		put_file(&m, "tokenizer_config.json", config, strlen(config));
	if (map)
		put_file(&m, "special_tokens_map.json", map, strlen(map));
	model_open(&m, m.dir);
	ck_assert_int_eq(tokenizer_encode(m.t, bytes_of(""), ENCODE_ADD_SPECIAL, &v, &e), 0);
	ck_assert_msg(v.n == n && (!n || !memcmp(v.id, want, n * sizeof *want)), "%s: %zu ids",
	              config ? config :
	              map    ? map :
	                       from,
	              v.n);
	ids_release(&v);
	model_end(&m);
}

START_TEST(configs_name_the_ends)
{
	ends(NULL, NULL, "tokenizer.json", DATA "byte.json", (int32_t[]){ 0 }, 1);
	ends("{\"bos_token\":\"<|start|>\",\"add_bos_token\":false}", NULL, "tokenizer.json",
	     DATA "byte.json", NULL, 0);
	ends("{\"bos_token\":{\"content\":\"<|start|>\"},\"eos_token\":\"<|end|>\","
	     "\"add_eos_token\":true}",
	     NULL, "tokenizer.json", DATA "byte.json", (int32_t[]){ 0, 1 }, 2);
	ends("{\"add_eos_token\":true}", "{\"bos_token\":\"<|start|>\",\"eos_token\":\"<|end|>\"}",
	     "tokenizer.json", DATA "byte.json", (int32_t[]){ 0, 1 }, 2);
	ends(NULL, NULL, "tokenizer.model", DATA "spm_bpe.model", (int32_t[]){ 1 }, 1);
	ends("{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_bos_token\":false,"
	     "\"add_eos_token\":true}",
	     NULL, "tokenizer.model", DATA "spm_bpe.model", (int32_t[]){ 2 }, 1);
}
END_TEST

/* A SentencePiece model gets tokens that only the config knows. */
START_TEST(configs_add_tokens)
{
	static const char config[] =
		"{\"added_tokens_decoder\":{\"1\":{\"content\":\"<s>\",\"special\":true},"
		"\"560\":{\"content\":\"<|user|>\",\"special\":true,\"rstrip\":true},"
		"\"561\":{\"content\":\"<more>\",\"special\":false}}}";
	struct model m;
	struct ids v = { 0 };
	struct err e = { 0 };

	model_begin(&m);
	copy_file(&m, "tokenizer.model", DATA "spm_bpe.model");
	put_file(&m, "tokenizer_config.json", config, strlen(config));
	model_open(&m, m.dir);
	ck_assert_uint_eq(tokenizer_size(m.t), 562);
	ck_assert_int_eq(tokenizer_find(m.t, bytes_of("<|user|>")), 560);
	ck_assert(tokenizer_special(m.t, 560) && !tokenizer_special(m.t, 561));
	ck_assert_int_eq(tokenizer_encode(m.t, bytes_of("<s><|user|> \n <more>"),
	                                  ENCODE_PARSE_SPECIAL, &v, &e),
	                 0);
	ck_assert_uint_eq(v.n, 3);
	ck_assert_int_eq(v.id[0], 1);
	ck_assert_int_eq(v.id[1], 560);
	ck_assert_int_eq(v.id[2], 561);
	ids_release(&v);
	model_end(&m);
}
END_TEST

static void refused(const char *file, const char *text, const char *message)
{
	struct model m;
	struct err e = { 0 };

	model_begin(&m);
	if (file)
		put_file(&m, file, text, strlen(text));
	ck_assert_int_eq(source_open(&m.s, m.dir, &e), 0);
	ck_assert_int_eq(tokenizer_open(&m.t, m.s, &e), -1);
	ck_assert_str_eq(e.text, message);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	model_end(&m);
}

START_TEST(models_without_a_good_tokenizer)
{
	refused(NULL, NULL,
	        "no tokenizer: expected tokenizer.json, tokenizer.model, tokenizer.bin or a GGUF "
	        "vocabulary");
	refused("tokenizer.json", "{}", "tokenizer.json: model: missing");
	refused("tokenizer.model", "x", "tokenizer.model: byte 0: no field");
	refused("tokenizer.bin", "xyz", "tokenizer.bin: ends early, at byte 0");
}
END_TEST

Suite *export_suite(void)
{
	Suite *s = suite_create("export");
	TCase *c = tcase_create("export");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, a_gguf_tokenizes_as_its_source);
	tcase_add_test(c, merges_by_rank_of_text_as_it_is);
	tcase_add_test(c, a_unigram_in_a_gguf);
	tcase_add_test(c, what_a_gguf_loses_is_said);
	tcase_add_test(c, what_a_gguf_cannot_say_is_refused);
	tcase_add_test(c, configs_name_the_ends);
	tcase_add_test(c, configs_add_tokens);
	tcase_add_test(c, models_without_a_good_tokenizer);
	suite_add_tcase(s, c);
	return s;
}
