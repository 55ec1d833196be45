/* SPDX-License-Identifier: MIT */
/* bench-pool.h: the loop of bench-pool, for both sides; their functions are inlined in it. */
#ifndef LOAM_BENCH_POOL_H
#define LOAM_BENCH_POOL_H

#include <time.h>

#define BENCH_KEEP 128
#define BENCH_BULK 32
#define BENCH_TURNS 10000

typedef void (*bench_move)(void *pool, unsigned n, void **elements);

/* Nothing of one move is known in the next, as little as in a program that does something between them. */
static inline __attribute__((always_inline)) void bench_moves(void *pool, unsigned batch, bench_move move,
							      void **elements)
{
	for (unsigned i = 0; i < BENCH_KEEP; i += batch) {
		move(pool, batch, elements + i);
		__asm__ volatile("" ::: "memory");
	}
}

/** Nanoseconds for a get and a put of an element, @batch at a time. */
static inline __attribute__((always_inline)) double bench_loop(void *pool, unsigned batch, bench_move get,
							       bench_move put)
{
	static void *elements[BENCH_KEEP];
	struct timespec start, end;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (unsigned turn = 0; turn < BENCH_TURNS; turn++) {
		bench_moves(pool, batch, get, elements);
		bench_moves(pool, batch, put, elements);
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	return ((double)(end.tv_sec - start.tv_sec) * 1e9 + (double)(end.tv_nsec - start.tv_nsec)) /
	       ((double)BENCH_KEEP * BENCH_TURNS);
}

/* ---- bench-pool-kernel.c ---- */

struct loam_pool_source;

/** A cache of elements of 64 bytes. */
void kernel_source(struct loam_pool_source *source);
double kernel_single(void *pool);
double kernel_bulk(void *pool);

#endif
