/* SPDX-License-Identifier: MIT */
/* test-filters.c: stats, magazine and fault on each role. */
#include "kernel-port.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BASE(object_plugin)                                                                                            \
	"[machine]\nmemory = 32M\nbacking = anon\nseed = 7\n[low]\nplugin = buddy\n"                                   \
	"[below]\nplugin = " object_plugin "\npages = frames\n"
#define PLAIN "[frames]\nplugin = stats\nlower = low\n"
#define KERNEL "[kernel]\npages = frames\nobjects = top\nheap = top\n"
#define FILTER(plugin, options) "[top]\nplugin = " plugin "\nlower = below\n" options "\n" KERNEL

static struct loam_self *top;

static void boot(const char *text)
{
	fixture_boot(text, NULL);
	top = loam__graph_find(loam__machine.graph, "top");
}

/* ---- fault ---- */

/* Which of 20 allocations fail: a letter each. */
static const char *pattern(size_t bytes)
{
	static char text[21];

	for (unsigned i = 0; i < 20; i++) {
		void *ptr = take(bytes);

		text[i] = ptr ? '.' : 'x';
		if (ptr)
			give(ptr);
	}
	return text;
}

static const struct {
	const char *options, *want;
} faults[] = {
	{ "", "...................." },
	{ "nth = 3", "..x................." },
	{ "nth = 3\nrun = 4", "..xxxx.............." },
	{ "every = 5", "....x....x....x....x" },
	{ "every = 6\nrun = 2", ".....xx....xx....xx." },
	{ "probability = 1", "xxxxxxxxxxxxxxxxxxxx" },
	{ "every = 1\nmin_size = 101", "...................." },
	{ "every = 1\nmin_size = 100\nmax_size = 100", "xxxxxxxxxxxxxxxxxxxx" },
	{ "every = 1\nmax_size = 99", "...................." },
};

START_TEST(fault_fails_what_it_is_told_to)
{
	char text[500];

	snprintf(text, sizeof(text), BASE("slub") PLAIN FILTER("fault", "%s"), faults[_i].options);
	boot(text);
	ck_assert_str_eq(pattern(100), faults[_i].want);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(fault_by_chance_follows_the_seed)
{
	char first[21];
	unsigned failed = 0;

	for (unsigned round = 0; round < 2; round++) {
		boot(BASE("slub") PLAIN FILTER("fault", "probability = 0.5"));
		if (round)
			ck_assert_str_eq(pattern(10), first);
		else
			strcpy(first, pattern(10));
		ck_assert_uint_eq(fixture_halt(), 0);
	}
	for (unsigned i = 0; i < 20; i++)
		failed += first[i] == 'x';
	ck_assert_uint_gt(failed, 2);
	ck_assert_uint_lt(failed, 18);
}
END_TEST

START_TEST(fault_fails_objects_and_pages_too)
{
	struct loam_cache *cache;
	struct page *page;

	boot(BASE("slub") "[frames]\nplugin = fault\nlower = low\nnth = 1000000\n" FILTER("fault", "every = 2"));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 50 });
	ck_assert_ptr_nonnull(loam_cache_alloc(cache, GFP_KERNEL));
	ck_assert_ptr_null(loam_cache_alloc(cache, GFP_KERNEL));
	ck_assert_uint_eq(fixture_stat(top).failures, 1);
	fixture_halt();
	boot(BASE("slub") "[frames]\nplugin = fault\nlower = low\nmin_size = 32K\nevery = 1\n" FILTER("stats", ""));
	page = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 0, 0);
	ck_assert_ptr_nonnull(page);
	loam__pages_free(&loam__machine.frames, page, 0);
	ck_assert_ptr_null(loam__pages_alloc(&loam__machine.frames, GFP_KERNEL | __GFP_NOWARN, 3, 0));
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_range_of_sizes_that_is_empty_is_refused)
{
	struct loam_diag diag;
	struct loam__config *config;

	loam__diag_init(&diag);
	config = loam__config_text("t", BASE("slub") PLAIN FILTER("fault", "min_size = 2\nmax_size = 1"), &diag);
	ck_assert_int_eq(loam__boot(loam__wire(config, &diag), &diag), -EINVAL);
	ck_assert_uint_eq(diag.count, 1);
	ck_assert_ptr_nonnull(strstr(diag.first->text, "min_size is larger than max_size"));
	loam__diag_clear(&diag);
	loam__config_free(config);
}
END_TEST

