/* SPDX-License-Identifier: MIT */
/* linux/jiffies.h: time in ticks of 1/HZ second, since the machine booted. HZ is 1000. */
#ifndef LOAM_LINUX_JIFFIES_H
#define LOAM_LINUX_JIFFIES_H

#include <linux/types.h>

LOAM_BEGIN_DECLS

#define HZ 1000

/** Ticks now. As in Linux they begin five minutes before the counter of 32 bits overflows. */
unsigned long loam_jiffies(void);
#define jiffies loam_jiffies()
#define INITIAL_JIFFIES ((unsigned long)(unsigned int)(-300 * HZ))
static inline u64 get_jiffies_64(void)
{
	return loam_jiffies();
}

#define time_after(a, b) ((long)((b) - (a)) < 0)
#define time_before(a, b) time_after(b, a)
#define time_after_eq(a, b) ((long)((a) - (b)) >= 0)
#define time_before_eq(a, b) time_after_eq(b, a)

static inline unsigned long msecs_to_jiffies(unsigned int ms)
{
	return ms;
}
static inline unsigned int jiffies_to_msecs(unsigned long j)
{
	return (unsigned int)j;
}
static inline unsigned long usecs_to_jiffies(unsigned int us)
{
	return (us + 999ul) / 1000;
}

LOAM_END_DECLS
#endif
