/* SPDX-License-Identifier: MIT */
/* config.c - the options of a command from a YAML file
 *
 * The option tables are the schema: a key is a long option's name, its value
 * what the option takes. What the command line or the environment says goes
 * before; what the file says is checked all the same. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "util/file.h"
#include "util/yaml.h"

enum { ARENA_BYTES = 64 << 20 };

/* The texts of a file, which the options point to. */
struct cli_config { struct arena arena; };

static bool is(const struct yaml *y, const char *word)
{
	return y->kind == YAML_TEXT && y->plain && strcmp(y->text, word) == 0;
}

static int expected(const struct yaml *y, const char *what, struct err *e)
{
	return err_set(e, ERR_INPUT, "%s: expected %s, found %s", y->key, what, yaml_kind(y));
}

static int set_one(const struct row *r, const struct yaml *y, const char *key, struct err *e)
{
	if (row_set(key, r, y->text, e) == 0)
		return 0;
	e->kind = ERR_INPUT;
	return -1;
}

static int set_texts(const struct row *r, const struct yaml *y, struct err *e)
{
	if (y->kind == YAML_TEXT)
		return set_one(r, y, y->key, e);
	if (y->kind != YAML_LIST)
		return expected(y, "a text or a list of texts", e);
	for (const struct yaml *c = y->child; c; c = c->next) {
		if (c->kind != YAML_TEXT)
			return expected(y, "a text or a list of texts", e);
		if (set_one(r, c, y->key, e))
			return -1;
	}
	return 0;
}

static int set(const struct row *r, const struct yaml *y, struct err *e)
{
	if (!r->o.arg && r->o.type == CLI_FLAG) {
		if (!is(y, "true") && !is(y, "false"))
			return expected(y, "true or false", e);
		*(bool *)r->at = is(y, "true");
		return 0;
	}
	if (r->o.type == CLI_TEXTS)
		return set_texts(r, y, e);
	if (r->o.type == CLI_COUNT) {
		if (!(y->kind == YAML_TEXT && y->text[0] >= '0' && y->text[0] <= '9' && !y->text[1]))
			return expected(y, "a number from 0 to 9", e);
		*(int *)r->at = y->text[0] - '0';
		return 0;
	}
	if (y->kind != YAML_TEXT)
		return expected(y, r->o.type == CLI_TEXT ? "a text" : "a number or a word", e);
	if (is(y, "") || is(y, "~") || is(y, "null"))
		return err_set(e, ERR_INPUT, "%s: expected %s, found nothing", y->key, r->o.arg);
	return set_one(r, y, y->key, e);
}

/* A row that was seen keeps its value: the file's goes here. */
union unused {
	struct cli_texts texts;
	const char *text;
	size_t size;
	int number;
	bool flag;
};

static int apply_key(struct option_rows *rows, const struct yaml *y, struct err *e)
{
	struct row *found = row_find(rows, 0, y->key, strlen(y->key)), r;
	union unused unused = { 0 };

	if (!found)
		return err_set(e, ERR_INPUT, "unknown key \"%s\"", y->key);
	if (found->o.type == CLI_CONFIG || !strcmp(found->o.name, "help") ||
	    !strcmp(found->o.name, "version") || found->o.once)
		return err_set(e, ERR_INPUT, "%s: only on the command line", y->key);
	r = *found;
	if (found->seen)
		r.at = &unused;
	return set(&r, y, e);
}

static int apply(struct option_rows *rows, struct arena *a, struct bytes text, const char *path,
                 struct err *e)
{
	struct yaml *root;

	if (yaml_parse(&root, a, text, e)) {
		struct err inner = *e;

		return err_set(e, inner.kind, "%s:%.900s", path, inner.text);
	}
	if (root->kind != YAML_MAP)
		return err_set(e, ERR_INPUT, "%s:%zu: expected a map of options, found %s", path,
		               root->line, yaml_kind(root));
	for (const struct yaml *y = root->child; y; y = y->next)
		if (apply_key(rows, y, e))
			return err_in(e, "%s:%zu", path, y->line);
	return 0;
}

int rows_from_file(struct option_rows *rows, const char *path, struct cli_common *common,
                 struct err *e)
{
	struct buf text = { 0 };
	int rc;

	common->config = calloc(1, sizeof *common->config);
	if (!common->config)
		return err_memory(e, sizeof *common->config);
	arena_init(&common->config->arena, ARENA_BYTES);
	rc = file_read(&text, path, YAML_BYTES, e);
	rc = rc ? err_in(e, "%s", path) :
	          apply(rows, &common->config->arena, buf_bytes(&text), path, e);
	buf_release(&text);
	return rc;
}

void cli_release(struct cli_common *common)
{
	if (common->config)
		arena_release(&common->config->arena);
	free(common->config);
	common->config = NULL;
}
