/* SPDX-License-Identifier: MIT */
/* test-pages.c: what every page allocator does, on an instance that the test hands frames to itself: holes, odd ends, parts. */
#include "machine-fixture.h"

#include <stdint.h>
#include <string.h>

static const char *const plugins[] = { "buddy", "bitmap" };
#define NR_PLUGINS 2
#define FRAMES 4096

static struct loam_self *frames; /* the machine's own */
static const struct loam_pages_ops *ops;
static void *inst; /* the one under test, of the same plugin */
static struct loam_zone zone = {
	.size = sizeof(zone), .id = LOAM_ZONE_NORMAL, .name = "Normal", .start_pfn = 3, .end_pfn = FRAMES
};
static unsigned long managed;

static void open_instance(unsigned plugin)
{
	char text[200];

	snprintf(text, sizeof(text), "[machine]\nmemory = 16M\nbacking = anon\nseed = 5\n[frames]\nplugin = %s\n",
		 plugins[plugin]);
	frames = fixture_boot(text, "frames");
	ops = loam__plugin_ops(frames->plugin, LOAM_ROLE_PAGES);
	ck_assert_int_eq(frames->plugin->desc.create(&loam__machine.host, &frames->args, &inst), 0);
	managed = 0;
}

static void add(unsigned long pfn, unsigned long end)
{
	ck_assert_int_eq(ops->add(inst, &zone, pfn, end - pfn), 0);
	managed += end - pfn;
}

static struct page *take(unsigned order)
{
	return ops->alloc(inst, &zone, order, 0);
}

static unsigned long pfn_of(const struct page *page)
{
	return loam_page_pfn(&loam__machine.map, page);
}

static void give(struct page *page, unsigned order)
{
	ops->free(inst, &zone, page, order);
}

static unsigned long free_frames(void)
{
	unsigned long counts[LOAM_ORDERS] = { 0 }, n = 0;

	ops->counts(inst, &zone, counts);
	for (unsigned order = 0; order < LOAM_ORDERS; order++)
		n += counts[order] << order;
	return n;
}

static void close_instance(void)
{
	frames->plugin->desc.destroy(inst);
	ck_assert_uint_eq(fixture_halt(), 0);
}

static void mark(unsigned char *owned, unsigned long pfn, unsigned order, unsigned char value)
{
	for (unsigned long i = pfn; i < pfn + (1ul << order); i++) {
		if (i >= FRAMES || owned[i] == value)
			ck_abort_msg("frame %lu of a block at %lu, order %u: %s", i, pfn, order,
				     value == 1 ? "handed out twice, or none of ours" : "not held");
		owned[i] = value;
	}
}

/* 0: ours and free, 1: handed out, 2: a hole. */
static unsigned char owned[FRAMES];

static void add_ranges(void)
{
	static const unsigned long ranges[][2] = { { 700, 1501 }, { 3, 100 }, { 101, 102 }, { 2001, FRAMES } };

	memset(owned, 1, sizeof(owned));
	for (unsigned i = 0; i < LOAM_LEN(ranges); i++) {
		add(ranges[i][0], ranges[i][1]);
		memset(owned + ranges[i][0], 0, ranges[i][1] - ranges[i][0]);
	}
}

START_TEST(frames_of_holes_are_never_handed_out)
{
	unsigned long n = 0;
	struct page *page;

	open_instance((unsigned)_i);
	add_ranges();
	ck_assert_uint_eq(free_frames(), managed);
	while ((page = take(0))) {
		mark(owned, pfn_of(page), 0, 1);
		n++;
	}
	ck_assert_uint_eq(n, managed);
	ck_assert_uint_eq(free_frames(), 0);
	close_instance();
}
END_TEST

