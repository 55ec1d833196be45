/* SPDX-License-Identifier: MIT */
/*
 * kernel.h: the parts of libloam-kernel, and what they offer each other.
 *
 * cpu.c      logical CPUs: who runs, who waits         task.c    kernel threads; entering from a host's thread
 * context.c  what may be done where                    kstack.c  their stacks
 * irq.c      interrupts, softirqs, tasklets, timers    wait.c    sleeping: wait queues, completions, mutexes, time
 * module.c   modules: load, parameters, unload         track.c   who allocated what, for the report at unload
 * printk.c   the kernel's log and its formats          symbol.c  names of addresses
 * pages.c, slab.c, pool.c, percpu.c, vmalloc.c, kmap.c, memblock.c: the allocators by their kernel names, over the ports of
 * [kernel]; reclaim.c: shrinkers and the background reclaimer.
 *
 * One machine, one kernel: it comes up behind boot, and goes down before halt (modules.h). The parts' locks are held for short
 * sections, and never while a CPU is waited for.
 */
#ifndef LOAM_CORE_KERNEL_H
#define LOAM_CORE_KERNEL_H

#include "internal.h"

#include <asm/loam.h>
#include <linux/list.h>
#include <linux/preempt.h>
#include <linux/sched.h>

#include <time.h>

#define LOAM_MAX_CPUS 64

/* ---- futexes: words that threads sleep on ---- */

/** Sleep while *@word is @value, until a wake or @deadline (CLOCK_MONOTONIC; NULL: for ever). false: the time is over. */
bool futex_sleep(uint32_t *word, uint32_t value, const struct timespec *deadline);
void futex_wake(uint32_t *word);

/* ---- stacks: kstack.c ---- */

struct kstack {
	char *low;    /* the lowest usable byte; a page in front of it faults where the machine can map */
	size_t bytes; /* usable */
	struct page *frames;
	unsigned order;
	const char *name; /* whose it is, for the report of an overflow */
};
/** 0 or -ENOMEM. */
int kstack_make(struct kstack *stack, const char *name);
/** Give it back; the deepest use goes to the log at level debug, and too deep a one is reported. */
void kstack_free(struct kstack *stack);
/** Run @fn(@arg) on it. What enters the C library goes back to the thread's own. */
void kstack_call(const struct kstack *stack, void (*fn)(void *arg), void *arg);
/** Bytes of it that were ever used. */
size_t kstack_depth(const struct kstack *stack);
int kstack_boot(void);
void kstack_halt(void);
bool kstack_describe(const void *addr, char *buf, size_t size);

/* ---- tasks: task.c ---- */

#define KMAP_MAX 16

/** A local mapping of a thread. */
struct local_kmap {
	struct page *page;
	void *addr;
};

/** A thread that runs kernel code. */
struct task {
	struct task_struct pub; /* first: `current` */
	/* under the lock of cpu.c, but for turn */
	uint32_t turn;          /* futex: 1: the task was given a CPU */
	unsigned cpu;           /* the one that it was given */
	int pinned;             /* the only CPU that will do, or -1 */
	bool blocked;           /* waits to be woken */
	struct list_head queue; /* among those that want a CPU */
	/* the task's own */
	char *own_area; /* the thread's local areas while it has the CPU's */
	char *block; /* the local areas of an op that stood still: it goes on with them to its end; NULL: the CPU's */
	bool parked; /* the op stands still */
	struct loam_hot *hot;  /* its thread's: others write 0 to the limit there */
	bool waits_for_memory; /* atomic */
	bool service;          /* of the library itself: frees nothing of its own accord */
	struct local_kmap kmaps[KMAP_MAX];
	unsigned nr_kmaps, kmap_base;
	int pinned_before;
	struct list_head all;
	struct kstack stack; /* of a kernel thread */
	int (*fn)(void *data);
	void *data;
	int result;
	bool should_stop; /* atomic */
	uint32_t began;   /* futex: 1: its thread runs, and waits for a CPU */
	uint32_t end;     /* futex: 1: it has ended */
	unsigned users;   /* atomic */
};

static inline struct task *this_task(void)
{
	return (struct task *)loam_hot.task;
}

/** Make the calling host's thread a task with a CPU, named @name; and undo it. For main, file operations, interrupts. */
struct task *task_enter(const char *name);
void task_leave(void);
int task_boot(void);
/** Tasks that there are now; and their names to the log. */
unsigned task_left(void);
void task_report_left(void);
/** Tasks that are not waiting for memory, but for the caller. */
bool task_others(void);

/* ---- CPUs: cpu.c ---- */

int cpu_boot(unsigned cpus);
void cpu_halt(void);
unsigned cpu_count(void);
/** A task that was made blocked waits here to be woken. */
void cpu_start(struct task *task);
/** Wait for a CPU and take it; give it up. */
void cpu_take(struct task *task);
void cpu_give(struct task *task);
/**
 * The op that the task is in stands still: what runs on the CPU meanwhile has other local areas. And goes on: with its own, until
 * the task's next entry, which is when the op must have ended; then these areas are emptied.
 */
