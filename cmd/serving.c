/* SPDX-License-Identifier: MIT */
/* serving.c - a model for clm-serve: its files, device, weights and template,
 * and what is told of it */
#include "serving.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* TOLD_ROWS: of prompts whose tokens are told, in a pass. */
enum { DEFAULT_BATCH = 64, TOLD_ROWS = 64, DRAW_THREADS = 8 };

struct held {
	struct opened o;
	struct adapter *adapter[CLI_TEXTS_MAX];
	struct adapter_use use[CLI_TEXTS_MAX];
	struct adapter_set set[CLI_TEXTS_MAX];
	size_t n_adapters;
	struct chat *chat;
};

char *serving_name(const char **path, struct err *e)
{
	const char *eq = strchr(*path, '='), *from = *path, *dot;
	char *name;
	size_t n;

	if (eq && eq > *path && !memchr(*path, '/', (size_t)(eq - *path))) {
		n = (size_t)(eq - *path);
		*path = eq + 1;
	} else {
		n = strlen(from);
		while (n > 1 && from[n - 1] == '/')
			n--;
		for (size_t i = n; i-- > 0;)
			if (from[i] == '/') {
				from += i + 1;
				n -= i + 1;
				break;
			}
		dot = memchr(from, '.', n);
		if (dot && dot > from && !file_is_dir(*path))
			n = (size_t)(dot - from);
	}
	name = strndup(from, n);
	if (!name)
		err_memory(e, n);
	return name;
}

int serving_adapters(struct serving *v, const struct cli_texts *t, struct err *e)
{
	for (size_t i = 0; i < t->n; i++) {
		struct serving_adapter *a = &v->adapter[v->n_adapters++];
		const char *text = t->text[i], *eq = strchr(text, '='),
		           *colon = eq ? memrchr(text, ':', (size_t)(eq - text)) : NULL;

		if (!colon || colon == text || colon + 1 == eq || !eq[1])
			cli_misuse("--adapter: expected MODEL:NAME=DIR[=SCALE], found \"%s\"", text);
		a->model = strndup(text, (size_t)(colon - text));
		a->name = strndup(colon + 1, (size_t)(eq - colon - 1));
		a->dir = adapter_split(&a->scale, eq + 1, e);
		if (!a->model || !a->name)
			err_memory(e, strlen(text));
		if (!a->model || !a->name || !a->dir)
			return -1;
	}
	return 0;
}

void serving_release(struct serving *v)
{
	for (size_t i = 0; i < v->n_adapters; i++) {
		free(v->adapter[i].model);
		free(v->adapter[i].name);
		free(v->adapter[i].dir);
	}
	v->n_adapters = 0;
}

/* The adapters of the model, a set each. */
static int open_adapters(const struct serving *v, struct held *h, const char *name,
                         struct model_options *m, struct err *e)
{
	for (size_t i = 0; i < v->n_adapters; i++) {
		const struct serving_adapter *a = &v->adapter[i];
		size_t n = h->n_adapters;

		if (strcmp(a->model, name))
			continue;
		if (convert_adapter_open(&h->adapter[n], a->dir, e))
			return -1;
		h->use[n] = (struct adapter_use){ h->adapter[n], a->scale };
		h->set[n] = (struct adapter_set){ &h->use[n], 1 };
		h->n_adapters++;
	}
	m->sets = h->set;
	m->n_sets = h->n_adapters;
	return 0;
}

static size_t total_bytes(const struct source *s)
{
	size_t sum = 0, n;

	for (size_t i = 0; i < source_count(s); i++) {
		const struct tensor *t = source_tensor(s, i);

		if (shape_bytes(&n, t->dtype, &t->shape))
			sum += n;
	}
	return sum;
}

/* A model that cannot be talked with is served all the same. */
static void open_chat(const struct serving *v, struct held *h)
{
	const char *name = file_name(source_path(h->o.source));
	struct chat_options o = { 0 };
	struct err e;

	if (chat_open(&h->chat, h->o.source, h->o.tokenizer, &o, &e)) {
		h->chat = NULL;
		cli_warn("%s: no chat: %s", name, e.text);
	} else if (chat_warning(h->chat) && !v->quiet) {
		cli_warn("%s: %s", name, chat_warning(h->chat));
	}
}

static void tell(struct serve_facts *f, const struct source *s, const struct config *c,
                 const char *path)
{
	struct config_size size = { 0 };
	struct stat st;
	struct err e;

	snprintf(f->family, sizeof f->family, "%s", c->model_type);
	snprintf(f->format, sizeof f->format, "%s", container_name(source_container(s)));
	if (c->quant_bits)
		snprintf(f->quant, sizeof f->quant, "%u-bit", c->quant_bits);
	else
		snprintf(f->quant, sizeof f->quant, "%s", dtype_info(c->dtype)->name);
	f->parameters = config_measure(&size, c, &e) ? 0 : size.parameters;
	f->context = c->max_pos;
	f->vocab = c->vocab;
	f->hidden = c->hidden;
	f->n_layers = c->n_layers;
	f->n_heads = c->n_heads;
	f->n_kv_heads = c->n_kv_heads;
	f->n_bytes = total_bytes(s);
	f->modified = stat(path, &st) ? 0 : st.st_mtime;
	f->encoder = c->encoder;
}

