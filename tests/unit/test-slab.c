/* SPDX-License-Identifier: MIT */
/* test-slab.c: the plugin slab on a real machine with buddy below it. */
#include "machine-fixture.h"

#include <loam/heap.h>
#include <loam/objects.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLUGIN "slab"
#define MACHINE(memory, options)                                                                                       \
	"[machine]\nmemory = " memory "\nbacking = anon\nseed = 7\n[frames]\nplugin = buddy\n"                         \
	"[objects]\nplugin = " PLUGIN "\npages = frames\n" options "\n"                                                \
	"[kernel]\npages = frames\nobjects = objects\nheap = objects\n"

static struct loam_self *objects;
static const struct loam_heap_ops *heap;

static void boot(const char *text)
{
	objects = fixture_boot(text, "objects");
	heap = objects->links[LOAM_ROLE_HEAP].ops;
}

static struct page *page_of(const void *ptr)
{
	return loam_ptr_page(&loam__machine.map, ptr);
}

static void *take(size_t bytes, size_t align)
{
	return heap->alloc(objects->links[LOAM_ROLE_HEAP].inst, bytes, align, GFP_KERNEL | __GFP_NOWARN);
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

static int copy_info(void *arg, const struct loam_cache_info *info)
{
	struct loam_cache_info *want = arg;

	if (strcmp(info->name, want->name))
		return 0;
	*want = *info;
	return 1;
}

static struct loam_cache_info info_of(const char *name)
{
	struct loam_cache_info info = { .name = name };

	ck_assert_int_eq(loam__caches(objects, copy_info, &info), 1);
	return info;
}

static void on_defect(void *arg, const char *text)
{
	fprintf(stderr, "%s\n", text);
	++*(unsigned *)arg;
}

static unsigned defects(void)
{
	unsigned n = 0;

	loam__quiesce();
	objects->plugin->desc.check(objects->inst, on_defect, &n);
	loam__resume();
	return n;
}

#include "debug-reports.h"

#include "cache-tests.h"

START_TEST(kmalloc_has_the_limits_of_slab)
{
	static const struct {
		size_t bytes, usable;
	} want[] = { { 1, 32 },    { 32, 32 },     { 33, 64 },     { 65, 96 },     { 129, 192 },
		     { 193, 256 }, { 4097, 8192 }, { 8192, 8192 }, { 8193, 16384 } };
	struct loam_heap_limits limits = { .size = sizeof(limits) };
	void *big;

	boot(MACHINE("32M", ""));
	for (unsigned i = 0; i < LOAM_LEN(want); i++) {
		void *ptr = take(want[i].bytes, 8);

		ck_assert_uint_eq(usable(ptr), want[i].usable);
		give(ptr);
	}
	heap->limits(objects->links[LOAM_ROLE_HEAP].inst, &limits);
	ck_assert_uint_eq(limits.max_size, 4u << 20);
	big = take(4u << 20, 8);
	ck_assert_ptr_nonnull(big);
	give(big);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_power_of_two_is_aligned_to_itself)
{
	boot(MACHINE("32M", ""));
	for (size_t bytes = 32; bytes <= 65536; bytes *= 2)
		for (unsigned i = 0; i < 40; i++) {
			void *ptr = take(bytes, 8);

			if (!ptr || (uintptr_t)ptr % bytes)
				ck_abort_msg("%zu bytes at %p", bytes, ptr);
		}
	for (size_t align = 16; align <= 4096; align *= 2) {
		void *ptr = take(100, align);

		ck_assert_uint_eq((uintptr_t)ptr % align, 0);
	}
}
END_TEST

/* 200 bytes: 20 objects and their record leave two lines over. */
START_TEST(successive_slabs_begin_at_successive_colours)
{
	struct loam_cache *cache;
	struct loam_cache_info info;
	unsigned char seen[64] = { 0 };
	unsigned colours = 0;

	boot(MACHINE("32M", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 200, .flags = SLAB_HWCACHE_ALIGN });
	info = info_of("c");
	for (unsigned i = 0; i < info.objs_per_slab * 12; i++) {
		char *object = loam_cache_alloc(cache, GFP_KERNEL);
		size_t line = (uintptr_t)object % LOAM_PAGE_SIZE / 64;

		ck_assert_uint_eq((uintptr_t)object % 64, 0);
		colours += !seen[line];
		seen[line] = 1;
	}
	/* Without colours there would be as many starting lines as objects in a slab. */
	ck_assert_uint_gt(colours, info.objs_per_slab);
}
END_TEST

START_TEST(arrays_are_filled_in_batches_and_tunables_are_told)
{
	struct loam_cache *cache;
	struct loam_cache_info info;

	boot(MACHINE("32M", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 64 });
	info = info_of("c");
	ck_assert_uint_eq(info.limit, 120);
	ck_assert_uint_eq(info.batchcount, 60);
	ck_assert_uint_eq(info.shared, 8);
	ck_assert_uint_eq(info.total_slabs, 0);
	loam_cache_free(cache, loam_cache_alloc(cache, GFP_KERNEL));
	info = info_of("c");
	/* One object was asked for, one slab made; nothing is active, nothing went back. */
	ck_assert_uint_eq(info.total_slabs, 1);
	ck_assert_uint_eq(info.active_objs, 0);
	cache_new((struct loam_cache_args){ .name = "d", .object_size = 300 });
	ck_assert_uint_eq(info_of("d").limit, 54);
	cache_new((struct loam_cache_args){ .name = "e", .object_size = 2000 });
	ck_assert_uint_eq(info_of("e").limit, 24);
	cache_new((struct loam_cache_args){ .name = "f", .object_size = 8000 });
	ck_assert_uint_eq(info_of("f").limit, 8);
	ck_assert_uint_eq(info_of("f").shared, 0);
}
END_TEST

START_TEST(what_was_freed_last_is_handed_out_first)
{
	void *a, *b;

	boot(MACHINE("32M", ""));
	a = take(64, 8);
	b = take(64, 8);
	give(a);
	give(b);
	ck_assert_ptr_eq(take(64, 8), b);
	ck_assert_ptr_eq(take(64, 8), a);
}
END_TEST

/* Two objects of 2048 bytes fill a page: the record does not lie in it. One of 256 leaves room for it. */
START_TEST(records_of_large_objects_lie_off_the_slab)
{
	boot(MACHINE("32M", ""));
	cache_new((struct loam_cache_args){ .name = "large", .object_size = 2048 });
	cache_new((struct loam_cache_args){ .name = "small", .object_size = 256 });
	ck_assert_uint_eq(info_of("large").objs_per_slab * 2048, info_of("large").pages_per_slab * LOAM_PAGE_SIZE);
	ck_assert_uint_lt(info_of("small").objs_per_slab * 256, info_of("small").pages_per_slab * LOAM_PAGE_SIZE);
}
END_TEST

static unsigned built, unmade;
static void build(void *object)
{
	built++;
	*(unsigned *)object = 4711;
}
static void unmake(void *object)
{
	unmade += *(unsigned *)object == 4711;
}

START_TEST(objects_are_constructed_once_and_stay_so)
{
	struct loam_cache *cache;
	struct loam_cache_info info;

	boot(MACHINE("32M", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 80, .ctor = build, .dtor = unmake });
	for (unsigned i = 0; i < 5000; i++) {
		unsigned *object = loam_cache_alloc(cache, GFP_KERNEL);

		if (*object != 4711)
			ck_abort_msg("not constructed");
		loam_cache_free(cache, object);
	}
	info = info_of("c");
	ck_assert_uint_eq(built, info.total_objs);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(unmade, built);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_cache_with_live_objects_is_not_destroyed)
{
	struct loam_cache *cache;
	void *object;

	boot(MACHINE("32M", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 80 });
	object = loam_cache_alloc(cache, GFP_KERNEL);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), -EBUSY);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_LEAK], 1);
	loam_cache_free(cache, object);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static void fill_and_empty(struct loam_cache *cache)
{
	void *all[400];

	for (unsigned i = 0; i < 400; i++)
		all[i] = loam_cache_alloc(cache, GFP_KERNEL);
	for (unsigned i = 0; i < 400; i++)
		loam_cache_free(cache, all[i]);
}

