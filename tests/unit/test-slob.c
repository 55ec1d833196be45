/* SPDX-License-Identifier: MIT */
/* test-slob.c: the plugin slob on a real machine, with bitmap below it. */
#include "machine-fixture.h"

#include <loam/heap.h>
#include <loam/objects.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#define MACHINE(memory)                                                                                                \
	"[machine]\nmemory = " memory                                                                                  \
	"\nbacking = memfd\nzones = DMA:2M NORMAL:*\nseed = 7\n[frames]\nplugin = bitmap\n"                            \
	"[objects]\nplugin = slob\npages = frames\n"                                                                   \
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

static void *take_gfp(size_t bytes, size_t align, gfp_t gfp)
{
	return heap->alloc(objects->links[LOAM_ROLE_HEAP].inst, bytes, align, gfp | __GFP_NOWARN);
}

static void *take(size_t bytes)
{
	return take_gfp(bytes, 8, GFP_KERNEL);
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
	static struct loam_port port;

	port.link = &objects->links[LOAM_ROLE_OBJECTS];
	args.size = sizeof(args);
	return loam__machine.host.cache_create(&port, &args);
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

START_TEST(sizes_are_rounded_to_eight_and_large_ones_are_pages)
{
	static const struct {
		size_t bytes, usable;
	} want[] = { { 1, 8 },       { 8, 8 },       { 9, 16 },      { 4000, 4000 },  { 4087, 4088 },
		     { 4088, 4096 }, { 4096, 4096 }, { 4097, 8192 }, { 10000, 16384 } };

	boot(MACHINE("16M"));
	for (unsigned i = 0; i < LOAM_LEN(want); i++) {
		void *ptr = take(want[i].bytes);

		ck_assert_uint_eq(usable(ptr), want[i].usable);
		give(ptr);
	}
	ck_assert_uint_eq(fixture_stat(objects).footprint, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_power_of_two_is_aligned_to_itself)
{
	boot(MACHINE("16M"));
	for (size_t bytes = 8; bytes <= 65536; bytes *= 2)
		for (unsigned i = 0; i < 8; i++) {
			void *ptr = take(bytes);

			if (!ptr || (uintptr_t)ptr % bytes)
				ck_abort_msg("%zu bytes at %p", bytes, ptr);
		}
	ck_assert_uint_eq((uintptr_t)take_gfp(3000, 2048, GFP_KERNEL) % 2048, 0);
	ck_assert_uint_eq(defects(), 0);
}
END_TEST

/* Under 256, under 1024, the rest: requests of two lists never share a page. */
START_TEST(three_lists_by_size)
{
	static const size_t bytes[] = { 200, 255, 256, 1000, 1024, 2000 };
	struct page *pages[6];

	boot(MACHINE("16M"));
	for (unsigned i = 0; i < 6; i++)
		pages[i] = page_of(take_gfp(bytes[i], 8, GFP_KERNEL));
	ck_assert_ptr_eq(pages[0], pages[1]);
	ck_assert_ptr_eq(pages[2], pages[3]);
	ck_assert_ptr_ne(pages[1], pages[2]);
	ck_assert_ptr_ne(pages[3], pages[4]);
}
END_TEST

START_TEST(first_fit_reuses_the_lowest_hole_and_merges_neighbours)
{
	char *a, *b, *c, *d;

	boot(MACHINE("16M"));
	a = take(40);
	b = take(40);
	c = take(40);
	d = take(40);
	ck_assert_int_eq(b - a, 48);
	give(a);
	give(c);
	ck_assert_ptr_eq(take(24), a);
	give(b);
	/* The rest of a, b and c are one hole now. */
	ck_assert_ptr_eq(take(90), a + 32);
	ck_assert_uint_eq(defects(), 0);
	give(d);
	ck_assert_uint_eq(defects(), 0);
}
END_TEST

START_TEST(a_page_that_is_free_goes_back)
{
	void *all[300];
	unsigned long used;

	boot(MACHINE("16M"));
	used = loam__frames_used();
	for (unsigned i = 0; i < 300; i++)
		all[i] = take(i * 3 + 1);
	for (unsigned i = 0; i < 300; i++)
		give(all[(i * 7) % 300]);
	ck_assert_uint_eq(loam__frames_used(), used);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static unsigned built, unmade;
static void build(void *object)
{
	built++;
	*(unsigned *)object = 1;
}
static void unmake(void *object)
{
	unmade += *(unsigned *)object;
}

/* A block of a page, and a run. */
static const size_t both_kinds[] = { 80, 6000 };

START_TEST(the_constructor_runs_at_every_alloc)
{
	struct loam_cache *cache;
	struct loam_objects_limits limits = { .size = sizeof(limits) };

	boot(MACHINE("16M"));
	((const struct loam_objects_ops *)objects->links[LOAM_ROLE_OBJECTS].ops)->limits(objects->inst, &limits);
	ck_assert(!(limits.caps & (LOAM_OBJECTS_CONSTRUCTED | LOAM_OBJECTS_SLABINFO | LOAM_OBJECTS_POISON)));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 80, .ctor = build, .dtor = unmake });
	for (unsigned i = 0; i < 10; i++)
		loam_cache_free(cache, loam_cache_alloc(cache, GFP_KERNEL));
	ck_assert_uint_eq(built, 10);
	ck_assert_uint_eq(unmade, 10);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(kfree_of_an_object_finds_its_cache)
{
	struct loam_cache *cache;
	void *small;

	boot(MACHINE("16M"));
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 80, .dtor = unmake, .ctor = build });
	small = loam_cache_alloc(cache, GFP_KERNEL);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), -EBUSY);
	give(small);
	ck_assert_uint_eq(unmade, 1);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	cache = cache_new((struct loam_cache_args){ .name = "large", .object_size = 6000 });
	give(loam_cache_alloc(cache, GFP_KERNEL));
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(misuse_is_reported_and_harms_nothing)
{
	struct loam_cache *one, *two;
	char *ptr, *kept;

	boot(MACHINE("16M"));
	one = cache_new((struct loam_cache_args){ .name = "one", .object_size = 64 });
	two = cache_new((struct loam_cache_args){ .name = "two", .object_size = 64 });
	kept = take(100);
	ptr = take(100);
	give(ptr);
	give(ptr);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_DOUBLE_FREE] + objects->reports[LOAM_REPORT_BAD_FREE], 1);
	give(kept + 4);
	ck_assert_uint_ge(objects->reports[LOAM_REPORT_BAD_FREE], 1);
	ptr = take(20000);
	give(ptr + 4096);
	give(ptr);
	ptr = loam_cache_alloc(one, GFP_KERNEL);
	loam_cache_free(two, ptr);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_WRONG_CACHE], 1);
	loam_cache_free(one, ptr);
	ck_assert_uint_eq(defects(), 0);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 1);
}
END_TEST

