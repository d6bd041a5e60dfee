/* SPDX-License-Identifier: MIT */
/* base64.h - RFC 4648's alphabet, padded, as tokenizer files spell bytes. */
#ifndef CLM_TEXT_BASE64_H
#define CLM_TEXT_BASE64_H

#include "util/bytes.h"

#define BASE64_BAD SIZE_MAX
/* The bytes that text spells: their number, or BASE64_BAD. `out` has room for
 * 3 bytes for each 4 of text. */
size_t base64_read(unsigned char *out, struct bytes text);

#endif