START_TEST(empty_slabs_are_reaped_but_for_no_reap)
{
	struct loam_cache *reaped, *kept;
	uint64_t slabs;

	boot(MACHINE("32M", ""));
	reaped = cache_new((struct loam_cache_args){ .name = "reaped", .object_size = 512 });
	kept = cache_new((struct loam_cache_args){ .name = "kept", .object_size = 512, .flags = SLAB_NO_REAP });
	fill_and_empty(reaped);
	fill_and_empty(kept);
	slabs = info_of("kept").total_slabs;
	ck_assert_uint_gt(slabs, 0);
	ck_assert_uint_gt(objects->plugin->desc.shrink(objects->inst, ~0ul >> 1), 0);
	ck_assert_uint_eq(info_of("reaped").total_slabs, 0);
	ck_assert_uint_eq(info_of("kept").total_slabs, slabs);
}
END_TEST

START_TEST(free_slabs_over_the_limit_go_back_at_once)
{
	struct loam_cache *cache;
	void *all[2000];

	boot(MACHINE("64M", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 1024 });
	for (unsigned i = 0; i < 2000; i++)
		all[i] = loam_cache_alloc(cache, GFP_KERNEL);
	for (unsigned i = 0; i < 2000; i++)
		loam_cache_free(cache, all[i]);
	ck_assert_uint_lt(info_of("c").total_objs, 600);
	ck_assert_uint_eq(defects(), 0);
}
END_TEST

