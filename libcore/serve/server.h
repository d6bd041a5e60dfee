/* SPDX-License-Identifier: MIT */
/* server.h - what the parts of a running server share. Private to serve/. */
#ifndef CLM_SERVE_SERVER_H
#define CLM_SERVE_SERVER_H

#include <stdatomic.h>

#include "serve/models.h"

struct MHD_Daemon;
struct bell;
struct engine;
struct keys;
struct registry;

enum { DESKS = 2, HEAD_BYTES = 16384, HEAD_FIELDS = 100, BODY_RATE = 65536,
       PING_SECONDS = 15, STALL_BYTES = 1 << 20 };

/* As in struct serve_limits; they may change while the server runs. */
struct limits {
	_Atomic size_t queue, connections, per_address, body_bytes, head_seconds, body_seconds,
		stall_seconds, idle_seconds;
};

struct listener {
	struct serve *serve;
	struct MHD_Daemon *daemon;
	int fd;
	bool local;                /* a unix socket */
	bool checks_host;          /* a name that is not this machine's is refused */
	char *path;                /* to unlink; NULL: none */
	char address[160];
};

/* A connection, from its first byte to its last. */
struct link {
	int fd;
	double head_by;            /* when its next head must be there; 0: it is */
	struct link *next, **at;
};

struct serve {
	struct serve_options o;
	struct limits limits;
	char server[80];
	struct keys *_Atomic keys; /* with those that were before them */
	struct metrics *metrics;
	struct listener listener[SERVE_LISTEN_MAX];
	size_t n_listeners;
	struct models models;
	struct door *door;
	struct engine *engine;
	struct bell *bell;         /* the engine's, to wake connections */
	int64_t started_at;
	pthread_mutex_t lock;      /* of the two lists and the desk's */
	struct exchange *exchanges;
	struct link *links;
	_Atomic bool listens, draining, stopping;
	/* requests that wait to be read */
	struct desk_item { struct exchange *x; struct desk_item *next; } *desk, **desk_end;
	pthread_cond_t desk_filled;
	pthread_t desk_thread[DESKS], watch_thread;
	size_t n_desks;
	bool watches;
	pthread_mutex_t log_lock;
	struct registry *registry; /* NULL: none is asked for */
	int place;                 /* of clients' models: a file that is locked; 0: none */
	struct pull *pulls;        /* that run */
	pthread_mutex_t pull_lock;
	pthread_t hash_thread;
	pthread_mutex_t hash_lock; /* of the next two */
	pthread_cond_t hash_news;
	bool hash_wanted, hashes;
};

const char *server_name(const struct serve *s);
void server_log(struct serve *s, const char *fmt, ...) PRINTF(2, 3);
/* The model of a request, which holds it until it is answered: NULL with a
 * fault. The default tag ":latest" is as good as none. Of a model that is not
 * open the fault says that x is to wait: respond_fault() sees to that, and the
 * handler is called again. The body must still be there then. */
const struct served *server_model(struct exchange *x, const char *name, struct fault *f);

/* ---- log.c */
void log_peer(char out[PEER_TEXT], int fd, bool local);
void log_request(struct exchange *x);

/* ---- pulling.c: all have ended */
void pulls_close(struct serve *s);

/* ---- systemd.c: sockets that were handed over, from 3 on */
size_t listen_inherited(void);

/* ---- http.c, towards the sockets */
int http_queue(struct exchange *x, struct MHD_Connection *c);
void http_left(struct exchange *x);
void http_wake(struct exchange *take_x); /* one that the bell held */

/* ---- listen.c */
NEED int listen_open(struct serve *s, struct err *e);
void listen_stop(struct serve *s);  /* no new connections */
void listen_close(struct serve *s);

void fresh_id(char out[REQUEST_ID]);

/* ---- door.c: connections up to their first head */
struct door;
NEED int door_open(struct serve *s, struct err *e); /* s->door, over its listeners */
void door_shut(struct door *d);     /* no new ones */
void door_close(struct door *d);
/* Writes the fault to a socket that the HTTP library has not written to. */
void door_answer(struct serve *s, int fd, const char *id, enum dialect d, const struct fault *f);

/* ---- head.c: what must hold before a request is looked at */
/* The first n bytes of a request, that may be changed: 1 its head is whole
 * and sound, 0 there is more to come, -1 a fault. */
NEED int head_sound(char *p, size_t n, struct fault *f);
NEED int head_check(struct exchange *x, struct MHD_Connection *c, const struct listener *l,
                    struct fault *f);
NEED int keys_open(struct keys **out, const char *path, struct err *e);
void keys_close(struct keys *k); /* with those chained to it */
void keys_chain(struct keys *k, struct keys *take_older);
bool keys_have(const struct keys *k, const char *key);

/* ---- watch.c: peers that leave, or never come to an end */
NEED int watch_open(struct serve *s, struct err *e);
void watch_close(struct serve *s);

/* ---- routes.c */
struct route {
	const char *method, *path; /* "{}" stands for a name, at the end for all that is left */
	void (*handle)(struct exchange *x);
	bool at_once;              /* quick: done by the thread that moves bytes */
	bool open;                 /* without a key too */
};
extern const struct route routes[];
extern const size_t n_routes;
/* Finds the route of x, fills its name. The fault is 404 or 405 (with what
 * is allowed). */
NEED int route_find(struct exchange *x, struct fault *f);
enum dialect route_dialect(const char *uri);
/* Does what the request asks, here or at a desk. */
void route_run(struct exchange *x);
/* A place in the desks' queue, for x, whose reference it takes. */
void desk_take(struct serve *s, struct exchange *take_x);
NEED int desks_open(struct serve *s, struct err *e);
void desks_close(struct serve *s);

#endif
