/* SPDX-License-Identifier: MIT */
/* tiktoken.c - rank files: a line per token, its bytes in base64 and its rank,
 * which is its id. Two symbols join when their text is a token, the lowest
 * rank first. How text is cut and which tokens are special a file does not
 * say: both are known by its number of ranks. */
#include <stdlib.h>
#include <string.h>

#include "text/base64.h"
#include "text/patterns.h"
#include "text/tokenizer.h"

enum { LINE_MAX_BYTES = 1 << 17, SPECIALS = 8 };

#define P_KIMI_CASED(end)                                                                    \
	P_BEFORE "(?:(?!\\p{Han})" P_UPPER ")*(?:(?!\\p{Han})" P_LOWER ")+" end "|" P_BEFORE \
		 "(?:(?!\\p{Han})" P_UPPER ")+(?:(?!\\p{Han})" P_LOWER ")*" end

/* The last row fits any number. */
static const struct known {
	size_t n_ranks;
	const char *pattern, *bos, *eos;
	struct {
		int32_t id;
		const char *text;
	} special[SPECIALS];
} known[] = {
	{ 50256, P_GPT2 "|\\s+", NULL, "<|endoftext|>", { { 50256, "<|endoftext|>" } } },
	{ 50280, P_GPT2 "|\\s+", NULL, "<|endoftext|>", { { 50256, "<|endoftext|>" } } },
	{ 100256,
	  P_WORDS_3,
	  NULL,
	  "<|endoftext|>",
	  { { 100257, "<|endoftext|>" },
	    { 100258, "<|fim_prefix|>" },
	    { 100259, "<|fim_middle|>" },
	    { 100260, "<|fim_suffix|>" },
	    { 100276, "<|endofprompt|>" } } },
	{ 199998,
	  P_O200K,
	  NULL,
	  "<|endoftext|>",
	  { { 199999, "<|endoftext|>" }, { 200018, "<|endofprompt|>" } } },
	{ 128000,
	  P_WORDS_3,
	  "<|begin_of_text|>",
	  "<|end_of_text|>",
	  { { 128000, "<|begin_of_text|>" },
	    { 128001, "<|end_of_text|>" },
	    { 128006, "<|start_header_id|>" },
	    { 128007, "<|end_header_id|>" },
	    { 128008, "<|eom_id|>" },
	    { 128009, "<|eot_id|>" },
	    { 128010, "<|python_tag|>" } } },
	{ 151643,
	  P_WORDS_1,
	  NULL,
	  "<|endoftext|>",
	  { { 151643, "<|endoftext|>" }, { 151644, "<|im_start|>" }, { 151645, "<|im_end|>" } } },
	{ 163584,
	  "[\\p{Han}]+|" P_KIMI_CASED(P_SHORT "?") "|\\p{N}{1,3}" P_REST,
	  "[BOS]",
	  "[EOS]",
	  { { 163584, "[BOS]" }, { 163585, "[EOS]" }, { 163586, "<|im_end|>" } } },
	{ 0, P_WORDS_3, NULL, NULL, { { 0, NULL } } },
};

bool tiktoken_is(struct bytes file)
{
	size_t n = file.n < 256 ? file.n : 256, i = 0;

	/* a SentencePiece file begins with a newline's byte */
	while (i < n && file.p[i] > ' ' && file.p[i] < 0x7F)
		i++;
	return i && i + 1 < n && file.p[i] == ' ' && file.p[i + 1] >= '0' && file.p[i + 1] <= '9';
}

