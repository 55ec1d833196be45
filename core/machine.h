/* SPDX-License-Identifier: MIT */
/*
 * machine.h: the one machine of this process and the parts of the host that run with it.
 *
 * boot.c    boot and halt in dependency order     arena.c   memory, page array, zones and their sizes
 * early.c   memory before the page allocator, and the hand-over to it
 * area.c    local areas of threads                 owner.c   owner ids: from a frame to whoever gave it out
 * lock.c    locks of plugins and the host          meta.c    memory for records
 * frames.c  the GFP policy over a pages plugin     large.c   blocks too large for a heap, in a window of their own
 * report.c  misuse reports and the log             fork.c    fork through every instance
 * proc.c    slabinfo, buddyinfo, zoneinfo          crash.c   what a faulting address belongs to
 * serial.c  one lock around a plugin that wants it  convert.c roles made of other roles
 * window.c  addresses at which frames appear
 */
#ifndef LOAM_CORE_MACHINE_H
#define LOAM_CORE_MACHINE_H

#include "wire.h"

#include <stdio.h>

/* ---- [machine] ---- */

enum loam__machine_param {
	LOAM_M_MEMORY, /* size; 0: RAM of the host */
	LOAM_M_ZONES,  /* string "DMA:16M NORMAL:*" */
	LOAM_M_MEM,    /* size: what is above is held back; 0: nothing */
	LOAM_M_CPUS,
	LOAM_M_BACKING,  /* enum loam__backing */
	LOAM_M_RELEASE,  /* enum loam__release */
	LOAM_M_SEED,     /* 0: from the system */
	LOAM_M_MIN_FREE, /* size; 0: the kernel's formula */
	LOAM_M_RESERVE,  /* enum loam__reserve: whose rule says what GFP_ATOMIC may take */
	LOAM_M_REPORT,   /* enum loam__on_report */
	LOAM_M_METADATA, /* size: limit of metadata memory; 0: none */
	LOAM_M_COUNT
};
enum loam__backing { LOAM_BACKING_MEMFD, LOAM_BACKING_ANON };
enum loam__release { LOAM_RELEASE_NEVER, LOAM_RELEASE_LAZY, LOAM_RELEASE_NOW };
enum loam__reserve { LOAM_RESERVE_6_1, LOAM_RESERVE_OLD };
enum loam__on_report { LOAM_ON_REPORT_CONTINUE, LOAM_ON_REPORT_STOP };
LOAM_EXPORT extern const struct loam_param loam__machine_params[LOAM_M_COUNT];

/** What `zones` says, checked. */
struct loam__zone_spec {
	unsigned long pages[LOAM_ZONES]; /* 0: no such zone */
};
/** Parse and check the zones of a machine of @pages frames. 0, or -EINVAL and why. "" means the default for @backing. */
LOAM_EXPORT int loam__zones_parse(const char *text, unsigned long pages, enum loam__backing backing,
				  struct loam__zone_spec *spec, char *why, size_t why_size);
/** The bytes of memory that [machine] asks for, defaults filled in. */
uint64_t loam__machine_memory(const union loam_value *values);
/** All of [machine] that one key alone does not show (zones against memory, anon against HIGHMEM). Errors into @diag. */
LOAM_EXPORT void loam__machine_check(const struct loam__config *config, const union loam_value *values,
				     struct loam_diag *diag);

/* ---- zones ---- */

/** The host's zone: what plugins see, and the policy's numbers (all in frames). */
struct loam__zone {
	struct loam_zone pub;
	unsigned long spanned, present;
	unsigned long wmark_min, wmark_low, wmark_high;
	unsigned long lowmem_reserve[LOAM_ZONES];
	unsigned long free;     /* atomic */
	uint64_t allocs, frees; /* blocks; atomic */
};

/* ---- the machine ---- */

struct loam__machine {
	struct loam_map map;
	struct loam__graph *graph;
	struct loam_host host;
	struct loam__zone zones[LOAM_ZONES];
	unsigned orders; /* of the page allocator */
	bool up;
	enum loam__backing backing;
	enum loam__release release;
	enum loam__reserve reserve;
	enum loam__on_report on_report;
	uint64_t seed;
	unsigned cpus;
	uint64_t mem;                    /* [machine] mem; 0: all */
	struct loam_port frames;         /* the chain of the page allocator */
	const struct loam_port *foreign; /* the heap of addresses outside the machine's memory, or NULL */
	unsigned long boot_used;         /* frames in use when boot was done */
	int memfd;
	size_t area_bytes;   /* of a thread's block: the sum of the instances' areas */
	uint64_t nr_reports; /* atomic */
	bool forked;         /* a child of fork whose memory is not its own: nothing goes on */
};
LOAM_EXPORT extern struct loam__machine loam__machine;

