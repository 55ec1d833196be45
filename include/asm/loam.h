/* SPDX-License-Identifier: MIT */
/*
 * asm/loam.h: what inline functions of the kernel headers read of the calling thread. Private to these headers and to
 * libloam-kernel; modules use the kernel's names.
 *
 * Kernel code runs while its thread holds a logical CPU, and gives it up only inside calls. So everything here changes only in
 * calls of the thread itself, but for `limit`, which another thread sets to 0 when it wants the thread's next call to look up.
 */
#ifndef LOAM_ASM_LOAM_H
#define LOAM_ASM_LOAM_H

#include <loam/base.h>
#include <loam/gfp.h>
#include <loam/page.h>

LOAM_BEGIN_DECLS

struct task_struct;

struct loam_hot {
	/*
	 * Requests of at most this many bytes take kmalloc's short way, and all of a mempool may. 0 while something has to be looked
	 * at first: no CPU is held, the context is atomic, or an interrupt waits for the CPU.
	 */
	size_t limit;
	unsigned long percpu;     /* the copy of this CPU of what has the per-CPU address p is at p + percpu */
	unsigned int atomic;      /* preempt_count, and LOAM_IRQS_OFF */
	unsigned int cpu;         /* the logical CPU that is held */
	struct task_struct *task; /* NULL: not kernel code */
	void *pages;              /* the frames that this CPU keeps */
};
extern __thread struct loam_hot loam_hot __attribute__((tls_model("initial-exec")));

#define LOAM_IRQS_OFF 0x40000000u

/** The limit, which another thread may set to 0 at any time: relaxed, for nothing else is read by it. */
static inline size_t loam_limit(void)
{
	return __atomic_load_n(&loam_hot.limit, __ATOMIC_RELAXED);
}

static inline void loam_set_limit(size_t limit)
{
	__atomic_store_n(&loam_hot.limit, limit, __ATOMIC_RELAXED);
}

/* The compiler moves no memory access across. */
#define loam_barrier() __asm__ volatile("" ::: "memory")

/** `atomic` became 0: look whether an interrupt or another thread waits for the CPU. */
void loam_atomic_ends(void);

static inline void loam_atomic_begins(unsigned int bits)
{
	loam_hot.atomic += bits;
	loam_set_limit(0);
	loam_barrier();
}

static inline void loam_atomic_less(unsigned int bits)
{
	loam_barrier();
	loam_hot.atomic -= bits;
	if (!loam_hot.atomic)
		loam_atomic_ends();
}

LOAM_END_DECLS
#endif