/* The heap's largest run, over frames that were pages of blocks before and still say so. */
static char *run_over_old_pages(struct loam_cache *cache)
{
	void *all[300];
	char *run;

	for (unsigned i = 0; i < LOAM_LEN(all); i++)
		all[i] = take(2000);
	for (unsigned i = 0; i < LOAM_LEN(all); i++)
		give(all[i]);
	run = cache ? loam_cache_alloc(cache, GFP_KERNEL) : take(60000);
	/* Wherever a head is looked for, one of a block of 16 bytes stands. */
	for (uint32_t *word = (uint32_t *)run; word < (uint32_t *)(run + 60000); word += 2) {
		word[0] = 16;
		word[1] = 0;
	}
	return run;
}

START_TEST(an_address_inside_a_run_is_not_freed)
{
	char *run;

	boot(MACHINE("16M"));
	run = run_over_old_pages(NULL);
	for (unsigned i = 1; i < 14; i++) {
		give(run + i * 4096);
		give(run + i * 4096 + 16);
	}
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_BAD_FREE], 26);
	ck_assert_uint_eq(loam__machine.nr_reports, 26);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 1);
	give(run);
	ck_assert_uint_eq(defects(), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(an_address_inside_an_object_of_many_pages_is_not_freed)
{
	struct loam_cache *cache;
	char *object;

	boot(MACHINE("16M"));
	cache = cache_new((struct loam_cache_args){ .name = "large", .object_size = 60000 });
	object = run_over_old_pages(cache);
	for (unsigned i = 1; i < 14; i++)
		loam_cache_free(cache, object + i * 4096 + 16);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_BAD_FREE], 13);
	ck_assert_uint_eq(loam__machine.nr_reports, 13);
	loam_cache_free(cache, object);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(an_address_inside_a_run_leads_to_the_run)
{
	char *run;

	boot(MACHINE("16M"));
	run = run_over_old_pages(NULL);
	for (unsigned i = 0; i < 14; i++) {
		struct loam_span span = { .size = sizeof(span) };
		char *at = run + i * 4096 + 100;

		ck_assert_int_eq(objects->plugin->desc.find(objects->inst, at, page_of(at), &span), 0);
		ck_assert_ptr_eq(span.addr, run);
		ck_assert_uint_eq(span.bytes, 65536);
		ck_assert_int_eq(span.kind, LOAM_SPAN_LIVE);
		ck_assert_uint_eq(usable(run + i * 4096), 65536);
	}
	ck_assert_uint_eq(loam__machine.nr_reports, 0);
}
END_TEST

