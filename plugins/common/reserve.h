/* SPDX-License-Identifier: MIT */
/*
 * reserve.h: the reserve of a pool: a stack of elements under a lock, filled when the pool is made, and again before anything
 * goes back to the source. What mempool and ring share.
 */
#ifndef LOAM_PLUGINS_RESERVE_H
#define LOAM_PLUGINS_RESERVE_H

#include "list.h"

#include <loam/plugin.h>

/** A pool as far as its reserve goes; a plugin's own record begins with it. */
struct reserve {
	struct loam_pool pub; /* first */
	const struct loam_host *host;
	struct loam_self *self;
	struct list_head link; /* the instance's list of pools */
	size_t element_size;
	bool poison;
	struct loam_lock lock;
	uint32_t count; /* atomic for who looks without the lock; changed with pub.lacking */
	uint32_t room;  /* of elements[] */
	void **elements;
	uint64_t allocs, frees, failures; /* under the lock: came to be lacking, made good, found empty */
};

static inline struct reserve *reserve_of(const struct loam_pool *pub)
{
	return (struct reserve *)pub;
}

/** Fill it with args->min_nr elements of the source. @link: the pool's. The lock has rank @rank. 0, -EINVAL, -ENOMEM. */
int reserve_make(struct reserve *r, const struct loam_host *host, struct loam_self *self, unsigned rank,
		 const struct loam_pool_args *args, struct loam_link link, bool poison);
/** All elements back to the source, and its memory. */
void reserve_end(struct reserve *r);
/** Its memory alone: for the end of an instance, when the source's functions may be gone. */
void reserve_forget(struct reserve *r);
/** The ops of the role. */
void *reserve_take(struct loam_pool *pub);
int reserve_resize(struct loam_pool *pub, uint32_t min_nr);
uint32_t reserve_count(const struct loam_pool *pub);
/** @element into it, when it is short; false: it is full. */
bool reserve_refill(struct reserve *r, void *element);
/** Add its counters. */
void reserve_stat(struct reserve *r, struct loam_stat *stat);
/** Broken invariants. */
int reserve_check(const struct reserve *r, loam_check_fn fn, void *arg);

#endif
