/* SPDX-License-Identifier: MIT */
/* file_out.c - files and directories that appear whole or not at all.
 *
 * Given bytes for a path, gives a file of that name once they are all on
 * disk. What is unfinished when a signal ends the program is known to a
 * list of slots that file_out_sweep() may read at any moment: slots are
 * added and reused, never freed. That list is this library's one piece of
 * state without a handle, as a signal handler is given none. */
#include "util/file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OUT_BUFFER = 1 << 16, SWEEP_DEPTH = 8, UNDERWAY = 8 << 20 };

enum slot_state { SLOT_FREE, SLOT_TAKEN, SLOT_FILE, SLOT_DIR };

struct slot {
	struct slot *next;
	_Atomic int state;
	pid_t owner; /* a forked child sweeps nothing of its parent's */
	char path[PATH_MAX];
};

static struct slot *_Atomic slots;

struct file_out {
	int fd;
	struct slot *slot; /* NULL: written through */
	char *path;        /* renamed to; NULL when written through */
	size_t n, waiting; /* bytes written so far; of them still in memory */
	size_t underway;   /* of them on their way to the disk */
	unsigned char *buffer;
};

struct dir_out {
	struct slot *slot;
	char *path;
};

/* ---- slots */

static struct slot *slot_take(struct err *e)
{
	struct slot *s;

	for (s = atomic_load(&slots); s; s = s->next) {
		int expected = SLOT_FREE;

		if (atomic_compare_exchange_strong(&s->state, &expected, SLOT_TAKEN))
			break;
	}
	if (!s) {
		s = calloc(1, sizeof *s);
		if (!s) {
			err_memory(e, sizeof *s);
			return NULL;
		}
		s->state = SLOT_TAKEN;
		s->next = atomic_load(&slots);
		while (!atomic_compare_exchange_weak(&slots, &s->next, s))
			;
	}
	s->owner = getpid();
	return s;
}

static void slot_free(struct slot *s)
{
	if (s)
		atomic_store(&s->state, SLOT_FREE);
}

/* Makes a new file or directory beside `path` and names it in the slot. */
static int slot_make(struct slot *s, const char *path, enum slot_state kind, struct err *e)
{
	const char *name = file_name(path);
	uint32_t salt;
	int fd, tries = 100;

	do {
		if (getrandom(&salt, sizeof salt, 0) != sizeof salt)
			return err_errno(e, "no random name");
		/* the name is cut so that the suffix fits a directory entry */
		if (snprintf(s->path, sizeof s->path, "%.*s%.200s.tmp.%08x", (int)(name - path),
		             path, name, salt) >= PATH_MAX)
			return err_set(e, ERR_INPUT, "a path of over %d bytes", PATH_MAX - 1);
		/* first in the list, then on disk: no moment to leave it behind */
		atomic_store(&s->state, kind);
		if (kind == SLOT_DIR)
			fd = mkdir(s->path, 0777);
		else
			fd = open(s->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0)
			return fd;
		atomic_store(&s->state, SLOT_TAKEN);
	} while (errno == EEXIST && --tries);
	return err_errno(e, "cannot create it");
}

/* As the kernel gives directory entries; readdir() may not be called in a
 * signal handler. */
