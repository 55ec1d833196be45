/* SPDX-License-Identifier: MIT */
/*
 * locks.c: the subject's locks under watch: which ones a thread holds, and in which order it took them.
 *
 * A plugin takes a lock inline: a word goes from 0 to 1, and only when that fails it calls the host. A watched lock that is free
 * therefore has neither 0 but ARMED in its word, so that every acquisition comes by here; it is held with 2, so that the
 * release comes by too. The release is inline as well and leaves 0 for a moment before it is armed again; who takes the lock
 * in that moment is not seen, and its word is made 2 behind its back, so that from its release on all are seen again.
 */
#include "child.h"
#include "internal.h"

#include <sched.h>

#define FREE 0u
#define HELD 1u  /* taken inline, not seen */
#define SEEN 2u  /* held, and its release will be seen */
#define ARMED 4u /* free, and who takes it will be seen */
#define DEEPEST 32

static _Thread_local struct {
	struct loam_lock *locks[DEEPEST];
	unsigned n;
} held;

unsigned locks_held(const char **name)
{
	if (name)
		*name = held.n ? held.locks[held.n - 1]->name : NULL;
	return held.n;
}

/* Only rising ranks inside one instance; equal ones would be a deadlock as well when two threads take them crosswise. */
static void check_order(const struct loam_lock *lock)
{
	for (unsigned i = 0; i < held.n; i++) {
		const struct loam_lock *other = held.locks[i];

		if (other == lock)
			broken(LOCKS_RISE, "lock '%s' is taken by a thread that holds it", lock->name);
		if (other->self == lock->self && other->rank >= lock->rank)
			broken(LOCKS_RISE, "lock '%s' (rank %u) is taken while '%s' (rank %u) is held", lock->name,
			       lock->rank, other->name, other->rank);
	}
	if (held.n == DEEPEST)
		broken(LOCKS_RISE, "%d locks are held at once; the newest is '%s'", DEEPEST, lock->name);
}

/* The one around a serialised instance is the host's, and never armed: only quiescing calls it by the subject's table. */
static bool is_hosts(const struct loam_lock *lock)
{
	return lock == loam__serial_lock(lock->self);
}

static bool take(uint32_t *word, uint32_t from)
{
	return __atomic_compare_exchange_n(word, &from, SEEN, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/*
 * In tests of threads the processor is given away now and then where locks are taken and let go: what goes wrong only when a
 * thread stops just there is then seen on a computer of few processors, too. Not for ever: each time may cost a slice of time.
 */
static void stumble(void)
{
	static _Thread_local uint32_t state, times;

	if (!job.test || job.test->kind != THREADS || times >= 200)
		return;
	if (!state)
		state = (uint32_t)job.seed ^ (uint32_t)((uintptr_t)&state >> 6);
	state = state * 1664525u + 1013904223u;
	if (state >> 27)
		return;
	times++;
	sched_yield();
}

static void watch_lock(struct loam_lock *lock)
{
	if (is_hosts(lock)) {
		loam__machine.host.lock_slow(lock);
		return;
	}
	/* The host takes all locks in an order of its own, which is theirs by rank. */
	if (!loam__quiescing)
		check_order(lock);
	stumble();
	while (!take(&lock->word, ARMED) && !take(&lock->word, FREE))
		sched_yield();
	if (!loam__quiescing)
		held.locks[held.n++] = lock;
}

static void forget(const struct loam_lock *lock)
{
	for (unsigned i = held.n; i--;)
		if (held.locks[i] == lock) {
			held.locks[i] = held.locks[--held.n];
			return;
		}
}

static void watch_unlock(struct loam_lock *lock)
{
	uint32_t word = FREE;

	if (is_hosts(lock)) {
		loam__machine.host.unlock_slow(lock);
		return;
	}
	forget(lock);
	/* Each fails only when the word changed: once armed, or seen, somebody else looks after it. */
	while (word == FREE || word == HELD)
		if (__atomic_compare_exchange_n(&lock->word, &word, word == FREE ? ARMED : SEEN, false,
						__ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
			break;
	stumble();
}

static void watch_init(struct loam_self *self, struct loam_lock *lock, unsigned rank, const char *name)
{
	loam__machine.host.lock_init(self, lock, rank, name);
	__atomic_store_n(&lock->word, ARMED, __ATOMIC_RELEASE);
}

static void watch_destroy(struct loam_lock *lock)
{
	uint32_t word = __atomic_load_n(&lock->word, __ATOMIC_ACQUIRE);

	if (word != ARMED && word != FREE)
		broken(LOCKS_RISE, "lock '%s' is destroyed while it is held", lock->name);
	loam__machine.host.lock_destroy(lock);
}

void locks_watch(struct loam_host *table)
{
	table->lock_init = watch_init;
	table->lock_destroy = watch_destroy;
	table->lock_slow = watch_lock;
	table->unlock_slow = watch_unlock;
}
