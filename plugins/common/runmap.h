/* SPDX-License-Identifier: MIT */
/*
 * runmap.h: a bit for each unit, set where it is taken; runs of free units by first fit behind a hint. Whole words of taken units
 * cost one look for 64 of them. No lock.
 */
#ifndef LOAM_PLUGINS_RUNMAP_H
#define LOAM_PLUGINS_RUNMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUNMAP_WORDS(n) (((n) + 63) / 64)
#define RUNMAP_NONE ((size_t)-1)

/* The first unit at or behind @from whose bit is @taken, or @end. */
static inline size_t runmap_next(const uint64_t *map, size_t from, size_t end, bool taken)
{
	while (from < end) {
		uint64_t word = (taken ? map[from / 64] : ~map[from / 64]) >> from % 64;

		if (word) {
			from += (size_t)__builtin_ctzl(word);
			return from < end ? from : end;
		}
		from = (from / 64 + 1) * 64;
	}
	return end;
}

static inline bool runmap_taken(const uint64_t *map, size_t at)
{
	return map[at / 64] >> at % 64 & 1;
}

static inline void runmap_set(uint64_t *map, size_t at, size_t n, bool taken)
{
	while (n) {
		size_t here = 64 - at % 64 < n ? 64 - at % 64 : n;
		uint64_t mask = (here == 64 ? ~0ull : (1ull << here) - 1) << at % 64;

		map[at / 64] = taken ? map[at / 64] | mask : map[at / 64] & ~mask;
		at += here;
		n -= here;
	}
}

/*
 * The first run of @n free units in [@from, @end) whose number plus @phase is a multiple of @align, a power of two; RUNMAP_NONE.
 * @phase: where unit 0 is, when alignment counts from somewhere else.
 */
static inline size_t runmap_find_at(const uint64_t *map, size_t from, size_t end, size_t n, size_t align, size_t phase)
{
	for (;;) {
		size_t stop;

		from = runmap_next(map, from, end, false);
		from += -(from + phase) & (align - 1);
		if (from > end || n > end - from)
			return RUNMAP_NONE;
		stop = runmap_next(map, from, from + n, true);
		if (stop == from + n)
			return from;
		from = stop + 1;
	}
}

/* The same where unit 0 is aligned to everything. */
static inline size_t runmap_find(const uint64_t *map, size_t from, size_t end, size_t n, size_t align)
{
	return runmap_find_at(map, from, end, n, align, 0);
}

#endif
