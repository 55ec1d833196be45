/* SPDX-License-Identifier: MIT */
/* linux/irq_work.h: run a function in hardirq context on the calling CPU, soon. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_IRQ_WORK_H
#define LOAM_LINUX_IRQ_WORK_H

#include <loam/base.h>

LOAM_BEGIN_DECLS

struct irq_work {
	struct irq_work *next;
	unsigned int pending; /* atomic */
	unsigned int cpu;
	void (*func)(struct irq_work *work);
};

#define DEFINE_IRQ_WORK(name, _func) struct irq_work name = { .func = (_func) }

static inline void init_irq_work(struct irq_work *work, void (*func)(struct irq_work *work))
{
	*work = (struct irq_work){ .func = func };
}

/** false: it is queued already. Any context. */
bool irq_work_queue(struct irq_work *work);
/** The same for another CPU. */
bool irq_work_queue_on(struct irq_work *work, int cpu);
/** Wait until it has run. May sleep. */
void irq_work_sync(struct irq_work *work);

LOAM_END_DECLS
#endif
