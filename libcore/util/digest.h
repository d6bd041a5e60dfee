/* SPDX-License-Identifier: MIT */
/* digest.h - BLAKE2b, or SHA-256, of bytes that come in pieces, by libcrypto. */
#ifndef CLM_UTIL_DIGEST_H
#define CLM_UTIL_DIGEST_H

#include "util/bytes.h"
#include "util/err.h"

enum { DIGEST_BYTES = 64, DIGEST_TEXT = 2 * DIGEST_BYTES + 1, SHA256_TEXT = 65 };
struct digest;
NEED int digest_open(struct digest **out, struct err *e);
NEED int digest_open_sha1(struct digest **out, struct err *e);   /* of git's objects */
NEED int digest_open_sha256(struct digest **out, struct err *e); /* SHA256_TEXT bytes of hex */
void digest_add(struct digest *d, struct bytes b);
/* Hex into `out`; ends it, either way. */
NEED int digest_close(struct digest *d, char out[DIGEST_TEXT], struct err *e);
void digest_abort(struct digest *d); /* NULL is fine */

#endif
