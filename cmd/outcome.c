/* SPDX-License-Identifier: MIT */
/* outcome.c - how a command speaks and ends: stdout, messages, exit codes,
 * signals, progress */
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "internal.h"
#include "util/file.h"

enum { EXIT_MACHINE = 4, EXIT_MISUSE = 2, EXIT_INTERRUPTED = 130, EXIT_PIPE = 141 };

/* A signal handler is given nothing, so what it shares lies here. */
static volatile sig_atomic_t interrupts, softly;

/* ---- signals */

static void on_signal(int signal_number)
{
	if (signal_number == SIGINT && softly && interrupts++ == 0)
		return;
	file_out_sweep();
	if (signal_number == SIGINT)
		_exit(EXIT_INTERRUPTED);
	/* SA_RESETHAND has put the default back */
	raise(signal_number);
}

void cli_start(void)
{
	static const int deadly[] = { SIGTERM, SIGHUP };
	/* restarted, so that no write is torn; who waits for input polls */
	struct sigaction a = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	sigemptyset(&a.sa_mask);
	sigaction(SIGINT, &a, NULL);
	a.sa_flags = (int)SA_RESETHAND;
	for (size_t i = 0; i < sizeof deadly / sizeof *deadly; i++) {
		struct sigaction old;

		/* nohup and its like stay in force */
		if (!sigaction(deadly[i], NULL, &old) && old.sa_handler != SIG_IGN)
			sigaction(deadly[i], &a, NULL);
	}
}

void cli_interrupt_softly(void)
{
	softly = 1;
}

bool cli_interrupted(void)
{
	return interrupts != 0;
}

/* ---- messages */

const char *cli_name(void)
{
	return program_invocation_short_name;
}

static void say(const char *fmt, va_list args, const char *end)
{
	char text[ERR_TEXT + 256];

	vsnprintf(text, sizeof text, fmt, args);
	fprintf(stderr, "%s: %s%s\n", cli_name(), text, end);
}

void cli_warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(fmt, args, "");
	va_end(args);
}

_Noreturn void cli_misuse(const char *fmt, ...)
{
	char end[128];
	va_list args;

	snprintf(end, sizeof end, "; see %s -h", cli_name());
	va_start(args, fmt);
	say(fmt, args, end);
	va_end(args);
	exit(EXIT_MISUSE);
}

_Noreturn void cli_die(const struct err *e)
{
	cli_flush();
	if (e->kind == ERR_MISUSE)
		cli_misuse("%s", e->text);
	if (e->kind != ERR_INTERRUPTED)
		cli_warn("%s", e->text);
	exit(err_exit_code(e));
}

/* ---- data */

_Noreturn static void stdout_failed(void)
{
	int why = errno;

	file_out_sweep();
	if (why == EPIPE)
		_exit(EXIT_PIPE);
	cli_warn("standard output: cannot write: %s", strerror(why));
	_exit(EXIT_MACHINE);
}

void cli_put(const void *p, size_t n)
{
	if (n && fwrite(p, 1, n, stdout) != n)
		stdout_failed();
}

void cli_puts(const char *text)
{
	cli_put(text, strlen(text));
}

void cli_printf(const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vprintf(fmt, args);
	va_end(args);
	if (n < 0)
		stdout_failed();
}

void cli_flush(void)
{
	if (fflush(stdout))
		stdout_failed();
}

int cli_finish(void)
{
	if (ferror(stdout))
		stdout_failed();
	cli_flush();
	if (fclose(stdout) && errno != EBADF)
		stdout_failed();
	return cli_interrupted() ? EXIT_INTERRUPTED : 0;
}

double cli_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- progress */

enum { BAR = 30 };

void progress_begin(struct progress *p, const char *title, const struct cli_common *c)
{
	const char *term = getenv("TERM");
	bool shown = !c->quiet && isatty(STDERR_FILENO) && term && *term && strcmp(term, "dumb");

	*p = (struct progress){ .title = shown ? title : NULL };
	p->began = cli_seconds();
}

void progress_at(struct progress *p, double done, double all, const char *unit)
{
	double now, part = all > 0 ? fmin(done / all, 1) : 0;
	int full = (int)(part * BAR);

	if (!p->title)
		return;
	now = cli_seconds();
	if (now - p->began < 1 || now - p->shown < 0.1)
		return;
	p->shown = now;
	p->drawn = true;
	fprintf(stderr, "\r%s [%.*s%*s] %3.0f%% %s\x1b[K", p->title, full,
	        "##############################", BAR - full, "", 100 * part, unit);
	fflush(stderr);
}

void progress_clear(struct progress *p)
{
	if (!p->drawn)
		return;
	fputs("\r\x1b[K", stderr);
	fflush(stderr);
	p->drawn = false;
}
