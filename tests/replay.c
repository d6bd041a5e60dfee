/* SPDX-License-Identifier: MIT */
/* replay.c - runs a fuzz driver over files instead of a fuzzer's ideas.
 *
 * Given files, hands each one's bytes to the driver; coming back at all is
 * the result. For compilers that have no fuzzer, and for `make check`. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		FILE *f = fopen(argv[i], "rb");
		uint8_t *data;
		size_t n;
		long size;

		if (!f || fseek(f, 0, SEEK_END) || (size = ftell(f)) < 0) {
			perror(argv[i]);
			return 4;
		}
		rewind(f);
		/* exactly as long as the data, for the sanitizer to see the end */
		data = malloc(size ? (size_t)size : 1);
		n = data ? fread(data, 1, (size_t)size, f) : 0;
		fclose(f);
		if (!data || n != (size_t)size) {
			fprintf(stderr, "%s: cannot read\n", argv[i]);
			free(data);
			return 4;
		}
		LLVMFuzzerTestOneInput(data, n);
		free(data);
	}
	printf("%d files\n", argc - 1);
	return 0;
}