/** A run of frames. */
struct loam__range {
	unsigned long pfn, count;
};

/*
 * For who looks at a machine from inside (the conformance runner). Set before boot; NULL and 0 otherwise.
 */

/**
 * Called for each instance before it is created: may give it another table of the host's services (self->host) and other
 * ports (self->port_ptrs, self->lower_ptrs), which stand for the same instances.
 */
LOAM_EXPORT extern void (*loam__on_create)(struct loam_self *self);
/** The frames that exist: rising, apart. NULL: every frame of the memory does. */
LOAM_EXPORT extern const struct loam__range *loam__ram;
LOAM_EXPORT extern unsigned loam__nr_ram;

/**
 * Start the machine: arena, zones, instances (providers first), frames handed to the page allocator. 0 or a negative errno
 * with a message in @diag and everything undone. Takes @graph over in both cases.
 */
LOAM_EXPORT int loam__boot(struct loam__graph *graph, struct loam_diag *diag);
/**
 * Stop it: consumers first. Leaks (live blocks of each instance; frames missing against boot) and broken invariants go to
 * @out (may be NULL). Returns how many lines of leaks and defects there were.
 */
LOAM_EXPORT unsigned loam__halt(FILE *out);

/* ---- early.c: memory before the page allocator ---- */

/** Called when the boot allocator is up and nothing else is: its clients take their memory. May be NULL. */
LOAM_EXPORT extern void (*loam__on_early)(void);
/** Whether the boot allocator still has what it did not give out: before the hand-over. */
LOAM_EXPORT bool loam__early(void);
/**
 * Reserve @bytes of low memory at a multiple of @align (a power of two) within [@low, @high), 0 for @high: all of low memory;
 * @flags: LOAM_BOOT_*. Zeroed; the address into *@at. 0, or -ENOMEM, -EINVAL; -ENODEV when there is no boot allocator, or its
 * time is over.
 */
LOAM_EXPORT int loam__early_alloc(uint64_t bytes, uint64_t align, uint64_t low, uint64_t high, uint32_t flags,
				  uint64_t *at);
/** Take a range out of what is given out, whether it is RAM or not. 0 or a negative errno, as above. */
LOAM_EXPORT int loam__early_reserve(uint64_t base, uint64_t bytes);
/** A range is RAM, or is no longer: 0 or a negative errno, as above. */
LOAM_EXPORT int loam__early_add(uint64_t base, uint64_t bytes);
LOAM_EXPORT int loam__early_remove(uint64_t base, uint64_t bytes);
/** The @index-th range that is free, or reserved, in address order, as the boot allocator has it: 0, -ENOENT, -ENODEV. */
LOAM_EXPORT int loam__early_range(unsigned index, bool reserved, struct loam_boot_range *range);
/**
 * Give back what was reserved. After the hand-over its whole frames go to the page allocator, once each. 0, or -ENOENT when
 * nothing of it was reserved.
 */
LOAM_EXPORT int loam__early_free(uint64_t base, uint64_t bytes);

/* ---- owner.c: owner ids ---- */

/** What an owner id leads to. Entry 0 is nobody: its heap link reports a bad free. */
struct loam__owner {
	const struct loam_port *heap; /* how to free an address of such a frame, as kfree does */
	struct loam_self *self;       /* top of the chain */
	struct loam_cache *cache;     /* of one cache, or NULL */
	uint32_t id;                  /* generation << 16 | index; 0: entry is free */
	struct loam_link link;        /* where the owner has no heap: the host's own stand-in, behind own_port */
	struct loam_port own_port;
} __attribute__((aligned(64)));
#define LOAM__OWNERS 65536
LOAM_EXPORT extern struct loam__owner loam__owners[LOAM__OWNERS];
static inline struct loam__owner *loam__owner_of(const struct page *page)
{
	return &loam__owners[page->owner & (LOAM__OWNERS - 1)];
}
/** A new id for @self (and @cache); 0 when there is none left. */
uint32_t loam__owner_add(struct loam_self *self, struct loam_cache *cache);
void loam__owner_del(uint32_t id);

