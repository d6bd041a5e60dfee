/* SPDX-License-Identifier: MIT */
/* http.h - one request and its answer. Private to serve/.
 *
 * An exchange is shared by the thread that moves bytes and by the one that
 * makes the answer; each holds a reference. The answer's functions may be
 * called from any thread; after the peer has left they do nothing. */
#ifndef CLM_SERVE_HTTP_H
#define CLM_SERVE_HTTP_H

#include <pthread.h>
#include <stdatomic.h>

#include "serve/fault.h"
#include "serve/serve.h"

struct MHD_Connection;
struct route;

enum { PEER_TEXT = 48, REQUEST_ID = 132, HTTP_EXTRA = 6, PATH_MAX_BYTES = 2048 };

enum http_stream { STREAM_SSE, STREAM_NDJSON };

struct exchange {
	struct serve *serve;
	/* the request; complete before a handler sees it, constant after */
	char method[16];
	char *uri;                 /* as it came, without the query */
	char *query;               /* NULL: none */
	char peer[PEER_TEXT];      /* who asks, for the log */
	const struct route *route;
	char *name;                /* what stood for {} in the route, decoded */
	enum dialect dialect;      /* of errors */
	char id[REQUEST_ID];
	struct buf body;
	size_t n_body;             /* bytes of it that came */
	struct upload *upload;     /* a body that goes to disk */
	bool old;                  /* HTTP/1.0 */
	bool html;                 /* a browser that wants a page */
	bool fresh;                /* its head was not looked at yet */
	bool ran;                  /* its body is whole, and the route was told */
	/* the answer */
	pthread_mutex_t lock;
	int n_refs;
	struct MHD_Connection *connection; /* NULL: the peer is served or has left */
	int status;                /* 0: not known yet */
	const char *type;
	struct extra { const char *name; char value[256]; } extra[HTTP_EXTRA];
	size_t n_extra;
	struct buf out;            /* bytes that wait for the socket, from `sent` on */
	size_t sent, n_out;        /* n_out: bytes in all, for the log */
	_Atomic size_t pending;    /* bytes that wait, to be looked at without the lock */
	bool streams, ended, broken; /* broken: ends without the mark of an end */
	bool waits;                /* suspended until there is more */
	struct exchange *in_bell;  /* the next that is to be woken */
	bool gone;                 /* the peer left before the end */
	_Atomic bool late;         /* it was cut off: its time was over */
	double began, last_out;    /* seconds; when bytes were last added */
	/* Told, once, that the peer left; under the lock. */
	void (*left)(void *arg);
	void *left_arg;
	/* its model; models.c sees to it */
	struct served *held;
	struct slot *wants;        /* that is not open yet */
	int32_t adapter;           /* of the model; 0: none */
	bool keeps;                /* the request says how long to keep the model: */
	double keep;               /* seconds; < 0: for ever */
	/* for the log */
	const char *model;
	size_t n_prompt, n_cached, n_made;
	double queue_s, prefill_s, decode_s;
	/* for whoever watches the socket */
	int fd;
	bool local;                /* a unix socket */
	struct buf ping;           /* what a stream says to be heard */
	bool half_closed;          /* the peer sends no more, and may be gone */
	double ping_at;            /* when to look again after that; 0: no */
	double taken_at;           /* when the socket last took bytes */
	struct exchange *next, **at; /* among the server's */
};

struct exchange *exchange_hold(struct exchange *x);
void exchange_drop(struct exchange *x);
bool exchange_gone(struct exchange *x); /* its peer has left */

/* A whole answer. The body is copied. */
void respond(struct exchange *x, int status, const char *type, struct bytes body);
void respond_line(struct exchange *x, int status, struct bytes json);
void respond_json(struct exchange *x, const struct buf *body); /* 200 */
void respond_fault(struct exchange *x, const struct fault *f);
/* A header beside the usual ones, before the answer. The name is borrowed. */
void respond_header(struct exchange *x, const char *name, const char *fmt, ...) PRINTF(3, 4);
/* An answer in pieces: the head goes out at once. `ping` is added where
 * nothing else was for a while. */
void respond_begin(struct exchange *x, enum http_stream kind, struct bytes ping);
void respond_add(struct exchange *x, struct bytes b);
/* The same on the engine's thread: it goes out when the bell rings. */
void respond_later(struct exchange *x, struct bytes b);
void respond_end(struct exchange *x);
/* Bytes that the peer has not taken yet. */
size_t respond_pending(struct exchange *x);
/* Calls back when the peer leaves, at once if it has. NULL: no more. */
void respond_watch(struct exchange *x, void (*left)(void *arg), void *arg);

/* Seconds on the monotonic clock. */
double http_seconds(void);

#endif
