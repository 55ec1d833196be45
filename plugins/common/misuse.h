/* SPDX-License-Identifier: MIT */
/*
 * misuse.h: the kernel's words for objects that are freed where they should not be, the same from every plugin that has
 * caches. loam is never tainted: the kernel says there whether modules of others are loaded.
 */
#ifndef LOAM_MISUSE_H
#define LOAM_MISUSE_H

#include <loam/plugin.h>

#define MISUSE_BUG "BUG %s (Not tainted): " /* the cache's name */
#define MISUSE_ALREADY_FREE "Object already free"
#define MISUSE_BAD_POINTER "Invalid object pointer %p" /* the address */

/** @object is freed into the cache @name, but is free. */
static inline void misuse_already_free(const struct loam_host *host, struct loam_self *self, const char *name,
				       const void *object)
{
	host->report(self, LOAM_REPORT_DOUBLE_FREE, object, MISUSE_BUG MISUSE_ALREADY_FREE, name);
}

/** @ptr is freed into the cache @name, but no object begins there. */
static inline void misuse_bad_pointer(const struct loam_host *host, struct loam_self *self, const char *name,
				      const void *ptr)
{
	host->report(self, LOAM_REPORT_BAD_FREE, ptr, MISUSE_BUG MISUSE_BAD_POINTER, name, ptr);
}

/**
 * @object, in the frame @page or in none (NULL), is freed into the cache @name, but is not of it. @real: the cache that it is
 * of, NULL when none of this instance's is known.
 */
static inline void misuse_wrong_cache(const struct loam_host *host, struct loam_self *self, const char *name,
				      const void *object, const struct page *page, const char *real)
{
	if (!page || !page->owner)
		host->report(self, LOAM_REPORT_BAD_FREE, object,
			     MISUSE_BUG "Attempt to free object(%p) outside of slab", name, object);
	else
		host->report(self, LOAM_REPORT_WRONG_CACHE, object, "Wrong slab cache. %s but object is from %s", name,
			     real ? real : "another instance");
}

#endif
