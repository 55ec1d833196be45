/* SPDX-License-Identifier: MIT */
/* test-window.c: windows, in which frames of a machine backed by a memfd appear. */
#include "internal.h"
#include "machine-fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>

#if defined(__has_include) && __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#define VALGRIND_DISABLE_ERROR_REPORTING ((void)0)
#define VALGRIND_ENABLE_ERROR_REPORTING ((void)0)
#endif

#define PAGE LOAM_PAGE_SIZE
#define PAGES 32

static struct loam_self *self;
static char *window;
static sigjmp_buf back;

static void on_fault(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

/* Whether an access to @at faults. */
static bool faults(const void *at, bool write)
{
	volatile char *byte = (volatile char *)(uintptr_t)at;
	static volatile char kept; /* for valgrind a read that nobody uses is none */

	VALGRIND_DISABLE_ERROR_REPORTING; /* which would be that it faults */
	if (!sigsetjmp(back, 1)) {
		kept = *byte;
		if (write)
			*byte = kept;
		VALGRIND_ENABLE_ERROR_REPORTING;
		return false;
	}
	VALGRIND_ENABLE_ERROR_REPORTING;
	return true;
}

static void boot(const char *backing)
{
	char text[300];

	snprintf(text, sizeof(text),
		 "[machine]\nmemory = 32M\nbacking = %s\nzones = %s\nreport = continue\n[frames]\nplugin = buddy\n",
		 backing, strcmp(backing, "anon") ? "DMA:4M NORMAL:16M HIGHMEM:*" : "DMA:4M NORMAL:*");
	self = fixture_boot(text, "frames");
	signal(SIGSEGV, on_fault);
}

static void set_up(void)
{
	boot("memfd");
	window = loam__window_open(self, PAGES * PAGE, 0);
	ck_assert_ptr_nonnull(window);
}

static void tear_down(void)
{
	loam__window_close(self, window);
	ck_assert_uint_eq(fixture_halt(), 0);
}

static struct page *take(gfp_t gfp, unsigned order)
{
	struct page *page = loam__pages_alloc(&loam__machine.frames, gfp, order, 0);

	ck_assert_ptr_nonnull(page);
	return page;
}

static void give(struct page *page, unsigned order)
{
	loam__pages_free(&loam__machine.frames, page, order);
}

static uint64_t reported(void)
{
	return __atomic_load_n(&self->reports[LOAM_REPORT_MISUSE], __ATOMIC_RELAXED);
}

/* ---- open ---- */

START_TEST(a_window_is_aligned_and_empty)
{
	for (size_t align = PAGE; align <= 1u << 30; align *= 4) {
		char *at = loam__window_open(self, 3 * PAGE + 1, align);

		ck_assert_ptr_nonnull(at);
		ck_assert_uint_eq((uintptr_t)at % align, 0);
		ck_assert(faults(at, false) && faults(at + 4 * PAGE - 1, false));
		ck_assert_ptr_eq(loam__window_owner(at + 4 * PAGE - 1), self);
		/* The other one may begin there. */
		ck_assert(at + 4 * PAGE == window || !loam__window_owner(at + 4 * PAGE));
		loam__window_close(self, at);
		ck_assert_ptr_null(loam__window_owner(at));
	}
	ck_assert_ptr_null(loam__window_open(self, 0, 0));
	ck_assert_ptr_null(loam__window_open(self, PAGE, 3 * PAGE));
	ck_assert_ptr_null(loam__window_open(self, SIZE_MAX, 0));
	ck_assert_uint_eq(reported(), 0);
}
END_TEST

/* ---- map ---- */

static void check_alias(const char *at, const struct page *page)
{
	char *linear = loam_page_ptr(&loam__machine.map, page);

	ck_assert_ptr_eq(loam__window_page(at), page);
	ck_assert_ptr_eq(loam__window_page(at + PAGE - 1), page);
	if (!linear)
		return;
	linear[5] = 'a';
	ck_assert_int_eq(at[5], 'a');
	((char *)(uintptr_t)at)[PAGE - 1] = 'b';
	ck_assert_int_eq(linear[PAGE - 1], 'b');
}

/* Frames of all zones, apart from each other. */
START_TEST(scattered_frames_appear)
{
	static const gfp_t ways[] = { GFP_KERNEL, GFP_HIGHUSER, GFP_KERNEL | __GFP_DMA };
	struct page *pages[PAGES / 2], *between[PAGES / 2];
	uint64_t calls = loam__window_calls;

	for (unsigned i = 0; i < LOAM_LEN(pages); i++) {
		pages[i] = take(ways[i % LOAM_LEN(ways)], 0);
		between[i] = take(ways[i % LOAM_LEN(ways)], 0);
	}
	ck_assert_int_eq(loam__window_map(self, window + PAGE, pages, LOAM_LEN(pages), 0), 0);
	ck_assert_uint_le(loam__window_calls - calls, LOAM_LEN(pages));
	ck_assert(faults(window, false) && faults(window + (1 + LOAM_LEN(pages)) * PAGE, false));
	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		check_alias(window + (1 + i) * PAGE, pages[i]);
	for (unsigned i = 0; i < LOAM_LEN(pages); i++) {
		give(pages[i], 0);
		give(between[i], 0);
	}
}
END_TEST

START_TEST(a_run_is_one_call)
{
	struct page *run = take(GFP_KERNEL, 4), *pages[16];
	uint64_t calls;

	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		pages[i] = run + i;
	calls = loam__window_calls;
	ck_assert_int_eq(loam__window_map(self, window, pages, LOAM_LEN(pages), 0), 0);
	ck_assert_uint_eq(loam__window_calls - calls, 1);
	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		check_alias(window + i * PAGE, pages[i]);
	/* The other way round each is a run. */
	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		pages[i] = run + 15 - i;
	ck_assert_int_eq(loam__window_map(self, window, pages, LOAM_LEN(pages), 0), 0);
	ck_assert_uint_eq(loam__window_calls - calls, 17);
	for (unsigned i = 0; i < LOAM_LEN(pages); i++)
		check_alias(window + i * PAGE, pages[i]);
	give(run, 4);
}
END_TEST

START_TEST(a_frame_appears_twice)
{
	struct page *page = take(GFP_HIGHUSER, 0), *pages[] = { page, page };

	ck_assert_int_eq(loam__window_map(self, window, pages, 2, 0), 0);
	window[7] = 'x';
	ck_assert_int_eq(window[PAGE + 7], 'x');
	give(page, 0);
}
END_TEST

START_TEST(read_only_is_read)
{
	struct page *page = take(GFP_KERNEL, 0);

	ck_assert_int_eq(loam__window_map(self, window, &page, 1, LOAM_WINDOW_READONLY), 0);
	((char *)loam_page_ptr(&loam__machine.map, page))[9] = 'r';
	ck_assert_int_eq(window[9], 'r');
	ck_assert(faults(window + 9, true));
	/* The same place may become writable. */
	ck_assert_int_eq(loam__window_map(self, window, &page, 1, 0), 0);
	ck_assert(!faults(window + 9, true));
	give(page, 0);
}
END_TEST

START_TEST(physical_memory_appears)
{
	unsigned long all = loam__machine.map.nr_pages;

	ck_assert_int_eq(loam__window_map_phys(self, window, (all - 2) << LOAM_PAGE_SHIFT, 2, 0), 0);
	ck_assert_ptr_eq(loam__window_page(window + PAGE), loam__machine.map.pages + all - 1);
	ck_assert_int_eq(loam__window_map_phys(self, window, (all - 2) << LOAM_PAGE_SHIFT, 3, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map_phys(self, window, all << LOAM_PAGE_SHIFT, 1, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map_phys(self, window, ~0xfffull, 2, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map_phys(self, window, 100, 1, 0), -EINVAL);
	ck_assert_uint_eq(reported(), 0);
}
END_TEST

/* ---- unmap ---- */

START_TEST(unmapped_pages_fault)
{
	struct page *run = take(GFP_KERNEL, 2), *pages[] = { run, run + 1, run + 2, run + 3 };
	uint64_t calls;

	ck_assert_int_eq(loam__window_map(self, window, pages, 4, 0), 0);
	calls = loam__window_calls;
	loam__window_unmap(self, window + PAGE, 2);
	ck_assert_uint_eq(loam__window_calls - calls, 1);
	ck_assert(!faults(window, true) && !faults(window + 3 * PAGE, true));
	ck_assert(faults(window + PAGE, false) && faults(window + 3 * PAGE - 1, false));
	ck_assert_ptr_null(loam__window_page(window + PAGE));
	ck_assert_ptr_eq(loam__window_page(window + 3 * PAGE), run + 3);
	/* Nothing is there already: that is no mistake. */
	loam__window_unmap(self, window, PAGES);
	loam__window_unmap(self, window, 0);
	ck_assert(faults(window, false));
	ck_assert_uint_eq(reported(), 0);
	give(run, 2);
}
END_TEST

/* ---- mistakes ---- */

START_TEST(addresses_outside_are_refused)
{
	struct page *page = take(GFP_KERNEL, 0), *pages[] = { page, page };
	struct loam_self *other = NULL;
	uint64_t n = 0;
	int local;

	fixture_listen();
	ck_assert_int_eq(loam__window_map(self, window - PAGE, pages, 1, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map(self, window + PAGES * PAGE, pages, 1, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map(self, window + (PAGES - 1) * PAGE, pages, 2, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map(self, window, pages, ~0ul, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map(self, window + 8, pages, 1, 0), -EINVAL);
	ck_assert_int_eq(loam__window_map_phys(self, &local, 0, 1, 0), -EINVAL);
	ck_assert_uint_eq(reported(), n += 6);
	loam__window_unmap(self, window + (PAGES - 1) * PAGE, 2);
	loam__window_close(self, window + PAGE);
	loam__window_close(self, &local);
	ck_assert_uint_eq(reported(), n += 3);
	/* Another's window. */
	ck_assert_int_eq(loam__window_map(other, window, pages, 1, 0), -EINVAL);
	loam__window_close(other, window);
	ck_assert_ptr_eq(loam__window_owner(window), self);
	ck_assert_ptr_null(loam__window_page(window));
	ck_assert_ptr_null(loam__window_page(&local));
	ck_assert(faults(window, false));
	give(page, 0);
}
END_TEST

START_TEST(without_memfd_nothing_appears)
{
	struct page *page;

	boot("anon");
	window = loam__window_open(self, PAGES * PAGE, 0);
	ck_assert_ptr_nonnull(window);
	page = take(GFP_KERNEL, 0);
	ck_assert_int_eq(loam__window_map(self, window, &page, 1, 0), -ENOTSUP);
	ck_assert_int_eq(loam__window_map_phys(self, window, 0, 1, 0), -ENOTSUP);
	ck_assert(faults(window, false));
	give(page, 0);
	loam__window_close(self, window);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(windows_left_open_are_leaks)
{
	char *other;

	boot("memfd");
	window = loam__window_open(self, PAGES * PAGE, 0);
	other = loam__window_open(self, PAGE, 0);
	ck_assert(window && other && window != other);
	fixture_listen();
	ck_assert_uint_eq(fixture_halt(), 1);
	ck_assert_ptr_nonnull(strstr(fixture_heard(), "[frames] 2 windows"));
	ck_assert_ptr_null(loam__window_owner(window));
	ck_assert_ptr_null(loam__window_owner(other));
}
END_TEST

/* There are 64 entries; one that was closed serves again. */
START_TEST(windows_come_and_go)
{
	char *all[100];
	unsigned n = 0;

	for (unsigned round = 0; round < 3; round++) {
		for (n = 0; n < LOAM_LEN(all) && (all[n] = loam__window_open(self, PAGE, 0)); n++)
			;
		ck_assert_uint_ge(n, 50);
		while (n--)
			loam__window_close(self, all[n]);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("window");
	TCase *t = tcase_create("open"), *alone = tcase_create("machines");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_add_test(t, a_window_is_aligned_and_empty);
	tcase_add_test(t, scattered_frames_appear);
	tcase_add_test(t, a_run_is_one_call);
	tcase_add_test(t, a_frame_appears_twice);
	tcase_add_test(t, read_only_is_read);
	tcase_add_test(t, physical_memory_appears);
	tcase_add_test(t, unmapped_pages_fault);
	tcase_add_test(t, addresses_outside_are_refused);
	tcase_add_test(t, windows_come_and_go);
	suite_add_tcase(s, t);
	tcase_add_test(alone, without_memfd_nothing_appears);
	tcase_add_test(alone, windows_left_open_are_leaks);
	suite_add_tcase(s, alone);
	return fixture_run(s);
}