/* ---- stats ---- */

static void add_line(void *arg, const char *text)
{
	strcat(arg, text);
	strcat(arg, "\n");
}

START_TEST(stats_tells_sizes_times_and_lives)
{
	char text[8000] = "";

	boot(BASE("slub") PLAIN FILTER("stats", "sample = 1"));
	for (unsigned i = 0; i < 10; i++)
		give(take(100));
	take(3000);
	loam__tell(top, add_line, text);
	ck_assert_ptr_nonnull(strstr(text, "allocations 11, frees 10, failures 0"));
	ck_assert_ptr_nonnull(strstr(text, "up to          128 bytes            10   90.9 %"));
	ck_assert_ptr_nonnull(strstr(text, "up to         4096 bytes             1    9.1 %"));
	ck_assert_ptr_nonnull(strstr(text, "time of an allocation, sampled, 11:"));
	ck_assert_ptr_nonnull(strstr(text, "life of a block, sampled, 10:"));
	ck_assert_uint_eq(fixture_stat(top).live_blocks, 1);
}
END_TEST

/* Each with its own count: one that takes and gives in turn has both timed. */
START_TEST(stats_times_takers_and_givers_apart)
{
	char text[8000] = "";

	boot(BASE("slub") PLAIN FILTER("stats", "sample = 64"));
	for (unsigned i = 0; i < 6400; i++)
		give(take(100));
	loam__tell(top, add_line, text);
	ck_assert_msg(strstr(text, "time of an allocation, sampled, 100:") != NULL, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "time of a free, sampled, 100:"));
	ck_assert_ptr_nonnull(strstr(text, "life of a block, sampled, 100:"));
}
END_TEST

#define LATE 100000
static pthread_key_t late_key;
static pthread_barrier_t late_meet;

/* Behind the host's own in the round of destructors in which that takes the thread's area away. */
static void take_late(void *arg)
{
	if (loam__area_block) {
		pthread_setspecific(late_key, arg);
		return;
	}
	pthread_barrier_wait(&late_meet);
	for (unsigned i = 0; i < LATE; i++)
		give(take(100));
}

static void *end_late(void *arg)
{
	give(take(100));
	pthread_setspecific(late_key, &late_key);
	return arg;
}

START_TEST(stats_counts_threads_without_an_area_exactly)
{
	char text[8000] = "", want[100];
	pthread_t threads[4];

	boot(BASE("slub") PLAIN FILTER("stats", "sample = 0"));
	give(take(100));
	pthread_key_create(&late_key, take_late);
	pthread_barrier_init(&late_meet, NULL, LOAM_LEN(threads));
	for (unsigned i = 0; i < LOAM_LEN(threads); i++)
		pthread_create(&threads[i], NULL, end_late, NULL);
	for (unsigned i = 0; i < LOAM_LEN(threads); i++)
		pthread_join(threads[i], NULL);
	loam__tell(top, add_line, text);
	snprintf(want, sizeof(want), "allocations %u, frees %u, failures 0", 4 * LATE + 5, 4 * LATE + 5);
	ck_assert_msg(strstr(text, want) != NULL, "not \"%s\" in %s", want, text);
	snprintf(want, sizeof(want), "allocations by size, %u:", 4 * LATE + 5);
	ck_assert_msg(strstr(text, want) != NULL, "not \"%s\" in %s", want, text);
}
END_TEST

/* ---- magazine ---- */

/* A block may come back in parts. */
START_TEST(a_magazine_counts_frames)
{
	struct loam_stat before;
	struct page *page;

	boot(BASE("slub") "[frames]\nplugin = magazine\nlower = low\n" FILTER("stats", ""));
	before = fixture_stat(loam__machine.graph->frames);
	page = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 5, 0);
	ck_assert_uint_eq(fixture_stat(loam__machine.graph->frames).allocs, before.allocs + 32);
	loam__pages_free(&loam__machine.frames, page, 4);
	loam__pages_free(&loam__machine.frames, page + 16, 3);
	for (unsigned i = 24; i < 32; i++)
		loam__pages_free(&loam__machine.frames, page + i, 0);
	ck_assert_uint_eq(fixture_stat(loam__machine.graph->frames).frees, before.frees + 32);
	ck_assert_uint_eq(fixture_stat(loam__machine.graph->frames).live_blocks, before.live_blocks);
}
END_TEST