struct raw_entry {
	uint64_t inode, offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

static void sweep_dir(int parent, const char *path, int depth)
{
	_Alignas(8) char entries[2048];
	int fd = openat(parent, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	long n, at;

	while (fd >= 0 && (n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0)
		for (at = 0; at < n;) {
			const struct raw_entry *t = (const void *)(entries + at);

			at += t->length;
			if (!strcmp(t->name, ".") || !strcmp(t->name, ".."))
				continue;
			if (unlinkat(fd, t->name, 0) && depth)
				sweep_dir(fd, t->name, depth - 1);
		}
	if (fd >= 0)
		close(fd);
	unlinkat(parent, path, AT_REMOVEDIR);
}

void file_out_sweep(void)
{
	int saved = errno;
	pid_t me = getpid();

	for (struct slot *s = atomic_load(&slots); s; s = s->next) {
		int state = atomic_load(&s->state);

		if (s->owner != me)
			continue;
		if (state == SLOT_FILE)
			unlink(s->path);
		else if (state == SLOT_DIR)
			sweep_dir(AT_FDCWD, s->path, SWEEP_DEPTH);
	}
	errno = saved;
}

void file_remove(const char *path)
{
	if (unlink(path))
		sweep_dir(AT_FDCWD, path, SWEEP_DEPTH);
}

/* ---- files */

static int write_all(int fd, const unsigned char *p, size_t n, struct err *e)
{
	while (n) {
		ssize_t done = write(fd, p, n);

		if (done < 0 && errno == EINTR)
			return err_set(e, ERR_INTERRUPTED, "interrupted");
		if (done < 0)
			return err_errno(e, "cannot write");
		p += done;
		n -= (size_t)done;
	}
	return 0;
}

/* The disk begins at once, so that the commit has little to wait for. */
static int write_out(struct file_out *o, const unsigned char *p, size_t n, struct err *e)
{
	size_t there;

	if (write_all(o->fd, p, n, e))
		return -1;
	there = o->n - o->waiting;
	if (o->slot && there - o->underway >= UNDERWAY) {
		sync_file_range(o->fd, (off_t)o->underway, (off_t)(there - o->underway),
		                SYNC_FILE_RANGE_WRITE);
		o->underway = there;
	}
	return 0;
}

static int flush(struct file_out *o, struct err *e)
{
	size_t n = o->waiting;

	o->waiting = 0;
	return write_out(o, o->buffer, n, e);
}

/* Opens what is there already and is no regular file, to write to it as it
 * is; or the temporary file beside the target, which a link leads to. */
static int open_target(struct file_out *o, const char *path, struct err *e)
{
	struct stat st;
	bool there = stat(path, &st) == 0;

	if (there && S_ISDIR(st.st_mode))
		return err_set(e, ERR_INPUT, "is a directory");
	if (there && !S_ISREG(st.st_mode)) {
		o->fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
		return o->fd < 0 ? err_errno(e, "cannot open it") : 0;
	}
	if (there && access(path, W_OK))
		return err_errno(e, "cannot replace it");
	o->path = there ? realpath(path, NULL) : strdup(path);
	if (!o->path)
		return err_errno(e, "cannot resolve the path");
	o->slot = slot_take(e);
	if (!o->slot)
		return -1;
	o->fd = slot_make(o->slot, o->path, SLOT_FILE, e);
	if (o->fd < 0)
		return -1;
	if (there && fchmod(o->fd, st.st_mode & 0777))
		return err_errno(e, "cannot set its mode");
	return 0;
}

int file_out_open(struct file_out **out, const char *path, struct err *e)
{
	struct file_out *o = calloc(1, sizeof *o);

	*out = NULL;
	if (!o)
		return err_memory(e, sizeof *o);
	o->fd = -1;
	o->buffer = malloc(OUT_BUFFER);
	if (!o->buffer) {
		err_memory(e, OUT_BUFFER);
		goto fail;
	}
	if (strcmp(path, "-") == 0)
		o->fd = STDOUT_FILENO;
	else if (open_target(o, path, e))
		goto fail;
	*out = o;
	return 0;
fail:
	file_out_abort(o);
	return -1;
}

int file_out_write(struct file_out *o, const void *p, size_t n, struct err *e)
{
	if (n > OUT_BUFFER - o->waiting) {
		if (flush(o, e))
			return -1;
		if (n > OUT_BUFFER) {
			o->n += n;
			return write_out(o, p, n, e);
		}
	}
	if (n)
		memcpy(o->buffer + o->waiting, p, n);
	o->waiting += n;
	o->n += n;
	return 0;
}

int file_out_patch(struct file_out *o, size_t at, const void *p, size_t n, struct err *e)
{
	const unsigned char *from = p;

	assert(o->slot && at <= o->n && n <= o->n - at);
	if (flush(o, e))
		return -1;
	while (n) {
		ssize_t done = pwrite(o->fd, from, n, (off_t)at);

		if (done < 0)
			return err_errno(e, "cannot write at byte %zu", at);
		from += done;
		at += (size_t)done;
		n -= (size_t)done;
	}
	return 0;
}

size_t file_out_at(const struct file_out *o)
{
	return o->n;
}

const char *file_out_temp(const struct file_out *o)
{
	return o->slot ? o->slot->path : NULL;
}

/* So that a power cut after the rename does not bring the old name back;
 * where a directory cannot be synced there is nothing to be done. */
static void sync_dir_of(const char *path)
{
	struct arena a = { 0 };
	struct err e;
	char *dir = file_dir(&a, path, &e);
	int fd = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;

	if (fd >= 0) {
		(void)!fsync(fd);
		close(fd);
	}
	arena_release(&a);
}

int file_out_commit(struct file_out *o, struct err *e)
{
	int rc;

	if (flush(o, e))
		goto fail;
	if (o->slot) {
		if (fsync(o->fd)) {
			err_errno(e, "cannot write");
			goto fail;
		}
		if (rename(o->slot->path, o->path)) {
			err_errno(e, "cannot rename the finished file");
			goto fail;
		}
		slot_free(o->slot);
		o->slot = NULL;
		sync_dir_of(o->path);
	}
	rc = o->fd == STDOUT_FILENO ? 0 : close(o->fd);
	o->fd = -1;
	if (rc)
		err_errno(e, "cannot write");
	file_out_abort(o);
	return rc;
fail:
	file_out_abort(o);
	return -1;
}

void file_out_abort(struct file_out *o)
{
	if (!o)
		return;
	if (o->slot && atomic_load(&o->slot->state) == SLOT_FILE)
		unlink(o->slot->path);
	slot_free(o->slot);
	if (o->fd >= 0 && o->fd != STDOUT_FILENO)
		close(o->fd);
	free(o->buffer);
	free(o->path);
	free(o);
}

/* ---- directories */

int dir_out_open(struct dir_out **out, const char *path, struct err *e)
{
	struct dir_out *d = calloc(1, sizeof *d);
	size_t n = strlen(path);

	*out = NULL;
	if (!d)
		return err_memory(e, sizeof *d);
	while (n > 1 && path[n - 1] == '/')
		n--;
	if (file_exists(path) && !file_is_dir(path)) {
		err_set(e, ERR_INPUT, "exists and is no directory");
		goto fail;
	}
	/* "." and links have no name to stand beside; their target does */
	d->path = file_is_dir(path) ? realpath(path, NULL) : strndup(path, n);
	if (!d->path) {
		err_errno(e, "cannot resolve the path");
		goto fail;
	}
	d->slot = slot_take(e);
	if (!d->slot || slot_make(d->slot, d->path, SLOT_DIR, e) < 0)
		goto fail;
	*out = d;
	return 0;
fail:
	dir_out_abort(d);
	return -1;
}

const char *dir_out_temp(const struct dir_out *d)
{
	return d->slot->path;
}

/* Moves all that is in `from` into the directory `to`. */
static int merge(const char *from, const char *to, struct err *e)
{
	struct arena a = { 0 };
	char **names = file_list(&a, from, NULL, e), *source, *target;
	int rc = names ? 0 : -1;

	for (size_t i = 0; rc == 0 && names[i]; i++) {
		source = file_join(&a, from, names[i], e);
		target = file_join(&a, to, names[i], e);
		if (!source || !target)
			rc = -1;
		else if (file_is_dir(source) && file_is_dir(target))
			rc = merge(source, target, e);
		else if (rename(source, target))
			rc = err_errno(e, "cannot replace %s", names[i]);
	}
	if (rc == 0 && rmdir(from))
		rc = err_errno(e, "cannot remove the temporary directory");
	arena_release(&a);
	return rc;
}

int dir_out_commit(struct dir_out *d, struct err *e)
{
	int rc;

	if (file_is_dir(d->path))
		rc = merge(d->slot->path, d->path, e);
	else if (rename(d->slot->path, d->path))
		rc = err_errno(e, "cannot rename the finished directory");
	else
		rc = 0;
	if (rc == 0) {
		sync_dir_of(d->path);
		slot_free(d->slot);
		d->slot = NULL;
	}
	dir_out_abort(d);
	return rc;
}

void dir_out_abort(struct dir_out *d)
{
	if (!d)
		return;
	if (d->slot && atomic_load(&d->slot->state) == SLOT_DIR)
		sweep_dir(AT_FDCWD, d->slot->path, SWEEP_DEPTH);
	slot_free(d->slot);
	free(d->path);
	free(d);
}
