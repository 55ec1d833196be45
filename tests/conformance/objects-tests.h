/* SPDX-License-Identifier: MIT */
/*
 * objects-tests.h: what the files of the objects' tests share.
 *
 * objects.c             the suite, the mixed workload, bags of objects     objects-construct.c   constructors and destructors
 * objects-tracked.c     caches whose constructors are watched              objects-debug.c       red zones, poison, wrong frees
 * objects-results.c     results, alignment, limits                         objects-threads.c     several threads
 * objects-told.c        each, owners, kfree                                objects-life.c        destroy, shrink
 * objects-exhaustion.c  memory runs out, and comes back; zones             objects-model.c       random sequences
 */
#ifndef LOAM_CONFORM_OBJECTS_TESTS_H
#define LOAM_CONFORM_OBJECTS_TESTS_H

#include "child.h"

#define QUIET (GFP_KERNEL | __GFP_NOWARN)

/** All flags that loam/gfp.h has for caches. */
#define ALL_SLAB_FLAGS                                                                                                 \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_HWCACHE_ALIGN | SLAB_CACHE_DMA |                 \
	 SLAB_CACHE_DMA32 | SLAB_STORE_USER | SLAB_RECLAIM_ACCOUNT | SLAB_PANIC | SLAB_TYPESAFE_BY_RCU | SLAB_NO_REAP)

/* ---- objects.c ---- */

/** Whether the limits have the bit @cap. */
bool objects_claim(uint32_t cap);
/** Memory for a test's own records, zeroed. */
void *objects_records(size_t n, size_t bytes);

/** A cache on a machine with plenty of memory: a refusal breaks OBJ-14. */
struct loam_cache *cache_made(struct loam_cache_args args);
/** A cache of @bytes, with nothing else. */
struct loam_cache *cache_plain(const char *name, size_t bytes);
/** One with @args, or NULL where what @args adds to the objects leaves no room for them, or a flag is not known. */
struct loam_cache *cache_maybe(struct loam_cache_args args);
/** Destroy it: it has no live object, so a refusal breaks OBJ-25. */
void cache_gone(struct loam_cache *cache);
/** The op, past the host, which would report objects that live. */
int cache_destroy_op(struct loam_cache *cache);
/** An object on a machine with plenty of memory: NULL breaks OBJ-16. */
void *object_had(struct loam_cache *cache);

/** Frames that have the owner id of @cache. */
unsigned long frames_owned(const struct loam_cache *cache);
struct page *object_page(const void *object);
/** The instance's footprint, in bytes. */
uint64_t footprint_now(void);
/** What check says, of the subject and of the instances below it. */
unsigned check_chain(void);
/** Whether one of them has a check. */
bool has_check(void);
/** Reports of @kind by the subject and by the instances below it, since the machine booted. */
uint64_t reports_chain(enum loam_report_kind kind);

/** Objects of one cache that a test holds, each filled with the pattern of a seed of its own. */
struct bag {
	struct loam_cache *cache;
	void **objects;
	uint64_t *seeds;
	unsigned n, room;
	uint64_t seed; /* the bag's */
};
struct bag bag_new(struct loam_cache *cache, unsigned room, uint64_t seed);
/** Take @n objects; returns how many there were. */
unsigned bag_take(struct bag *bag, unsigned n, gfp_t gfp);
/** Take @n objects, which are there. */
void bag_have(struct bag *bag, unsigned n);
/** The contents are what was written, or @clause is broken; @after: what happened since. */
void bag_intact(const struct bag *bag, const char *clause, const char *after);
/** An object that the caller has got some other way is filled, and the bag's. */
void bag_add(struct bag *bag, void *object);
/** Object number @i is the bag's no longer, for the caller frees it some other way. The last one gets its number. */
void *bag_drop(struct bag *bag, unsigned i);
/** Free @n of them, in a random order, contents checked (OBJ-08). */
void bag_give(struct bag *bag, unsigned n, struct rng *rng);
/** Free the others, and forget them; the cache stays. */
void bag_end(struct bag *bag);

/* ---- objects-tracked.c: caches that see their constructors and destructors run ---- */

#define TRACKED 8 /* at a time */

