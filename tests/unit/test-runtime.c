/* SPDX-License-Identifier: MIT */
/* test-runtime.c: the host's services: metadata memory, locks, owners, the large window, serialised plugins. */
#include "internal.h"
#include "machine-fixture.h"

#include <errno.h>
#include <loam/heap.h>
#include <loam/loam.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#define BUDDY "[machine]\nmemory = 32M\nbacking = anon\n[frames]\nplugin = buddy\n"

START_TEST(metadata_is_zeroed_aligned_and_counted)
{
	static const size_t aligns[] = { 0, 16, 64, 4096 };
	struct loam_self *self = fixture_boot(BUDDY, "frames");
	uint64_t before = self->meta_bytes;

	for (size_t bytes = 1; bytes < 300000; bytes = bytes * 2 + 1)
		for (unsigned a = 0; a < LOAM_LEN(aligns); a++) {
			unsigned char *ptr = loam__meta_alloc(self, bytes, aligns[a]);

			ck_assert_ptr_nonnull(ptr);
			ck_assert_uint_eq((uintptr_t)ptr % (aligns[a] ? aligns[a] : 16), 0);
			ck_assert_int_eq(ptr[0] | ptr[bytes - 1], 0);
			memset(ptr, 0xee, bytes);
			loam__meta_free(self, ptr, bytes);
		}
	ck_assert_uint_eq(self->meta_bytes, before);
	ck_assert_ptr_null(loam__meta_alloc(self, 16, 24));
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(metadata_has_a_limit)
{
	struct loam_self *self =
		fixture_boot("[machine]\nmemory = 32M\nmetadata = 64K\n[frames]\nplugin = buddy\n", "frames");
	void *ptr;

	ck_assert_ptr_null(loam__meta_alloc(self, 65536, 0));
	ptr = loam__meta_alloc(self, 1000, 0);
	ck_assert_ptr_nonnull(ptr);
	loam__meta_free(self, ptr, 1000);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static struct loam_lock lock;
static unsigned long counter;

static void *count(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100000; i++) {
		loam_lock(&loam__machine.host, &lock);
		counter++;
		loam_unlock(&loam__machine.host, &lock);
	}
	return NULL;
}

START_TEST(a_lock_excludes)
{
	struct loam_self *self = fixture_boot(BUDDY, "frames");
	pthread_t threads[4];

	loam__host_lock_init(self, &lock, 5, "test");
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(counter, 400000);
	loam__host_lock_destroy(&lock);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(an_owner_id_is_not_given_twice)
{
	struct loam_self *self = fixture_boot(BUDDY, "frames");
	uint32_t last = 0;

	for (int i = 0; i < 70000; i++) {
		uint32_t id = loam__owner_add(self, NULL);

		if (!id || id == last || (id & 0xffff) == 0)
			ck_abort_msg("id %x behind %x", id, last);
		last = id;
		loam__owner_del(id);
	}
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_free_of_nobodys_address_is_reported)
{
	const struct loam_link *link;
	char here;

	fixture_boot(BUDDY, "frames");
	link = loam_port_link(loam__owner_of(&loam__machine.map.pages[5])->heap);
	loam_heap_ops(link)->free(link->inst, &here, &loam__machine.map.pages[5]);
	ck_assert_uint_eq(loam__machine.nr_reports, 1);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(large_blocks_come_grow_and_go)
{
	struct loam__large_stat stat;
	unsigned char *a, *b, *c;

	fixture_boot(BUDDY, NULL);
	a = loam__large_alloc(5u << 20, 16);
	b = loam__large_alloc(100000, 1u << 21);
	ck_assert_uint_eq((uintptr_t)a % (2u << 20), 0);
	ck_assert_uint_eq((uintptr_t)b % (2u << 20), 0);
	ck_assert_uint_eq(loam__large_size(a), 5u << 20);
	ck_assert_int_eq(a[0] | a[(5u << 20) - 1], 0);
	memset(a, 0x77, 5u << 20);
	c = loam__large_resize(a, 50u << 20);
	ck_assert_ptr_nonnull(c);
	for (size_t i = 0; i < 5u << 20; i += 1000)
		if (c[i] != 0x77)
			ck_abort_msg("contents lost at %zu", i);
	ck_assert_int_eq(c[(50u << 20) - 1], 0);
	a = loam__large_resize(c, 1u << 20);
	ck_assert_ptr_eq(a, c);
	ck_assert_uint_eq(loam__large_size(a), 1u << 20);
	ck_assert(!loam__large_free(a + 4096));
	ck_assert(loam__large_free(a));
	ck_assert(!loam__large_free(a));
	ck_assert(loam__large_free(b));
	loam__large_stat(&stat);
	ck_assert_uint_eq(stat.bytes, 0);
	ck_assert_uint_eq(stat.blocks, 0);
	ck_assert_ptr_null(loam__large_alloc(SIZE_MAX - 10000, 16));
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(the_window_uses_space_again)
{
	void *first, *ptr;

	fixture_boot(BUDDY, NULL);
	first = loam__large_alloc(3u << 20, 16);
	loam__large_free(first);
	for (int i = 0; i < 1000; i++) {
		ptr = loam__large_alloc(3u << 20, 16);
		ck_assert_ptr_eq(ptr, first);
		loam__large_free(ptr);
	}
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static struct loam_self *serial;

static void *use_serial(void *arg)
{
	const struct loam_link *link = &serial->links[LOAM_ROLE_HEAP];

	(void)arg;
	for (int i = 0; i < 5000; i++) {
		void *ptr = loam_heap_ops(link)->alloc(link->inst, 3000, 16, GFP_KERNEL);

		*(volatile char *)ptr = 1;
		loam_heap_ops(link)->free(link->inst, ptr, loam_ptr_page(&loam__machine.map, ptr));
	}
	return NULL;
}

START_TEST(a_serialised_plugin_needs_no_locks_of_its_own)
{
	char path[8192];
	pthread_t threads[3];

	snprintf(path, sizeof(path), "%s:%s", getenv("LOAM_TEST_PLUGINS"), getenv("LOAM_PLUGIN_PATH"));
	setenv("LOAM_PLUGIN_PATH", path, 1);
	serial = fixture_boot(BUDDY "[h]\nplugin = good\npages = frames\n[malloc]\nheap = h\n", "h");
	for (int i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, use_serial, NULL);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	ck_assert_uint_eq(fixture_stat(serial).allocs, 15000);
	ck_assert_uint_eq(fixture_stat(serial).live_blocks, 0);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

/* The finding is one line, whatever else there is to show. */
START_TEST(a_report_of_several_lines_has_a_prefix_on_each)
{
	struct loam_self *self = fixture_boot(BUDDY, "frames");
	const char *heard;
	char want[100];

	fixture_listen();
	loam__report(self, LOAM_REPORT_MISUSE, self, "something %s\nmore of it\nthe end", "is wrong");
	snprintf(want, sizeof(want),
		 "loam: misuse: [frames] buddy: %p: something is wrong (loam " PACKAGE_VERSION ", seed ", (void *)self);
	heard = fixture_heard();
	ck_assert_msg(!strncmp(heard, want, strlen(want)), "%s", heard);
	ck_assert_ptr_nonnull(strstr(heard, ")\nloam: [frames] more of it\nloam: [frames] the end\n"));
	ck_assert_uint_eq(self->reports[LOAM_REPORT_MISUSE], 1);
	loam__report(self, LOAM_REPORT_MISUSE, NULL, "%5000s", "long");
	heard = fixture_heard();
	ck_assert_ptr_nonnull(strstr(heard, "seed "));
	ck_assert_int_eq(heard[strlen(heard) - 1], '\n');
	fixture_halt();
}
END_TEST

START_TEST(an_address_is_described_in_words)
{
	struct loam_self *o = fixture_boot(BUDDY "[o]\nplugin = slub\npages = frames\n", "o");
	const struct loam_heap_ops *heap = o->links[LOAM_ROLE_HEAP].ops;
	char *ptr = heap->alloc(o->inst, 64, 8, GFP_KERNEL), what[300];

	loam__describe(ptr + 5, what, sizeof(what));
	ck_assert_msg(strstr(what, "[o] slub, live block of 64 bytes") && strstr(what, "offset 5"), "%s", what);
	heap->free(o->inst, ptr, loam_ptr_page(&loam__machine.map, ptr));
	loam__describe(ptr, what, sizeof(what));
	ck_assert_msg(strstr(what, "free block of 64 bytes") != NULL, "%s", what);
	loam__describe(NULL, what, sizeof(what));
	ck_assert_str_eq(what, "the null page");
	loam__describe(loam__machine.map.base + (20u << 20), what, sizeof(what));
	ck_assert_msg(strstr(what, "which nobody holds") != NULL, "%s", what);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(behind_filters_an_address_still_leads_to_its_block)
{
	struct loam_self *top =
		fixture_boot(BUDDY "[o]\nplugin = slub\npages = frames\n[m]\nplugin = magazine\nlower = o\n"
				   "[top]\nplugin = stats\nlower = m\n",
			     "top");
	const struct loam_heap_ops *heap = top->links[LOAM_ROLE_HEAP].ops;
	char *ptr = heap->alloc(top->inst, 64, 8, GFP_KERNEL), what[300];

	loam__describe(ptr + 5, what, sizeof(what));
	ck_assert_msg(strstr(what, "[top] stats, live block of 64 bytes") && strstr(what, "offset 5"), "%s", what);
	heap->free(top->inst, ptr, loam_ptr_page(&loam__machine.map, ptr));
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

static int count_cache(void *arg, const struct loam_cache_info *info)
{
	*(unsigned *)arg += !strcmp(info->name, "kmalloc-64");
	return 0;
}

START_TEST(slabinfo_has_each_cache_once_behind_filters)
{
	unsigned n = 0;

	fixture_boot(BUDDY "[o]\nplugin = slub\npages = frames\n[m]\nplugin = magazine\nlower = o\n"
			   "[top]\nplugin = stats\nlower = m\n",
		     NULL);
	for (unsigned i = 0; i < loam__machine.graph->nr; i++)
		loam__caches(loam__machine.graph->instances[i], count_cache, &n);
	ck_assert_uint_eq(n, 1);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST

START_TEST(a_program_can_have_a_machine_of_its_own)
{
	struct loam_config *config =
		loam_config_text("mine", BUDDY "[o]\nplugin = slub\npages = frames\n[malloc]\nheap = o\n");
	char *ptr;

	ck_assert_ptr_nonnull(config);
	ck_assert_int_eq(loam_config_set(config, "o.classes=fine"), 0);
	ck_assert_int_eq(loam_config_set(config, "nonsense"), -EINVAL);
	ck_assert_ptr_nonnull(strstr(loam_errors(), "expected section.key=value"));
	ck_assert_int_eq(loam_boot(config), 0);
	ptr = loam_alloc(100);
	memset(ptr, 1, 100);
	loam_free(ptr);
	loam_free(NULL);
	ck_assert_uint_eq(loam_halt(NULL), 0);
	ck_assert_ptr_null(loam_alloc(1));
	ck_assert_int_eq(errno, ENODEV);
	ck_assert_ptr_null(loam_config_text("bad", "x\n"));
	ck_assert_ptr_nonnull(strstr(loam_errors(), "bad:1:"));
	config = loam_config_text("bad", "[o]\nplugin = nothing\n");
	ck_assert_int_eq(loam_boot(config), -EINVAL);
	ck_assert_ptr_nonnull(strstr(loam_errors(), "bad:2: no plugin 'nothing'"));
}
END_TEST

/* The thread sanitizer does not bear code in the last rounds of a thread's destructors. */
#ifndef __SANITIZE_THREAD__
static pthread_key_t at_end;

static void first_op(void *self)
{
	ck_assert_ptr_nonnull(loam__machine.host.area(self));
}

static void *ends(void *self)
{
	pthread_setspecific(at_end, self);
	return NULL;
}

/* The C library calls no more destructors then: the area stays open, in a thread that is gone, stack and all. */
START_TEST(a_thread_that_first_comes_in_its_last_moments_is_survived)
{
	struct loam_self *self = fixture_boot(BUDDY "[o]\nplugin = slub\npages = frames\n", "o");
	size_t bytes = 1 << 20;
	void *stack = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	pthread_t thread;

	ck_assert_ptr_ne(stack, MAP_FAILED);
	ck_assert_int_eq(pthread_key_create(&at_end, first_op), 0);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, bytes);
	ck_assert_int_eq(pthread_create(&thread, &attr, ends, self), 0);
	pthread_join(thread, NULL);
	munmap(stack, bytes);
	ck_assert_uint_eq(fixture_halt(), 0);
}
END_TEST
#endif

int main(void)
{
	Suite *s = suite_create("runtime");
	TCase *t = tcase_create("runtime");

	tcase_set_timeout(t, 120);
	tcase_add_test(t, metadata_is_zeroed_aligned_and_counted);
	tcase_add_test(t, metadata_has_a_limit);
	tcase_add_test(t, a_lock_excludes);
	tcase_add_test(t, an_owner_id_is_not_given_twice);
	tcase_add_test(t, a_free_of_nobodys_address_is_reported);
	tcase_add_test(t, large_blocks_come_grow_and_go);
	tcase_add_test(t, the_window_uses_space_again);
	tcase_add_test(t, a_serialised_plugin_needs_no_locks_of_its_own);
#ifndef __SANITIZE_THREAD__
	tcase_add_test(t, a_thread_that_first_comes_in_its_last_moments_is_survived);
#endif
	tcase_add_test(t, a_program_can_have_a_machine_of_its_own);
	tcase_add_test(t, a_report_of_several_lines_has_a_prefix_on_each);
	tcase_add_test(t, an_address_is_described_in_words);
	tcase_add_test(t, behind_filters_an_address_still_leads_to_its_block);
	tcase_add_test(t, slabinfo_has_each_cache_once_behind_filters);
	suite_add_tcase(s, t);
	return fixture_run(s);
}
