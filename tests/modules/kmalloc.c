/* SPDX-License-Identifier: MIT */
/* kmalloc.c: row K1: kmalloc and its kin, sizes, alignment, limits. */
#include "check.h"

#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>

static int sizes(void)
{
	size_t size;

	for (size = 1; size <= 300; size++) {
		char *p = kmalloc(size, GFP_KERNEL);

		CHECK(p && ksize(p) >= size && (unsigned long)p % 8 == 0);
		CHECK(size & (size - 1) || (unsigned long)p % size == 0);
		memset(p, 0xee, ksize(p));
		kfree(p);
	}
	for (size = 512; size <= 1 << 20; size *= 2) {
		char *p = kmalloc(size, GFP_KERNEL);

		CHECK(p && (unsigned long)p % size == 0);
		kfree(p);
	}
	return 0;
}

static int zeroes(void)
{
	unsigned char *p;
	size_t size, i;

	for (size = 10; size < 20000; size *= 3) {
		p = kmalloc(size, GFP_KERNEL);
		CHECK(p);
		memset(p, 0xff, size);
		kfree(p);
		p = kzalloc(size, GFP_KERNEL);
		CHECK(p);
		for (i = 0; i < size; i++)
			CHECK(!p[i]);
		kfree(p);
		p = kmalloc(size, GFP_KERNEL | __GFP_ZERO);
		CHECK(p && !memchr_inv(p, 0, size));
		kfree(p);
	}
	return 0;
}

static int grows(void)
{
	char *p = krealloc(NULL, 10, GFP_KERNEL), *q;

	CHECK(p);
	memcpy(p, "123456789", 10);
	q = krealloc(p, ksize(p), GFP_KERNEL);
	CHECK(q == p);
	q = krealloc(p, 5000, GFP_KERNEL);
	CHECK(q && !memcmp(q, "123456789", 10));
	CHECK(krealloc(q, 0, GFP_KERNEL) == ZERO_SIZE_PTR);
	return 0;
}

static int borders(void)
{
	CHECK(kmalloc(0, GFP_KERNEL) == ZERO_SIZE_PTR && !ksize(ZERO_SIZE_PTR) && !ksize(NULL));
	kfree(ZERO_SIZE_PTR);
	kfree(NULL);
	CHECK(!kcalloc(SIZE_MAX / 4, 8, GFP_KERNEL) && !kmalloc_array(SIZE_MAX, 2, GFP_KERNEL));
	CHECK(!kmalloc(KMALLOC_MAX_SIZE + 1, GFP_KERNEL | __GFP_NOWARN));
	CHECK(KMALLOC_MIN_SIZE <= 32 && KMALLOC_MAX_CACHE_SIZE >= PAGE_SIZE && KMALLOC_MAX_SIZE >= 4 << 20);
	CHECK(kmalloc_size_roundup(100) >= 100 && kmalloc_size_roundup(0) == 0);
	return 0;
}

/* Row P4: high memory has no address. The call is put right, with a warning. */
static int not_high(void)
{
	void *p = kmalloc(PAGE_SIZE, GFP_HIGHUSER);

	CHECK(p && virt_addr_valid(p));
	kfree(p);
	return 0;
}

static int contiguous(void)
{
	char *p = kmalloc(64 << 10, GFP_KERNEL);

	CHECK(p && __pa(p + (64 << 10) - 1) - __pa(p) == (64 << 10) - 1);
	CHECK(virt_to_page(p + PAGE_SIZE) == virt_to_page(p) + 1);
	kfree(p);
	return 0;
}

static int __init kmalloc_init(void)
{
	PART(sizes);
	PART(zeroes);
	PART(grows);
	PART(borders);
	PART(not_high);
	PART(contiguous);
	return 0;
}

TEST_MODULE(kmalloc_init);
