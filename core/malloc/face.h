/* SPDX-License-Identifier: MIT */
/*
 * face.h: the malloc face: how a program's malloc reaches an instance with the role heap.
 *
 * malloc.c   the functions that programs call       boot.c      the machine before main, memory from before that
 * threads.c  counters of each thread: both only     account.c   requested sizes and peaks: when a summary is wanted
 * summary.c  the summary at exit                    info.c      mallinfo and its like
 */
#ifndef LOAM_MALLOC_FACE_H
#define LOAM_MALLOC_FACE_H

#include "machine.h"

#include <loam/heap.h>

/*
 * The names that are exported. The library that programs preload has malloc's own; tests that run under a sanitizer, which has
 * a malloc of its own, link the same source with a prefix.
 */
#ifdef LOAM_FACE_PREFIX
#include "prefix.h"
#define FACE(name) loam_face_##name
#else
#define FACE(name) name
#endif
#define FACE_EXPORT LOAM_EXPORT __attribute__((nothrow))

/** All that the short ways read, a copy of what boot found: one line of the cache, one more where a heap is foreign. */
struct face {
	const struct loam_port *heap; /* NULL: not up yet */
	char *base;                   /* of the machine's low memory */
	size_t low_bytes;
	struct page *pages;
	size_t heap_max; /* larger requests, and larger alignments, go to the large window */
	size_t align_max;
	uint32_t owner; /* id of the heap */
	struct loam__graph *graph;
	const struct loam_port *foreign; /* whose addresses outside the machine's memory are, or NULL */
	/*
	 * What lies outside the machine's memory and outside this range is the foreign heap's. It spans what there is of
	 * our own, or everything when there is no foreign heap, or when it would have to be more than one range.
	 */
	char *ours;
	size_t ours_bytes;
	char *large; /* the large window */
	size_t large_bytes;
	/* Memory from before boot, while it is one piece; read with the count of pieces in boot.c. */
	char *early;
	size_t early_bytes; /* 0: several pieces */
} __attribute__((aligned(64)));
extern struct face loam__face __attribute__((visibility("hidden")));

/** Counters of a thread. Written by it alone, read by anybody; relaxed. */
struct face_counts {
	uint64_t allocs, frees;
};

/* ---- threads.c ---- */
extern __thread struct face_counts *loam__face_counts __attribute__((tls_model("initial-exec"), visibility("hidden")));
struct face_counts *loam__face_counts_open(void);
void loam__face_counts_sum(uint64_t *allocs, uint64_t *frees);

/** The calling thread's counters. */
static inline struct face_counts *face_counts(void)
{
	struct face_counts *counts = loam__face_counts;

	return loam_likely(counts != NULL) ? counts : loam__face_counts_open();
}

static inline void face_count(uint64_t *counter)
{
	/* One writer. Relaxed: readers want a sum, and order nothing by it. */
	__atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

/* ---- boot.c ---- */
/** Memory from before the machine is up; never given back. */
void *loam__face_early(size_t bytes, size_t align);
bool loam__face_early_search(const void *ptr);
/** Relaxed: a piece that is not seen yet has handed out no block that the caller could hold. */
static inline bool loam__face_is_early(const void *ptr)
{
	size_t bytes = __atomic_load_n(&loam__face.early_bytes, __ATOMIC_RELAXED);

	return loam_likely(bytes != 0) ? (size_t)((const char *)ptr - loam__face.early) < bytes
				       : loam__face_early_search(ptr);
}
size_t loam__face_early_size(const void *ptr);

/* ---- account.c ---- */
/** Put the accounting heap in front of the face's: requested sizes and the peak of the footprint are known from now on. */
bool loam__account_start(void);
struct account {
	uint64_t requested; /* live now */
	uint64_t peak;      /* highest footprint */
	uint64_t requested_at_peak;
	uint64_t peak_requested;
};
void loam__account_get(struct account *account);
void loam__account_large_alloc(size_t bytes);
void loam__account_large_free(size_t bytes);
void loam__account_large_resize(size_t from, size_t to);
extern bool loam__accounting __attribute__((visibility("hidden")));

/* ---- summary.c ---- */
/** Where the summary goes at exit: "-", a number of a descriptor, or a file. */
void loam__summary_start(const char *where, bool json);

#endif
