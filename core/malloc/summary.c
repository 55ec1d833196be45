/* SPDX-License-Identifier: MIT */
/* summary.c: what the machine did for a program, told at its exit. */
#include "face.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int summary_fd = -1;
static bool summary_json;

#define LOOKS 50 /* at most, a millisecond apart, while other threads are at work */

/** All the numbers, taken while the machine stands as still as other threads let it. */
struct numbers {
	bool tell; /* defects, as they are found */
	struct account account;
	struct loam_stat heap;
	struct loam__large_stat large;
	uint64_t allocs, frees;        /* of the face */
	uint64_t walked, walked_bytes; /* live blocks that walk saw */
	uint64_t defects;
	unsigned threads;
	double fragmentation;
};

/* A line or a part of one. Without the C library's streams, which would allocate and so change what is told. */
static void put(int fd, const char *fmt, ...) LOAM_PRINTF(2, 3);
static void put(int fd, const char *fmt, ...)
{
	char text[512];
	va_list args;
	ssize_t written;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	written = n > 0 ? write(fd, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1) : 0;
	(void)written;
}

static int count_live(void *arg, const struct loam_span *span)
{
	struct numbers *numbers = arg;

	if (span->kind == LOAM_SPAN_LIVE) {
		numbers->walked++;
		numbers->walked_bytes += span->bytes;
	}
	return 0;
}

static void count_defect(void *arg, const char *text)
{
	struct numbers *numbers = arg;

	numbers->defects++;
	if (numbers->tell)
		loam__log(LOAM_LOG_ERROR, "defect: %s", text);
}

static void take_numbers(struct numbers *numbers, bool tell)
{
	struct loam_self *heap = loam__face.graph->heap;
	int walked = -ENOTSUP;

	memset(numbers, 0, sizeof(*numbers));
	numbers->tell = tell;
	numbers->threads = loam__area_threads();
	loam__quiesce();
	loam__face_counts_sum(&numbers->allocs, &numbers->frees);
	if (heap->plugin->desc.walk)
		walked = heap->plugin->desc.walk(heap->inst, count_live, numbers);
	for (unsigned i = 0; i < loam__face.graph->nr; i++) {
		struct loam_self *self = loam__face.graph->instances[i];

		if (self->plugin->desc.check)
			self->plugin->desc.check(self->inst, count_defect, numbers);
	}
	loam__resume();
	loam__stat(heap, &numbers->heap);
	/* A heap whose blocks nobody can list says itself how many there are. */
	if (walked) {
		numbers->walked = numbers->heap.live_blocks;
		numbers->walked_bytes = numbers->heap.live_bytes;
	}
	loam__large_stat(&numbers->large);
	loam__account_get(&numbers->account);
	if (numbers->account.peak)
		numbers->fragmentation = 1 - (double)numbers->account.requested_at_peak / (double)numbers->account.peak;
}

static bool consistent(const struct numbers *numbers)
{
	return numbers->allocs - numbers->frees == numbers->walked + numbers->large.blocks && !numbers->defects;
}

/*
 * What takes no lock does not stand still: another thread may be in the middle of a call, or begin one. It is soon out of it, so what
 * does not agree is looked at again, as long as there are others; what is wrong stays so, and is told.
 */
static void settle_numbers(struct numbers *numbers)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	take_numbers(numbers, loam__area_threads() < 2);
	for (unsigned looks = 1; looks < LOOKS && !consistent(numbers) && numbers->threads > 1; looks++) {
		nanosleep(&moment, NULL);
		take_numbers(numbers, looks == LOOKS - 1 || loam__area_threads() < 2);
	}
}

/* A foreign heap may not know what it holds. */
static bool footprint_known(const struct numbers *numbers)
{
	return numbers->heap.footprint || !numbers->heap.live_blocks;
}

static void tell_line(void *arg, const char *text)
{
	put(*(int *)arg, "  %s\n", text);
}

static void tell_all(int fd)
{
	for (unsigned i = loam__face.graph->nr; i--;) {
		struct loam_self *self = loam__face.graph->instances[i];

		if (!self->plugin->desc.tell)
			continue;
		put(fd, "[%s] %s\n", self->name, self->plugin->desc.name);
		loam__tell(self, tell_line, &fd);
	}
}

static int cache_text(void *arg, const struct loam_cache_info *info)
{
	if (info->total_slabs)
		put(*(int *)arg, "  %-17s %8u %10llu %10llu %8llu\n", info->name, info->obj_size,
		    (unsigned long long)info->active_objs, (unsigned long long)info->total_objs,
		    (unsigned long long)info->total_slabs);
	return 0;
}