int serving_describe(void *arg, const char *path, struct serve_facts *out, struct err *e)
{
	struct source *s;
	struct config c;
	int rc;

	(void)arg;
	if (source_open(&s, path, e))
		return -1;
	rc = config_read(&c, s, e) ? err_in(e, "%s", path) : 0;
	if (rc == 0) {
		tell(out, s, &c, path);
		config_release(&c);
	}
	source_close(s);
	return rc;
}

/* That draw tokens: a few are enough, a draw is short; half of the machine is left
 * to those that compute and to the clients. */
static size_t draw_threads(const struct serving *v)
{
	long n = v->open.threads > 0 ? v->open.threads : sysconf(_SC_NPROCESSORS_ONLN);

	n /= 2;
	return n > DRAW_THREADS ? DRAW_THREADS : n > 0 ? (size_t)n : 1;
}

static int open_model(const struct serving *v, struct held *h, const char *name,
                      struct serve_model *out, struct err *e)
{
	struct opened *o = &h->o;
	struct batch_options b = { .max_sessions = v->batch ? v->batch : DEFAULT_BATCH,
		                   .chunk = v->chunk,
		                   .context = v->context,
		                   .draw_threads = draw_threads(v),
		                   .paced = true,
		                   .target = 1e-3 * (double)v->target_latency };
	struct model_options m = { .max_rows = v->chunk > 512 ? v->chunk : 0,
		                   .max_out = b.max_sessions + TOLD_ROWS };
	struct config c;

	if (config_read(&c, o->source, e))
		return -1;
	m.hidden = c.encoder;
	config_release(&c);
	m.kv_tokens = v->cache_tokens ? v->cache_tokens :
	                                open_cache_tokens(o, b.max_sessions, v->context, e);
	if (!m.kv_tokens || open_adapters(v, h, name, &m, e) ||
	    open_weights(o, &m, v->quiet, e))
		return -1;
	if (!m.hidden)
		open_chat(v, h);
	*out = (struct serve_model){ .tokenizer = o->tokenizer,
		                     .chat = h->chat,
		                     .model = o->model,
		                     .batch = b };
	return m.hidden ? embed_rules(&out->embed, o->source, model_config(o->model), e) : 0;
}

static void held_free(struct held *h)
{
	chat_close(h->chat);
	open_release(&h->o);
	for (size_t i = 0; i < h->n_adapters; i++)
		adapter_close(h->adapter[i]);
	free(h);
}

int serving_open(void *arg, const char *name, const char *path, struct serve_model *out,
                 struct err *e)
{
	const struct serving *v = arg;
	struct open_options with = v->open;
	struct held *h = calloc(1, sizeof *h);
	struct exec_info info;

	if (!h)
		return err_memory(e, sizeof *h);
	with.model = path;
	if (open_files(&h->o, &with, e) || open_tokenizer(&h->o, e) ||
	    open_device(&h->o, &with, v->verbose, e) || open_model(v, h, name, out, e)) {
		held_free(h);
		return -1;
	}
	exec_describe(h->o.exec, &info);
	out->n_held = exec_bytes(h->o.exec);
	out->device_bytes = info.memory;
	snprintf(out->device, sizeof out->device, "%.63s", info.device ? info.device : info.backend);
	out->handle = h;
	tell(&out->facts, h->o.source, model_config(h->o.model), path);
	snprintf(out->facts.digest, sizeof out->facts.digest, "%s", model_digest(h->o.model));
	out->facts.tools = h->chat && chat_manner(h->chat).call;
	out->facts.thinks = h->chat && chat_manner(h->chat).think;
	return 0;
}

void serving_close(void *arg, struct serve_model *m)
{
	(void)arg;
	held_free(m->handle);
}

/* clm.sock where the system keeps a user's sockets. */
const char *serving_socket(char out[SERVING_SOCKET], struct err *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (dir && *dir) {
		snprintf(out, SERVING_SOCKET, "%s/clm.sock", dir);
		return out;
	}
	snprintf(out, SERVING_SOCKET, "/tmp/clm-%u", (unsigned)getuid());
	if (mkdir(out, 0700) && errno != EEXIST) {
		err_errno(e, "%s", out);
		return NULL;
	}
	/* the name is no secret: it may have been made by somebody else */
	if (lstat(out, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
	    (st.st_mode & 077)) {
		err_set(e, ERR_MACHINE, "%s: expected a directory that only its user can enter",
		        out);
		return NULL;
	}
	snprintf(out, SERVING_SOCKET, "/tmp/clm-%u/clm.sock", (unsigned)getuid());
	return out;
}