START_TEST(blocks_are_aligned_to_their_size_and_lie_in_one_range)
{
	open_instance((unsigned)_i);
	add_ranges();
	for (int order = 10; order >= 0; order--)
		for (struct page *page; (page = take((unsigned)order));) {
			ck_assert_uint_eq(pfn_of(page) & ((1ul << order) - 1), 0);
			mark(owned, pfn_of(page), (unsigned)order, 1);
		}
	for (unsigned long i = 3; i < FRAMES; i++)
		if (!owned[i])
			ck_abort_msg("frame %lu was not handed out", i);
	close_instance();
}
END_TEST

START_TEST(a_block_may_come_back_in_parts_and_becomes_whole)
{
	unsigned long counts[LOAM_ORDERS] = { 0 };
	struct page *page;

	open_instance((unsigned)_i);
	add(1024, 2048);
	page = take(10);
	ck_assert_ptr_nonnull(page);
	ck_assert_ptr_null(take(0));
	give(page + 512, 9);
	for (unsigned i = 0; i < 512; i += 2)
		give(page + i, i % 4 ? 1 : 0), i % 4 ? (void)0 : give(page + i + 1, 0);
	ops->counts(inst, &zone, counts);
	ck_assert_uint_eq(counts[10], 1);
	ck_assert_ptr_eq(take(10), page);
	close_instance();
}
END_TEST

/* Thousands of steps against a reference array: a block is of free frames only, and fails only when none would do. */
START_TEST(random_steps_agree_with_a_model)
{
	static struct {
		struct page *page;
		unsigned order;
	} held[600];
	unsigned n = 0;
	uint32_t x = 99;

	open_instance((unsigned)_i);
	add_ranges();
	for (unsigned step = 0; step < 40000; step++) {
		x = x * 1664525u + 1013904223u;
		if (n < 600 && x >> 31) {
			unsigned order = (unsigned)__builtin_ctz(x >> 8 | 1u << 7);
			struct page *page = take(order);

			if (!page)
				continue;
			mark(owned, pfn_of(page), order, 1);
			held[n].page = page;
			held[n++].order = order;
		} else if (n) {
			unsigned i = (x >> 8) % n;

			mark(owned, pfn_of(held[i].page), held[i].order, 0);
			give(held[i].page, held[i].order);
			held[i] = held[--n];
		}
	}
	for (unsigned long i = 0, used = 0; i <= FRAMES; i++) {
		if (i == FRAMES)
			ck_assert_uint_eq(free_frames(), used);
		else
			used += !owned[i];
	}
	while (n--)
		give(held[n].page, held[n].order);
	ck_assert_uint_eq(free_frames(), managed);
	close_instance();
}
END_TEST

START_TEST(what_is_free_is_found)
{
	struct page *page;

	open_instance((unsigned)_i);
	add(8, 24);
	/* All of it, but for one pair at an odd place. */
	for (unsigned i = 0; i < 16; i++)
		ck_assert_ptr_nonnull(take(0));
	ck_assert_ptr_null(take(0));
	page = loam__machine.map.pages + 18;
	give(page, 0);
	ck_assert_ptr_null(take(1));
	give(page + 1, 0);
	ck_assert_ptr_eq(take(1), page);
	close_instance();
}
END_TEST

START_TEST(stat_counts_frames)
{
	struct loam_stat stat = { .size = sizeof(stat) };
	struct page *page;

	open_instance((unsigned)_i);
	add(0, 64);
	page = take(3);
	give(page + 4, 2);
	ck_assert_ptr_null(take(7));
	ck_assert_int_eq(frames->plugin->desc.stat(inst, &stat), 0);
	ck_assert_uint_eq(stat.allocs, 8);
	ck_assert_uint_eq(stat.frees, 4);
	ck_assert_uint_eq(stat.live_blocks, 4);
	ck_assert_uint_eq(stat.live_bytes, 4 * LOAM_PAGE_SIZE);
	ck_assert_uint_eq(stat.failures, 1);
	close_instance();
}
END_TEST

