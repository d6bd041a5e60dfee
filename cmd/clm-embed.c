/* SPDX-License-Identifier: MIT */
/* clm-embed.c - a vector per text */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "feed.h"
#include "gen/gen.h"
#include "open.h"

enum { TEXT_CEILING = 1 << 28, TEXTS = 64, ROWS = 512 };

struct args {
	struct cli_common common;
	struct open_options open;
	struct feed_options feed;
	const char *out;
	int pool;
	size_t dimensions, batch;
	bool npy, jsonl, ids, normalize, no_normalize, no_special;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option options[] = {
	{ 0, "pool", "HOW", CLI_CHOICE, AT(pool), .words = "auto mean cls last",
	  .help = "auto (what the model's files say), mean, cls or last" },
	{ 0, "normalize", NULL, CLI_FLAG, AT(normalize), .help = "vectors of length 1" },
	{ 0, "no-normalize", NULL, CLI_FLAG, AT(no_normalize),
	  .help = "as they are, whatever the model's files say" },
	{ 0, "dimensions", "N", CLI_SIZE, AT(dimensions), .min = 1, .max = (size_t)1 << 20,
	  .help = "only the first N numbers" },
	{ 0, "batch", "N", CLI_SIZE, AT(batch), .min = 1, .max = 4096,
	  .help = "texts that are computed together (64)" },
};
static const struct cli_option texts[] = {
	{ 0, "jsonl", NULL, CLI_FLAG, AT(jsonl),
	  .help = "a record a line: {\"text\" or \"ids\", and an \"id\" that comes back}" },
	{ 0, "ids", NULL, CLI_FLAG, AT(ids), .help = "the input is token ids, a text per line" },
	{ 0, "no-special", NULL, CLI_FLAG, AT(no_special),
	  .help = "do not add what the tokenizer adds (CLS, SEP, BOS, ...)" },
};
static const struct cli_option outputs[] = {
	{ 'o', "output", "FILE", CLI_TEXT, AT(out), .help = "write here; .npy chooses --npy" },
	{ 0, "npy", NULL, CLI_FLAG, AT(npy), .help = "one NumPy array, a row per text" },
};
static const struct cli_group groups[] = {
	{ .title = "Model", .option = open_model_table, .n = OPEN_MODEL_N, .base = AT(open) },
	{ .title = "Vectors", .option = options, .n = sizeof options / sizeof *options },
	{ .title = "Texts", .option = texts, .n = sizeof texts / sizeof *texts },
	{ .title = "More of them", .option = feed_table, .n = FEED_N, .base = AT(feed) },
	{ .title = "Output", .option = outputs, .n = sizeof outputs / sizeof *outputs },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "-m MODEL [OPTION...] [FILE...]",
	.about = "Prints a vector for each text, as JSON lines or as one NumPy array.",
	.group = groups,
	.n_groups = sizeof groups / sizeof *groups,
};

struct job {
	struct args a;
	struct opened o;
	struct embed_options rules;
	size_t width;
	struct ids ids;        /* of the texts that wait, one after the other */
	size_t begin[4097];    /* where each begins, and the last ends */
	char *id[4096];        /* of a record, as JSON */
	size_t n, done;
	struct buf rows;       /* for --npy, until their number is known */
	struct file_out *file; /* of JSON lines; NULL: standard output */
};

/* ---- out */

static int put_line(struct job *j, const float *row, size_t i, struct err *e)
{
	struct buf b = { 0 };
	int bad;

	if (j->id[i])
		buf_printf(&b, "{\"id\": %s, ", j->id[i]);
	else
		buf_printf(&b, "{\"index\": %zu, ", j->done + i);
	buf_printf(&b, "\"tokens\": %zu, \"embedding\": [", j->begin[i + 1] - j->begin[i]);
	for (size_t k = 0; k < j->width; k++) {
		if (k)
			buf_add_text(&b, ", ");
		json_add_f64(&b, (double)row[k]);
	}
	buf_add_text(&b, "]}\n");
	bad = buf_check(&b, e);
	if (!bad && j->file)
		bad = file_out_write(j->file, b.p, b.n, e);
	else if (!bad)
		cli_put(b.p, b.n);
	buf_release(&b);
	return bad;
}

/* Computes what waits. */
static int flush(struct job *j, struct err *e)
{
	struct embed_text *t = calloc(j->n + 1, sizeof *t);
	float *out = calloc(j->n * j->width + 1, sizeof *out);
	int bad = t && out ? 0 : err_memory(e, j->n * j->width * sizeof *out);

	for (size_t i = 0; i < j->n && !bad; i++)
		t[i] = (struct embed_text){ j->ids.id + j->begin[i], j->begin[i + 1] - j->begin[i] };
	bad = bad || (j->n && embed_texts(j->o.model, t, j->n, &j->rules, out, e));
	for (size_t i = 0; i < j->n && !bad && !j->a.npy; i++)
		bad = put_line(j, out + i * j->width, i, e);
	if (!bad && j->a.npy) {
		buf_add(&j->rows, out, j->n * j->width * sizeof *out);
		bad = buf_check(&j->rows, e);
	}
	if (!j->file && !j->a.npy)
		cli_flush();
	for (size_t i = 0; i < j->n; i++) {
		free(j->id[i]);
		j->id[i] = NULL;
	}
	j->done += j->n;
	j->n = j->ids.n = 0;
	free(t);
	free(out);
	return bad;
}

static int write_npy(struct job *j, struct err *e)
{
	struct writer_options o = { .container = CONTAINER_NPY };
	struct shape shape = shape_of(2, j->done, j->width);
	struct writer *w;

	if (writer_open(&w, j->a.out ? j->a.out : "-", false, &o, e))
		return -1;
	if (writer_declare(w, "", DT_F32, &shape, e) || writer_data(w, j->rows.p, j->rows.n, e)) {
		writer_abort(w);
		return -1;
	}
	return writer_commit(w, e);
}

/* ---- in */

static int add_text(struct job *j, struct bytes text, struct err *e)
{
	unsigned flags = ENCODE_PARSE_SPECIAL | (j->a.no_special ? 0u : ENCODE_ADD_SPECIAL);

	if (j->a.ids)
		return feed_ids(&j->ids, text, e);
	return tokenizer_encode(j->o.tokenizer, text, flags, &j->ids, e);
}

static int add_record_ids(struct job *j, const cJSON *list, struct err *e)
{
	const cJSON *v;

	cJSON_ArrayForEach(v, list) {
		if (!cJSON_IsNumber(v) || v->valuedouble != (double)v->valueint)
			return err_set(e, ERR_INPUT, "ids: expected token ids, found %s", json_kind(v));
		if (ids_add(&j->ids, v->valueint, e))
			return -1;
	}
	return 0;
}

static int add_record(struct job *j, struct bytes line, struct err *e)
{
	cJSON *json = json_parse(line, e);
	const cJSON *text = json ? json_get(json, "text") : NULL, *id, *ids;
	struct buf b = { 0 };
	int bad;

	if (!json)
		return -1;
	id = json_get(json, "id");
	ids = json_get(json, "ids");
	if (cJSON_IsString(text) && !j->a.ids)
		bad = add_text(j, bytes_of(text->valuestring), e);
	else if (cJSON_IsArray(ids))
		bad = add_record_ids(j, ids, e);
	else
		bad = err_set(e, ERR_INPUT, "expected a \"text\" or \"ids\", found neither");
	if (!bad && id) {
		bad = json_write(&b, id, 0, false, e) || buf_check(&b, e);
		j->id[j->n] = bad ? NULL : strndup((const char *)b.p, b.n);
		bad = bad || (!j->id[j->n] && err_memory(e, b.n));
	}
	buf_release(&b);
	cJSON_Delete(json);
	return bad;
}

/* Before others join it, so that a refusal names the right text. */
static int check_text(const struct job *j, const int32_t *id, size_t n, struct err *e)
{
	const struct config *c = model_config(j->o.model);

	if (!n || n > c->max_pos)
		return err_set(e, ERR_INPUT, "expected 1 to %zu tokens, found %zu", c->max_pos, n);
	for (size_t i = 0; i < n; i++)
		if (id[i] < 0 || (size_t)id[i] >= c->vocab)
			return err_set(e, ERR_INPUT, "token %zu: expected 0 to %zu, found %d", i, c->vocab - 1,
			               (int)id[i]);
	return 0;
}

static int take(struct job *j, struct bytes text, struct err *e)
{
	j->begin[j->n] = j->ids.n;
	if (j->a.jsonl ? add_record(j, text, e) : add_text(j, text, e))
		return -1;
	if (check_text(j, j->ids.id + j->begin[j->n], j->ids.n - j->begin[j->n], e))
		return -1;
	j->begin[++j->n] = j->ids.n;
	return j->n == j->a.batch ? flush(j, e) : 0;
}

static int embed_all(struct job *j, char **files, struct err *e)
{
	enum feed_cut cut = j->a.ids || j->a.jsonl ? FEED_LINES : feed_cut(&j->a.feed);
	enum feed_result r = FEED_ERROR;
	struct feed *f = NULL;
	struct bytes text;

	if (feed_open(&f, files, cut, TEXT_CEILING, e) == 0)
		while ((r = feed_next(f, true, &text, e)) == FEED_TEXT)
			if (take(j, text, e)) {
				r = err_in(e, "%s: text %zu", feed_file(f), feed_number(f));
				break;
			}
	if (r == FEED_LONG)
		r = err_set(e, ERR_INPUT, "%s: text %zu: over %d bytes", feed_file(f), feed_number(f),
		            TEXT_CEILING);
	feed_close(f);
	return r == FEED_ERROR || flush(j, e) ? -1 : 0;
}

static int open_all(struct job *j, struct err *e)
{
	struct model_options m = { .hidden = true };
	const struct config *c;
	struct config first;

	if (open_files(&j->o, &j->a.open, e) || (!j->a.ids && open_tokenizer(&j->o, e)))
		return -1;
	if (config_read(&first, j->o.source, e))
		return err_in(e, "%s", source_path(j->o.source));
	m.max_rows = first.encoder && first.max_pos > ROWS ? first.max_pos : ROWS;
	m.max_out = m.max_rows;
	config_release(&first);
	if (open_device(&j->o, &j->a.open, j->a.common.verbose, e))
		return -1;
	m.kv_tokens = open_cache_tokens(&j->o, 1, 0, e);
	if (!m.kv_tokens)
		return -1;
	m.kv_tokens += m.max_rows * PAGE_POSITIONS; /* texts of a page each fill a pass */
	if (open_weights(&j->o, &m, j->a.common.quiet, e))
		return -1;
	c = model_config(j->o.model);
	if (embed_rules(&j->rules, j->o.source, c, e))
		return err_in(e, "%s", source_path(j->o.source));
	if (j->a.pool)
		j->rules.pool = (enum embed_pool)(j->a.pool - 1);
	j->rules.normalize = (j->rules.normalize && !j->a.no_normalize) || j->a.normalize;
	j->rules.dimensions = j->a.dimensions;
	j->width = j->a.dimensions ? j->a.dimensions : c->hidden;
	if (j->width > c->hidden)
		return err_set(e, ERR_INPUT, "--dimensions: expected at most %zu, found %zu", c->hidden,
		               j->width);
	if (j->a.common.verbose)
		cli_warn("pool=%s normalize=%s dimensions=%zu",
		         (const char *[]){ "mean", "cls", "last" }[j->rules.pool],
		         j->rules.normalize ? "yes" : "no", j->width);
	return 0;
}

static int run(struct job *j, char **files, struct err *e)
{
	bool lines = j->a.out && !j->a.npy && strcmp(j->a.out, "-") != 0;

	if (open_all(j, e) || (lines && file_out_open(&j->file, j->a.out, e)))
		return -1;
	if (embed_all(j, files, e) || (j->a.npy && write_npy(j, e))) {
		file_out_abort(j->file);
		return -1;
	}
	return j->file ? file_out_commit(j->file, e) : 0;
}

int main(int argc, char **argv)
{
	struct job j = { .a = { .batch = TEXTS } };
	struct err e = { 0 };
	char **files;
	size_t n;
	int rc;

	files = cli_parse(argc, argv, &command, &j.a);
	n = j.a.out ? strlen(j.a.out) : 0;
	j.a.npy |= n > 4 && !strcmp(j.a.out + n - 4, ".npy");
	if (j.a.normalize && j.a.no_normalize)
		cli_misuse("--normalize and --no-normalize are opposites");
	if (j.a.jsonl && (j.a.feed.lines || j.a.feed.zero || j.a.feed.raw))
		cli_misuse("--jsonl has a record a line: --lines, -0 and --raw say otherwise");
	if (feed_would_wait(files))
		cli_misuse("no text: give a FILE, or text on standard input");
	rc = run(&j, files, &e);
	ids_release(&j.ids);
	buf_release(&j.rows);
	for (size_t i = 0; i < sizeof j.id / sizeof *j.id; i++)
		free(j.id[i]);
	open_release(&j.o);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
