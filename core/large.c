/* SPDX-License-Identifier: MIT */
/*
 * large.c: blocks that no heap takes, in a window of address space of their own.
 *
 * The window is reserved without memory. A block is a run of pages mapped over a part of it, and given back by mapping nothing
 * over it again, so resizing moves mappings and never contents. Space is handed out first fit by address in grains of 64 KiB,
 * blocks of 2 MiB and more at multiples of 2 MiB, where the system can use huge pages. Spans of the window, free or not, are
 * records in address order; a table with a pointer for each grain leads from an address to its span.
 */
#include "internal.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#define GRAIN ((size_t)64 << 10)
#define HUGE ((size_t)2 << 20)
#define LEAST ((uint64_t)4 << 30) /* bytes of the window */
#define MOST ((uint64_t)16 << 40)

struct span {
	struct span *prev, *next;
	char *base;
	size_t grains;
	size_t bytes; /* of the block; 0: free */
};

struct loam__large_window loam__large;
struct loam__mutex loam__large_lock;
static struct span *first;
static struct span **table; /* by grain: the span that begins there, or NULL */
static struct loam__large_stat stats;

static size_t pages(size_t bytes)
{
	return (bytes + LOAM_PAGE_SIZE - 1) & ~(LOAM_PAGE_SIZE - 1);
}

static size_t grains(size_t bytes)
{
	return (bytes + GRAIN - 1) / GRAIN;
}

static struct span **entry(const char *base)
{
	return &table[(size_t)(base - loam__large.base) / GRAIN];
}

/**
 * Reserve the window: four times the machine's memory, at least 4 GiB: room for what the system would grant, with gaps. Not
 * more than is useful, because tools that shadow addresses (memcheck) pay for every 64 KiB of it.
 */
