/* SPDX-License-Identifier: MIT */
/* linux/mutex.h: sleeping locks, given back by who took them. Process context. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_MUTEX_H
#define LOAM_LINUX_MUTEX_H

#include <linux/wait.h>

LOAM_BEGIN_DECLS

struct mutex {
	struct task_struct *owner; /* atomic; NULL: free */
	wait_queue_head_t wait;
};

#define __MUTEX_INITIALIZER(lockname)                                                                                  \
	{                                                                                                              \
		NULL, __WAIT_QUEUE_HEAD_INITIALIZER((lockname).wait)                                                   \
	}
#define DEFINE_MUTEX(name) struct mutex name = __MUTEX_INITIALIZER(name)

void mutex_init(struct mutex *lock);
void mutex_destroy(struct mutex *lock);
void mutex_lock(struct mutex *lock);
int mutex_lock_interruptible(struct mutex *lock);
/** 1: taken. */
int mutex_trylock(struct mutex *lock);
void mutex_unlock(struct mutex *lock);
bool mutex_is_locked(struct mutex *lock);

LOAM_END_DECLS
#endif
