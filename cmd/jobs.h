/* SPDX-License-Identifier: MIT */
/* jobs.h - many texts through one batch, given back in order */
#ifndef CLM_CMD_JOBS_H
#define CLM_CMD_JOBS_H

#include "gen/gen.h"

/* One text: what came in and what was made of it. */
struct job {
	struct job *next;
	size_t number;
	struct buf id;            /* a record's id, as JSON */
	struct buf text;          /* the prompt's, where it is shown again */
	struct ids prompt;
	struct request request;
	struct session *session;  /* while it runs */
	struct buf out;           /* text made and not yet shown */
	struct reply *reply;      /* a conversation's: takes the answer apart */
	struct buf reasoning;     /* ... made and not yet shown */
	struct buf calls;         /* ... of tools, a line of JSON each */
	unsigned char last;       /* the last byte that was shown */
	int reasons;              /* where reasoning is being shown */
	struct ids made;
	size_t n_shown;           /* of the ids */
	struct buf logprobs;      /* JSON, elements of an array */
	size_t n_prompt, n_made;
	bool begun, ended;        /* something was shown; all is there */
	enum end_reason reason;
	struct err err;           /* END_ERROR */
};
NEED struct job *job_new(const struct request *r, struct err *e);
void job_free(struct job *j);
/* Shows what is new, with `echo` the prompt before it. */
void job_put_ids(struct job *j, bool echo);
void job_put_text(struct job *j, bool echo, struct bytes mark);

struct jobs {
	struct batch *batch;
	const struct tokenizer *tokenizer;
	struct job *first, *last;
	size_t n, n_added, n_failed;
	bool unordered, keep_ids;
	/* Shows what a job has; called for the first in line as it grows, for
	 * every job once it has ended. */
	void (*show)(void *arg, struct job *j);
	void *arg;
	/* A copy of the last session's cache, where it is wanted. */
	bool keep_cache;
	struct kv_seq *cache;
	int32_t tail;             /* the last token made, not in it; -1: none that belongs there */
	/* for the speed */
	size_t prompt_tokens, made_tokens;
	double began, first_token;
};
/* The events that the batch must be opened with; arg is the jobs. */
struct batch_events jobs_events(struct jobs *q);
/* Takes the job and starts it. What the batch refuses is an ended job. */
void jobs_add(struct jobs *q, struct job *take_job, struct kv_seq *take_cache);
/* One pass, then shows what can be shown. -1: nothing can go on. */
NEED int jobs_step(struct jobs *q, struct err *e);
/* Shows what is ready. */
void jobs_show(struct jobs *q);
void jobs_release(struct jobs *q);
/* After an interrupt: the first text's beginning is there, and ends. */
void jobs_cut_short(const struct jobs *q, bool ids, struct bytes mark);
/* Speed and memory on stderr. One text: its prompt and answer apart. */
void jobs_tell(const struct jobs *q, bool one);

#endif
