/* SPDX-License-Identifier: MIT */
/*
 * linux/kthread.h: kernel threads, on stacks of one or two pages ([kernel] stack). Semantics: Linux 6.1; a thread that returned
 * must still be waited for with kthread_stop, as long as nobody else is to forget it.
 */
#ifndef LOAM_LINUX_KTHREAD_H
#define LOAM_LINUX_KTHREAD_H

#include <linux/err.h>
#include <linux/sched.h>

LOAM_BEGIN_DECLS

/** A thread that will run @fn(@data) once it is woken, named as @fmt says; or ERR_PTR(-ENOMEM). May sleep. */
struct task_struct *kthread_create_on_node(int (*fn)(void *data), void *data, int node, const char *fmt, ...)
	LOAM_PRINTF(4, 5);
#define kthread_create(fn, data, ...) kthread_create_on_node(fn, data, -1, __VA_ARGS__)
/** The same, awake. */
#define kthread_run(fn, data, ...)                                                                                     \
	({                                                                                                             \
		struct task_struct *task__ = kthread_create(fn, data, __VA_ARGS__);                                    \
		if (!IS_ERR(task__))                                                                                   \
			wake_up_process(task__);                                                                       \
		task__;                                                                                                \
	})
/** Only on @cpu from now on. Before it is woken. */
void kthread_bind(struct task_struct *task, unsigned int cpu);
/**
 * Ask @task to stop, wake it, wait until it has returned; what it returned, or -EINTR when it was never woken. The last use of
 * @task. May sleep.
 */
int kthread_stop(struct task_struct *task);
/** Whether the calling thread was asked to stop. */
bool kthread_should_stop(void);

LOAM_END_DECLS
#endif
