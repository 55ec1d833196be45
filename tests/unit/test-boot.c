/* SPDX-License-Identifier: MIT */
/* test-boot.c: boot and halt, undo, leaks, and the policy over the page allocator. */
#include "internal.h"
#include "machine-fixture.h"

#include <errno.h>
#include <loam/heap.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUDDY "[frames]\nplugin = buddy\n"
#define SMALL "[machine]\nmemory = 32M\nseed = 3\n"

static const struct loam_port *frames(void)
{
	return &loam__machine.frames;
}

static struct page *take(gfp_t gfp, unsigned order)
{
	return loam__pages_alloc(frames(), gfp | __GFP_NOWARN, order, loam__machine.graph->frames->owner);
}

static enum loam_zone_id zone_of(const struct page *page)
{
	return (enum loam_zone_id)(page->flags & LOAM_PAGE_ZONE_MASK);
}

START_TEST(a_machine_boots_and_halts_again_and_again)
{
	for (int i = 0; i < 5; i++) {
		fixture_boot(SMALL BUDDY "[o]\nplugin = slub\npages = frames\n", "o");
		ck_assert(loam__machine.up);
		ck_assert_uint_eq(fixture_halt(), 0);
		ck_assert(!loam__machine.up);
		ck_assert_ptr_null(loam__machine.map.base);
	}
}
END_TEST

