/* SPDX-License-Identifier: MIT */
#include "text/text.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *hf_suite(void);

#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\" \":3,\"1\":4,\"!\":5}"
#define MODEL "{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\"]}"
/* A part of a file and the rest of it. */
#define WITH(part) "{" part ",\"model\":" MODEL "}"
#define BARE "{\"model\":" MODEL "}"

static int parse(struct tokenizer **t, const char *json, struct err *e)
{
	return tokenizer_parse(t, TOKENIZER_JSON, bytes_of(json), e);
}

static void refused(const char *json, const char *message)
{
	struct tokenizer *t = NULL;
	struct err e = { 0 };

	ck_assert_msg(parse(&t, json, &e) == -1, "accepted: %s", json);
	ck_assert_str_eq(e.text, message);
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_ptr_null(t);
}

static void gives(const char *json, const char *text, const char *ids)
{
	struct tokenizer *t = NULL;
	struct err e = { 0 };
	struct ids v = { 0 };
	struct buf b = { 0 };

	ck_assert_msg(!parse(&t, json, &e), "%s: %s", json, e.text);
	ck_assert_int_eq(tokenizer_encode(t, bytes_of(text),
	                                  ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &v, &e),
	                 0);
	buf_add_text(&b, "");
	for (size_t i = 0; i < v.n; i++)
		buf_printf(&b, i ? " %d" : "%d", v.id[i]);
	ck_assert_msg(!strcmp((char *)b.p, ids), "%s: [%s]: %s, expected %s", json, text,
	              (char *)b.p, ids);
	buf_release(&b);
	ids_release(&v);
	tokenizer_close(t);
}

START_TEST(models_are_read_in_any_order)
{
	gives(BARE, "abab", "2 2");
	gives("{\"model\":{\"merges\":[\"a b\"]," VOCAB "}}", "aba", "2 0");
	gives("{\"model\":{" VOCAB ",\"merges\":[[\"a\",\"b\"]],\"dropout\":0.1}}", "ab", "2");
	gives("{\"model\":{\"vocab\":{\"a b\":0,\"a \":1,\"b\":2,\"a\":3,\" \":4},"
	      "\"merges\":[[\"a\",\" \"],[\"a \",\"b\"]]}}",
	      "a b", "0");
	/* the alphabet is known only once the pre-tokenizer is */
	gives("{\"model\":{\"vocab\":{\"\\u0120\":0,\"a\":1,\"\\u0120a\":2},\"merges\":"
	      "[\"\\u0120 a\"]},\"pre_tokenizer\":{\"type\":\"ByteLevel\","
	      "\"add_prefix_space\":false}}",
	      " a a", "2 2");
}
END_TEST

START_TEST(unknown_characters)
{
#define UNK(more)                                                            \
	"{\"model\":{\"vocab\":{\"a\":0,\"?\":1,\"<0xC3>\":2,\"<0xA9>\":3}," \
	"\"merges\":[]" more "}}"
	gives(UNK(""), "axa", "0 0");
	gives(UNK(",\"unk_token\":\"?\""), "axya", "0 1 1 0");
	gives(UNK(",\"unk_token\":\"?\",\"fuse_unk\":true"), "axya", "0 1 0");
	gives(UNK(",\"unk_token\":\"?\",\"byte_fallback\":true"), "\xC3\xA9xa", "2 3 1 0");
	gives(UNK(",\"unk_token\":\"no\""), "xa", "0");
#undef UNK
	gives("{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"abb\":2},\"merges\":[],"
	      "\"ignore_merges\":true}}",
	      "abb", "2");
}
END_TEST

