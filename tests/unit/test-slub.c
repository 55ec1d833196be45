/* SPDX-License-Identifier: MIT */
/* test-slub.c: the plugin slub on a real machine with buddy below it. */
#include "machine-fixture.h"

#include <errno.h>
#include <loam/objects.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLUGIN "slub"
#define MACHINE(memory, options)                                                                                       \
	"[machine]\nmemory = " memory "\nbacking = anon\nseed = 7\n"                                                   \
	"[frames]\nplugin = buddy\n"                                                                                   \
	"[objects]\nplugin = " PLUGIN "\npages = frames\n" options "\n"                                                \
	"[kernel]\npages = frames\nobjects = objects\nheap = objects\n"

/* Check writes a message for every assertion, also one that holds: too slow for each byte of a block. */
#define must(cond)                                                                                                     \
	do {                                                                                                           \
		if (!(cond))                                                                                           \
			ck_abort_msg("%s", #cond);                                                                     \
	} while (0)

static struct loam_self *objects;
static const struct loam_heap_ops *heap;

static void boot(const char *text)
{
	objects = fixture_boot(text, "objects");
	heap = objects->links[LOAM_ROLE_HEAP].ops;
}

static void *take(size_t bytes, size_t align)
{
	return heap->alloc(objects->links[LOAM_ROLE_HEAP].inst, bytes, align, GFP_KERNEL | __GFP_NOWARN);
}

static struct page *page_of(const void *ptr)
{
	return loam_ptr_page(&loam__machine.map, ptr);
}

static void give(void *ptr)
{
	heap->free(objects->links[LOAM_ROLE_HEAP].inst, ptr, page_of(ptr));
}

static size_t usable(void *ptr)
{
	return heap->usable_size(objects->links[LOAM_ROLE_HEAP].inst, ptr, page_of(ptr));
}

static struct loam_cache *cache_new(struct loam_cache_args args)
{
	struct loam_port port = { &objects->links[LOAM_ROLE_OBJECTS] };

	args.size = sizeof(args);
	return loam__machine.host.cache_create(&port, &args);
}

static int cache_end(struct loam_cache *cache)
{
	return loam__machine.host.cache_destroy(cache);
}

static void no_defect(void *arg, const char *text)
{
	(void)arg;
	ck_abort_msg("check: %s", text);
}

static void count_defect(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
	++*(int *)arg;
}

static int count_live(void *arg, const struct loam_span *span)
{
	if (span->kind == LOAM_SPAN_LIVE)
		++*(uint64_t *)arg;
	return 0;
}

/* check finds nothing, and walk sees as many live blocks as the counters. */
static void assert_sound(void)
{
	uint64_t live = 0;

	loam__quiesce();
	objects->plugin->desc.check(objects->inst, no_defect, NULL);
	objects->plugin->desc.walk(objects->inst, count_live, &live);
	loam__resume();
	ck_assert_uint_eq(live, fixture_stat(objects).live_blocks);
}

#include "debug-reports.h"

#include "cache-tests.h"

START_TEST(kernel_classes_are_kmallocs)
{
	static const struct {
		size_t ask, get;
	} cases[] = {
		{ 1, 8 },     { 8, 8 },     { 9, 16 },      { 33, 64 },      { 65, 96 },       { 97, 128 },
		{ 129, 192 }, { 193, 256 }, { 4097, 8192 }, { 8193, 16384 }, { 20000, 32768 }, { 4u << 20, 4u << 20 },
	};

	boot(MACHINE("64M", "classes = kernel"));
	for (size_t i = 0; i < LOAM_LEN(cases); i++) {
		void *ptr = take(cases[i].ask, 8);

		ck_assert_ptr_nonnull(ptr);
		ck_assert_uint_eq(usable(ptr), cases[i].get);
		give(ptr);
	}
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(powers_of_two_are_naturally_aligned)
{
	boot(MACHINE("64M", "classes = kernel"));
	for (size_t size = 8; size <= 4u << 20; size *= 2) {
		void *a = take(size, 8), *b = take(size, 8);

		ck_assert_uint_eq((uintptr_t)a % size, 0);
		ck_assert_uint_eq((uintptr_t)b % size, 0);
		give(a);
		give(b);
	}
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(fine_classes_waste_at_most_an_eighth)
{
	boot(MACHINE("64M", "classes = fine"));
	for (size_t size = 129; size < 300000; size += 1 + size / 50) {
		void *ptr = take(size, 16);

		ck_assert_ptr_nonnull(ptr);
		ck_assert_uint_ge(usable(ptr), size);
		ck_assert_msg((usable(ptr) - size) * 8 <= usable(ptr), "%zu bytes take %zu", size, usable(ptr));
		ck_assert_uint_eq((uintptr_t)ptr % 16, 0);
		give(ptr);
	}
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(every_alignment_up_to_the_largest_block)
{
	boot(MACHINE("64M", "classes = fine"));
	for (size_t align = 16; align <= 1u << 20; align *= 2)
		for (size_t size = 1; size <= 100000; size = size * 3 + 1) {
			void *ptr = take(size, align);

			ck_assert_ptr_nonnull(ptr);
			ck_assert_uint_eq((uintptr_t)ptr % align, 0);
			ck_assert_uint_ge(usable(ptr), size);
			memset(ptr, 0xee, size);
			give(ptr);
		}
	assert_sound();
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static const char *const settings[] = {
	MACHINE("96M", "classes = kernel"),
	MACHINE("96M", "classes = fine"),
	MACHINE("96M", "freelist_random = on"),
	MACHINE("96M", "classes = fine\nfreelist_hardened = on\nfreelist_random = on"),
};

/* A block is filled with a byte of its own; whoever shares memory with it breaks it. */
struct block {
	unsigned char *ptr, byte;
	size_t size;
};

static void block_drop(struct block *block)
{
	for (size_t i = 0; i < block->size; i++)
		must(block->ptr[i] == block->byte);
	give(block->ptr);
	block->ptr = NULL;
}

static void churn(unsigned *seed, struct block *blocks, size_t n, int rounds)
{
	while (rounds--) {
		struct block *block = &blocks[(size_t)rand_r(seed) % n];

		if (block->ptr)
			block_drop(block);
		block->size = 1 + (size_t)rand_r(seed) % (rand_r(seed) % 16 ? 600 : 60000);
		block->byte = (unsigned char)rand_r(seed);
		block->ptr = take(block->size, 16);
		must(block->ptr);
		memset(block->ptr, block->byte, block->size);
	}
}

START_TEST(contents_survive_random_use)
{
	static struct block blocks[500];
	unsigned seed = 1;

	boot(settings[_i]);
	churn(&seed, blocks, LOAM_LEN(blocks), 20000);
	assert_sound();
	for (size_t i = 0; i < LOAM_LEN(blocks); i++)
		if (blocks[i].ptr)
			block_drop(&blocks[i]);
	assert_sound();
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

#define THREADS 4
static struct block shared[64];
static pthread_mutex_t shared_lock = PTHREAD_MUTEX_INITIALIZER;

/* Blocks of its own, and some that go through a table where any thread may free them. */
static void *worker(void *arg)
{
	struct block own[100] = { 0 };
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int round = 0; round < 300; round++) {
		struct block *mine = &own[(unsigned)rand_r(&seed) % LOAM_LEN(own)], swap;
		struct block *other = &shared[(unsigned)rand_r(&seed) % LOAM_LEN(shared)];

		churn(&seed, own, LOAM_LEN(own), 10);
		pthread_mutex_lock(&shared_lock);
		swap = *other;
		*other = *mine;
		*mine = swap;
		pthread_mutex_unlock(&shared_lock);
	}
	for (size_t i = 0; i < LOAM_LEN(own); i++)
		if (own[i].ptr)
			block_drop(&own[i]);
	return NULL;
}

START_TEST(threads_free_each_others_blocks)
{
	pthread_t threads[THREADS];

	boot(settings[_i]);
	for (int generation = 0; generation < 3; generation++) {
		for (uintptr_t i = 0; i < THREADS; i++)
			pthread_create(&threads[i], NULL, worker, (void *)(i + 1));
		for (int i = 0; i < THREADS; i++)
			pthread_join(threads[i], NULL);
		assert_sound();
	}
	for (size_t i = 0; i < LOAM_LEN(shared); i++)
		if (shared[i].ptr)
			block_drop(&shared[i]);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static void *leave_blocks(void *arg)
{
	void **out = arg;

	for (int i = 0; i < 2000; i++)
		out[i] = take(48, 16);
	return NULL;
}

START_TEST(what_an_ended_thread_left_can_be_freed_and_used_again)
{
	static void *blocks[2000];
	pthread_t thread;
	uint64_t footprint;

	boot(MACHINE("64M", "classes = kernel"));
	pthread_create(&thread, NULL, leave_blocks, blocks);
	pthread_join(thread, NULL);
	footprint = fixture_stat(objects).footprint;
	for (int i = 0; i < 2000; i += 2)
		give(blocks[i]);
	for (int i = 0; i < 2000; i += 2)
		blocks[i] = take(48, 16);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 2000);
	ck_assert_uint_eq(fixture_stat(objects).footprint, footprint);
	assert_sound();
	for (int i = 0; i < 2000; i++)
		give(blocks[i]);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static int constructed, destroyed;

static void construct(void *object)
{
	constructed++;
	memset(object, 0x11, 100);
}

static void destruct(void *object)
{
	destroyed++;
	(void)object;
}

START_TEST(objects_stay_constructed_while_they_are_free)
{
	struct loam_cache_args args = { .name = "built", .object_size = 100, .ctor = construct, .dtor = destruct };
	struct loam_cache *cache;
	unsigned char *kept[50];
	int made;

	boot(settings[_i]);
	cache = cache_new(args);
	ck_assert_ptr_nonnull(cache);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 50; i++) {
			kept[i] = loam_cache_alloc(cache, GFP_KERNEL);
			for (int b = 0; b < 100; b++)
				must(kept[i][b] == 0x11);
		}
		if (!round)
			made = constructed;
		for (int i = 0; i < 50; i++)
			loam_cache_free(cache, kept[i]);
	}
	ck_assert_int_eq(constructed, made);
	ck_assert_int_eq(cache_end(cache), 0);
	ck_assert_int_eq(destroyed, constructed);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_cache_with_live_objects_is_not_destroyed)
{
	struct loam_cache_args args = { .name = "busy", .object_size = 64 };
	struct loam_cache *cache;
	void *object;

	boot(MACHINE("32M", ""));
	cache = cache_new(args);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	ck_assert_int_eq(cache_end(cache), -EBUSY);
	loam_cache_free(cache, object);
	ck_assert_int_eq(cache_end(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(unknown_flags_and_sizes_are_refused)
{
	static const struct loam_cache_args bad[] = {
		{ .name = "x", .object_size = 0 },
		{ .name = "x", .object_size = 64, .align = 48 },
		{ .name = "x", .object_size = 64, .flags = 1u << 30 },
		{ .name = "x", .object_size = 64u << 20 },
	};

	boot(MACHINE("32M", ""));
	for (size_t i = 0; i < LOAM_LEN(bad); i++)
		ck_assert_ptr_null(cache_new(bad[i]));
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(cache_lines_are_respected)
{
	struct loam_cache_args args = { .name = "line", .object_size = 40, .flags = SLAB_HWCACHE_ALIGN };
	struct loam_cache *cache;
	void *a, *b;

	boot(MACHINE("32M", ""));
	cache = cache_new(args);
	a = loam_cache_alloc(cache, GFP_KERNEL);
	b = loam_cache_alloc(cache, GFP_KERNEL);
	ck_assert_uint_eq((uintptr_t)a % 64, 0);
	ck_assert_uint_eq((uintptr_t)b % 64, 0);
	loam_cache_free(cache, a);
	loam_cache_free(cache, b);
	ck_assert_int_eq(cache_end(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static uint64_t reports(enum loam_report_kind kind)
{
	return objects->reports[kind];
}

START_TEST(red_zones_catch_a_byte_beyond_either_end)
{
	struct loam_cache_args args = { .name = "zoned", .object_size = 48, .flags = SLAB_RED_ZONE };
	struct loam_cache *cache;
	unsigned char *object;

	boot(MACHINE("32M", ""));
	cache = cache_new(args);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	object[48] = 0;
	loam_cache_free(cache, object);
	ck_assert_uint_eq(reports(LOAM_REPORT_CORRUPTION), 1);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	object[-1] = 0;
	loam_cache_free(cache, object);
	ck_assert_uint_eq(reports(LOAM_REPORT_CORRUPTION), 2);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	memset(object, 1, 48);
	loam_cache_free(cache, object);
	ck_assert_uint_eq(reports(LOAM_REPORT_CORRUPTION), 2);
	ck_assert_int_eq(cache_end(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(poison_catches_a_write_after_free)
{
	struct loam_cache_args args = { .name = "poisoned", .object_size = 64, .flags = SLAB_POISON };
	struct loam_cache *cache;
	unsigned char *object;

	boot(MACHINE("32M", ""));
	cache = cache_new(args);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	ck_assert_uint_eq(object[0], 0x6b);
	ck_assert_uint_eq(object[63], 0xa5);
	loam_cache_free(cache, object);
	object[10] = 9;
	ck_assert_ptr_eq(loam_cache_alloc(cache, GFP_KERNEL), object);
	ck_assert_uint_eq(reports(LOAM_REPORT_CORRUPTION), 1);
	loam_cache_free(cache, object);
	loam_cache_free(cache, object);
	ck_assert_uint_eq(reports(LOAM_REPORT_DOUBLE_FREE), 1);
	loam_cache_free(cache, object + 3);
	ck_assert_uint_eq(reports(LOAM_REPORT_BAD_FREE), 1);
	ck_assert_int_eq(cache_end(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(an_object_of_another_cache_is_reported_and_kept)
{
	struct loam_cache_args args = { .name = "one", .object_size = 64 };
	struct loam_cache *one, *two;
	void *object;

	boot(MACHINE("32M", ""));
	one = cache_new(args);
	args.name = "two";
	two = cache_new(args);
	object = loam_cache_alloc(one, GFP_KERNEL);
	loam_cache_free(two, object);
	ck_assert_uint_eq(reports(LOAM_REPORT_WRONG_CACHE), 1);
	ck_assert_int_eq(cache_end(one), -EBUSY);
	loam_cache_free(one, object);
	ck_assert_int_eq(cache_end(one), 0);
	ck_assert_int_eq(cache_end(two), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(hardened_lists_report_a_double_free)
{
	void *ptr;

	boot(MACHINE("32M", "freelist_hardened = on"));
	ptr = take(100, 8);
	give(ptr);
	fixture_listen();
	give(ptr);
	must_say(fixture_heard(), "%p: BUG kmalloc-128 (Not tainted): Object already free (loam", ptr);
	ck_assert_uint_eq(reports(LOAM_REPORT_DOUBLE_FREE), 1);
	ck_assert_ptr_ne(take(100, 8), take(100, 8));
	assert_sound();
}
END_TEST

static const char *const link_settings[] = { MACHINE("32M", ""), MACHINE("32M", "freelist_hardened = on") };

/* Three free objects of a debugged cache, the first one freed last; the link of one is broken. */
static void break_link(char *freed[3], unsigned broken, void *garbage)
{
	struct loam_cache_args args = { .name = "c", .object_size = 64, .flags = SLAB_CONSISTENCY_CHECKS };

	debug_cache = cache_new(args);
	for (unsigned i = 0; i < 3; i++)
		freed[i] = loam_cache_alloc(debug_cache, GFP_KERNEL);
	for (unsigned i = 3; i--;)
		loam_cache_free(debug_cache, freed[i]);
	memcpy(freed[broken], &garbage, sizeof(garbage));
	fixture_listen();
}

START_TEST(a_broken_link_is_found_when_its_object_is_taken)
{
	char *freed[3];
	const char *heard;

	boot(link_settings[_i]);
	break_link(freed, 0, (void *)0x4141414141414141);
	ck_assert_ptr_eq(loam_cache_alloc(debug_cache, GFP_KERNEL), freed[0]);
	heard = fixture_heard();
	must_say(heard, "%p: BUG c (Not tainted): Freepointer corrupt (loam", (void *)freed[0]);
	must_say(heard, "Object %p @offset=", (void *)freed[0]);
	must_say(heard, "FIX c: Freelist cleared\n");
	ck_assert_ptr_nonnull(loam_cache_alloc(debug_cache, GFP_KERNEL));
	ck_assert_uint_eq(check_all(), 0);
}
END_TEST

START_TEST(a_broken_link_is_found_when_another_object_is_freed)
{
	char *freed[3], *object;
	const char *heard;

	boot(link_settings[_i]);
	break_link(freed, 1, (void *)0x4141414141414141);
	object = loam_cache_alloc(debug_cache, GFP_KERNEL);
	ck_assert_ptr_eq(object, freed[0]);
	loam_cache_free(debug_cache, object);
	heard = fixture_heard();
	must_say(heard, "%p: BUG c (Not tainted): Freechain corrupt (loam", (void *)freed[1]);
	must_say(heard, "FIX c: Object count adjusted\n");
	for (unsigned i = 0; i < 2; i++)
		ck_assert_ptr_eq(loam_cache_alloc(debug_cache, GFP_KERNEL), freed[i]);
	ck_assert_uint_eq(check_all(), 0);
}
END_TEST

/* It was free when its list was cut: no list tells it any more, but that nothing is live does. */
START_TEST(a_lost_object_that_is_freed_again_is_found_out)
{
	char *freed[3];

	boot(link_settings[_i]);
	break_link(freed, 0, (void *)0x4141414141414141);
	loam_cache_free(debug_cache, loam_cache_alloc(debug_cache, GFP_KERNEL));
	loam_cache_free(debug_cache, freed[1]);
	must_say(fixture_heard(), "%p: BUG c (Not tainted): Object already free (loam", (void *)freed[1]);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 0);
	ck_assert_int_eq(cache_end(debug_cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* A link may also lead where a free object is, and so for ever round. */
START_TEST(a_link_that_leads_back_is_found)
{
	char *freed[3], *object;

	boot(MACHINE("32M", ""));
	break_link(freed, 2, NULL);
	memcpy(freed[2], &freed[1], sizeof(freed[1]));
	object = loam_cache_alloc(debug_cache, GFP_KERNEL);
	loam_cache_free(debug_cache, object);
	must_say(fixture_heard(), "BUG c (Not tainted): Freechain corrupt (loam");
	ck_assert_uint_eq(check_all(), 0);
	for (unsigned i = 0; i < 300; i++)
		ck_assert_ptr_nonnull(loam_cache_alloc(debug_cache, GFP_KERNEL));
	ck_assert_uint_eq(check_all(), 0);
}
END_TEST

/* How many of the first objects of a class follow their predecessor in memory. */
static int in_order(void)
{
	char *last = take(256, 8), *next;
	int n = 0;

	for (int i = 0; i < 12; i++, last = next) {
		next = take(256, 8);
		n += next == last + 256;
	}
	return n;
}

START_TEST(random_lists_hand_out_in_no_order)
{
	boot(MACHINE("32M", "freelist_random = off"));
	ck_assert_int_eq(in_order(), 12);
	fixture_halt();
	boot(MACHINE("32M", "freelist_random = on"));
	ck_assert_int_lt(in_order(), 12);
	fixture_halt();
}
END_TEST

START_TEST(exhausted_memory_fails_and_comes_back_whole)
{
	static void *blocks[1 << 16];
	size_t n = 0, again;

	boot(MACHINE("8M", "classes = fine"));
	while ((blocks[n] = take(1000, 16)))
		n++;
	ck_assert_uint_gt(n, 6000);
	ck_assert_uint_gt(fixture_stat(objects).failures, 0);
	for (size_t i = 0; i < n; i++)
		give(blocks[i]);
	for (again = 0; (blocks[again] = take(1000, 16)); again++)
		;
	ck_assert_uint_eq(again, n);
	for (size_t i = 0; i < again; i++)
		give(blocks[i]);
	assert_sound();
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(dma_requests_come_from_the_dma_zone)
{
	void *ptr;

	boot("[machine]\nmemory = 64M\nzones = DMA:16M NORMAL:*\n[frames]\nplugin = buddy\n"
	     "[objects]\nplugin = slub\npages = frames\n");
	ptr = heap->alloc(objects->links[LOAM_ROLE_HEAP].inst, 200, 8, GFP_KERNEL | GFP_DMA);
	ck_assert_uint_lt((size_t)((char *)ptr - loam__machine.map.base), 16u << 20);
	give(ptr);
	ptr = take(200, 8);
	ck_assert_uint_ge((size_t)((char *)ptr - loam__machine.map.base), 16u << 20);
	give(ptr);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(check_finds_a_broken_link)
{
	void **a, **b;
	int defects = 0;

	boot(MACHINE("32M", ""));
	a = take(64, 8);
	b = take(64, 8);
	give(a);
	give(b);
	*b = (char *)a + 1;
	loam__quiesce();
	objects->plugin->desc.check(objects->inst, count_defect, &defects);
	loam__resume();
	*b = a;
	ck_assert_int_gt(defects, 0);
}
END_TEST

START_TEST(find_names_the_block_of_an_interior_address)
{
	struct loam_span span = { .size = sizeof(span) };
	char *ptr;

	boot(MACHINE("32M", "classes = kernel"));
	ptr = take(200, 8);
	ck_assert_int_eq(objects->plugin->desc.find(objects->inst, ptr + 70, page_of(ptr + 70), &span), 0);
	ck_assert_ptr_eq(span.addr, ptr);
	ck_assert_uint_eq(span.bytes, 256);
	ck_assert_int_eq(span.kind, LOAM_SPAN_LIVE);
	give(ptr);
	ck_assert_int_eq(objects->plugin->desc.find(objects->inst, ptr + 70, page_of(ptr + 70), &span), 0);
	ck_assert_int_eq(span.kind, LOAM_SPAN_FREE);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static struct block forked[300];
static volatile bool stop;

static void *allocate_on(void *arg)
{
	unsigned seed = 5;

	(void)arg;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED))
		churn(&seed, forked, LOAM_LEN(forked), 50);
	return NULL;
}

START_TEST(a_child_of_fork_uses_what_other_threads_had)
{
	static struct block mine[200];
	unsigned seed = 9;
	pthread_t thread;
	int status;

	boot(settings[_i]);
	pthread_create(&thread, NULL, allocate_on, NULL);
	for (int i = 0; i < 10; i++) {
		pid_t pid;

		churn(&seed, mine, LOAM_LEN(mine), 500);
		pid = fork();
		if (!pid) {
			int defects = 0;

			churn(&seed, mine, LOAM_LEN(mine), 2000);
			for (size_t b = 0; b < LOAM_LEN(mine); b++)
				if (mine[b].ptr)
					block_drop(&mine[b]);
			loam__quiesce();
			objects->plugin->desc.check(objects->inst, count_defect, &defects);
			loam__resume();
			_exit(defects);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert_int_eq(status, 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("slub");
	TCase *t = tcase_create("slub"), *f = tcase_create("fork");
	const int n = (int)LOAM_LEN(settings);

	tcase_set_timeout(t, 120);
	tcase_add_test(t, kernel_classes_are_kmallocs);
	tcase_add_test(t, powers_of_two_are_naturally_aligned);
	tcase_add_test(t, fine_classes_waste_at_most_an_eighth);
	tcase_add_test(t, every_alignment_up_to_the_largest_block);
	tcase_add_loop_test(t, contents_survive_random_use, 0, n);
	tcase_add_loop_test(t, threads_free_each_others_blocks, 0, n);
	tcase_add_test(t, what_an_ended_thread_left_can_be_freed_and_used_again);
	tcase_add_loop_test(t, objects_stay_constructed_while_they_are_free, 0, n);
	tcase_add_test(t, a_cache_with_live_objects_is_not_destroyed);
	tcase_add_test(t, unknown_flags_and_sizes_are_refused);
	tcase_add_test(t, cache_lines_are_respected);
	tcase_add_test(t, red_zones_catch_a_byte_beyond_either_end);
	tcase_add_test(t, poison_catches_a_write_after_free);
	tcase_add_test(t, an_object_of_another_cache_is_reported_and_kept);
	tcase_add_test(t, hardened_lists_report_a_double_free);
	tcase_add_loop_test(t, a_broken_link_is_found_when_its_object_is_taken, 0, 2);
	tcase_add_loop_test(t, a_broken_link_is_found_when_another_object_is_freed, 0, 2);
	tcase_add_loop_test(t, a_lost_object_that_is_freed_again_is_found_out, 0, 2);
	tcase_add_test(t, a_link_that_leads_back_is_found);
	tcase_add_test(t, random_lists_hand_out_in_no_order);
	tcase_add_test(t, exhausted_memory_fails_and_comes_back_whole);
	tcase_add_test(t, dma_requests_come_from_the_dma_zone);
	tcase_add_test(t, check_finds_a_broken_link);
	tcase_add_test(t, find_names_the_block_of_an_interior_address);
	tcase_set_timeout(f, 120);
	tcase_add_loop_test(f, a_child_of_fork_uses_what_other_threads_had, 0, n);
	suite_add_tcase(s, t);
	suite_add_tcase(s, debug_reports());
	suite_add_tcase(s, cache_tests());
	suite_add_tcase(s, f);
	return s;
}

int main(void)
{
	return fixture_run(suite());
}
