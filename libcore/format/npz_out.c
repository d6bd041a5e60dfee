/* SPDX-License-Identifier: MIT */
/* npz_out.c - writes an NPZ through libzip.
 *
 * libzip takes all members first and then, in one call, pulls their bytes;
 * a writer's bytes are pushed. So that call runs on a thread of its own, and
 * the two hand over: the pushing side waits until its bytes are taken, so
 * that no tensor is ever held. The archive goes to the file through
 * callbacks too, and so its beginnings are known: the header of a stored
 * array is padded so that its data begins at a multiple of 64. */
#include "format/container.h"

#include "format/writer.h"
#include "util/num.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <zip.h>

enum {
	LOCAL_HEADER = 30, /* bytes before a member's name */
	LOCAL_ZIP64 = 20,  /* and after it, when a size needs 64 bits */
	DATE_1980 = 1 << 5 | 1,
	MODE_0600 = 0600,
};

/* A member as libzip pulls it: an array's header, then its bytes. */
struct pull {
	struct npz_out *out;
	struct bytes head;
	struct bytes text; /* a sibling's bytes; a tensor's are pushed */
	size_t n_data, pos;
	zip_error_t error;
};

struct npz_out {
	const struct part *part;
	struct arena arena;
	struct file_out *file;
	size_t pos; /* libzip's place in the file */
	zip_t *zip;
	struct pull *pull;
	zip_error_t error;

	pthread_t thread;
	bool running;
	pthread_mutex_t lock;
	pthread_cond_t turn;
	/* under the lock */
	const unsigned char *offer; /* bytes pushed and not taken yet */
	size_t n_offer;
	bool given_up, done, failed;
	struct err err; /* of the thread */
};

/* ---- the pulled side */

/* Takes up to n pushed bytes; 0 when the pushing side has given up. */
static size_t take(struct npz_out *o, void *p, size_t n)
{
	pthread_mutex_lock(&o->lock);
	while (!o->n_offer && !o->given_up)
		pthread_cond_wait(&o->turn, &o->lock);
	if (o->given_up)
		n = 0;
	else if (n > o->n_offer)
		n = o->n_offer;
	if (n) {
		memcpy(p, o->offer, n);
		o->offer += n;
		o->n_offer -= n;
	}
	if (!o->n_offer)
		pthread_cond_broadcast(&o->turn);
	pthread_mutex_unlock(&o->lock);
	return n;
}

static zip_int64_t pull_read(struct pull *m, unsigned char *p, size_t n)
{
	size_t total = m->head.n + m->n_data, done;

	if (m->pos == total || n == 0)
		return 0;
	if (n > total - m->pos)
		n = total - m->pos;
	if (m->pos < m->head.n) {
		done = n < m->head.n - m->pos ? n : m->head.n - m->pos;
		memcpy(p, m->head.p + m->pos, done);
	} else if (m->text.p) {
		done = n;
		memcpy(p, m->text.p + (m->pos - m->head.n), n);
	} else {
		done = take(m->out, p, n);
		if (!done) {
			zip_error_set(&m->error, ZIP_ER_CANCELLED, 0);
			return -1;
		}
	}
	m->pos += done;
	return (zip_int64_t)done;
}

static zip_int64_t pull_command(void *user, void *data, zip_uint64_t n, zip_source_cmd_t cmd)
{
	struct pull *m = user;
	zip_stat_t *st = data;

	switch (cmd) {
	case ZIP_SOURCE_OPEN:
		m->pos = 0;
		return 0;
	case ZIP_SOURCE_READ:
		return pull_read(m, data, (size_t)n);
	case ZIP_SOURCE_CLOSE:
		return 0;
	case ZIP_SOURCE_STAT:
		zip_stat_init(st);
		st->size = m->head.n + m->n_data;
		st->valid |= ZIP_STAT_SIZE;
		return sizeof *st;
	case ZIP_SOURCE_ERROR:
		return zip_error_to_data(&m->error, data, n);
	case ZIP_SOURCE_FREE:
		return 0;
	case ZIP_SOURCE_SUPPORTS:
		return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ,
		                                      ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
		                                      ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, -1);
	default:
		zip_error_set(&m->error, ZIP_ER_OPNOTSUPP, 0);
		return -1;
	}
}

/* ---- the archive's file */

/* At the end, or over bytes already there: libzip goes back to a member's
 * header once it knows its CRC. */
static zip_int64_t file_write(struct npz_out *o, const unsigned char *p, size_t n)
{
	size_t end = file_out_at(o->file), over = end - o->pos < n ? end - o->pos : n;

	if (o->failed)
		return -1;
	if ((over && file_out_patch(o->file, o->pos, p, over, &o->err)) ||
	    file_out_write(o->file, p + over, n - over, &o->err)) {
		o->failed = true;
		zip_error_set(&o->error, ZIP_ER_WRITE, EIO);
		return -1;
	}
	o->pos += n;
	return (zip_int64_t)n;
}

