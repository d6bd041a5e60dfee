/* SPDX-License-Identifier: MIT */
/* digest.c - BLAKE2b-512 of bytes that come in pieces. Saarinen and
 * Aumasson, 2015, RFC 7693 */
#include "util/digest.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

struct digest {
	EVP_MD_CTX *c;
	int bad;
};

static int open_kind(struct digest **out, const EVP_MD *kind, struct err *e)
{
	struct digest *d = calloc(1, sizeof *d);

	if (!d)
		return err_memory(e, sizeof *d);
	d->c = EVP_MD_CTX_new();
	d->bad = !d->c || EVP_DigestInit_ex(d->c, kind, NULL) != 1;
	*out = d;
	return 0;
}

int digest_open(struct digest **out, struct err *e)
{
	return open_kind(out, EVP_blake2b512(), e);
}

int digest_open_sha1(struct digest **out, struct err *e)
{
	return open_kind(out, EVP_sha1(), e);
}

int digest_open_sha256(struct digest **out, struct err *e)
{
	return open_kind(out, EVP_sha256(), e);
}

void digest_add(struct digest *d, struct bytes b)
{
	if (!d->bad && b.n)
		d->bad = EVP_DigestUpdate(d->c, b.p, b.n) != 1;
}

void digest_abort(struct digest *d)
{
	if (!d)
		return;
	EVP_MD_CTX_free(d->c);
	free(d);
}

int digest_close(struct digest *d, char out[DIGEST_TEXT], struct err *e)
{
	unsigned char sum[DIGEST_BYTES];
	unsigned n = 0;
	int bad = d->bad || EVP_DigestFinal_ex(d->c, sum, &n) != 1;

	digest_abort(d);
	if (bad)
		return err_set(e, ERR_MACHINE, "libcrypto lacks the digest");
	for (size_t i = 0; i < n; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
	return 0;
}
