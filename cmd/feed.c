/* SPDX-License-Identifier: MIT */
/* feed.c - texts from files and standard input
 *
 * Input is read as it comes and never further than the next text needs, so
 * that a pipe's writer is held back while earlier texts are worked on. */
#include "feed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

struct feed {
	char *const *file;      /* the ones still to open */
	const char *name;       /* of the open one */
	int fd;
	bool open, ended;       /* a file is at hand; it has no more bytes */
	bool whole_given;       /* where a file is one text: it was given */
	bool skipping;          /* in a text over the ceiling */
	bool standard_input;    /* nothing was named */
	enum feed_cut cut;
	size_t ceiling, number;
	struct buf held;
	size_t from;            /* in held: the next text begins here */
	size_t searched;        /* in held: no end mark before here */
};

const struct cli_option feed_table[FEED_N] = {
	{ 0, "lines", NULL, CLI_FLAG, offsetof(struct feed_options, lines),
	  .help = "each line of the input is a text" },
	{ '0', "null", NULL, CLI_FLAG, offsetof(struct feed_options, zero),
	  .help = "NUL ends each text, in and out" },
	{ 0, "raw", NULL, CLI_FLAG, offsetof(struct feed_options, raw),
	  .help = "keep a final newline, and add none" },
};

enum feed_cut feed_cut(const struct feed_options *o)
{
	if (o->lines && o->zero)
		cli_misuse("--lines and --null are two ways to end a text");
	if (o->lines && o->raw)
		cli_misuse("--lines and --raw do not go together");
	return o->zero ? FEED_ZERO : o->lines ? FEED_LINES : o->raw ? FEED_RAW : FEED_WHOLE;
}

struct bytes feed_end_mark(const struct feed_options *o)
{
	static const unsigned char newline = '\n', zero = 0;

	if (o->zero)
		return (struct bytes){ &zero, 1 };
	return (struct bytes){ &newline, o->raw ? 0 : 1 };
}

int feed_open(struct feed **out, char *const *files, enum feed_cut cut, size_t ceiling,
              struct err *e)
{
	struct feed *f = calloc(1, sizeof *f);

	*out = f;
	if (!f)
		return err_memory(e, sizeof *f);
	f->file = files;
	f->cut = cut;
	f->ceiling = ceiling;
	f->standard_input = !*files;
	return 0;
}

void feed_close(struct feed *f)
{
	if (!f)
		return;
	if (f->open && f->fd != STDIN_FILENO)
		close(f->fd);
	buf_release(&f->held);
	free(f);
}

size_t feed_number(const struct feed *f)
{
	return f->number;
}

const char *feed_file(const struct feed *f)
{
	return f->name ? f->name : "standard input";
}

bool feed_would_wait(char *const *files)
{
	return !*files && isatty(STDIN_FILENO);
}

/* 1: a file is open, 0: there are no more, -1: failed. */
static int open_next(struct feed *f, struct err *e)
{
	const char *path = "-";

	if (f->standard_input)
		f->standard_input = false;
	else if (*f->file)
		path = *f->file++;
	else
		return 0;
	f->ended = f->whole_given = false;
	if (!strcmp(path, "-")) {
		f->name = "standard input";
		f->fd = STDIN_FILENO;
		return f->open = true;
	}
	f->name = path;
	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd >= 0)
		return f->open = true;
	if (errno == ENOENT || errno == ENOTDIR)
		err_set(e, ERR_INPUT, "no such file");
	else
		err_errno(e, "cannot open it");
	return err_in(e, "%s", path);
}

static void close_file(struct feed *f)
{
	if (f->fd != STDIN_FILENO)
		close(f->fd);
	f->open = false;
}

static void compact(struct feed *f)
{
	f->held.n -= f->from;
	f->searched -= f->from;
	if (f->held.n)
		memmove(f->held.p, f->held.p + f->from, f->held.n);
	f->from = 0;
}

/* Reads once. FEED_TEXT: something came, or the file ended. */
static enum feed_result more(struct feed *f, bool wait, struct err *e)
{
	struct pollfd p = { .fd = f->fd, .events = POLLIN };
	unsigned char chunk[CHUNK];
	int ready = poll(&p, 1, wait ? -1 : 0);
	ssize_t n;

