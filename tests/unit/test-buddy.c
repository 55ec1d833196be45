/* SPDX-License-Identifier: MIT */
/* test-buddy.c: the plugin buddy, through its own table of functions and through the host. */
#include "internal.h"
#include "machine-fixture.h"

#include <pthread.h>
#include <string.h>

static struct loam_self *frames;
static const struct loam_pages_ops *ops;
static const struct loam_zone *zone;

static void boot(const char *options)
{
	char text[300];

	snprintf(text, sizeof(text),
		 "[machine]\nmemory = 64M\nzones = NORMAL:*\nseed = 5\n[frames]\nplugin = buddy\n%s\n", options);
	frames = fixture_boot(text, "frames");
	ops = frames->links[LOAM_ROLE_PAGES].ops;
	zone = &loam__machine.zones[LOAM_ZONE_NORMAL].pub;
}

static struct page *take(unsigned order)
{
	return ops->alloc(frames->inst, zone, order, 0);
}

static void give(struct page *page, unsigned order)
{
	ops->free(frames->inst, zone, page, order);
}

static void defect(void *arg, const char *text)
{
	if (arg)
		++*(int *)arg;
	else
		ck_abort_msg("check: %s", text);
}

static void assert_counts(const unsigned long *want)
{
	unsigned long counts[LOAM_ORDERS] = { 0 };

	ops->counts(frames->inst, zone, counts);
	for (unsigned i = 0; i < LOAM_ORDERS; i++)
		ck_assert_uint_eq(counts[i], want[i]);
	frames->plugin->desc.check(frames->inst, defect, NULL);
}

static const unsigned long whole[LOAM_ORDERS] = { [10] = 16 };

START_TEST(a_block_splits_and_merges_back)
{
	unsigned long split[LOAM_ORDERS] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 15 };
	struct page *page;

	boot("");
	assert_counts(whole);
	page = take(0);
	assert_counts(split);
	give(page, 0);
	assert_counts(whole);
}
END_TEST

START_TEST(every_order_runs_out_and_comes_back_whole)
{
	static struct page *pages[16385];
	unsigned n = 0;

	boot("");
	while ((pages[n] = take((unsigned)_i))) {
		if (loam_page_pfn(&loam__machine.map, pages[n]) % (1ul << _i))
			ck_abort_msg("not aligned to its size");
		n++;
	}
	ck_assert_uint_eq(n, 16384u >> _i);
	/* In an order of its own: each frame's number times an odd one. */
	for (unsigned i = 0; i < n; i++)
		give(pages[i * 2654435761u % n], (unsigned)_i);
	assert_counts(whole);
}
END_TEST

START_TEST(parts_of_a_block_may_come_back_one_by_one)
{
	struct page *page;

	boot("");
	page = take(6);
	give(page + 32, 5);
	give(page, 4);
	give(page + 16, 3);
	give(page + 24, 3);
	assert_counts(whole);
}
END_TEST

START_TEST(ranges_have_odd_ends_and_holes)
{
	struct loam_zone odd = {
		.size = sizeof(odd), .id = LOAM_ZONE_DMA32, .name = "odd", .start_pfn = 3, .end_pfn = 1000
	};
	unsigned long counts[LOAM_ORDERS] = { 0 }, frames_free = 0;
	unsigned n = 0;

	boot("");
	ck_assert_int_eq(ops->add(frames->inst, &odd, 3, 96), 0);
	ck_assert_int_eq(ops->add(frames->inst, &odd, 200, 800), 0);
	ops->counts(frames->inst, &odd, counts);
	for (unsigned i = 0; i < LOAM_ORDERS; i++)
		frames_free += counts[i] << i;
	ck_assert_uint_eq(frames_free, 896);
	for (struct page *page; (page = ops->alloc(frames->inst, &odd, 0, 0)); n++) {
		unsigned long pfn = loam_page_pfn(&loam__machine.map, page);

		if (!((pfn >= 3 && pfn < 99) || (pfn >= 200 && pfn < 1000)))
			ck_abort_msg("frame %lu lies in a hole", pfn);
	}
	ck_assert_uint_eq(n, 896);
}
END_TEST