void cpu_park(struct task *task);
void cpu_unpark(struct task *task);
/** Let others run that wait for a CPU. */
void cpu_yield(struct task *task);
/** Give the CPU up until woken, or until @deadline (NULL: none), unless woken already. false: the time is over. */
bool cpu_block(struct task *task, const struct timespec *deadline);
/** true: it was asleep, or about to. */
bool cpu_wake(struct task *task);
/** The base of per-CPU data of each CPU, once it is known. */
void cpu_set_percpu(unsigned cpu, unsigned long offset);
/**
 * Run @fn for each CPU: for the caller's own and those that nobody holds now, for the others when their holders look up. Short,
 * without sleeping.
 */
void cpu_each(void (*fn)(unsigned cpu));
/** Let an interrupt that waits for this CPU run now, when interrupts are on. */
void cpu_poll(void);
/** Run @fn(@arg) as an interrupt of @cpu, from a thread that is no task. Returns when it has run. */
void cpu_interrupt(unsigned cpu, void (*fn)(void *arg), void *arg);

/** The largest request of kmalloc's short way, when nothing is to be looked at. */
extern size_t kernel_limit;

/** In whose name kernel code's own frames are claimed. */
static inline uint32_t kernel_owner(void)
{
	return loam__machine.graph->frames->owner;
}

/* ---- contexts: context.c ---- */

/** Report, with a backtrace, when the calling context may not sleep. @what: the function. */
void check_may_sleep(const char *what);
/** The same for an allocation with @gfp. */
static inline void check_gfp(gfp_t gfp, const char *what)
{
	if (loam_unlikely(loam_hot.atomic && gfp & __GFP_DIRECT_RECLAIM))
		check_may_sleep(what);
}
/** At the start of every entry: an interrupt may come in. */
static inline void kernel_enter(void)
{
	if (loam_unlikely(!loam_limit()))
		cpu_poll();
}

/* ---- pages.c, slab.c ---- */
void pages_boot(void);
/** What loam_hot.pages is on @cpu. */
void *pages_of_cpu(unsigned cpu);
/** What @cpu keeps of @zone. */
void pages_set(unsigned cpu, unsigned zone, struct loam__pageset *set);
/** Give them all back; nobody runs kernel code. */
void pages_halt(void);
void slab_boot(void);

/* ---- reclaim.c ---- */
int reclaim_boot(void);
void reclaim_halt(void);
/** Shrinkers that @gfp allows, for a thread that found no memory: how many objects they freed. */
unsigned long reclaim_shrink(gfp_t gfp, unsigned long want);
/** Wake the background reclaimer. Any context. */
void reclaim_wake(void);

/* ---- pool.c, vmalloc.c, kmap.c ---- */
void pool_boot(void);
void vmalloc_boot(void);
void vmalloc_info(FILE *out);
void kmap_boot(void);
/** The local mappings of @task, which has a CPU, out of that CPU's slots, and in again. */
void kmap_save(struct task *task);
void kmap_restore(struct task *task);

/* ---- module.c ---- */
struct kmodule;
struct kmodule *module_open(const char *path, char *const *params, unsigned n, struct loam_diag *diag);
void module_close(struct kmodule *module);
int module_start(struct kmodule *module, struct loam_diag *diag);
unsigned module_stop(struct kmodule *module);

/* ---- percpu.c ---- */
int percpu_boot(void);
/** Copies of the static variables between the two addresses, for each CPU: 0, -ENOTSUP, -ENOMEM. */
int percpu_place(const char *start, const char *end);
void percpu_remove(const char *start, const char *end);

/* ---- track.c ---- */
enum track_kind { TRACK_KMALLOC, TRACK_OBJECT, TRACK_CACHE, TRACK_PAGES, TRACK_VMALLOC, TRACK_PERCPU, TRACK_MEMPOOL };
/** [kernel] track. Constant while the kernel is up. */
extern bool kernel_tracking;
void track_add(const void *ptr, size_t bytes, enum track_kind kind, const void *caller);
void track_del(const void *ptr);
/** Tell what code between the two addresses allocated and did not free; at how many places. */
unsigned track_report(const char *name, const void *start, const void *end);
void track_halt(void);

/* ---- printk.c, format.c, symbol.c ---- */
/** Microseconds since boot. */
unsigned long kernel_uptime_us(void);
/** The kernel's formats. Returns the length that it would have had. */
int kernel_vsnprintf(char *buf, size_t size, const char *fmt, va_list args);
int loam_snprintf(char *buf, size_t size, const char *fmt, ...);
/** "fn+0x12/0x40 [module] at file.c:34", or without what is behind the name. */
void symbol_text(const void *at, bool offset, char *buf, size_t size);
/** Whether it is code of the host: this library, libloam, the C library, the program. */
bool symbol_is_host(const void *at);

/* ---- irq.c ---- */
int irq_boot(void);
void irq_halt(void);
/** Run @fn(@arg) on the interrupt stack of @cpu, which is this one. */
void irq_handler(unsigned cpu, void (*fn)(void *arg), void *arg);
/** When the tick @j is, on CLOCK_MONOTONIC. */
struct timespec kernel_time(unsigned long j);
/** Softirqs of this CPU that are pending run; called with bottom halves off. */
void irq_softirqs(unsigned cpu);

#endif
