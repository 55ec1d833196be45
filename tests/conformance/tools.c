/* SPDX-License-Identifier: MIT */
/* tools.c: random numbers, patterns in memory, forks of a test. */
#include "child.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

struct rng test_rng;

unsigned effort(unsigned quick)
{
	return quick * job.effort;
}

/* ---- random numbers: SplitMix64 ---- */

uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* The upper half of a product: no division, and a bias that nobody sees at these sizes. */
uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return (uint64_t)(((unsigned __int128)rng_next(rng) * n) >> 64);
}

size_t rng_size(struct rng *rng, size_t max)
{
	unsigned bits = 64 - (unsigned)__builtin_clzl(max);
	size_t low = 1ul << rng_below(rng, bits), size = low + rng_below(rng, low);

	return size < max ? size : max;
}

/* ---- patterns: byte i is a mix of the seed and i / 8, so that a shifted or repeated copy is not taken for the right one ---- */

static uint64_t word_of(uint64_t seed, size_t i)
{
	uint64_t z = (seed + i) * 0x9e3779b97f4a7c15u;

	return (z ^ (z >> 32)) | 0x0101010101010101u; /* no byte is zero */
}

void pattern_write(void *ptr, size_t bytes, uint64_t seed)
{
	char *at = ptr;

	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t word = word_of(seed, i / 8);

		memcpy(at + i, &word, bytes - i < 8 ? bytes - i : 8);
	}
}

bool pattern_check(const void *ptr, size_t bytes, uint64_t seed, size_t *at)
{
	const char *from = ptr;

	for (size_t i = 0; i < bytes; i += 8) {
		uint64_t word = word_of(seed, i / 8);
		size_t n = bytes - i < 8 ? bytes - i : 8;

		if (loam_likely(!memcmp(from + i, &word, n)))
			continue;
		while (at && !memcmp(from + i, (const char *)&word + i % 8, 1))
			i++;
		if (at)
			*at = i;
		return false;
	}
	return true;
}

/* A window over frames that have no address. */
static void *frame_window(struct page *page, unsigned order, bool *mapped)
{
	void *at = loam_page_ptr(&loam__machine.map, page);

	*mapped = !at;
	if (at)
		return at;
	at = mmap(NULL, LOAM_PAGE_SIZE << order, PROT_READ | PROT_WRITE, MAP_SHARED, loam__machine.memfd,
		  (off_t)(loam_page_pfn(&loam__machine.map, page) << LOAM_PAGE_SHIFT));
	if (at == MAP_FAILED)
		trouble("no window over a frame of high memory");
	return at;
}

void frame_write(struct page *page, unsigned order, uint64_t seed)
{
	bool mapped;
	void *at = frame_window(page, order, &mapped);

	pattern_write(at, LOAM_PAGE_SIZE << order, seed);
	if (mapped)
		munmap(at, LOAM_PAGE_SIZE << order);
}

bool frame_check(struct page *page, unsigned order, uint64_t seed)
{
	bool mapped, good;
	void *at = frame_window(page, order, &mapped);

	good = pattern_check(at, LOAM_PAGE_SIZE << order, seed, NULL);
	if (mapped)
		munmap(at, LOAM_PAGE_SIZE << order);
	return good;
}

/* ---- fork ---- */

bool fork_run(void (*fn)(void))
{
	int status = -1;
	pid_t pid;

	if (loam__machine.backing == LOAM_BACKING_MEMFD)
		skip("a machine that maps frames ends in a child of fork");
	own_fork = true;
	pid = fork();
	own_fork = false;
	if (pid < 0)
		trouble("no process for a fork");
	if (!pid) {
		fn();
		_exit(0);
	}
	while (waitpid(pid, &status, 0) < 0)
		;
	return WIFEXITED(status) && !WEXITSTATUS(status);
}
