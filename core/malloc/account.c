/* SPDX-License-Identifier: MIT */
/*
 * account.c: what was asked for, as against what was given; only when a summary is wanted.
 *
 * A heap of our own stands in front of the face's: it notes for each block the bytes that the program asked for, in a sparse
 * array with a word for each 16 bytes of the machine's memory, and passes every call on. A block of a foreign heap counts with
 * its usable size: there is no place for its request. When no summary is wanted all this is not there, and costs nothing.
 */
#include "face.h"

#include <sys/mman.h>

bool loam__accounting;

static uint32_t *sizes;        /* by 16 bytes of the arena: bytes asked for, where a block begins */
static struct loam_port inner; /* the heap behind us */
static struct loam_port outer;
static struct loam_link link_of_ours;
static struct account account; /* atomic, relaxed: sums; the peak is a sample */
static uint64_t large_bytes, foreign_bytes;

static uint32_t *place(const void *ptr)
{
	size_t off = (size_t)((const char *)ptr - loam__face.base);

	return off < loam__face.low_bytes ? &sizes[off >> 4] : NULL;
}

static uint64_t footprint(void)
{
	return ((uint64_t)loam__frames_used() << LOAM_PAGE_SHIFT) + __atomic_load_n(&large_bytes, __ATOMIC_RELAXED) +
	       __atomic_load_n(&foreign_bytes, __ATOMIC_RELAXED);
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

static size_t usable(void *inst, const void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(inst);

	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

static void *account_alloc(void *inst, size_t bytes, size_t align, gfp_t gfp)
{
	void *ptr = loam_heap_alloc(inst, bytes, align, gfp);

	if (ptr)
		face_count(&face_counts()->allocs);
	if (ptr && place(ptr)) {
		__atomic_store_n(place(ptr), (uint32_t)bytes, __ATOMIC_RELAXED);
		account_add(bytes);
	} else if (ptr) {
		bytes = usable(inst, ptr, NULL);
		__atomic_fetch_add(&foreign_bytes, bytes, __ATOMIC_RELAXED);
		account_add(bytes);
	}
	return ptr;
}

static void account_free(void *inst, void *ptr, struct page *page)
{
	const struct loam_link *link = loam_port_link(inst);
	size_t bytes;

	face_count(&face_counts()->frees);
	if (place(ptr)) {
		bytes = __atomic_exchange_n(place(ptr), 0, __ATOMIC_RELAXED);
	} else {
		bytes = usable(inst, ptr, page);
		__atomic_fetch_sub(&foreign_bytes, bytes, __ATOMIC_RELAXED);
	}
	__atomic_fetch_sub(&account.requested, bytes, __ATOMIC_RELAXED);
	loam_heap_ops(link)->free(link->inst, ptr, page);
}

static const struct loam_heap_ops ops = {
	.size = sizeof(ops), .alloc = account_alloc, .free = account_free, .usable_size = usable
};

/** Large blocks: their pages are asked for in full. */
void loam__account_large_resize(size_t from, size_t to)
{
	__atomic_fetch_add(&large_bytes, to - from, __ATOMIC_RELAXED);
	if (to > from)
		account_add(to - from);
	else
		__atomic_fetch_sub(&account.requested, from - to, __ATOMIC_RELAXED);
}

void loam__account_large_alloc(size_t bytes)
{
	face_count(&face_counts()->allocs);
	loam__account_large_resize(0, bytes);
}

void loam__account_large_free(size_t bytes)
{
	face_count(&face_counts()->frees);
	loam__account_large_resize(bytes, 0);
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
	if (loam__face.foreign == loam__face.heap)
		loam__face.foreign = &outer;
	loam__face.heap = &outer;
	loam__accounting = true;
	return true;
}

void loam__account_get(struct account *out)
{
	*out = account;
}
