/* SPDX-License-Identifier: MIT */
/* file.h - map; read; write aside, then rename.
 *
 * Names in messages are the caller's: errors come without the path, so that
 * the level that knows the path adds it. */
#ifndef CLM_UTIL_FILE_H
#define CLM_UTIL_FILE_H

#include "util/arena.h"
#include "util/buf.h"

struct file_map {
	struct bytes bytes;
	int fd; /* -1: none (an empty file, or not open) */
};

/* Maps a regular file read-only (MAP_PRIVATE). ERR_INPUT when there is no
 * such file or it is no regular file; ERR_MACHINE otherwise. */
NEED int file_map(struct file_map *out, const char *path, struct err *e);
void file_unmap(struct file_map *m);
/* Bytes of a mapped file that have been read for the last time: the process
 * need not hold their pages any more (they come back if they are read). */
void file_forget(struct bytes b);
/* Bytes of a mapped file that will be read soon: the system may begin. */
void file_expect(struct bytes b);
/* Adds a whole file ("-": stdin) to b. ERR_INPUT past `ceiling` bytes (0: no
 * ceiling) or when there is no such file; ERR_INTERRUPTED when a signal
 * whose handler does not restart calls comes first. */
NEED int file_read(struct buf *b, const char *path, size_t ceiling, struct err *e);
bool file_exists(const char *path);
bool file_is_dir(const char *path);
/* dir + "/" + name in the arena. */
NEED char *file_join(struct arena *a, const char *dir, const char *name, struct err *e);
/* Directory part ("." if none) and last part of a path. */
NEED char *file_dir(struct arena *a, const char *path, struct err *e);
const char *file_name(const char *path);
/* Sorted names of a directory's entries, NULL-terminated. */
NEED char **file_list(struct arena *a, const char *dir, size_t *n, struct err *e);
/* NAME in the user's cache of ours, $XDG_CACHE_HOME/clm or ~/.cache/clm; nothing is made there.
 * ERR_MACHINE: no place is known. */
NEED char *file_cache_path(struct arena *a, const char *name, struct err *e);
/* The same of what is kept: $XDG_DATA_HOME/clm or ~/.local/share/clm. */
NEED char *file_data_path(struct arena *a, const char *name, struct err *e);
/* mkdir -p. */
NEED int file_mkdirs(const char *path, struct err *e);

/* Output that appears whole under its name or not at all: a temporary file
 * beside the target, flushed, synced and renamed by file_out_commit().
 * "-" is stdout, and what exists but is no regular file (/dev/null, a FIFO)
 * is written to as it is: nothing to rename. What is written waits in memory
 * until there is enough of it or the commit comes. Temporary files and
 * directories of outputs still open are removed by file_out_sweep() (safe in
 * a signal handler) and by file_out_abort(). */
struct file_out;
NEED int file_out_open(struct file_out **out, const char *path, struct err *e);
NEED int file_out_write(struct file_out *o, const void *p, size_t n, struct err *e);
/* Overwrites bytes already written (not for "-"). */
NEED int file_out_patch(struct file_out *o, size_t at, const void *p, size_t n, struct err *e);
size_t file_out_at(const struct file_out *o);
NEED int file_out_commit(struct file_out *o, struct err *e); /* ends it, either way */
void file_out_abort(struct file_out *o);                     /* ends it; NULL is fine */
const char *file_out_temp(const struct file_out *o);         /* its temporary path, or NULL */
void file_out_sweep(void);
/* A file, or a directory and what is in it, 8 levels down at most. */
void file_remove(const char *path);

/* A directory that appears whole: a temporary directory beside the target;
 * commit renames it (an existing target directory: its files of the same
 * names are replaced one by one, others stay). */
struct dir_out;
NEED int dir_out_open(struct dir_out **out, const char *path, struct err *e);
const char *dir_out_temp(const struct dir_out *d); /* write files in here */
NEED int dir_out_commit(struct dir_out *d, struct err *e);
void dir_out_abort(struct dir_out *d);

#endif
