/* SPDX-License-Identifier: MIT */
/* internal.h: what the parts of a running host offer each other. */
#ifndef LOAM_CORE_INTERNAL_H
#define LOAM_CORE_INTERNAL_H

#include "machine.h"

/* Clang tells of a sanitizer by a feature, gcc by a macro: by the macro then. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif

/* ---- lists ---- */

static inline void loam__list_init(struct list_head *head)
{
	head->next = head->prev = head;
}

static inline void loam__list_add(struct list_head *node, struct list_head *before)
{
	node->prev = before->prev;
	node->next = before;
	before->prev->next = node;
	before->prev = node;
}

static inline void loam__list_del(struct list_head *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	loam__list_init(node);
}

#define loam__list_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define loam__list_for_each(pos, head) for (struct list_head *pos = (head)->next; pos != (head); pos = pos->next)

/* ---- lock.c ---- */

/** A lock of the host's own; the same three states as a plugin's. */
struct LOAM_LOCKABLE loam__mutex {
	uint32_t word;
};
LOAM_EXPORT void loam__word_wait(uint32_t *word);
LOAM_EXPORT void loam__word_wake(uint32_t *word);

static inline void loam__lock(struct loam__mutex *mutex) LOAM_ACQUIRES(*mutex) LOAM_UNCHECKED
{
	uint32_t free_word = 0;

	if (loam_unlikely(!__atomic_compare_exchange_n(&mutex->word, &free_word, 1, false, __ATOMIC_ACQUIRE,
						       __ATOMIC_RELAXED)))
		loam__word_wait(&mutex->word);
}

static inline void loam__unlock(struct loam__mutex *mutex) LOAM_RELEASES(*mutex) LOAM_UNCHECKED
{
	if (loam_unlikely(__atomic_exchange_n(&mutex->word, 0, __ATOMIC_RELEASE) == 2))
		loam__word_wake(&mutex->word);
}

void loam__host_lock_init(struct loam_self *self, struct loam_lock *lock, unsigned rank, const char *name);
void loam__host_lock_destroy(struct loam_lock *lock);
void loam__host_lock_slow(struct loam_lock *lock);
void loam__host_unlock_slow(struct loam_lock *lock);
extern struct loam__mutex loam__lock_lists;

/* ---- meta.c ---- */
LOAM_EXPORT void *loam__meta_alloc(struct loam_self *self, size_t bytes, size_t align);
LOAM_EXPORT void loam__meta_free(struct loam_self *self, void *ptr, size_t bytes);
void loam__meta_halt(void);
extern struct loam__mutex loam__meta_lock;

/* ---- area.c ---- */
int loam__area_boot(void);
/** Flush every area and forget all blocks. No other thread is inside loam. */
void loam__area_flush_all(void);
void loam__area_halt(void);
void *loam__host_area(struct loam_self *self);
void loam__host_areas(struct loam_self *self, void (*fn)(void *arg, void *area), void *arg);
extern struct loam__mutex loam__area_lock;
ptrdiff_t loam__area_tp_offset(void);
#define LOAM__AREA_HEADER 64

/* ---- owner.c ---- */
void loam__owner_boot(void);
LOAM_EXPORT struct loam_cache *loam__cache_create(const struct loam_port *port, const struct loam_cache_args *args);
LOAM_EXPORT int loam__cache_destroy(struct loam_cache *cache);
extern struct loam__mutex loam__owner_lock;

/* ---- reclaim.c ---- */
/**
 * One round for a request of 2^@order frames that found none and holds no lock: reclaims, or waits until somebody frees. false:
 * enough was done for what @gfp says. *@rounds begins as 0 and counts those in vain. May sleep.
 */
bool loam__relieve(gfp_t gfp, unsigned order, unsigned *rounds);
void loam__wake_reclaimer(void);
void loam__report_failure(gfp_t gfp, unsigned order, uint32_t owner);
void loam__frames_freed(void);
/** Threads that wait for frames; atomic. */
extern uint32_t loam__frame_waiters;

/* ---- large.c ---- */
int loam__large_boot(uint64_t ram);
void loam__large_halt(void);
extern struct loam__mutex loam__large_lock;

/* ---- report.c ---- */
void loam__report(struct loam_self *self, enum loam_report_kind kind, const void *ptr, const char *fmt, ...)
	LOAM_PRINTF(4, 5);
void loam__host_log(struct loam_self *self, enum loam_log_level level, const char *fmt, ...) LOAM_PRINTF(3, 4);
uint64_t loam__host_random(struct loam_self *self);
/** The seed: @given, or one from the system when it is 0. */
uint64_t loam__seed(uint64_t given);
uint64_t loam__name_hash(const char *name);

/* ---- arena.c ---- */
int loam__arena_boot(uint64_t bytes, unsigned long low_pages, enum loam__backing backing, char *why, size_t why_size);
void loam__arena_halt(void);
void loam__name_mapping(void *at, size_t bytes, const char *name);

/* ---- zones.c ---- */
void loam__zones_watermarks(struct loam__zone *zones, unsigned long min_free_kbytes);

/* ---- serial.c ---- */
/** Put one lock around each op of a serialised plugin: changes self->links. 0, or -ENOMEM, or -ENOTSUP for other roles. */
int loam__serial_wrap(struct loam_self *self);
void loam__serial_free(struct loam_self *self);
struct loam_lock *loam__serial_lock(struct loam_self *self);

/* ---- early.c ---- */
/** Tell the boot allocator @boot (may be NULL) of the RAM, and let its clients have some. */
int loam__early_boot(struct loam_self *boot, struct loam_diag *diag);
void loam__early_halt(void);
/** Hand the frames that are RAM and free to the page allocator whose chain's top is @frames. */
int loam__hand_over(struct loam_self *frames, struct loam_diag *diag);

/* ---- boot.c ---- */
bool loam__stands_on(const struct loam_self *top, const struct loam_self *self);
struct loam_self *loam__port_instance(const struct loam_port *port);
void loam__host_stat(const struct loam_port *port, struct loam_stat *stat);
int loam__host_walk(const struct loam_port *port, loam_walk_fn fn, void *arg);

/* ---- convert.c: roles made of other roles ---- */
/** The host's own plugin that gives @want to who has @have, or NULL: there is no such conversion. One user more. */
struct loam__plugin *loam__conversion(enum loam_role_id want, enum loam_role_id have);

/* ---- window.c: addresses at which frames appear ---- */
LOAM_EXPORT void *loam__window_open(struct loam_self *self, size_t bytes, size_t align);
LOAM_EXPORT void loam__window_close(struct loam_self *self, void *window);
LOAM_EXPORT int loam__window_map(struct loam_self *self, void *at, struct page *const *pages, unsigned long n,
				 unsigned flags);
int loam__window_map_phys(struct loam_self *self, void *at, uint64_t phys, unsigned long n, unsigned flags);
LOAM_EXPORT void loam__window_unmap(struct loam_self *self, void *at, unsigned long n);
/** Close what @self left open; returns how many windows that were. */
unsigned loam__window_leaks(const struct loam_self *self);
/** In a child that must not go on with the machine: all windows out of reach. */
void loam__window_forked(void);
extern struct loam__mutex loam__window_lock;

/* ---- fork.c ---- */
void loam__fork_boot(void);

#endif
