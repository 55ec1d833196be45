/* SPDX-License-Identifier: MIT */
/*
 * linux/preempt.h: contexts. While preemption is off a thread keeps its logical CPU, and may not sleep. Semantics: Linux 6.1.
 */
#ifndef LOAM_LINUX_PREEMPT_H
#define LOAM_LINUX_PREEMPT_H

#include <asm/loam.h>

LOAM_BEGIN_DECLS

/* preempt_count: how deep preemption is off; bottom halves; interrupts; as Linux divides it. */
#define PREEMPT_OFFSET 0x1u
#define PREEMPT_MASK 0x000000ffu
#define SOFTIRQ_OFFSET 0x100u
#define SOFTIRQ_DISABLE_OFFSET 0x200u
#define SOFTIRQ_MASK 0x0000ff00u
#define HARDIRQ_OFFSET 0x10000u
#define HARDIRQ_MASK 0x000f0000u
#define NMI_MASK 0x00f00000u

/** How deep: 0 is process context with preemption on. */
static inline int preempt_count(void)
{
	return (int)(loam_hot.atomic & 0x00ffffffu);
}

static inline void preempt_disable(void)
{
	loam_atomic_begins(PREEMPT_OFFSET);
}

static inline void preempt_enable(void)
{
	loam_atomic_less(PREEMPT_OFFSET);
}

static inline void preempt_enable_no_resched(void)
{
	loam_atomic_less(PREEMPT_OFFSET);
}

static inline int preemptible(void)
{
	return !loam_hot.atomic;
}

#define hardirq_count() ((unsigned long)(loam_hot.atomic & HARDIRQ_MASK))
#define softirq_count() ((unsigned long)(loam_hot.atomic & SOFTIRQ_MASK))
#define irq_count() (hardirq_count() | softirq_count() | (loam_hot.atomic & NMI_MASK))

#define in_hardirq() (hardirq_count())
#define in_irq() (hardirq_count())
#define in_serving_softirq() (softirq_count() & SOFTIRQ_OFFSET)
#define in_softirq() (softirq_count())
#define in_interrupt() (irq_count())
#define in_nmi() 0
#define in_task() (!(hardirq_count() | in_serving_softirq()))
#define in_atomic() (preempt_count() != 0)

LOAM_END_DECLS
#endif
