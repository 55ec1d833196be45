/* SPDX-License-Identifier: MIT */
/*
 * magazine.h: what the files of the filter magazine share.
 *
 * magazine.c  descriptor, create, introspection
 * depot.c     magazines: exchanged with the depot, filled from and emptied into the instance below
 * roles.c     heap, objects and pages in front of that
 */
#ifndef LOAM_MAGAZINE_H
#define LOAM_MAGAZINE_H

#include "../common/classes.h"
#include "../common/count.h"
#include "../common/hold.h"
#include "../common/lower.h"
#include "../common/misuse.h"
#include "../common/ptrset.h"

#define MAG_BINS 512           /* kinds of items with a place in the local areas */
#define MAG_PAGES CLASSES_FINE /* the bins of single pages, one for each zone, behind those of the size classes */
#define MAG_CACHES (MAG_PAGES + LOAM_ZONES) /* from here on: caches of objects */
#define MAG_HEAP_MAX 32768u                 /* bytes of the largest size class */
#define MAG_CHUNK ((size_t)2 << 20)         /* of the machine's memory: one table of marks */
#define MAG_DEPOT 64                        /* magazines of a depot, at the most */
#define MAG_SMALL_MAX 1024                  /* requests up to here find their class by one table look-up */

/**
 * A thread's two magazines of a bin: lists of free items, linked through themselves. With two, taking and giving at a border
 * does not go to the depot each time. One writer; `n` is read by others, relaxed.
 */
struct pair {
	void *head;             /* the loaded one */
	void *prev;             /* the other one: empty, or full */
	uint64_t allocs, frees; /* of the bin's items by this thread */
	uint64_t n;             /* items of the loaded one */
	uint64_t rounds;        /* items that a magazine holds; 0: the thread has not used the bin yet */
	uint32_t prev_n;        /* items of the other one */
} __attribute__((aligned(64))); /* one line of the processor's cache */

/** What passed through: not items of a bin. */
struct passed {
	uint64_t allocs, frees, bytes_in, bytes_out, failures;
};

/** A local area. */
struct area {
	struct pair pairs[MAG_BINS];
	struct passed passed; /* one writer, relaxed */
	size_t chunk;         /* the chunk of the last free and its marks: the processor need not wait for the table */
	uint8_t *marks;       /* NULL: none yet */
};

struct magazine;
struct mag_cache;

/** A kind of items and its depot. */
struct bin {
	struct loam_lock lock;
	void *full[MAG_DEPOT];      /* heads of magazines with `rounds` items each; under the lock */
	uint64_t allocs, frees;     /* atomic: by threads without an area */
	size_t size;                /* bytes of an item; of a cache's, as its counters tell it: atomic */
	uint32_t nr_full, max_full; /* under the lock */
	uint32_t rounds;            /* items of a magazine */
	uint32_t index;
	uint32_t link;    /* offset of the link in a free item */
	bool used;        /* the lock is made */
	struct hold hold; /* of a cache's bin, by threads that empty it; under the magazine's lock */
};

struct mag_cache {
	struct lower_cache base; /* first */
	struct bin *bin;         /* NULL: its objects are not cached */
	uint32_t tag;            /* offset of the word behind an object that says whose it is; 0: frames tell that */
};

struct magazine {
	struct lower lower; /* first */
	struct loam_local local;
	const struct loam_map *map;
	char *base;       /* the machine's memory */
	size_t heap_max;  /* bytes of the largest class in use */
	size_t short_max; /* bytes of the largest request that one look into a magazine may serve; atomic */
	uint8_t **marks;  /* by chunk of the machine's memory, by 16 bytes: class + 1 of the block there; 0: none */
	uint8_t small[MAG_SMALL_MAX / 16 + 1]; /* (bytes + 15) / 16 to class */
	size_t nr_chunks;
	bool outside;    /* the heap below has given out blocks outside the machine's memory; atomic */
	uint32_t rounds; /* the parameter */
	size_t depot_bytes;
	uint32_t caps;                      /* LOAM_OBJECTS_* of the instance below */
	struct loam_lock lock;              /* of cache bins: who has which */
	struct mag_cache *caches[MAG_BINS]; /* by bin; written under the lock; atomic */
	const struct loam_zone *zones[LOAM_ZONES];
	struct passed shared; /* atomic: of threads without an area */
	char page_mark;       /* its address, in own[0] of a frame that waits here */
	struct bin bins[MAG_BINS];
};

/* ---- counting ---- */

