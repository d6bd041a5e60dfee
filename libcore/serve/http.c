/* SPDX-License-Identifier: MIT */
/* http.c - answers: made by any thread, taken by the one at the sockets
 *
 * A connection whose answer is not there yet is suspended, so that it costs
 * nothing; whoever adds to the answer wakes it up. */
#include "serve/http.h"

#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/admin.h"
#include "serve/bell.h"

double http_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

struct exchange *exchange_hold(struct exchange *x)
{
	pthread_mutex_lock(&x->lock);
	x->n_refs++;
	pthread_mutex_unlock(&x->lock);
	return x;
}

void exchange_drop(struct exchange *x)
{
	int n;

	if (!x)
		return;
	pthread_mutex_lock(&x->lock);
	n = --x->n_refs;
	pthread_mutex_unlock(&x->lock);
	if (n)
		return;
	models_drop(x);
	pthread_mutex_destroy(&x->lock);
	upload_close(x);
	buf_release(&x->body);
	buf_release(&x->out);
	buf_release(&x->ping);
	free(x->uri);
	free(x->query);
	free(x->name);
	free(x);
}

bool exchange_gone(struct exchange *x)
{
	bool gone;

	pthread_mutex_lock(&x->lock);
	gone = x->gone;
	pthread_mutex_unlock(&x->lock);
	return gone;
}

/* The lock is held. */
static void wake(struct exchange *x)
{
	if (!x->waits || !x->connection)
		return;
	x->waits = false;
	MHD_resume_connection(x->connection);
}

static void add(struct exchange *x, struct bytes b)
{
	x->n_out += b.n;
	x->last_out = http_seconds();
	if (x->gone || !b.n)
		return;
	/* what was taken makes room; what waits from now on ages from now */
	if (x->sent == x->out.n) {
		buf_clear(&x->out);
		x->sent = 0;
		x->taken_at = x->last_out;
	}
	buf_add(&x->out, b.p, b.n);
	x->pending = x->out.n - x->sent;
	/* no memory for it: an answer with a hole must not look whole */
	if (x->out.failed)
		x->broken = x->ended = true;
}

void respond(struct exchange *x, int status, const char *type, struct bytes body)
{
	pthread_mutex_lock(&x->lock);
	if (!x->status) {
		add(x, body);
		x->type = type;
		x->status = x->broken ? 500 : status;
		x->ended = true;
		wake(x);
	}
	pthread_mutex_unlock(&x->lock);
}

/* JSON as a line, so that a terminal's next prompt is on its own. */
void respond_line(struct exchange *x, int status, struct bytes json)
{
	pthread_mutex_lock(&x->lock);
	if (!x->status) {
		add(x, json);
		add(x, bytes_of("\n"));
		x->type = "application/json";
		x->status = x->broken ? 500 : status;
		x->ended = true;
		wake(x);
	}
	pthread_mutex_unlock(&x->lock);
}

void respond_json(struct exchange *x, const struct buf *body)
{
	struct fault f;

	if (body->failed) {
		fault_set(&f, 503, "out_of_memory", "no memory for the answer");
		respond_fault(x, &f);
		return;
	}
	respond_line(x, 200, buf_bytes(body));
}

void respond_header(struct exchange *x, const char *name, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&x->lock);
	if (x->n_extra < HTTP_EXTRA && !x->status) {
		struct extra *h = &x->extra[x->n_extra++];

		h->name = name;
		va_start(ap, fmt);
		vsnprintf(h->value, sizeof h->value, fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&x->lock);
}

void respond_fault(struct exchange *x, const struct fault *f)
{
	struct buf b = { 0 };

	if (f->status == FAULT_PARKED) {
		models_park(x);
		return;
	}
	if (f->status == 401)
		respond_header(x, "WWW-Authenticate", "Bearer");
	if (fault_passes(f)) {
		respond_header(x, "Retry-After", "1");
		respond_header(x, "retry-after-ms", "1000");
	} else if (f->status >= 500) {
		respond_header(x, "x-should-retry", "false");
	}
	fault_body(&b, f, x->dialect, x->id);
	respond_line(x, fault_status(f, x->dialect), buf_bytes(&b));
	buf_release(&b);
}

void respond_begin(struct exchange *x, enum http_stream kind, struct bytes ping)
{
	static const char *const type[] = {
		[STREAM_SSE] = "text/event-stream; charset=utf-8",
		[STREAM_NDJSON] = "application/x-ndjson",
	};

	respond_header(x, "Cache-Control", "no-cache");
	respond_header(x, "X-Accel-Buffering", "no");
	pthread_mutex_lock(&x->lock);
	if (!x->status) {
		x->type = type[kind];
		x->streams = true;
		x->status = 200;
		x->last_out = x->taken_at = http_seconds();
		buf_add(&x->ping, ping.p, ping.n);
		wake(x);
	}
	pthread_mutex_unlock(&x->lock);
}

