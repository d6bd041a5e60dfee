/* SPDX-License-Identifier: MIT */
/* listen.c - sockets, and libmicrohttpd over them
 *
 * The library parses heads and frames bodies; what it leaves to its user is
 * done here: raw paths, ceilings, whole requests to the routes, answers when
 * they are there. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/admin.h"

enum { BACKLOG = 128, CONNECTION_BYTES = 32768, FIRST_HANDED = 3 };

/* ---- requests */

void fresh_id(char out[REQUEST_ID])
{
	unsigned char r[16];

	if (getrandom(r, sizeof r, 0) != (ssize_t)sizeof r)
		memset(r, 0, sizeof r);
	memcpy(out, "req_", 4);
	for (size_t i = 0; i < sizeof r; i++)
		snprintf(out + 4 + 2 * i, 3, "%02x", r[i]);
}

/* Comes first, with the path as it was sent. */
static void *begin(void *arg, const char *uri, struct MHD_Connection *c)
{
	struct listener *l = arg;
	struct serve *s = l->serve;
	struct exchange *x = calloc(1, sizeof *x);
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c, MHD_CONNECTION_INFO_CONNECTION_FD);

	if (!x)
		return NULL;
	pthread_mutex_init(&x->lock, NULL);
	x->uri = strndup(uri, strcspn(uri, "?"));
	x->query = strchr(uri, '?') ? strdup(strchr(uri, '?') + 1) : NULL;
	x->serve = s;
	x->n_refs = 1;
	x->connection = c;
	x->fresh = true;
	x->fd = info ? info->connect_fd : -1;
	x->local = l->local;
	log_peer(x->peer, x->fd, x->local);
	x->began = http_seconds();
	x->dialect = route_dialect(x->uri ? x->uri : "");
	buf_init(&x->body, s->limits.body_bytes);
	fresh_id(x->id);
	pthread_mutex_lock(&s->lock);
	x->next = s->exchanges;
	x->at = &s->exchanges;
	if (x->next)
		x->next->at = &x->next;
	s->exchanges = x;
	pthread_mutex_unlock(&s->lock);
	return x;
}

static void completed(void *arg, struct MHD_Connection *c, void **con_cls,
                      enum MHD_RequestTerminationCode why)
{
	struct listener *l = arg;
	struct exchange *x = *con_cls;
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	const struct limits *most = &l->serve->limits;
	struct link *k = info ? info->socket_context : NULL;

	*con_cls = NULL;
	if (!x)
		return;
	pthread_mutex_lock(&l->serve->lock);
	*x->at = x->next;
	if (x->next)
		x->next->at = x->at;
	if (k)
		k->head_by = http_seconds() +
		             (double)(most->idle_seconds + most->head_seconds);
	pthread_mutex_unlock(&l->serve->lock);
	pthread_mutex_lock(&x->lock);
	x->connection = NULL;
	if (why != MHD_REQUEST_TERMINATED_COMPLETED_OK && !x->gone) {
		x->gone = true;
		if (x->left)
			x->left(x->left_arg);
	}
	pthread_mutex_unlock(&x->lock);
	log_request(x);
	exchange_drop(x);
}

static enum MHD_Result head(struct exchange *x, struct MHD_Connection *c, const char *method,
                            const struct listener *l)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct link *k = info ? info->socket_context : NULL;
	struct fault f;

	x->fresh = false;
	snprintf(x->method, sizeof x->method, "%s", method);
	if (k) {
		pthread_mutex_lock(&x->serve->lock);
		k->head_by = 0;
		pthread_mutex_unlock(&x->serve->lock);
	}
	if (head_check(x, c, l, &f)) {
		respond_fault(x, &f);
		return (enum MHD_Result)http_queue(x, c);
	}
	return x->status ? (enum MHD_Result)http_queue(x, c) : MHD_YES;
}

static enum MHD_Result handle(void *arg, struct MHD_Connection *c, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *n_data, void **con_cls)
{
	const struct listener *l = arg;
	struct exchange *x = *con_cls;
	struct fault f;

	(void)url;
	if (!x || !x->uri)
		return MHD_NO;
	x->old = strcmp(version, "HTTP/1.1") != 0;
	if (x->fresh)
		return head(x, c, method, l);
	if (*n_data) {
		/* what is over the ceiling is read and dropped: the answer
		 * can only come after it */
		x->n_body += *n_data;
		if (upload_route(x->route))
			upload_add(x, (struct bytes){ (const unsigned char *)data, *n_data });
		else
			buf_add(&x->body, data, *n_data);
		*n_data = 0;
		return MHD_YES;
	}
	if (!x->ran && !x->status) {
		x->ran = true;
		if (x->body.failed) {
			fault_set(&f, 413, "request_too_large", "a body of over %zu bytes",
			          x->body.ceiling);
			respond_fault(x, &f);
		} else {
			route_run(x);
		}
	}
	return (enum MHD_Result)http_queue(x, c);
}

