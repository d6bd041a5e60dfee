/* SPDX-License-Identifier: MIT */
/* Kinds of models and parts beside byte-level BPE; ids by the rules of the
 * format, worked out by hand. */
#include "text/text.h"

#include <check.h>
#include <string.h>

Suite *hf_kinds_suite(void);

static void gives(const char *json, const char *text, const char *ids, const char *back)
{
	struct tokenizer *t = NULL;
	struct err e = { 0 };
	struct ids v = { 0 };
	struct buf b = { 0 };
	struct detok d;

	ck_assert_msg(!tokenizer_parse(&t, TOKENIZER_JSON, bytes_of(json), &e), "%s: %s", json,
	              e.text);
	ck_assert_int_eq(tokenizer_encode(t, bytes_of(text),
	                                  ENCODE_ADD_SPECIAL | ENCODE_PARSE_SPECIAL, &v, &e),
	                 0);
	buf_add_text(&b, "");
	for (size_t i = 0; i < v.n; i++)
		buf_printf(&b, i ? " %d" : "%d", v.id[i]);
	ck_assert_str_eq((char *)b.p, ids);
	buf_clear(&b);
	buf_add_text(&b, "");
	detok_init(&d, t);
	for (size_t i = 0; i < v.n; i++)
		ck_assert_int_eq(detok_add(&d, v.id[i], &b, &e), 0);
	ck_assert_int_eq(detok_end(&d, &b, &e), 0);
	if (back)
		ck_assert_str_eq((char *)b.p, back);
	buf_release(&b);
	ids_release(&v);
	tokenizer_close(t);
}

static void refused(const char *json, const char *message)
{
	struct tokenizer *t = NULL;
	struct err e = { 0 };

	ck_assert_int_eq(tokenizer_parse(&t, TOKENIZER_JSON, bytes_of(json), &e), -1);
	ck_assert_str_eq(e.text, message);
}

#define BERT                                                                               \
	"{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"                \
	"\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"        \
	"\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"                               \
	"\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"##\",\"cleanup\":true},"         \
	"\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"?\","                           \
	"\"continuing_subword_prefix\":\"##\",\"max_input_chars_per_word\":6,"             \
	"\"vocab\":{\"?\":0,\"un\":1,\"##aff\":2,\"##able\":3,\".\":4,\"\xE6\x97\xA5\":5," \
	"\"a\":6,\"##a\":7,\"'\":8}}}"

START_TEST(wordpiece_cuts_greedily)
{
	gives(BERT,
	      "Un\xC3\xA1"
	      "ff a",
	      "1 2 6", "unaff a");
	gives(BERT, "unx a", "0 6", "? a");
	gives(BERT, "aaaaaa aaaaaaa", "6 7 7 7 7 7 0", "aaaaaa?");
	gives(BERT,
	      "a.\xE6\x97\xA5"
	      "a\x01",
	      "6 4 5 6", "a. \xE6\x97\xA5 a");
}
END_TEST

#define LEVEL(pre, vocab)                                                             \
	"{\"pre_tokenizer\":" pre ",\"model\":{\"type\":\"WordLevel\",\"unk_token\":" \
	"\"?\",\"vocab\":{\"?\":0," vocab "}}}"

START_TEST(wordlevel_and_pre_tokenizers)
{
	gives(LEVEL("{\"type\":\"Whitespace\"}", "\"a\":1,\"!?\":2"), " a!? b\n", "1 2 0",
	      "a !? ?");
	gives(LEVEL("{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"|\"}", "\"a b\":1"), "a b||c",
	      "1 0", NULL);
	gives(LEVEL("{\"type\":\"UnicodeScripts\"}", "\"ab \":1,\"\xE3\x81\x82\xE6\x97\xA5\":2"),
	      " ab \xE3\x81\x82\xE6\x97\xA5", "1 2", NULL);
}
END_TEST