int loam__large_boot(uint64_t ram)
{
	uint64_t bytes = ram * 4;
	char *at;

	bytes = bytes < LEAST ? LEAST : bytes > MOST ? MOST : bytes;
	bytes &= ~(uint64_t)(HUGE - 1);
	at = mmap(NULL, bytes + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	/* A system with little address space to give may still have some. */
	while (at == MAP_FAILED && bytes > LEAST) {
		bytes /= 2;
		at = mmap(NULL, bytes + HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	}
	if (at == MAP_FAILED)
		return -ENOMEM;
	loam__large.base = at;
	loam__large.bytes = bytes + HUGE;
	return 0;
}

void loam__large_halt(void)
{
	if (loam__large.base)
		munmap(loam__large.base, loam__large.bytes);
	if (table)
		munmap(table, loam__large.bytes / GRAIN * sizeof(*table));
	while (first) {
		struct span *span = first;

		first = span->next;
		loam__meta_free(NULL, span, sizeof(*span));
	}
	table = NULL;
	memset(&stats, 0, sizeof(stats));
	memset(&loam__large, 0, sizeof(loam__large));
}

/* ---- spans: under the lock ---- */

static bool set_up(void)
{
	size_t bytes = loam__large.bytes / GRAIN * sizeof(*table);
	void *at;

	if (table)
		return true;
	at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	first = at == MAP_FAILED ? NULL : loam__meta_alloc(NULL, sizeof(*first), 0);
	if (!first)
		return false;
	table = at;
	first->base = (char *)(((uintptr_t)loam__large.base + HUGE - 1) & ~(HUGE - 1));
	first->grains = (size_t)(loam__large.base + loam__large.bytes - first->base) / GRAIN;
	return true;
}

/* Cut @span after @n grains; the rest becomes a free span behind it. */
static bool split(struct span *span, size_t n)
{
	struct span *rest;

	if (span->grains == n)
		return true;
	rest = loam__meta_alloc(NULL, sizeof(*rest), 0);
	if (!rest)
		return false;
	rest->base = span->base + n * GRAIN;
	rest->grains = span->grains - n;
	rest->prev = span;
	rest->next = span->next;
	if (rest->next)
		rest->next->prev = rest;
	span->next = rest;
	span->grains = n;
	return true;
}

static void absorb_next(struct span *span)
{
	struct span *next = span->next;

	span->grains += next->grains;
	span->next = next->next;
	if (span->next)
		span->next->prev = span;
	loam__meta_free(NULL, next, sizeof(*next));
}

static void merge(struct span *span)
{
	if (span->next && !span->next->bytes)
		absorb_next(span);
	if (span->prev && !span->prev->bytes)
		absorb_next(span->prev);
}

/* Address space for @bytes at a multiple of @align; the span is marked taken, nothing is mapped. */
static struct span *take(size_t bytes, size_t align)
{
	size_t n = grains(bytes);

	for (struct span *span = first; span; span = span->next) {
		char *base = (char *)(((uintptr_t)span->base + align - 1) & ~(align - 1));
		size_t skip = (size_t)(base - span->base) / GRAIN;

		if (span->bytes || span->grains < skip + n)
			continue;
		if (skip && !split(span, skip))
			return NULL;
		span = skip ? span->next : span;
		if (!split(span, n)) {
			merge(span);
			return NULL;
		}
		span->bytes = bytes;
		*entry(span->base) = span;
		return span;
	}
	return NULL;
}

static void untake(struct span *span)
{
	*entry(span->base) = NULL;
	span->bytes = 0;
	merge(span);
}

static struct span *find(const void *ptr)
{
	size_t off = (size_t)((const char *)ptr - loam__large.base);

	if (!table || !loam__large_has(ptr) || (uintptr_t)ptr % GRAIN)
		return NULL;
	return table[off / GRAIN];
}

static bool back(char *at, size_t bytes)
{
	return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED;
}

static void unback(char *at, size_t bytes)
{
	mmap(at, bytes, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* ---- the calls ---- */

void *loam__large_alloc(size_t bytes, size_t align)
{
	struct span *span = NULL;

	if (!bytes || bytes > loam__large.bytes - HUGE)
		return NULL;
	bytes = pages(bytes);
	align = align > GRAIN ? align : GRAIN;
	if (bytes >= HUGE && align < HUGE)
		align = HUGE;
	loam__lock(&loam__large_lock);
	if (set_up())
		span = take(bytes, align);
	if (span && !back(span->base, bytes)) {
		untake(span);
		span = NULL;
	}
	if (span) {
		stats.blocks++;
		stats.allocs++;
		stats.bytes += bytes;
	}
	loam__unlock(&loam__large_lock);
	return span ? span->base : NULL;
}

bool loam__large_free(void *ptr)
{
	struct span *span;

	loam__lock(&loam__large_lock);
	span = find(ptr);
	if (span) {
		stats.blocks--;
		stats.frees++;
		stats.bytes -= span->bytes;
		unback(span->base, span->bytes);
		untake(span);
	}
	loam__unlock(&loam__large_lock);
	return span != NULL;
}

size_t loam__large_size(const void *ptr)
{
	/* No lock: whoever holds the block keeps its record in place. */
	const struct span *span = find(ptr);

	return span ? span->bytes : 0;
}

/* In place: give back the end, or take free space behind. */
static bool resize_here(struct span *span, size_t bytes)
{
	size_t have = span->grains, n = grains(bytes);

	if (n > have) {
		if (!span->next || span->next->bytes || have + span->next->grains < n)
			return false;
		absorb_next(span);
		if (!split(span, n)) {
			split(span, have);
			return false;
		}
	}
	if (bytes > span->bytes && !back(span->base + span->bytes, bytes - span->bytes)) {
		if (n > have && split(span, have))
			merge(span->next);
		return false;
	}
	if (bytes < span->bytes)
		unback(span->base + bytes, span->bytes - bytes);
	span->bytes = bytes;
	if (n < have && split(span, n))
		merge(span->next);
	return true;
}

/* Only ever to a larger block: a smaller one stays where it is. */
static struct span *resize_moving(struct span *span, size_t bytes)
{
	size_t old = span->bytes;
	char *from = span->base;
	struct span *to = take(bytes, bytes >= HUGE ? HUGE : GRAIN);

	if (!to)
		return NULL;
	/* What is new is mapped first: when the pages have moved nothing can fail any more. */
	if (!back(to->base + old, bytes - old) ||
	    mremap(from, old, old, MREMAP_MAYMOVE | MREMAP_FIXED, to->base) == MAP_FAILED) {
		unback(to->base, bytes);
		untake(to);
		return NULL;
	}
	/* The old place is a hole now; it must not be found by anybody else's mmap. */
	unback(from, old);
	untake(span);
	return to;
}

void *loam__large_resize(void *ptr, size_t bytes)
{
	struct span *span, *now = NULL;
	size_t old = 0;

	if (!bytes || bytes > loam__large.bytes - HUGE)
		return NULL;
	bytes = pages(bytes);
	loam__lock(&loam__large_lock);
	span = find(ptr);
	if (span) {
		old = span->bytes;
		now = resize_here(span, bytes) ? span : resize_moving(span, bytes);
	}
	if (now)
		stats.bytes += bytes - old;
	ptr = now ? now->base : NULL;
	loam__unlock(&loam__large_lock);
	return ptr;
}

void loam__large_stat(struct loam__large_stat *stat)
{
	loam__lock(&loam__large_lock);
	*stat = stats;
	loam__unlock(&loam__large_lock);
}