START_TEST(the_order_limit_is_kept)
{
	unsigned long want[LOAM_ORDERS] = { [3] = 2048 };
	struct loam_pages_limits limits = { .size = sizeof(limits) };

	boot("orders = 4");
	ops->limits(frames->inst, &limits);
	ck_assert_uint_eq(limits.orders, 4);
	assert_counts(want);
	give(take(3), 3);
	assert_counts(want);
}
END_TEST

static void sequence(unsigned long out[64])
{
	for (int i = 0; i < 64; i++)
		out[i] = loam_page_pfn(&loam__machine.map, take(3));
}

START_TEST(shuffled_orders_depend_on_the_seed_alone)
{
	unsigned long plain[64], one[64], two[64];

	boot("");
	sequence(plain);
	fixture_halt();
	boot("shuffle = on");
	sequence(one);
	fixture_halt();
	boot("shuffle = on");
	sequence(two);
	ck_assert_mem_eq(one, two, sizeof(one));
	ck_assert_mem_ne(one, plain, sizeof(one));
}
END_TEST

START_TEST(bulk_takes_what_there_is)
{
	static struct page *pages[20000];

	boot("");
	ck_assert_uint_eq(ops->alloc_bulk(frames->inst, zone, 20000, pages, 0), 16384);
	ops->free_bulk(frames->inst, zone, 16384, pages);
	assert_counts(whole);
}
END_TEST

static void *hammer(void *arg)
{
	struct page *pages[64] = { 0 };
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rand_r(&seed) % 64, order = k % 4;

		if (pages[k])
			loam__pages_free(&loam__machine.frames, pages[k], order);
		pages[k] = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, order, frames->owner);
	}
	for (unsigned k = 0; k < 64; k++)
		if (pages[k])
			loam__pages_free(&loam__machine.frames, pages[k], k % 4);
	return NULL;
}

START_TEST(threads_leave_memory_whole)
{
	pthread_t threads[4];

	boot(_i ? "shuffle = on" : "");
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, hammer, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	assert_counts(whole);
	ck_assert_uint_eq(fixture_stat(frames).live_blocks, 0);
}
END_TEST

static int add_span(void *arg, const struct loam_span *span)
{
	((size_t *)arg)[span->kind] += span->bytes;
	return 0;
}

START_TEST(walk_sees_every_frame_once)
{
	size_t bytes[2] = { 0, 0 };

	boot("");
	take(0);
	take(5);
	frames->plugin->desc.walk(frames->inst, add_span, bytes);
	ck_assert_uint_eq(bytes[LOAM_SPAN_LIVE], 33 * LOAM_PAGE_SIZE);
	ck_assert_uint_eq(bytes[LOAM_SPAN_LIVE] + bytes[LOAM_SPAN_FREE], 64u << 20);
	ck_assert_uint_eq(fixture_stat(frames).live_blocks, 33);
}
END_TEST

START_TEST(check_finds_a_lost_mark)
{
	struct page *page;
	int defects = 0;

	boot("");
	page = take(0);
	page[1]._mapcount = 0;
	frames->plugin->desc.check(frames->inst, defect, &defects);
	ck_assert_int_gt(defects, 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("buddy");
	TCase *t = tcase_create("buddy");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_block_splits_and_merges_back);
	tcase_add_loop_test(t, every_order_runs_out_and_comes_back_whole, 0, 11);
	tcase_add_test(t, parts_of_a_block_may_come_back_one_by_one);
	tcase_add_test(t, ranges_have_odd_ends_and_holes);
	tcase_add_test(t, the_order_limit_is_kept);
	tcase_add_test(t, shuffled_orders_depend_on_the_seed_alone);
	tcase_add_test(t, bulk_takes_what_there_is);
	tcase_add_loop_test(t, threads_leave_memory_whole, 0, 2);
	tcase_add_test(t, walk_sees_every_frame_once);
	tcase_add_test(t, check_finds_a_lost_mark);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
