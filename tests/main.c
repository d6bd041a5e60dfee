/* SPDX-License-Identifier: MIT */
/* main.c - runs the suites of libcore/ROOM/NAME_check.c.
 *
 * Given names of suites (none: all), runs those and gives Check's summary.
 * -t TAG runs the test cases with that tag only; without it those tagged
 * "bench" (they time) and "shared" (they need $SHARED) are left out. The
 * Makefile lists the suites in suites.h. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SUITE(name) Suite *name##_suite(void);
#include "suites.h"
#undef SUITE

static const struct suite {
	const char *name;
	Suite *(*make)(void);
} suites[] = {
#define SUITE(name) { #name, name##_suite },
#include "suites.h"
#undef SUITE
	{ NULL, NULL },
};

static const struct suite *find(const char *name)
{
	for (const struct suite *s = suites; s->name; s++)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

int main(int argc, char **argv)
{
	const char *tag = argc > 2 && strcmp(argv[1], "-t") == 0 ? argv[2] : NULL;
	SRunner *runner = srunner_create(NULL);
	int failed;

	argv += tag ? 3 : 1;
	if (!*argv)
		for (const struct suite *s = suites; s->name; s++)
			srunner_add_suite(runner, s->make());
	for (; *argv; argv++) {
		const struct suite *s = find(*argv);

		if (!s) {
			fprintf(stderr, "check: no suite %s\n", *argv);
			srunner_free(runner);
			return 2;
		}
		srunner_add_suite(runner, s->make());
	}
	if (tag && strcmp(tag, "bench") == 0)
		srunner_set_fork_status(runner, CK_NOFORK);
	srunner_run_tagged(runner, NULL, NULL, tag, tag ? NULL : "bench shared", CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