/* ---- area.c ---- */

/** The caller's block of local areas; the one thread-local pointer of the host. */
LOAM_EXPORT extern __thread char *loam__area_block __attribute__((tls_model("initial-exec")));
/** Flush and close the areas of the calling thread (what its exit does by itself). */
LOAM_EXPORT void loam__area_close(void);
/**
 * A block of local areas for a logical CPU, into *@pointer: whoever holds the CPU has it as loam__area_block, so that in kernel
 * code areas are the CPU's. Closing flushes it; nobody holds the CPU then.
 */
LOAM_EXPORT bool loam__area_cpu_open(char **pointer);
/** The block at *@from is at *@to from now on; *@from is NULL. */
LOAM_EXPORT void loam__area_cpu_move(char **from, char **to);
LOAM_EXPORT void loam__area_cpu_close(char **pointer);
/** Threads, and logical CPUs, that have an open block now. */
LOAM_EXPORT unsigned loam__area_threads(void);

/* ---- quiescing and introspection ---- */

/** The lines that an instance has to tell. */
LOAM_EXPORT void loam__tell(struct loam_self *self, void (*line)(void *arg, const char *text), void *arg);
/** Sums over an instance. */
LOAM_EXPORT void loam__stat(struct loam_self *self, struct loam_stat *stat);
/** Ask an instance for up to @pages frames that it does not use; returns how many went back. Not from inside one of its ops. */
LOAM_EXPORT unsigned long loam__shrink(struct loam_self *self, unsigned long pages);
/** Take every lock of every instance, consumers first, as before a fork; and let go. For walk and check. */
LOAM_EXPORT void loam__quiesce(void);
LOAM_EXPORT void loam__resume(void);
/** Whether the calling thread is between the two. */
LOAM_EXPORT extern __thread bool loam__quiescing __attribute__((tls_model("initial-exec")));

/* ---- frames.c ---- */
LOAM_EXPORT struct page *loam__pages_alloc(const struct loam_port *port, gfp_t gfp, unsigned order, uint32_t owner);
LOAM_EXPORT void loam__pages_free(const struct loam_port *port, struct page *page, unsigned order);
LOAM_EXPORT unsigned loam__pages_alloc_bulk(const struct loam_port *port, gfp_t gfp, unsigned n, struct page **out,
					    uint32_t owner);
LOAM_EXPORT void loam__pages_free_bulk(const struct loam_port *port, unsigned n, struct page **pages);
/** Frames that are handed out now, and the most that ever were. */
LOAM_EXPORT unsigned long loam__frames_used(void);

/* ---- reclaim.c ---- */

/** Frames of a zone that a CPU keeps for itself: how many, at most, and how many come and go at once. */
struct loam__pageset {
	unsigned count, high, batch;
};
/** What kernel code adds to the host's policy: set by libloam-kernel while it is up, each NULL otherwise. Any thread. */
struct loam__kernel_hooks {
	void (*sleep)(void); /* the caller blocks now: gives its CPU up */
	void (*wake)(void);  /* and takes one again */
	/*
	 * An op that asks for frames stands still while others run on its CPU (shrinkers, interrupts, whoever has the CPU while the
	 * caller sleeps): they have another local area; and the op goes on with its own.
	 */
	void (*park)(void);
	void (*unpark)(void);
	bool (*others)(void);                                   /* whether another thread of kernel code could free */
	unsigned long (*shrink)(gfp_t gfp, unsigned long want); /* shrinkers that @gfp allows; what they freed */
	void (*wake_reclaimer)(void);                           /* memory is below the low watermark */
	const char *(*comm)(void);                              /* the caller's name; NULL: no kernel code */
	void (*dump_stack)(void);
	void (*pageset)(unsigned cpu, unsigned zone, struct loam__pageset *set);
	/** What is at @addr, into @buf, for the report of a crash: whether it is kernel code's. No lock, no allocation. */
	bool (*describe)(const void *addr, char *buf, size_t size);
};
LOAM_EXPORT extern struct loam__kernel_hooks loam__kernel;
/** "GFP_KERNEL|__GFP_ZERO" */
LOAM_EXPORT void loam__gfp_text(gfp_t gfp, char *buf, size_t size);
/** Ask the instances to give back what they do not use, about @want frames: how many they gave. May sleep. */
LOAM_EXPORT unsigned long loam__reclaim_instances(unsigned long want);
/** The calling thread reclaims: it does not begin again, and may have the reserve. */
LOAM_EXPORT extern __thread bool loam__reclaiming __attribute__((tls_model("initial-exec")));
/** Free frames of a zone now. */
static inline unsigned long loam__zone_free(const struct loam__zone *zone)
{
	/* Relaxed everywhere: the count is a sum that many threads change; a watermark check tolerates a stale one. */
	return __atomic_load_n(&zone->free, __ATOMIC_RELAXED);
}

