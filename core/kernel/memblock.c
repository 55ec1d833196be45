/* SPDX-License-Identifier: MIT */
/* memblock.c: memory before there is a page allocator, by its kernel names, over the host's boot allocator (early.c). */
#include "kernel.h"

#include <linux/bootmem.h>
#include <linux/bug.h>
#include <linux/slab.h>

#include <errno.h>

#define LOW_LIMIT (16ul << 20) /* what alloc_bootmem_low stays below */

static bool bottom_up;

void memblock_set_bottom_up(bool enable)
{
	bottom_up = enable;
}

bool memblock_bottom_up(void)
{
	return bottom_up;
}

phys_addr_t memblock_phys_alloc_range(phys_addr_t size, phys_addr_t align, phys_addr_t start, phys_addr_t end)
{
	uint64_t at;

	if (loam__early_alloc(size, align ? align : SMP_CACHE_BYTES, start, end == MEMBLOCK_ALLOC_ANYWHERE ? 0 : end,
			      bottom_up ? 0 : LOAM_BOOT_TOP_DOWN, &at))
		return 0;
	return at;
}

phys_addr_t memblock_phys_alloc(phys_addr_t size, phys_addr_t align)
{
	return memblock_phys_alloc_range(size, align, 0, 0);
}

void *memblock_alloc_try_nid(phys_addr_t size, phys_addr_t align, phys_addr_t min_addr, phys_addr_t max_addr, int nid)
{
	phys_addr_t at;

	(void)nid;
	if (WARN_ON_ONCE(!loam__early()))
		return kzalloc(size, GFP_NOWAIT);
	at = memblock_phys_alloc_range(size, align, min_addr, max_addr);
	/* As in Linux, the lower limit is a wish. */
	if (!at && min_addr)
		at = memblock_phys_alloc_range(size, align, 0, max_addr);
	return at ? loam__machine.map.base + at : NULL;
}

void *memblock_alloc(phys_addr_t size, phys_addr_t align)
{
	return memblock_alloc_try_nid(size, align, 0, 0, -1);
}

void *memblock_alloc_low(phys_addr_t size, phys_addr_t align)
{
	return memblock_alloc_try_nid(size, align, 0, LOW_LIMIT, -1);
}

void *memblock_alloc_from(phys_addr_t size, phys_addr_t align, phys_addr_t min_addr)
{
	return memblock_alloc_try_nid(size, align, min_addr, 0, -1);
}

int memblock_phys_free(phys_addr_t base, phys_addr_t size)
{
	return loam__early_free(base, size);
}

void memblock_free(void *ptr, size_t size)
{
	if (ptr)
		loam__early_free((uint64_t)((char *)ptr - loam__machine.map.base), size);
}

void memblock_free_late(phys_addr_t base, phys_addr_t size)
{
	loam__early_free(base, size);
}

int memblock_reserve(phys_addr_t base, phys_addr_t size)
{
	return loam__early_reserve(base, size);
}

int memblock_add(phys_addr_t base, phys_addr_t size)
{
	return loam__early_add(base, size);
}

int memblock_remove(phys_addr_t base, phys_addr_t size)
{
	return loam__early_remove(base, size);
}

/* ---- what there is ---- */

/** Sums over ranges. */
struct sum {
	uint64_t free, reserved, start, end;
};

static struct sum sums(void)
{
	struct sum sum = { .start = UINT64_MAX };
	struct loam_boot_range range;

	for (unsigned i = 0; !loam__early_range(i, false, &range); i++) {
		sum.free += range.bytes;
		sum.start = range.base < sum.start ? range.base : sum.start;
		sum.end = range.base + range.bytes > sum.end ? range.base + range.bytes : sum.end;
	}
	for (unsigned i = 0; !loam__early_range(i, true, &range); i++)
		sum.reserved += range.bytes;
	return sum;
}

static bool within(phys_addr_t addr, bool reserved)
{
	struct loam_boot_range range;

	for (unsigned i = 0; !loam__early_range(i, reserved, &range); i++)
		if (addr - range.base < range.bytes)
			return true;
	return false;
}

phys_addr_t memblock_phys_mem_size(void)
{
	struct sum sum = sums();

	return sum.free + sum.reserved;
}

phys_addr_t memblock_reserved_size(void)
{
	return sums().reserved;
}

phys_addr_t memblock_start_of_DRAM(void)
{
	return sums().start;
}

phys_addr_t memblock_end_of_DRAM(void)
{
	return sums().end;
}

bool memblock_is_memory(phys_addr_t addr)
{
	return within(addr, false) || within(addr, true);
}

bool memblock_is_reserved(phys_addr_t addr)
{
	return within(addr, true);
}

/* ---- bootmem ---- */

static void *or_end(void *ptr, unsigned long size)
{
	if (ptr)
		return ptr;
	loam__log(LOAM_LOG_ERROR, "bootmem alloc of %lu bytes failed!", size);
	loam_bug("bootmem", 0);
}

void *alloc_bootmem_nopanic(unsigned long size)
{
	return memblock_alloc(size, SMP_CACHE_BYTES);
}

void *alloc_bootmem(unsigned long size)
{
	/* Not from where devices need it, as long as there is other memory. */
	return or_end(memblock_alloc_from(size, SMP_CACHE_BYTES, LOW_LIMIT), size);
}

void *alloc_bootmem_low(unsigned long size)
{
	return or_end(memblock_alloc_low(size, SMP_CACHE_BYTES), size);
}

void *alloc_bootmem_pages(unsigned long size)
{
	return or_end(memblock_alloc_from(size, PAGE_SIZE, LOW_LIMIT), size);
}

void *alloc_bootmem_low_pages(unsigned long size)
{
	return or_end(memblock_alloc_low(size, PAGE_SIZE), size);
}

void free_bootmem(unsigned long physaddr, unsigned long size)
{
	loam__early_free(physaddr, size);
}

void free_bootmem_late(unsigned long physaddr, unsigned long size)
{
	loam__early_free(physaddr, size);
}
