/* SPDX-License-Identifier: MIT */
/* store.h - what is kept between runs. The door of store/. */
#ifndef CLM_STORE_H
#define CLM_STORE_H

#include "util/arena.h"
#include "util/bytes.h"
#include "util/digest.h"
#include "util/err.h"

/* ---- pack: values by digest, in one file
 * A file that is not there, or not whole, or not a pack, is an empty one: what
 * it would tell is computed again. */
struct pack;
enum { PACK_VALUE_MAX = 1 << 20, PACK_MAX = 256 << 20 };
NEED int pack_open(struct pack **out, const char *path, struct err *e);
/* The value, until the pack is closed; false: none. key: digest_close()'s text. */
bool pack_get(const struct pack *p, const char *key, struct bytes *out);
/* Copied. A value that is there stays; one over PACK_VALUE_MAX is not kept. */
NEED int pack_put(struct pack *p, const char *key, struct bytes value, struct err *e);
/* With what other programs put there meanwhile, the file appears whole; past
 * PACK_MAX bytes the oldest values go. Ends it, either way. NULL is fine. */
NEED int pack_close(struct pack *p, struct err *e);
void pack_abort(struct pack *p); /* the file stays as it was */

/* The digest of a file's bytes. `memo` (may be NULL) knows it by the file's
 * place, size and times, and learns it. */
NEED int file_digest(char out[DIGEST_TEXT], const char *path, struct pack *memo, struct err *e);
/* SHA-256 of a file, or of a directory: that of the lines "HEX  NAME" of its
 * files, sorted by name, as sha256sum prints them. Ends early, with
 * ERR_INTERRUPTED, once *stop is true (may be NULL). */
NEED int file_sha256(char out[SHA256_TEXT], const char *path, const _Atomic bool *stop,
                     struct err *e);

/* git's digest of a blob: SHA-1 of "blob SIZE", a zero byte and its bytes. */
NEED int file_git_sha1(char out[SHA256_TEXT], const char *path, struct err *e);

#include "store/pull.h"
#include "store/registry.h"

#endif