static void connection(void *arg, struct MHD_Connection *c, void **context,
                       enum MHD_ConnectionNotificationCode what)
{
	struct listener *l = arg;
	struct link *k = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED) {
		const union MHD_ConnectionInfo *info = MHD_get_connection_info(
			c, MHD_CONNECTION_INFO_CONNECTION_FD);
		int one = 1;

		k = calloc(1, sizeof *k);
		*context = k;
		if (!k || !info)
			return;
		k->fd = info->connect_fd;
		k->head_by = http_seconds() + (double)l->serve->limits.head_seconds;
		if (!l->local)
			setsockopt(k->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		pthread_mutex_lock(&l->serve->lock);
		k->next = l->serve->links;
		k->at = &l->serve->links;
		if (k->next)
			k->next->at = &k->next;
		l->serve->links = k;
		pthread_mutex_unlock(&l->serve->lock);
		return;
	}
	if (!k)
		return;
	*context = NULL;
	if (k->at) {
		pthread_mutex_lock(&l->serve->lock);
		*k->at = k->next;
		if (k->next)
			k->next->at = k->at;
		pthread_mutex_unlock(&l->serve->lock);
	}
	free(k);
}

static size_t as_it_is(void *arg, struct MHD_Connection *c, char *s)
{
	(void)arg;
	(void)c;
	return strlen(s);
}

static void quiet(void *arg, const char *fmt, va_list ap)
{
	(void)arg;
	(void)fmt;
	(void)ap;
}

static int start(struct listener *l, struct err *e)
{
	const struct limits *most = &l->serve->limits;

	l->daemon = MHD_start_daemon(
		MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
			MHD_USE_ITC | MHD_USE_NO_LISTEN_SOCKET,
		0, NULL, NULL, handle, l, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
		MHD_OPTION_URI_LOG_CALLBACK, begin, l, MHD_OPTION_UNESCAPE_CALLBACK, as_it_is, NULL,
		MHD_OPTION_NOTIFY_COMPLETED, completed, l, MHD_OPTION_NOTIFY_CONNECTION, connection, l,
		MHD_OPTION_CONNECTION_LIMIT, (unsigned)most->connections,
		MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)most->per_address,
		MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)most->idle_seconds,
		MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
		MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
	if (!l->daemon)
		return err_set(e, ERR_MACHINE, "%s: cannot start the HTTP server", l->address);
	return 0;
}

/* ---- sockets */

/* A socket file that nobody answers behind is left over. */
static int clear_stale(const struct sockaddr_un *a, struct err *e)
{
	struct stat st;
	int fd, rc;

	if (lstat(a->sun_path, &st))
		return 0;
	if (!S_ISSOCK(st.st_mode))
		return err_set(e, ERR_MACHINE, "%s: it exists and is no socket", a->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return err_errno(e, "cannot make a socket");
	rc = connect(fd, (const struct sockaddr *)a, sizeof *a);
	close(fd);
	if (rc == 0)
		return err_set(e, ERR_MACHINE, "%s: a server listens there", a->sun_path);
	if (errno != ECONNREFUSED)
		return err_errno(e, "%s", a->sun_path);
	return unlink(a->sun_path) ? err_errno(e, "%s", a->sun_path) : 0;
}

static int listen_local(struct listener *l, const char *path, struct err *e)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t old;
	int rc;

	if (strlen(path) >= sizeof a.sun_path)
		return err_set(e, ERR_MISUSE, "a socket's path has at most %zu bytes, found %zu",
		               sizeof a.sun_path - 1, strlen(path));
	memcpy(a.sun_path, path, strlen(path) + 1);
	l->local = l->checks_host = true;
	snprintf(l->address, sizeof l->address, "unix:%s", path);
	if (clear_stale(&a, e))
		return -1;
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return err_errno(e, "cannot make a socket");
	old = umask(0177);
	rc = bind(l->fd, (struct sockaddr *)&a, sizeof a);
	umask(old);
	if (rc)
		return err_errno(e, "%s", path);
	l->path = strdup(path);
	return listen(l->fd, BACKLOG) ? err_errno(e, "%s", path) : 0;
}