/* @counter: an offset in struct passed. */
static inline void mag_passed(struct magazine *magazine, struct area *area, size_t counter, uint64_t n)
{
	if (loam_likely(area != NULL))
		count_own((uint64_t *)((char *)&area->passed + counter), n);
	else
		count_add((uint64_t *)((char *)&magazine->shared + counter), n);
}

static inline void mag_failed(struct magazine *magazine, struct area *area)
{
	mag_passed(magazine, area, offsetof(struct passed, failures), 1);
}

static inline void mag_came(struct area *area, struct bin *bin, uint64_t n)
{
	if (loam_likely(area != NULL))
		count_own(&area->pairs[bin->index].allocs, n);
	else
		count_add(&bin->allocs, n);
}

static inline void mag_went(struct area *area, struct bin *bin, uint64_t n)
{
	if (loam_likely(area != NULL))
		count_own(&area->pairs[bin->index].frees, n);
	else
		count_add(&bin->frees, n);
}

/* ---- the short ways ---- */

static inline void **mag_link(void *item, uint32_t link)
{
	return (void **)((char *)item + link);
}

/* Not counted as handed out yet. */
static inline void *mag_pop_quiet(struct pair *pair, uint32_t link)
{
	void *item = pair->head;

	if (loam_unlikely(!item))
		return NULL;
	pair->head = *mag_link(item, link);
	count_own(&pair->n, -1ull);
	return item;
}

static inline void *mag_pop(struct pair *pair, uint32_t link)
{
	void *item = mag_pop_quiet(pair, link);

	if (loam_likely(item != NULL))
		count_one(&pair->allocs);
	return item;
}

/* False: the magazine is full, or not there, or the item is what came last: freed twice. */
static inline bool mag_push(struct pair *pair, void *item, uint32_t link)
{
	void *head = pair->head;

	if (loam_unlikely(pair->n == pair->rounds || head == item))
		return false;
	*mag_link(item, link) = head;
	/* Release: in a child of fork the list behind the head is whole. */
	__atomic_store_n(&pair->head, item, __ATOMIC_RELEASE);
	count_one(&pair->n);
	count_one(&pair->frees);
	return true;
}

/* The mark of a block in the machine's memory, or NULL: its chunk has none. */
static inline uint8_t *mag_mark(const struct magazine *magazine, const void *ptr)
{
	size_t off = (size_t)((const char *)ptr - magazine->map->base);
	uint8_t *chunk = __atomic_load_n(&magazine->marks[off / MAG_CHUNK], __ATOMIC_ACQUIRE);

	return loam_likely(chunk != NULL) ? &chunk[off % MAG_CHUNK / 16] : NULL;
}

/* ---- objects that say whose they are, where frames do not ---- */

static inline uintptr_t mag_tag(const struct mag_cache *cache, const void *object)
{
	return (uintptr_t)cache ^ (uintptr_t)object;
}

/* @word: mag_tag() while the cache has handed it out or keeps it; 0 when it goes below. */
static inline void mag_tag_set(const struct mag_cache *cache, void *object, uintptr_t word)
{
	if (cache->tag)
		__builtin_memcpy((char *)object + cache->tag, &word, sizeof(word));
}

static inline bool mag_tagged(const struct mag_cache *cache, const void *object)
{
	uintptr_t word;

	__builtin_memcpy(&word, (const char *)object + cache->tag, sizeof(word));
	return word == mag_tag(cache, object);
}

/* ---- depot.c ---- */
void mag_bin_open(struct magazine *magazine, uint32_t index, size_t size, uint32_t link);
void mag_bin_close(struct magazine *magazine, struct bin *bin);
void *mag_find(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp);
void *mag_take(struct magazine *magazine, struct bin *bin, struct area *area, gfp_t gfp);
void mag_give(struct magazine *magazine, struct bin *bin, struct area *area, void *item);
unsigned long mag_drain_bin(struct magazine *magazine, struct bin *bin);
unsigned long mag_drain_pair(struct magazine *magazine, struct bin *bin, struct pair *pair);
void mag_bin_forget(struct magazine *magazine, struct bin *bin);
void mag_flush(void *inst, void *area);
void mag_fork(void *inst, enum loam_fork_phase phase);
unsigned long mag_shrink(void *inst, unsigned long pages);
bool mag_make_room(struct magazine *magazine);
uint8_t *mag_mark_open(struct magazine *magazine, const void *ptr);

/* ---- roles.c ---- */
extern const struct loam_heap_ops mag_heap_ops;
extern const struct loam_objects_ops mag_objects_ops;
void *mag_object_below(struct mag_cache *cache, gfp_t gfp);
void mag_object_give_below(struct mag_cache *cache, void *object);
extern const struct loam_pages_ops mag_pages_ops;

#endif
