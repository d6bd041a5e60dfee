/* SPDX-License-Identifier: MIT */
/* metrics.c - counters and histograms, told in Prometheus' text format 0.0.4
 *
 * Label values come from tables of ours (routes, models), so there are only
 * so many series. */
#include "serve/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "serve/call.h"

static const double bounds[] = { 0.001, 0.005, 0.01, 0.02, 0.04, 0.08, 0.1, 0.25, 0.5,
	                         1,     2.5,   5,    10,   20,   40,   80,  160,  640 };
static const double sizes[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024 };
enum { N_BOUNDS = sizeof bounds / sizeof *bounds, N_SIZES = sizeof sizes / sizeof *sizes,
       APIS = 512 };

struct histogram {
	uint64_t count[N_BOUNDS + 1], n;
	double sum;
};

struct metrics {
	pthread_mutex_t lock;
	struct tally { char api[48]; int code; uint64_t n; } request[APIS];
	size_t n_requests;
	uint64_t left, late, shut, prompt_tokens, cached_tokens, made_tokens, steps, rows, preempted,
		failed;
	double prefill_s, decode_s;
	struct histogram first, next, whole, queue, prefill, decode, batch, stall;
};

int metrics_open(struct metrics **out, struct err *e)
{
	struct metrics *m = calloc(1, sizeof *m);

	*out = m;
	if (!m)
		return err_memory(e, sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	return 0;
}

void metrics_close(struct metrics *m)
{
	if (m)
		pthread_mutex_destroy(&m->lock);
	free(m);
}

static void put(struct histogram *h, const double *bound, size_t n, double v)
{
	size_t i = 0;

	while (i < n && v > bound[i])
		i++;
	h->count[i]++;
	h->n++;
	h->sum += v;
}

static void put_seconds(struct histogram *h, double v)
{
	put(h, bounds, N_BOUNDS, v);
}

void metrics_first(struct serve *s, double seconds)
{
	pthread_mutex_lock(&s->metrics->lock);
	put_seconds(&s->metrics->first, seconds);
	pthread_mutex_unlock(&s->metrics->lock);
}

void metrics_next(struct serve *s, double seconds)
{
	pthread_mutex_lock(&s->metrics->lock);
	put_seconds(&s->metrics->next, seconds);
	pthread_mutex_unlock(&s->metrics->lock);
}

void metrics_step(struct serve *s, double seconds, size_t rows)
{
	struct metrics *m = s->metrics;

	if (!rows)
		return;
	pthread_mutex_lock(&m->lock);
	m->steps++;
	m->rows += rows;
	put(&m->batch, sizes, N_SIZES, (double)rows);
	put_seconds(&m->stall, seconds);
	pthread_mutex_unlock(&m->lock);
}

void metrics_call(struct serve *s, const struct call *c)
{
	struct metrics *m = s->metrics;
	double now = http_seconds();

	pthread_mutex_lock(&m->lock);
	m->left += c->cancelled && !c->x->late;
	m->late += c->cancelled && c->x->late;
	m->shut += !c->cancelled && c->fault.code && !strcmp(c->fault.code, "shutting_down");
	m->prompt_tokens += call_prompt_tokens(c);
	m->cached_tokens += call_cached_tokens(c);
	m->made_tokens += call_made_tokens(c);
	put_seconds(&m->whole, now - c->came);
	if (c->admitted > 0)
		put_seconds(&m->queue, c->admitted - c->came);
	if (c->first > 0) {
		m->prefill_s += c->first - c->admitted;
		m->decode_s += now - c->first;
		put_seconds(&m->prefill, c->first - c->admitted);
		put_seconds(&m->decode, now - c->first);
	}
	pthread_mutex_unlock(&m->lock);
}

void metrics_prompt(struct serve *s, size_t n_tokens)
{
	pthread_mutex_lock(&s->metrics->lock);
	s->metrics->prompt_tokens += n_tokens;
	pthread_mutex_unlock(&s->metrics->lock);
}

void metrics_pages(struct serve *s, struct served *d)
{
	struct kv_pages now;
	size_t preempted = batch_preempted(d->batch);

	kv_pool_count(model_pool(d->m.model), &now);
	pthread_mutex_lock(&s->metrics->lock);
	d->pages = now;
	s->metrics->preempted += preempted - d->n_preempted;
	d->n_preempted = preempted;
	pthread_mutex_unlock(&s->metrics->lock);
}

void metrics_failed(struct serve *s)
{
	pthread_mutex_lock(&s->metrics->lock);
	s->metrics->failed++;
	pthread_mutex_unlock(&s->metrics->lock);
}

void metrics_request(struct serve *s, const char *api, int status)
{
	struct metrics *m = s->metrics;
	size_t i;

	pthread_mutex_lock(&m->lock);
	for (i = 0; i < m->n_requests; i++)
		if (m->request[i].code == status && strcmp(m->request[i].api, api) == 0)
			break;
	if (i == m->n_requests && i < APIS) {
		snprintf(m->request[i].api, sizeof m->request[i].api, "%s", api);
		m->request[i].code = status;
		m->n_requests++;
	}
	if (i < APIS)
		m->request[i].n++;
	pthread_mutex_unlock(&m->lock);
}

/* ---- telling */

static void family(struct buf *b, const char *name, const char *type, const char *help)
{
	buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, double v)
{
	family(b, name, type, help);
	buf_printf(b, "%s %.17g\n", name, v);
}

static void histogram(struct buf *b, const char *name, const char *help, const struct histogram *h,
                      const double *bound, size_t n)
{
	uint64_t sum = 0;

	family(b, name, "histogram", help);
	for (size_t i = 0; i < n; i++) {
		sum += h->count[i];
		buf_printf(b, "%s_bucket{le=\"%g\"} %llu\n", name, bound[i], (unsigned long long)sum);
	}
	buf_printf(b, "%s_bucket{le=\"+Inf\"} %llu\n%s_sum %.9g\n%s_count %llu\n", name,
	           (unsigned long long)h->n, name, h->sum, name, (unsigned long long)h->n);
}

static void seconds(struct buf *b, const char *name, const char *help, const struct histogram *h)
{
	histogram(b, name, help, h, bounds, N_BOUNDS);
}

void metrics_label(struct buf *b, const char *text)
{
	for (; *text; text++) {
		if (*text == '\\' || *text == '"' || *text == '\n')
			buf_add_byte(b, '\\');
		buf_add_byte(b, *text == '\n' ? 'n' : (unsigned char)*text);
	}
}

static double resident_bytes(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static double open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	double n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", ".." and its own */
}

static void process(struct serve *s, struct buf *b)
{
	struct rlimit limit = { 0 };
	struct rusage u = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	getrusage(RUSAGE_SELF, &u);
	one(b, "process_cpu_seconds_total", "counter", "User and system time.",
	    (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec +
		    1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec));
	one(b, "process_max_fds", "gauge", "Descriptors that may be open.", (double)limit.rlim_cur);
	one(b, "process_open_fds", "gauge", "Descriptors that are open.", open_fds());
	one(b, "process_resident_memory_bytes", "gauge", "Resident memory.", resident_bytes());
	one(b, "process_start_time_seconds", "gauge", "When the server began.",
	    (double)s->started_at);
}

static void calls(struct serve *s, struct buf *b)
{
	const struct metrics *m = s->metrics;

	one(b, "clm_decode_seconds_total", "counter", "Time from first to last tokens.", m->decode_s);
	one(b, "clm_decode_steps_total", "counter", "Passes of the models.", (double)m->steps);
	one(b, "clm_generated_tokens_total", "counter", "Tokens made.", (double)m->made_tokens);
	seconds(b, "clm_decode_seconds", "First to last token of a request.", &m->decode);
	seconds(b, "clm_inter_token_seconds", "From a token to the next.", &m->next);
	one(b, "clm_prefill_seconds_total", "counter", "Time to first tokens, once admitted.",
	    m->prefill_s);
	seconds(b, "clm_prefill_seconds", "To the first token of a request, once admitted.",
	        &m->prefill);
	one(b, "clm_prompt_tokens_cached_total", "counter",
	    "Prompt tokens that were not computed again.",
	    (double)m->cached_tokens);
	one(b, "clm_prompt_tokens_total", "counter", "Prompt tokens.", (double)m->prompt_tokens);
	seconds(b, "clm_queue_seconds", "A request's time in the queue.", &m->queue);
	seconds(b, "clm_request_seconds", "A request's time in all.", &m->whole);
	family(b, "clm_requests_cancelled_total", "counter",
	       "Requests that were not answered to the end.");
	buf_printf(b, "clm_requests_cancelled_total{reason=\"disconnect\"} %llu\n"
	           "clm_requests_cancelled_total{reason=\"shutdown\"} %llu\n"
	           "clm_requests_cancelled_total{reason=\"timeout\"} %llu\n",
	           (unsigned long long)m->left, (unsigned long long)m->shut,
	           (unsigned long long)m->late);
	one(b, "clm_preemptions_total", "counter", "Caches that were taken to be computed again.",
	    (double)m->preempted);
	if (s->o.alias_llamacpp)
		one(b, "llamacpp:n_busy_slots_per_decode", "gauge", "Rows of a pass.",
		    m->steps ? (double)m->rows / (double)m->steps : 0);
	family(b, "clm_requests_total", "counter", "Requests by path and status.");
	for (size_t i = 0; i < m->n_requests; i++)
		buf_printf(b, "clm_requests_total{api=\"%s\",code=\"%d\"} %llu\n", m->request[i].api,
		           m->request[i].code, (unsigned long long)m->request[i].n);
	seconds(b, "clm_stall_seconds", "A pass of a model.", &m->stall);
	seconds(b, "clm_time_to_first_token_seconds", "From a request to its first token.", &m->first);
}

static void of_model(struct buf *b, const char *name, const struct slot *t, double v)
{
	buf_printf(b, "%s{model=\"", name);
	metrics_label(b, t->name);
	buf_printf(b, "\"} %.17g\n", v);
}

static void pages(struct buf *b, const struct kv_pages *p)
{
	size_t all = p->free + p->active + p->cached;

	family(b, "clm_kv_blocks", "gauge", "Pages of the caches.");
	buf_printf(b,
	           "clm_kv_blocks{state=\"free\"} %zu\nclm_kv_blocks{state=\"active\"} %zu\n"
	           "clm_kv_blocks{state=\"cached\"} %zu\n",
	           p->free, p->active, p->cached);
	one(b, "clm_kv_usage_ratio", "gauge", "Active pages among all.",
	    all ? (double)p->active / (double)all : 0);
}

/* The models of each device together. */
static void devices(struct serve *s, struct buf *b)
{
	const struct models *m = &s->models;

	family(b, "clm_device_memory_bytes", "gauge", "What models hold, and what there is.");
	for (size_t i = 0; i < m->n; i++) {
		const struct served *d = m->slot[i]->live;
		size_t used = 0, k;

		for (k = 0; d && k < m->n; k++) {
			const struct served *other = m->slot[k]->live;

			if (!other || strcmp(other->m.device, d->m.device))
				continue;
			if (k < i)
				break; /* it is told already */
			used += other->m.n_held;
		}
		if (!d || k < m->n)
			continue;
		for (int total = 0; total < 1 + (d->m.device_bytes > 0); total++) {
			buf_add_text(b, "clm_device_memory_bytes{device=\"");
			metrics_label(b, d->m.device);
			buf_printf(b, "\",kind=\"%s\"} %zu\n", total ? "total" : "used",
			           total ? d->m.device_bytes : used);
		}
	}
}

static void build(struct serve *s, struct buf *b, const char *device)
{
	family(b, "clm_build_info", "gauge", "The program.");
	buf_printf(b, "clm_build_info{version=\"%s\",device=\"", s->o.version ? s->o.version : "");
	metrics_label(b, device);
	buf_add_text(b, "\"} 1\n");
	family(b, "clm_device_errors_total", "counter", "Passes that a device failed.");
	if (*device) {
		buf_add_text(b, "clm_device_errors_total{device=\"");
		metrics_label(b, device);
		buf_printf(b, "\",code=\"pass\"} %llu\n", (unsigned long long)s->metrics->failed);
	}
}

/* The first model, and where it is computed, go into `name` and `device`. */
static void models(struct serve *s, struct buf *b, char name[256])
{
	struct models *m = &s->models;
	struct kv_pages sum = { 0 };
	const char *device = "";

	family(b, "clm_model_bytes", "gauge", "What an open model holds.");
	for (size_t i = 0; i < m->n; i++) {
		const struct served *d = m->slot[i]->live;

		if (!d)
			continue;
		if (!*device) {
			device = d->m.device;
			snprintf(name, 256, "%s", d->m.name);
		}
		of_model(b, "clm_model_bytes", m->slot[i], (double)d->m.n_held);
		sum.free += d->pages.free;
		sum.active += d->pages.active;
		sum.cached += d->pages.cached;
	}
	family(b, "clm_model_load_seconds", "gauge", "How long it took to open it.");
	for (size_t i = 0; i < m->n; i++)
		if (m->slot[i]->live)
			of_model(b, "clm_model_load_seconds", m->slot[i], m->slot[i]->load_s);
	family(b, "clm_model_loaded", "gauge", "Models, and whether they are open.");
	for (size_t i = 0; i < m->n; i++)
		if (!m->slot[i]->gone)
			of_model(b, "clm_model_loaded", m->slot[i], m->slot[i]->live != NULL);
	devices(s, b);
	pages(b, &sum);
	build(s, b, device);
}

void metrics_write(struct serve *s, struct buf *b)
{
	struct engine_state state;
	char name[256] = "";

	engine_state(s->engine, &state);
	one(b, "clm_requests_running", "gauge", "Requests that run.", (double)state.running);
	one(b, "clm_requests_waiting", "gauge", "Requests in the queue.", (double)state.waiting);
	pthread_mutex_lock(&s->models.lock);
	pthread_mutex_lock(&s->metrics->lock);
	models(s, b, name);
	histogram(b, "clm_batch_size", "Rows of a pass.", &s->metrics->batch, sizes, N_SIZES);
	calls(s, b);
	pthread_mutex_unlock(&s->metrics->lock);
	pthread_mutex_unlock(&s->models.lock);
	process(s, b);
	if (s->o.alias_llamacpp)
		families_alias(b, "llamacpp", NULL);
	if (s->o.alias_vllm)
		families_alias(b, "vllm", name);
	families_sort(b);
}