START_TEST(parts_of_the_pipeline)
{
	gives(WITH("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"x\"},"
	           "\"content\":\"ab\"}"),
	      "xx", "2 2");
	gives(WITH("\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\","
	           "\"prepend\":\"a\"},{\"type\":\"Strip\",\"strip_left\":true,"
	           "\"strip_right\":true}]}"),
	      "b ", "2");
	gives(WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
	           "\"behavior\":\"Isolated\",\"invert\":false}"),
	      "abab", "0 1 0 1");
	gives(WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[ !]+\"},"
	           "\"behavior\":\"Removed\",\"invert\":false}"),
	      "ab !ab!", "2 2");
	gives(WITH("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
	           "\"Digits\",\"individual_digits\":true},{\"type\":\"Punctuation\"}]}"),
	      "ab1!1", "2 4 5 4");
	gives(WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
	           "{\"SpecialToken\":{\"id\":\"b\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\","
	           "\"type_id\":0}},{\"SpecialToken\":{\"id\":\"!\",\"type_id\":0}}],"
	           "\"special_tokens\":{\"b\":{\"id\":\"b\",\"ids\":[1]},\"!\":{\"id\":\"!\","
	           "\"ids\":[5]}}}"),
	      "a", "1 0 5");
	gives(WITH("\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"!\",5],"
	           "\"cls\":[\"b\",1],\"trim_offsets\":true,\"add_prefix_space\":false}"),
	      "a", "1 0 5");
}
END_TEST

#define ADDED(text, id, more) "\"added_tokens\":[{\"id\":" id ",\"content\":\"" text "\"," more "}]"
#define FLAGS(word, left, right, norm, special)                                                  \
	"\"single_word\":" word ",\"lstrip\":" left ",\"rstrip\":" right ",\"normalized\":" norm \
	",\"special\":" special

START_TEST(added_tokens)
{
	gives(WITH(ADDED("<x>", "7", FLAGS("false", "false", "false", "false", "true"))), "a<x>b<x",
	      "0 7 1");
	gives(WITH(ADDED("<x>", "7", FLAGS("false", "true", "true", "false", "false"))),
	      "a  <x>  b", "0 7 1");
	gives(WITH(ADDED("<x>", "7", FLAGS("true", "false", "false", "false", "false"))),
	      "a<x>! <x>!", "0 5 3 7 5");
	/* the vocabulary's id counts where it knows the text */
	gives(WITH(ADDED("ab", "9", FLAGS("false", "false", "false", "false", "true"))), "aab",
	      "0 2");
}
END_TEST

START_TEST(files_are_refused)
{
	refused("", "byte 0: expected a value, found the end");
	refused("[]", "expected an object");
	refused("{}", "model: missing");
	refused("{\"model\":null}", "model: expected an object");
	refused("{\"model\":{}}", "model: vocab: missing");
	refused("{\"model\":{" VOCAB "}}", "model: merges: missing");
	refused("{\"model\":{\"type\":\"Wordy\"," VOCAB "}}",
	        "model: type: \"Wordy\" is not supported");
	refused("{\"model\":{\"vocab\":[[\"a\"]]}}", "model: vocab: token 0: expected a score");
	refused("{\"model\":{\"vocab\":{\"a\":-1}}}",
	        "model: vocab: token id -1, expected 0 to 2097151");
	refused("{\"model\":{\"vocab\":{\"a\":1e15}}}",
	        "model: vocab: token id 1000000000000000, expected 0 to 2097151");
	refused("{\"model\":{\"vocab\":{\"a\":0.5}}}", "model: vocab: \"a\": expected an integer");
	refused("{\"model\":{\"vocab\":{\"a\":\"b\"}}}", "model: vocab: \"a\": expected an id");
	refused("{\"model\":{\"vocab\":{\"a\":0,\"b\":0}}}",
	        "model: vocab: token id 0 is there twice");
	refused("{\"model\":{\"vocab\":{\"a\":0,\"a\":1}}}", "model: vocab: \"a\" is there twice");
	refused("{\"model\":{" VOCAB ",\"merges\":[\"ab\"]}}",
	        "model: merges: merge 0: expected two texts with a space between");
	refused("{\"model\":{" VOCAB ",\"merges\":[\"a b\",\"a b c\"]}}",
	        "model: merges: merge 1: expected two texts with a space between");
	refused("{\"model\":{" VOCAB ",\"merges\":[\"a c\"]}}",
	        "model: merges: merge 0: \"a\" + \"c\": the second is not in the vocabulary");
	refused("{\"model\":{" VOCAB ",\"merges\":[[\"b\",\"a\"]]}}",
	        "model: merges: merge 0: \"b\" + \"a\": the pair is not in the vocabulary");
	refused("{\"model\":{" VOCAB ",\"merges\":[[\"b\"]]}}",
	        "model: merges: merge 0: expected a second text");
	refused("{\"model\":{" VOCAB ",\"merges\":{}}}", "model: merges: expected a list");
	refused("{\"model\":{" VOCAB ",\"merges\":[],\"end_of_word_suffix\":\"</w>\"}}",
	        "model: end_of_word_suffix: is not supported");
	refused(BARE "x", "byte 88: expected the end, found 'x'");
	refused("{\"model\":" MODEL ",\"model\":" MODEL "}", "model: is there twice");
}
END_TEST