START_TEST(a_second_machine_is_refused)
{
	struct loam_diag diag;
	struct loam__config *config;

	fixture_boot(SMALL, NULL);
	loam__diag_init(&diag);
	config = loam__config_text("f", SMALL, &diag);
	ck_assert_int_eq(loam__boot(loam__wire(config, &diag), &diag), -EBUSY);
	ck_assert_uint_eq(diag.count, 1);
	loam__diag_clear(&diag);
	loam__config_free(config);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_create_that_fails_undoes_everything)
{
	struct loam_diag diag;
	struct loam__config *config;
	struct loam__graph *graph;
	char path[8192];

	snprintf(path, sizeof(path), "%s:%s", getenv("LOAM_TEST_PLUGINS"), getenv("LOAM_PLUGIN_PATH"));
	setenv("LOAM_PLUGIN_PATH", path, 1);
	loam__diag_init(&diag);
	config = loam__config_text(
		"f", SMALL BUDDY "[o]\nplugin = slub\npages = frames\n[c]\nplugin = create-fails\npages = frames\n",
		&diag);
	graph = loam__wire(config, &diag);
	ck_assert_ptr_nonnull(graph);
	ck_assert_int_eq(loam__boot(graph, &diag), -ENOTSUP);
	ck_assert_int_eq(diag.first->line, 9);
	ck_assert_ptr_null(loam__machine.map.base);
	ck_assert_uint_eq(loam__meta_bytes(), 0);
	loam__diag_clear(&diag);
	loam__config_free(config);
	fixture_boot(SMALL BUDDY, NULL);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(what_is_live_at_halt_is_told)
{
	struct loam_self *o = fixture_boot(SMALL BUDDY "[o]\nplugin = slub\npages = frames\n", "o");
	const struct loam_heap_ops *heap = o->links[LOAM_ROLE_HEAP].ops;
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	for (int i = 0; i < 3; i++)
		heap->alloc(o->inst, 64, 8, GFP_KERNEL);
	ck_assert_uint_eq(loam__halt(out), 1);
	fclose(out);
	ck_assert_msg(strstr(text, "leak: [o] slub: 3 blocks, 192 bytes") != NULL, "%s", text);
	ck_assert_ptr_nonnull(strstr(text, "64 bytes of kmalloc-64"));
	free(text);
	loam__config_free(fixture_config);
}
END_TEST

START_TEST(a_frame_that_is_kept_is_a_leak)
{
	fixture_boot(SMALL BUDDY, NULL);
	take(GFP_KERNEL, 2);
	ck_assert_uint_eq(fixture_halt(), 1);
}
END_TEST

START_TEST(zones_fall_back_downwards_only)
{
	struct page *page;

	fixture_boot("[machine]\nmemory = 96M\nzones = DMA:16M NORMAL:32M HIGHMEM:*\n" BUDDY, NULL);
	page = take(GFP_KERNEL, 0);
	ck_assert_int_eq(zone_of(page), LOAM_ZONE_NORMAL);
	page = take(GFP_KERNEL | GFP_DMA, 0);
	ck_assert_int_eq(zone_of(page), LOAM_ZONE_DMA);
	page = take(GFP_HIGHUSER, 0);
	ck_assert_int_eq(zone_of(page), LOAM_ZONE_HIGHMEM);
	ck_assert_ptr_null(loam_page_ptr(&loam__machine.map, page));
	while ((page = take(GFP_HIGHUSER, 5)) && zone_of(page) == LOAM_ZONE_HIGHMEM)
		;
	ck_assert_int_eq(zone_of(page), LOAM_ZONE_NORMAL);
	while ((page = take(GFP_KERNEL, 5)) && zone_of(page) == LOAM_ZONE_NORMAL)
		;
	ck_assert_int_eq(zone_of(page), LOAM_ZONE_DMA);
	while ((page = take(GFP_DMA | GFP_KERNEL, 0)))
		ck_assert_int_eq(zone_of(page), LOAM_ZONE_DMA);
}
END_TEST

static unsigned long free_normal(void)
{
	return loam__machine.zones[LOAM_ZONE_NORMAL].free;
}

static void exhaust(gfp_t gfp)
{
	while (take(gfp, 0))
		;
}

START_TEST(the_reserve_is_for_those_who_may)
{
	unsigned long min;

	fixture_boot("[machine]\nmemory = 32M\nzones = NORMAL:*\n" BUDDY, NULL);
	min = loam__machine.zones[LOAM_ZONE_NORMAL].wmark_min;
	exhaust(GFP_KERNEL);
	ck_assert_uint_eq(free_normal(), min);
	ck_assert_ptr_null(take(GFP_NOWAIT, 0));
	exhaust(__GFP_HIGH | GFP_KERNEL);
	ck_assert_uint_eq(free_normal(), min - min / 2);
	ck_assert_ptr_null(take(GFP_ATOMIC | __GFP_NOMEMALLOC, 0));
	exhaust(GFP_ATOMIC);
	ck_assert_uint_eq(free_normal(), min - min / 2 - (min - min / 2) / 4);
	exhaust(GFP_KERNEL | __GFP_MEMALLOC);
	ck_assert_uint_eq(free_normal(), 0);
}
END_TEST

START_TEST(the_older_rule_gives_atomic_the_last_page)
{
	fixture_boot("[machine]\nmemory = 32M\nzones = NORMAL:*\nreserve = old\n" BUDDY, NULL);
	exhaust(GFP_ATOMIC);
	ck_assert_uint_eq(free_normal(), 0);
}
END_TEST

START_TEST(a_block_leads_back_to_its_first_frame_and_owner)
{
	struct page *page;

	fixture_boot(SMALL BUDDY, NULL);
	page = take(GFP_KERNEL | __GFP_ZERO, 4);
	for (unsigned i = 0; i < 16; i++) {
		ck_assert_ptr_eq(loam_page_head(page + i), page);
		ck_assert_uint_eq(loam_page_order(page + i), 4);
		ck_assert_ptr_eq(loam__owner_of(page + i)->self, loam__machine.graph->frames);
	}
	ck_assert_int_eq(page->_refcount, 1);
	loam__pages_free(frames(), page + 8, 3);
	loam__pages_free(frames(), page, 3);
	ck_assert_uint_eq(page->owner, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(zeroed_frames_are_zero_and_bulk_is_counted)
{
	struct page *pages[40];
	char *at;

	fixture_boot(SMALL BUDDY, NULL);
	pages[0] = take(GFP_KERNEL, 0);
	at = loam_page_ptr(&loam__machine.map, pages[0]);
	memset(at, 0xff, LOAM_PAGE_SIZE);
	loam__pages_free(frames(), pages[0], 0);
	pages[0] = take(GFP_KERNEL | __GFP_ZERO, 0);
	ck_assert_ptr_eq(loam_page_ptr(&loam__machine.map, pages[0]), at);
	ck_assert_int_eq(at[0] | at[4095], 0);
	loam__pages_free(frames(), pages[0], 0);
	ck_assert_uint_eq(loam__pages_alloc_bulk(frames(), GFP_KERNEL, 40, pages, 1), 40);
	ck_assert_uint_eq(loam__frames_used(), 40);
	loam__pages_free_bulk(frames(), 40, pages);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(an_order_beyond_the_limit_is_refused)
{
	fixture_boot(SMALL "[frames]\nplugin = buddy\norders = 4\n", NULL);
	ck_assert_ptr_nonnull(take(GFP_KERNEL, 3));
	ck_assert_ptr_null(take(GFP_KERNEL, 4));
}
END_TEST

START_TEST(high_memory_faults_until_it_is_mapped)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		fixture_boot("[machine]\nmemory = 64M\nzones = NORMAL:32M HIGHMEM:*\n" BUDDY, NULL);
		*(volatile char *)(loam__machine.map.base + (40u << 20)) = 1;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	/* A sanitizer turns the signal into an exit. */
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}
END_TEST

START_TEST(memfd_memory_is_out_of_reach_in_a_child)
{
	int status;
	pid_t pid;

	fixture_boot(SMALL BUDDY, NULL);
	*loam__machine.map.base = 7;
	pid = fork();
	if (!pid) {
		char what[200];

		loam__describe(loam__machine.map.base, what, sizeof(what));
		_exit(strstr(what, "does not survive fork") ? *loam__machine.map.base : 99);
	}
	waitpid(pid, &status, 0);
	ck_assert(WIFSIGNALED(status) || (WEXITSTATUS(status) != 7 && WEXITSTATUS(status) != 99));
	ck_assert_int_eq(*loam__machine.map.base, 7);
}
END_TEST

START_TEST(proc_texts_have_the_kernels_form)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	fixture_boot("[machine]\nmemory = 64M\n" BUDDY "[o]\nplugin = slub\npages = frames\n", "o");
	loam__slabinfo(out);
	loam__buddyinfo(out);
	loam__zoneinfo(out);
	fclose(out);
	ck_assert_ptr_nonnull(
		strstr(text, "slabinfo - version: 2.1\n# name            <active_objs> <num_objs> <objsize>"));
	ck_assert_ptr_nonnull(strstr(text, "kmalloc-8192           0      0   8192    4    8 : tunables    0    0    0 "
					   ": slabdata      0      0      0\n"));
	ck_assert_ptr_nonnull(strstr(text, "Node 0, zone      DMA      0      0      0      0      0      0      0     "
					   " 0      0      0      4 \n"));
	ck_assert_ptr_nonnull(strstr(text, "Node 0, zone   Normal\n  pages free     12288\n        boost    0\n"));
	free(text);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("boot");
	TCase *t = tcase_create("boot");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, a_machine_boots_and_halts_again_and_again);
	tcase_add_test(t, a_second_machine_is_refused);
	tcase_add_test(t, a_create_that_fails_undoes_everything);
	tcase_add_test(t, what_is_live_at_halt_is_told);
	tcase_add_test(t, a_frame_that_is_kept_is_a_leak);
	tcase_add_test(t, zones_fall_back_downwards_only);
	tcase_add_test(t, the_reserve_is_for_those_who_may);
	tcase_add_test(t, the_older_rule_gives_atomic_the_last_page);
	tcase_add_test(t, a_block_leads_back_to_its_first_frame_and_owner);
	tcase_add_test(t, zeroed_frames_are_zero_and_bulk_is_counted);
	tcase_add_test(t, an_order_beyond_the_limit_is_refused);
	tcase_add_test(t, high_memory_faults_until_it_is_mapped);
	tcase_add_test(t, memfd_memory_is_out_of_reach_in_a_child);
	tcase_add_test(t, proc_texts_have_the_kernels_form);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
