/* SPDX-License-Identifier: MIT */
/* file.c - map, read and list what is on disk; paths.
 *
 * Given a path, gives bytes or names. Writing is file_out.c's; putting the
 * path into a message is left to the caller. */
#include "util/file.h"
#include "util/pages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that leads nowhere is the caller's mistake; the rest is the
 * machine's. */
static int cannot(struct err *e, const char *verb)
{
	int rc = err_errno(e, "cannot %s", verb);

	if (errno == ENOENT || errno == ENOTDIR || errno == ENAMETOOLONG || errno == ELOOP ||
	    errno == EISDIR)
		e->kind = ERR_INPUT;
	return rc;
}

int file_map(struct file_map *out, const char *path, struct err *e)
{
	struct stat st;
	void *p;
	/* not to wait for the other end of a FIFO */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	*out = (struct file_map){ .fd = -1 };
	if (fd < 0)
		return cannot(e, "open");
	if (fstat(fd, &st)) {
		err_errno(e, "cannot look at it");
		goto fail;
	}
	if (!S_ISREG(st.st_mode)) {
		err_set(e, ERR_INPUT, "expected a regular file, found %s",
		        S_ISDIR(st.st_mode) ? "a directory" : "something else");
		goto fail;
	}
	if (st.st_size == 0) {
		close(fd);
		out->bytes = bytes_of("");
		return 0;
	}
	if ((uintmax_t)st.st_size > SIZE_MAX / 2) {
		err_set(e, ERR_MACHINE, "too large to map");
		goto fail;
	}
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED) {
		err_errno(e, "cannot map %zu bytes", (size_t)st.st_size);
		goto fail;
	}
	pages_large(p, (size_t)st.st_size);
	out->bytes = (struct bytes){ p, (size_t)st.st_size };
	out->fd = fd;
	return 0;
fail:
	close(fd);
	return -1;
}

void file_unmap(struct file_map *m)
{
	if (!m)
		return;
	if (m->bytes.n) {
		munmap((void *)(uintptr_t)m->bytes.p, m->bytes.n);
		close(m->fd);
	}
	*m = (struct file_map){ .fd = -1 };
}

void file_forget(struct bytes b)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t from = ((uintptr_t)b.p + page - 1) / page * page;
	size_t to = ((uintptr_t)b.p + b.n) / page * page;

	if (to > from)
		madvise((void *)from, to - from, MADV_DONTNEED);
}

void file_expect(struct bytes b)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)b.p / page * page;

	if (b.n)
		madvise((void *)from, (uintptr_t)b.p + b.n - from, MADV_WILLNEED);
}

static int read_all(struct buf *b, int fd, size_t ceiling, struct err *e)
{
	unsigned char piece[1 << 16];
	size_t total = 0;
	ssize_t n;

	for (;;) {
		n = read(fd, piece, sizeof piece);
		if (n < 0 && errno == EINTR)
			return err_set(e, ERR_INTERRUPTED, "interrupted");
		if (n < 0)
			return cannot(e, "read");
		if (n == 0)
			return buf_check(b, e);
		total += (size_t)n;
		if (ceiling && total > ceiling)
			return err_set(e, ERR_INPUT, "more than %zu bytes", ceiling);
		if (buf_add(b, piece, (size_t)n))
			return buf_check(b, e);
	}
}

int file_read(struct buf *b, const char *path, size_t ceiling, struct err *e)
{
	int fd, rc;

	if (strcmp(path, "-") == 0)
		return read_all(b, STDIN_FILENO, ceiling, e);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return cannot(e, "open");
	rc = read_all(b, fd, ceiling, e);
	close(fd);
	return rc;
}

bool file_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0;
}

bool file_is_dir(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* NAME in a directory of ours, under what the variable says or under the home. */
static char *own_path(struct arena *a, const char *variable, const char *under, const char *name,
                      struct err *e)
{
	const char *base = getenv(variable), *home = getenv("HOME");

	if (base && *base)
		return arena_printf(a, e, "%s/clm/%s", base, name);
	if (home && *home)
		return arena_printf(a, e, "%s/%s/clm/%s", home, under, name);
	err_set(e, ERR_MACHINE, "no place for it: set %s", variable);
	return NULL;
}

char *file_cache_path(struct arena *a, const char *name, struct err *e)
{
	return own_path(a, "XDG_CACHE_HOME", ".cache", name, e);
}

char *file_data_path(struct arena *a, const char *name, struct err *e)
{
	return own_path(a, "XDG_DATA_HOME", ".local/share", name, e);
}

char *file_join(struct arena *a, const char *dir, const char *name, struct err *e)
{
	size_t n = strlen(dir);

	return arena_printf(a, e, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
}

/* Where the last part of a path begins, slashes at its end aside. */
static size_t last_part(const char *path, size_t *end)
{
	size_t n = strlen(path), at;

	while (n > 1 && path[n - 1] == '/')
		n--;
	for (at = n; at > 0 && path[at - 1] != '/'; at--)
		;
	*end = n;
	return at;
}

char *file_dir(struct arena *a, const char *path, struct err *e)
{
	size_t end, at = last_part(path, &end);

	while (at > 1 && path[at - 1] == '/')
		at--;
	return at ? arena_text(a, path, at, e) : arena_text(a, ".", 1, e);
}

const char *file_name(const char *path)
{
	size_t end;

	return path + last_part(path, &end);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names into the arena and their addresses, as they come, into `list`. */
static int read_names(struct arena *a, struct buf *list, DIR *d, struct err *e)
{
	struct dirent *entry;
	char *name;

	while (errno = 0, (entry = readdir(d))) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		name = arena_text(a, entry->d_name, strlen(entry->d_name), e);
		if (!name)
			return -1;
		buf_add(list, &name, sizeof name);
	}
	return errno ? err_errno(e, "cannot read the directory") : buf_check(list, e);
}

char **file_list(struct arena *a, const char *dir, size_t *n, struct err *e)
{
	struct buf list = { 0 };
	char **names = NULL;
	DIR *d = opendir(dir);

	if (!d) {
		(void)cannot(e, "open the directory");
		return NULL;
	}
	if (read_names(a, &list, d, e) == 0)
		names = arena_new(a, list.n / sizeof *names + 1, sizeof *names, e);
	if (names && list.n) {
		memcpy(names, list.p, list.n);
		qsort(names, list.n / sizeof *names, sizeof *names, by_name);
	}
	if (names && n)
		*n = list.n / sizeof *names;
	buf_release(&list);
	closedir(d);
	return names;
}

int file_mkdirs(const char *path, struct err *e)
{
	struct arena a = { 0 };
	char *p = arena_text(&a, path, strlen(path), e);
	int rc = p ? 0 : -1;

	for (size_t at = 1; p && p[0] && rc == 0; at++) {
		char c = p[at];

		if (c && c != '/')
			continue;
		p[at] = '\0';
		if (mkdir(p, 0777) && !(errno == EEXIST && file_is_dir(p)))
			rc = err_errno(e, "cannot make the directory %s", p);
		p[at] = c;
		if (!c)
			break;
	}
	arena_release(&a);
	return rc;
}
