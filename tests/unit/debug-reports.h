/* SPDX-License-Identifier: MIT */
/*
 * debug-reports.h: what slab and slub say of misuse, in the kernel's words: one set of tests for both, because their texts
 * agree. Who includes it has MACHINE, boot(), objects, cache_new(), take(), give() and page_of().
 */
#ifndef LOAM_TEST_DEBUG_REPORTS_H
#define LOAM_TEST_DEBUG_REPORTS_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_LINES 21 /* of one finding, at the most */

/* A pair of a cache called c and an object of it, with a machine around, whose words are heard. */
static struct loam_cache *debug_cache;

static char *debug_boot(uint32_t flags, size_t bytes, size_t align)
{
	boot(MACHINE("32M", ""));
	debug_cache = cache_new(
		(struct loam_cache_args){ .name = "c", .object_size = bytes, .align = align, .flags = flags });
	ck_assert_ptr_nonnull(debug_cache);
	fixture_listen();
	return loam_cache_alloc(debug_cache, GFP_KERNEL);
}

static char *base_of(const void *object)
{
	return loam_page_ptr(&loam__machine.map, loam_page_head(page_of(object)));
}

static size_t slab_bytes(const void *object)
{
	return LOAM_PAGE_SIZE << loam_page_order(loam_page_head(page_of(object)));
}

static unsigned count_in(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

static LOAM_PRINTF(2, 3) void must_say(const char *text, const char *fmt, ...)
{
	char want[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(want, sizeof(want), fmt, args);
	va_end(args);
	ck_assert_msg(strstr(text, want), "no \"%s\" in\n%s", want, text);
}

static LOAM_PRINTF(2, 3) void must_not_say(const char *text, const char *fmt, ...)
{
	char want[400];
	va_list args;

	va_start(args, fmt);
	vsnprintf(want, sizeof(want), fmt, args);
	va_end(args);
	ck_assert_msg(!strstr(text, want), "\"%s\" in\n%s", want, text);
}

static void say_defect(void *arg, const char *text)
{
	fprintf(stderr, "check: %s\n", text);
	++*(unsigned *)arg;
}

static unsigned check_all(void)
{
	unsigned n = 0;

	loam__quiesce();
	objects->plugin->desc.check(objects->inst, say_defect, &n);
	loam__resume();
	return n;
}

/* ---- what was overwritten ---- */

static const struct {
	uint32_t flags;
	size_t align;
	bool live; /* written to while the object is its holder's; else after free */
	long offset;
	const char *what;
	unsigned before;
} overwritings[] = {
	{ SLAB_RED_ZONE, 0, true, 60, "Right Redzone", 0xcc },
	{ SLAB_RED_ZONE, 0, true, -1, "Left Redzone", 0xcc },
	{ SLAB_RED_ZONE, 0, false, 60, "Right Redzone", 0xbb },
	{ SLAB_RED_ZONE, 0, false, -8, "Left Redzone", 0xbb },
	{ SLAB_POISON, 0, false, 10, "Poison", 0x6b },
	{ SLAB_POISON, 0, false, 59, "End Poison", 0xa5 },
	{ SLAB_POISON, 0, true, 61, "Alignment padding", 0x5a },
	{ SLAB_RED_ZONE | SLAB_POISON, 32, true, 75, "Object padding", 0x5a },
	{ SLAB_RED_ZONE | SLAB_POISON, 32, false, 75, "Object padding", 0x5a },
};

/* One line says all, so that it can be found by it; another says what was done. */
START_TEST(an_overwriting_is_told_in_the_kernels_words)
{
	char *object = debug_boot(overwritings[_i].flags, 60, overwritings[_i].align), *at = object;
	const char *heard, *what = overwritings[_i].what;
	unsigned before = overwritings[_i].before;

	at += overwritings[_i].offset;
	if (!overwritings[_i].live)
		loam_cache_free(debug_cache, object);
	*at = 'A';
	if (overwritings[_i].live)
		loam_cache_free(debug_cache, object);
	else
		ck_assert_ptr_eq(loam_cache_alloc(debug_cache, GFP_KERNEL), object);
	heard = fixture_heard();
	must_say(heard,
		 "%p: BUG c (Not tainted): %s overwritten. %p-%p @offset=%td. First byte 0x41 instead of 0x%x (loam",
		 (void *)object, what, (void *)at, (void *)at, at - base_of(object), before);
	must_say(heard, "FIX c: Restoring %s %p-%p=0x%x\n", what, (void *)at, (void *)at, before);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_CORRUPTION], 1);
	ck_assert_uint_eq(check_all(), 0);
}
END_TEST

