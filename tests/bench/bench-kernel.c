/* SPDX-License-Identifier: MIT */
/*
 * bench-kernel.c: a module that measures what the kernel's fast paths cost beside the plainest thing that does the same, in turns:
 *   this_cpu_inc                 a thread-local increment
 *   alloc_page and __free_page   a pair of a free list behind a table of functions
 *   kmap and kunmap              mmap and munmap of a page, when the page was mapped a moment ago
 *   kmalloc and kfree            the plugin's own alloc and free through its link (only counted: see loops=)
 *   mempool_alloc and _free      on stacks that the pool publishes (only counted; measured in bench-pool)
 * The medians of rounds=N turns and their ratios go to the log. what=NAME runs loops=N of one side alone, for callgrind.
 */
#define _GNU_SOURCE
#include <linux/errno.h>
#include <linux/highmem.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/string.h>

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int rounds = 41, loops = 200000;
static char *what = "";
module_param(rounds, int, 0);
module_param(loops, int, 0);
module_param(what, charp, 0);

static DEFINE_PER_CPU(unsigned int, counter);
static __thread unsigned int local_counter __attribute__((tls_model("initial-exec")));

/* ---- the plainest thing ---- */

struct list_ops {
	void *(*take)(void *inst);
	void (*give)(void *inst, void *item);
};
struct list {
	void *first;
};

static __attribute__((noinline)) void *list_take(void *inst)
{
	struct list *list = inst;
	void *item = list->first;

	list->first = *(void **)item;
	return item;
}

static __attribute__((noinline)) void list_give(void *inst, void *item)
{
	struct list *list = inst;

	*(void **)item = list->first;
	list->first = item;
}

static const struct list_ops list_table = { list_take, list_give };
static const struct list_ops *volatile list_ops = &list_table;
static struct list list;
static void *items[64];

/* ---- loops ---- */

static void loop_this_cpu(int n)
{
	while (n--)
		this_cpu_inc(counter);
}

static void loop_thread_local(int n)
{
	while (n--) {
		local_counter++;
		__asm__ volatile("" ::: "memory");
	}
}

static void loop_page(int n)
{
	while (n--)
		__free_page(alloc_page(GFP_KERNEL));
}

static void loop_list(int n)
{
	while (n--) {
		const struct list_ops *ops = list_ops;

		ops->give(&list, ops->take(&list));
	}
}

static struct page *page;

static void loop_kmap(int n)
{
	while (n--) {
		*(volatile char *)kmap(page) = 1;
		kunmap(page);
	}
}

static int memfd;

static void loop_mmap(int n)
{
	while (n--) {
		char *at = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);

		*(volatile char *)at = 1;
		munmap(at, PAGE_SIZE);
	}
}

/* Not inlined: the counting begins and ends with it. */
static __attribute__((noinline)) void loop_kmalloc(int n)
{
	while (n--)
		kfree(kmalloc(64, GFP_KERNEL));
}

static mempool_t *pool;

static __attribute__((noinline)) void loop_mempool(int n)
{
	while (n--)
		mempool_free(mempool_alloc(pool, GFP_KERNEL), pool);
}

static void count_mempool(void)
{
	pool = mempool_create_kmalloc_pool(4, 64);
	/* The first one makes the stack. */
	mempool_free(mempool_alloc(pool, GFP_KERNEL), pool);
	loop_mempool(loops);
	mempool_destroy(pool);
}

static const struct {
	const char *name, *of;
	void (*ours)(int n), (*plain)(int n);
	int divide;
} pairs[] = {
	{ "this_cpu_inc", "a thread-local increment", loop_this_cpu, loop_thread_local, 1 },
	{ "alloc_page and __free_page", "a list's pair behind a table", loop_page, loop_list, 1 },
	{ "kmap and kunmap", "mmap and munmap", loop_kmap, loop_mmap, 100 },
};

/* ---- measuring ---- */

static double timed(void (*loop)(int n), int n)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	loop(n);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) / n;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *values)
{
	qsort(values, (size_t)rounds, sizeof(*values), by_value);
	return values[rounds / 2];
}

static void measure(unsigned int i)
{
	double *ours = calloc((size_t)rounds, sizeof(*ours)), *plain = calloc((size_t)rounds, sizeof(*plain));
	double *ratio = calloc((size_t)rounds, sizeof(*ratio));
	int n = loops / pairs[i].divide;

	for (int round = 0; ours && plain && ratio && round < rounds; round++) {
		ours[round] = timed(pairs[i].ours, n);
		plain[round] = timed(pairs[i].plain, n);
		ratio[round] = ours[round] / plain[round];
	}
	if (ours && plain && ratio)
		pr_info("%s: %d.%02d of %s (%d.%02d and %d.%02d ns)\n", pairs[i].name, (int)(median(ratio)),
			(int)(median(ratio) * 100) % 100, pairs[i].of, (int)median(ours),
			(int)(median(ours) * 100) % 100, (int)median(plain), (int)(median(plain) * 100) % 100);
	free(ours);
	free(plain);
	free(ratio);
}

static int __init bench_init(void)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(items); i++)
		list_give(&list, items + i);
	page = alloc_page(GFP_HIGHUSER);
	memfd = memfd_create("bench", 0);
	if (!page || memfd < 0 || ftruncate(memfd, PAGE_SIZE))
		return -ENOMEM;
	if (!strcmp(what, "kmalloc"))
		loop_kmalloc(loops);
	if (!strcmp(what, "mempool"))
		count_mempool();
	for (i = 0; i < ARRAY_SIZE(pairs) && !*what; i++)
		measure(i);
	close(memfd);
	__free_page(page);
	return 0;
}

static void __exit bench_exit(void)
{
}

module_init(bench_init);
module_exit(bench_exit);
MODULE_LICENSE("GPL");
