/* SPDX-License-Identifier: MIT */
/* log.c - a line for a request and for what goes wrong, as text or as JSON;
 * never what a prompt or an answer says */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "serve/call.h"
#include "serve/metrics.h"

enum { LINE = 1024 };

static void put(struct serve *s, const char *line)
{
	pthread_mutex_lock(&s->log_lock);
	s->o.log(s->o.log_arg, line);
	pthread_mutex_unlock(&s->log_lock);
}

/* With milliseconds. */
static void now_text(char out[40])
{
	struct timespec t;
	struct tm tm;
	char whole[32];

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	strftime(whole, sizeof whole, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(out, 40, "%.24s.%03uZ", whole, (unsigned)(t.tv_nsec / 1000000) % 1000);
}

void server_log(struct serve *s, const char *fmt, ...)
{
	struct buf b = { 0 };
	char line[LINE], now[40];
	va_list ap;

	if (!s->o.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	if (!s->o.log_json) {
		put(s, line);
		return;
	}
	now_text(now);
	buf_printf(&b, "{\"time\":\"%s\",\"message\":", now);
	json_add_string(&b, bytes_of(line));
	buf_add_byte(&b, '}');
	if (!b.failed)
		put(s, (const char *)b.p);
	buf_release(&b);
}

/* "uid:1000" of a unix socket, else the address. */
void log_peer(char out[PEER_TEXT], int fd, bool local)
{
	struct sockaddr_storage a = { 0 };
	const struct sockaddr_in *v4 = (const void *)&a;
	const struct sockaddr_in6 *v6 = (const void *)&a;
	struct ucred who;
	socklen_t n = sizeof who;

	snprintf(out, PEER_TEXT, "-");
	if (local) {
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == 0)
			snprintf(out, PEER_TEXT, "uid:%u", (unsigned)who.uid);
		return;
	}
	n = sizeof a;
	if (getpeername(fd, (struct sockaddr *)&a, &n))
		return;
	if (a.ss_family == AF_INET)
		inet_ntop(AF_INET, &v4->sin_addr, out, PEER_TEXT);
	else if (a.ss_family == AF_INET6)
		inet_ntop(AF_INET6, &v6->sin6_addr, out, PEER_TEXT);
}

static void as_json(struct exchange *x, const char *path, int status, const char *now, double total)
{
	struct buf b = { 0 };

	buf_printf(&b, "{\"time\":\"%s\",\"id\":\"%s\",\"peer\":\"%s\",\"method\":", now, x->id,
	           x->peer);
	json_add_string(&b, bytes_of(x->method));
	buf_printf(&b, ",\"path\":\"%s\",\"status\":%d,\"model\":", path, status);
	if (x->model)
		json_add_string(&b, bytes_of(x->model));
	else
		buf_add_text(&b, "null");
	buf_printf(&b,
	           ",\"queue_ms\":%.1f,\"prefill_ms\":%.1f,\"decode_ms\":%.1f,\"total_ms\":%.1f,"
	           "\"prompt_tokens\":%zu,\"cached_tokens\":%zu,\"generated_tokens\":%zu,"
	           "\"bytes\":%zu}",
	           x->queue_s * 1e3, x->prefill_s * 1e3, x->decode_s * 1e3, total * 1e3, x->n_prompt,
	           x->n_cached, x->n_made, x->n_out);
	if (!b.failed)
		put(x->serve, (const char *)b.p);
	buf_release(&b);
}

void log_request(struct exchange *x)
{
	const char *path = x->route ? x->route->path : "other";
	int status = x->gone && x->status != 408 ? 499 : x->status;
	double total = http_seconds() - x->began;
	char line[LINE], now[40];

	metrics_request(x->serve, path, status);
	if (!x->serve->o.log)
		return;
	now_text(now);
	if (x->serve->o.log_json) {
		as_json(x, path, status, now, total);
		return;
	}
	snprintf(line, sizeof line,
	         "%s %s %s %d model=%s queue=%.1fms prefill=%.1fms decode=%.1fms prompt=%zu "
	         "cached=%zu made=%zu bytes=%zu total=%.1fms peer=%s time=%s",
	         x->id, x->method[0] ? x->method : "-", path, status, x->model ? x->model : "-",
	         x->queue_s * 1e3, x->prefill_s * 1e3, x->decode_s * 1e3, x->n_prompt, x->n_cached,
	         x->n_made, x->n_out, total * 1e3, x->peer, now);
	put(x->serve, line);
}

/* What there is, for who asks by a signal. */
void serve_tell(struct serve *s)
{
	static const char *const states[] = { "closed", "wanted", "opening", "open" };
	struct engine_state e;

	engine_state(s->engine, &e);
	server_log(s, "state: %zu requests run, %zu wait", e.running, e.waiting);
	pthread_mutex_lock(&s->models.lock);
	for (size_t i = 0; i < s->models.n; i++) {
		const struct slot *t = s->models.slot[i];

		if (!t->gone)
			server_log(s, "state: model %s: %s, %zu in use, %zu bytes", t->name,
			           states[t->state], t->live ? t->live->uses : 0,
			           t->live ? t->live->m.n_held : 0);
	}
	pthread_mutex_unlock(&s->models.lock);
}