static int file_seek(struct npz_out *o, void *data, zip_uint64_t n)
{
	zip_int64_t to = zip_source_seek_compute_offset(o->pos, file_out_at(o->file), data, n,
	                                                &o->error);

	if (to < 0)
		return -1;
	o->pos = (size_t)to;
	return 0;
}

static zip_int64_t file_command(void *user, void *data, zip_uint64_t n, zip_source_cmd_t cmd)
{
	struct npz_out *o = user;
	zip_stat_t *st = data;

	switch (cmd) {
	case ZIP_SOURCE_STAT:
		zip_stat_init(st);
		st->size = 0; /* as an empty file: there is nothing to keep */
		st->valid |= ZIP_STAT_SIZE;
		return sizeof *st;
	case ZIP_SOURCE_WRITE:
		return file_write(o, data, (size_t)n);
	case ZIP_SOURCE_SEEK_WRITE:
		return file_seek(o, data, n);
	case ZIP_SOURCE_TELL_WRITE:
		return (zip_int64_t)o->pos;
	case ZIP_SOURCE_ERROR:
		return zip_error_to_data(&o->error, data, n);
	case ZIP_SOURCE_OPEN:
	case ZIP_SOURCE_CLOSE:
	case ZIP_SOURCE_FREE:
	case ZIP_SOURCE_BEGIN_WRITE:
	case ZIP_SOURCE_COMMIT_WRITE:
	case ZIP_SOURCE_ROLLBACK_WRITE:
		return 0;
	case ZIP_SOURCE_SUPPORTS:
		return ZIP_SOURCE_SUPPORTS_WRITABLE;
	default:
		zip_error_set(&o->error, ZIP_ER_OPNOTSUPP, 0);
		return -1;
	}
}

/* ---- members */

static int add_member(struct npz_out *o, struct pull *m, const char *name, struct err *e)
{
	zip_source_t *source = zip_source_function(o->zip, pull_command, m);
	zip_int64_t i = source ? zip_file_add(o->zip, name, source, ZIP_FL_ENC_UTF_8) : -1;

	zip_error_init(&m->error);
	if (i < 0) {
		zip_source_free(source);
		return err_set(e, ERR_MACHINE, "zip: %s",
		               zip_error_strerror(zip_get_error(o->zip)));
	}
	if (zip_file_set_dostime(o->zip, (zip_uint64_t)i, 0, DATE_1980, 0) ||
	    zip_file_set_external_attributes(o->zip, (zip_uint64_t)i, 0, ZIP_OPSYS_UNIX,
	                                     (zip_uint32_t)MODE_0600 << 16) ||
	    zip_set_file_compression(o->zip, (zip_uint64_t)i,
	                             o->part->deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0))
		return err_set(e, ERR_MACHINE, "zip: %s",
		               zip_error_strerror(zip_get_error(o->zip)));
	return 0;
}

/* `at`: where the member's local header begins if all before it are stored. */
static int make_member(struct npz_out *o, struct pull *m, const struct out_tensor *t,
                       const char *prefix, size_t *at, struct err *e)
{
	const char *name = arena_printf(&o->arena, e, "%s%s.npy", prefix, t->name);
	struct buf head = { 0 };
	size_t before;

	if (!name)
		return -1;
	if (strlen(name) > UINT16_MAX)
		return err_set(e, ERR_INPUT, "%s: a zip name has up to %d bytes", name, UINT16_MAX);
	before = LOCAL_HEADER + strlen(name) + (t->n_bytes >= UINT32_MAX - 65536 ? LOCAL_ZIP64 : 0);
	m->out = o;
	m->n_data = t->n_bytes;
	if (npy_header_make(&head, t, o->part->deflate ? 0 : *at + before, e)) {
		buf_release(&head);
		return -1;
	}
	m->head.n = head.n;
	m->head.p = (const unsigned char *)arena_text(&o->arena, head.p, head.n, e);
	buf_release(&head);
	if (!m->head.p)
		return -1;
	if (!num_add(at, *at, before + m->head.n) || !num_add(at, *at, m->n_data))
		return err_set(e, ERR_INPUT, "the tensors' sizes overflow");
	return add_member(o, m, name, e);
}

static int make_members(struct npz_out *o, struct err *e)
{
	const struct part *p = o->part;
	size_t at = 0;

	o->pull = arena_new(&o->arena, p->n_tensors + p->n_siblings, sizeof *o->pull, e);
	if (!o->pull)
		return -1;
	for (size_t i = 0; i < p->n_tensors; i++)
		if (make_member(o, &o->pull[i], &p->tensor[i], "", &at, e))
			return -1;
	for (size_t i = 0; i < p->n_siblings; i++) {
		struct pull *m = &o->pull[p->n_tensors + i];
		struct out_tensor t = {
			.name = p->sibling[i].name,
			.dtype = DT_U8,
			.shape = shape_of(1, p->sibling[i].text.n),
			.n_bytes = p->sibling[i].text.n,
		};

		m->text = p->sibling[i].text;
		if (make_member(o, m, &t, "clm/", &at, e))
			return -1;
	}
	return 0;
}

