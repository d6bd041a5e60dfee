/* SPDX-License-Identifier: MIT */
/* clm-serve.c - language models over HTTP
 *
 * Opens models and sockets, says where it listens, and waits for signals:
 * SIGTERM or SIGINT end it once what runs is answered. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "serving.h"

enum { KEEP_ALIVE = 300 }; /* seconds, as Ollama's server has it */

struct args {
	struct cli_common common;
	struct open_options open;
	struct cli_texts models, adapters, listen, hosts, origins;
	const char *config, *key_file;
	const char *models_dir;
	bool any_model, registry;
	size_t batch, chunk, context, cache_tokens, memory, keep_alive, queue, connections, drain;
};
#define AT(member) offsetof(struct args, member)

static const struct cli_option models[] = {
	{ 0, "config", "FILE", CLI_CONFIG, AT(config), .env = true,
	  .help = "YAML: these options by name, where nothing else says" },
	{ 'm', "model", "[NAME=]MODEL", CLI_TEXTS, AT(models), .env = true,
	  .help = "a model to serve, and its name; may be repeated" },
	{ 0, "adapter", "MODEL:NAME=DIR[=SCALE]", CLI_TEXTS, AT(adapters),
	  .help = "an adapter of a model, under a name; may be repeated" },
	{ 0, "models", "DIR", CLI_TEXT, AT(models_dir), .env = true,
	  .help = "serve the models of a directory too" },
	{ 0, "registry", NULL, CLI_FLAG, AT(registry), .env = true,
	  .help = "serve those of the registry too; see clm-info --registry" },
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
	{ 0, "memory", "BYTES", CLI_SIZE, AT(memory), .env = true, .min = 1,
	  .help = "open models hold at most this: the longest unused are closed" },
	{ 0, "keep-alive", "SECONDS", CLI_SIZE, AT(keep_alive), .env = true, .min = 1, .max = 1u << 31,
	  .help = "close a model so long after its last request" },
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
	struct serving serving;
	struct serve_adapter adapter[CLI_TEXTS_MAX];
	struct serve *serve;
	sigset_t signals;
	char socket[128];
};

static void log_line(void *arg, const char *line)
{
	(void)arg;
	cli_warn("%s", line);
}

/* ---- models */

static int add_models(struct service *v, struct err *e)
{
	const struct args *a = v->a;

	for (size_t i = 0; i < a->models.n; i++) {
		const char *path = a->models.text[i];
		char *name = serving_name(&path, e);
		struct serve_entry m = { .name = name, .path = path, .preload = true,
			                 .keep_alive = a->keep_alive ? (double)a->keep_alive : -1 };
		int rc = name ? serve_add(v->serve, &m, e) : -1;

		free(name);
		if (rc)
			return -1;
	}
	return 0;
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

/* Every thread that starts from here on leaves signals to this one. */
static void take_signals(sigset_t *signals)
{
	static const int mine[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };

	sigemptyset(signals);
	for (size_t i = 0; i < sizeof mine / sizeof *mine; i++)
		sigaddset(signals, mine[i]);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/* Does what a signal asks; true: the end. */
static bool obey(struct service *v, int sig)
{
	if (sig == SIGHUP)
		serve_refresh(v->serve);
	return sig == SIGTERM || sig == SIGINT;
}

/* Until the models are open: 0, 1 when a signal ends it, -1. */
static int wait_for_models(struct service *v, struct err *e)
{
	const struct timespec a_while = { .tv_nsec = 20000000 };
	int rc;

	while ((rc = serve_preloaded(v->serve, e)) > 0) {
		int sig = sigtimedwait(&v->signals, NULL, &a_while);

		if (sig > 0 && obey(v, sig))
			return 1;
	}
	return rc;
}

static void wait_for_end(struct service *v)
{
	int sig;

	while (sigwait(&v->signals, &sig) || !obey(v, sig))
		;
}

static int serve(struct service *v, struct err *e)
{
	const struct args *a = v->a;
	struct serve_options o = { .key_file = a->key_file,
		                   .any_model = a->any_model,
		                   .queue = a->queue,
		                   .max_connections = a->connections,
		                   .memory = a->memory,
		                   .models_dir = a->models_dir,
		                   .registered = a->registry,
		                   .keep_alive = a->keep_alive ? (double)a->keep_alive : KEEP_ALIVE,
		                   .opener = { &v->serving, serving_open, serving_close,
		                               serving_describe },
		                   .version = CLM_VERSION,
		                   .log = a->common.quiet ? NULL : log_line };
	int rc;

	v->serving = (struct serving){ .open = a->open,
		                       .batch = a->batch,
		                       .chunk = a->chunk,
		                       .context = a->context,
		                       .cache_tokens = a->cache_tokens,
		                       .quiet = a->common.quiet,
		                       .verbose = a->common.verbose };
	if (serving_adapters(&v->serving, &a->adapters, e) || set_listen(v, &o, e))
		return -1;
	for (; o.n_adapters < v->serving.n_adapters; o.n_adapters++) {
		const struct serving_adapter *from = &v->serving.adapter[o.n_adapters];

		v->adapter[o.n_adapters] = (struct serve_adapter){ from->model, from->name };
	}
	o.adapter = v->adapter;
	for (size_t i = 0; i < a->hosts.n && i < SERVE_HOSTS_MAX; i++)
		o.allow_host[o.n_allow_host++] = a->hosts.text[i];
	for (size_t i = 0; i < a->origins.n && i < SERVE_HOSTS_MAX; i++)
		o.allow_origin[o.n_allow_origin++] = a->origins.text[i];
	if (serve_open(&v->serve, &o, e) || add_models(v, e))
		return -1;
	take_signals(&v->signals);
	if (serve_start(v->serve, e))
		return -1;
	rc = wait_for_models(v, e);
	if (rc)
		return rc < 0 ? -1 : 0;
	if (serve_listen(v->serve, e))
		return -1;
	for (size_t i = 0; i < o.n_listen && !a->common.quiet; i++)
		cli_warn("listening at %s", serve_address(v->serve, i));
	wait_for_end(v);
	serve_drain(v->serve, (double)a->drain);
	return 0;
}

int main(int argc, char **argv)
{
	struct args a = { .drain = 30 };
	struct service v = { 0 };
	struct err e = { 0 };
	char **rest;
	int rc;

	v.a = &a;
	rest = cli_parse(argc, argv, &command, &a);
	if (rest[0])
		cli_misuse("unexpected operand: %s", rest[0]);
	if (!a.models.n && !a.models_dir && !a.registry)
		cli_misuse("no model: give -m MODEL or --models DIR, or set CLM_MODEL");
	rc = serve(&v, &e);
	serve_close(v.serve);
	serving_release(&v.serving);
	cli_release(&a.common);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