static void put_text(int fd, const struct numbers *n)
{
	const struct loam_self *heap = loam__face.graph->heap;

	put(fd, "loam %s: malloc of process %d served by [%s] %s, seed %llu\n", PACKAGE_VERSION, (int)getpid(),
	    heap->name, heap->plugin->desc.name, (unsigned long long)loam__machine.seed);
	put(fd, "  allocations       %llu\n  frees             %llu\n", (unsigned long long)n->allocs,
	    (unsigned long long)n->frees);
	put(fd, "  live              %llu blocks, %llu bytes usable, %llu requested\n",
	    (unsigned long long)(n->walked + n->large.blocks), (unsigned long long)(n->walked_bytes + n->large.bytes),
	    (unsigned long long)n->account.requested);
	if (footprint_known(n))
		put(fd, "  footprint         %llu bytes, at the peak %llu\n",
		    (unsigned long long)(n->heap.footprint + n->large.bytes), (unsigned long long)n->account.peak);
	else
		put(fd, "  footprint         not known to this heap\n");
	put(fd, "  requested         %llu bytes at the peak of the footprint, at most %llu\n",
	    (unsigned long long)n->account.requested_at_peak, (unsigned long long)n->account.peak_requested);
	if (footprint_known(n))
		put(fd, "  fragmentation     %.1f %%\n", n->fragmentation * 100);
	put(fd, "  large blocks      %llu live of %llu\n", (unsigned long long)n->large.blocks,
	    (unsigned long long)n->large.allocs);
	put(fd, "  metadata          %llu bytes\n", (unsigned long long)loam__meta_bytes());
	if (consistent(n))
		put(fd, "  consistent        yes: allocations - frees = live blocks, check is clean\n");
	else
		put(fd,
		    "  consistent        NO: allocations - frees = %llu, walk sees %llu, check found %llu; %u "
		    "threads alive\n",
		    (unsigned long long)(n->allocs - n->frees), (unsigned long long)(n->walked + n->large.blocks),
		    (unsigned long long)n->defects, n->threads);
	put(fd, "  cache               objsize     active      total    slabs\n");
	loam__caches(loam__face.graph->heap, cache_text, &fd);
	tell_all(fd);
}

struct json_caches {
	int fd;
	const char *comma;
};

static int cache_json(void *arg, const struct loam_cache_info *info)
{
	struct json_caches *caches = arg;

	if (!info->total_slabs)
		return 0;
	put(caches->fd,
	    "%s\n    {\"name\": \"%s\", \"objsize\": %u, \"active\": %llu, \"total\": %llu, \"slabs\": %llu}",
	    caches->comma, info->name, info->obj_size, (unsigned long long)info->active_objs,
	    (unsigned long long)info->total_objs, (unsigned long long)info->total_slabs);
	caches->comma = ",";
	return 0;
}

static void put_json(int fd, const struct numbers *n)
{
	struct json_caches caches = { fd, "" };

	put(fd, "{\n  \"version\": \"%s\", \"seed\": %llu, \"pid\": %d,\n", PACKAGE_VERSION,
	    (unsigned long long)loam__machine.seed, (int)getpid());
	put(fd,
	    "  \"allocations\": %llu, \"frees\": %llu, \"live_blocks\": %llu, \"live_bytes\": %llu, \"requested\": "
	    "%llu,\n",
	    (unsigned long long)n->allocs, (unsigned long long)n->frees,
	    (unsigned long long)(n->walked + n->large.blocks), (unsigned long long)(n->walked_bytes + n->large.bytes),
	    (unsigned long long)n->account.requested);
	if (footprint_known(n))
		put(fd,
		    "  \"footprint\": %llu, \"peak\": %llu, \"requested_at_peak\": %llu, \"fragmentation\": %.4f,\n",
		    (unsigned long long)(n->heap.footprint + n->large.bytes), (unsigned long long)n->account.peak,
		    (unsigned long long)n->account.requested_at_peak, n->fragmentation);
	else
		put(fd,
		    "  \"footprint\": null, \"peak\": null, \"requested_at_peak\": null, \"fragmentation\": null,\n");
	put(fd, "  \"peak_requested\": %llu, \"metadata\": %llu, \"large_blocks\": %llu, \"threads\": %u,\n",
	    (unsigned long long)n->account.peak_requested, (unsigned long long)loam__meta_bytes(),
	    (unsigned long long)n->large.blocks, n->threads);
	put(fd, "  \"defects\": %llu, \"consistent\": %s,\n  \"caches\": [", (unsigned long long)n->defects,
	    consistent(n) ? "true" : "false");
	loam__caches(loam__face.graph->heap, cache_json, &caches);
	put(fd, "\n  ]\n}\n");
}

static void at_exit(void)
{
	struct numbers numbers;

	if (summary_fd < 0 || !loam__machine.up)
		return;
	settle_numbers(&numbers);
	if (summary_json)
		put_json(summary_fd, &numbers);
	else
		put_text(summary_fd, &numbers);
}

/* In a child of fork the summary is the parent's. */
static void forget(void)
{
	summary_fd = -1;
}

void loam__summary_start(const char *where, bool json)
{
	char *end;
	long fd = strtol(where, &end, 10);

	summary_json = json;
	if (!strcmp(where, "-"))
		fd = STDERR_FILENO;
	else if (*end || end == where)
		fd = open(where, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0) {
		loam__log(LOAM_LOG_WARN, "cannot write the summary to %s", where);
		return;
	}
	/* Out of the way of programs that close or count the low ones. */
	summary_fd = fcntl((int)fd, F_DUPFD_CLOEXEC, 200);
	if (summary_fd < 0)
		summary_fd = (int)fd;
	else if (*end || end == where)
		close((int)fd);
	pthread_atfork(NULL, NULL, forget);
	atexit(at_exit);
}