START_TEST(parts_are_refused)
{
	refused(WITH("\"normalizer\":{\"type\":\"Lower\"}"),
	        "normalizer: type \"Lower\" is not supported");
	refused(WITH("\"normalizer\":[]"),
	        "normalizer: expected an object with a type, found an array");
	refused(WITH("\"normalizer\":{\"type\":\"Sequence\"}"),
	        "normalizer: Sequence: normalizers: expected a list");
	refused(WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"([\"},"
	             "\"behavior\":\"Isolated\"}"),
	        "pre_tokenizer: Split: expression, byte 2: missing terminating ] for "
	        "character class");
	refused(WITH("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"a\"},"
	             "\"behavior\":\"Sideways\"}"),
	        "pre_tokenizer: Split: behavior \"Sideways\" is not known");
	refused(WITH("\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\","
	             "\"prepend_scheme\":\"last\"}"),
	        "pre_tokenizer: Metaspace: prepend_scheme \"last\" is not known");
	refused(WITH("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":["
	             "{\"SpecialToken\":{\"id\":\"<s>\"}}]}"),
	        "post_processor: TemplateProcessing: special_tokens: \"<s>\": ids: missing");
	refused(WITH("\"post_processor\":{\"type\":\"RobertaProcessing\",\"sep\":[\"x\",77],"
	             "\"cls\":[\"b\",1]}"),
	        "token id 77 is added at the ends but is not in the vocabulary");
	refused(WITH("\"decoder\":{\"type\":\"Wordy\"}"),
	        "decoder: type \"Wordy\" is not supported");
	refused(WITH("\"decoder\":{\"type\":\"ByteLevel\"}"),
	        "decoder: ByteLevel: without a ByteLevel pre-tokenizer or normalizer");
	refused(WITH(ADDED("<x>", "7", FLAGS("false", "false", "false", "false", "1"))),
	        "added_tokens: token 0: special: expected true or false");
	refused(WITH(ADDED("<x>", "7", "\"special\":true")),
	        "added_tokens: token 0: single_word: missing");
	refused(WITH(ADDED("<x>", "-7", FLAGS("false", "false", "false", "false", "true"))),
	        "added_tokens: token 0: id -7, expected 0 to 2097151");
	refused(WITH(ADDED("<x>", "1", FLAGS("false", "false", "false", "false", "true"))),
	        "added token 0: token id 1 is there twice");
	refused(WITH("\"added_tokens\":[7]"), "added_tokens: token 0: expected an object");
}
END_TEST

