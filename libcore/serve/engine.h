/* SPDX-License-Identifier: MIT */
/* engine.h - what engine.c and errands.c share. Private to these two. */
#ifndef CLM_SERVE_ENGINE_H
#define CLM_SERVE_ENGINE_H

#include "serve/call.h"

struct task {
	void (*work)(void *arg);
	void *arg;
	bool done;
	struct task *next;
};

struct engine {
	struct serve *serve;
	struct served *models;     /* that are open; the thread's own */
	pthread_mutex_t lock;      /* of the arrivals and the flags */
	pthread_cond_t news;
	pthread_t thread;
	bool started, stop, woken, refuse;
	double stop_by;            /* > 0: when what runs is cut off */
	size_t waiting;            /* reserved and not admitted */
	size_t n_running;
	struct call *arrived, **arrived_end;
	struct task *tasks, **tasks_end;
	pthread_cond_t task_done;
	struct call *calls;        /* the thread's own */
	double pass_began;
};

/* What the batches tell. */
int engine_token(void *arg, struct session *s, void *user, const struct token_event *t);
int engine_place(void *arg, struct session *s, void *user, const struct place_event *p);
void engine_end(void *arg, struct session *s, void *user, enum end_reason r, struct bytes text,
                const struct err *err);

#endif
