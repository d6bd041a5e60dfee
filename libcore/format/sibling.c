/* SPDX-License-Identifier: MIT */
/* sibling.c - the small files beside the weights: config, tokenizer,
 * templates. Only plain names in the one directory, or in a folder of it; a
 * link may not lead out of it, except as Hugging Face's cache has it, where
 * snapshots/REV/NAME leads to blobs/DIGEST of the same repository. */
#include "format/container.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off */
/* What belongs to a model and is copied with it. Patterns as in the shell. */
static const char *const known[] = {
	"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
	"tokenizer.model", "tokenizer.bin", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model",
	"tiktoken.model", "*.tiktoken", "chat_template.jinja", "chat_template.json",
	"preprocessor_config.json", "processor_config.json", "adapter_config.json", "params.json",
	"quantize_config.json", "modules.json", "sentence_bert_config.json",
	"configuration_*.py", "modeling_*.py", "tokenization_*.py",
};
/* clang-format on */

bool sibling_name_ok(const char *name)
{
	if (name[0] == '\0' || name[0] == '.' || strlen(name) > 255)
		return false;
	for (const char *p = name; *p; p++)
		if (*p == '/' || *p == '\\' || (unsigned char)*p < 32)
			return false;
	return true;
}

static bool is_inside(const char *path, const char *dir, size_t n_dir)
{
	if (n_dir == 1 && dir[0] == '/')
		return true;
	return !strncmp(path, dir, n_dir) && path[n_dir] == '/';
}

/* `real` may be used for a file of `dir`; both are resolved paths. */
static bool may_lead_to(const char *real, const char *dir)
{
	static const char snapshots[] = "/snapshots/";
	const char *revision = strrchr(dir, '/');
	size_t n = revision ? (size_t)(revision - dir) : 0, tail = sizeof snapshots - 2;
	char blobs[4096 + 8];

	if (is_inside(real, dir, strlen(dir)))
		return true;
	if (n < tail || strncmp(dir + n - tail, snapshots, tail) || n >= 4096)
		return false;
	n -= tail;
	memcpy(blobs, dir, n);
	strcpy(blobs + n, "/blobs");
	return is_inside(real, blobs, strlen(blobs));
}

/* NAME, or FOLDER/NAME. */
static bool is_beside(const char *name)
{
	const char *slash = strchr(name, '/');
	char folder[256];

	if (!slash)
		return sibling_name_ok(name);
	if ((size_t)(slash - name) >= sizeof folder)
		return false;
	memcpy(folder, name, (size_t)(slash - name));
	folder[slash - name] = '\0';
	return sibling_name_ok(folder) && sibling_name_ok(slash + 1);
}

int sibling_open(struct file_map *out, const char *dir, const char *name, struct arena *a,
                 struct err *e)
{
	char *path, *real = NULL, *real_dir = NULL;
	int found = -1;

	if (!is_beside(name))
		return err_set(e, ERR_INPUT, "%s: expected a plain file name", name);
	path = file_join(a, dir, name, e);
	if (!path)
		return -1;
	real = realpath(path, NULL);
	if (!real && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	real_dir = realpath(dir, NULL);
	if (!real || !real_dir)
		err_errno(e, "%s", path);
	else if (!may_lead_to(real, real_dir))
		err_set(e, ERR_INPUT, "%s: a link that leaves the model's directory", path);
	else if (file_map(out, real, e))
		err_in(e, "%s", path);
	else
		found = 1;
	free(real);
	free(real_dir);
	return found;
}

static bool is_known(const char *name)
{
	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (!fnmatch(known[i], name, FNM_PERIOD))
			return true;
	return false;
}

int sibling_list(const char *const **out, size_t *n, const char *dir, struct arena *a,
                 struct err *e)
{
	size_t n_all, n_kept = 0;
	char **all = file_list(a, dir, &n_all, e);
	const char **kept;

	if (!all)
		return -1;
	kept = arena_new(a, n_all + 1, sizeof *kept, e);
	if (!kept)
		return -1;
	for (size_t i = 0; i < n_all; i++)
		if (is_known(all[i]))
			kept[n_kept++] = all[i];
	*out = kept;
	*n = n_kept;
	return 0;
}
