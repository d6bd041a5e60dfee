/* SPDX-License-Identifier: MIT */
/* hf_pre.c - the pre-tokenizers of a tokenizer.json. */
#include <string.h>

#include "text/hf.h"

static int add_step(struct tokenizer *t, struct step s, struct err *e)
{
	if (t->splitter.n == STEPS_MAX) {
		regex_close(s.regex);
		return err_set(e, ERR_INPUT, "more than %d steps", STEPS_MAX);
	}
	s.mapped = t->byte_level;
	t->splitter.step[t->splitter.n++] = s;
	return 0;
}

static int get_behaviour(const cJSON *o, enum behaviour fallback, enum behaviour *out,
                         struct err *e)
{
	static const struct {
		const char *name;
		enum behaviour is;
	} row[] = {
		{ "Isolated", SPLIT_ISOLATED },
		{ "Removed", SPLIT_REMOVED },
		{ "MergedWithPrevious", SPLIT_WITH_PREVIOUS },
		{ "MergedWithNext", SPLIT_WITH_NEXT },
		{ "Contiguous", SPLIT_CONTIGUOUS },
	};
	const char *name = NULL;
	int has = json_get_text(o, "behavior", &name, e);

	*out = fallback;
	if (has <= 0)
		return has;
	for (size_t i = 0; i < sizeof row / sizeof *row; i++)
		if (!strcmp(name, row[i].name)) {
			*out = row[i].is;
			return 0;
		}
	return err_set(e, ERR_INPUT, "behavior \"%s\" is not known", name);
}

static int read_split(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_LITERAL };
	bool is_regex;

	if (part_pattern(t, o, &s.literal, &is_regex, e) ||
	    get_behaviour(o, SPLIT_ISOLATED, &s.behaviour, e) ||
	    part_bool(o, "invert", false, &s.invert, e))
		return -1;
	if (!is_regex)
		return add_step(t, s, e);
	s.kind = STEP_REGEX;
	s.scan = scan_find(s.literal);
	if (s.scan && s.behaviour == SPLIT_ISOLATED && !t->byte_level)
		s.kind = STEP_SCAN;
	else if (regex_open(&s.regex, s.literal, REGEX_FILE, e))
		return -1;
	return add_step(t, s, e);
}

static int read_byte_level(struct tokenizer *t, const cJSON *o, struct err *e)
{
	bool prefix, cut;

	if (t->byte_level)
		return err_set(e, ERR_INPUT, "is there twice");
	if (part_bool(o, "add_prefix_space", true, &prefix, e) ||
	    part_bool(o, "use_regex", true, &cut, e))
		return -1;
	if (prefix && add_step(t, (struct step){ .kind = STEP_PREFIX }, e))
		return -1;
	if (cut && add_step(t, (struct step){ .kind = STEP_SCAN, .scan = scan_at(0) }, e))
		return -1;
	t->byte_level = true;
	return 0;
}

static int read_digits(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_DIGITS };

	if (part_bool(o, "individual_digits", false, &s.each, e))
		return -1;
	s.behaviour = s.each ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS;
	return add_step(t, s, e);
}

static int read_punctuation(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_PUNCTUATION };

	return get_behaviour(o, SPLIT_ISOLATED, &s.behaviour, e) ? -1 : add_step(t, s, e);
}

static int read_white(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_step(t, (struct step){ .kind = STEP_WHITE, .behaviour = SPLIT_REMOVED }, e);
}

int part_prepend(const cJSON *o, enum prepend *out, struct err *e)
{
	const char *name = NULL;
	bool prefix;
	int has = json_get_text(o, "prepend_scheme", &name, e);

	if (has < 0 || part_bool(o, "add_prefix_space", true, &prefix, e))
		return -1;
	if (!has)
		*out = prefix ? PREPEND_ALWAYS : PREPEND_NEVER;
	else if (!strcmp(name, "always"))
		*out = PREPEND_ALWAYS;
	else if (!strcmp(name, "first"))
		*out = PREPEND_FIRST;
	else if (!strcmp(name, "never"))
		*out = PREPEND_NEVER;
	else
		return err_set(e, ERR_INPUT, "prepend_scheme \"%s\" is not known", name);
	return 0;
}

