/* SPDX-License-Identifier: MIT */
/* linux/delay.h: let time pass: asleep, or busy where one may not sleep. */
#ifndef LOAM_LINUX_DELAY_H
#define LOAM_LINUX_DELAY_H

#include <linux/jiffies.h>
#include <linux/sched.h>

LOAM_BEGIN_DECLS

/** Sleep for at least so many milliseconds. */
void msleep(unsigned int ms);
/** The same; there are no signals, so nothing is left. */
unsigned long msleep_interruptible(unsigned int ms);
void usleep_range(unsigned long min, unsigned long max);
/** Busy for at least so long. Any context. */
void udelay(unsigned long us);
void ndelay(unsigned long ns);
void mdelay(unsigned long ms);

LOAM_END_DECLS
#endif
