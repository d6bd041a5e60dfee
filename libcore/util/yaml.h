/* SPDX-License-Identifier: MIT */
/* yaml.h - small YAML files as a tree: settings that people write.
 *
 * One document of maps, lists and texts. Refused, with the line: anchors and
 * aliases, tags, keys that are no texts or come twice, zero bytes, more
 * documents, depth past YAML_DEPTH, files past YAML_BYTES. */
#ifndef CLM_UTIL_YAML_H
#define CLM_UTIL_YAML_H

#include "util/arena.h"
#include "util/bytes.h"

enum { YAML_DEPTH = 16, YAML_BYTES = 1 << 20 };
enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP };

struct yaml {
	enum yaml_kind kind;
	size_t line;               /* from 1; in a map its key's */
	const char *key;           /* in a map */
	const char *text;          /* of a text */
	bool plain;                /* a text without quotes: true, 3, ... */
	struct yaml *child, *next;
};

/* All of it lies in the arena. An empty document is an empty map. Messages
 * begin with the line: "3: ...". */
NEED int yaml_parse(struct yaml **out, struct arena *a, struct bytes text, struct err *e);
/* "a list", "a map", "true", ... */
const char *yaml_kind(const struct yaml *y);

#endif
