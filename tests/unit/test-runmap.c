/* SPDX-License-Identifier: MIT */
/* test-runmap.c: plugins/common/runmap.h against one byte for each unit, in maps whose ends are anywhere. */
#include "../../plugins/common/runmap.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1000

static uint64_t map[RUNMAP_WORDS(MOST)];
static unsigned char model[MOST];
static size_t end;

static size_t below(size_t n)
{
	return (size_t)rand() % n;
}

/* ---- the model ---- */

static size_t naive_next(size_t from, bool taken)
{
	while (from < end && model[from] != taken)
		from++;
	return from < end ? from : end;
}

static size_t naive_find(size_t from, size_t n, size_t align)
{
	for (; from + n <= end; from++) {
		size_t run = 0;

		while (from % align == 0 && run < n && !model[from + run])
			run++;
		if (run == n)
			return from;
	}
	return RUNMAP_NONE;
}

static void set(size_t at, size_t n, bool taken)
{
	runmap_set(map, at, n, taken);
	memset(model + at, taken, n);
}

/* Of a map of any length, with @part of eight units taken in runs of any length. What lies behind its end is not to matter. */
static void draw(unsigned seed, unsigned part)
{
	srand(seed);
	end = 1 + below(MOST);
	for (size_t i = 0; i < RUNMAP_WORDS(MOST); i++)
		map[i] = seed % 2 ? ~0ull : 0;
	memset(model, seed % 2, sizeof(model));
	for (size_t at = 0; at < end;) {
		size_t n = 1 + below(below(2) ? 200 : 6);

		n = n < end - at ? n : end - at;
		set(at, n, below(8) < part);
		at += n;
	}
}

/* ---- tests ---- */

START_TEST(set_changes_what_it_is_told)
{
	for (unsigned seed = 0; seed < 200; seed++) {
		draw(seed, 4);
		for (unsigned i = 0; i < 50; i++) {
			size_t at = below(end);

			set(at, below(end - at + 1), below(2));
		}
		for (size_t at = 0; at < MOST; at++)
			ck_assert_uint_eq(runmap_taken(map, at), model[at]);
	}
}
END_TEST

START_TEST(next_finds_the_first)
{
	for (unsigned seed = 0; seed < 200; seed++) {
		draw(seed, seed % 9);
		for (size_t from = 0; from <= end; from++) {
			ck_assert_uint_eq(runmap_next(map, from, end, true), naive_next(from, true));
			ck_assert_uint_eq(runmap_next(map, from, end, false), naive_next(from, false));
		}
	}
}
END_TEST

START_TEST(find_finds_the_first_run)
{
	for (unsigned seed = 0; seed < 300; seed++) {
		draw(seed, seed % 9);
		for (unsigned i = 0; i < 200; i++) {
			size_t from = below(end + 1), n = 1 + below(below(2) ? 8 : end), align = (size_t)1 << below(8);

			ck_assert_uint_eq(runmap_find(map, from, end, n, align), naive_find(from, n, align));
		}
	}
}
END_TEST

/* Where the arithmetic could go past its end: the last unit, a whole map, an alignment beyond it. */
START_TEST(ends_are_ends)
{
	for (end = 1; end < 200; end++) {
		memset(map, 0, sizeof(map));
		memset(model, 0, sizeof(model));
		ck_assert_uint_eq(runmap_find(map, 0, end, end, 1), 0);
		ck_assert_uint_eq(runmap_find(map, 0, end, end + 1, 1), RUNMAP_NONE);
		ck_assert_uint_eq(runmap_find(map, end - 1, end, 1, 1), end - 1);
		ck_assert_uint_eq(runmap_find(map, end, end, 1, 1), RUNMAP_NONE);
		ck_assert_uint_eq(runmap_find(map, 1, end, 1, 256), RUNMAP_NONE);
		ck_assert_uint_eq(runmap_find(map, 0, end, ~(size_t)0, 1), RUNMAP_NONE);
		set(0, end, true);
		ck_assert_uint_eq(runmap_next(map, 0, end, false), end);
		ck_assert_uint_eq(runmap_find(map, 0, end, 1, 1), RUNMAP_NONE);
		set(end - 1, 1, false);
		ck_assert_uint_eq(runmap_find(map, 0, end, 1, 1), end - 1);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("runmap");
	TCase *tcase = tcase_create("runmap");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tcase, set_changes_what_it_is_told);
	tcase_add_test(tcase, next_finds_the_first);
	tcase_add_test(tcase, find_finds_the_first_run);
	tcase_add_test(tcase, ends_are_ends);
	suite_add_tcase(suite, tcase);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