START_TEST(only_what_was_overwritten_is_restored)
{
	char *object = debug_boot(SLAB_RED_ZONE | SLAB_POISON, 400, 0);

	loam_cache_free(debug_cache, object);
	memcpy(object + 100, "after free", 10);
	loam_cache_alloc(debug_cache, GFP_KERNEL);
	must_say(fixture_heard(), "FIX c: Restoring Poison %p-%p=0x6b\n", (void *)(object + 100),
		 (void *)(object + 109));
}
END_TEST

START_TEST(a_report_shows_the_slab_and_the_object)
{
	char *object = debug_boot(SLAB_RED_ZONE | SLAB_POISON, 60, 32);
	const char *heard;

	loam_cache_alloc(debug_cache, GFP_KERNEL);
	strcpy(object, "a text in it");
	memcpy(object + 60, "over", 5);
	loam_cache_free(debug_cache, object);
	heard = fixture_heard();
	must_say(heard, "Slab %p objects=%zu used=2 fp=0x", (void *)base_of(object), slab_bytes(object) / 128);
	must_say(heard, "Object %p @offset=%td", (void *)object, object - base_of(object));
	must_say(heard, "Redzone  %p: cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc  ................\n",
		 (void *)(object - 32));
	must_say(heard, "Object   %p: 61 20 74 65 78 74 20 69 6e 20 69 74 00 6b 6b 6b  a text in it.kkk\n",
		 (void *)object);
	must_say(heard, "Redzone  %p: 6f 76 65 72 ", (void *)(object + 60));
	must_say(heard, "Padding  %p: 5a 5a 5a 5a ", (void *)(object + 72));
	ck_assert_uint_eq(count_in(heard, "======="), count_in(heard, "-------"));
	ck_assert_uint_gt(count_in(heard, "======="), 0);
	ck_assert_uint_le(count_in(heard, "\n"), REPORT_LINES);
}
END_TEST

/* Without a red zone the bytes before the object stand in its place, as far as they are the slab's. */
START_TEST(a_report_without_red_zones_shows_the_bytes_before)
{
	char *object = debug_boot(SLAB_POISON, 60, 0), *second = loam_cache_alloc(debug_cache, GFP_KERNEL);

	if (second < object)
		second = object;
	loam_cache_free(debug_cache, second);
	second[3] = 'A';
	ck_assert_ptr_eq(loam_cache_alloc(debug_cache, GFP_KERNEL), second);
	must_say(fixture_heard(), "Bytes b4 %p: ", (void *)(second - 16));
}
END_TEST

START_TEST(a_report_shows_where_a_large_object_was_overwritten)
{
	char *object = debug_boot(SLAB_RED_ZONE | SLAB_POISON, 3000, 512);
	const char *heard;

	loam_cache_free(debug_cache, object);
	memcpy(object + 2000, "far from its start", 18);
	memset(object + 2500, 0, 500);
	loam_cache_alloc(debug_cache, GFP_KERNEL);
	heard = fixture_heard();
	must_say(heard, "Object   %p: 6b 6b", (void *)object);
	must_say(heard, "Object   %p: 66 61 72 20 66 72 6f 6d 20 69 74 73 20 73 74 61  far from its sta\n",
		 (void *)(object + 2000));
	ck_assert_uint_le(count_in(heard, "\n"), REPORT_LINES);
}
END_TEST

/* Each is told by its line; what surrounds them is shown once. */
START_TEST(several_findings_of_one_object_share_one_picture)
{
	char *object = debug_boot(SLAB_RED_ZONE | SLAB_POISON, 60, 0);
	const char *heard;

	object[-1] = object[60] = 'A';
	loam_cache_free(debug_cache, object);
	heard = fixture_heard();
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_CORRUPTION], 2);
	ck_assert_uint_eq(count_in(heard, "BUG c (Not tainted): Left Redzone overwritten"), 1);
	ck_assert_uint_eq(count_in(heard, "BUG c (Not tainted): Right Redzone overwritten"), 1);
	ck_assert_uint_eq(count_in(heard, "Slab 0x"), 1);
	ck_assert_uint_eq(count_in(heard, "FIX c: Restoring"), 2);
}
END_TEST

