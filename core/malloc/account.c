/* SPDX-License-Identifier: MIT */
/*
 * account.c: what was asked for, as against what was given; only when a summary is wanted.
 *
 * A heap of our own stands in front of the face's: it notes for each block the bytes that the program asked for, in a sparse
 * array with a word for each 16 bytes of the machine's memory, and passes every call on. When no summary is wanted it is not
 * there, and costs nothing.
 */
#include "face.h"

#include <sys/mman.h>

bool loam__accounting;

static uint32_t *sizes;                 /* by 16 bytes of the arena: bytes asked for, where a block begins */
static struct loam_port inner;          /* the heap behind us */
static struct loam_port outer;
static struct loam_link link_of_ours;
static struct account account;          /* atomic, relaxed: sums; the peak is a sample */
static uint64_t large_bytes;

static uint32_t *place(const void *ptr)
{
	return &sizes[(size_t)((const char *)ptr - loam__face.base) >> 4];
}

static uint64_t footprint(void)
{
	return ((uint64_t)loam__frames_used() << LOAM_PAGE_SHIFT) + __atomic_load_n(&large_bytes, __ATOMIC_RELAXED);
}

static void raise_to(uint64_t *mark, uint64_t value)
{
	uint64_t now = __atomic_load_n(mark, __ATOMIC_RELAXED);

	while (value > now && !__atomic_compare_exchange_n(mark, &now, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

static void account_add(uint64_t bytes)
{
	uint64_t requested = __atomic_add_fetch(&account.requested, bytes, __ATOMIC_RELAXED), now = footprint();

	raise_to(&account.peak_requested, requested);
	if (now > __atomic_load_n(&account.peak, __ATOMIC_RELAXED)) {
		__atomic_store_n(&account.requested_at_peak, requested, __ATOMIC_RELAXED);
		raise_to(&account.peak, now);
	} else if (now == __atomic_load_n(&account.peak, __ATOMIC_RELAXED)) {
		raise_to(&account.requested_at_peak, requested);
	}
}

static void *account_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	void *ptr = loam_heap_alloc(inst, bytes, align, gfp);

	if (ptr) {
		__atomic_store_n(place(ptr), (uint32_t)bytes, __ATOMIC_RELAXED);
		account_add(bytes);
	}
	return ptr;
}

static void account_free(void *inst, void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(inst);
	uint32_t bytes = __atomic_exchange_n(place(ptr), 0, __ATOMIC_RELAXED);

	__atomic_fetch_sub(&account.requested, bytes, __ATOMIC_RELAXED);
	loam_heap_ops(link)->free(link->inst, ptr, page);
}

static size_t account_usable(void *inst, const void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(inst);

	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

static const struct loam_heap_ops ops = { .size = sizeof(ops), .alloc = account_alloc, .free = account_free,
					  .usable_size = account_usable };

/** A large block came or went; its pages are asked for in full. */
void loam__account_large(int64_t requested)
{
	__atomic_fetch_add(&large_bytes, (uint64_t)requested, __ATOMIC_RELAXED);
	if (requested > 0)
		account_add((uint64_t)requested);
	else
		__atomic_fetch_sub(&account.requested, (uint64_t)-requested, __ATOMIC_RELAXED);
}

bool loam__account_start(void)
{
	size_t bytes = loam__face.low_bytes / 16 * sizeof(*sizes);

	sizes = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sizes == MAP_FAILED)
		return false;
	inner.link = loam_port_link(loam__face.heap);
	link_of_ours = (struct loam_link){ &ops, &inner };
	outer.link = &link_of_ours;
	/* Frees come through the owner of a frame: it must lead to us too. */
	loam__owners[loam__face.graph->heap->owner & (LOAM__OWNERS - 1)].heap = &outer;
	loam__face.heap = &outer;
	loam__accounting = true;
	return true;
}

void loam__account_get(struct account *out)
{
	*out = account;
}
