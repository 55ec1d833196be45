/* SPDX-License-Identifier: MIT */
/*
 * bench-malloc.c: malloc as a program sees it, whichever library serves it.
 *
 *     pair SIZE    malloc and free of one block, over and over
 *     both SIZE    pair on two threads, half of the count each
 *     random SIZE  a working set of 1000 blocks, one at random replaced each time
 *     remote SIZE  one thread allocates, another one frees; batches of 256 through a ring
 *     all          pair for 16 to 1024, random 64 and 1024, remote 64 and 1024
 *
 * Threads are pinned: to CPU 0, and the freeing one to CPU 1. Each line is: mode, size, the best nanoseconds for a malloc and
 * a free together out of five rounds. Compare two libraries by running this in turns; tests/bench/compare does.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 5
#define SLOTS 1000
#define BATCH 256
#define RING 8

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	/* On a machine with one CPU both threads share it. */
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* Touch the block, so that no compiler can do without it. */
static inline void use(void *ptr)
{
	*(volatile char *)ptr = 1;
}

static double pair(size_t size, long n)
{
	double start = now();

	for (long i = 0; i < n; i++) {
		void *ptr = malloc(size);

		use(ptr);
		free(ptr);
	}
	return (now() - start) / (double)n;
}

struct half {
	size_t size;
	long n;
};

static void *second(void *arg)
{
	const struct half *half = arg;

	pin(1);
	pair(half->size, half->n);
	return NULL;
}

/* Half of the pairs on each of two threads: half of the time, when they do not get in each other's way. */
static double both(size_t size, long n)
{
	struct half half = { size, n / 2 };
	double start = now();
	pthread_t thread;

	pthread_create(&thread, NULL, second, &half);
	pair(size, n / 2);
	pthread_join(thread, NULL);
	return (now() - start) / (double)n;
}

static double replace(size_t size, long n)
{
	static void *slots[SLOTS];
	uint32_t x = 1;
	double start;

	for (int i = 0; i < SLOTS; i++)
		slots[i] = malloc(size);
	start = now();
	for (long i = 0; i < n; i++) {
		x = x * 1664525u + 1013904223u;
		void **slot = &slots[(x >> 10) % SLOTS];

		free(*slot);
		*slot = malloc(size);
		use(*slot);
	}
	start = (now() - start) / (double)n;
	for (int i = 0; i < SLOTS; i++)
		free(slots[i]);
	return start;
}

/* A ring of batches between the two threads. Head and tail: release when a batch is ready, acquire when it is taken. */
static void *ring[RING][BATCH];
static unsigned long head __attribute__((aligned(64))), tail __attribute__((aligned(64)));
static long batches;

static void *freeing(void *arg)
{
	(void)arg;
	pin(1);
	for (long i = 0; i < batches; i++) {
		while (__atomic_load_n(&head, __ATOMIC_ACQUIRE) == (unsigned long)i)
			;
		for (int b = 0; b < BATCH; b++)
			free(ring[i % RING][b]);
		__atomic_store_n(&tail, (unsigned long)i + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static double remote(size_t size, long n)
{
	pthread_t thread;
	double start;

	batches = n / BATCH;
	head = tail = 0;
	pthread_create(&thread, NULL, freeing, NULL);
	start = now();
	for (long i = 0; i < batches; i++) {
		while ((unsigned long)i - __atomic_load_n(&tail, __ATOMIC_ACQUIRE) == RING)
			;
		for (int b = 0; b < BATCH; b++) {
			ring[i % RING][b] = malloc(size);
			use(ring[i % RING][b]);
		}
		__atomic_store_n(&head, (unsigned long)i + 1, __ATOMIC_RELEASE);
	}
	pthread_join(thread, NULL);
	return (now() - start) / (double)(batches * BATCH);
}

static void run(const char *name, double (*mode)(size_t, long), size_t size, long n)
{
	double best = 1e9;

	mode(size, n / 10);
	for (int i = 0; i < ROUNDS; i++) {
		double t = mode(size, n);

		best = t < best ? t : best;
	}
	printf("%s %zu %.2f\n", name, size, best);
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 16, 32, 64, 128, 256, 512, 1024 };
	const char *mode = argc > 1 ? argv[1] : "all";
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
	long n = argc > 3 ? strtol(argv[3], NULL, 10) : 2000000;

	pin(0);
	if (!strcmp(mode, "all")) {
		for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++)
			run("pair", pair, sizes[i], n);
		run("random", replace, 64, n);
		run("random", replace, 1024, n);
		run("remote", remote, 64, n);
		run("remote", remote, 1024, n);
	} else if (!strcmp(mode, "pair")) {
		run(mode, pair, size, n);
	} else if (!strcmp(mode, "both")) {
		run(mode, both, size, n);
	} else if (!strcmp(mode, "random")) {
		run(mode, replace, size, n);
	} else if (!strcmp(mode, "remote")) {
		run(mode, remote, size, n);
	} else {
		fprintf(stderr, "usage: bench-malloc pair|both|random|remote|all [SIZE [COUNT]]\n");
		return 2;
	}
	return 0;
}
