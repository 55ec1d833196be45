/* SPDX-License-Identifier: MIT */
/* wait.c: sleeping and waking: spin locks, wait queues, completions, mutexes, time. */
#include "kernel.h"

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/mutex.h>
#include <linux/printk.h>
#include <linux/rwsem.h>

#include <sched.h>

/* ---- spin locks ---- */

void loam_spin_init(spinlock_t *lock, const char *name)
{
	*lock = (spinlock_t){ .name = name };
}

static bool take(spinlock_t *lock)
{
	unsigned free_word = 0;

	return __atomic_compare_exchange_n(&lock->word, &free_word, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static void own(spinlock_t *lock)
{
	__atomic_store_n(&lock->owner, loam_hot.task, __ATOMIC_RELAXED);
}

static LOAM_COLD void spin_report(const spinlock_t *lock, const char *what)
{
	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	printk(KERN_ERR "BUG: spinlock %s on CPU#%u, %s/%d\n", what, loam_hot.cpu, current ? current->comm : "?",
	       current ? current->pid : 0);
	printk(KERN_ERR " lock: %s\n", lock->name ? lock->name : "?");
	dump_stack();
}

/*
 * The lock is taken. Its holder runs, on another CPU or in place of an interrupted one; a system with fewer processors than
 * the machine has CPUs must let it.
 */
static LOAM_COLD void spin_wait(spinlock_t *lock)
{
	bool told = false;

	while (!take(lock)) {
		struct task_struct *owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);

		if (!told && owner && owner == loam_hot.task) {
			spin_report(lock, "recursion");
			told = true;
		}
		if (loam_hot.atomic == PREEMPT_OFFSET && loam_hot.task) {
			/* Only this lock's own: the CPU may go to others. */
			loam_hot.atomic = 0;
			cpu_yield(this_task());
			loam_atomic_begins(PREEMPT_OFFSET);
		}
		sched_yield();
	}
}

void spin_lock(spinlock_t *lock)
{
	preempt_disable();
	if (loam_unlikely(!take(lock)))
		spin_wait(lock);
	own(lock);
}

int spin_trylock(spinlock_t *lock)
{
	preempt_disable();
	if (take(lock)) {
		own(lock);
		return 1;
	}
	preempt_enable();
	return 0;
}

static void give(spinlock_t *lock)
{
	if (loam_unlikely(lock->owner != loam_hot.task))
		spin_report(lock, lock->word ? "wrong owner" : "already unlocked");
	__atomic_store_n(&lock->owner, NULL, __ATOMIC_RELAXED);
	__atomic_store_n(&lock->word, 0, __ATOMIC_RELEASE);
}

void spin_unlock(spinlock_t *lock)
{
	give(lock);
	preempt_enable();
}

int spin_is_locked(const spinlock_t *lock)
{
	return __atomic_load_n(&lock->word, __ATOMIC_RELAXED) != 0;
}

void spin_lock_irq(spinlock_t *lock)
{
	local_irq_disable();
	spin_lock(lock);
}

void spin_unlock_irq(spinlock_t *lock)
{
	spin_unlock(lock);
	local_irq_enable();
}

void spin_lock_bh(spinlock_t *lock)
{
	local_bh_disable();
	spin_lock(lock);
}

void spin_unlock_bh(spinlock_t *lock)
{
	spin_unlock(lock);
	local_bh_enable();
}

unsigned long loam_spin_lock_irqsave(spinlock_t *lock)
{
	unsigned long flags = loam_irq_save();

	spin_lock(lock);
	return flags;
}

void spin_unlock_irqrestore(spinlock_t *lock, unsigned long flags)
{
	spin_unlock(lock);
	loam_irq_restore(flags);
}

/* ---- schedule ---- */

static LOAM_COLD void scheduling_while_atomic(void)
{
	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	printk(KERN_ERR "BUG: scheduling while atomic: %s/%d/0x%08x\n", current->comm, current->pid,
	       (unsigned)preempt_count());
	dump_stack();
}

static bool sleep_until(const struct timespec *deadline)
{
	kernel_enter();
	if (loam_unlikely(loam_hot.atomic))
		scheduling_while_atomic();
	return cpu_block(this_task(), deadline);
}

void schedule(void)
{
	sleep_until(NULL);
}

long schedule_timeout(long timeout)
{
	unsigned long end = jiffies + (unsigned long)timeout;
	struct timespec deadline;
	long left;

	if (timeout == MAX_SCHEDULE_TIMEOUT) {
		schedule();
		return timeout;
	}
	/* A tick that has begun is not a whole one. */
	deadline = kernel_time(end + 1);
	sleep_until(&deadline);
	left = (long)(end - jiffies);
	return left > 0 ? left : 0;
}

long schedule_timeout_interruptible(long timeout)
{
	__set_current_state(TASK_INTERRUPTIBLE);
	return schedule_timeout(timeout);
}

long schedule_timeout_uninterruptible(long timeout)
{
	__set_current_state(TASK_UNINTERRUPTIBLE);
	return schedule_timeout(timeout);
}

/* ---- wait queues ---- */

void init_waitqueue_head(wait_queue_head_t *q)
{
	*q = (wait_queue_head_t){ .lock = { .name = "wait queue" } };
	INIT_LIST_HEAD(&q->head);
}

int waitqueue_active(wait_queue_head_t *q)
{
	return !list_empty(&q->head);
}

static void prepare(wait_queue_head_t *q, wait_queue_entry_t *wait, int state, bool exclusive)
{
	unsigned long flags = loam_spin_lock_irqsave(&q->lock);

	if (list_empty(&wait->entry)) {
		wait->flags = exclusive ? WQ_FLAG_EXCLUSIVE : 0;
		if (exclusive)
			list_add_tail(&wait->entry, &q->head);
		else
			list_add(&wait->entry, &q->head);
	}
	set_current_state((unsigned)state);
	spin_unlock_irqrestore(&q->lock, flags);
}

void prepare_to_wait(wait_queue_head_t *q, wait_queue_entry_t *wait, int state)
{
	prepare(q, wait, state, false);
}

void prepare_to_wait_exclusive(wait_queue_head_t *q, wait_queue_entry_t *wait, int state)
{
	prepare(q, wait, state, true);
}

void finish_wait(wait_queue_head_t *q, wait_queue_entry_t *wait)
{
	unsigned long flags = loam_spin_lock_irqsave(&q->lock);

	__set_current_state(TASK_RUNNING);
	list_del_init(&wait->entry);
	spin_unlock_irqrestore(&q->lock, flags);
}

/* Under the queue's lock. */
static void wake_queue(wait_queue_head_t *q, unsigned int mode, int nr)
{
	struct list_head *pos, *next;

	list_for_each_safe (pos, next, &q->head) {
		wait_queue_entry_t *wait = list_entry(pos, wait_queue_entry_t, entry);
		bool exclusive = wait->flags & WQ_FLAG_EXCLUSIVE;

		if (!(__atomic_load_n(&wait->task->__state, __ATOMIC_SEQ_CST) & mode))
			continue;
		/* Who is woken goes out at once, so that the next wake finds the next one. */
		list_del_init(&wait->entry);
		wake_up_process(wait->task);
		if (exclusive && nr && !--nr)
			break;
	}
}

void __wake_up(wait_queue_head_t *q, unsigned int mode, int nr, void *key)
{
	unsigned long flags = loam_spin_lock_irqsave(&q->lock);

	(void)key;
	wake_queue(q, mode, nr);
	spin_unlock_irqrestore(&q->lock, flags);
}

/* ---- completions ---- */

void init_completion(struct completion *x)
{
	x->done = 0;
	init_waitqueue_head(&x->wait);
}

void reinit_completion(struct completion *x)
{
	x->done = 0;
}

void complete(struct completion *x)
{
	unsigned long flags = loam_spin_lock_irqsave(&x->wait.lock);

	if (x->done != ~0u)
		x->done++;
	wake_queue(&x->wait, TASK_NORMAL, 1);
	spin_unlock_irqrestore(&x->wait.lock, flags);
}

void complete_all(struct completion *x)
{
	unsigned long flags = loam_spin_lock_irqsave(&x->wait.lock);

	x->done = ~0u;
	wake_queue(&x->wait, TASK_NORMAL, 0);
	spin_unlock_irqrestore(&x->wait.lock, flags);
}

bool try_wait_for_completion(struct completion *x)
{
	unsigned long flags = loam_spin_lock_irqsave(&x->wait.lock);
	bool done = x->done;

	if (done && x->done != ~0u)
		x->done--;
	spin_unlock_irqrestore(&x->wait.lock, flags);
	return done;
}

bool completion_done(struct completion *x)
{
	return __atomic_load_n(&x->done, __ATOMIC_ACQUIRE);
}

unsigned long wait_for_completion_timeout(struct completion *x, unsigned long timeout)
{
	long left = (long)timeout;
	DEFINE_WAIT(wait);
	bool done;

	might_sleep();
	for (;;) {
		prepare_to_wait_exclusive(&x->wait, &wait, TASK_UNINTERRUPTIBLE);
		done = try_wait_for_completion(x);
		if (done || !left)
			break;
		left = schedule_timeout(left);
	}
	finish_wait(&x->wait, &wait);
	return !done ? 0 : left ? (unsigned long)left : 1;
}

void wait_for_completion(struct completion *x)
{
	wait_for_completion_timeout(x, MAX_SCHEDULE_TIMEOUT);
}

int wait_for_completion_interruptible(struct completion *x)
{
	wait_for_completion(x);
	return 0;
}

/* ---- mutexes ---- */

/* @what is wrong with the mutex, and where. */
static LOAM_COLD void mutex_report(const char *what)
{
	__atomic_fetch_add(&loam__machine.nr_reports, 1, __ATOMIC_RELAXED);
	printk(KERN_ERR "BUG: mutex %s, %s/%d\n", what, current ? current->comm : "?", current ? current->pid : 0);
	dump_stack();
}

void mutex_init(struct mutex *lock)
{
	lock->owner = NULL;
	init_waitqueue_head(&lock->wait);
}

void mutex_destroy(struct mutex *lock)
{
	if (mutex_is_locked(lock))
		mutex_report("destroyed while it is locked");
}

int mutex_trylock(struct mutex *lock)
{
	struct task_struct *free_owner = NULL;

	kernel_enter();
	return __atomic_compare_exchange_n(&lock->owner, &free_owner, current, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED);
}

void mutex_lock(struct mutex *lock)
{
	DEFINE_WAIT(wait);

	might_sleep();
	if (mutex_trylock(lock))
		return;
	if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) == current)
		mutex_report("recursion");
	for (;;) {
		prepare_to_wait_exclusive(&lock->wait, &wait, TASK_UNINTERRUPTIBLE);
		if (mutex_trylock(lock))
			break;
		schedule();
	}
	finish_wait(&lock->wait, &wait);
}

