/* SPDX-License-Identifier: MIT */
/* linux/irqflags.h: interrupts off and on, on the calling CPU. While they are off the context is atomic. */
#ifndef LOAM_LINUX_IRQFLAGS_H
#define LOAM_LINUX_IRQFLAGS_H

#include <loam/base.h>

LOAM_BEGIN_DECLS

void local_irq_disable(void);
void local_irq_enable(void);
int irqs_disabled(void);
unsigned long loam_irq_save(void);
void loam_irq_restore(unsigned long flags);

#define local_irq_save(flags) ((flags) = loam_irq_save())
#define local_irq_restore(flags) loam_irq_restore(flags)
#define local_save_flags(flags) ((flags) = irqs_disabled() ? 0x40000000ul : 0)

LOAM_END_DECLS
#endif
