/* SPDX-License-Identifier: MIT */
/* caches.h: what slub and slab make alike of the arguments of a cache. */
#ifndef LOAM_CACHES_H
#define LOAM_CACHES_H

#include <loam/plugin.h>

#define CACHES_LINE 64u /* bytes of a line of the processor's cache */
#define CACHES_FLAGS                                                                                                   \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA |                 \
	 SLAB_CACHE_DMA32 | SLAB_RECLAIM_ACCOUNT | SLAB_PANIC | SLAB_NO_REAP |                                         \
	 SLAB_STORE_USER) /* known; others: -EINVAL */

/** An object's alignment: what was asked for, a cache line for small objects that want one, never under a pointer. */
static inline uint32_t caches_align(const struct loam_cache_args *args)
{
	uint32_t align = args->align > 8 ? (uint32_t)args->align : 8, line = CACHES_LINE;

	if (args->flags & SLAB_HWCACHE_ALIGN) {
		/* Several small objects may share a line, each in its half, quarter or eighth. */
		while (args->object_size <= line / 2 && line > 8)
			line /= 2;
		align = align > line ? align : line;
	}
	return align;
}

#endif
