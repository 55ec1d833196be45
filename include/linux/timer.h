/* SPDX-License-Identifier: MIT */
/* linux/timer.h: call a function later, in softirq context. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_TIMER_H
#define LOAM_LINUX_TIMER_H

#include <linux/container_of.h>
#include <linux/jiffies.h>
#include <linux/list.h>

LOAM_BEGIN_DECLS

struct timer_list {
	struct list_head entry; /* not linked: not pending */
	unsigned long expires;  /* in jiffies */
	void (*function)(struct timer_list *timer);
	unsigned int flags;
};

#define DEFINE_TIMER(name, _function) struct timer_list name = { .function = (_function) }
#define from_timer(var, callback_timer, field) container_of(callback_timer, __typeof__(*(var)), field)

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *timer), unsigned int flags);
/** Start it for timer->expires. */
void add_timer(struct timer_list *timer);
/** Start it, or change when it runs. 1: it was pending. Any context. */
int mod_timer(struct timer_list *timer, unsigned long expires);
/** Stop it. 1: it was pending. It may be running: see del_timer_sync. Any context. */
int del_timer(struct timer_list *timer);
/** Stop it, and wait while it runs. Not from the timer itself. */
int del_timer_sync(struct timer_list *timer);
int timer_pending(const struct timer_list *timer);

LOAM_END_DECLS
#endif
