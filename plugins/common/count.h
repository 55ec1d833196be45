/* SPDX-License-Identifier: MIT */
/* count.h: counters that are read at any time. Relaxed: readers want a recent value, and order nothing by it. */
#ifndef LOAM_COUNT_H
#define LOAM_COUNT_H

#include <stdint.h>

/** Add to a counter with one writer, the caller: a plain add that readers see whole. */
static inline void count_own(uint64_t *counter, uint64_t n)
{
#if defined(__x86_64__)
	/* The same in one instruction, which the compiler does not make of the two. */
	__asm__("addq %1, %0" : "+m"(*counter) : "er"(n) : "cc");
#else
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
#endif
}

/** One more, likewise. */
static inline void count_one(uint64_t *counter)
{
	count_own(counter, 1);
}

/** Add to a counter with many writers. */
static inline void count_add(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/** The counter's value, whoever writes it. */
static inline uint64_t count_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

#endif
