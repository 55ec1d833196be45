/* SPDX-License-Identifier: MIT */
/* test-early.c: [kernel] boot: what the boot allocator is told, and what the page allocator gets of it, early and late. */
#include "internal.h"
#include "machine-fixture.h"

#include <errno.h>

#define PAGE LOAM_PAGE_SIZE
#define FRAMES 2048u /* of 8 MiB */

static const char *const plugins[] = { "memblock", "bump" };
static const struct loam__range holes[] = { { 1, 499 }, { 510, 490 }, { 1100, FRAMES - 1100 } };
#define IN_HOLES (499u + 490 + FRAMES - 1100)

static uint64_t taken[4]; /* what a client took while the machine booted */
static int late;          /* what went wrong there */

/* Boot with @plugin, NULL: none; @more goes into [machine]. */
static struct loam_self *boot_with(const char *plugin, const char *more)
{
	char text[500];

	snprintf(text, sizeof(text),
		 "[machine]\nmemory = 8M\nzones = DMA:2M NORMAL:*\n%s\n[pages]\nplugin = buddy\n%s%s%s", more,
		 plugin ? "[kernel]\nboot = early\n[early]\nplugin = " : "", plugin ? plugin : "", "\n");
	return fixture_boot(text, "pages");
}

static unsigned long managed(void)
{
	unsigned long sum = 0;

	for (unsigned i = 0; i < LOAM_ZONES; i++)
		sum += loam__machine.zones[i].pub.managed;
	return sum;
}

/* All frames that the page allocator has; whether @pfn is one of them. Everything goes back. */
static unsigned long drain(unsigned long pfn, bool *seen)
{
	static struct page *page[FRAMES];
	unsigned long n = 0;

	*seen = false;
	while (n < FRAMES && (page[n] = loam__machine.host.pages_alloc(
				      &loam__machine.frames, GFP_ATOMIC | __GFP_MEMALLOC | __GFP_NOWARN, 0, 0)))
		*seen |= loam_page_pfn(&loam__machine.map, page[n++]) == pfn;
	for (unsigned long i = 0; i < n; i++)
		loam__machine.host.pages_free(&loam__machine.frames, page[i], 0);
	return n;
}

static void take_four(void)
{
	for (unsigned i = 0; i < 4; i++)
		late |= loam__early_alloc(2 * PAGE, PAGE, 0, 0, i % 2 ? LOAM_BOOT_TOP_DOWN : 0, &taken[i]);
}

