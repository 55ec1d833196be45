/* SPDX-License-Identifier: MIT */
/*
 * linux/interrupt.h: bottom halves. A tasklet runs in softirq context on the CPU that scheduled it, never on two CPUs at once.
 * Semantics: Linux 6.1.
 */
#ifndef LOAM_LINUX_INTERRUPT_H
#define LOAM_LINUX_INTERRUPT_H

#include <linux/bottom_half.h>
#include <linux/container_of.h>
#include <linux/irqflags.h>
#include <linux/preempt.h>
#include <linux/types.h>

LOAM_BEGIN_DECLS

struct tasklet_struct {
	struct tasklet_struct *next;
	unsigned long state; /* atomic bits: scheduled, running */
	atomic_t count;      /* 0: enabled */
	bool use_callback;
	union {
		void (*func)(unsigned long data);
		void (*callback)(struct tasklet_struct *t);
	};
	unsigned long data;
};

#define DECLARE_TASKLET(name, _callback) struct tasklet_struct name = { .use_callback = true, .callback = (_callback) }
#define DECLARE_TASKLET_OLD(name, _func) struct tasklet_struct name = { .func = (_func) }
#define from_tasklet(var, callback_tasklet, field) container_of(callback_tasklet, __typeof__(*(var)), field)

void tasklet_setup(struct tasklet_struct *t, void (*callback)(struct tasklet_struct *t));
void tasklet_init(struct tasklet_struct *t, void (*func)(unsigned long data), unsigned long data);
/** Run it soon, once, however often it is scheduled until then. Any context. */
void tasklet_schedule(struct tasklet_struct *t);
void tasklet_hi_schedule(struct tasklet_struct *t);
/** It does not run until it is enabled as often; waits for one that runs. Not from the tasklet itself. */
void tasklet_disable(struct tasklet_struct *t);
void tasklet_enable(struct tasklet_struct *t);
/** Wait until it is neither scheduled nor running. May sleep. */
void tasklet_kill(struct tasklet_struct *t);

LOAM_END_DECLS
#endif