/* Sequences within sequences, and more steps than there is room for. */
START_TEST(nesting_has_an_end)
{
	struct buf b = { 0 };

	buf_add_text(&b, "{\"normalizer\":");
	for (int i = 0; i < 12; i++)
		buf_add_text(&b, "{\"type\":\"Sequence\",\"normalizers\":[");
	buf_add_text(&b, "{\"type\":\"NFC\"}");
	for (int i = 0; i < 12; i++)
		buf_add_text(&b, "]}");
	buf_add_text(&b, ",\"model\":" MODEL "}");
	refused((char *)b.p, "normalizer: Sequence: more than 8 deep");
	buf_clear(&b);
	buf_add_text(&b, "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
	for (int i = 0; i < 17; i++)
		buf_add_text(&b, i ? ",{\"type\":\"Digits\"}" : "{\"type\":\"Digits\"}");
	buf_add_text(&b, "]},\"model\":" MODEL "}");
	refused((char *)b.p, "pre_tokenizer: Digits: more than 16 steps");
	buf_release(&b);
}
END_TEST

/* What a file makes of a text stays within bounds. */
START_TEST(texts_that_grow_are_refused)
{
	struct buf b = { 0 }, text = { 0 };
	struct tokenizer *t = NULL;
	struct ids v = { 0 };
	struct err e = { 0 };

	buf_add_text(&b, "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},"
	                 "\"content\":\"");
	for (int i = 0; i < 50000; i++) {
		buf_add_byte(&b, 'b');
		buf_add_byte(&text, 'a');
	}
	buf_add_text(&b, "\"},\"model\":" MODEL "}");
	ck_assert_int_eq(parse(&t, (char *)b.p, &e), 0);
	ck_assert_int_eq(tokenizer_encode(t, buf_bytes(&text), 0, &v, &e), -1);
	ck_assert_str_eq(e.text, "normalizer: more than 2648576 bytes");
	ck_assert_int_eq(e.kind, ERR_INPUT);
	ck_assert_uint_eq(v.n, 0);
	ids_release(&v);
	buf_release(&b);
	buf_release(&text);
	tokenizer_close(t);
}
END_TEST

/* Cut anywhere, a file is refused; with any byte changed nothing worse. */
START_TEST(every_cut_and_every_flip)
{
	struct buf b = { 0 };
	struct err e = { 0 };
	struct tokenizer *t = NULL;

	ck_assert_int_eq(file_read(&b, "tests/data/text/byte.json", 1 << 20, &e), 0);
	for (size_t n = 0; n < b.n - 1; n += 1 + n / 500) {
		unsigned char *copy = malloc(n ? n : 1); /* for a sanitizer to see its end */

		memcpy(copy, b.p, n);
		ck_assert_int_eq(tokenizer_parse(&t, TOKENIZER_JSON, (struct bytes){ copy, n }, &e),
		                 -1);
		ck_assert_int_eq(e.kind, ERR_INPUT);
		free(copy);
	}
	for (size_t i = 0; i < 4096; i += 3) {
		unsigned char was = b.p[i];

		b.p[i] ^= (unsigned char)(1u << i % 8);
		if (!tokenizer_parse(&t, TOKENIZER_JSON, buf_bytes(&b), &e))
			tokenizer_close(t);
		b.p[i] = was;
	}
	buf_release(&b);
}
END_TEST

Suite *hf_suite(void)
{
	Suite *s = suite_create("hf");
	TCase *c = tcase_create("hf");

	tcase_set_timeout(c, 60);
	tcase_add_test(c, models_are_read_in_any_order);
	tcase_add_test(c, unknown_characters);
	tcase_add_test(c, parts_of_the_pipeline);
	tcase_add_test(c, added_tokens);
	tcase_add_test(c, files_are_refused);
	tcase_add_test(c, parts_are_refused);
	tcase_add_test(c, nesting_has_an_end);
	tcase_add_test(c, texts_that_grow_are_refused);
	tcase_add_test(c, every_cut_and_every_flip);
	suite_add_tcase(s, c);
	return s;
}