START_TEST(a_magazine_serves_again_without_the_one_below)
{
	struct loam_self *below;
	uint64_t asked;

	boot(BASE("slob") PLAIN FILTER("magazine", "rounds = 8"));
	below = loam__graph_find(loam__machine.graph, "below");
	give(take(100));
	asked = fixture_stat(below).allocs;
	ck_assert_uint_eq(asked, 4); /* half a magazine */
	for (unsigned i = 0; i < 1000; i++)
		give(take(97 + i % 10));
	ck_assert_uint_eq(fixture_stat(below).allocs, asked);
	ck_assert_uint_eq(fixture_stat(top).allocs, 1001);
	ck_assert_uint_eq(fixture_stat(top).live_blocks, 0);
	ck_assert_uint_eq(fixture_stat(below).live_blocks, 4);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_block_is_as_large_as_its_class)
{
	boot(BASE("slub") PLAIN FILTER("magazine", ""));
	for (size_t bytes = 1; bytes < 40000; bytes += 77) {
		void *ptr = take(bytes);
		size_t have = usable(ptr);

		if (have < bytes || (bytes > 128 && bytes <= 32768 && (have - bytes) * 8 > have))
			ck_abort_msg("%zu bytes for %zu", have, bytes);
		memset(ptr, 1, have);
		give(ptr);
	}
	ck_assert_uint_eq(fixture_stat(top).live_bytes, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static int count_live(void *arg, const struct loam_span *span)
{
	*(uint64_t *)arg += span->kind == LOAM_SPAN_LIVE;
	return 0;
}

static uint64_t walked(struct loam_self *self)
{
	uint64_t live = 0;

	loam__quiesce();
	ck_assert_int_eq(self->plugin->desc.walk(self->inst, count_live, &live), 0);
	loam__resume();
	return live;
}

START_TEST(what_waits_in_magazines_is_free)
{
	struct loam_cache *cache;
	void *all[300];

	boot(BASE("slab") "[frames]\nplugin = magazine\nlower = low\n" FILTER("magazine", "rounds = 16"));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 50 });
	for (unsigned i = 0; i < 300; i++)
		all[i] = i % 3 ? take(i * 20 + 1) : loam_cache_alloc(cache, GFP_KERNEL);
	for (unsigned i = 0; i < 200; i++)
		if (i % 3)
			give(all[i]);
		else
			loam_cache_free(cache, all[i]);
	ck_assert_uint_eq(walked(top), 100);
	ck_assert_uint_eq(fixture_stat(top).live_blocks, 100);
	ck_assert_uint_eq(walked(loam__machine.graph->frames), fixture_stat(loam__machine.graph->frames).live_blocks);
}
END_TEST

START_TEST(freed_twice_is_found_out)
{
	struct loam_cache *one, *two;
	struct page *page;
	void *ptr;

	boot(BASE("slub") "[frames]\nplugin = magazine\nlower = low\n" FILTER("magazine", ""));
	ptr = take(64);
	give(ptr);
	give(ptr);
	ck_assert_uint_eq(top->reports[LOAM_REPORT_DOUBLE_FREE], 1);
	one = cache_new((struct loam_cache_args){ .name = "one", .object_size = 64 });
	two = cache_new((struct loam_cache_args){ .name = "two", .object_size = 64 });
	ptr = loam_cache_alloc(one, GFP_KERNEL);
	fixture_listen();
	loam_cache_free(two, ptr);
	ck_assert_uint_eq(top->reports[LOAM_REPORT_WRONG_CACHE], 1);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "Wrong slab cache. two but object is from one (loam"));
	loam_cache_free(one, ptr);
	loam_cache_free(one, ptr);
	ck_assert_uint_eq(top->reports[LOAM_REPORT_DOUBLE_FREE], 2);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "BUG one (Not tainted): Object already free (loam"));
	page = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 0, 0);
	loam__pages_free(&loam__machine.frames, page, 0);
	loam_pages_ops(loam__machine.frames.link)
		->free(loam__machine.frames.link->inst, &loam__machine.zones[LOAM_ZONE_NORMAL].pub, page, 0);
	ck_assert_uint_eq(loam__machine.graph->frames->reports[LOAM_REPORT_DOUBLE_FREE], 1);
}
END_TEST