int mutex_lock_interruptible(struct mutex *lock)
{
	mutex_lock(lock);
	return 0;
}

void mutex_unlock(struct mutex *lock)
{
	if (__atomic_load_n(&lock->owner, __ATOMIC_RELAXED) != current)
		mutex_report("unlocked by who does not hold it");
	__atomic_store_n(&lock->owner, NULL, __ATOMIC_RELEASE);
	wake_up(&lock->wait);
}

bool mutex_is_locked(struct mutex *lock)
{
	return __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);
}

/* ---- reader-writer semaphores ---- */

void init_rwsem(struct rw_semaphore *sem)
{
	sem->count = 0;
	init_waitqueue_head(&sem->wait);
}

int down_read_trylock(struct rw_semaphore *sem)
{
	int count = __atomic_load_n(&sem->count, __ATOMIC_RELAXED);

	while (count >= 0)
		if (__atomic_compare_exchange_n(&sem->count, &count, count + 1, true, __ATOMIC_ACQUIRE,
						__ATOMIC_RELAXED))
			return 1;
	return 0;
}

void down_read(struct rw_semaphore *sem)
{
	wait_event(sem->wait, down_read_trylock(sem));
}

void up_read(struct rw_semaphore *sem)
{
	if (!__atomic_sub_fetch(&sem->count, 1, __ATOMIC_RELEASE))
		wake_up_all(&sem->wait);
}

