/* SPDX-License-Identifier: MIT */
/* clm-serve.c - language models over HTTP
 *
 * Opens models and sockets, says where it listens, and waits for signals:
 * SIGTERM or SIGINT end it once what runs is answered. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "limits.h"
#include "serving.h"
#include "status.h"

enum { KEEP_ALIVE = 300, DRAIN = 30 }; /* seconds; the first as Ollama's server has it */

struct args {
	struct cli_common common;
	struct open_options open;
	struct cli_texts models, adapters, listen, hosts, origins;
	const char *config, *key_file;
	const char *models_dir, *hub;
	bool any_model, registry, admin, status;
	int log_format;
	const char *metrics_alias;
	size_t batch, chunk, context, cache_tokens, memory, keep_alive, drain;
	size_t target_latency;
	struct serve_limits limits;
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
	{ 0, "admin", NULL, CLI_FLAG, AT(admin), .env = true,
	  .help = "clients may add models, copy, delete and pull them" },
	{ 0, "hub", "URL", CLI_TEXT, AT(hub), .env = true,
	  .help = "where clients pull models from" },
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
};
static const struct cli_option operation[] = {
	{ 0, "status", NULL, CLI_FLAG, AT(status), .once = true,
	  .help = "tell what the server that runs there is doing" },
	{ 0, "log-format", "NAME", CLI_CHOICE, AT(log_format), .env = true, .words = "text json",
	  .help = "of the lines on stderr: text or json" },
	{ 0, "metrics-alias", "NAMES", CLI_TEXT, AT(metrics_alias), .words = "llamacpp vllm",
	  .help = "metrics under others' names too: llamacpp, vllm, or both" },
	{ 0, "drain-timeout", "SECONDS", CLI_SIZE, AT(drain), .max = 86400,
	  .help = "how long running requests may take to end (30)" },
};
static const struct cli_option memory[] = {
	{ 0, "batch", "N", CLI_SIZE, AT(batch), .env = true, .min = 1, .max = 4096,
	  .help = "requests that run at once (64)" },
	{ 0, "queue", "N", CLI_SIZE, AT(limits.queue), .env = true, .min = 1, .max = 1 << 20,
	  .help = "requests that may wait (512)" },
	{ 0, "chunk", "N", CLI_SIZE, AT(chunk), .env = true, .min = 1, .max = 65536,
	  .help = "tokens of prompts computed in one pass (512)" },
	{ 0, "target-latency", "MS", CLI_SIZE, AT(target_latency), .env = true, .min = 1,
	  .max = 1u << 20, .help = "fewer run at once where tokens come more slowly" },
	{ 0, "context", "N", CLI_SIZE, AT(context), .env = true, .min = 1, .max = (size_t)1 << 30,
	  .help = "longest prompt and answer; the model's" },
	{ 0, "cache-tokens", "N", CLI_SIZE, AT(cache_tokens), .env = true, .min = 32,
	  .max = (size_t)1 << 32, .help = "positions kept over all requests" },
	{ 0, "memory", "BYTES", CLI_SIZE, AT(memory), .env = true, .min = 1,
	  .help = "open models hold at most this: the longest unused are closed" },
	{ 0, "keep-alive", "SECONDS", CLI_SIZE, AT(keep_alive), .env = true, .min = 1, .max = 1u << 31,
	  .help = "close a model so long after its last request" },
};
#define N(table) (sizeof table / sizeof *table)
static const struct cli_group groups[] = {
	{ .title = "Models", .option = models, .n = N(models) },
	{ .title = "Sockets", .option = sockets, .n = N(sockets) },
	{ .title = "Limits", .option = limits_table, .n = LIMITS_N, .base = AT(limits) },
	{ .title = "Memory", .option = memory, .n = N(memory) },
	{ .title = "Operation", .option = operation, .n = N(operation) },
	{ .title = "Device", .option = open_device_table, .n = OPEN_DEVICE_N, .base = AT(open) },
};
static const struct cli command = {
	.synopsis = "-m [NAME=]MODEL [OPTION...]",
	.about = "Serves language models over HTTP, as OpenAI and Ollama do.",
	.group = groups,
	.n_groups = N(groups),
};

/* Texts of settings that others took the place of: what points to them lives
 * as long as the server. */
struct past { struct cli_common common; struct past *next; };

struct service {
	struct args a;
	int argc;
	char **argv;
	struct past *past;
	struct serving serving;
	struct serve_adapter adapter[CLI_TEXTS_MAX];
	struct serve *serve;
	sigset_t signals;
	char socket[SERVING_SOCKET];
};

static double keep_alive(const struct args *a)
{
	return a->keep_alive ? (double)a->keep_alive : KEEP_ALIVE;
}

static void log_line(void *arg, const char *line)
{
	const struct service *v = arg;

	if (v->a.log_format)
		fprintf(stderr, "%s\n", line);
	else
		cli_warn("%s", line);
}

/* ---- models */

struct names { char *name[CLI_TEXTS_MAX]; size_t n; };

static void names_release(struct names *k)
{
	while (k->n)
		free(k->name[--k->n]);
}

/* Those that -m names; `known` (may be NULL) tells which. What is there already
 * is left as it is where the server runs. */
static int add_models(struct service *v, struct names *known, struct err *e)
{
	const struct args *a = &v->a;

	for (size_t i = 0; i < a->models.n; i++) {
		const char *path = a->models.text[i];
		char *name = serving_name(&path, e);
		struct serve_entry m = { .name = name, .path = path, .preload = !known,
			                 .keep_alive = a->keep_alive ? (double)a->keep_alive : -1 };

		if (!name)
			return -1;
		if (serve_add(v->serve, &m, e) && !(known && e->kind == ERR_MISUSE)) {
			free(name);
			return -1;
		}
		if (known)
			known->name[known->n++] = name;
		else
			free(name);
	}
	return 0;
}

