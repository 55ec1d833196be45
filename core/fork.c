/* SPDX-License-Identifier: MIT */
/*
 * fork.c: fork through every instance.
 *
 * Before the fork every lock is taken, consumers down to pages and the host's own last, so that the child finds every
 * structure whole. The parent lets go in the other order. In the child only the forking thread lives: locks begin anew, and
 * each instance may put in order what the vanished threads had in their local areas. Blocks of vanished threads stay
 * claimed; they are few, and a child rarely lives long.
 *
 * Memory of a memfd is shared with the parent, so such a machine ends in the child: its memory is taken out of reach there.
 */
#include "internal.h"

#include <pthread.h>
#include <sys/mman.h>

static struct loam__mutex *const host_locks[] = { &loam__owner_lock, &loam__large_lock,  &loam__area_lock,
						  &loam__meta_lock,  &loam__window_lock, &loam__lock_lists };

static void each(enum loam_fork_phase phase)
{
	struct loam__graph *graph = loam__machine.graph;

	for (unsigned n = 0; n < graph->nr; n++) {
		/* Consumers first on the way in, providers first on the way out. */
		struct loam_self *self = graph->instances[phase == LOAM_FORK_BEFORE ? graph->nr - 1 - n : n];

		if (self->created && self->plugin->desc.fork)
			self->plugin->desc.fork(self->inst, phase);
	}
}

static void before(void) LOAM_UNCHECKED
{
	if (!loam__machine.up)
		return;
	each(LOAM_FORK_BEFORE);
	loam__quiesce();
	for (unsigned i = 0; i < LOAM_LEN(host_locks); i++)
		loam__lock(host_locks[i]);
}

static void parent(void) LOAM_UNCHECKED
{
	if (!loam__machine.up)
		return;
	for (unsigned i = LOAM_LEN(host_locks); i--;)
		loam__unlock(host_locks[i]);
	loam__resume();
	each(LOAM_FORK_PARENT);
}

/* Nobody waits in the child: a lock is free when its word is. */
static void fresh_locks(void)
{
	struct loam__graph *graph = loam__machine.graph;

	for (unsigned i = 0; i < LOAM_LEN(host_locks); i++)
		__atomic_store_n(&host_locks[i]->word, 0, __ATOMIC_RELEASE);
	for (unsigned i = 0; i < graph->nr; i++)
		loam__list_for_each (pos, &graph->instances[i]->locks)
			__atomic_store_n(&loam__list_of(pos, struct loam_lock, all)->word, 0, __ATOMIC_RELEASE);
}

static void child(void)
{
	if (!loam__machine.up)
		return;
	fresh_locks();
	loam__quiescing = false;
	if (loam__machine.backing == LOAM_BACKING_MEMFD) {
		loam__machine.forked = true;
		mprotect(loam__machine.map.base, loam__machine.map.low_bytes, PROT_NONE);
		loam__window_forked();
		return;
	}
	each(LOAM_FORK_CHILD);
}

/** Once in a process. */
void loam__fork_boot(void)
{
	static bool done;

	if (!done)
		pthread_atfork(before, parent, child);
	done = true;
}
