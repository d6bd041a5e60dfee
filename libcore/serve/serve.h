/* SPDX-License-Identifier: MIT */
/* serve.h - language models over HTTP. The door of serve/.
 *
 * Speaks OpenAI's, Ollama's and Anthropic's interfaces over unix sockets and
 * TCP. Threads: one moves bytes between sockets and buffers, a few read
 * requests and turn them into tokens, one runs the models (every request is a
 * session of a batch), one opens and closes models, one watches for peers that
 * left. */
#ifndef CLM_SERVE_H
#define CLM_SERVE_H

#include "gen/gen.h"

enum { SERVE_LISTEN_MAX = 8, SERVE_HOSTS_MAX = 32 };

/* What is told of a model, also while it is not open. */
struct serve_facts {
	char family[64], format[24], quant[32];
	char digest[65];           /* hex; may be empty */
	size_t parameters, context, vocab, hidden, n_layers, n_heads, n_kv_heads;
	size_t n_bytes;            /* of its files */
	int64_t modified;          /* seconds since 1970 */
	bool encoder, tools, thinks;
};

/* A model that is open. */
struct serve_model {
	const char *name;          /* the server sets it */
	struct serve_facts facts;
	const struct tokenizer *tokenizer;
	const struct chat *chat;   /* NULL: it only goes on with texts */
	struct model *model;
	struct batch_options batch;
	struct embed_options embed; /* of an encoder */
	size_t n_held;             /* bytes that it holds while it is open */
	char device[64];           /* where it is computed */
	size_t device_bytes;       /* that its device has; 0: not known */
	void *handle;              /* whoever opened it */
};

/* How models are opened: called by one thread, while others use what is
 * open. A path is never a client's. */
struct serve_opener {
	void *arg;
	int (*open)(void *arg, const char *name, const char *path, struct serve_model *out,
	            struct err *e);
	void (*close)(void *arg, struct serve_model *m);
	/* By a look at its heads; may be called by any thread. */
	int (*describe)(void *arg, const char *path, struct serve_facts *out, struct err *e);
};

/* A model that may be asked for. All of it is copied. */
struct serve_entry {
	const char *name, *path;
	const char *settings;      /* JSON: options and a system message; may be NULL */
	struct serve_facts facts;  /* as far as they are known */
	double keep_alive;         /* seconds after its last request; < 0: for ever */
	bool preload;              /* opened before the server listens */
};

/* An adapter of a model, under a name of its own: "model:name", or the member
 * "adapter" of a request. The n-th of a model is its adapter n, from 1. */
struct serve_adapter { const char *model, *name; };

/* What clients may take; 0 is what stands behind each. */
struct serve_limits {
	size_t queue;              /* requests that may wait: 512 */
	size_t connections;        /* 512 */
	size_t per_address;        /* of them from one: 64 */
	size_t body_bytes;         /* of a request: 32 MiB; uploads have no end */
	size_t head_seconds;       /* until its head is there: 10 */
	size_t body_seconds;       /* until its body is, and one per 64 KiB: 30 */
	size_t stall_seconds;      /* that a stream may stand still: 60 */
	size_t idle_seconds;       /* between requests: 75 */
};

struct serve_options {
	/* "unix:PATH" or a path with a "/"; "HOST:PORT", ":PORT" (loopback). */
	const char *listen[SERVE_LISTEN_MAX];
	size_t n_listen;
	const char *key_file;      /* a key a line, mode 0600; NULL: no keys */
	const char *allow_host[SERVE_HOSTS_MAX], *allow_origin[SERVE_HOSTS_MAX];
	size_t n_allow_host, n_allow_origin;
	bool any_model;            /* any name means the only model */
	struct serve_limits limits;
	size_t memory;             /* bytes that open models may hold; 0: no ceiling */
	struct serve_opener opener;
	const struct serve_adapter *adapter; /* [n_adapters] */
	size_t n_adapters;
	const char *models_dir;    /* its models are served; NULL: none */
	bool registered;           /* so are those of the user's registry */
	bool admin;                /* clients may add models and take them away */
	const char *hub, *hub_token; /* where they pull from; NULL: nowhere, none */
	double keep_alive;         /* of these: seconds after the last request; < 0: for ever */
	const char *version;       /* of this program, for the Server header */
	/* A line for the log: each request's, and what goes wrong. Called from
	 * several threads, one at a time. May be NULL. */
	void (*log)(void *arg, const char *line);
	bool log_json;             /* the lines are objects */
	/* The metrics under the names that these programs give them, too. */
	bool alias_llamacpp, alias_vllm;
	void *log_arg;
};

struct serve;
/* Nothing is served until serve_listen(). */
NEED int serve_open(struct serve **out, const struct serve_options *o, struct err *e);
/* At any time; ERR_MISUSE for a name that is there. */
NEED int serve_add(struct serve *s, const struct serve_entry *m, struct err *e);
/* Finds the models of the directory and the registry; its threads begin, and
 * to open what is to be open first. */
NEED int serve_start(struct serve *s, struct err *e);
/* 1: models are still being opened; 0: all are; -1: one could not be. */
NEED int serve_preloaded(struct serve *s, struct err *e);
/* Binds the sockets (a stale unix socket is replaced) and begins. */
NEED int serve_listen(struct serve *s, struct err *e);
/* Reads the keys again, and takes over what may change: memory, keep_alive,
 * and which models there are beside those of the directory and the registry
 * (`name`), and of the limits all but connections and idle_seconds. On failure
 * the keys stay as they were. */
NEED int serve_reload(struct serve *s, const struct serve_options *o, const char *const *name,
                      size_t n, struct err *e);
/* To the log: what is open, what runs. */
void serve_tell(struct serve *s);
/* Looks at the directory and the registry again. Models that are open and
 * whose files have changed are opened anew beside the old ones; what runs ends
 * with those. */
void serve_refresh(struct serve *s);
/* Takes no more requests; those that run may end within the time. */
void serve_drain(struct serve *s, double seconds);
void serve_close(struct serve *s);

/* To the service manager, if there is one: "READY=1", "STOPPING=1", ... */
void serve_notify(const char *state);
/* GET of a server that runs: its answer's body, NUL-terminated. key: NULL for
 * none. ERR_MACHINE: nobody answers. */
NEED int serve_ask(const char *address, const char *path, const char *key, struct buf *out,
                   int *status, struct err *e);

#endif