static unsigned built;
static void build(void *object)
{
	built++;
	*(unsigned *)object = 4711;
}

/* Over SLAB an object stays built; over SLOB it is built each time, and so it does not wait in a magazine. */
START_TEST(constructors_are_honoured_through_magazines)
{
	static const char *const texts[] = { BASE("slab") PLAIN FILTER("magazine", ""),
					     BASE("slob") PLAIN FILTER("magazine", "") };
	struct loam_cache *cache;

	boot(texts[_i]);
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 80, .ctor = build });
	for (unsigned i = 0; i < 500; i++) {
		unsigned *object = loam_cache_alloc(cache, GFP_KERNEL);

		ck_assert_uint_eq(*object, 4711);
		if (_i)
			*object = 0;
		loam_cache_free(cache, object);
	}
	if (_i)
		ck_assert_uint_eq(built, 500);
	else
		ck_assert_uint_lt(built, 300);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(red_zones_are_seen_through_magazines)
{
	struct loam_cache *cache;
	char *object;

	boot(BASE("slub") PLAIN FILTER("magazine", ""));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 60, .flags = SLAB_RED_ZONE });
	object = loam_cache_alloc(cache, GFP_KERNEL);
	object[60] = 1;
	loam_cache_free(cache, object);
	ck_assert_uint_eq(loam__graph_find(loam__machine.graph, "below")->reports[LOAM_REPORT_CORRUPTION], 1);
}
END_TEST

static void *take_and_end(void *arg)
{
	void **all = arg;

	for (unsigned i = 0; i < 1000; i++)
		give(all[i]);
	for (unsigned i = 0; i < 100; i++)
		give(take(i));
	return NULL;
}