	if (cli_interrupted())
		return FEED_END;
	if (ready == 0 || (ready < 0 && errno == EINTR))
		return FEED_LATER;
	n = read(f->fd, chunk, sizeof chunk);
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return FEED_LATER;
	if (n < 0 && errno == EISDIR) {
		err_set(e, ERR_INPUT, "%s: is a directory", f->name);
		return FEED_ERROR;
	}
	if (n < 0) {
		err_errno(e, "%s: cannot read", f->name);
		return FEED_ERROR;
	}
	f->ended = n == 0;
	compact(f);
	buf_add(&f->held, chunk, (size_t)n);
	if (buf_check(&f->held, e)) {
		err_in(e, "%s", f->name);
		return FEED_ERROR;
	}
	return FEED_TEXT;
}

static enum feed_result give(struct feed *f, size_t n, size_t mark, struct bytes *out)
{
	*out = (struct bytes){ f->held.p + f->from, n };
	f->from += n + mark;
	f->searched = f->from;
	f->number++;
	return FEED_TEXT;
}

static enum feed_result cut_whole(struct feed *f, struct bytes *out)
{
	size_t n = f->held.n - f->from;

	if (!f->ended || f->whole_given)
		return FEED_LATER;
	f->whole_given = true;
	if (f->cut == FEED_WHOLE && n && f->held.p[f->held.n - 1] == '\n')
		return give(f, n - 1, 1, out);
	return give(f, n, 0, out);
}

/* A whole text in what is held, or FEED_LATER where more must come. */
static enum feed_result cut(struct feed *f, struct bytes *out)
{
	size_t n = f->held.n - f->from;
	unsigned char *at = NULL;

	if (f->cut == FEED_WHOLE || f->cut == FEED_RAW)
		return cut_whole(f, out);
	if (f->cut == FEED_PIECES)
		return n ? give(f, n, 0, out) : FEED_LATER;
	if (f->held.n > f->searched)
		at = memchr(f->held.p + f->searched, f->cut == FEED_ZERO ? 0 : '\n',
		            f->held.n - f->searched);
	if (at)
		return give(f, (size_t)(at - f->held.p) - f->from, 1, out);
	f->searched = f->held.n;
	return f->ended && n ? give(f, n, 0, out) : FEED_LATER;
}

/* What is held is no whole text and over the ceiling. */
static int pass_over(struct feed *f, struct err *e)
{
	if (f->cut == FEED_WHOLE || f->cut == FEED_RAW)
		return err_set(e, ERR_INPUT, "%s: over %zu bytes", f->name, f->ceiling);
	f->skipping = true;
	f->from = f->searched = f->held.n;
	return 0;
}

enum feed_result feed_next(struct feed *f, bool wait, struct bytes *out, struct err *e)
{
	bool limited = f->ceiling && f->cut != FEED_PIECES;

	for (;;) {
		enum feed_result r;
		int got;

		if (!f->open && (got = open_next(f, e)) <= 0)
			return got ? FEED_ERROR : FEED_END;
		r = cut(f, out);
		if (r == FEED_TEXT && (f->skipping || (limited && out->n > f->ceiling))) {
			f->skipping = false;
			return FEED_LONG;
		}
		if (r == FEED_TEXT)
			return r;
		if (f->ended) {
			close_file(f);
			if (!f->skipping)
				continue;
			f->skipping = false;
			f->number++;
			return FEED_LONG;
		}
		if (limited && f->held.n - f->from > f->ceiling && pass_over(f, e))
			return FEED_ERROR;
		r = more(f, wait, e);
		if (r == FEED_ERROR || r == FEED_END || (r == FEED_LATER && !wait))
			return r;
	}
}

int feed_ids(struct ids *out, struct bytes text, struct err *e)
{
	size_t i = 0;

	while (i < text.n) {
		uint64_t id = 0;
		size_t from = i;

		while (i < text.n && strchr(" \t\r\n,", text.p[i]) && text.p[i])
			from = ++i;
		while (i < text.n && text.p[i] >= '0' && text.p[i] <= '9' && id <= INT32_MAX)
			id = id * 10 + (uint64_t)(text.p[i++] - '0');
		if (i < text.n && (i == from || !text.p[i] || !strchr(" \t\r\n,", text.p[i])))
			return err_set(e, ERR_INPUT,
			               "byte %zu: expected decimal token ids, found \"%.*s\"", from,
			               (int)(text.n - from > 20 ? 20 : text.n - from),
			               (const char *)text.p + from);
		if (id > INT32_MAX)
			return err_set(e, ERR_INPUT, "byte %zu: token id over %d", from, INT32_MAX);
		if (i > from && ids_add(out, (int32_t)id, e))
			return -1;
	}
	return 0;
}
