/* SPDX-License-Identifier: MIT */
/*
 * hold.h: what must not go while somebody works on it without the lock that guards its place. Who works on it holds it; who
 * ends it retires it first, and waits until nobody holds it. All under one lock of the instance.
 */
#ifndef LOAM_HOLD_H
#define LOAM_HOLD_H

#include <loam/plugin.h>

#include <sched.h>

struct hold {
	uint32_t users; /* who hold it; in a child of fork set to 0, for who held it is not there */
	bool going;     /* retired: nobody takes hold of it any more */
};

/** Under the lock: whether it is held from now on. */
static inline bool hold_take(struct hold *hold)
{
	hold->users += !hold->going;
	return !hold->going;
}

/** Under the lock. */
static inline void hold_drop(struct hold *hold)
{
	/* None in a child of fork, where a hold of the forking thread itself was forgotten with the others'. */
	if (hold->users)
		hold->users--;
}

/** From now on nobody holds it. May sleep; under no lock. */
static inline void hold_retire(const struct loam_host *host, struct loam_lock *lock, struct hold *hold)
{
	loam_lock(host, lock);
	hold->going = true;
	while (hold->users) {
		loam_unlock(host, lock);
		sched_yield();
		loam_lock(host, lock);
	}
	loam_unlock(host, lock);
}

#endif