static bool loopback(const struct sockaddr *a)
{
	const struct sockaddr_in *v4 = (const void *)a;
	const struct sockaddr_in6 *v6 = (const void *)a;

	if (a->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return a->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static int bind_address(struct listener *l, const struct addrinfo *a, struct err *e)
{
	struct sockaddr_storage got;
	socklen_t n = sizeof got;
	char host[80], port[16];
	int one = 1;

	l->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return err_errno(e, "cannot make a socket");
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(l->fd, a->ai_addr, a->ai_addrlen) || listen(l->fd, BACKLOG))
		return err_errno(e, "%s", l->address);
	if (getsockname(l->fd, (struct sockaddr *)&got, &n) == 0 &&
	    getnameinfo((struct sockaddr *)&got, n, host, sizeof host, port, sizeof port,
	                NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(l->address, sizeof l->address,
		         a->ai_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
	l->checks_host = loopback(a->ai_addr);
	return 0;
}

/* "HOST:PORT", "[V6]:PORT", ":PORT" (this machine alone). */
static int listen_tcp(struct listener *l, const char *text, struct err *e)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE }, *found;
	const char *colon = strrchr(text, ':');
	char host[128];
	size_t n = colon ? (size_t)(colon - text) : 0;
	int rc;

	if (!colon || !colon[1] || n >= sizeof host)
		return err_set(e, ERR_MISUSE, "expected HOST:PORT or a socket's path, found \"%s\"",
		               text);
	snprintf(l->address, sizeof l->address, "%s", text);
	if (n > 1 && text[0] == '[' && text[n - 1] == ']')
		text++, n -= 2;
	snprintf(host, sizeof host, "%.*s", n ? (int)n : 9, n ? text : "127.0.0.1");
	rc = getaddrinfo(host, colon + 1, &hints, &found);
	if (rc)
		return err_set(e, ERR_MISUSE, "%s: %s", l->address, gai_strerror(rc));
	rc = bind_address(l, found, e);
	freeaddrinfo(found);
	return rc;
}

/* A socket of the service manager's. Its file is not ours to remove. */
static int listen_handed(struct listener *l, int fd, struct err *e)
{
	struct sockaddr_storage a = { 0 };
	socklen_t n = sizeof a;
	char host[80], port[16];
	int listens = 0;
	socklen_t n_listens = sizeof listens;

	snprintf(l->address, sizeof l->address, "descriptor %d", fd);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n_listens) || !listens ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		return err_set(e, ERR_MACHINE, "%s: expected a socket that listens", l->address);
	fcntl(fd, F_SETFD, FD_CLOEXEC);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	l->fd = fd;
	l->local = a.ss_family == AF_UNIX;
	l->checks_host = l->local || loopback((const struct sockaddr *)&a);
	if (l->local)
		snprintf(l->address, sizeof l->address, "unix:%s",
		         ((const struct sockaddr_un *)&a)->sun_path);
	else if (getnameinfo((struct sockaddr *)&a, n, host, sizeof host, port, sizeof port,
	                     NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(l->address, sizeof l->address,
		         a.ss_family == AF_INET6 ? "http://[%s]:%s" : "http://%s:%s", host, port);
	return 0;
}

static int listen_at(struct listener *l, const char *text, struct err *e)
{
	return strncmp(text, "unix:", 5) == 0 ? listen_local(l, text + 5, e) :
	       strchr(text, '/')              ? listen_local(l, text, e) :
	                                        listen_tcp(l, text, e);
}

int listen_open(struct serve *s, struct err *e)
{
	size_t handed = listen_inherited(), n = handed ? handed : s->o.n_listen;

	for (size_t i = 0; i < n; i++) {
		struct listener *l = &s->listener[s->n_listeners++];

		l->serve = s;
		l->fd = -1;
		if (handed ? listen_handed(l, FIRST_HANDED + (int)i, e) : listen_at(l, s->o.listen[i], e))
			return -1;
		if (start(l, e))
			return -1;
	}
	return door_open(s, e);
}

void listen_stop(struct serve *s)
{
	door_shut(s->door);
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listener[i];

		if (l->path)
			unlink(l->path);
		free(l->path);
		l->path = NULL;
	}
}

void listen_close(struct serve *s)
{
	listen_stop(s);
	door_close(s->door);
	s->door = NULL;
	for (size_t i = 0; i < s->n_listeners; i++) {
		struct listener *l = &s->listener[i];

		if (l->daemon)
			MHD_stop_daemon(l->daemon);
		if (l->fd >= 0)
			close(l->fd);
		l->daemon = NULL;
	}
	s->n_listeners = 0;
}