/* What the destructor finds must be what the holder left, and what was freed once is not unmade twice. */
START_TEST(a_double_free_runs_no_destructor)
{
	struct loam_cache *cache;
	void *object, *before, *kept;

	boot(MACHINE("16M"));
	cache = cache_new(
		(struct loam_cache_args){ .name = "c", .object_size = both_kinds[_i], .ctor = build, .dtor = unmake });
	kept = loam_cache_alloc(cache, GFP_KERNEL);
	before = loam_cache_alloc(cache, GFP_KERNEL);
	object = loam_cache_alloc(cache, GFP_KERNEL);
	/* What is free in front of it swallows it whole, with its head as it was. */
	loam_cache_free(cache, before);
	loam_cache_free(cache, object);
	ck_assert_uint_eq(unmade, 2);
	loam_cache_free(cache, object);
	ck_assert_uint_eq(unmade, 2);
	ck_assert_uint_eq(loam__machine.nr_reports, 1);
	loam_cache_free(cache, kept);
	ck_assert_uint_eq(unmade, 3);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static struct loam_cache *cache_of_again;
static void free_again(void *object)
{
	unmade++;
	loam_cache_free(cache_of_again, object);
}

/* While the destructor runs, without the lock, the object is neither live nor free. */
START_TEST(a_free_during_the_destructor_is_found_out)
{
	boot(MACHINE("16M"));
	cache_of_again =
		cache_new((struct loam_cache_args){ .name = "c", .object_size = both_kinds[_i], .dtor = free_again });
	loam_cache_free(cache_of_again, loam_cache_alloc(cache_of_again, GFP_KERNEL));
	ck_assert_uint_eq(unmade, 1);
	ck_assert_uint_eq(loam__machine.nr_reports, 1);
	ck_assert_uint_eq(defects(), 0);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache_of_again), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(misuse_is_told_in_the_kernels_words)
{
	struct loam_cache *one, *two;
	char *object, *block;
	char want[200];
	const char *heard;

	boot(MACHINE("16M"));
	one = cache_new((struct loam_cache_args){ .name = "one", .object_size = 64 });
	two = cache_new((struct loam_cache_args){ .name = "two", .object_size = 64 });
	loam_cache_alloc(one, GFP_KERNEL);
	object = loam_cache_alloc(one, GFP_KERNEL);
	block = take(64);
	memset(object, 0xff, 64);
	fixture_listen();
	loam_cache_free(two, object);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "Wrong slab cache. two but object is from one (loam"));
	loam_cache_free(two, block);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "Wrong slab cache. two but object is from kmalloc (loam"));
	loam_cache_free(one, want);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "BUG one (Not tainted): Attempt to free object("));
	loam_cache_free(one, object + 8);
	snprintf(want, sizeof(want), "BUG one (Not tainted): Invalid object pointer %p (loam", (void *)(object + 8));
	heard = fixture_heard();
	ck_assert_msg(strstr(heard, want) != NULL, "%s", heard);
	loam_cache_free(one, object);
	loam_cache_free(one, object);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "BUG one (Not tainted): Object already free (loam"));
}
END_TEST