static int read_line(struct tokenizer *t, struct bytes line, unsigned char *room, struct err *e)
{
	const unsigned char *space = memchr(line.p, ' ', line.n);
	struct bytes text = { room, 0 };
	int64_t rank = 0;
	size_t n;
	int rc;

	if (!space)
		return err_set(e, ERR_INPUT, "expected a token, a space and a rank");
	n = (size_t)(space - line.p);
	if (n > LINE_MAX_BYTES)
		return err_set(e, ERR_INPUT, "%zu bytes, at most %d", n, LINE_MAX_BYTES);
	text.n = base64_read(room, (struct bytes){ line.p, n });
	if (!n || text.n == BASE64_BAD)
		return err_set(e, ERR_INPUT, "expected base64");
	if (n + 1 == line.n)
		return err_set(e, ERR_INPUT, "expected a rank");
	for (size_t i = n + 1; i < line.n; i++) {
		if (line.p[i] < '0' || line.p[i] > '9' || rank > VOCAB_MAX)
			return err_set(e, ERR_INPUT, "rank: expected 0 to %d", VOCAB_MAX - 1);
		rank = rank * 10 + (line.p[i] - '0');
	}
	if (vocab_set(&t->vocab, rank, text, TOKEN_NORMAL, e))
		return -1;
	t->vocab.token[rank].score = -(double)rank;
	rc = vocab_index(&t->vocab, (int32_t)rank, e);
	return rc == 1 ? err_set(e, ERR_INPUT, "the token is there twice") : rc;
}

static int read_lines(struct tokenizer *t, struct bytes file, unsigned char *room, struct err *e)
{
	struct bytes line;

	for (size_t i = 1; file.n; i++) {
		const unsigned char *end = memchr(file.p, '\n', file.n);

		line = (struct bytes){ file.p, end ? (size_t)(end - file.p) : file.n };
		file.p += line.n + (end != NULL);
		file.n -= line.n + (end != NULL);
		if (line.n && line.p[line.n - 1] == '\r')
			line.n--;
		if (line.n && read_line(t, line, room, e))
			return err_in(e, "line %zu", i);
	}
	return 0;
}

static int add_splitter(struct tokenizer *t, const char *pattern, struct err *e)
{
	struct step s = { .kind = STEP_SCAN, .literal = bytes_of(pattern) };

	s.scan = scan_find(s.literal);
	if (!s.scan) {
		s.kind = STEP_REGEX;
		if (regex_open(&s.regex, s.literal, REGEX_OURS, e))
			return -1;
	}
	t->splitter.step[t->splitter.n++] = s;
	return 0;
}

static const struct known *find_known(size_t n_ranks)
{
	const struct known *k = known;

	while (k->n_ranks && k->n_ranks != n_ranks)
		k++;
	return k;
}

int tiktoken_parse(struct tokenizer *t, struct bytes file, struct err *e)
{
	unsigned char *room;
	int rc;

	t->model = MODEL_RANK;
	t->by_text = t->byte_level = t->ignore_merges = true;
	if (vocab_init(&t->vocab, file.n / 16, e))
		return -1;
	room = malloc(LINE_MAX_BYTES);
	if (!room)
		return err_memory(e, LINE_MAX_BYTES);
	rc = read_lines(t, file, room, e);
	free(room);
	if (rc)
		return -1;
	for (unsigned b = 0; b < BYTE_TOKENS; b++) {
		unsigned char byte = (unsigned char)b;

		if (vocab_find(&t->vocab, (struct bytes){ &byte, 1 }) < 0)
			return err_set(e, ERR_INPUT, "no token for byte 0x%02X", b);
	}
	t->n_ranks = t->vocab.n_used;
	return add_splitter(t, find_known(t->n_ranks)->pattern, e);
}

static bool is_given(const struct tokenizer *t, int32_t id)
{
	for (size_t i = 0; i < t->n_given; i++)
		if (t->given[i].id == id)
			return true;
	return vocab_has(&t->vocab, id);
}

int tiktoken_specials(struct tokenizer *t, struct err *e)
{
	const struct known *k = find_known(t->n_ranks);

	for (size_t i = 0; i < SPECIALS && k->special[i].text; i++) {
		struct bytes text = bytes_of(k->special[i].text);
		struct added_token a = { .id = k->special[i].id, .flags = ADDED_SPECIAL };

		if (is_given(t, a.id))
			continue;
		a.text = text;
		if (tokenizer_add(t, a, e))
			return -1;
		if (k->bos && bytes_is(text, k->bos))
			t->bos = a.id;
		if (k->eos && bytes_is(text, k->eos))
			t->eos = a.id;
	}
	return t->bos >= 0 ? tokenizer_set_ends(t, true, false, e) : 0;
}
