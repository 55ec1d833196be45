/* SPDX-License-Identifier: MIT */
/*
 * cache-tests.h: what slab and slub do alike with their caches: shrinking and destroying them, also at once; requests for a
 * zone that no cache serves. Who includes it has MACHINE, boot(), objects, heap, cache_new(), take(), give() and page_of().
 */
#ifndef LOAM_TEST_CACHE_TESTS_H
#define LOAM_TEST_CACHE_TESTS_H

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static int find_info(void *arg, const struct loam_cache_info *info)
{
	struct loam_cache_info *want = arg;

	if (strcmp(info->name, want->name))
		return 0;
	*want = *info;
	return 1;
}

static uint64_t slabs_of(const struct loam_cache *cache)
{
	struct loam_cache_info info = { .name = cache->name };

	ck_assert_int_eq(loam__caches(objects, find_info, &info), 1);
	return info.total_slabs;
}

static void take_and_give(struct loam_cache *cache)
{
	void *all[400];

	for (unsigned i = 0; i < LOAM_LEN(all); i++)
		all[i] = loam_cache_alloc(cache, GFP_KERNEL);
	for (unsigned i = 0; i < LOAM_LEN(all); i++)
		loam_cache_free(cache, all[i]);
}

static unsigned long shrink_all(void)
{
	return objects->plugin->desc.shrink(objects->inst, ~0ul >> 1);
}

START_TEST(a_debugged_cache_is_shrunk)
{
	struct loam_cache *cache;

	boot(MACHINE("32M", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 512, .flags = each_flag[_i] });
	take_and_give(cache);
	ck_assert_uint_gt(slabs_of(cache), 0);
	ck_assert_uint_gt(shrink_all(), 0);
	ck_assert_uint_eq(slabs_of(cache), 0);
}
END_TEST

START_TEST(a_debugged_cache_without_reap_is_not_shrunk)
{
	struct loam_cache *cache;
	uint64_t slabs;

	boot(MACHINE("32M", ""));
	cache = cache_new(
		(struct loam_cache_args){ .name = "c", .object_size = 512, .flags = SLAB_POISON | SLAB_NO_REAP });
	take_and_give(cache);
	slabs = slabs_of(cache);
	ck_assert_uint_gt(slabs, 0);
	shrink_all();
	ck_assert_uint_eq(slabs_of(cache), slabs);
}
END_TEST

/* It has no place in the threads' areas. */
START_TEST(a_cache_after_the_512th_is_shrunk)
{
	struct loam_cache *cache = NULL;

	boot(MACHINE("32M", ""));
	for (unsigned i = 0; i < 520; i++) {
		char name[20];

		snprintf(name, sizeof(name), "c-%u", i);
		cache = cache_new((struct loam_cache_args){ .name = name, .object_size = 512 });
	}
	take_and_give(cache);
	ck_assert_uint_gt(slabs_of(cache), 0);
	ck_assert_uint_gt(shrink_all(), 0);
	ck_assert_uint_eq(slabs_of(cache), 0);
}
END_TEST

/* ---- destroyed at the same time ---- */

static struct loam_cache *busy;
static void *busy_objects[400];
static pthread_barrier_t inside;
static bool dwells, gone; /* atomic */

/* Once, when it is to: another thread runs on meanwhile, long enough to destroy the cache if it does not wait. */
static void dwell(void *object)
{
	(void)object;
	if (!__atomic_exchange_n(&dwells, false, __ATOMIC_ACQUIRE))
		return;
	pthread_barrier_wait(&inside);
	for (unsigned i = 0; i < 100 && !__atomic_load_n(&gone, __ATOMIC_ACQUIRE); i++)
		usleep(1000);
	if (__atomic_load_n(&gone, __ATOMIC_ACQUIRE))
		ck_abort_msg("the cache is gone and its destructor runs");
}

static void boot_busy(size_t bytes)
{
	boot(MACHINE("32M", ""));
	pthread_barrier_init(&inside, NULL, 2);
	busy = cache_new((struct loam_cache_args){ .name = "c", .object_size = bytes, .dtor = dwell });
}

