/* SPDX-License-Identifier: MIT */
/* pre.c - a row per way of cutting: the names it goes by, and expressions
 * applied one after the other, each to the pieces that the last one left.
 * Where the reader that made the names only imitates upper and lower case
 * or spells cases out, rows have the models' own expressions. */
#include "text/pre.h"

#include <string.h>

#include "text/patterns.h"

enum { PATTERNS = 6, WHOLE = PRE_WHOLE, BOS = PRE_BOS, SEP = PRE_SEP, RAW = PRE_RAW };

/* clang-format off */
static const struct pre {
	const char *names;
	unsigned flags;
	const char *pattern[PATTERNS];
} pres[] = {
	{ "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 "
	  "jina-v5-nano",
	  WHOLE | BOS,
	  { P_WORDS_3 } },
	{ "jais-2",
	  0,
	  { P_SHORT P_WORD
	    "|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s{512}(?!"
	    "\\S)|\\s{256}(?!\\S)|\\s{128}(?!\\S)|\\s{64}(?!\\S)|\\s{32}(?!\\S)|"
	    "\\s{16}(?!\\S)|\\s{8}(?!\\S)|\\s{4}(?!\\S)|\\s{1,2}(?!\\S)|\\s{1}" } },
	{ "dbrx smaug-bpe",
	  0,
	  { P_WORDS_3 } },
	{ "deepseek-llm",
	  0,
	  { "[\\r\\n]",
	    "\\s?[A-Za-z\\x{00B5}\\x{00C0}-\\x{00D6}\\x{00D8}-\\x{00F6}"
	    "\\x{00F8}-\\x{01BA}\\x{01BC}-\\x{01BF}\\x{01C4}-\\x{0293}"
	    "\\x{0295}-\\x{02AF}\\x{0370}-\\x{0373}\\x{0376}\\x{0377}"
	    "\\x{037B}-\\x{037D}\\x{037F}\\x{0386}\\x{0388}-\\x{038A}"
	    "\\x{038C}\\x{038E}-\\x{03A1}\\x{03A3}-\\x{03F5}\\x{03F7}-"
	    "\\x{0481}\\x{048A}-\\x{052F}\\x{0531}-\\x{0556}\\x{10A0}-"
	    "\\x{10C5}\\x{13A0}-\\x{13F5}\\x{13F8}-\\x{13FD}\\x{1C90}-"
	    "\\x{1CBA}\\x{1CBD}-\\x{1CBF}\\x{1D00}-\\x{1D2B}\\x{1D6B}-"
	    "\\x{1D77}\\x{1D79}-\\x{1D9A}\\x{1E00}-\\x{1F15}\\x{1F18}-"
	    "\\x{1F1D}\\x{1F20}-\\x{1F45}\\x{1F48}-\\x{1F4D}\\x{1F50}-"
	    "\\x{1F57}\\x{1F59}\\x{1F5B}\\x{1F5D}\\x{1F5F}-\\x{1F7D}"
	    "\\x{1F80}-\\x{1FB4}\\x{1FB6}-\\x{1FBC}\\x{1FBE}\\x{1FC2}-"
	    "\\x{1FC4}\\x{1FC6}-\\x{1FCC}\\x{1FD0}-\\x{1FD3}\\x{1FD6}-"
	    "\\x{1FDB}\\x{1FE0}-\\x{1FEC}\\x{1FF2}-\\x{1FF4}\\x{1FF6}-"
	    "\\x{1FFC}\\x{2102}\\x{2107}\\x{210A}-\\x{2113}\\x{2115}"
	    "\\x{2119}-\\x{211D}\\x{2124}\\x{2126}\\x{2128}\\x{212A}-"
	    "\\x{212D}\\x{212F}-\\x{2134}\\x{2139}\\x{213C}-\\x{213F}"
	    "\\x{2145}-\\x{2149}\\x{214E}\\x{2183}\\x{2184}\\x{2C00}-"
	    "\\x{2C7B}\\x{2C7E}-\\x{2CE4}\\x{2CEB}-\\x{2CEE}\\x{2CF2}"
	    "\\x{2CF3}\\x{A640}-\\x{A66D}\\x{A680}-\\x{A69B}\\x{A722}-"
	    "\\x{A76F}\\x{A771}-\\x{A787}\\x{A78B}-\\x{A78E}\\x{AB70}-"
	    "\\x{ABBF}\\x{FB00}-\\x{FB06}\\x{FB13}-\\x{FB17}\\x{FF21}-"
	    "\\x{FF3A}\\x{FF41}-\\x{FF5A}\\x{10400}-\\x{1044F}\\x{104B0}-"
	    "\\x{104D3}\\x{104D8}-\\x{104FB}\\x{10C80}-\\x{10CB2}\\x{10CC0}-"
	    "\\x{10CF2}\\x{118A0}-\\x{118DF}\\x{1E900}-\\x{1E943}]+",
	    "\\s?[!-/:-~\\x{FF01}-\\x{FF0F}\\x{FF1A}-\\x{FF5E}\\x{2018}-"
	    "\\x{201F}\\x{3000}-\\x{3002}]+",
	    "\\s+$",
	    "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
	    "\\p{N}+" } },
	{ "deepseek-v3 hunyuan-dense joyai-llm",
	  0,
	  { "\\p{N}{1,3}",
	    "[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}]+",
	    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}"
	    "\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|"
	    "\\s+(?!\\S)|\\s+" } },
	{ "youtu",
	  WHOLE,
	  { "[\\x{AC00}-\\x{D7A3}\\x{3131}-\\x{318E}]+|[\\x{FF01}\\x{2026}"
	    "\\x{201C}\\x{201D}\\x{2018}\\x{2019}\\x{2014}\\x{FF1A}\\x{FF1B}"
	    "\\x{FF0C}\\x{3001}-\\x{303F}\\x{FE30}-\\x{FE4F}]+|[\\x{3105}-"
	    "\\x{312F}]+|[\\x{4E00}-\\x{9FA5}\\x{3040}-\\x{309F}\\x{30A0}-" "\\x{30FF}]+",
	    "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}"
	    "\\p{Lm}\\p{Lo}\\p{M}]+" P_SHORT
	    "?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}"
	    "\\p{Lm}\\p{Lo}\\p{M}]*" P_SHORT "?|\\p{N}" P_REST_SLASH } },
	{ "deepseek-coder",
	  0,
	  { "[\\r\\n]",
	    "\\s?\\p{L}+",
	    "\\s?\\p{P}+",
	    "[\\x{4E00}-\\x{9FA5}\\x{0800}-\\x{4E00}\\x{AC00}-\\x{D7FF}]+",
	    "\\p{N}" } },
	{ "falcon",
	  0,
	  { "[\\p{P}\\$\\+<=>\\^~\\|`]+",
	    P_GPT2,
	    "[0-9][0-9][0-9]" } },
	{ "starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
	  0,
	  { "\\p{N}",
	    P_GPT2 } },
	{ "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 "
	  "mellum modern-bert exaone4 mpt olmo jais trillion granite-docling",
	  0,
	  { P_GPT2 } },
	{ "jina-v1-en jina-v2-code roberta-bpe",
	  SEP,
	  { P_GPT2 } },
	{ "qwen2 stablelm2 deepseek-r1-qwen kormo f2llmv2 megrez hunyuan "
	  "solar-open",
	  0,
	  { P_WORDS_1 } },
	{ "qwen35",
	  0,
	  { P_SHORT P_WORD_M "|\\p{N}" P_REST_M } },
	{ "poro-chat bloom gpt3-finnish",
	  0,
	  { " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}" "\\x{06D4}\\x{060C})]+" } },
	{ "glm4 chatglm-bpe",
	  0,
	  { P_WORDS_3 } },
	{ "viking",
	  0,
	  { " ?[^(\\s|.,!?\\x{2026}\\x{3002}\\x{FF0C}\\x{3001}\\x{0964}" "\\x{06D4}\\x{060C})]+",
	    "\\p{N}" } },
	{ "tekken",
	  WHOLE | BOS,
	  { P_TEKKEN } },
	{ "chameleon",
	  BOS,
	  { "<sentinel:[0-9]+>",
	    "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
	    "([\\t\\n]|    |  )",
	    "\\p{N}",
	    "[\\p{P}!-/:-@\\[-`{-~]",
	    P_GPT2 } },
	{ "gpt-4o llama4 kanana2 talkie minimax-m2",
	  0,
	  { P_O200K } },
	{ "granite-embed-multi-97m",
	  WHOLE,
	  { "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}\\p{M}])([^a-z]))*((?=[\\p{L}\\p{M}"
	    "])([^A-Z]))+" P_SHORT
	    "?|[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}\\p{M}])([^a-z]))+((?=[\\p{L}"
	    "\\p{M}])([^A-Z]))*" P_SHORT "?|\\p{N}{1,3}" P_REST_SLASH } },
	/* digits in threes, counted from the right */
	{ "tiny_aya cohere2moe",
	  0,
	  { "\\d{1,3}(?=(?:\\d{3})*\\b)",
	    P_O200K } },
	{ "superbpe",
	  0,
	  { "\\p{N}+",
	    "(?=(\\d{3})+(?!\\d))" } },
	{ "afmoe",
	  0,
	  { "\\p{N}{1,3}(?=(?:\\p{N}{3})*(?!\\p{N}))",
	    "[\\x{4E00}-\\x{9FFF}\\x{3400}-\\x{4DBF}\\x{8C48}-\\x{FAFF}"
	    "\\x{3040}-\\x{309F}\\x{30A0}-\\x{30FF}\\x{FF65}-\\x{FF9F}"
	    "\\x{2F00}-\\x{2FDF}\\x{0E40}-\\x{0E7F}\\x{0E80}-\\x{0EFF}"
	    "\\x{1780}-\\x{17FF}\\x{1000}-\\x{109F}\\x{AA60}-\\x{AA7F}"
	    "\\x{A9E0}-\\x{A9FF}\\x{AC00}-\\x{D7AF}\\x{1100}-\\x{11FF}]+",
	    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}"
	    "\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|"
	    "\\s+(?!\\S)|\\s+" } },
	{ "kimi-k2",
	  0,
	  { "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?(?:(?!\\p{Han})[\\p{Lu}\\p{Lt}"
	    "\\p{Lm}\\p{Lo}\\p{M}])*(?:(?!\\p{Han})[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])"
	    "+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?(?:(?!"
	    "\\p{Han})[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}])+(?:(?!\\p{Han})["
	    "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}])*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|" "\\p{N}{1,3}" P_REST } },
	{ "bailingmoe bailingmoe2 llada-moe",
	  0,
	  { "'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])" P_WORD
	    "|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+" } },
	{ "seed-coder",
	  0,
	  { P_SHORT P_WORD
	    "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+" } },
	{ "grok-2",
	  0,
	  { P_WORDS_1 } },
	{ "laguna",
	  0,
	  { "[^\\n]+|[\\n]+",
	    P_WORDS_1 } },
	{ "exaone-moe",
	  0,
	  { P_SHORT "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
	    "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+" } },
	{ "gemma4",
	  RAW | PRE_MARKS | PRE_LINES,
	  { "[^\\n]+|[\\n]+" } },
	{ "granite-embed-multi-311m sarvam-moe",
	  RAW | PRE_MARKS,
	  { "[^\\n]+|[\\n]+" } },
	{ "whitespace",
	  RAW,
	  { "\\S+" } },
	{ "minicpm5",
	  WHOLE,
	  { "\\p{N}{1,3}",
	    P_SHORT P_WORD "|\\p{N}+" P_REST } },
	{ "default",
	  0,
	  { "[\\p{P}\\$\\+<=>\\^~\\|]+",
	    P_GPT2,
	    "\\p{N}+",
	    "[0-9][0-9][0-9]" } },
};
/* clang-format on */