/* bitmap sees each frame; the lowest that fits is what comes. */
START_TEST(bitmap_takes_the_first_that_fits)
{
	struct page *a, *b;

	open_instance(1);
	add(3, 100);
	a = take(0);
	b = take(0);
	ck_assert_uint_eq(pfn_of(a), 3);
	ck_assert_uint_eq(pfn_of(b), 4);
	ck_assert_uint_eq(pfn_of(take(2)), 8);
	ck_assert_uint_eq(pfn_of(take(0)), 5);
	give(a, 0);
	ck_assert_ptr_eq(take(0), a);
	close_instance();
}
END_TEST

START_TEST(bitmap_reports_a_frame_that_is_freed_twice)
{
	struct page *page;

	open_instance(1);
	add(0, 64);
	page = take(2);
	give(page, 2);
	give(page + 1, 0);
	ck_assert_uint_eq(frames->reports[LOAM_REPORT_DOUBLE_FREE], 1);
	ck_assert_uint_eq(free_frames(), 64);
	close_instance();
}
END_TEST

START_TEST(pages_order_is_the_least_whose_block_has_the_bytes)
{
	ck_assert_uint_eq(loam_pages_order(0), 0);
	ck_assert_uint_eq(loam_pages_order(LOAM_PAGE_SIZE), 0);
	for (unsigned order = 0; order < LOAM_ORDERS; order++) {
		ck_assert_uint_eq(loam_pages_order(LOAM_PAGE_SIZE << order), order);
		ck_assert_uint_eq(loam_pages_order((LOAM_PAGE_SIZE << order) + 1), order + 1);
	}
}
END_TEST

static struct page range[65];
static unsigned given_parts;

/* In place of the host's: the parts come in order, aligned, each frame once. refcount: how often it came. */
static void count_part(const struct loam_port *port, struct page *page, unsigned order)
{
	ck_assert_ptr_null(port);
	ck_assert_uint_eq((unsigned long)(page - range) & ((1ul << order) - 1), 0);
	for (unsigned long i = 0; i < 1ul << order; i++)
		page[i]._refcount++;
	given_parts++;
}

START_TEST(a_range_goes_back_whole_in_aligned_parts)
{
	const struct loam_map map = { .pages = range, .nr_pages = 64 };
	const struct loam_host host = { .size = sizeof(host), .map = &map, .pages_free = count_part };

	for (unsigned long first = 0; first <= 64; first++)
		for (unsigned long end = first; end <= 64; end++) {
			memset(range, 0, sizeof(range));
			loam_pages_free_range(&host, NULL, range + first, end - first);
			for (unsigned long i = 0; i < LOAM_LEN(range); i++)
				ck_assert_int_eq(range[i]._refcount, i >= first && i < end);
		}
	given_parts = 0;
	loam_pages_free_range(&host, NULL, range + 3, 29);
	ck_assert_uint_eq(given_parts, 4); /* 3, 4-7, 8-15, 16-31 */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("pages");
	TCase *tc = tcase_create("pages");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, frames_of_holes_are_never_handed_out, 0, NR_PLUGINS);
	tcase_add_loop_test(tc, blocks_are_aligned_to_their_size_and_lie_in_one_range, 0, NR_PLUGINS);
	tcase_add_loop_test(tc, a_block_may_come_back_in_parts_and_becomes_whole, 0, NR_PLUGINS);
	tcase_add_loop_test(tc, random_steps_agree_with_a_model, 0, NR_PLUGINS);
	tcase_add_loop_test(tc, what_is_free_is_found, 0, NR_PLUGINS);
	tcase_add_loop_test(tc, stat_counts_frames, 0, NR_PLUGINS);
	tcase_add_test(tc, bitmap_takes_the_first_that_fits);
	tcase_add_test(tc, bitmap_reports_a_frame_that_is_freed_twice);
	tcase_add_test(tc, pages_order_is_the_least_whose_block_has_the_bytes);
	tcase_add_test(tc, a_range_goes_back_whole_in_aligned_parts);
	suite_add_tcase(suite, tc);
	return fixture_run(suite);
}
