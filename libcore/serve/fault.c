/* SPDX-License-Identifier: MIT */
/* fault.c - errors in the dialects of the three interfaces */
#include "serve/fault.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "util/json.h"

static const struct kind {
	int status;
	const char *openai, *anthropic;
} kinds[] = {
	{ 400, "invalid_request_error", "invalid_request_error" },
	{ 401, "authentication_error", "authentication_error" },
	{ 403, "permission_error", "permission_error" },
	{ 404, "not_found_error", "not_found_error" },
	{ 405, "invalid_request_error", "invalid_request_error" },
	{ 408, "timeout_error", "timeout_error" },
	{ 413, "invalid_request_error", "request_too_large" },
	{ 415, "invalid_request_error", "invalid_request_error" },
	{ 429, "rate_limit_error", "rate_limit_error" },
	{ 431, "invalid_request_error", "invalid_request_error" },
	{ 500, "server_error", "api_error" },
	{ 501, "not_supported_error", "invalid_request_error" },
	{ 503, "unavailable_error", "overloaded_error" },
	{ 507, "server_error", "api_error" },
};

static const struct kind *kind_of(int status)
{
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (kinds[i].status == status)
			return &kinds[i];
	return kind_of(500);
}

static void set(struct fault *f, int status, const char *code, const char *fmt, va_list ap)
{
	memset(f, 0, sizeof *f);
	f->status = status;
	f->code = code;
	vsnprintf(f->message, sizeof f->message, fmt, ap);
}

int fault_set(struct fault *f, int status, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(f, status, code, fmt, ap);
	va_end(ap);
	return -1;
}

int fault_param(struct fault *f, const char *param, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	set(f, 400, code, fmt, ap);
	va_end(ap);
	snprintf(f->param, sizeof f->param, "%s", param);
	return -1;
}

int fault_memory(struct fault *f)
{
	return fault_set(f, 503, "out_of_memory", "no memory for the request");
}

int fault_err(struct fault *f, const struct err *e)
{
	switch (e->kind) {
	case ERR_INPUT:
	case ERR_MISUSE:
	case ERR_NO:
		return fault_set(f, 400, "invalid_value", "%s", e->text);
	case ERR_MACHINE:
		return fault_set(f, 503, "out_of_memory", "%s", e->text);
	case ERR_INTERRUPTED:
		return fault_set(f, 503, "shutting_down", "%s", e->text);
	case ERR_NONE:
		break;
	}
	return fault_set(f, 500, "internal_error", "%s", e->text);
}

bool fault_passes(const struct fault *f)
{
	return f->status == 503 || f->status == 429;
}

int fault_status(const struct fault *f, enum dialect d)
{
	/* Anthropic's clients know a full queue as 529 */
	if (d == DIALECT_ANTHROPIC && f->code && strcmp(f->code, "queue_full") == 0)
		return 529;
	return f->status;
}

static void openai_body(struct buf *b, const struct fault *f)
{
	buf_add_text(b, "{\"error\":{\"message\":");
	json_add_string(b, bytes_of(f->message));
	buf_printf(b, ",\"type\":\"%s\",\"param\":", kind_of(f->status)->openai);
	if (f->param[0])
		json_add_string(b, bytes_of(f->param));
	else
		buf_add_text(b, "null");
	if (f->code)
		buf_printf(b, ",\"code\":\"%s\"", f->code);
	else
		buf_add_text(b, ",\"code\":null");
	if (f->n_ctx)
		buf_printf(b, ",\"n_prompt_tokens\":%zu,\"n_ctx\":%zu", f->n_prompt, f->n_ctx);
	buf_add_text(b, "}}");
}

void fault_body(struct buf *b, const struct fault *f, enum dialect d, const char *request_id)
{
	if (d == DIALECT_OPENAI) {
		openai_body(b, f);
	} else if (d == DIALECT_OLLAMA) {
		buf_add_text(b, "{\"error\":");
		json_add_string(b, bytes_of(f->message));
		buf_add_byte(b, '}');
	} else {
		buf_printf(b, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
		           kind_of(f->status)->anthropic);
		json_add_string(b, bytes_of(f->message));
		buf_printf(b, "},\"request_id\":\"%s\"}", request_id);
	}
}
