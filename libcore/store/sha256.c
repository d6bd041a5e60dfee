/* SPDX-License-Identifier: MIT */
/* sha256.c - SHA-256 of files and of directories of them */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/store.h"
#include "util/file.h"

enum { PIECE = 1 << 20 };

static int add_file(struct digest *d, const char *path, const _Atomic bool *stop, struct err *e)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	unsigned char *piece = malloc(PIECE);
	ssize_t n = 0;

	if (fd < 0 || !piece) {
		int rc = err_errno(e, "%s", path);

		free(piece);
		if (fd >= 0)
			close(fd);
		return rc;
	}
	while (!(stop && *stop) && (n = read(fd, piece, PIECE)) > 0)
		digest_add(d, (struct bytes){ piece, (size_t)n });
	if (n < 0)
		err_errno(e, "%s", path);
	else if (n > 0)
		err_set(e, ERR_INTERRUPTED, "interrupted");
	close(fd);
	free(piece);
	return n ? -1 : 0;
}

static int one(char out[SHA256_TEXT], const char *path, const _Atomic bool *stop, struct err *e)
{
	struct digest *d;
	char text[DIGEST_TEXT];

	if (digest_open_sha256(&d, e))
		return -1;
	if (add_file(d, path, stop, e) || (stop && *stop)) {
		digest_abort(d);
		return stop && *stop ? err_set(e, ERR_INTERRUPTED, "interrupted") : -1;
	}
	if (digest_close(d, text, e))
		return -1;
	for (size_t i = 0; i < SHA256_TEXT; i++)
		out[i] = text[i];
	return 0;
}

int file_git_sha1(char out[SHA256_TEXT], const char *path, struct err *e)
{
	struct digest *d;
	struct stat st;
	char text[DIGEST_TEXT], head[64];

	if (stat(path, &st))
		return err_errno(e, "%s", path);
	if (digest_open_sha1(&d, e))
		return -1;
	digest_add(d, (struct bytes){ (unsigned char *)head,
	                              (size_t)snprintf(head, sizeof head, "blob %lld",
	                                               (long long)st.st_size) + 1 });
	if (add_file(d, path, NULL, e)) {
		digest_abort(d);
		return -1;
	}
	if (digest_close(d, text, e))
		return -1;
	snprintf(out, SHA256_TEXT, "%.64s", text);
	return 0;
}

static int lines(struct buf *b, struct arena *a, const char *dir, const _Atomic bool *stop,
                 struct err *e)
{
	char **name, sum[SHA256_TEXT];
	size_t n;

	name = file_list(a, dir, &n, e);
	if (!name)
		return -1;
	for (size_t i = 0; i < n; i++) {
		char *path = file_join(a, dir, name[i], e);

		if (!path)
			return -1;
		if (name[i][0] == '.' || file_is_dir(path))
			continue;
		if (one(sum, path, stop, e))
			return -1;
		buf_printf(b, "%s  %s\n", sum, name[i]);
	}
	return buf_check(b, e);
}

int file_sha256(char out[SHA256_TEXT], const char *path, const _Atomic bool *stop, struct err *e)
{
	struct arena a = { 0 };
	struct buf b = { 0 };
	struct digest *d = NULL;
	char text[DIGEST_TEXT];
	int rc;

	if (!file_is_dir(path))
		return one(out, path, stop, e);
	rc = lines(&b, &a, path, stop, e);
	if (rc == 0)
		rc = digest_open_sha256(&d, e);
	if (rc == 0) {
		digest_add(d, buf_bytes(&b));
		rc = digest_close(d, text, e);
	}
	for (size_t i = 0; rc == 0 && i < SHA256_TEXT; i++)
		out[i] = text[i];
	buf_release(&b);
	arena_release(&a);
	return rc;
}