static void *take_and_end(void *arg)
{
	for (unsigned i = 0; i < LOAM_LEN(busy_objects); i++)
		busy_objects[i] = loam_cache_alloc(busy, GFP_KERNEL);
	return arg;
}

static void *shrink_it(void *arg)
{
	__atomic_store_n(&dwells, true, __ATOMIC_RELEASE);
	shrink_all();
	return arg;
}

/* What one thread takes and another one gives lies free where a third one can shrink it. */
static pthread_t begin_to_shrink(void)
{
	pthread_t thread;

	boot_busy(64);
	pthread_create(&thread, NULL, take_and_end, NULL);
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < LOAM_LEN(busy_objects); i++)
		loam_cache_free(busy, busy_objects[i]);
	pthread_create(&thread, NULL, shrink_it, NULL);
	pthread_barrier_wait(&inside);
	return thread;
}

static void destroy_busy(pthread_t thread)
{
	ck_assert_int_eq(loam__machine.host.cache_destroy(busy), 0);
	__atomic_store_n(&gone, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(fixture_halt(), 0);
}

START_TEST(a_cache_does_not_go_while_it_is_shrunk)
{
	destroy_busy(begin_to_shrink());
}
END_TEST

static void *use_and_end(void *arg)
{
	take_and_give(busy);
	__atomic_store_n(&dwells, true, __ATOMIC_RELEASE);
	return arg;
}

START_TEST(a_cache_does_not_go_while_a_thread_ends_that_used_it)
{
	pthread_t thread;

	boot_busy(8000);
	pthread_create(&thread, NULL, use_and_end, NULL);
	pthread_barrier_wait(&inside);
	destroy_busy(thread);
}
END_TEST

/* The thread that shrinks it is not in the child, which goes on with it, and destroys it, all the same. */
START_TEST(a_child_of_fork_has_whole_what_was_being_shrunk)
{
	pthread_t thread = begin_to_shrink();
	int status;
	pid_t pid = fork();

	if (!pid) {
		unsigned found = check_all();

		take_and_give(busy);
		found += check_all();
		_exit(found || loam__machine.host.cache_destroy(busy));
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	destroy_busy(thread);
}
END_TEST

static void *shrink_on(void *arg)
{
	while (!__atomic_load_n(&gone, __ATOMIC_ACQUIRE)) {
		shrink_all();
		sched_yield();
	}
	return arg;
}

START_TEST(caches_come_and_go_while_others_are_shrunk)
{
	pthread_t threads[2];

	boot(MACHINE("32M", ""));
	for (unsigned i = 0; i < LOAM_LEN(threads); i++)
		pthread_create(&threads[i], NULL, shrink_on, NULL);
	for (unsigned i = 0; i < 100; i++) {
		struct loam_cache *cache = cache_new((struct loam_cache_args){
			.name = "c", .object_size = 200, .flags = i % 2 ? SLAB_RED_ZONE : 0 });

		take_and_give(cache);
		ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	}
	__atomic_store_n(&gone, true, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < LOAM_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static void *come_and_go(void *arg)
{
	for (unsigned i = 0; i < 100; i++) {
		struct loam_cache *cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 200 });

		take_and_give(cache);
		ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	}
	return arg;
}

START_TEST(caches_come_and_go_on_several_threads)
{
	pthread_t threads[2];

	boot(MACHINE("32M", ""));
	for (unsigned i = 0; i < LOAM_LEN(threads); i++)
		pthread_create(&threads[i], NULL, come_and_go, NULL);
	for (unsigned i = 0; i < LOAM_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* ---- limits ---- */

START_TEST(an_alignment_over_a_page_is_refused)
{
	struct loam_objects_limits limits = { .size = sizeof(limits) };
	struct loam_cache *cache;

	boot(MACHINE("32M", ""));
	((const struct loam_objects_ops *)objects->links[LOAM_ROLE_OBJECTS].ops)->limits(objects->inst, &limits);
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 64, .align = limits.max_align });
	ck_assert_ptr_nonnull(cache);
	ck_assert_uint_eq((uintptr_t)loam_cache_alloc(cache, GFP_KERNEL) % limits.max_align, 0);
	ck_assert_ptr_null(
		cache_new((struct loam_cache_args){ .name = "d", .object_size = 64, .align = 2 * limits.max_align }));
	ck_assert_int_eq(errno, EINVAL);
}
END_TEST

/* ---- requests for a zone ---- */

static void *take_dma(size_t bytes)
{
	return heap->alloc(objects->links[LOAM_ROLE_HEAP].inst, bytes, 8, GFP_KERNEL | GFP_DMA | __GFP_NOWARN);
}

static void boot_with_dma(const char *orders)
{
	char text[300];

	snprintf(text, sizeof(text),
		 "[machine]\nmemory = 32M\nzones = DMA:4M NORMAL:*\n[frames]\nplugin = buddy\n%s\n"
		 "[objects]\nplugin = %s\npages = frames\n",
		 orders, PLUGIN);
	boot(text);
}

START_TEST(a_request_for_dma_without_a_cache_takes_frames)
{
	char *ptr;

	boot_with_dma("");
	loam__meta_fail = 1;
	ptr = take_dma(200);
	ck_assert_uint_eq(loam__meta_fail, 0);
	ck_assert_ptr_nonnull(ptr);
	ck_assert_uint_eq(page_of(ptr)->flags & LOAM_PAGE_ZONE_MASK, LOAM_ZONE_DMA);
	give(ptr);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* One page is the largest block there is. */
START_TEST(a_request_for_dma_that_is_too_large_is_a_failure)
{
	boot_with_dma("orders = 1");
	give(take_dma(4096));
	ck_assert_uint_eq(fixture_stat(objects).failures, 0);
	ck_assert_ptr_null(take_dma(5000));
	ck_assert_uint_eq(fixture_stat(objects).failures, 1);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* "Since create": what a cache did stays counted when it is gone. */
START_TEST(counters_outlive_a_cache)
{
	struct loam_stat before, after;
	struct loam_cache *cache;

	boot(MACHINE("32M", ""));
	cache = cache_new(
		(struct loam_cache_args){ .name = "c", .object_size = 512, .flags = _i ? each_flag[_i - 1] : 0 });
	take_and_give(cache);
	before = fixture_stat(objects);
	ck_assert_uint_ge(before.allocs, 400);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	after = fixture_stat(objects);
	ck_assert_uint_eq(after.allocs, before.allocs);
	ck_assert_uint_eq(after.frees, before.frees);
	ck_assert_uint_eq(after.live_bytes, before.live_bytes);
}
END_TEST

static TCase *cache_tests(void)
{
	TCase *tc = tcase_create("caches");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, a_debugged_cache_is_shrunk, 0, (int)LOAM_LEN(each_flag));
	tcase_add_loop_test(tc, counters_outlive_a_cache, 0, (int)LOAM_LEN(each_flag) + 1);
	tcase_add_test(tc, a_debugged_cache_without_reap_is_not_shrunk);
	tcase_add_test(tc, a_cache_after_the_512th_is_shrunk);
	tcase_add_test(tc, a_cache_does_not_go_while_it_is_shrunk);
	tcase_add_test(tc, a_cache_does_not_go_while_a_thread_ends_that_used_it);
	tcase_add_test(tc, caches_come_and_go_while_others_are_shrunk);
	tcase_add_test(tc, caches_come_and_go_on_several_threads);
	tcase_add_test(tc, a_child_of_fork_has_whole_what_was_being_shrunk);
	tcase_add_test(tc, an_alignment_over_a_page_is_refused);
	tcase_add_test(tc, a_request_for_dma_without_a_cache_takes_frames);
	tcase_add_test(tc, a_request_for_dma_that_is_too_large_is_a_failure);
	return tc;
}

#endif
