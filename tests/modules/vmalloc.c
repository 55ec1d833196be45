/* SPDX-License-Identifier: MIT */
/* vmalloc.c: row K2: contiguous addresses over scattered frames, more than 8 MiB, mapped twice, refused in an interrupt. */
#include "check.h"

#include <linux/completion.h>
#include <linux/irq_work.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

static int large(void)
{
	unsigned long size = 9 << 20, i;
	char *p = vmalloc(size);

	CHECK(p && PAGE_ALIGNED(p) && is_vmalloc_addr(p) && !virt_addr_valid(p));
	for (i = 0; i < size; i += PAGE_SIZE)
		*(unsigned long *)(p + i) = i;
	for (i = 0; i < size; i += PAGE_SIZE)
		CHECK(*(unsigned long *)(p + i) == i && vmalloc_to_page(p + i));
	vfree(p);
	return 0;
}

/* Every second page is taken: no run of two frames is left, and still there is a contiguous area. */
static int scattered(void)
{
	enum { N = 6000 };
	struct page **pages = kvcalloc(N, sizeof(*pages), GFP_KERNEL);
	unsigned long i, scattered = 0;
	char *p;

	CHECK(pages);
	for (i = 0; i < N; i++)
		pages[i] = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
	for (i = 0; i < N; i++)
		if (pages[i] && page_to_pfn(pages[i]) & 1) {
			__free_page(pages[i]);
			pages[i] = NULL;
		}
	p = __vmalloc(200 * PAGE_SIZE, GFP_KERNEL & ~__GFP_HIGHMEM);
	CHECK(p);
	memset(p, 0x5a, 200 * PAGE_SIZE);
	for (i = 1; i < 200; i++)
		scattered += vmalloc_to_pfn(p + i * PAGE_SIZE) != vmalloc_to_pfn(p + (i - 1) * PAGE_SIZE) + 1;
	vfree(p);
	for (i = 0; i < N; i++)
		if (pages[i])
			__free_page(pages[i]);
	kvfree(pages);
	pr_info("scattered: %lu of 199 neighbours are apart\n", scattered);
	return 0;
}

static int twice(void)
{
	struct page *pages[3];
	char *a, *b;
	int i;

	for (i = 0; i < 3; i++)
		CHECK((pages[i] = alloc_page(GFP_KERNEL)));
	a = vmap(pages, 3, VM_MAP, PAGE_KERNEL);
	b = vmap(pages, 3, VM_MAP, PAGE_KERNEL);
	CHECK(a && b && a != b);
	a[2 * PAGE_SIZE + 7] = 'q';
	CHECK(b[2 * PAGE_SIZE + 7] == 'q' && *((char *)page_address(pages[2]) + 7) == 'q');
	vunmap(a);
	vunmap(b);
	for (i = 0; i < 3; i++)
		__free_page(pages[i]);
	return 0;
}

static void *from_interrupt;
static void *to_free;
static DECLARE_COMPLETION(done);

static void in_interrupt_work(struct irq_work *work)
{
	(void)work;
	from_interrupt = vmalloc(PAGE_SIZE);
	vfree(to_free);
	complete(&done);
}
static DEFINE_IRQ_WORK(work, in_interrupt_work);

static int interrupts(void)
{
	to_free = vmalloc(3 * PAGE_SIZE);
	CHECK(to_free);
	irq_work_queue(&work);
	wait_for_completion(&done);
	irq_work_sync(&work);
	CHECK(!from_interrupt);
	return 0;
}

static int borders(void)
{
	unsigned char *p = vzalloc(3 * PAGE_SIZE + 1);

	CHECK(p && !p[0] && !p[3 * PAGE_SIZE]);
	vfree(p);
	vfree(NULL);
	CHECK(!vmalloc(0) && !vmalloc(1ul << 50));
	p = kvmalloc(100, GFP_KERNEL);
	CHECK(p && !is_vmalloc_addr(p));
	kvfree(p);
	p = kvmalloc(16 << 20, GFP_KERNEL);
	CHECK(p && is_vmalloc_addr(p));
	kvfree(p);
	return 0;
}

/* Frames of high memory are for those who name no zone. */
static int zones(void)
{
	char *p = vmalloc_32(50 * PAGE_SIZE), *q = __vmalloc(50 * PAGE_SIZE, GFP_KERNEL | __GFP_DMA);
	int i;

	CHECK(p && q);
	for (i = 0; i < 50; i++) {
		CHECK(!PageHighMem(vmalloc_to_page(p + i * PAGE_SIZE)));
		CHECK(vmalloc_to_pfn(q + i * PAGE_SIZE) < (16 << 20) / PAGE_SIZE);
	}
	vfree(p);
	vfree(q);
	return 0;
}

static int __init vmalloc_init(void)
{
	PART(large);
	PART(scattered);
	PART(twice);
	PART(interrupts);
	PART(borders);
	PART(zones);
	return 0;
}

TEST_MODULE(vmalloc_init);
