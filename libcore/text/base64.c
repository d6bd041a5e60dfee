/* SPDX-License-Identifier: MIT */
/* base64.c - four characters are three bytes. */
#include "text/base64.h"

static int digit(unsigned char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

size_t base64_read(unsigned char *out, struct bytes text)
{
	size_t n = 0;

	if (text.n % 4)
		return BASE64_BAD;
	for (size_t i = 0; i < text.n; i += 4) {
		size_t pad = 0;
		uint32_t v = 0;

		if (i + 4 == text.n)
			pad = text.p[i + 3] != '=' ? 0 : text.p[i + 2] != '=' ? 1 : 2;
		for (size_t k = 0; k < 4; k++) {
			int d = k < 4 - pad ? digit(text.p[i + k]) : 0;

			if (d < 0)
				return BASE64_BAD;
			v = v << 6 | (uint32_t)d;
		}
		/* bits that no byte takes are 0 */
		if ((pad == 1 && (v & 0xFF)) || (pad == 2 && (v & 0xFFFF)))
			return BASE64_BAD;
		for (size_t k = 0; k < 3 - pad; k++)
			out[n++] = (unsigned char)(v >> (16 - 8 * k));
	}
	return n;
}
