/* SPDX-License-Identifier: MIT */
/* early.c: rows P6 and P7: memory before the page allocator, and memory that it never gets. */
#include "check.h"

#include <linux/bootmem.h>
#include <linux/io.h>
#include <linux/mm.h>

static char *normal, *low, *pages, *gone;
static int early_error = 1;

static int early(void)
{
	size_t i;

	normal = alloc_bootmem(100);
	low = alloc_bootmem_low(100);
	pages = alloc_bootmem_pages(3 * PAGE_SIZE);
	gone = alloc_bootmem_low_pages(PAGE_SIZE);
	CHECK(normal && low && pages && gone);
	CHECK((unsigned long)normal % SMP_CACHE_BYTES == 0 && PAGE_ALIGNED(pages) && PAGE_ALIGNED(gone));
	CHECK(__pa(low) < 16 << 20 && __pa(gone) < 16 << 20);
	for (i = 0; i < 3 * PAGE_SIZE; i++)
		CHECK(!pages[i]);
	CHECK(memblock_is_reserved(__pa(pages)) && memblock_is_memory(__pa(pages)));
	CHECK(memblock_reserved_size() >= 4 * PAGE_SIZE + 200);
	free_bootmem(__pa(gone), PAGE_SIZE);
	CHECK(!memblock_is_reserved(__pa(gone)));
	pages[0] = 'x';
	early_error = 0;
	return 0;
}
early_initcall(early);

/* What was allocated early is nobody's who asks the page allocator; given back it is. */
static int handed_over(void)
{
	unsigned long before = nr_free_pages();

	CHECK(!early_error && pages[0] == 'x');
	free_bootmem_late(__pa(pages), 3 * PAGE_SIZE);
	CHECK(nr_free_pages() == before + 3);
	return 0;
}

static int held_back(void)
{
	phys_addr_t from = 60 << 20;
	char *window = ioremap(from + 5, 2 * PAGE_SIZE), *again;

	CHECK(window && offset_in_page(window) == 5);
	window[0] = 'a';
	window[2 * PAGE_SIZE - 1] = 'z';
	again = ioremap(from + 5, 1);
	CHECK(again && again != window && again[0] == 'a');
	iounmap(again);
	iounmap(window);
	/* Five pages lie at a multiple of eight. */
	window = ioremap(from, 5 * PAGE_SIZE);
	CHECK(window && !((unsigned long)window % (8 * PAGE_SIZE)));
	iounmap(window);
	return 0;
}

static int __init early_test_init(void)
{
	PART(handed_over);
	PART(held_back);
	return 0;
}

TEST_MODULE(early_test_init);