START_TEST(red_zones_and_poison_find_writes_out_of_bounds)
{
	struct loam_cache *cache;
	char *object;

	boot(MACHINE("32M", ""));
	cache = cache_new(
		(struct loam_cache_args){ .name = "c", .object_size = 60, .flags = SLAB_RED_ZONE | SLAB_POISON });
	object = loam_cache_alloc(cache, GFP_KERNEL);
	ck_assert_int_eq((unsigned char)object[0], 0x6b);
	object[60] = 1;
	loam_cache_free(cache, object);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_CORRUPTION], 1);
	object[10] = 1;
	ck_assert_uint_eq(defects(), 1);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	loam_cache_free(cache, object);
	loam_cache_free(cache, object);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_DOUBLE_FREE], 1);
	ck_assert_uint_eq(defects(), 0);
}
END_TEST

START_TEST(misuse_is_reported_and_harms_nothing)
{
	struct loam_cache *one, *two;
	char *object;

	boot(MACHINE("32M", ""));
	one = cache_new((struct loam_cache_args){ .name = "one", .object_size = 64 });
	two = cache_new((struct loam_cache_args){ .name = "two", .object_size = 64 });
	object = loam_cache_alloc(one, GFP_KERNEL);
	loam_cache_free(two, object);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_WRONG_CACHE], 1);
	loam_cache_free(one, object + 8);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_BAD_FREE], 1);
	loam_cache_free(one, object);
	loam_cache_free(one, object);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_DOUBLE_FREE], 1);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 0);
	ck_assert_uint_eq(defects(), 0);
}
END_TEST

/* The same words where nothing is debugged, without the picture. */
START_TEST(misuse_of_a_plain_cache_is_one_line)
{
	char *object = debug_boot(0, 64, 0);
	const char *heard;

	loam_cache_free(debug_cache, object + 8);
	loam_cache_free(debug_cache, object);
	loam_cache_free(debug_cache, object);
	heard = fixture_heard();
	must_say(heard, "%p: BUG c (Not tainted): Invalid object pointer %p (loam", (void *)(object + 8),
		 (void *)(object + 8));
	must_say(heard, "%p: BUG c (Not tainted): Object already free (loam", (void *)object);
	ck_assert_uint_eq(count_in(heard, "\n"), 2);
}
END_TEST

#define BLOCKS 3000
static void *blocks[BLOCKS];

static void *free_all(void *arg)
{
	for (unsigned i = 0; i < BLOCKS; i++)
		give(blocks[i]);
	for (unsigned i = 0; i < 100; i++)
		blocks[i] = take(48, 8);
	return arg;
}

