/* SPDX-License-Identifier: MIT */
/* siblings.c - the small files beside the weights: config, tokenizer,
 * templates
 *
 * What the source has is copied as it is, but for the config. What it keeps
 * in another form - a GGUF's vocabulary, llama2.c's - is written anew. */
#include "convert/plan.h"

#include <stdio.h>
#include <string.h>

/* 1: one of the names is there. */
static int any(struct source *s, const char *const *name, size_t n, struct err *e)
{
	struct bytes ignored;
	int got = 0;

	for (size_t i = 0; i < n && got == 0; i++)
		got = source_sibling(s, name[i], &ignored, e);
	return got;
}

/* Files that go along as they are. */
static int has_files(struct source *s, struct err *e)
{
	static const char *const names[] = { "tokenizer.json", "tokenizer.model", "spiece.model" };

	return any(s, names, sizeof names / sizeof *names, e);
}

/* llama2.c's: tokenizer.bin, or tok512.bin for 512 tokens. */
static int has_llama2c(struct source *s, struct err *e)
{
	char own[32] = "tokenizer.bin";
	const char *const names[] = { "tokenizer.bin", own };
	size_t n = 0;

	if (source_meta_size(s, "llama2c.vocab_size", &n, e) < 0)
		return -1;
	if (n)
		snprintf(own, sizeof own, "tok%zu.bin", n);
	return any(s, names, 2, e);
}

int has_tokenizer(struct source *s, struct err *e)
{
	int got = has_files(s, e);

	if (got == 0)
		got = has_llama2c(s, e);
	return got ? got : source_meta(s, "tokenizer.ggml.tokens") != NULL;
}

/* "chat_template": a text, or a list of {name, template} whose "default" it
 * is. */
static int template_in(struct source *s, const char *file, struct buf *out, struct err *e)
{
	struct bytes bytes;
	const cJSON *v, *item;
	cJSON *json;
	int got = source_sibling(s, file, &bytes, e);

	if (got <= 0)
		return got;
	json = json_parse(bytes, e);
	if (!json)
		return err_in(e, "%s", file);
	v = json_get(json, "chat_template");
	if (cJSON_IsArray(v)) {
		cJSON_ArrayForEach(item, v) {
			const cJSON *name = json_get(item, "name");

			if (cJSON_IsString(name) && !strcmp(name->valuestring, "default"))
				break;
		}
		v = item ? json_get(item, "template") : NULL;
	}
	got = cJSON_IsString(v);
	if (got)
		buf_add_text(out, v->valuestring);
	cJSON_Delete(json);
	return buf_check(out, e) ? -1 : got;
}

int chat_template(struct source *s, struct buf *out, struct err *e)
{
	struct bytes text;
	int got = source_sibling(s, "chat_template.jinja", &text, e);

	if (got == 0)
		got = source_meta_text(s, "tokenizer.chat_template", &text, e);
	if (got > 0) {
		buf_add(out, text.p, text.n);
		return buf_check(out, e) ? -1 : 1;
	}
	if (got == 0)
		got = template_in(s, "tokenizer_config.json", out, e);
	return got == 0 ? template_in(s, "chat_template.json", out, e) : got;
}

/* ---- a tokenizer in Hugging Face's form */

/* b holds tokenizer.json, and then is scratch. */
static int write_vocabulary(const struct plan *p, struct writer *w, struct buf *b,
                            const struct vocab_export *v, struct err *e)
{
	struct buf chat = { 0 };
	int rc = -1;

	if (writer_sibling(w, "tokenizer.json", buf_bytes(b), e))
		goto done;
	buf_clear(b);
	if (chat_template(p->source, &chat, e) < 0 ||
	    tokenizer_config_text(b, v, buf_bytes(&chat), p->config->max_pos, e))
		goto done;
	rc = writer_sibling(w, "tokenizer_config.json", buf_bytes(b), e);
done:
	buf_release(&chat);
	return rc;
}

static int write_tokenizer(const struct plan *p, struct writer *w, struct err *e)
{
	struct tokenizer *t = NULL;
	struct vocab_export v;
	struct buf b = { 0 };
	int rc = -1;

	if (tokenizer_open(&t, p->source, e) || tokenizer_export(t, &v, e) || tokenizer_text(&b, &v, e))
		err_in(e, "%s", source_path(p->source));
	else
		rc = write_vocabulary(p, w, &b, &v, e);
	buf_release(&b);
	tokenizer_close(t);
	return rc;
}

static int write_generation(const struct plan *p, struct writer *w, struct err *e)
{
	const struct config *c = p->config;
	struct buf b = { 0 };
	int rc;

	if (!c->n_eos)
		return 0;
	buf_add_text(&b, "{\n");
	if (c->bos >= 0)
		buf_printf(&b, "    \"bos_token_id\": %d,\n", (int)c->bos);
	buf_add_text(&b, "    \"eos_token_id\": [");
	for (size_t i = 0; i < c->n_eos; i++)
		buf_printf(&b, "%s%d", i ? ", " : "", (int)c->eos[i]);
	buf_add_text(&b, "]\n}\n");
	rc = buf_check(&b, e) || writer_sibling(w, "generation_config.json", buf_bytes(&b), e) ? -1 : 0;
	buf_release(&b);
	return rc;
}

static int copy(const struct plan *p, struct writer *w, bool new_tokenizer, struct err *e)
{
	const char *const *name;
	size_t n = source_siblings(p->source, &name);
	struct bytes text;

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(name[i], "config.json"))
			continue;
		if (new_tokenizer && (!strcmp(name[i], "tokenizer_config.json") ||
		                      !strcmp(name[i], "tokenizer.bin")))
			continue;
		if (source_sibling(p->source, name[i], &text, e) < 0 || writer_sibling(w, name[i], text, e))
			return err_in(e, "%s", name[i]);
	}
	return 0;
}

int siblings_write(const struct plan *p, struct writer *w, struct err *e)
{
	bool foreign = naming_of(p->source) == NAMING_GGUF ||
	               source_container(p->source) == CONTAINER_LLAMA2C;
	struct buf config = { 0 };
	struct bytes old;
	int has = has_tokenizer(p->source, e), files = has < 0 ? -1 : has_files(p->source, e), got, rc;
	bool new_tokenizer = has > 0 && !files && p->config;

	if (files < 0)
		return -1;
	rc = config_text(&config, p, e);
	if (rc == 0 && config.n)
		rc = writer_sibling(w, "config.json", buf_bytes(&config), e);
	buf_release(&config);
	if (rc || copy(p, w, new_tokenizer, e) || (new_tokenizer && write_tokenizer(p, w, e)))
		return -1;
	got = source_sibling(p->source, "generation_config.json", &old, e);
	if (got < 0)
		return -1;
	return foreign && !got ? write_generation(p, w, e) : 0;
}
