/* SPDX-License-Identifier: MIT */
/*
 * malloc.c: the functions that programs call.
 *
 * malloc's rules are not kmalloc's: a block of 0 bytes is a block, 16 bytes is the alignment, failure sets errno and free
 * leaves it alone. What the heap does not serve, because of its limits, comes from the large window. The short ways read one
 * struct of the library's own and make one indirect call; the rest is in functions of their own.
 */
#include "face.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GFP_MALLOC (GFP_KERNEL | __GFP_NOWARN)

struct face loam__face = { .ours_bytes = SIZE_MAX };

/* ---- allocating ---- */

static LOAM_NOINLINE void *out_of_memory(void)
{
	errno = ENOMEM;
	return NULL;
}

/* Zeroed pages of the large window. */
static void *alloc_large(size_t bytes, size_t align)
{
	void *ptr = loam__large_alloc(bytes, align);

	if (!ptr)
		return out_of_memory();
	if (loam__accounting)
		loam__account_large_alloc(loam__large_size(ptr));
	return ptr;
}

/* Before the machine is up, or over the heap's limits. The contents are zero. */
static LOAM_NOINLINE void *alloc_slow(size_t bytes, size_t align)
{
	if (bytes > PTRDIFF_MAX)
		return out_of_memory();
	if (!loam__face.heap) {
		void *ptr = loam__face_early(bytes, align);

		return ptr ? ptr : out_of_memory();
	}
	return alloc_large(bytes, align);
}

/* Whether the heap serves this; not while heap_max is 0, until the machine is up. A heap that serves anything gives 16. */
static inline bool served(size_t bytes, size_t align)
{
	return loam_likely(bytes <= loam__face.heap_max && (align <= 16 || align <= loam__face.align_max));
}

/* @bytes is at least 1, @align at least 16 and a power of two. */
static inline void *alloc(size_t bytes, size_t align)
{
	const struct loam_link *link;
	void *ptr;

	if (!served(bytes, align))
		return alloc_slow(bytes, align);
	link = loam_port_link(loam__face.heap);
	ptr = loam_heap_ops(link)->alloc(link->inst, bytes, align, GFP_MALLOC);
	return loam_likely(ptr != NULL) ? ptr : out_of_memory();
}

FACE_EXPORT void *FACE(malloc)(size_t bytes)
{
	return alloc(bytes + !bytes, 16);
}

FACE_EXPORT void *FACE(calloc)(size_t n, size_t size)
{
	const struct loam_link *link;
	size_t bytes;
	void *ptr;

	if (__builtin_mul_overflow(n, size, &bytes))
		return out_of_memory();
	bytes += !bytes;
	if (!served(bytes, 16))
		return alloc_slow(bytes, 16);
	link = loam_port_link(loam__face.heap);
	/* A heap that knows its memory to be zero need not clear it. */
	if (loam_heap_ops(link)->zalloc) {
		ptr = loam_heap_ops(link)->zalloc(link->inst, bytes, 16, GFP_MALLOC);
		return loam_likely(ptr != NULL) ? ptr : out_of_memory();
	}
	ptr = alloc(bytes, 16);
	return ptr ? memset(ptr, 0, bytes) : NULL;
}

static void *alloc_aligned(size_t align, size_t bytes)
{
	return alloc(bytes + !bytes, align > 16 ? align : 16);
}

static bool is_power(size_t n)
{
	return n && !(n & (n - 1));
}

FACE_EXPORT int FACE(posix_memalign)(void **out, size_t align, size_t bytes)
{
	int saved = errno;
	void *ptr;

	if (!is_power(align) || align % sizeof(void *))
		return EINVAL;
	ptr = alloc_aligned(align, bytes);
	errno = saved;
	if (!ptr)
		return ENOMEM;
	*out = ptr;
	return 0;
}

/* As in glibc, an alignment that is no power of two is rounded up to one by memalign. */
FACE_EXPORT void *FACE(memalign)(size_t align, size_t bytes)
{
	if (align > (size_t)1 << 62) {
		errno = EINVAL;
		return NULL;
	}
	if (align > 1 && !is_power(align))
		align = (size_t)1 << (64 - __builtin_clzl(align - 1));
	return alloc_aligned(align, bytes);
}

FACE_EXPORT void *FACE(aligned_alloc)(size_t align, size_t bytes)
{
	if (!is_power(align)) {
		errno = EINVAL;
		return NULL;
	}
	return alloc_aligned(align, bytes);
}

FACE_EXPORT void *FACE(valloc)(size_t bytes)
{
	return alloc_aligned(LOAM_PAGE_SIZE, bytes);
}

FACE_EXPORT void *FACE(pvalloc)(size_t bytes)
{
	size_t whole;

	if (__builtin_add_overflow(bytes, LOAM_PAGE_SIZE - 1, &whole))
		return out_of_memory();
	return alloc_aligned(LOAM_PAGE_SIZE, whole & ~(LOAM_PAGE_SIZE - 1));
}

/* ---- freeing ---- */

/* Neither in the machine's low memory, nor from before it, nor in the large window: a foreign heap's, where there is one. */
static inline bool is_foreign(const void *ptr)
{
	return loam__face.foreign && ptr && (size_t)((const char *)ptr - loam__face.large) >= loam__face.large_bytes &&
	       !loam__face_is_early(ptr);
}

