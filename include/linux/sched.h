/* SPDX-License-Identifier: MIT */
/* linux/sched.h: the running thread, sleeping and waking. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_SCHED_H
#define LOAM_LINUX_SCHED_H

#include <asm/loam.h>

LOAM_BEGIN_DECLS

#define TASK_COMM_LEN 16

/** A thread that runs kernel code. Made by kthread_create, or by whoever enters kernel code from outside. */
struct task_struct {
	unsigned int __state; /* TASK_*; see set_current_state */
	int pid;
	char comm[TASK_COMM_LEN];
};

/** The calling thread; NULL outside kernel code. */
#define current (loam_hot.task)

#define TASK_RUNNING 0x0000u
#define TASK_INTERRUPTIBLE 0x0001u
#define TASK_UNINTERRUPTIBLE 0x0002u
#define TASK_NORMAL (TASK_INTERRUPTIBLE | TASK_UNINTERRUPTIBLE)

#define MAX_SCHEDULE_TIMEOUT ((long)(~0UL >> 1))

/**
 * What the thread will be once it calls schedule(). Set before the condition is looked at: who makes the condition true sets it
 * back to TASK_RUNNING, and then schedule() does not sleep.
 */
static inline void __set_current_state(unsigned int state)
{
	__atomic_store_n(&current->__state, state, __ATOMIC_RELAXED);
}

static inline void set_current_state(unsigned int state)
{
	/* Sequentially consistent: it pairs with the waker, who writes the condition and then looks at the state. */
	__atomic_store_n(&current->__state, state, __ATOMIC_SEQ_CST);
}

/** Give the CPU up until woken; at once, when the state is TASK_RUNNING. Process context, not atomic. */
void schedule(void);
/** The same for at most @timeout jiffies; returns what is left of them, 0 when the time was over. */
long schedule_timeout(long timeout);
long schedule_timeout_interruptible(long timeout);
long schedule_timeout_uninterruptible(long timeout);
/** Wake @task. 1: it was asleep, or about to be. Any context. */
int wake_up_process(struct task_struct *task);
/** Let others run that wait for a CPU. 1: it was a place for that. */
int __cond_resched(void);
#define cond_resched() __cond_resched()
#define might_resched() __cond_resched()

void get_task_struct(struct task_struct *task);
void put_task_struct(struct task_struct *task);
static inline int signal_pending(struct task_struct *task)
{
	(void)task;
	return 0;
}

LOAM_END_DECLS
#endif