void respond_add(struct exchange *x, struct bytes b)
{
	pthread_mutex_lock(&x->lock);
	if (x->streams && !x->ended) {
		add(x, b);
		wake(x);
	}
	pthread_mutex_unlock(&x->lock);
}

void respond_later(struct exchange *x, struct bytes b)
{
	struct bell *bell = x->serve->bell;

	pthread_mutex_lock(&x->lock);
	if (x->streams && !x->ended) {
		add(x, b);
		if (!bell) {
			wake(x);
		} else if (x->waits && x->connection) {
			x->waits = false;
			x->n_refs++;
			bell_hold(bell, x);
		}
	}
	pthread_mutex_unlock(&x->lock);
}

/* It is suspended until here, so that nobody takes its connection away. */
void http_wake(struct exchange *x)
{
	MHD_resume_connection(x->connection);
	exchange_drop(x);
}

void respond_end(struct exchange *x)
{
	pthread_mutex_lock(&x->lock);
	x->ended = true;
	wake(x);
	pthread_mutex_unlock(&x->lock);
}

size_t respond_pending(struct exchange *x)
{
	return x->pending;
}

void respond_watch(struct exchange *x, void (*left)(void *arg), void *arg)
{
	pthread_mutex_lock(&x->lock);
	x->left = left;
	x->left_arg = arg;
	if (left && x->gone)
		left(arg);
	pthread_mutex_unlock(&x->lock);
}

/* ---- at the socket */

/* The lock is held. What the stream has, or what its end is; 0: it has yet to come. */
static ssize_t next_of(struct exchange *x, char *to, size_t room)
{
	size_t n = x->out.n - x->sent;

	if (!n)
		return x->broken || x->gone ? MHD_CONTENT_READER_END_WITH_ERROR :
		       x->ended             ? MHD_CONTENT_READER_END_OF_STREAM :
		                              0;
	n = n < room ? n : room;
	memcpy(to, x->out.p + x->sent, n);
	x->sent += n;
	x->pending = x->out.n - x->sent;
	x->taken_at = http_seconds();
	return (ssize_t)n;
}

/* To suspend takes a lock that all connections share: meanwhile nobody should
 * wait for this one's. What came in that time is its news. */
static ssize_t give(void *arg, uint64_t pos, char *to, size_t room)
{
	struct exchange *x = arg;
	ssize_t n;

	(void)pos;
	pthread_mutex_lock(&x->lock);
	n = next_of(x, to, room);
	pthread_mutex_unlock(&x->lock);
	if (n)
		return n;
	MHD_suspend_connection(x->connection);
	pthread_mutex_lock(&x->lock);
	x->waits = true;
	if (x->out.n > x->sent || x->broken || x->gone || x->ended)
		wake(x);
	pthread_mutex_unlock(&x->lock);
	return 0;
}

static void given(void *arg)
{
	exchange_drop(arg);
}

static struct MHD_Response *response_of(struct exchange *x)
{
	struct MHD_Response *r;

	if (x->streams) {
		x->n_refs++;
		r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, give, x, given);
		if (!r)
			x->n_refs--;
		return r;
	}
	return MHD_create_response_from_buffer(x->out.n, x->out.p ? (void *)x->out.p : "",
	                                       MHD_RESPMEM_MUST_COPY);
}

int http_queue(struct exchange *x, struct MHD_Connection *c)
{
	struct MHD_Response *r;
	int rc;

	pthread_mutex_lock(&x->lock);
	if (x->gone) {
		pthread_mutex_unlock(&x->lock);
		return MHD_NO;
	}
	if (!x->status) {
		/* called again when the answer is there */
		x->waits = true;
		MHD_suspend_connection(c);
		pthread_mutex_unlock(&x->lock);
		return MHD_YES;
	}
	r = response_of(x);
	if (!r) {
		pthread_mutex_unlock(&x->lock);
		return MHD_NO;
	}
	if (x->type)
		MHD_add_response_header(r, "Content-Type", x->type);
	MHD_add_response_header(r, "Server", server_name(x->serve));
	MHD_add_response_header(r, "X-Request-Id", x->id);
	for (size_t i = 0; i < x->n_extra; i++)
		MHD_add_response_header(r, x->extra[i].name, x->extra[i].value);
	rc = (int)MHD_queue_response(c, (unsigned)x->status, r);
	pthread_mutex_unlock(&x->lock);
	MHD_destroy_response(r);
	return rc;
}

void http_left(struct exchange *x)
{
	pthread_mutex_lock(&x->lock);
	if (!x->gone && !(x->ended && x->status)) {
		x->gone = true;
		if (!x->status)
			x->status = 499;
		if (x->left)
			x->left(x->left_arg);
	}
	wake(x);
	pthread_mutex_unlock(&x->lock);
}