static LOAM_NOINLINE void free_slow(void *ptr)
{
	int saved = errno;
	size_t bytes;

	if (!ptr || loam__face_is_early(ptr))
		return;
	bytes = loam__accounting ? loam__large_size(ptr) : 0;
	if (loam__large_has(ptr) && loam__large_free(ptr)) {
		if (loam__accounting)
			loam__account_large_free(bytes);
	} else {
		/* Nobody's: entry 0 of the owners reports it. */
		const struct loam_link *link = loam_port_link(loam__owners[0].heap);

		loam_heap_ops(link)->free(link->inst, ptr, NULL);
	}
	errno = saved;
}

/* What happens to errno is the foreign library's affair, as it is where that library is preloaded. */
static LOAM_NOINLINE void free_outside(void *ptr)
{
	if (is_foreign(ptr)) {
		const struct loam_link *link = loam_port_link(loam__face.foreign);

		loam_heap_ops(link)->free(link->inst, ptr, NULL);
	} else {
		free_slow(ptr);
	}
}

FACE_EXPORT void FACE(free)(void *ptr)
{
	size_t off = (size_t)((char *)ptr - loam__face.base);
	const struct loam_link *link;
	struct page *page;

	/* low_bytes is 0 until the machine is up. */
	if (loam_unlikely(off >= loam__face.low_bytes)) {
		if ((size_t)((char *)ptr - loam__face.ours) < loam__face.ours_bytes || !ptr) {
			free_outside(ptr);
			return;
		}
		link = loam_port_link(loam__face.foreign);
		loam_heap_ops(link)->free(link->inst, ptr, NULL);
		return;
	}
	page = loam__face.pages + (off >> LOAM_PAGE_SHIFT);
	/*
	 * Nearly every block is the face's own heap's. To ask for that first is a branch that the processor foresees, so that
	 * what follows need not wait for the loads that lead from the block to its owner.
	 */
	link = loam_port_link(loam_likely(page->owner == loam__face.owner) ? loam__face.heap
									   : loam__owner_of(page)->heap);
	loam_heap_ops(link)->free(link->inst, ptr, page);
}

/* ---- sizes and resizing ---- */

static struct page *heap_page(const void *ptr)
{
	size_t off = (size_t)((const char *)ptr - loam__face.base);

	return off < loam__face.low_bytes ? loam__face.pages + (off >> LOAM_PAGE_SHIFT) : NULL;
}

static size_t usable(void *ptr, struct page *page)
{
	const struct loam_link *link;

	if (!page && is_foreign(ptr)) {
		link = loam_port_link(loam__face.foreign);
		return loam_heap_ops(link)->usable_size(link->inst, ptr, NULL);
	}
	if (!page)
		return loam__face_is_early(ptr) ? loam__face_early_size(ptr) : loam__large_size(ptr);
	link = loam_port_link(loam__owner_of(page)->heap);
	return loam_heap_ops(link)->usable_size(link->inst, ptr, page);
}

FACE_EXPORT size_t FACE(malloc_usable_size)(void *ptr)
{
	return ptr ? usable(ptr, heap_page(ptr)) : 0;
}

/* Whether the block can stay where it is: it is large enough and not more than half empty, or the heap can change it. */
static bool resize_here(void *ptr, struct page *page, size_t have, size_t bytes)
{
	const struct loam_link *link;

	if (loam__accounting)
		return false;
	if (bytes <= have && bytes >= have / 2)
		return true;
	if (!page && !is_foreign(ptr))
		return false;
	link = loam_port_link(page ? loam__owner_of(page)->heap : loam__face.foreign);
	return loam_heap_ops(link)->resize && loam_heap_ops(link)->resize(link->inst, ptr, page, bytes);
}

/* A large block that stays large: its pages move, not their contents. */
static void *resize_large(void *ptr, size_t have, size_t bytes)
{
	void *moved;

	if (!loam__large_has(ptr) || bytes <= loam__face.heap_max)
		return NULL;
	moved = loam__large_resize(ptr, bytes);
	if (moved && loam__accounting)
		loam__account_large_resize(have, loam__large_size(moved));
	return moved;
}

FACE_EXPORT void *FACE(realloc)(void *ptr, size_t bytes)
{
	struct page *page;
	size_t have;
	void *to;

	if (!ptr)
		return alloc(bytes + !bytes, 16);
	if (!bytes) {
		FACE(free)(ptr);
		return NULL;
	}
	if (bytes > PTRDIFF_MAX)
		return out_of_memory();
	page = heap_page(ptr);
	have = usable(ptr, page);
	if (!have) {
		FACE(free)(ptr); /* which reports it */
		return out_of_memory();
	}
	if (resize_here(ptr, page, have, bytes))
		return ptr;
	to = page ? NULL : resize_large(ptr, have, bytes);
	if (to)
		return to;
	to = alloc(bytes, 16);
	if (!to)
		return NULL;
	memcpy(to, ptr, have < bytes ? have : bytes);
	FACE(free)(ptr);
	return to;
}

FACE_EXPORT void *FACE(reallocarray)(void *ptr, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return out_of_memory();
	return FACE(realloc)(ptr, bytes);
}
