/* SPDX-License-Identifier: MIT */
/* serving.h - models as clm-serve opens them */
#ifndef CLM_CMD_SERVING_H
#define CLM_CMD_SERVING_H

#include "open.h"
#include "serve/serve.h"

struct serving_adapter { char *model, *name, *dir; double scale; };
struct serving {
	struct serving_adapter adapter[CLI_TEXTS_MAX];
	size_t n_adapters;
	struct open_options open;
	size_t batch, chunk, context, cache_tokens, target_latency;
	bool quiet;
	int verbose;
};
/* For struct serve_opener; arg is a struct serving. */
NEED int serving_open(void *arg, const char *name, const char *path, struct serve_model *out,
                      struct err *e);
NEED int serving_describe(void *arg, const char *path, struct serve_facts *out, struct err *e);
void serving_close(void *arg, struct serve_model *m);
/* MODEL:NAME=DIR[=SCALE] each; another form is misuse, which ends the command. */
NEED int serving_adapters(struct serving *v, const struct cli_texts *t, struct err *e);
void serving_release(struct serving *v);
/* clm.sock where the system keeps a user's sockets; NULL with an error. */
enum { SERVING_SOCKET = 128 };
const char *serving_socket(char out[SERVING_SOCKET], struct err *e);
/* The name of a model given as [NAME=]MODEL: the last part of its path without
 * a suffix. *path is set to MODEL. The caller frees it. */
NEED char *serving_name(const char **path, struct err *e);

#endif