START_TEST(what_is_taken_is_not_handed_over)
{
	bool seen;

	loam__on_early = take_four;
	boot_with(plugins[_i], "");
	ck_assert_int_eq(late, 0);
	/* The frame at address 0 is nobody's, and the host gives from the one behind it on. */
	ck_assert_uint_eq(taken[0], PAGE);
	ck_assert_uint_eq(taken[1], (FRAMES - 2) * PAGE);
	ck_assert_uint_eq(managed(), FRAMES - 8);
	ck_assert_uint_eq(drain(taken[3] >> LOAM_PAGE_SHIFT, &seen), FRAMES - 8);
	ck_assert(!seen);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(memory_above_mem_is_not_handed_over)
{
	bool seen;

	loam__on_early = take_four;
	boot_with(plugins[_i], "mem = 4M");
	ck_assert_uint_eq(taken[1], (FRAMES / 2 - 2) * PAGE);
	ck_assert_uint_eq(managed(), FRAMES / 2 - 8);
	ck_assert_uint_eq(drain(FRAMES / 2, &seen), FRAMES / 2 - 8);
	ck_assert(!seen);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static void reserve_over_a_hole(void)
{
	late |= loam__early_reserve(499 * PAGE, 4 * PAGE); /* 499 is one of frames; 500 to 502 are none */
	late |= loam__early_reserve(600 * PAGE + 10, 20);
	late |= loam__early_remove(700 * PAGE, PAGE);
}

START_TEST(holes_are_not_handed_over)
{
	bool seen;

	loam__ram = holes;
	loam__nr_ram = 3;
	loam__on_early = reserve_over_a_hole;
	boot_with(plugins[_i], "");
	ck_assert_int_eq(late, 0);
	ck_assert_uint_eq(managed(), IN_HOLES - 3);
	ck_assert_uint_eq(drain(501, &seen), IN_HOLES - 3);
	ck_assert(!seen);
	/* Late: what is RAM goes to the page allocator, the hole stays one. */
	ck_assert_int_eq(loam__early_free(499 * PAGE, 4 * PAGE), 0);
	ck_assert_uint_eq(managed(), IN_HOLES - 2);
	ck_assert_uint_eq(drain(501, &seen), IN_HOLES - 2);
	ck_assert(!seen);
	/* The frame that a few bytes were reserved of. */
	ck_assert_int_eq(loam__early_free(600 * PAGE, PAGE), 0);
	ck_assert_uint_eq(drain(600, &seen), IN_HOLES - 1);
	ck_assert(seen);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(given_back_late_goes_to_the_page_allocator_once)
{
	struct loam_boot_range range;
	uint64_t at;
	bool seen;

	loam__on_early = take_four;
	boot_with(plugins[_i], "");
	ck_assert(!loam__early());
	ck_assert_int_eq(loam__early_alloc(PAGE, PAGE, 0, 0, 0, &at), -ENODEV);
	ck_assert_int_eq(loam__early_free(taken[2], 2 * PAGE), 0);
	ck_assert_uint_eq(managed(), FRAMES - 6);
	ck_assert_uint_eq(drain(taken[2] >> LOAM_PAGE_SHIFT, &seen), FRAMES - 6);
	ck_assert(seen);
	ck_assert_int_eq(loam__early_free(taken[2], 2 * PAGE), -ENOENT);
	ck_assert_uint_eq(managed(), FRAMES - 6);
	/* What was free at the hand-over is the page allocator's already. */
	ck_assert_int_eq(loam__early_free(1024 * PAGE, PAGE), -ENOENT);
	ck_assert_int_eq(loam__early_free(taken[0] + 1, PAGE), -ENOENT); /* no whole frame */
	ck_assert_int_eq(loam__early_range(0, true, &range), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static void ask_for_memory(void)
{
	uint64_t at;

	late = loam__early_alloc(PAGE, PAGE, 0, 0, 0, &at);
}

START_TEST(without_a_boot_allocator_all_ram_is_handed_over)
{
	struct loam_boot_range range;
	bool seen;

	loam__ram = holes;
	loam__nr_ram = 3;
	loam__on_early = ask_for_memory;
	boot_with(NULL, _i ? "mem = 4M" : "");
	ck_assert_int_eq(late, -ENODEV);
	ck_assert_uint_eq(managed(), _i ? 499u + 490 : IN_HOLES);
	ck_assert_uint_eq(drain(505, &seen), managed());
	ck_assert(!seen);
	ck_assert_int_eq(loam__early_free(PAGE, PAGE), -ENODEV);
	ck_assert_int_eq(loam__early_range(0, false, &range), -ENODEV);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("early");
	TCase *tests = tcase_create("early");

	tcase_add_loop_test(tests, what_is_taken_is_not_handed_over, 0, LOAM_LEN(plugins));
	tcase_add_loop_test(tests, memory_above_mem_is_not_handed_over, 0, LOAM_LEN(plugins));
	tcase_add_loop_test(tests, holes_are_not_handed_over, 0, LOAM_LEN(plugins));
	tcase_add_loop_test(tests, given_back_late_goes_to_the_page_allocator_once, 0, LOAM_LEN(plugins));
	tcase_add_loop_test(tests, without_a_boot_allocator_all_ram_is_handed_over, 0, 2);
	suite_add_tcase(suite, tests);
	return fixture_run(suite);
}
