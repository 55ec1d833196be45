/* SPDX-License-Identifier: MIT */
/* linux/rwsem.h: many readers or one writer, asleep while they wait. Process context. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_RWSEM_H
#define LOAM_LINUX_RWSEM_H

#include <linux/wait.h>

LOAM_BEGIN_DECLS

struct rw_semaphore {
	int count; /* atomic: readers; -1: a writer */
	wait_queue_head_t wait;
};

#define __RWSEM_INITIALIZER(name)                                                                                      \
	{                                                                                                              \
		0, __WAIT_QUEUE_HEAD_INITIALIZER((name).wait)                                                          \
	}
#define DECLARE_RWSEM(name) struct rw_semaphore name = __RWSEM_INITIALIZER(name)

void init_rwsem(struct rw_semaphore *sem);
void down_read(struct rw_semaphore *sem);
/** 1: taken. Any context. */
int down_read_trylock(struct rw_semaphore *sem);
void up_read(struct rw_semaphore *sem);
void down_write(struct rw_semaphore *sem);
int down_write_trylock(struct rw_semaphore *sem);
void up_write(struct rw_semaphore *sem);

LOAM_END_DECLS
#endif