/* ---- window.c ---- */
/** The frame that appears at @at in a window, or NULL. Takes no lock. */
LOAM_EXPORT struct page *loam__window_page(const void *at);
/** Whose window @at lies in, or NULL. Takes no lock. */
LOAM_EXPORT struct loam_self *loam__window_owner(const void *at);
/** System calls that mapped or unmapped, since the program started; atomic. */
LOAM_EXPORT extern uint64_t loam__window_calls;

/* ---- meta.c ---- */
/** Set to n, the nth allocation of metadata from then on fails, once: for sweeps over every place where memory can be short. */
LOAM_EXPORT extern uint64_t loam__meta_fail;
/** Bytes of metadata memory that plugins and the host hold. */
LOAM_EXPORT uint64_t loam__meta_bytes(void);

/* ---- proc.c: the kernel's text formats ---- */
LOAM_EXPORT void loam__slabinfo(FILE *out); /* of every instance with the capability */
/**
 * Call @fn for each cache of @self, when its role objects tells of them and no filter in front of it does. Returns what @fn
 * returned non-zero, or 0.
 */
LOAM_EXPORT int loam__caches(struct loam_self *self, loam_cache_fn fn, void *arg);
LOAM_EXPORT void loam__buddyinfo(FILE *out);
LOAM_EXPORT void loam__zoneinfo(FILE *out);

/* ---- crash.c ---- */
/** Say what a faulting address belongs to before the program dies of it, unless it has a handler of its own. */
LOAM_EXPORT void loam__crash_boot(void);
/** What @addr belongs to, in words. Takes no lock and allocates nothing. */
LOAM_EXPORT void loam__describe(const void *addr, char *buf, size_t size);

/* ---- stack.c ---- */
/** Call @fn(@arg) on the kernel stack whose top is @top, a multiple of 16, and come back. Backtraces pass through. */
LOAM_EXPORT void loam__on_kernel_stack(void *top, void (*fn)(void *arg), void *arg);
/** Where the thread's own stack goes on while it runs on a kernel stack; NULL: it is on its own. */
LOAM_EXPORT extern __thread void *loam__host_stack __attribute__((tls_model("initial-exec")));
/** Call @fn(@arg) on the thread's own stack: for what the C library may need more of than a kernel stack has. */
LOAM_EXPORT void loam__on_host_stack(void (*fn)(void *arg), void *arg);

/* ---- report.c ---- */
/** LOAM_LOG's level; read once. */
LOAM_EXPORT enum loam_log_level loam__log_level(void);
/** A line "loam: ..." on standard error when @level is enabled. No allocation. */
LOAM_EXPORT void loam__log(enum loam_log_level level, const char *fmt, ...) LOAM_PRINTF(2, 3);

/* ---- large.c: the large window ---- */

/** Bytes of address space of the window and where it is; blocks in it are whole pages. */
struct loam__large_window {
	char *base;
	size_t bytes;
};
LOAM_EXPORT extern struct loam__large_window loam__large;
static inline bool loam__large_has(const void *ptr)
{
	return (size_t)((uintptr_t)ptr - (uintptr_t)loam__large.base) < loam__large.bytes;
}
/** A block of zeroed pages; @align a power of two. NULL when the system refuses. */
LOAM_EXPORT void *loam__large_alloc(size_t bytes, size_t align);
/** Give it back. false: @ptr is not the start of a block (reported by the caller). */
LOAM_EXPORT bool loam__large_free(void *ptr);
/** Usable bytes of the block at @ptr, a multiple of the page size; 0: not a block. */
LOAM_EXPORT size_t loam__large_size(const void *ptr);
/** Grow or shrink, by moving mappings and never contents. NULL: refused, the block is as it was. */
LOAM_EXPORT void *loam__large_resize(void *ptr, size_t bytes);
struct loam__large_stat {
	uint64_t blocks, bytes, allocs, frees;
};
LOAM_EXPORT void loam__large_stat(struct loam__large_stat *stat);

#endif