int down_write_trylock(struct rw_semaphore *sem)
{
	int nobody = 0;

	return __atomic_compare_exchange_n(&sem->count, &nobody, -1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

void down_write(struct rw_semaphore *sem)
{
	wait_event(sem->wait, down_write_trylock(sem));
}

void up_write(struct rw_semaphore *sem)
{
	__atomic_store_n(&sem->count, 0, __ATOMIC_RELEASE);
	wake_up_all(&sem->wait);
}

/* ---- time ---- */

void msleep(unsigned int ms)
{
	long left = (long)msecs_to_jiffies(ms) + 1;

	might_sleep();
	while (left)
		left = schedule_timeout_uninterruptible(left);
}

unsigned long msleep_interruptible(unsigned int ms)
{
	msleep(ms);
	return 0;
}

static struct timespec in_ns(unsigned long ns)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_sec += (time_t)((unsigned long)at.tv_nsec + ns) / 1000000000;
	at.tv_nsec = (long)(((unsigned long)at.tv_nsec + ns) % 1000000000);
	return at;
}

void usleep_range(unsigned long min, unsigned long max)
{
	struct timespec end = in_ns((min + (max - min) / 2) * 1000);

	might_sleep();
	do
		__set_current_state(TASK_UNINTERRUPTIBLE);
	while (cpu_block(this_task(), &end));
}

void ndelay(unsigned long ns)
{
	struct timespec end = in_ns(ns), now;

	do {
		kernel_enter();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
}

void udelay(unsigned long us)
{
	ndelay(us * 1000);
}

void mdelay(unsigned long ms)
{
	ndelay(ms * 1000000);
}