/* It takes blocks, another thread frees them and ends with full arrays, which its end empties. */
START_TEST(a_thread_may_free_what_another_took_and_leave)
{
	pthread_t thread;

	boot(MACHINE("32M", ""));
	for (unsigned i = 0; i < BLOCKS; i++)
		blocks[i] = take(i % 500 + 1, 8);
	pthread_create(&thread, NULL, free_all, NULL);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 100);
	ck_assert_uint_eq(defects(), 0);
	for (unsigned i = 0; i < 100; i++)
		give(blocks[i]);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(exhaustion_to_the_last_object_and_back)
{
	void **all = calloc(200000, sizeof(*all));
	unsigned long used;
	unsigned n = 0;

	boot(MACHINE("4M", ""));
	used = loam__frames_used();
	while (n < 200000 && (all[n] = take(128, 8)))
		n++;
	ck_assert_uint_gt(n, 20000);
	ck_assert_uint_ge(fixture_stat(objects).failures, 1);
	for (unsigned i = 0; i < n; i++)
		give(all[i]);
	objects->plugin->desc.shrink(objects->inst, ~0ul >> 1);
	ck_assert_uint_eq(loam__frames_used(), used);
	ck_assert_uint_eq(fixture_halt(), 0);
	free(all);
}
END_TEST

START_TEST(a_child_of_fork_goes_on)
{
	int status;
	pid_t pid;
	void *ptr;

	boot(MACHINE("32M", ""));
	ptr = take(64, 8);
	pid = fork();
	if (!pid) {
		give(ptr);
		for (unsigned i = 0; i < 1000; i++)
			if (!take(100, 8))
				_exit(1);
		_exit(defects() || fixture_stat(objects).live_blocks != 1000);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	give(ptr);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static int count_span(void *arg, const struct loam_span *span)
{
	*(uint64_t *)arg += span->kind == LOAM_SPAN_LIVE;
	return 0;
}

START_TEST(walk_sees_what_waits_in_arrays_as_free)
{
	uint64_t live = 0;

	boot(MACHINE("32M", "classes = fine"));
	for (unsigned i = 0; i < 300; i++)
		blocks[i] = take(i * 50 + 1, 8);
	for (unsigned i = 0; i < 200; i++)
		give(blocks[i]);
	loam__quiesce();
	ck_assert_int_eq(objects->plugin->desc.walk(objects->inst, count_span, &live), 0);
	loam__resume();
	ck_assert_uint_eq(live, 100);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 100);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slab");
	TCase *tc = tcase_create("slab");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, kmalloc_has_the_limits_of_slab);
	tcase_add_test(tc, a_power_of_two_is_aligned_to_itself);
	tcase_add_test(tc, successive_slabs_begin_at_successive_colours);
	tcase_add_test(tc, arrays_are_filled_in_batches_and_tunables_are_told);
	tcase_add_test(tc, what_was_freed_last_is_handed_out_first);
	tcase_add_test(tc, records_of_large_objects_lie_off_the_slab);
	tcase_add_test(tc, objects_are_constructed_once_and_stay_so);
	tcase_add_test(tc, a_cache_with_live_objects_is_not_destroyed);
	tcase_add_test(tc, empty_slabs_are_reaped_but_for_no_reap);
	tcase_add_test(tc, free_slabs_over_the_limit_go_back_at_once);
	tcase_add_test(tc, red_zones_and_poison_find_writes_out_of_bounds);
	tcase_add_test(tc, misuse_is_reported_and_harms_nothing);
	tcase_add_test(tc, misuse_of_a_plain_cache_is_one_line);
	tcase_add_test(tc, a_thread_may_free_what_another_took_and_leave);
	tcase_add_test(tc, exhaustion_to_the_last_object_and_back);
	tcase_add_test(tc, a_child_of_fork_goes_on);
	tcase_add_test(tc, walk_sees_what_waits_in_arrays_as_free);
	suite_add_tcase(suite, tc);
	suite_add_tcase(suite, debug_reports());
	suite_add_tcase(suite, cache_tests());
	return fixture_run(suite);
}
