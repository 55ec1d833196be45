/* SPDX-License-Identifier: MIT */
/* linux/smp.h: which CPU this is. */
#ifndef LOAM_LINUX_SMP_H
#define LOAM_LINUX_SMP_H

#include <asm/loam.h>
#include <linux/cpumask.h>
#include <linux/preempt.h>

LOAM_BEGIN_DECLS

/** The logical CPU that the thread holds. Where it may sleep, it may be another one after any call. */
static inline unsigned int smp_processor_id(void)
{
	return *(const volatile unsigned int *)&loam_hot.cpu;
}
#define raw_smp_processor_id() smp_processor_id()

/** Which CPU this is, and stay on it until put_cpu. */
static inline unsigned int get_cpu(void)
{
	preempt_disable();
	return loam_hot.cpu;
}

static inline void put_cpu(void)
{
	preempt_enable();
}

LOAM_END_DECLS
#endif
