/* SPDX-License-Identifier: MIT */
/*
 * test-face.c: malloc and its like, by the names with a prefix, so that it runs under every sanitizer.
 */
#include "machine-fixture.h"
#include "malloc/prefix.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void boot(void)
{
	/* Little memory: tools that shadow addresses pay for all of it. */
	ck_assert(
		loam_face_boot("[machine]\nmemory = 512M\nbacking = anon\nrelease = lazy\n[frames]\nplugin = buddy\n"
			       "[objects]\nplugin = slub\npages = frames\nclasses = fine\n[malloc]\nheap = objects\n"));
}

START_TEST(memory_from_before_the_machine_can_be_freed_later)
{
	char *early = loam_face_malloc(100), *grown;

	strcpy(early, "early");
	boot();
	grown = loam_face_realloc(early, 5000);
	ck_assert_str_eq(grown, "early");
	loam_face_free(early);
	loam_face_free(grown);
}
END_TEST

START_TEST(zero_bytes_is_a_block_of_its_own)
{
	void *a, *b;

	boot();
	a = loam_face_malloc(0);
	b = loam_face_malloc(0);
	ck_assert_ptr_nonnull(a);
	ck_assert_ptr_ne(a, b);
	loam_face_free(a);
	loam_face_free(b);
	loam_face_free(NULL);
}
END_TEST

START_TEST(blocks_are_aligned_to_sixteen_at_every_size)
{
	boot();
	for (size_t size = 1; size < 20u << 20; size = size * 5 / 4 + 1) {
		char *ptr = loam_face_malloc(size);

		ck_assert_ptr_nonnull(ptr);
		ck_assert_uint_eq((uintptr_t)ptr % 16, 0);
		ck_assert_uint_ge(loam_face_malloc_usable_size(ptr), size);
		ptr[0] = ptr[size - 1] = 1;
		loam_face_free(ptr);
	}
}
END_TEST

START_TEST(impossible_sizes_fail_with_enomem)
{
	boot();
	errno = 0;
	ck_assert_ptr_null(loam_face_malloc(SIZE_MAX));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
	ck_assert_ptr_null(loam_face_calloc(SIZE_MAX / 2, 3));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
	ck_assert_ptr_null(loam_face_reallocarray(NULL, SIZE_MAX / 2, 3));
	ck_assert_int_eq(errno, ENOMEM);
	errno = 0;
	ck_assert_ptr_null(loam_face_pvalloc(SIZE_MAX - 5));
	ck_assert_int_eq(errno, ENOMEM);
}
END_TEST

START_TEST(free_leaves_errno_alone)
{
	static const size_t sizes[] = { 10, 5000, 100000, 30u << 20 };

	boot();
	for (unsigned i = 0; i < LOAM_LEN(sizes); i++) {
		void *ptr = loam_face_malloc(sizes[i]);

		errno = 123;
		loam_face_free(ptr);
		ck_assert_int_eq(errno, 123);
	}
}
END_TEST

START_TEST(calloc_clears_memory_that_was_used)
{
	boot();
	for (size_t size = 1; size < 10u << 20; size = size * 3 + 1) {
		char *ptr = loam_face_malloc(size);

		memset(ptr, 0xff, size);
		loam_face_free(ptr);
		ptr = loam_face_calloc(1, size);
		for (size_t i = 0; i<size; i += size> 100000 ? 61 : 1)
			if (ptr[i])
				ck_abort_msg("%zu: byte %zu is not zero", size, i);
		loam_face_free(ptr);
	}
}
END_TEST

START_TEST(realloc_keeps_contents_through_every_kind_of_block)
{
	static const size_t steps[] = {
		1, 100, 17, 5000, 40000, 200000, 6u << 20, 70u << 20, 9u << 20, 300000, 12, 64
	};
	unsigned char *ptr = NULL;
	size_t have = 0;

	boot();
	for (unsigned s = 0; s < LOAM_LEN(steps); s++) {
		ptr = loam_face_realloc(ptr, steps[s]);
		ck_assert_ptr_nonnull(ptr);
		/* Of large blocks every 61st byte: under valgrind each one takes its time. */
		for (size_t i = 0; i < have && i<steps[s]; i += have> 100000 ? 61 : 1)
			if (ptr[i] != (unsigned char)(i * 7))
				ck_abort_msg("step %u: byte %zu", s, i);
		for (size_t i = 0; i<steps[s]; i += steps[s]> 100000 ? 61 : 1)
			ptr[i] = (unsigned char)(i * 7);
		have = steps[s];
	}
	ck_assert_ptr_null(loam_face_realloc(ptr, 0));
}
END_TEST

