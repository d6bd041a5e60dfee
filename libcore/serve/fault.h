/* SPDX-License-Identifier: MIT */
/* fault.h - what a client is told when it cannot have an answer. Private to
 * serve/. */
#ifndef CLM_SERVE_FAULT_H
#define CLM_SERVE_FAULT_H

#include "util/buf.h"

enum dialect { DIALECT_OLLAMA, DIALECT_OPENAI, DIALECT_ANTHROPIC };

/* In place of a status: no answer yet, the request waits for its model. */
enum { FAULT_PARKED = 1 };

struct fault {
	int status;
	const char *code;      /* OpenAI's; NULL: null */
	char param[128];       /* OpenAI's: the member that is wrong; may be empty */
	char message[512];
	size_t n_prompt, n_ctx; /* with context_length_exceeded */
};
/* Fills it. Always returns -1. */
int fault_set(struct fault *f, int status, const char *code, const char *fmt, ...) PRINTF(4, 5);
/* The same, naming the member that is wrong; 400. */
int fault_param(struct fault *f, const char *param, const char *code, const char *fmt, ...)
	PRINTF(4, 5);
/* 503: no memory for the request. */
int fault_memory(struct fault *f);
/* An error of the library: 400 for what came in, else 503 or 500. */
int fault_err(struct fault *f, const struct err *e);
/* The status this dialect gives it. */
int fault_status(const struct fault *f, enum dialect d);
/* The error object, one line without its end. */
void fault_body(struct buf *out, const struct fault *f, enum dialect d, const char *request_id);
/* Would the same request do later? */
bool fault_passes(const struct fault *f);

#endif
