/* SPDX-License-Identifier: MIT */
/* serve.h - language models over HTTP. The door of serve/.
 *
 * Speaks OpenAI's and Ollama's interfaces over unix sockets and TCP. Threads:
 * one moves bytes between sockets and buffers, a few read requests and turn
 * them into tokens, one runs the models (every request is a session of a
 * batch), one watches for peers that left. */
#ifndef CLM_SERVE_H
#define CLM_SERVE_H

#include "gen/gen.h"

enum { SERVE_LISTEN_MAX = 8, SERVE_HOSTS_MAX = 32 };

struct serve_options {
	/* "unix:PATH" or a path with a "/"; "HOST:PORT", ":PORT" (loopback). */
	const char *listen[SERVE_LISTEN_MAX];
	size_t n_listen;
	const char *key_file;      /* a key a line, mode 0600; NULL: no keys */
	const char *allow_host[SERVE_HOSTS_MAX], *allow_origin[SERVE_HOSTS_MAX];
	size_t n_allow_host, n_allow_origin;
	bool any_model;            /* any name means the only model */
	size_t queue;              /* requests that may wait; 0: 512 */
	size_t max_connections;    /* 0: 512 */
	const char *version;       /* of this program, for the Server header */
	/* A line for the log: each request's, and what goes wrong. Called from
	 * several threads, one at a time. May be NULL. */
	void (*log)(void *arg, const char *line);
	void *log_arg;
};

/* What is served under a name. Everything is borrowed, until serve_close(). */
struct serve_model {
	const char *name;
	const char *format, *quant; /* "gguf", "4-bit": for the lists */
	const struct tokenizer *tokenizer;
	const struct chat *chat;   /* NULL: it only goes on with texts */
	struct model *model;
	struct batch_options batch;
	struct embed_options embed; /* of an encoder */
	int64_t modified;          /* seconds since 1970 */
	size_t n_bytes;            /* of its files */
};

struct serve;
/* Nothing is served until serve_start(). */
NEED int serve_open(struct serve **out, const struct serve_options *o, struct err *e);
NEED int serve_add(struct serve *s, const struct serve_model *m, struct err *e);
/* Binds the sockets (a stale unix socket is replaced) and begins. */
NEED int serve_start(struct serve *s, struct err *e);
/* The address of listener i as a client would name it. */
const char *serve_address(const struct serve *s, size_t i);
/* Takes no more requests; those that run may end within the time. */
void serve_drain(struct serve *s, double seconds);
void serve_close(struct serve *s);

#endif
