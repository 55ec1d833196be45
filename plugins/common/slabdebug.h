/* SPDX-License-Identifier: MIT */
/*
 * slabdebug.h: the kernel's debug layout of a slab's objects and its reports, shared by the plugins that speak them.
 *
 * An object with SLAB_RED_ZONE, SLAB_POISON or SLAB_STORE_USER lies in its place like this (SLUB's layout):
 *
 *     left red zone | object | right red zone | link | tracks | padding
 *     bb free       | 6b..a5 | bb free        |      |        | 5a
 *     cc live       |        | cc live        |      |        |
 *
 * A free object is filled with 6b and ends with a5, so a write after free shows when the object is next handed out; a write
 * beyond the object's ends shows when it is freed. The tracks say which thread allocated and which freed the object last, and
 * when; a plugin does not know its caller's address, which the kernel keeps there too. What is left of the slab behind the
 * last object is filled with 5a.
 *
 * A finding is a report to the host. Its first line, "BUG cache (Not tainted): what", has all that a search wants; the others
 * show the slab, the object and the bytes around, at most some twenty lines, and end with "FIX cache: what was done". It is one
 * report so that a machine that stops at the first one has shown all.
 *
 * All functions are called under the lock of a cache that is debugged, but slabdebug_bad_free without a slab. They report,
 * restore what was overwritten, and go on.
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
	uint32_t left;    /* bytes before the object */
	uint32_t link;    /* offset of the link in the place; 0: in the object */
	uint32_t tracks;  /* offset of the tracks; 0: none */
	uint32_t padding; /* offset of the padding */
	bool red_zone, poison;
	bool on; /* the cache is debugged: by these, or by SLAB_CONSISTENCY_CHECKS */
};

/** A slab, as far as it is looked at and shown here. */
struct slabdebug_slab {
	char *base;       /* the first byte of its frames: offsets count from here */
	char *places;     /* the first one */
	size_t bytes;     /* of its frames */
	uint32_t num;     /* places */
	uint32_t used;    /* of them handed out */
	const void *free; /* the place that is handed out next; NULL: none */
};

/**
 * Lay out objects of @object_size with @align (a power of two, at least 8). Sets size and what follows it. @outside: the link
 * may not lie in the object even without debugging, because a constructor's work must survive.
 */
void slabdebug_layout(struct slabdebug *debug, uint32_t object_size, uint32_t align, uint32_t flags, bool outside);

/** Fill a new slab: all its places are free. */
void slabdebug_fill(const struct slabdebug *debug, const struct slabdebug_slab *slab);
/** The place at @at is handed out: check that nobody wrote to it while it was free, mark it live. */
void slabdebug_alloc(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at);
/** The place at @at comes back: check its borders, mark it free. */
void slabdebug_free(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at);

/** Check a place that is live or free. Returns the number of defects; @fn gets a line for each, and the log nothing. */
int slabdebug_check(const struct slabdebug *debug, const struct slabdebug_slab *slab, char *at, bool live,
		    loam_check_fn fn, void *arg);
/** The same for what is behind the last place. */
int slabdebug_check_end(const struct slabdebug *debug, const struct slabdebug_slab *slab, loam_check_fn fn, void *arg);

/** Something else is wrong with the slab, at the place @at (NULL: at none): tell @what it is, and by @fix what was done. */
void slabdebug_tell(const struct slabdebug *debug, const struct slabdebug_slab *slab, const char *at, const char *what,
		    const char *fix);
/**
 * @object was to be freed and is not: because it is free, or because no object begins there. @slab: NULL where nothing is
 * debugged, then one line tells it.
 */
void slabdebug_bad_free(const struct slabdebug *debug, const struct slabdebug_slab *slab, const char *object,
			bool already_free);

#endif
