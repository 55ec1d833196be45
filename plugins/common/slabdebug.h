/* SPDX-License-Identifier: MIT */
/*
 * slabdebug.h: the kernel's debug layout of a slab's objects, shared by the plugins that speak it.
 *
 * An object with SLAB_RED_ZONE or SLAB_POISON lies in its place like this (SLUB's layout):
 *
 *     left red zone | object | right red zone | link | padding
 *     bb free       | 6b..a5 | bb free        |      | 5a
 *     cc live       |        | cc live        |      |
 *
 * A free object is filled with 6b and ends with a5, so a write after free shows when the object is next handed out; a write
 * beyond the object's ends shows when it is freed. What is left of the slab behind the last object is filled with 5a.
 *
 * All functions are called under the lock of the cache. They report, restore what was overwritten, and go on.
 */
#ifndef LOAM_SLABDEBUG_H
#define LOAM_SLABDEBUG_H

#include <loam/plugin.h>

struct slabdebug {
	const struct loam_host *host;
	struct loam_self *self;
	const char *name; /* of the cache */
	uint32_t size;    /* from place to place */
	uint32_t object_size;
	uint32_t left; /* bytes before the object */
	uint32_t link; /* offset of the link in the place; the padding begins 8 bytes behind */
	bool red_zone, poison;
};

/**
 * Lay out objects of @object_size with @align (a power of two, at least 8). Sets size, left and link. @outside: the link
 * may not lie in the object even without debugging, because a constructor's work must survive.
 */
void slabdebug_layout(struct slabdebug *debug, uint32_t object_size, uint32_t align, uint32_t flags, bool outside);

/** Fill the places of a new slab of @bytes at @base as free. */
void slabdebug_slab(const struct slabdebug *debug, char *base, size_t bytes, uint32_t objects);
/** The place at @at is handed out: check that nobody wrote to it while it was free, mark it live. */
void slabdebug_alloc(const struct slabdebug *debug, const char *base, char *at);
/** The place at @at comes back: check its borders, mark it free. */
void slabdebug_free(const struct slabdebug *debug, const char *base, char *at);
/** Check a place that is live or free. Returns the number of defects; reports each through @fn, or host->report when NULL. */
int slabdebug_check(const struct slabdebug *debug, const char *base, char *at, bool live, loam_check_fn fn, void *arg);

#endif
