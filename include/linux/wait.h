/* SPDX-License-Identifier: MIT */
/*
 * linux/wait.h: wait queues. wait_event(q, condition) sleeps until the condition holds; who makes it true calls wake_up(q)
 * afterwards. Waiting wants process context; waking goes anywhere. There are no signals, so interruptible waits are never
 * interrupted and return 0. Semantics: Linux 6.1.
 */
#ifndef LOAM_LINUX_WAIT_H
#define LOAM_LINUX_WAIT_H

#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

LOAM_BEGIN_DECLS

typedef struct wait_queue_head {
	spinlock_t lock;
	struct list_head head; /* links NULL: empty, never used */
} wait_queue_head_t;

#define WQ_FLAG_EXCLUSIVE 0x01u

typedef struct wait_queue_entry {
	unsigned int flags;
	struct task_struct *task;
	struct list_head entry;
} wait_queue_entry_t;

#define __WAIT_QUEUE_HEAD_INITIALIZER(name)                                                                            \
	{                                                                                                              \
		.lock = __SPIN_LOCK_UNLOCKED(name.lock), .head = LIST_HEAD_INIT((name).head)                           \
	}
#define DECLARE_WAIT_QUEUE_HEAD(name) wait_queue_head_t name = __WAIT_QUEUE_HEAD_INITIALIZER(name)
#define DEFINE_WAIT(name) wait_queue_entry_t name = { .task = current, .entry = LIST_HEAD_INIT((name).entry) }

void init_waitqueue_head(wait_queue_head_t *q);
static inline void init_wait(wait_queue_entry_t *wait)
{
	wait->flags = 0;
	wait->task = current;
	INIT_LIST_HEAD(&wait->entry);
}
int waitqueue_active(wait_queue_head_t *q);
/** Into the queue (once), and the state of the caller set: then look at the condition, then schedule(). */
void prepare_to_wait(wait_queue_head_t *q, wait_queue_entry_t *wait, int state);
/** The same at the end, as one of those of whom wake_up wakes one. */
void prepare_to_wait_exclusive(wait_queue_head_t *q, wait_queue_entry_t *wait, int state);
/** Out of the queue, and running. */
void finish_wait(wait_queue_head_t *q, wait_queue_entry_t *wait);
/** Wake all who wait shared and @nr of those who wait exclusively, 0: all of them; of the states in @mode. Any context. */
void __wake_up(wait_queue_head_t *q, unsigned int mode, int nr, void *key);

#define wake_up(q) __wake_up(q, TASK_NORMAL, 1, NULL)
#define wake_up_nr(q, nr) __wake_up(q, TASK_NORMAL, nr, NULL)
#define wake_up_all(q) __wake_up(q, TASK_NORMAL, 0, NULL)
#define wake_up_interruptible(q) __wake_up(q, TASK_INTERRUPTIBLE, 1, NULL)
#define wake_up_interruptible_all(q) __wake_up(q, TASK_INTERRUPTIBLE, 0, NULL)
#define wake_up_interruptible_sync(q) wake_up_interruptible(q)

/* Sleep in @state until @condition, or @left jiffies are over. */
#define ___wait_event(q, condition, state, left)                                                                       \
	({                                                                                                             \
		long left__ = (left);                                                                                  \
		DEFINE_WAIT(wait__);                                                                                   \
		might_sleep();                                                                                         \
		for (;;) {                                                                                             \
			prepare_to_wait(&(q), &wait__, state);                                                         \
			if (condition)                                                                                 \
				break;                                                                                 \
			if (!left__)                                                                                   \
				break;                                                                                 \
			left__ = schedule_timeout(left__);                                                             \
		}                                                                                                      \
		finish_wait(&(q), &wait__);                                                                            \
		left__;                                                                                                \
	})

#define wait_event(q, condition) ((void)___wait_event(q, condition, TASK_UNINTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT))
#define wait_event_interruptible(q, condition)                                                                         \
	((void)___wait_event(q, condition, TASK_INTERRUPTIBLE, MAX_SCHEDULE_TIMEOUT), 0)
/** Jiffies that are left, at least 1, when the condition came true; 0 when the time was over before it did. */
#define wait_event_timeout(q, condition, timeout)                                                                      \
	({                                                                                                             \
		long rest__ = ___wait_event(q, condition, TASK_UNINTERRUPTIBLE, timeout);                              \
		rest__ ? rest__ : (condition) ? 1 : 0;                                                                 \
	})
#define wait_event_interruptible_timeout(q, condition, timeout) wait_event_timeout(q, condition, timeout)

LOAM_END_DECLS
#endif
