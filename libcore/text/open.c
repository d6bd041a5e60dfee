/* SPDX-License-Identifier: MIT */
/* open.c - finds a model's tokenizer: a row per kind of file, the first that
 * is there counts. */
#include <stdio.h>

#include "text/tokenizer.h"

/* 1 read, 0 not there, -1 failed. */
typedef int find_fn(struct tokenizer *t, struct source *s, const char *name, struct err *e);

static int find_gguf(struct tokenizer *t, struct source *s, const char *name, struct err *e)
{
	if (source_container(s) != CONTAINER_GGUF || !source_meta(s, name))
		return 0;
	return gguf_vocab_read(t, s, e) ? -1 : 1;
}

static int find_json(struct tokenizer *t, struct source *s, const char *name, struct err *e)
{
	struct bytes file;
	int has = source_sibling(s, name, &file, e);

	if (has <= 0)
		return has;
	return hf_parse(t, file, e) ? err_in(e, "%s", name) : 1;
}

static int find_spm(struct tokenizer *t, struct source *s, const char *name, struct err *e)
{
	struct bytes file;
	int has = source_sibling(s, name, &file, e);

	if (has <= 0)
		return has;
	return (tiktoken_is(file) ? tiktoken_parse : spm_parse)(t, file, e) ?
	               err_in(e, "%s", name) :
	               1;
}

static int find_tiktoken(struct tokenizer *t, struct source *s, const char *name, struct err *e)
{
	struct bytes file;
	int has = source_sibling(s, name, &file, e);

	if (has <= 0)
		return has;
	return tiktoken_parse(t, file, e) ? err_in(e, "%s", name) : 1;
}

/* tokenizer.bin, or tokN.bin for a vocabulary of N as llama2.c calls it. */
static int find_llama2c(struct tokenizer *t, struct source *s, const char *name, struct err *e)
{
	struct bytes file;
	size_t n = 0;
	char own[32];
	int has;

	if (source_meta_size(s, "llama2c.vocab_size", &n, e) < 0)
		return -1;
	has = source_sibling(s, name, &file, e);
	if (!has && n) {
		snprintf(own, sizeof own, "tok%zu.bin", n);
		name = own;
		has = source_sibling(s, name, &file, e);
	}
	if (has <= 0)
		return has;
	return llama2c_vocab_parse(t, file, n, e) ? err_in(e, "%s", name) : 1;
}

static const struct {
	const char *name;
	find_fn *find;
} files[] = {
	{ "tokenizer.ggml.model", find_gguf },    { "tokenizer.json", find_json },
	{ "tokenizer.model", find_spm },          { "spiece.model", find_spm },
	{ "tiktoken.model", find_tiktoken },      { "qwen.tiktoken", find_tiktoken },
	{ "o200k_base.tiktoken", find_tiktoken }, { "cl100k_base.tiktoken", find_tiktoken },
	{ "p50k_base.tiktoken", find_tiktoken },  { "r50k_base.tiktoken", find_tiktoken },
	{ "tokenizer.bin", find_llama2c },
};

static int open_first(struct tokenizer *t, struct source *s, struct err *e)
{
	struct ends ends = { 0 };
	int found = 0;

	for (size_t i = 0; !found && i < sizeof files / sizeof *files; i++)
		found = files[i].find(t, s, files[i].name, e);
	if (found <= 0)
		return found ? -1 :
		               err_set(e, ERR_INPUT,
		                       "no tokenizer: expected tokenizer.json, "
		                       "tokenizer.model, tokenizer.bin or a GGUF "
		                       "vocabulary");
	if (source_container(s) == CONTAINER_GGUF && source_meta(s, "tokenizer.ggml.model"))
		return tokenizer_finish(t, e);
	if (hf_config_read(t, s, &ends, e) || tokenizer_finish(t, e))
		return -1;
	return config_apply(t, &ends, e);
}

int tokenizer_open(struct tokenizer **out, struct source *s, struct err *e)
{
	struct tokenizer *t = tokenizer_new(e);

	if (!t)
		return -1;
	if (open_first(t, s, e)) {
		tokenizer_close(t);
		return -1;
	}
	*out = t;
	return 0;
}