START_TEST(a_thread_s_end_gives_back_what_it_kept)
{
	static void *all[1000];
	pthread_t thread;

	boot(BASE("slub") PLAIN FILTER("magazine", "depot = 4K"));
	for (unsigned i = 0; i < 1000; i++)
		all[i] = take(i % 200 + 1);
	pthread_create(&thread, NULL, take_and_end, all);
	pthread_join(thread, NULL);
	loam__area_close();
	ck_assert_uint_eq(fixture_stat(top).live_blocks, 0);
	top->plugin->desc.shrink(top->inst, ~0ul);
	ck_assert_uint_eq(fixture_stat(loam__graph_find(loam__machine.graph, "below")).live_blocks, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* ---- caches go while threads end that used them, and while their magazines are shrunk ---- */

static struct loam_cache *going;
static bool used, over; /* atomic */

static void *use_and_end(void *arg)
{
	void *objects[40];

	for (unsigned i = 0; i < 40; i++)
		objects[i] = loam_cache_alloc(going, GFP_KERNEL);
	for (unsigned i = 0; i < 40; i++)
		loam_cache_free(going, objects[i]);
	__atomic_store_n(&used, true, __ATOMIC_RELEASE);
	return arg;
}

static void *shrink_on(void *arg)
{
	/* Where threads run in turns, as under valgrind, the others want theirs. */
	while (!__atomic_load_n(&over, __ATOMIC_ACQUIRE)) {
		top->plugin->desc.shrink(top->inst, ~0ul >> 1);
		sched_yield();
	}
	return arg;
}

START_TEST(a_cache_goes_while_its_magazines_are_emptied)
{
	pthread_t thread, shrinker;

	boot(BASE("slub") PLAIN FILTER("magazine", ""));
	pthread_create(&shrinker, NULL, shrink_on, NULL);
	for (unsigned i = 0; i < 100; i++) {
		going = cache_new((struct loam_cache_args){ .name = "c", .object_size = 100 });
		ck_assert_ptr_nonnull(going);
		__atomic_store_n(&used, false, __ATOMIC_RELAXED);
		pthread_create(&thread, NULL, use_and_end, NULL);
		while (!__atomic_load_n(&used, __ATOMIC_ACQUIRE))
			sched_yield();
		ck_assert_int_eq(loam__machine.host.cache_destroy(going), 0);
		pthread_join(thread, NULL);
	}
	__atomic_store_n(&over, true, __ATOMIC_RELEASE);
	pthread_join(shrinker, NULL);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* Order 0 is kept in magazines; a large block needs them back, and the host's reclaim asks for that. */
START_TEST(kept_pages_come_back_when_a_large_block_needs_them)
{
	static struct page *all[8192];
	unsigned n = 0;
	struct page *block;

	boot(BASE("slub") "[frames]\nplugin = magazine\nlower = low\ndepot = 64M\nrounds = 16\n" FILTER("stats", ""));
	while ((all[n] = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL | __GFP_NOWARN, 0, 0)))
		n++;
	ck_assert_uint_gt(n, 7000);
	for (unsigned i = 0; i < n; i++)
		loam__pages_free(&loam__machine.frames, all[i], 0);
	block = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 10, 0);
	ck_assert_ptr_nonnull(block);
	loam__pages_free(&loam__machine.frames, block, 10);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_child_of_fork_goes_on_through_every_chain)
{
	static const char *const texts[] = {
		BASE("slub") "[frames]\nplugin = magazine\nlower = low\n" FILTER("magazine", ""),
		BASE("slab") "[frames]\nplugin = stats\nlower = low\n[mid]\nplugin = magazine\nlower = below\n"
			     "[top]\nplugin = stats\nlower = mid\n" KERNEL,
		BASE("slob") "[frames]\nplugin = magazine\nlower = low\n" FILTER("fault", "nth = 5000"),
	};
	void *mine[50];
	int status;
	pid_t pid;

	boot(texts[_i]);
	for (unsigned i = 0; i < 50; i++)
		mine[i] = take(i * 30 + 1);
	pid = fork();
	if (!pid) {
		for (unsigned i = 0; i < 50; i++)
			give(mine[i]);
		for (unsigned i = 0; i < 2000; i++)
			give(take(i % 700 + 1));
		_exit(fixture_stat(top).live_blocks != 0 || loam__machine.nr_reports);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	for (unsigned i = 0; i < 50; i++)
		give(mine[i]);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static pthread_barrier_t meet;

static void *live_on(void *arg)
{
	give(take(64));
	pthread_barrier_wait(&meet);
	/* Here the machine halts and the plugins are unloaded. */
	pthread_barrier_wait(&meet);
	return arg;
}

START_TEST(plugins_are_unloaded_while_a_thread_lives_that_used_them)
{
	pthread_t thread;

	pthread_barrier_init(&meet, NULL, 2);
	for (unsigned round = 0; round < 3; round++) {
		boot(BASE("slab") "[frames]\nplugin = magazine\nlower = low\n" FILTER("magazine", ""));
		pthread_create(&thread, NULL, live_on, NULL);
		pthread_barrier_wait(&meet);
		ck_assert_uint_eq(fixture_halt(), 0);
		pthread_barrier_wait(&meet);
		pthread_join(thread, NULL);
	}
}
END_TEST

static const char *const sweeps[] = {
	BASE("slub") "[frames]\nplugin = magazine\nlower = low\n" FILTER("magazine", ""),
	BASE("slab") "[frames]\nplugin = stats\nlower = low\n" FILTER("stats", ""),
	BASE("slob") "[frames]\nplugin = fault\nlower = low\n" FILTER("fault", ""),
	"[machine]\nmemory = 32M\n[frames]\nplugin = bitmap\n[kernel]\nheap = frames\nobjects = frames\n",
};

/* Each allocation of metadata fails once: what was made is undone, nothing is lost, one message. */
START_TEST(create_that_fails_at_any_step_undoes_itself)
{
	for (uint64_t n = 1;; n++) {
		struct loam_diag diag;
		struct loam__config *config;
		int error;

		loam__diag_init(&diag);
		config = loam__config_text("t", sweeps[_i], &diag);
		loam__meta_fail = n;
		error = loam__boot(loam__wire(config, &diag), &diag);
		if (!error && !loam__meta_fail)
			/* It did without: the arrays of a cache are made when they are needed. */
			ck_assert_uint_eq(loam__halt(stderr), 0);
		if (error) {
			ck_assert_int_eq(error, -ENOMEM);
			ck_assert_uint_eq(diag.count, 1);
			ck_assert_uint_eq(loam__meta_bytes(), 0);
		}
		loam__diag_clear(&diag);
		if (loam__meta_fail) {
			loam__meta_fail = 0;
			ck_assert_uint_gt(n, 2);
			ck_assert_uint_eq(loam__halt(stderr), 0);
			loam__config_free(config);
			break;
		}
		loam__config_free(config);
	}
}
END_TEST

/* The thread that asks for frames is inside the serialised heap: its filter must not be asked to give back into that. */
START_TEST(a_filter_over_a_serialised_heap_does_not_wait_for_itself)
{
	static void *blocks[8192];
	const struct loam_link *link;
	char *text;
	unsigned n = 0;

	ck_assert_int_gt(asprintf(&text,
				  "[machine]\nmemory = 8M\nbacking = anon\n[frames]\nplugin = buddy\n"
				  "[low]\nplugin = %s/tests/bench/.libs/naive.so\npages = frames\n"
				  "[top]\nplugin = magazine\nlower = low\n",
				  getenv("builddir")),
			 0);
	link = &fixture_boot(text, "top")->links[LOAM_ROLE_HEAP];
	free(text);
	for (unsigned i = 0; i < 40; i++) {
		void *ptr = loam_heap_ops(link)->alloc(link->inst, 100, 8, GFP_KERNEL);

		loam_heap_ops(link)->free(link->inst, ptr, loam_ptr_page(&loam__machine.map, ptr));
	}
	while (n < LOAM_LEN(blocks) && (blocks[n] = loam_heap_ops(link)->alloc(link->inst, 2048, 8, GFP_KERNEL)))
		n++;
	ck_assert_uint_gt(n, 1000);
	ck_assert_uint_lt(n, LOAM_LEN(blocks));
	while (n--)
		loam_heap_ops(link)->free(link->inst, blocks[n], loam_ptr_page(&loam__machine.map, blocks[n]));
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("filters");
	TCase *tc = tcase_create("filters");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, fault_fails_what_it_is_told_to, 0, LOAM_LEN(faults));
	tcase_add_test(tc, fault_by_chance_follows_the_seed);
	tcase_add_test(tc, fault_fails_objects_and_pages_too);
	tcase_add_test(tc, a_range_of_sizes_that_is_empty_is_refused);
	tcase_add_test(tc, stats_tells_sizes_times_and_lives);
	tcase_add_test(tc, stats_times_takers_and_givers_apart);
	tcase_add_test(tc, stats_counts_threads_without_an_area_exactly);
	tcase_add_test(tc, a_magazine_counts_frames);
	tcase_add_test(tc, a_filter_over_a_serialised_heap_does_not_wait_for_itself);
	tcase_add_test(tc, a_magazine_serves_again_without_the_one_below);
	tcase_add_test(tc, a_block_is_as_large_as_its_class);
	tcase_add_test(tc, what_waits_in_magazines_is_free);
	tcase_add_test(tc, freed_twice_is_found_out);
	tcase_add_loop_test(tc, constructors_are_honoured_through_magazines, 0, 2);
	tcase_add_test(tc, red_zones_are_seen_through_magazines);
	tcase_add_test(tc, a_thread_s_end_gives_back_what_it_kept);
	tcase_add_test(tc, a_cache_goes_while_its_magazines_are_emptied);
	tcase_add_test(tc, kept_pages_come_back_when_a_large_block_needs_them);
	tcase_add_loop_test(tc, a_child_of_fork_goes_on_through_every_chain, 0, 3);
	tcase_add_test(tc, plugins_are_unloaded_while_a_thread_lives_that_used_them);
	tcase_add_loop_test(tc, create_that_fails_at_any_step_undoes_itself, 0, LOAM_LEN(sweeps));
	suite_add_tcase(suite, tc);
	return fixture_run(suite);
}