static int open_zip(struct npz_out *o, struct err *e)
{
	zip_source_t *source;
	zip_error_t error;

	zip_error_init(&o->error);
	zip_error_init(&error);
	source = zip_source_function_create(file_command, o, &error);
	if (source)
		o->zip = zip_open_from_source(source, ZIP_CREATE | ZIP_TRUNCATE, &error);
	if (!o->zip) {
		err_set(e, ERR_MACHINE, "zip: %s", zip_error_strerror(&error));
		zip_source_free(source);
	}
	zip_error_fini(&error);
	return o->zip ? 0 : -1;
}

/* ---- the pushing side */

static void *run(void *arg)
{
	struct npz_out *o = arg;
	bool failed = zip_close(o->zip) != 0;

	pthread_mutex_lock(&o->lock);
	if (failed && !o->failed) {
		err_set(&o->err, ERR_MACHINE, "zip: %s", zip_error_strerror(zip_get_error(o->zip)));
		o->failed = true;
	}
	if (!failed)
		o->zip = NULL;
	o->done = true;
	pthread_cond_broadcast(&o->turn);
	pthread_mutex_unlock(&o->lock);
	return NULL;
}

static int start_thread(struct npz_out *o, struct err *e)
{
	int rc;

	if (o->running)
		return 0;
	rc = pthread_create(&o->thread, NULL, run, o);
	if (rc)
		return err_set(e, ERR_MACHINE, "cannot start a thread: %s", strerror(rc));
	o->running = true;
	return 0;
}

/* Waits for the thread's end. */
static void join(struct npz_out *o)
{
	if (o->running)
		pthread_join(o->thread, NULL);
	o->running = false;
}

static void end(struct npz_out *o)
{
	if (o->zip)
		zip_discard(o->zip);
	pthread_mutex_destroy(&o->lock);
	pthread_cond_destroy(&o->turn);
	zip_error_fini(&o->error);
	arena_release(&o->arena);
	free(o);
}

static void abandon(void *out)
{
	struct npz_out *o = out;

	pthread_mutex_lock(&o->lock);
	o->given_up = true;
	pthread_cond_broadcast(&o->turn);
	pthread_mutex_unlock(&o->lock);
	join(o);
	file_out_abort(o->file);
	end(o);
}

static int start(void **out, const struct part *p, struct err *e)
{
	struct npz_out *o = calloc(1, sizeof *o);

	if (!o)
		return err_memory(e, sizeof *o);
	o->part = p;
	pthread_mutex_init(&o->lock, NULL);
	pthread_cond_init(&o->turn, NULL);
	if (file_out_open(&o->file, p->path, e))
		goto fail;
	if (!file_out_temp(o->file)) {
		err_set(e, ERR_MISUSE, "npz cannot go to a pipe, only to a file");
		goto fail;
	}
	if (open_zip(o, e) || make_members(o, e))
		goto fail;
	*out = o;
	return 0;
fail:
	abandon(o);
	return -1;
}

static int data(void *out, const void *p, size_t n, struct err *e)
{
	struct npz_out *o = out;
	int failed;

	if (start_thread(o, e))
		return -1;
	pthread_mutex_lock(&o->lock);
	o->offer = p;
	o->n_offer = n;
	pthread_cond_broadcast(&o->turn);
	while (o->n_offer && !o->done)
		pthread_cond_wait(&o->turn, &o->lock);
	o->n_offer = 0;
	failed = o->failed;
	if (failed)
		*e = o->err;
	pthread_mutex_unlock(&o->lock);
	return failed ? -1 : 0;
}

/* An archive of nothing: libzip would rather remove the file. */
static int write_empty(struct npz_out *o, struct err *e)
{
	static const unsigned char end_record[22] = { 'P', 'K', 5, 6 };

	return file_out_write(o->file, end_record, sizeof end_record, e);
}

static int commit(void *out, struct err *e)
{
	struct npz_out *o = out;
	struct file_out *file = o->file;
	bool empty = o->part->n_tensors + o->part->n_siblings == 0;

	if (empty ? write_empty(o, e) : start_thread(o, e)) {
		abandon(o);
		return -1;
	}
	join(o);
	if (o->failed) {
		*e = o->err;
		abandon(o);
		return -1;
	}
	end(o);
	return file_out_commit(file, e);
}

const struct out_row npz_out = {
	CONTAINER_NPZ, "weights.npz", "weights.%02zu.npz", (size_t)15 << 30, npy_check, start, data,
	commit,        abandon,
};
