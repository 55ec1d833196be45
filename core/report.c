/* SPDX-License-Identifier: MIT */
/* report.c: misuse reports, the log, and the machine's random numbers. Nothing here allocates. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#define LINE 512

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

void loam__log(enum loam_log_level level, const char *fmt, ...)
{
	char line[LINE + 1];
	va_list args;
	int n;

	if (level > loam__log_level())
		return;
	n = snprintf(line, LINE, "loam: ");
	va_start(args, fmt);
	n = append(line, n, fmt, args);
	va_end(args);
	put_line(line, n);
}

void loam__host_log(struct loam_self *self, enum loam_log_level level, const char *fmt, ...)
{
	char line[LINE + 1];
	va_list args;
	int n;

	if (level > loam__log_level())
		return;
	n = snprintf(line, LINE, "loam: [%s] ", self ? self->name : "host");
	va_start(args, fmt);
	n = append(line, n, fmt, args);
	va_end(args);
	put_line(line, n);
}

void loam__report(struct loam_self *self, enum loam_report_kind kind, const void *ptr, const char *fmt, ...)
{
	char line[LINE + 1], text[LINE];
	va_list args;
	int n;

	/* Relaxed: counters. */
	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	if (self)
		__atomic_fetch_add(&self->reports[kind], 1, __ATOMIC_RELAXED);
	va_start(args, fmt);
	append(text, 0, fmt, args);
	va_end(args);
	n = snprintf(line, LINE, "loam: %s: ", kind_names[kind]);
	if (self)
		n += snprintf(line + n, (size_t)(LINE - n), "[%s] %s: ", self->name, self->plugin->desc.name);
	if (ptr)
		n += snprintf(line + n, (size_t)(LINE - n), "%p: ", ptr);
	n += snprintf(line + n, (size_t)(LINE - n), "%s (loam %s, seed %llu)", text, PACKAGE_VERSION,
		      (unsigned long long)loam__machine.seed);
	put_line(line, n);
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