START_TEST(the_end_of_a_slab_is_watched_when_an_object_is_freed)
{
	char *object = debug_boot(SLAB_RED_ZONE | SLAB_POISON, 700, 0),
	     *last = base_of(object) + slab_bytes(object) - 2;
	const char *heard;

	memcpy(last, "AB", 2);
	loam_cache_free(debug_cache, object);
	heard = fixture_heard();
	must_say(heard,
		 "BUG c (Not tainted): slab padding overwritten. %p-%p @offset=%zu. First byte 0x41 instead of 0x5a",
		 (void *)last, (void *)(last + 1), slab_bytes(object) - 2);
	must_say(heard, "Padding  ");
	must_say(heard, "41 42 ");
	must_say(heard, "FIX c: Restoring slab padding %p-%p=0x5a", (void *)last, (void *)(last + 1));
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_CORRUPTION], 1);
	ck_assert_uint_le(count_in(heard, "\n"), REPORT_LINES);
}
END_TEST

START_TEST(the_end_of_a_slab_is_watched_when_an_object_is_taken)
{
	char *object = debug_boot(SLAB_POISON, 700, 0);

	base_of(object)[slab_bytes(object) - 1] = 'A';
	loam_cache_alloc(debug_cache, GFP_KERNEL);
	must_say(fixture_heard(), "BUG c (Not tainted): slab padding overwritten. ");
	loam_cache_alloc(debug_cache, GFP_KERNEL);
	must_not_say(fixture_heard(), "slab padding");
}
END_TEST

START_TEST(check_tells_each_finding_in_one_line)
{
	char *object = debug_boot(SLAB_RED_ZONE | SLAB_POISON, 700, 0);
	const char *heard;

	object[700] = 'A';
	base_of(object)[slab_bytes(object) - 1] = 'B';
	ck_assert_uint_eq(check_all(), 2);
	heard = fixture_heard();
	must_say(heard, "check: BUG c (Not tainted): Right Redzone overwritten. %p-%p @offset=", (void *)(object + 700),
		 (void *)(object + 700));
	must_say(heard, "check: BUG c (Not tainted): slab padding overwritten. ");
	ck_assert_uint_eq(count_in(heard, "\n"), 2);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_CORRUPTION], 0);
}
END_TEST

/* ---- a machine that stops at the first report ---- */

static void break_red_zone(char *object)
{
	object[60] = 'A';
	loam_cache_free(debug_cache, object);
}

static void free_inside(char *object)
{
	loam_cache_free(debug_cache, object + 4);
}

static const struct {
	void (*misuse)(char *object);
	const char *what, *fix;
} stops[] = {
	{ break_red_zone, "BUG c (Not tainted): Right Redzone overwritten. ", "FIX c: Restoring Right Redzone " },
	{ free_inside, "BUG c (Not tainted): Invalid object pointer ", "FIX c: Object at " },
};

START_TEST(a_machine_that_stops_shows_all_before)
{
	char *object = debug_boot(SLAB_RED_ZONE, 60, 0);
	const char *heard;
	int status;
	pid_t pid = fork();

	if (!pid) {
		loam__machine.on_report = LOAM_ON_REPORT_STOP;
		stops[_i].misuse(object);
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	heard = fixture_heard();
	must_say(heard, "%s", stops[_i].what);
	must_say(heard, "loam: [objects] Object %p @offset=", (void *)object);
	must_say(heard, "loam: [objects] %s", stops[_i].fix);
}
END_TEST

/* ---- what was freed ---- */

static const uint32_t each_flag[] = { SLAB_CONSISTENCY_CHECKS, SLAB_RED_ZONE, SLAB_POISON, SLAB_STORE_USER };

/* Wherever in the list of the free it stands. */
START_TEST(an_object_that_is_free_is_not_freed_again)
{
	char *one = debug_boot(each_flag[_i], 64, 0), *two = loam_cache_alloc(debug_cache, GFP_KERNEL);
	const char *heard;

	loam_cache_free(debug_cache, one);
	loam_cache_free(debug_cache, two);
	loam_cache_free(debug_cache, one);
	heard = fixture_heard();
	must_say(heard, "loam: double free: [objects] ");
	must_say(heard, "%p: BUG c (Not tainted): Object already free (loam", (void *)one);
	must_say(heard, "Slab %p objects=", (void *)base_of(one));
	must_say(heard, "Object %p @offset=", (void *)one);
	must_say(heard, "FIX c: Object at %p not freed\n", (void *)one);
	ck_assert_uint_le(count_in(heard, "\n"), REPORT_LINES);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_DOUBLE_FREE], 1);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 0);
	ck_assert_ptr_ne(loam_cache_alloc(debug_cache, GFP_KERNEL), loam_cache_alloc(debug_cache, GFP_KERNEL));
	ck_assert_uint_eq(check_all(), 0);
}
END_TEST

