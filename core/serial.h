/* SPDX-License-Identifier: MIT */
/* serial.h: one lock around each op of an instance: what serial.c and serial-kernel.c share. */
#ifndef LOAM_CORE_SERIAL_H
#define LOAM_CORE_SERIAL_H

#include "internal.h"

struct serial {
	struct loam_lock lock;
	struct loam_self *self;
	const struct loam_heap_ops *heap;
	const struct loam_pages_ops *pages;
	const struct loam_objects_ops *objects;
	const struct loam_boot_ops *boot;
	const struct loam_pool_ops *pool;
	const struct loam_percpu_ops *percpu;
	const struct loam_vmap_ops *vmap;
	const struct loam_kmap_ops *kmap;
	struct loam_heap_ops heap_ops;
	struct loam_pages_ops pages_ops;
	struct loam_objects_ops objects_ops;
	struct loam_boot_ops boot_ops;
	struct loam_pool_ops pool_ops;
	struct loam_percpu_ops percpu_ops;
	struct loam_vmap_ops vmap_ops;
	struct loam_kmap_ops kmap_ops;
};

/* Runs the expression under the instance's lock. */
#define UNDER(s, expr)                                                                                                 \
	({                                                                                                             \
		loam_lock(&loam__machine.host, &(s)->lock);                                                            \
		__auto_type result_ = (expr);                                                                          \
		loam_unlock(&loam__machine.host, &(s)->lock);                                                          \
		result_;                                                                                               \
	})
#define UNDER_VOID(s, stmt)                                                                                            \
	do {                                                                                                           \
		loam_lock(&loam__machine.host, &(s)->lock);                                                            \
		stmt;                                                                                                  \
		loam_unlock(&loam__machine.host, &(s)->lock);                                                          \
	} while (0)
/*
 * The same for an allocation with the flags @gfp, a variable that @expr uses: under the lock it neither reclaims nor waits, for
 * others may need the lock to free; that is done outside, and the op asked again.
 */
#define UNDER_AGAIN(s, gfp, expr)                                                                                      \
	({                                                                                                             \
		gfp_t asked_ = (gfp);                                                                                  \
		unsigned rounds_ = 0;                                                                                  \
		__auto_type got_ = (__typeof__(expr))0;                                                                \
		if (asked_ & __GFP_DIRECT_RECLAIM)                                                                     \
			(gfp) = (asked_ & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN;                                       \
		while (!(got_ = UNDER(s, expr)) && loam__relieve(asked_, 0, &rounds_))                                 \
			;                                                                                              \
		(gfp) = asked_ & ~__GFP_DIRECT_RECLAIM;                                                                \
		got_ ? got_ : asked_ &__GFP_DIRECT_RECLAIM && !(asked_ & __GFP_NOWARN) ? UNDER(s, expr) : got_;        \
	})

/* The wrapper of an op, where the plugin has the op. */
#define WRAP(table, inner, op, wrapper) ((table).op = (inner)->op ? (wrapper) : NULL)

/* serial-kernel.c: the wrapped table of a role that only kernel code uses. */
const void *loam__serial_wrap_kernel(struct serial *s, enum loam_role_id role, const void *ops);

#endif