static bool has_name(const char *names, struct bytes name)
{
	size_t n;

	for (; *names; names += n + (names[n] == ' ')) {
		n = strcspn(names, " ");
		if (n == name.n && !memcmp(names, name.p, n))
			return true;
	}
	return false;
}

static int add_pattern(struct splitter *s, const char *pattern, struct err *e)
{
	struct step p = { .kind = STEP_SCAN, .literal = bytes_of(pattern) };

	p.scan = scan_find(p.literal);
	if (!p.scan) {
		p.kind = STEP_REGEX;
		if (regex_open(&p.regex, p.literal, REGEX_OURS, e))
			return -1;
	}
	s->step[s->n++] = p;
	return 0;
}

int pre_read(struct splitter *s, unsigned *flags, struct bytes name, struct err *e)
{
	for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
		if (!has_name(pres[i].names, name))
			continue;
		*flags = pres[i].flags;
		for (size_t k = 0; k < PATTERNS && pres[i].pattern[k]; k++)
			if (add_pattern(s, pres[i].pattern[k], e))
				return -1;
		return 0;
	}
	return err_set(e, ERR_INPUT, "\"%.*s\" is not supported", (int)name.n,
	               (const char *)name.p);
}

/* The step cuts as the expression does. */
static bool step_is(const struct step *s, const char *pattern)
{
	const struct scan *scan = scan_find(bytes_of(pattern));

	if (s->invert || s->mapped)
		return false;
	if (s->kind == STEP_DIGITS)
		return !strcmp(pattern, s->each ? "\\p{N}" : "\\p{N}+");
	if (s->behaviour != SPLIT_ISOLATED)
		return false;
	if (s->kind == STEP_SCAN)
		return scan && scan->piece == s->scan->piece &&
		       scan->max_digits == s->scan->max_digits && scan->marks == s->scan->marks &&
		       scan->contractions == s->scan->contractions && scan->slash == s->scan->slash;
	return s->kind == STEP_REGEX && bytes_is(s->literal, pattern);
}

const char *pre_name(const struct splitter *s, bool whole)
{
	for (size_t i = 0; i < sizeof pres / sizeof *pres; i++) {
		size_t k = 0;

		if (!(pres[i].flags & WHOLE) != !whole || (pres[i].flags & (SEP | RAW)))
			continue;
		while (k < s->n && k < PATTERNS && pres[i].pattern[k] &&
		       step_is(&s->step[k], pres[i].pattern[k]))
			k++;
		if (k == s->n && (k == PATTERNS || !pres[i].pattern[k]))
			return pres[i].names;
	}
	return NULL;
}