START_TEST(an_address_inside_an_object_is_not_freed)
{
	char *object = debug_boot(each_flag[_i], 64, 0);
	const char *heard;

	loam_cache_free(debug_cache, object + 4);
	heard = fixture_heard();
	must_say(heard, "loam: bad free: [objects] ");
	must_say(heard, "BUG c (Not tainted): Invalid object pointer %p (loam", (void *)(object + 4));
	must_say(heard, "Object %p @offset=", (void *)object);
	must_say(heard, "FIX c: Object at %p not freed\n", (void *)(object + 4));
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_BAD_FREE], 1);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 1);
	loam_cache_free(debug_cache, object);
	ck_assert_uint_eq(check_all(), 0);
}
END_TEST

START_TEST(an_object_of_another_cache_is_told_by_its_name)
{
	void *object = debug_boot(_i ? SLAB_RED_ZONE : 0, 64, 0);
	struct loam_cache *other = cache_new((struct loam_cache_args){ .name = "other", .object_size = 64 });

	loam_cache_free(other, object);
	must_say(fixture_heard(), "loam: wrong cache: [objects] ");
	loam_cache_free(other, object);
	must_say(fixture_heard(), "%p: Wrong slab cache. other but object is from c (loam", object);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_WRONG_CACHE], 2);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 1);
}
END_TEST

START_TEST(a_block_of_the_heap_is_told_by_its_class)
{
	void *small, *large;

	debug_boot(0, 64, 0);
	small = take(100, 8);
	large = take(100000, 8);
	loam_cache_free(debug_cache, small);
	must_say(fixture_heard(), "Wrong slab cache. c but object is from kmalloc-128 (loam");
	loam_cache_free(debug_cache, large);
	must_say(fixture_heard(), "Wrong slab cache. c but object is from kmalloc (loam");
	give(small);
	give(large);
}
END_TEST

START_TEST(what_is_of_nobody_is_told_as_outside)
{
	struct page *page;
	char local;

	debug_boot(0, 64, 0);
	loam_cache_free(debug_cache, &local);
	must_say(fixture_heard(), "BUG c (Not tainted): Attempt to free object(%p) outside of slab (loam",
		 (void *)&local);
	ck_assert_uint_eq(objects->reports[LOAM_REPORT_BAD_FREE], 1);
	page = loam__pages_alloc(&loam__machine.frames, GFP_KERNEL, 0, 12345);
	loam_cache_free(debug_cache, loam_page_ptr(&loam__machine.map, page));
	must_say(fixture_heard(), "Wrong slab cache. c but object is from another instance (loam");
	loam__pages_free(&loam__machine.frames, page, 0);
}
END_TEST

/* ---- who had it ---- */

static void *free_there(void *object)
{
	loam_cache_free(debug_cache, object);
	return (void *)(intptr_t)gettid();
}

START_TEST(a_tracked_object_tells_who_allocated_and_freed_it)
{
	char *object = debug_boot(SLAB_STORE_USER | SLAB_POISON, 64, 0);
	pthread_t thread;
	const char *heard;
	void *other;

	loam_cache_free(debug_cache, object + 1);
	heard = fixture_heard();
	must_say(heard, "Allocated by thread %d age=", gettid());
	must_not_say(heard, "Freed by");
	pthread_create(&thread, NULL, free_there, object);
	pthread_join(thread, &other);
	object[5] = 'A';
	ck_assert_ptr_eq(loam_cache_alloc(debug_cache, GFP_KERNEL), object);
	heard = fixture_heard();
	must_say(heard, "Poison overwritten");
	must_say(heard, "Allocated by thread %d age=", gettid());
	must_say(heard, "Freed by thread %d age=", (int)(intptr_t)other);
}
END_TEST

