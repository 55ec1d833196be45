/* SPDX-License-Identifier: MIT */
/*
 * context.c: what may be done where: process, softirq, hardirq, atomic. A call that may sleep in a context that may not is
 * reported with a backtrace, as the kernel does it, and then does what it was asked to.
 */
#include "kernel.h"

#include <linux/bottom_half.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/printk.h>

/* ---- interrupts of the calling CPU ---- */

void local_irq_disable(void)
{
	if (!(loam_hot.atomic & LOAM_IRQS_OFF))
		loam_atomic_begins(LOAM_IRQS_OFF);
}

void local_irq_enable(void)
{
	if (loam_hot.atomic & LOAM_IRQS_OFF)
		loam_atomic_less(LOAM_IRQS_OFF);
	else
		kernel_enter();
	/* With preemption off too, interrupts come in now. */
	if (loam_hot.atomic)
		cpu_poll();
}

unsigned long loam_irq_save(void)
{
	unsigned long flags = loam_hot.atomic & LOAM_IRQS_OFF;

	local_irq_disable();
	return flags;
}

void loam_irq_restore(unsigned long flags)
{
	if (!(flags & LOAM_IRQS_OFF))
		local_irq_enable();
}

int irqs_disabled(void)
{
	return (loam_hot.atomic & LOAM_IRQS_OFF) != 0;
}

void local_bh_disable(void)
{
	loam_atomic_begins(SOFTIRQ_DISABLE_OFFSET);
}

void local_bh_enable(void)
{
	loam_barrier();
	/* What was raised meanwhile runs now, with bottom halves still off. */
	if ((loam_hot.atomic & (SOFTIRQ_MASK | HARDIRQ_MASK)) == SOFTIRQ_DISABLE_OFFSET && !irqs_disabled()) {
		loam_hot.atomic -= SOFTIRQ_DISABLE_OFFSET - SOFTIRQ_OFFSET;
		irq_softirqs(loam_hot.cpu);
		loam_atomic_less(SOFTIRQ_OFFSET);
	} else {
		loam_atomic_less(SOFTIRQ_DISABLE_OFFSET);
	}
}

/* ---- sleeping ---- */

LOAM_COLD void check_may_sleep(const char *what)
{
	const struct task *task = this_task();

	if (!loam_hot.atomic || !task)
		return;
	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	printk(KERN_ERR "BUG: sleeping function called from invalid context at %s\n", what);
	printk(KERN_ERR "in_atomic(): %d, irqs_disabled(): %d, non_block: 0, pid: %d, name: %s\n", in_atomic(),
	       irqs_disabled(), task->pub.pid, task->pub.comm);
	printk(KERN_ERR "preempt_count: %x, expected: 0\n", (unsigned)preempt_count());
	dump_stack();
}

void __might_sleep(const char *file, int line)
{
	char where[200];

	kernel_enter();
	if (loam_likely(!loam_hot.atomic))
		return;
	snprintf(where, sizeof(where), "%s:%d", file, line);
	check_may_sleep(where);
}

int __cond_resched(void)
{
	kernel_enter();
	if (loam_hot.atomic || !loam_hot.task)
		return 0;
	cpu_yield(this_task());
	return 1;
}