START_TEST(alignments_are_checked_as_glibc_does)
{
	void *ptr = NULL;

	boot();
	ck_assert_int_eq(loam_face_posix_memalign(&ptr, 3, 10), EINVAL);
	ck_assert_int_eq(loam_face_posix_memalign(&ptr, 4, 10), EINVAL);
	ck_assert_int_eq(loam_face_posix_memalign(&ptr, 0, 10), EINVAL);
	ck_assert_ptr_null(ptr);
	errno = 0;
	ck_assert_ptr_null(loam_face_aligned_alloc(24, 48));
	ck_assert_int_eq(errno, EINVAL);
	for (size_t align = 8; align <= 64u << 20; align *= 2) {
		ck_assert_int_eq(loam_face_posix_memalign(&ptr, align, 100), 0);
		ck_assert_uint_eq((uintptr_t)ptr % align, 0);
		*(char *)ptr = 1;
		loam_face_free(ptr);
	}
	ptr = loam_face_memalign(48, 100);
	ck_assert_uint_eq((uintptr_t)ptr % 64, 0);
	loam_face_free(ptr);
	ptr = loam_face_valloc(10);
	ck_assert_uint_eq((uintptr_t)ptr % 4096, 0);
	loam_face_free(ptr);
	ptr = loam_face_pvalloc(5000);
	ck_assert_uint_ge(loam_face_malloc_usable_size(ptr), 8192);
	loam_face_free(ptr);
}
END_TEST

#define SLOTS 200
static void *table[SLOTS];

static void *churn(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;

	for (int i = 0; i < 20000; i++) {
		size_t size = (size_t)rand_r(&seed) % (rand_r(&seed) % 50 ? 2000 : 200000);
		char *ptr = loam_face_malloc(size), *old;

		memset(ptr, 1, size < 16 ? size : 16);
		old = __atomic_exchange_n(&table[(unsigned)rand_r(&seed) % SLOTS], ptr, __ATOMIC_ACQ_REL);
		loam_face_free(old);
	}
	return NULL;
}

START_TEST(threads_hand_blocks_to_each_other)
{
	pthread_t threads[4];
	struct mallinfo2 before, after;

	boot();
	before = loam_face_mallinfo2();
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < SLOTS; i++)
		loam_face_free(table[i]);
	after = loam_face_mallinfo2();
	ck_assert_uint_eq(after.uordblks, before.uordblks);
}
END_TEST

START_TEST(a_child_of_fork_goes_on)
{
	char *ptr;
	int status;
	pid_t pid;

	boot();
	ptr = loam_face_malloc(100);
	strcpy(ptr, "parent");
	pid = fork();
	if (!pid) {
		char *own = loam_face_malloc(100);
		int bad = strcmp(ptr, "parent") != 0 || own == ptr;

		loam_face_free(ptr);
		loam_face_free(own);
		_exit(bad);
	}
	waitpid(pid, &status, 0);
	ck_assert_int_eq(status, 0);
	ck_assert_str_eq(ptr, "parent");
	loam_face_free(ptr);
}
END_TEST

START_TEST(a_free_of_a_wild_address_is_reported_and_survived)
{
	char here;

	boot();
	loam_face_free(&here);
	ck_assert_uint_eq(loam__machine.nr_reports, 1);
	ck_assert_ptr_nonnull(loam_face_malloc(10));
}
END_TEST

START_TEST(introspection_answers)
{
	struct mallinfo2 info;
	char *text = NULL;
	size_t size;
	FILE *out;
	void *ptr;

	boot();
	ptr = loam_face_malloc(30u << 20);
	info = loam_face_mallinfo2();
	ck_assert_uint_eq(info.hblks, 1);
	ck_assert_uint_ge(info.hblkhd, 30u << 20);
	out = open_memstream(&text, &size);
	ck_assert_int_eq(loam_face_malloc_info(0, out), 0);
	ck_assert_int_eq(loam_face_malloc_info(1, out), EINVAL);
	fclose(out);
	ck_assert_ptr_nonnull(strstr(text, "<malloc version=\"1\""));
	free(text);
	loam_face_free(ptr);
	loam_face_malloc_trim(0);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("face");
	TCase *t = tcase_create("face");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, memory_from_before_the_machine_can_be_freed_later);
	tcase_add_test(t, zero_bytes_is_a_block_of_its_own);
	tcase_add_test(t, blocks_are_aligned_to_sixteen_at_every_size);
	tcase_add_test(t, impossible_sizes_fail_with_enomem);
	tcase_add_test(t, free_leaves_errno_alone);
	tcase_add_test(t, calloc_clears_memory_that_was_used);
	tcase_add_test(t, realloc_keeps_contents_through_every_kind_of_block);
	tcase_add_test(t, alignments_are_checked_as_glibc_does);
	tcase_add_test(t, threads_hand_blocks_to_each_other);
	tcase_add_test(t, a_child_of_fork_goes_on);
	tcase_add_test(t, a_free_of_a_wild_address_is_reported_and_survived);
	tcase_add_test(t, introspection_answers);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