START_TEST(a_tracked_object_is_watched_behind_its_tracks)
{
	char *object = debug_boot(SLAB_STORE_USER | SLAB_RED_ZONE | SLAB_POISON, 64, 128);
	size_t padding = 64 + 8 + 8 + 32; /* red zone, link, tracks */

	object[padding] = 'A';
	loam_cache_free(debug_cache, object);
	must_say(fixture_heard(), "BUG c (Not tainted): Object padding overwritten. %p-%p", (void *)(object + padding),
		 (void *)(object + padding));
}
END_TEST

/* ---- worse ---- */

#define ALL_CHECKS (SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER)
static const uint32_t hostile_flags[] = { SLAB_CONSISTENCY_CHECKS, SLAB_RED_ZONE, SLAB_POISON, SLAB_STORE_USER,
					  ALL_CHECKS };

/* A slab is written over from its first byte to its last. What comes then may be told and lost, but not handed out twice. */
START_TEST(a_slab_that_is_written_over_does_no_harm)
{
	void *kept[8], *taken[200];
	char *object = debug_boot(hostile_flags[_i], 100, 0);

	for (unsigned i = 0; i < 8; i++)
		kept[i] = loam_cache_alloc(debug_cache, GFP_KERNEL);
	for (unsigned i = 0; i < 4; i++)
		loam_cache_free(debug_cache, kept[i]);
	memset(base_of(object), 0x41 + _i, slab_bytes(object));
	for (unsigned i = 4; i < 8; i++)
		loam_cache_free(debug_cache, kept[i]);
	for (unsigned i = 0; i < LOAM_LEN(taken); i++) {
		taken[i] = loam_cache_alloc(debug_cache, GFP_KERNEL);
		ck_assert_ptr_nonnull(taken[i]);
		for (unsigned k = 0; k < i; k++)
			if (taken[i] == taken[k])
				ck_abort_msg("handed out twice");
		if (taken[i] == object)
			ck_abort_msg("handed out and live");
		memset(taken[i], 1, 100);
	}
	for (unsigned i = 0; i < LOAM_LEN(taken); i++)
		loam_cache_free(debug_cache, taken[i]);
	check_all();
	ck_assert_uint_eq(check_all(), 0);
	loam_cache_free(debug_cache, object);
	ck_assert_uint_eq(fixture_stat(objects).live_blocks, 0);
	ck_assert_uint_eq(loam__machine.host.cache_destroy(debug_cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static TCase *debug_reports(void)
{
	TCase *tc = tcase_create("debug reports");

	tcase_set_timeout(tc, 60);
	tcase_add_loop_test(tc, an_overwriting_is_told_in_the_kernels_words, 0, (int)LOAM_LEN(overwritings));
	tcase_add_test(tc, only_what_was_overwritten_is_restored);
	tcase_add_test(tc, a_report_shows_the_slab_and_the_object);
	tcase_add_test(tc, a_report_without_red_zones_shows_the_bytes_before);
	tcase_add_test(tc, a_report_shows_where_a_large_object_was_overwritten);
	tcase_add_test(tc, several_findings_of_one_object_share_one_picture);
	tcase_add_test(tc, the_end_of_a_slab_is_watched_when_an_object_is_freed);
	tcase_add_test(tc, the_end_of_a_slab_is_watched_when_an_object_is_taken);
	tcase_add_test(tc, check_tells_each_finding_in_one_line);
	tcase_add_loop_test(tc, a_machine_that_stops_shows_all_before, 0, (int)LOAM_LEN(stops));
	tcase_add_loop_test(tc, an_object_that_is_free_is_not_freed_again, 0, (int)LOAM_LEN(each_flag));
	tcase_add_loop_test(tc, an_address_inside_an_object_is_not_freed, 0, (int)LOAM_LEN(each_flag));
	tcase_add_loop_test(tc, an_object_of_another_cache_is_told_by_its_name, 0, 2);
	tcase_add_test(tc, a_block_of_the_heap_is_told_by_its_class);
	tcase_add_test(tc, what_is_of_nobody_is_told_as_outside);
	tcase_add_test(tc, a_tracked_object_tells_who_allocated_and_freed_it);
	tcase_add_test(tc, a_tracked_object_is_watched_behind_its_tracks);
	tcase_add_loop_test(tc, a_slab_that_is_written_over_does_no_harm, 0, (int)LOAM_LEN(hostile_flags));
	return tc;
}

#endif