static int read_metaspace(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_METASPACE, .behaviour = SPLIT_WITH_NEXT };
	bool cut;

	if (part_text(t, o, "replacement", &s.literal, e) || part_prepend(o, &s.prepend, e) ||
	    part_bool(o, "split", true, &cut, e))
		return -1;
	if (t->byte_level || !s.literal.n)
		return err_set(e, ERR_INPUT,
		               t->byte_level ? "after ByteLevel is not supported" :
		                               "replacement: empty");
	s.keep_whole = !cut;
	return add_step(t, s, e);
}

/* A run of one script, white space and what belongs to none within it; what
 * comes before the first is dropped. Kana counts as Han, as U+30FC does. */
static const char *const scripts[] = {
	"Common",
	"Inherited",
	"Adlam",
	"Ahom",
	"Anatolian_Hieroglyphs",
	"Arabic",
	"Armenian",
	"Avestan",
	"Balinese",
	"Bamum",
	"Bassa_Vah",
	"Batak",
	"Bengali",
	"Bhaiksuki",
	"Bopomofo",
	"Brahmi",
	"Braille",
	"Buginese",
	"Buhid",
	"Canadian_Aboriginal",
	"Carian",
	"Caucasian_Albanian",
	"Chakma",
	"Cham",
	"Cherokee",
	"Chorasmian",
	"Coptic",
	"Cuneiform",
	"Cypriot",
	"Cypro_Minoan",
	"Cyrillic",
	"Deseret",
	"Devanagari",
	"Dives_Akuru",
	"Dogra",
	"Duployan",
	"Egyptian_Hieroglyphs",
	"Elbasan",
	"Elymaic",
	"Ethiopic",
	"Georgian",
	"Glagolitic",
	"Gothic",
	"Grantha",
	"Greek",
	"Gujarati",
	"Gunjala_Gondi",
	"Gurmukhi",
	"Hangul",
	"Hanifi_Rohingya",
	"Hanunoo",
	"Hatran",
	"Hebrew",
	"Imperial_Aramaic",
	"Inscriptional_Pahlavi",
	"Inscriptional_Parthian",
	"Javanese",
	"Kaithi",
	"Kannada",
	"Kayah_Li",
	"Kharoshthi",
	"Khitan_Small_Script",
	"Khmer",
	"Khojki",
	"Khudawadi",
	"Lao",
	"Latin",
	"Lepcha",
	"Limbu",
	"Linear_A",
	"Linear_B",
	"Lisu",
	"Lycian",
	"Lydian",
	"Mahajani",
	"Makasar",
	"Malayalam",
	"Mandaic",
	"Manichaean",
	"Marchen",
	"Masaram_Gondi",
	"Medefaidrin",
	"Meetei_Mayek",
	"Mende_Kikakui",
	"Meroitic_Cursive",
	"Meroitic_Hieroglyphs",
	"Miao",
	"Modi",
	"Mongolian",
	"Mro",
	"Multani",
	"Myanmar",
	"Nabataean",
	"Nandinagari",
	"New_Tai_Lue",
	"Newa",
	"Nko",
	"Nushu",
	"Nyiakeng_Puachue_Hmong",
	"Ogham",
	"Ol_Chiki",
	"Old_Hungarian",
	"Old_Italic",
	"Old_North_Arabian",
	"Old_Permic",
	"Old_Persian",
	"Old_Sogdian",
	"Old_South_Arabian",
	"Old_Turkic",
	"Old_Uyghur",
	"Oriya",
	"Osage",
	"Osmanya",
	"Pahawh_Hmong",
	"Palmyrene",
	"Pau_Cin_Hau",
	"Phags_Pa",
	"Phoenician",
	"Psalter_Pahlavi",
	"Rejang",
	"Runic",
	"Samaritan",
	"Saurashtra",
	"Sharada",
	"Shavian",
	"Siddham",
	"SignWriting",
	"Sinhala",
	"Sogdian",
	"Sora_Sompeng",
	"Soyombo",
	"Sundanese",
	"Syloti_Nagri",
	"Syriac",
	"Tagalog",
	"Tagbanwa",
	"Tai_Le",
	"Tai_Tham",
	"Tai_Viet",
	"Takri",
	"Tamil",
	"Tangsa",
	"Tangut",
	"Telugu",
	"Thaana",
	"Thai",
	"Tibetan",
	"Tifinagh",
	"Tirhuta",
	"Toto",
	"Ugaritic",
	"Vai",
	"Vithkuqi",
	"Wancho",
	"Warang_Citi",
	"Yezidi",
	"Yi",
	"Zanabazar_Square",
};

