/* SPDX-License-Identifier: MIT */
/*
 * threads.c: how often each thread allocated and freed.
 *
 * A thread's record outlives it: the sums need it. Records lie in pages of our own and are never given back; the next thread
 * takes over the record of one that ended, and counts on.
 */
#include "face.h"

#include <pthread.h>
#include <sys/mman.h>

__thread struct face_counts *loam__face_counts __attribute__((tls_model("initial-exec")));

#define RECORDS 63

struct slab {
	struct slab *next;
	struct record {
		struct face_counts counts;
		bool taken;
	} __attribute__((aligned(64))) records[RECORDS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct slab *slabs;
/* Where a thread counts for which there is no record: shared, so a count may be lost. */
static struct face_counts overflow;
static pthread_key_t key;
static bool key_made;

static void thread_ends(void *arg)
{
	struct record *record = arg;

	pthread_mutex_lock(&lock);
	record->taken = false;
	pthread_mutex_unlock(&lock);
	/* What is still freed behind us is counted in the same record or in its next owner's. */
}

static struct record *find(void)
{
	for (struct slab *slab = slabs; slab; slab = slab->next)
		for (unsigned i = 0; i < RECORDS; i++)
			if (!slab->records[i].taken)
				return &slab->records[i];
	return NULL;
}

static struct record *make(void)
{
	struct slab *slab = mmap(NULL, sizeof(*slab), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (slab == MAP_FAILED)
		return NULL;
	slab->next = slabs;
	slabs = slab;
	return &slab->records[0];
}

LOAM_NOINLINE struct face_counts *loam__face_counts_open(void)
{
	struct record *record;

	pthread_mutex_lock(&lock);
	if (!key_made)
		key_made = !pthread_key_create(&key, thread_ends);
	record = find();
	if (!record)
		record = make();
	if (record)
		record->taken = true;
	pthread_mutex_unlock(&lock);
	loam__face_counts = record ? &record->counts : &overflow;
	if (record && key_made)
		pthread_setspecific(key, record);
	return loam__face_counts;
}

void loam__face_counts_sum(uint64_t *allocs, uint64_t *frees)
{
	*allocs = *frees = 0;
	pthread_mutex_lock(&lock);
	for (struct slab *slab = slabs; slab; slab = slab->next)
		for (unsigned i = 0; i < RECORDS; i++) {
			*frees += __atomic_load_n(&slab->records[i].counts.frees, __ATOMIC_RELAXED);
			*allocs += __atomic_load_n(&slab->records[i].counts.allocs, __ATOMIC_RELAXED);
		}
	pthread_mutex_unlock(&lock);
}
