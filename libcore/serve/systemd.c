/* SPDX-License-Identifier: MIT */
/* systemd.c - what a service manager hands over and is told: sockets by
 * LISTEN_FDS (sd_listen_fds(3)), states by NOTIFY_SOCKET (sd_notify(3)) */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "serve/server.h"
#include "util/num.h"

void serve_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t n = path ? strlen(path) : 0;
	int fd;

	if (n < 2 || n >= sizeof a.sun_path || (path[0] != '/' && path[0] != '@'))
		return;
	memcpy(a.sun_path, path, n);
	if (path[0] == '@') /* the abstract name space */
		a.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	/* nobody may listen: a service is none the worse for it */
	(void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&a,
	              (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
	close(fd);
}

size_t listen_inherited(void)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");
	uint64_t who, n;
	bool ours = pid && fds && num_u64(&who, pid) && num_u64(&n, fds) && who == (uint64_t)getpid() &&
	            n > 0;

	return !ours ? 0 : n < SERVE_LISTEN_MAX ? (size_t)n : SERVE_LISTEN_MAX;
}
