/* SPDX-License-Identifier: MIT */
/* caches.h: what the plugins with caches do alike: the arguments of a cache, and work on all caches of an instance. */
#ifndef LOAM_CACHES_H
#define LOAM_CACHES_H

#include "hold.h"
#include "list.h"

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

/**
 * A cache's place on the list of its instance, under the instance's lock. Work on each cache in turn that calls others cannot
 * keep that lock: it holds the cache that it is at.
 */
struct caches_node {
	struct list_head link; /* first: what is on the list */
	struct hold hold;      /* retired, first of all, by who destroys the cache; it stays on the list */
};

/** The first cache of @list, or the one behind @at, is held from now on, and @at no longer. NULL: there is none. */
static inline struct caches_node *caches_next(const struct loam_host *host, struct loam_lock *lock,
					      const struct list_head *list, struct caches_node *at)
{
	struct list_head *pos;

	loam_lock(host, lock);
	pos = at ? at->link.next : list->next;
	if (at)
		hold_drop(&at->hold);
	while (pos != list && !hold_take(&list_of(pos, struct caches_node, link)->hold))
		pos = pos->next;
	at = pos != list ? list_of(pos, struct caches_node, link) : NULL;
	loam_unlock(host, lock);
	return at;
}

/** In a child of fork: the threads that held caches of @list are gone. */
static inline void caches_fork(const struct list_head *list)
{
	list_for_each (pos, list)
		list_of(pos, struct caches_node, link)->hold.users = 0;
}

#endif
