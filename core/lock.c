/* SPDX-License-Identifier: MIT */
/*
 * lock.c: locks of plugins and of the host: a word of three states (free, held, held and waited for) on a futex.
 *
 * Each instance's locks are on its list, by rank: quiescing and fork take them all, consumers before what they consume and
 * lower ranks first, which is the order in which operations take them.
 */
#include "internal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPINS 100 /* about a microsecond: the sections are short */

struct loam__mutex loam__lock_lists;
__thread bool loam__quiescing __attribute__((tls_model("initial-exec")));

static void pause_cpu(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#else
	__asm__ volatile("yield");
#endif
}

/** Wait until @word is ours. Acquire on success. */
void loam__word_wait(uint32_t *word)
{
	for (int i = 0; i < SPINS; i++) {
		uint32_t expected = 0;

		if (!__atomic_load_n(word, __ATOMIC_RELAXED) &&
		    __atomic_compare_exchange_n(word, &expected, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
			return;
		pause_cpu();
	}
	/* 2 says that somebody waits; taking the lock with it costs at most one vain wake. */
	while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE))
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, 2, NULL, NULL, 0);
}

void loam__word_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void loam__host_lock_slow(struct loam_lock *lock)
{
	loam__word_wait(&lock->word);
}

void loam__host_unlock_slow(struct loam_lock *lock)
{
	loam__word_wake(&lock->word);
}

void loam__host_lock_init(struct loam_self *self, struct loam_lock *lock, unsigned rank, const char *name)
{
	struct list_head *at;

	lock->word = 0;
	lock->rank = rank;
	lock->name = name;
	lock->self = self;
	loam__lock(&loam__lock_lists);
	for (at = self->locks.next; at != &self->locks; at = at->next)
		if (loam__list_of(at, struct loam_lock, all)->rank > rank)
			break;
	loam__list_add(&lock->all, at);
	loam__unlock(&loam__lock_lists);
}

void loam__host_lock_destroy(struct loam_lock *lock)
{
	loam__lock(&loam__lock_lists);
	loam__list_del(&lock->all);
	loam__unlock(&loam__lock_lists);
}

static void lock_all(struct loam_self *self) LOAM_UNCHECKED
{
	loam__list_for_each (pos, &self->locks)
		loam_lock(self->host, loam__list_of(pos, struct loam_lock, all));
}

static void unlock_all(struct loam_self *self) LOAM_UNCHECKED
{
	loam__list_for_each (pos, &self->locks)
		loam_unlock(self->host, loam__list_of(pos, struct loam_lock, all));
}

void loam__quiesce(void) LOAM_UNCHECKED
{
	struct loam__graph *graph = loam__machine.graph;

	/*
	 * The lists stay as they are while we hold their locks. lock_init and lock_destroy take the lists' lock inside an
	 * operation's, so it is let go while we wait for an instance: an instance whose operation makes a lock holds none of
	 * the ranks above it (create and destroy of caches take theirs only around list changes).
	 */
	loam__quiescing = true;
	for (unsigned i = graph ? graph->nr : 0; i--;)
		lock_all(graph->instances[i]);
}

void loam__resume(void) LOAM_UNCHECKED
{
	struct loam__graph *graph = loam__machine.graph;

	for (unsigned i = 0; graph && i < graph->nr; i++)
		unlock_all(graph->instances[i]);
	loam__quiescing = false;
}
