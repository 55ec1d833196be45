/* SPDX-License-Identifier: MIT */
/*
 * linux/spinlock.h: spin locks. The holder has preemption off, and so may not sleep; _irq and _irqsave forms have interrupts off
 * too, _bh forms bottom halves. Who finds one taken gives its CPU up while it waits, unless it is atomic already. Semantics:
 * Linux 6.1; taking a lock twice, and giving back one that is not held, is reported.
 */
#ifndef LOAM_LINUX_SPINLOCK_H
#define LOAM_LINUX_SPINLOCK_H

#include <linux/bottom_half.h>
#include <linux/irqflags.h>
#include <linux/preempt.h>

LOAM_BEGIN_DECLS

typedef struct spinlock {
	unsigned int word;         /* atomic: 0 free, 1 held */
	struct task_struct *owner; /* who holds it, for reports; atomic */
	const char *name;
} spinlock_t;
typedef spinlock_t raw_spinlock_t;

#define __SPIN_LOCK_UNLOCKED(lockname)                                                                                 \
	{                                                                                                              \
		.name = #lockname                                                                                      \
	}
#define DEFINE_SPINLOCK(x) spinlock_t x = __SPIN_LOCK_UNLOCKED(x)
#define DEFINE_RAW_SPINLOCK(x) DEFINE_SPINLOCK(x)

void loam_spin_init(spinlock_t *lock, const char *name);
#define spin_lock_init(lock) loam_spin_init(lock, #lock)

void spin_lock(spinlock_t *lock);
int spin_trylock(spinlock_t *lock);
void spin_unlock(spinlock_t *lock);
int spin_is_locked(const spinlock_t *lock);
void spin_lock_irq(spinlock_t *lock);
void spin_unlock_irq(spinlock_t *lock);
void spin_lock_bh(spinlock_t *lock);
void spin_unlock_bh(spinlock_t *lock);
unsigned long loam_spin_lock_irqsave(spinlock_t *lock);
void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags);
#define spin_lock_irqsave(lock, flags) ((flags) = loam_spin_lock_irqsave(lock))

#define raw_spin_lock_init(lock) spin_lock_init(lock)
#define raw_spin_lock(lock) spin_lock(lock)
#define raw_spin_trylock(lock) spin_trylock(lock)
#define raw_spin_unlock(lock) spin_unlock(lock)
#define raw_spin_lock_irqsave(lock, flags) spin_lock_irqsave(lock, flags)
#define raw_spin_unlock_irqrestore(lock, flags) spin_unlock_irqrestore(lock, flags)

LOAM_END_DECLS
#endif
