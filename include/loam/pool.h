/* SPDX-License-Identifier: MIT */
/*
 * pool.h: the role `pool`: equal elements with a guaranteed reserve (mempool_*).
 *
 * A pool stands on a source: a cache, a heap, pages, or a pair of the client's functions. The plugin keeps the reserve, and may
 * keep more that it gives out without asking the source. The order is the host's: get; the source without reclaim; take; the
 * source with all that the flags allow; sleep until a give has refilled the reserve. Semantics: Linux's mempool (6.1).
 *
 * The short way: a plugin that keeps elements for each thread, or CPU, may publish where they are, and the caller's inline code
 * takes one off its stack as get would, or puts one on it as give would, without a call. Only what is kept beyond the reserve is
 * there, and an element is put there only while the reserve lacks nothing: else it goes to give. So the reserve is filled first
 * on either way. Any use of the short way is an op of the pool as far as destroy is concerned.
 */
#ifndef LOAM_POOL_H
#define LOAM_POOL_H

#include <loam/plugin.h>

LOAM_BEGIN_DECLS

/** Where elements come from. @data is handed to both. */
struct loam_pool_source {
	void *(*alloc)(gfp_t gfp, void *data); /* an element or NULL; may sleep when @gfp says so */
	void (*free)(void *element, void *data);
	void *data;
};

struct loam_pool_args {
	uint32_t size;
	uint32_t min_nr;     /* elements in the reserve; at least 1 */
	size_t element_size; /* for poisoning the reserve; 0: unknown */
	struct loam_pool_source source;
};

/**
 * What a pool keeps for one thread, or CPU: the last one in is the first out. It is its owner's alone, as the local area that leads
 * to it: only the owner, the ops that it calls, the flush of its area and destroy read or write it, so nothing here is atomic. In
 * kernel code the owner is the CPU that is held, and nothing else runs there before the next call.
 */
struct loam_pool_stack {
	uint32_t n;   /* elements that are there, 0 to max: elements[0] to elements[n - 1] */
	uint32_t max; /* how many there is room for; at least 1; constant */
	void *elements[];
};

/** A pool; a plugin's own record begins with it. Only what is called atomic changes behind create. */
struct loam_pool {
	struct loam_link link; /* first; the plugin fills it in create: its ops, its instance */
	/**
	 * Where in the caller's local area the address of its stack is, a struct loam_pool_stack *; NULL there: it has none yet, or
	 * none any more, and an op may make one. offset 0, where no instance's area can be: the pool publishes no stacks.
	 */
	struct loam_local stack;
	/**
	 * Atomic, the plugin's: how many elements the reserve lacks, min_nr less count. Changed with the reserve, so that who has an
	 * element which was taken from it sees it not 0 until the reserve has as many again.
	 */
	uint32_t lacking;
	uint32_t min_nr;                /* atomic; changed by resize */
	struct loam_pool_source source; /* as create was given it */
	uint32_t waiters;               /* host: atomic */
};

/** What became of an element that was given back. */
enum loam_pool_given {
	LOAM_POOL_SOURCE,  /* the plugin does not keep it: the caller hands it to the source */
	LOAM_POOL_KEPT,    /* kept, beyond the reserve: get gives it out again */
	LOAM_POOL_REFILLED /* the reserve was short and has it: the caller wakes who waits for an element */
};

struct loam_pool_ops {
	uint32_t size;
	uint32_t reserved;

	/** A pool whose reserve is full: 0; or -ENOMEM, -EINVAL for min_nr 0. May sleep (it calls source.alloc). */
	int (*create)(void *inst, const struct loam_pool_args *args, struct loam_pool **pool);
	/**
	 * The reserve and what is kept go back to the source, wherever threads have it. Elements that are out are the client's.
	 * May sleep. No other op of the pool runs, or comes after it. An instance that is destroyed with pools gives back its
	 * own records only: the functions of a source may be gone by then.
	 */
	void (*destroy)(struct loam_pool *pool);
	/** An element of the reserve, or NULL when it is empty. Any context; never sleeps, never calls the source. */
	void *(*take)(struct loam_pool *pool);
	/** An element comes back: enum loam_pool_given says where it went. Any context; never sleeps, never calls the source. */
	int (*give)(struct loam_pool *pool, void *element);
	/**
	 * Change min_nr (at least 1): shrinking gives what is over back to the source; growing fills the reserve with GFP_KERNEL,
	 * as far as the source has elements, and what is lacking then is filled by give. 0; or -ENOMEM when there are no records
	 * for so many, with the pool as it was; or -EINVAL for 0. May sleep. Take and give may run beside it, another resize not.
	 */
	int (*resize)(struct loam_pool *pool, uint32_t min_nr);
	/** Elements in the reserve now. */
	uint32_t (*count)(const struct loam_pool *pool);
	/**
	 * An element that is kept beyond the reserve, or NULL: asked before the source. Any context; never sleeps, never calls the
	 * source. NULL op: nothing is kept.
	 */
	void *(*get)(struct loam_pool *pool);
	/** @n elements that are kept beyond the reserve, all or none: @n or 0. NULL: the caller loops. */
	unsigned (*get_bulk)(struct loam_pool *pool, unsigned n, void **out);
	/**
	 * @elements come back: the first so many were kept beyond the reserve, the rest is for give. 0 while the reserve is short.
	 * NULL: the caller loops.
	 */
	unsigned (*give_bulk)(struct loam_pool *pool, unsigned n, void *const *elements);
};

/**
 * The caller's stack of @pool, or NULL. Valid until the next op of the pool in this thread; in kernel code, until the next call of
 * anything.
 */
static inline struct loam_pool_stack *loam_pool_stack(const struct loam_pool *pool)
{
	struct loam_pool_stack **at;

	if (loam_unlikely(!pool->stack.offset))
		return NULL;
	at = (struct loam_pool_stack **)loam_area(&pool->stack);
	return loam_likely(at != NULL) ? *at : NULL;
}

/** Whether the reserve is short: then what comes back is for give. Relaxed: a stale answer sends one element to the wrong side. */
static inline bool loam_pool_is_short(const struct loam_pool *pool)
{
	return __atomic_load_n(&pool->lacking, __ATOMIC_RELAXED);
}

LOAM_END_DECLS
#endif