/** What is known of an object's memory. */
struct tracked_mark {
	char *object;
	uint64_t seed; /* of the state that it must be in */
	bool constructed, live;
	unsigned since; /* calls of the constructor since it was last handed out */
};

struct tracked {
	struct loam_cache *cache;
	size_t bytes;
	bool with_dtor;
	uint64_t ctors, dtors;
	struct tracked_mark *marks; /* by address, open addressing; under the lock */
	unsigned used, room;
	unsigned *frames; /* of each frame: how many live objects begin there */
	pthread_mutex_t lock;
	bool once; /* CONSTRUCTED */
};

/** Cache number @slot, with a constructor, and a destructor if @with_dtor. NULL: the instance knows not all of @flags. */
struct tracked *tracked_new(unsigned slot, size_t bytes, uint32_t flags, bool with_dtor);
/** An object, judged (OBJ-09, 11), or NULL. */
void *tracked_alloc(struct tracked *tracked, gfp_t gfp);
/** The same of all that alloc_bulk gave. */
unsigned tracked_alloc_bulk(struct tracked *tracked, unsigned n, void **out);
/** Leave a new state in it, perhaps, and free it. */
void tracked_free(struct tracked *tracked, void *object);
void tracked_free_bulk(struct tracked *tracked, unsigned n, void **objects);
/** Before an object is freed some other way: it is in its holder's state, which is known, and is no longer live. */
void tracked_leave(struct tracked *tracked, void *object, bool change);
/** A live object is in the state that it was given, or @clause is broken. */
void tracked_intact(struct tracked *tracked, void *object, const char *clause);
/** The objects that are constructed do not overlap (OBJ-12). */
void tracked_apart(struct tracked *tracked);
/** Destroy the cache; every construction has its destruction (OBJ-13). No object is live. */
void tracked_gone(struct tracked *tracked);
/** Called by constructors and destructors, on the side: NULL for nothing. */
extern void (*tracked_aside)(void);

/* ---- the tests ---- */

/* objects-results.c */
void objects_new_cache(void);
void objects_names(void);
void objects_refuses(void);
void objects_apart(void);
void objects_bulk(void);
void objects_alignment(void);
void objects_least_alignment(void);
void objects_line_alignment(void);
void objects_contents(void);
void objects_every_size(void);
void objects_hundred_caches(void);

/* objects-told.c */
void objects_each_order(void);
void objects_each_numbers(void);
void objects_frames_lead_back(void);
void objects_kfree(void);

/* objects-construct.c */
void objects_constructed_first(void);
void objects_constructed_in_bulk(void);
void objects_constructed_once(void);
void objects_state_kept(void);
void objects_constructor_in_bounds(void);
void objects_destructed_once(void);
void objects_constructor_debugged(void);
void objects_constructor_exhausted(void);
void objects_constructor_unlocked(void);
void objects_constructor_calls_ops(void);
void objects_constructed_kfree(void);

/* objects-exhaustion.c */
void objects_as_many_again(void);
void objects_refused(void);
void objects_bulk_refused(void);
void objects_used_again(void);
void objects_dma(void);
void objects_dma_short(void);
void objects_dma_apart(void);

/* objects-debug.c */
void objects_red_zone_behind(void);
void objects_red_zone_front(void);
void objects_red_zone_check(void);
void objects_poison(void);
void objects_poison_check(void);
void objects_debug_quiet(void);
void objects_wrong_cache(void);
void objects_wrong_heap(void);
void objects_elsewhere(void);
void objects_double_free(void);
void objects_double_free_later(void);
void objects_bad_free(void);

/* objects-threads.c */
void objects_threads_caches(void);
void objects_threads_shrink(void);
void objects_threads_tracked(void);
void objects_threads_turns(void);
void objects_destroy_cached(void);
void objects_destroy_remembered(void);

/* objects-life.c */
void objects_busy(void);
void objects_busy_tracked(void);
void objects_gone(void);
void objects_come_and_go(void);
void objects_shrink_all(void);
void objects_shrink_some(void);
void objects_shrink_threads(void);

/* objects-model.c */
extern const struct sequence_ops objects_sequence;
void objects_model(void);

#endif