START_TEST(dma_requests_get_pages_of_zone_dma)
{
	boot(MACHINE("16M"));
	ck_assert_ptr_ne(page_of(take(64)), page_of(take_gfp(64, 8, GFP_KERNEL | __GFP_DMA)));
	for (unsigned i = 0; i < 200; i++) {
		struct page *page = page_of(take_gfp(64, 8, GFP_KERNEL | __GFP_DMA));

		if ((page->flags & LOAM_PAGE_ZONE_MASK) != LOAM_ZONE_DMA)
			ck_abort_msg("not in zone DMA");
	}
}
END_TEST

static void *worker(void *arg)
{
	uint32_t x = (uint32_t)(uintptr_t)arg;
	unsigned char *slots[64] = { NULL };
	size_t sizes[64];

	for (unsigned i = 0; i < 20000; i++) {
		unsigned s;

		x = x * 1664525u + 1013904223u;
		s = x >> 26;
		if (slots[s]) {
			if (slots[s][0] != (unsigned char)s || slots[s][sizes[s] - 1] != (unsigned char)s)
				ck_abort_msg("contents changed");
			give(slots[s]);
			slots[s] = NULL;
		} else {
			sizes[s] = (x >> 8) % 3000 + 1;
			slots[s] = take(sizes[s]);
			memset(slots[s], (int)s, sizes[s]);
		}
	}
	for (unsigned s = 0; s < 64; s++)
		if (slots[s])
			give(slots[s]);
	return NULL;
}

START_TEST(threads_share_it)
{
	pthread_t threads[3];

	boot(MACHINE("16M"));
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, worker, (void *)(i + 1));
	for (unsigned i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(defects(), 0);
	ck_assert_uint_eq(fixture_stat(objects).footprint, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(exhaustion_and_back)
{
	void **all = calloc(100000, sizeof(*all));
	unsigned n = 0;

	boot(MACHINE("4M"));
	while (n < 100000 && (all[n] = take(100)))
		n++;
	ck_assert_uint_gt(n, 30000);
	ck_assert_uint_eq(fixture_stat(objects).failures, 1);
	for (unsigned i = 0; i < n; i++)
		give(all[i]);
	ck_assert_uint_eq(fixture_stat(objects).footprint, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
	free(all);
}
END_TEST

static int sum_live(void *arg, const struct loam_span *span)
{
	if (span->kind == LOAM_SPAN_LIVE)
		*(uint64_t *)arg += span->bytes;
	return 0;
}

START_TEST(walk_and_stat_agree)
{
	uint64_t live = 0;

	boot(MACHINE("16M"));
	for (unsigned i = 0; i < 200; i++) {
		void *ptr = take(i * 37 % 9000 + 1);

		if (i % 3 == 0)
			give(ptr);
	}
	loam__quiesce();
	objects->plugin->desc.walk(objects->inst, sum_live, &live);
	loam__resume();
	ck_assert_uint_eq(live, fixture_stat(objects).live_bytes);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("slob");
	TCase *tc = tcase_create("slob");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, sizes_are_rounded_to_eight_and_large_ones_are_pages);
	tcase_add_test(tc, a_power_of_two_is_aligned_to_itself);
	tcase_add_test(tc, three_lists_by_size);
	tcase_add_test(tc, first_fit_reuses_the_lowest_hole_and_merges_neighbours);
	tcase_add_test(tc, a_page_that_is_free_goes_back);
	tcase_add_test(tc, the_constructor_runs_at_every_alloc);
	tcase_add_test(tc, kfree_of_an_object_finds_its_cache);
	tcase_add_test(tc, misuse_is_reported_and_harms_nothing);
	tcase_add_test(tc, an_address_inside_a_run_is_not_freed);
	tcase_add_test(tc, an_address_inside_an_object_of_many_pages_is_not_freed);
	tcase_add_test(tc, an_address_inside_a_run_leads_to_the_run);
	tcase_add_loop_test(tc, a_double_free_runs_no_destructor, 0, (int)LOAM_LEN(both_kinds));
	tcase_add_loop_test(tc, a_free_during_the_destructor_is_found_out, 0, (int)LOAM_LEN(both_kinds));
	tcase_add_test(tc, misuse_is_told_in_the_kernels_words);
	tcase_add_test(tc, dma_requests_get_pages_of_zone_dma);
	tcase_add_test(tc, threads_share_it);
	tcase_add_test(tc, exhaustion_and_back);
	tcase_add_test(tc, walk_and_stat_agree);
	suite_add_tcase(suite, tc);
	return fixture_run(suite);
}
