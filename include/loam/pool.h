/* SPDX-License-Identifier: MIT */
/*
 * pool.h: the role `pool`: equal elements with a guaranteed reserve (mempool_*).
 *
 * A pool stands on a source: a cache, a heap, pages, or a pair of the client's functions. The plugin keeps the reserve; waiting
 * for an element that somebody gives back, and trying the source with and without reclaim in Linux's order, is the host's: it
 * calls `take` when the source fails and sleeps on what `give` returns. Semantics: Linux's mempool (6.1).
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

/** A pool; a plugin's own record begins with it. */
struct loam_pool {
	struct loam_link link; /* first; the plugin fills it in create */
	struct loam_pool_source source;
	uint32_t min_nr; /* atomic; changed by resize */
	uint32_t reserved;
};

struct loam_pool_ops {
	uint32_t size;
	uint32_t reserved;

	/** A pool whose reserve is full: 0; or -ENOMEM, -EINVAL for min_nr 0. May sleep (it calls source.alloc). */
	int (*create)(void *inst, const struct loam_pool_args *args, struct loam_pool **pool);
	/** The reserve goes back to the source. Elements that are out are the client's. May sleep. */
	void (*destroy)(struct loam_pool *pool);
	/** An element of the reserve, or NULL. Any context; never sleeps, never calls the source. */
	void *(*take)(struct loam_pool *pool);
	/**
	 * An element comes back. true: it went into the reserve, which was short, and the host wakes who waits. false: the
	 * reserve is full, and the host gives it to the source. Any context.
	 */
	bool (*give)(struct loam_pool *pool, void *element);
	/** Change min_nr (at least 1): shrinking frees, growing allocates with GFP_KERNEL. 0 or -ENOMEM. May sleep. */
	int (*resize)(struct loam_pool *pool, uint32_t min_nr);
	/** @n elements at once, all or none, past the source when a cache of the plugin's has them. NULL: the host loops. */
	unsigned (*take_bulk)(struct loam_pool *pool, unsigned n, void **out);
	unsigned (*give_bulk)(struct loam_pool *pool, unsigned n, void **elements);
	/** Elements in the reserve now. */
	uint32_t (*count)(const struct loam_pool *pool);
};

LOAM_END_DECLS
#endif
