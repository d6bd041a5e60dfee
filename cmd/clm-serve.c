/* SPDX-License-Identifier: MIT */
/* clm-serve.c - language models over HTTP
 *
 * Opens models and sockets, says where it listens, and waits for signals:
 * SIGTERM or SIGINT end it once what runs is answered. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "open.h"
#include "serve/serve.h"

/* TOLD_ROWS: of prompts whose tokens are told, in a pass. */
enum { DEFAULT_BATCH = 64, TOLD_ROWS = 64 };

struct args {
	struct cli_common common;
	struct open_options open;
	struct cli_texts models, listen, hosts, origins;
	const char *config, *key_file;
	bool any_model;
	size_t batch, chunk, context, cache_tokens, queue, connections, drain;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option models[] = {
	{ 0, "config", "FILE", CLI_CONFIG, AT(config), .env = true,
	  .help = "YAML: these options by name, where nothing else says" },
	{ 'm', "model", "[NAME=]MODEL", CLI_TEXTS, AT(models), .env = true,
	  .help = "a model to serve, and its name; may be repeated" },
	{ 0, "any-model", NULL, CLI_FLAG, AT(any_model),
	  .help = "answer for the only model whatever name is asked for" },
};
static const struct cli_option sockets[] = {
	{ 'l', "listen", "ADDRESS", CLI_TEXTS, AT(listen), .env = true,
	  .help = "a socket's path, HOST:PORT or :PORT; may be repeated" },
	{ 0, "key-file", "FILE", CLI_TEXT, AT(key_file), .env = true,
	  .help = "take only requests with a key of this file, one a line" },
	{ 0, "allow-host", "NAME", CLI_TEXTS, AT(hosts),
	  .help = "a further name of this server; may be repeated" },
	{ 0, "allow-origin", "ORIGIN", CLI_TEXTS, AT(origins),
	  .help = "pages from there may ask; may be repeated" },
	{ 0, "connections", "N", CLI_SIZE, AT(connections), .min = 1, .max = 65536,
	  .help = "connections at once (512)" },
};
static const struct cli_option memory[] = {
	{ 0, "batch", "N", CLI_SIZE, AT(batch), .env = true, .min = 1, .max = 4096,
	  .help = "requests that run at once (64)" },
	{ 0, "queue", "N", CLI_SIZE, AT(queue), .env = true, .min = 1, .max = 1 << 20,
	  .help = "requests that may wait (512)" },
	{ 0, "chunk", "N", CLI_SIZE, AT(chunk), .env = true, .min = 1, .max = 65536,
	  .help = "tokens of prompts computed in one pass (512)" },
	{ 0, "context", "N", CLI_SIZE, AT(context), .env = true, .min = 1, .max = (size_t)1 << 30,
	  .help = "longest prompt and answer; the model's" },
	{ 0, "cache-tokens", "N", CLI_SIZE, AT(cache_tokens), .env = true, .min = 32,
	  .max = (size_t)1 << 32, .help = "positions kept over all requests" },
	{ 0, "drain-timeout", "SECONDS", CLI_SIZE, AT(drain), .max = 86400,
	  .help = "how long running requests may take to end (30)" },
};
#define N(table) (sizeof table / sizeof *table)
static const struct cli_group groups[] = {
	{ .title = "Models", .option = models, .n = N(models) },
	{ .title = "Sockets", .option = sockets, .n = N(sockets) },
	{ .title = "Memory", .option = memory, .n = N(memory) },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "-m [NAME=]MODEL [OPTION...]",
	.about = "Serves language models over HTTP, as OpenAI and Ollama do.",
	.group = groups,
	.n_groups = N(groups),
};

struct service {
	const struct args *a;
	struct opened o[CLI_TEXTS_MAX];
	struct chat *chat[CLI_TEXTS_MAX];
	char *name[CLI_TEXTS_MAX];
	char quant[CLI_TEXTS_MAX][32];
	size_t n;
	struct serve *serve;
	char socket[128];
};

static void log_line(void *arg, const char *line)
{
	(void)arg;
	cli_warn("%s", line);
}

/* ---- models */

/* NAME=MODEL, or the last part of the model's path without its suffix. */
static char *name_of(const char **path, struct err *e)
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
static void open_chat(struct service *v, size_t i)
{
	struct chat_options o = { 0 };
	struct err e;

	if (chat_open(&v->chat[i], v->o[i].source, v->o[i].tokenizer, &o, &e)) {
		v->chat[i] = NULL;
		cli_warn("%s: no chat: %s", v->name[i], e.text);
	} else if (chat_warning(v->chat[i]) && !v->a->common.quiet) {
		cli_warn("%s: %s", v->name[i], chat_warning(v->chat[i]));
	}
}

static int open_one(struct service *v, const char *path, struct err *e)
{
	const struct args *a = v->a;
	size_t i = v->n++;
	struct opened *o = &v->o[i];
	struct open_options with = a->open;
	struct batch_options b = { .max_sessions = a->batch ? a->batch : DEFAULT_BATCH,
		                   .chunk = a->chunk,
		                   .context = a->context };
	struct model_options m = { .max_rows = a->chunk > 512 ? a->chunk : 0,
		                   .max_out = b.max_sessions + TOLD_ROWS };
	struct serve_model served;
	struct stat st = { 0 };
	struct config c;

	v->name[i] = name_of(&path, e);
	if (!v->name[i])
		return -1;
	with.model = path;
	if (open_files(o, &with, e) || open_tokenizer(o, e) ||
	    open_device(o, &with, a->common.verbose, e))
		return -1;
	if (config_read(&c, o->source, e))
		return -1;
	m.hidden = c.encoder;
	config_release(&c);
	m.kv_tokens = a->cache_tokens ? a->cache_tokens :
	                                open_cache_tokens(o, b.max_sessions, a->context, e);
	if (!m.kv_tokens || open_weights(o, &m, a->common.quiet, e))
		return -1;
	if (!m.hidden)
		open_chat(v, i);
	if (stat(path, &st))
		st.st_mtime = 0;
	if (model_config(o->model)->quant_bits)
		snprintf(v->quant[i], sizeof v->quant[i], "%u-bit", model_config(o->model)->quant_bits);
	else
		snprintf(v->quant[i], sizeof v->quant[i], "%s",
		         dtype_info(model_config(o->model)->dtype)->name);
	served = (struct serve_model){ .name = v->name[i],
		                       .format = container_name(source_container(o->source)),
		                       .quant = v->quant[i],
		                       .tokenizer = o->tokenizer,
		                       .chat = v->chat[i],
		                       .model = o->model,
		                       .batch = b,
		                       .modified = st.st_mtime,
		                       .n_bytes = total_bytes(o->source) };
	if (m.hidden && embed_rules(&served.embed, o->source, model_config(o->model), e))
		return -1;
	return serve_add(v->serve, &served, e);
}

/* ---- sockets */

/* clm.sock where the system keeps a user's sockets. */
static const char *own_socket(struct service *v, struct err *e)
{
	const char *dir = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (dir && *dir) {
		snprintf(v->socket, sizeof v->socket, "%s/clm.sock", dir);
		return v->socket;
	}
	snprintf(v->socket, sizeof v->socket, "/tmp/clm-%u", (unsigned)getuid());
	if (mkdir(v->socket, 0700) && errno != EEXIST) {
		err_errno(e, "%s", v->socket);
		return NULL;
	}
	/* the name is no secret: it may have been made by somebody else */
	if (lstat(v->socket, &st) || !S_ISDIR(st.st_mode) || st.st_uid != getuid() ||
	    (st.st_mode & 077)) {
		err_set(e, ERR_MACHINE, "%s: expected a directory that only its user can enter",
		        v->socket);
		return NULL;
	}
	snprintf(v->socket, sizeof v->socket, "/tmp/clm-%u/clm.sock", (unsigned)getuid());
	return v->socket;
}

static int set_listen(struct service *v, struct serve_options *o, struct err *e)
{
	const struct cli_texts *t = &v->a->listen;

	if (t->n > SERVE_LISTEN_MAX)
		cli_misuse("at most %d addresses to listen at", SERVE_LISTEN_MAX);
	for (size_t i = 0; i < t->n; i++)
		o->listen[o->n_listen++] = t->text[i];
	if (!t->n) {
		o->listen[0] = own_socket(v, e);
		o->n_listen = 1;
	}
	return o->listen[0] ? 0 : -1;
}

/* ---- from start to end */

static void wait_for_end(const sigset_t *signals)
{
	int sig;

	while (sigwait(signals, &sig) || sig == SIGHUP || sig == SIGUSR1)
		;
}

static int serve(struct service *v, struct err *e)
{
	const struct args *a = v->a;
	struct serve_options o = { .key_file = a->key_file,
		                   .any_model = a->any_model,
		                   .queue = a->queue,
		                   .max_connections = a->connections,
		                   .version = CLM_VERSION,
		                   .log = a->common.quiet ? NULL : log_line };
	sigset_t signals;

	if (set_listen(v, &o, e))
		return -1;
	for (size_t i = 0; i < a->hosts.n && i < SERVE_HOSTS_MAX; i++)
		o.allow_host[o.n_allow_host++] = a->hosts.text[i];
	for (size_t i = 0; i < a->origins.n && i < SERVE_HOSTS_MAX; i++)
		o.allow_origin[o.n_allow_origin++] = a->origins.text[i];
	if (serve_open(&v->serve, &o, e))
		return -1;
	for (size_t i = 0; i < a->models.n; i++)
		if (open_one(v, a->models.text[i], e))
			return -1;
	/* every thread that starts from here on leaves signals to this one */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (serve_start(v->serve, e))
		return -1;
	for (size_t i = 0; i < o.n_listen && !a->common.quiet; i++)
		cli_warn("listening at %s", serve_address(v->serve, i));
	wait_for_end(&signals);
	serve_drain(v->serve, (double)a->drain);
	return 0;
}

int main(int argc, char **argv)
{
	struct args a = { .drain = 30 };
	static struct service v;
	struct err e = { 0 };
	char **rest;
	int rc;

	v.a = &a;
	rest = cli_parse(argc, argv, &command, &a);
	if (rest[0])
		cli_misuse("unexpected operand: %s", rest[0]);
	if (!a.models.n)
		cli_misuse("no model: give -m MODEL, or set CLM_MODEL");
	rc = serve(&v, &e);
	serve_close(v.serve);
	for (size_t i = 0; i < v.n; i++) {
		chat_close(v.chat[i]);
		open_release(&v.o[i]);
		free(v.name[i]);
	}
	cli_release(&a.common);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