static int read_scripts(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_REGEX, .behaviour = SPLIT_REMOVED, .invert = true };
	struct buf b = { .ceiling = REGEX_BYTES };
	int rc = -1;

	(void)o;
	buf_add_text(&b, "[\\p{sc:Han}\\p{sc:Hiragana}\\p{sc:Katakana}\\x{30FC}]"
	                 "[\\p{sc:Han}\\p{sc:Hiragana}\\p{sc:Katakana}\\x{30FC} "
	                 "\\p{sc:Unknown}]*");
	for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++)
		buf_printf(
			&b,
			"|(?![ \\x{30FC}])\\p{sc:%s}(?:(?!\\x{30FC})[\\p{sc:%s} \\p{sc:Unknown}])*",
			scripts[i], scripts[i]);
	s.literal.p = (unsigned char *)arena_text(&t->arena, (char *)b.p, b.n, e);
	s.literal.n = b.n;
	if (s.literal.p && !buf_check(&b, e) && !regex_open(&s.regex, s.literal, REGEX_OURS, e))
		rc = add_step(t, s, e);
	buf_release(&b);
	return rc;
}

static int read_bert(struct tokenizer *t, const cJSON *o, struct err *e)
{
	return read_white(t, o, e) ? -1 : add_step(t, (struct step){ .kind = STEP_PUNCTUATION }, e);
}

static int read_words(struct tokenizer *t, const cJSON *o, struct err *e)
{
	(void)o;
	return add_step(t, (struct step){ .kind = STEP_WORDS, .behaviour = SPLIT_REMOVED }, e);
}

static int read_delimiter(struct tokenizer *t, const cJSON *o, struct err *e)
{
	struct step s = { .kind = STEP_LITERAL, .behaviour = SPLIT_REMOVED };

	if (part_text(t, o, "delimiter", &s.literal, e))
		return -1;
	if (!s.literal.n || chars_len(s.literal.p, s.literal.n) != s.literal.n)
		return err_set(e, ERR_INPUT, "delimiter: expected one character");
	return add_step(t, s, e);
}

int hf_read_splitter(struct tokenizer *t, struct bytes json, struct err *e)
{
	static const struct part row[] = {
		{ "Split", read_split },
		{ "ByteLevel", read_byte_level },
		{ "Digits", read_digits },
		{ "Punctuation", read_punctuation },
		{ "WhitespaceSplit", read_white },
		{ "Metaspace", read_metaspace },
		{ "BertPreTokenizer", read_bert },
		{ "Whitespace", read_words },
		{ "CharDelimiterSplit", read_delimiter },
		{ "UnicodeScripts", read_scripts },
	};
	static const struct part_table table = { row, sizeof row / sizeof *row, "pretokenizers" };

	return part_read(t, &table, json, e) ? err_in(e, "pre_tokenizer") : 0;
}