START_TEST(unigram_takes_the_best_path)
{
	static const char json[] =
		"{\"normalizer\":{\"type\":\"Nmt\"},\"pre_tokenizer\":{\"type\":\"Metaspace\","
		"\"replacement\":\"\xE2\x96\x81\",\"prepend_scheme\":\"always\"},"
		"\"decoder\":{\"type\":\"Metaspace\",\"replacement\":\"\xE2\x96\x81\","
		"\"prepend_scheme\":\"always\"},"
		"\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],"
		"[\"\xE2\x96\x81\",-2],[\"a\",-2.5],[\"ab\",-6],[\"b\",-3],[\"\xE2\x96\x81"
		"ab\",-7.25]]}}";

	gives(json, "ab xya\tb", "5 1 0 2 1 4", "ab <unk>a b");
}
END_TEST

START_TEST(decoders_rewrite)
{
#define DECODER(d)                                                                  \
	"{\"decoder\":" d ",\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\"," \
	"\"vocab\":{\"?\":0,\"a</w>\":1,\"--a-b\":2,\"|\":3}},\"pre_tokenizer\":"   \
	"{\"type\":\"WhitespaceSplit\"}}"
	gives(DECODER("{\"type\":\"BPEDecoder\",\"suffix\":\"</w>\"}"), "a</w> ? a</w>", "1 0 1",
	      "a ?a");
	gives(DECODER("{\"type\":\"CTC\",\"pad_token\":\"-\",\"word_delimiter_token\":\"|\","
	              "\"cleanup\":true}"),
	      "--a-b --a-b | ?", "2 2 3 0", "ab ?");
	gives(DECODER("{\"type\":\"Strip\",\"content\":\"-\",\"start\":1,\"stop\":1}"), "--a-b ?",
	      "2 0", "-a-b?");
	gives(DECODER("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"-+\"},\"content\":\"_\"}"),
	      "--a-b ?", "2 0", "_a_b?");
#undef DECODER
}
END_TEST

START_TEST(normalizers_rewrite)
{
#define NORMAL(n, word)                                                                    \
	"{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" n "]},"                 \
	"\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"?\",\"vocab\":{\"?\":0,\"" word \
	"\":1}}}"
	gives(NORMAL("{\"type\":\"Lowercase\"}", "i\xCC\x87\xC3\xA4"), "\xC4\xB0\xC3\x84", "1",
	      NULL);
	gives(NORMAL("{\"type\":\"NFD\"},{\"type\":\"StripAccents\"}", "aO"), "\xC3\xA4\xC3\x96",
	      "1", NULL);
	gives(NORMAL("{\"type\":\"NFKC\"},{\"type\":\"Strip\"}", "fi"), " \xEF\xAC\x81\n", "1",
	      NULL);
#undef NORMAL
}
END_TEST

START_TEST(kinds_are_refused)
{
	refused(LEVEL("{\"type\":\"CharDelimiterSplit\",\"delimiter\":\"ab\"}", "\"a\":1"),
	        "pre_tokenizer: CharDelimiterSplit: delimiter: expected one character");
	refused("{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}",
	        "model: unk_token: missing, or not in the vocabulary");
	refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":{\"a\":0}}}",
	        "model: vocab: expected a list of texts and scores");
	refused("{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}",
	        "model: unk_id: 1, expected an id below 1");
	refused("{\"model\":{\"type\":\"Bigram\",\"vocab\":{\"a\":0}}}",
	        "model: type: \"Bigram\" is not supported");
	refused("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"a\"},"
	        "\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}",
	        "normalizer: Precompiled: precompiled_charsmap: expected base64");
}
END_TEST

Suite *hf_kinds_suite(void)
{
	Suite *s = suite_create("hf_kinds");
	TCase *c = tcase_create("kinds");

	tcase_add_test(c, wordpiece_cuts_greedily);
	tcase_add_test(c, wordlevel_and_pre_tokenizers);
	tcase_add_test(c, unigram_takes_the_best_path);
	tcase_add_test(c, decoders_rewrite);
	tcase_add_test(c, normalizers_rewrite);
	tcase_add_test(c, kinds_are_refused);
	suite_add_tcase(s, c);
	return s;
}
