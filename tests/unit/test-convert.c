/* SPDX-License-Identifier: MIT */
/* test-convert.c: conversions of roles; foreign heaps. */
#include "kernel-port.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static unsigned built;

static void build(void *object)
{
	*(unsigned *)object = 4711;
	built++;
}

/* ---- conversions ---- */

START_TEST(pages_serve_as_a_heap_of_whole_blocks)
{
	char *small, *large;

	fixture_boot("[machine]\nmemory = 32M\nbacking = anon\n[frames]\nplugin = buddy\n[kernel]\nheap = frames\n",
		     NULL);
	small = take(1);
	large = take(20000);
	ck_assert_uint_eq(usable(small), LOAM_PAGE_SIZE);
	ck_assert_uint_eq(usable(large), 5 * LOAM_PAGE_SIZE);
	ck_assert_uint_eq((uintptr_t)large % 32768, 0);
	memset(large, 1, 20480);
	ck_assert_uint_eq(loam__frames_used(), 6);
	give(large + 4096);
	ck_assert_uint_eq(loam__machine.nr_reports, 1);
	give(large);
	give(small);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_heap_serves_as_a_source_of_objects)
{
	static const char *const texts[] = {
		"[machine]\nmemory = 32M\nbacking = anon\n[frames]\nplugin = buddy\n[kernel]\nobjects = frames\n",
		"[machine]\nmemory = 32M\nbacking = anon\n[h]\nplugin = foreign\n[kernel]\nobjects = h\n",
	};
	struct loam_cache *cache;
	unsigned *objects[20];

	fixture_boot(texts[_i], NULL);
	cache = cache_new((struct loam_cache_args){ .name = "c", .object_size = 80, .align = 64, .ctor = build });
	for (unsigned i = 0; i < 20; i++) {
		objects[i] = loam_cache_alloc(cache, GFP_KERNEL);
		ck_assert_uint_eq((uintptr_t)objects[i] % 64, 0);
		ck_assert_uint_eq(*objects[i], 4711);
	}
	ck_assert_uint_eq(built, 20);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), -EBUSY);
	for (unsigned i = 0; i < 20; i++)
		loam_cache_free(cache, objects[i]);
	ck_assert_int_eq(loam__machine.host.cache_destroy(cache), 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* What is another cache's stays live; what no cache can be is refused. */
START_TEST(a_source_of_objects_knows_its_own)
{
	static const char *const texts[] = {
		"[machine]\nmemory = 32M\nbacking = anon\n[frames]\nplugin = buddy\n[kernel]\nobjects = frames\n",
		"[machine]\nmemory = 32M\nbacking = anon\n[h]\nplugin = foreign\n[kernel]\nobjects = h\n",
	};
	struct loam_cache_args args = { .name = "c", .object_size = 80 };
	struct loam_cache *caches[3];
	void *objects[3];

	fixture_boot(texts[_i], NULL);
	for (unsigned i = 0; i < 3; i++) {
		args.object_size = 40 + i % 2 * 40;
		caches[i] = cache_new(args);
		objects[i] = loam_cache_alloc(caches[i], GFP_KERNEL);
		memset(objects[i], 1, args.object_size); /* the word that tells whose it is may be looked for in it */
	}
	for (unsigned i = 0; i < 9; i++)
		if (i % 3 != i / 3)
			loam_cache_free(caches[i / 3], objects[i % 3]);
	ck_assert_uint_eq(loam__machine.nr_reports, 6);
	for (unsigned i = 0; i < 3; i++) {
		loam_cache_free(caches[i], objects[i]);
		ck_assert_int_eq(loam__machine.host.cache_destroy(caches[i]), 0);
	}
	ck_assert_uint_eq(loam__machine.nr_reports, 6);
	args.flags = 1;
	errno = 0;
	ck_assert_ptr_null(cache_new(args));
	ck_assert_int_eq(errno, EINVAL);
	args.flags = 0;
	args.object_size = 5ul << 30;
	ck_assert_ptr_null(cache_new(args));
	ck_assert_int_eq(errno, EINVAL);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(who_asks_for_the_same_conversion_gets_the_same_instance)
{
	fixture_boot(
		"[machine]\nmemory = 32M\nbacking = anon\n[frames]\nplugin = buddy\n[kernel]\nheap = frames\nobjects = "
		"frames\n",
		NULL);
	ck_assert_uint_eq(loam__machine.graph->nr, 3);
	ck_assert_str_eq(loam__machine.graph->kernel[LOAM_ROLE_HEAP]->name, "frames as heap");
	ck_assert_str_eq(loam__machine.graph->kernel[LOAM_ROLE_OBJECTS]->name, "frames as heap as objects");
}
END_TEST

/* ---- foreign ---- */

static const char *const libraries[] = { "glibc", "jemalloc", "mimalloc", "tcmalloc" };

/* What looks for leaks finds one that tcmalloc makes when it is loaded: there it is left out. */
static int nr_libraries(void)
{
	const char *sanitizer = getenv("LOAM_SANITIZER");
	bool looks = getenv("LOAM_UNDER_VALGRIND") || (sanitizer && !strcmp(sanitizer, "address"));

	return (int)LOAM_LEN(libraries) - looks;
}

START_TEST(a_library_s_malloc_is_a_heap)
{
	char text[300];
	struct loam_diag diag;
	struct loam__config *config;
	struct loam_self *top;
	void *blocks[100];

	snprintf(text, sizeof(text),
		 "[machine]\nmemory = 32M\nbacking = anon\n[f]\nplugin = foreign\nbytes = on\nlibrary = %s\n"
		 "[top]\nplugin = %s\nlower = f\n[kernel]\nheap = top\n",
		 libraries[_i / 2], _i % 2 ? "magazine" : "stats");
	loam__diag_init(&diag);
	config = loam__config_text("t", text, &diag);
	if (loam__boot(loam__wire(config, &diag), &diag)) {
		/* Not installed, or no room for its static TLS in a process that nobody prepared: it says so. */
		printf("(%s is not here: %s)\n", libraries[_i / 2], diag.first->text);
		ck_assert_uint_eq(diag.count, 1);
		ck_assert_int_ne(_i / 2, 0);
		loam__diag_clear(&diag);
		loam__config_free(config);
		return;
	}
	top = loam__graph_find(loam__machine.graph, "top");
	ck_assert_ptr_eq(loam__machine.foreign, &loam__machine.graph->foreign->top);
	for (unsigned i = 0; i < 100; i++) {
		blocks[i] = take(i * 100 + 1);
		ck_assert_ptr_nonnull(blocks[i]);
		ck_assert_ptr_null(page_of(blocks[i]));
		ck_assert_uint_ge(usable(blocks[i]), i * 100 + 1);
		memset(blocks[i], 1, usable(blocks[i]));
	}
	ck_assert_uint_eq(fixture_stat(top).live_blocks, 100);
	ck_assert_uint_ge(fixture_stat(top).live_bytes, 495100);
	for (unsigned i = 0; i < 100; i++)
		give(blocks[i]);
	ck_assert_uint_eq(fixture_stat(top).live_blocks, 0);
	ck_assert_uint_eq(fixture_stat(top).live_bytes, 0);
	ck_assert_uint_eq(loam__halt(stderr), 0);
	loam__config_free(config);
}
END_TEST

START_TEST(what_is_no_malloc_is_refused)
{
	static const struct {
		const char *library, *says;
	} bad[] = { { "libdl.so.2", "has no malloc of its own" },
		    { "/nowhere/lib.so", "cannot open shared object file" } };
	struct loam_diag diag;
	struct loam__config *config;
	char text[200];

	snprintf(text, sizeof(text), "[machine]\nmemory = 32M\n[f]\nplugin = foreign\nlibrary = %s\n", bad[_i].library);
	loam__diag_init(&diag);
	config = loam__config_text("t", text, &diag);
	ck_assert_int_ne(loam__boot(loam__wire(config, &diag), &diag), 0);
	ck_assert_uint_eq(diag.count, 1);
	ck_assert_ptr_nonnull(strstr(diag.first->text, bad[_i].says));
	loam__diag_clear(&diag);
	loam__config_free(config);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("convert");
	TCase *tc = tcase_create("convert");

	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, pages_serve_as_a_heap_of_whole_blocks);
	tcase_add_loop_test(tc, a_heap_serves_as_a_source_of_objects, 0, 2);
	tcase_add_loop_test(tc, a_source_of_objects_knows_its_own, 0, 2);
	tcase_add_test(tc, who_asks_for_the_same_conversion_gets_the_same_instance);
	tcase_add_loop_test(tc, a_library_s_malloc_is_a_heap, 0, 2 * nr_libraries());
	tcase_add_loop_test(tc, what_is_no_malloc_is_refused, 0, 2);
	suite_add_tcase(suite, tc);
	return fixture_run(suite);
}