/* ---- sockets */

static int set_listen(struct service *v, struct serve_options *o, struct err *e)
{
	const struct cli_texts *t = &v->a.listen;

	if (t->n > SERVE_LISTEN_MAX)
		cli_misuse("at most %d addresses to listen at", SERVE_LISTEN_MAX);
	for (size_t i = 0; i < t->n; i++)
		o->listen[o->n_listen++] = t->text[i];
	if (!t->n) {
		o->listen[0] = serving_socket(v->socket, e);
		o->n_listen = 1;
	}
	return o->listen[0] ? 0 : -1;
}

/* "llamacpp,vllm" */
static void set_aliases(struct serve_options *o, const char *names)
{
	for (const char *p = names; p && *p;) {
		size_t n = strcspn(p, ",");

		if (n == 8 && !memcmp(p, "llamacpp", n))
			o->alias_llamacpp = true;
		else if (n == 4 && !memcmp(p, "vllm", n))
			o->alias_vllm = true;
		else
			cli_misuse("--metrics-alias: expected llamacpp or vllm, found \"%.*s\"",
			           (int)n, p);
		p += n + (p[n] == ',');
	}
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

/* Command line and file again: what may change while the server runs does. */
static int reload(struct service *v, struct err *e)
{
	struct args fresh = { .drain = DRAIN };
	struct past *old = calloc(1, sizeof *old);
	struct names names = { .n = 0 };
	int rc;

	if (!old)
		return err_memory(e, sizeof *old);
	rc = cli_read(v->argc, v->argv, &command, &fresh, e);
	if (rc == 0) {
		struct serve_options o = { .key_file = fresh.key_file, .memory = fresh.memory,
			                   .keep_alive = keep_alive(&fresh),
			                   .limits = fresh.limits };

		old->common = v->a.common;
		v->a = fresh;
		rc = add_models(v, &names, e);
		if (rc == 0)
			rc = serve_reload(v->serve, &o, (const char *const *)names.name, names.n, e);
	} else {
		old->common = fresh.common;
	}
	old->next = v->past;
	v->past = old;
	names_release(&names);
	serve_refresh(v->serve);
	return rc;
}

/* Does what a signal asks; true: the end. */
static bool obey(struct service *v, int sig)
{
	struct err e;

	if (sig == SIGHUP) {
		serve_notify("RELOADING=1");
		if (reload(v, &e))
			cli_warn("nothing reloaded: %s", e.text);
		serve_notify("READY=1");
	} else if (sig == SIGUSR1) {
		serve_tell(v->serve);
	}
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
	const struct args *a = &v->a;
	struct serve_options o = { .key_file = a->key_file,
		                   .any_model = a->any_model,
		                   .limits = a->limits,
		                   .memory = a->memory,
		                   .models_dir = a->models_dir,
		                   .registered = a->registry,
		                   .admin = a->admin,
		                   .hub = a->hub,
		                   .hub_token = getenv("HF_TOKEN"),
		                   .keep_alive = keep_alive(a),
		                   .opener = { &v->serving, serving_open, serving_close,
		                               serving_describe },
		                   .version = CLM_VERSION,
		                   .log = a->common.quiet ? NULL : log_line,
		                   .log_json = a->log_format,
		                   .log_arg = v };
	int rc;

	v->serving = (struct serving){ .open = a->open,
		                       .batch = a->batch,
		                       .target_latency = a->target_latency,
		                       .chunk = a->chunk,
		                       .context = a->context,
		                       .cache_tokens = a->cache_tokens,
		                       .quiet = a->common.quiet,
		                       .verbose = a->common.verbose };
	set_aliases(&o, a->metrics_alias);
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
	if (serve_open(&v->serve, &o, e) || add_models(v, NULL, e))
		return -1;
	take_signals(&v->signals);
	if (serve_start(v->serve, e))
		return -1;
	rc = wait_for_models(v, e);
	if (rc)
		return rc < 0 ? -1 : 0;
	if (serve_listen(v->serve, e))
		return -1;
	serve_notify("READY=1");
	wait_for_end(v);
	serve_notify("STOPPING=1");
	serve_drain(v->serve, (double)v->a.drain);
	return 0;
}

static int run(struct service *v, struct err *e)
{
	struct serve_options o = { .n_listen = 0 };

	if (v->a.status)
		return set_listen(v, &o, e) || status_tell(o.listen[0], v->a.key_file, e) ? -1 : 0;
	if (!v->a.models.n && !v->a.models_dir && !v->a.registry && !v->a.admin)
		cli_misuse("no model: give -m MODEL or --models DIR, or set CLM_MODEL");
	return serve(v, e);
}

int main(int argc, char **argv)
{
	struct service v = { .a = { .drain = DRAIN }, .argc = argc, .argv = argv };
	struct err e = { 0 };
	char **rest = cli_parse(argc, argv, &command, &v.a);
	int rc;

	if (rest[0])
		cli_misuse("unexpected operand: %s", rest[0]);
	rc = run(&v, &e);
	serve_close(v.serve);
	serving_release(&v.serving);
	for (struct past *p = v.past, *next; p; p = next) {
		next = p->next;
		cli_release(&p->common);
		free(p);
	}
	cli_release(&v.a.common);
	if (rc)
		cli_die(&e);
	return cli_finish();
}
