/* SPDX-License-Identifier: MIT */
/* linux/completion.h: wait until something is done, so many times. Semantics: Linux 6.1. */
#ifndef LOAM_LINUX_COMPLETION_H
#define LOAM_LINUX_COMPLETION_H

#include <linux/wait.h>

LOAM_BEGIN_DECLS

struct completion {
	unsigned int done; /* under wait.lock */
	wait_queue_head_t wait;
};

#define COMPLETION_INITIALIZER(work)                                                                                   \
	{                                                                                                              \
		0, __WAIT_QUEUE_HEAD_INITIALIZER((work).wait)                                                          \
	}
#define DECLARE_COMPLETION(work) struct completion work = COMPLETION_INITIALIZER(work)
#define DECLARE_COMPLETION_ONSTACK(work) DECLARE_COMPLETION(work)

void init_completion(struct completion *x);
void reinit_completion(struct completion *x);
/** Let one go on who waits, or the next one who comes. Any context. */
void complete(struct completion *x);
/** Let everybody go on, from now on too. Any context. */
void complete_all(struct completion *x);
/** May sleep. */
void wait_for_completion(struct completion *x);
int wait_for_completion_interruptible(struct completion *x);
/** 0: @timeout jiffies were over. */
unsigned long wait_for_completion_timeout(struct completion *x, unsigned long timeout);
bool try_wait_for_completion(struct completion *x);
bool completion_done(struct completion *x);

LOAM_END_DECLS
#endif
