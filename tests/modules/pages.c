/* SPDX-License-Identifier: MIT */
/* pages.c: rows P1 to P4: struct page and its numbers, zones and their order, blocks of pages, no high memory by address. */
#include "check.h"

#include <linux/highmem.h>
#include <linux/mm.h>

static bool flat; /* all of high memory has addresses */
module_param(flat, bool, 0);

static int numbers(void)
{
	unsigned long addr = __get_free_pages(GFP_KERNEL, 2);
	struct page *page = virt_to_page((void *)addr);

	CHECK(PAGE_SHIFT == 12 && PAGE_SIZE == 4096 && addr && addr % (4 * PAGE_SIZE) == 0);
	CHECK(page_address(page) == (void *)addr && pfn_to_page(page_to_pfn(page)) == page);
	CHECK(page_to_phys(page) == __pa(addr) && __va(__pa(addr)) == (void *)addr);
	CHECK(virt_to_page((void *)(addr + 3 * PAGE_SIZE + 5)) == page + 3);
	CHECK(page_count(page) == 1 && compound_order(page) == 2);
	get_page(page);
	free_pages(addr, 2);
	CHECK(page_count(page) == 1);
	put_page(page);
	return 0;
}

static int zones(void)
{
	struct page *dma = alloc_pages(GFP_KERNEL | GFP_DMA, 3), *normal = alloc_page(GFP_KERNEL),
		    *high = alloc_page(GFP_HIGHUSER);

	CHECK(dma && normal && high);
	CHECK(page_zonenum(dma) == 0 && page_zonenum(normal) <= 2 && page_zonenum(high) == 3);
	CHECK(page_to_phys(dma) + 8 * PAGE_SIZE <= 16 << 20);
	CHECK(PageHighMem(high) && (flat || !page_address(high)) && !PageHighMem(normal));
	__free_pages(dma, 3);
	__free_page(normal);
	__free_page(high);
	return 0;
}

/* What wants the normal zone is served from DMA when that is empty, and never from high memory. */
static int fallback(void)
{
	struct page *page, *list = NULL;
	unsigned long n = 0, dma = 0;
	int error = 0;

	while ((page = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN))) {
		page->private = (unsigned long)list;
		list = page;
		n++;
		dma += page_zonenum(page) == 0;
		error |= PageHighMem(page);
	}
	while ((page = list)) {
		list = (struct page *)page->private;
		__free_page(page);
	}
	CHECK(!error && n > 1000 && dma > 0);
	return 0;
}

static int limits(void)
{
	unsigned long addr = __get_free_pages(GFP_KERNEL, MAX_ORDER - 1), i;
	char *zero, *exact;

	CHECK(addr && addr % (PAGE_SIZE << (MAX_ORDER - 1)) == 0);
	free_pages(addr, MAX_ORDER - 1);
	CHECK(!__get_free_pages(GFP_KERNEL | __GFP_NOWARN, MAX_ORDER));
	zero = (char *)get_zeroed_page(GFP_KERNEL);
	CHECK(zero);
	for (i = 0; i < PAGE_SIZE; i++)
		CHECK(!zero[i]);
	free_page((unsigned long)zero);
	exact = alloc_pages_exact(5 * PAGE_SIZE, GFP_KERNEL);
	CHECK(exact);
	free_pages_exact(exact, 5 * PAGE_SIZE);
	free_pages(0, 3);
	return 0;
}

/* By address there is no high memory, whatever the flags say. */
static int no_high_address(void)
{
	unsigned long addr = __get_free_page(GFP_HIGHUSER);

	CHECK(addr && !PageHighMem(virt_to_page((void *)addr)));
	free_page(addr);
	return 0;
}

static int __init pages_init(void)
{
	PART(numbers);
	PART(zones);
	PART(fallback);
	PART(limits);
	PART(no_high_address);
	return 0;
}

TEST_MODULE(pages_init);
