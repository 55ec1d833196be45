/* SPDX-License-Identifier: MIT */
/* report.c: misuse reports, the log, and the machine's random numbers. Nothing here allocates. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LINE 512
#define REPORT 4096     /* bytes of a report's text */
#define REPORT_LINES 40 /* what is beyond is left out */

static const char *const level_names[] = { "error", "warn", "info", "debug" };
static const char *const kind_names[LOAM_REPORT_KINDS] = { "double free", "bad free", "corruption",
							   "wrong cache", "leak",     "misuse" };

enum loam_log_level loam__log_level(void)
{
	static int level = -1; /* atomic; every thread computes the same */
	int now = __atomic_load_n(&level, __ATOMIC_RELAXED);
	const char *env;

	if (now >= 0)
		return (enum loam_log_level)now;
	env = getenv("LOAM_LOG");
	now = LOAM_LOG_WARN;
	for (int i = 0; env && i < (int)LOAM_LEN(level_names); i++)
		if (!strcmp(env, level_names[i]))
			now = i;
	__atomic_store_n(&level, now, __ATOMIC_RELAXED);
	return (enum loam_log_level)now;
}

/* One write, so that lines of several threads do not mix. */
static void put_line(char *line, int n)
{
	ssize_t written;

	if (n >= LINE)
		n = LINE - 1;
	line[n++] = '\n';
	written = write(STDERR_FILENO, line, (size_t)n);
	(void)written;
}

static int append(char *line, int n, const char *fmt, va_list args) LOAM_PRINTF(3, 0);
static int append(char *line, int n, const char *fmt, va_list args)
{
	int more = n < LINE ? vsnprintf(line + n, (size_t)(LINE - n), fmt, args) : 0;

	return more < 0 ? n : n + more < LINE ? n + more : LINE - 1;
}

/** A line that is to be written: on the thread's own stack, for the C library's formatting takes what it likes. */
struct line {
	const struct loam_self *self;
	const char *head, *fmt;
	va_list *args;
};

static void log_line(void *arg)
{
	const struct line *line = arg;
	char text[LINE + 1];
	int n = line->self ? snprintf(text, LINE, "loam: [%s] ", line->self->name)
			   : snprintf(text, LINE, "%s", line->head);

	put_line(text, append(text, n, line->fmt, *line->args));
}

void loam__log(enum loam_log_level level, const char *fmt, ...)
{
	va_list args;

	if (level > loam__log_level())
		return;
	va_start(args, fmt);
	loam__on_host_stack(log_line, &(struct line){ NULL, "loam: ", fmt, &args });
	va_end(args);
}

void loam__host_log(struct loam_self *self, enum loam_log_level level, const char *fmt, ...)
{
	va_list args;

	if (level > loam__log_level())
		return;
	va_start(args, fmt);
	loam__on_host_stack(log_line, &(struct line){ self, "loam: [host] ", fmt, &args });
	va_end(args);
}

static size_t line_length(const char *text)
{
	return strcspn(text, "\n") + 1;
}

static void add_part(struct iovec *parts, int *n, const char *text, size_t bytes)
{
	parts[*n] = (struct iovec){ (char *)text, bytes };
	++*n;
}

/*
 * @head, the first line of @text and @tail, then the other lines, each behind @mark. In one write, so that the reports of
 * several threads do not mix. @text ends with a newline.
 */
static void put_report(const char *head, const char *text, const char *tail, const char *mark)
{
	struct iovec parts[2 * REPORT_LINES + 3];
	const char *line = text + line_length(text);
	ssize_t written;
	int n = 0;

	add_part(parts, &n, head, strlen(head));
	add_part(parts, &n, text, line_length(text) - 1);
	add_part(parts, &n, tail, strlen(tail));
	for (; *line && n < 2 * REPORT_LINES && loam__log_level() >= LOAM_LOG_WARN; line += line_length(line)) {
		add_part(parts, &n, mark, strlen(mark));
		add_part(parts, &n, line, line_length(line));
	}
	written = writev(STDERR_FILENO, parts, n);
	(void)written;
}

/** What is reported. */
struct report {
	const struct loam_self *self;
	enum loam_report_kind kind;
	const void *ptr;
	const char *fmt;
	va_list *args;
};

static void write_report(void *arg)
{
	const struct report *r = arg;
	char head[LINE], tail[100], mark[LINE], text[REPORT + 2];
	int n = vsnprintf(text, REPORT, r->fmt, *r->args);

	n = n < 0 ? 0 : n < REPORT ? n : REPORT - 1;
	memcpy(text + n, "\n", 2);
	n = snprintf(head, sizeof(head), "loam: %s: ", kind_names[r->kind]);
	if (r->self)
		n += snprintf(head + n, sizeof(head) - (size_t)n, "[%s] %s: ", r->self->name,
			      r->self->plugin->desc.name);
	if (r->ptr)
		snprintf(head + n, sizeof(head) - (size_t)n, "%p: ", r->ptr);
	snprintf(tail, sizeof(tail), " (loam %s, seed %llu)\n", PACKAGE_VERSION,
		 (unsigned long long)loam__machine.seed);
	snprintf(mark, sizeof(mark), "loam: [%s] ", r->self ? r->self->name : "host");
	put_report(head, text, tail, mark);
}

void loam__report(struct loam_self *self, enum loam_report_kind kind, const void *ptr, const char *fmt, ...)
{
	va_list args;

	/* Relaxed: counters. */
	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	if (self)
		__atomic_fetch_add(&self->reports[kind], 1, __ATOMIC_RELAXED);
	va_start(args, fmt);
	loam__on_host_stack(write_report, &(struct report){ self, kind, ptr, fmt, &args });
	va_end(args);
	if (loam__machine.on_report == LOAM_ON_REPORT_STOP)
		abort();
}

/* ---- random numbers ---- */

uint64_t loam__seed(uint64_t given)
{
	struct timespec now;
	uint64_t seed = 0;

	if (given)
		return given;
	if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed)) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		seed = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid();
	}
	seed >>= 32; /* short enough to type */
	return seed ? seed : 1;
}

/* FNV-1a. */
uint64_t loam__name_hash(const char *name)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
	return hash;
}

/* SplitMix64: each call takes one step of a counter, so threads share a stream without a lock. */
uint64_t loam__host_random(struct loam_self *self)
{
	uint64_t z = __atomic_add_fetch(&self->random_state, 0x9e3779b97f4a7c15u, __ATOMIC_RELAXED);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}
