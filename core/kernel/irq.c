/* SPDX-License-Identifier: MIT */
/*
 * irq.c: what runs in interrupts: irq_work in hardirq context; tasklets and timers in softirq context.
 *
 * One host thread is the source: it waits for work and for the next timer, and interrupts the CPU that the work is for. After
 * the handler, on the way out of an interrupt, the CPU's pending softirqs run, and they run when the last local_bh_enable lets
 * them. Handlers and softirqs have a stack of their own on each CPU.
 */
#include "kernel.h"

#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/timer.h>

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#define TASKLET_SCHEDULED 1ul
#define TASKLET_RUNNING 2ul
#define RESTARTS 10 /* rounds of softirqs before others get a turn */

/** Pending softirqs of a CPU. */
struct soft {
	struct tasklet_struct *tasklets, **last;
	struct list_head timers; /* expired */
	struct timer_list *running;
	struct kstack hard_stack, soft_stack;
	bool kick; /* run them, though no interrupt is due */
};

static struct loam__mutex lock;
static struct soft softs[LOAM_MAX_CPUS];
static struct list_head timers; /* by expiry */
static struct irq_work *works, **last_work;
static uint32_t changed; /* futex: counts what the thread should look at */
static bool stopping;
static pthread_t thread;
static struct timespec booted;

/* ---- time ---- */

unsigned long loam_jiffies(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return INITIAL_JIFFIES +
	       (unsigned long)((now.tv_sec - booted.tv_sec) * HZ + (now.tv_nsec - booted.tv_nsec) / (1000000000 / HZ));
}

unsigned long kernel_uptime_us(void)
{
	struct timespec now;

	if (!booted.tv_sec)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (unsigned long)((now.tv_sec - booted.tv_sec) * 1000000 + (now.tv_nsec - booted.tv_nsec) / 1000);
}

struct timespec kernel_time(unsigned long j)
{
	unsigned long ticks = j - INITIAL_JIFFIES;
	struct timespec at = booted;

	at.tv_sec += (time_t)(ticks / HZ);
	at.tv_nsec += (long)(ticks % HZ) * (1000000000 / HZ);
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	return at;
}

static void look_up(void)
{
	__atomic_fetch_add(&changed, 1, __ATOMIC_RELEASE);
	futex_wake(&changed);
}

/* ---- softirqs ---- */

/** The next thing to run, taken off its list. */
struct due {
	struct tasklet_struct *tasklet;
	struct timer_list *timer;
};

static bool next_due(struct soft *soft, struct due *due)
{
	*due = (struct due){ NULL, NULL };
	loam__lock(&lock);
	soft->running = NULL;
	if (!list_empty(&soft->timers)) {
		due->timer = list_first_entry(&soft->timers, struct timer_list, entry);
		list_del_init(&due->timer->entry);
		due->timer->entry.next = NULL;
		soft->running = due->timer;
	} else if (soft->tasklets) {
		due->tasklet = soft->tasklets;
		soft->tasklets = due->tasklet->next;
		if (!soft->tasklets)
			soft->last = &soft->tasklets;
	}
	loam__unlock(&lock);
	return due->timer || due->tasklet;
}

static void append(struct soft *soft, struct tasklet_struct *t)
{
	t->next = NULL;
	loam__lock(&lock);
	*soft->last = t;
	soft->last = &t->next;
	loam__unlock(&lock);
}

/* false: it runs elsewhere, or is disabled, and stays scheduled. */
static bool run_tasklet(struct tasklet_struct *t)
{
	if (__atomic_fetch_or(&t->state, TASKLET_RUNNING, __ATOMIC_ACQUIRE) & TASKLET_RUNNING)
		return false;
	if (__atomic_load_n(&t->count.counter, __ATOMIC_ACQUIRE)) {
		__atomic_fetch_and(&t->state, ~TASKLET_RUNNING, __ATOMIC_RELEASE);
		return false;
	}
	__atomic_fetch_and(&t->state, ~TASKLET_SCHEDULED, __ATOMIC_ACQ_REL);
	if (t->use_callback)
		t->callback(t);
	else
		t->func(t->data);
	__atomic_fetch_and(&t->state, ~TASKLET_RUNNING, __ATOMIC_RELEASE);
	return true;
}

static void run_softirqs(void *arg)
{
	struct soft *soft = arg;
	struct due due;
	unsigned n = 0;
	bool more;

	while (n++ < 1000 && next_due(soft, &due)) {
		if (due.timer) {
			due.timer->function(due.timer);
		} else if (!run_tasklet(due.tasklet)) {
			append(soft, due.tasklet);
			if (n > RESTARTS)
				break;
		}
	}
	loam__lock(&lock);
	soft->running = NULL;
	more = soft->tasklets || !list_empty(&soft->timers);
	soft->kick = more;
	loam__unlock(&lock);
	if (more)
		look_up();
}

void irq_softirqs(unsigned cpu)
{
	struct soft *soft = &softs[cpu];
	bool pending;

	loam__lock(&lock);
	pending = soft->tasklets || !list_empty(&soft->timers);
	loam__unlock(&lock);
	if (pending)
		kstack_call(&soft->soft_stack, run_softirqs, soft);
}

void irq_handler(unsigned cpu, void (*fn)(void *arg), void *arg)
{
	kstack_call(&softs[cpu].hard_stack, fn, arg);
}

/* ---- tasklets ---- */

void tasklet_setup(struct tasklet_struct *t, void (*callback)(struct tasklet_struct *t))
{
	*t = (struct tasklet_struct){ .use_callback = true, .callback = callback };
}

void tasklet_init(struct tasklet_struct *t, void (*func)(unsigned long data), unsigned long data)
{
	*t = (struct tasklet_struct){ .func = func, .data = data };
}

void tasklet_schedule(struct tasklet_struct *t)
{
	unsigned cpu = loam_hot.cpu;

	kernel_enter();
	if (__atomic_fetch_or(&t->state, TASKLET_SCHEDULED, __ATOMIC_ACQ_REL) & TASKLET_SCHEDULED)
		return;
	append(&softs[cpu], t);
	/* In an interrupt, or with bottom halves off, it runs at the end of that. */
	if (in_interrupt())
		return;
	loam__lock(&lock);
	softs[cpu].kick = true;
	loam__unlock(&lock);
	look_up();
}

void tasklet_hi_schedule(struct tasklet_struct *t)
{
	tasklet_schedule(t);
}

static void wait_while(const unsigned long *state, unsigned long bits)
{
	while (__atomic_load_n(state, __ATOMIC_ACQUIRE) & bits) {
		kernel_enter();
		if (!loam_hot.atomic)
			schedule_timeout_uninterruptible(1);
	}
}

void tasklet_disable(struct tasklet_struct *t)
{
	__atomic_fetch_add(&t->count.counter, 1, __ATOMIC_ACQ_REL);
	wait_while(&t->state, TASKLET_RUNNING);
}

void tasklet_enable(struct tasklet_struct *t)
{
	__atomic_fetch_sub(&t->count.counter, 1, __ATOMIC_ACQ_REL);
}

void tasklet_kill(struct tasklet_struct *t)
{
	check_gfp(GFP_KERNEL, "tasklet_kill");
	wait_while(&t->state, TASKLET_SCHEDULED | TASKLET_RUNNING);
}

/* ---- irq_work ---- */

static void run_work(void *arg)
{
	struct irq_work *work = arg;

	/* Release: it may be queued again from here on, by itself too. */
	__atomic_store_n(&work->pending, 2, __ATOMIC_RELEASE);
	work->func(work);
	/* Still 2: nobody queued it again. */
	unsigned two = 2;
	__atomic_compare_exchange_n(&work->pending, &two, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

bool irq_work_queue_on(struct irq_work *work, int cpu)
{
	unsigned old = __atomic_exchange_n(&work->pending, 1, __ATOMIC_ACQ_REL);

	kernel_enter();
	if (old == 1)
		return false;
	work->cpu = (unsigned)cpu;
	work->next = NULL;
	loam__lock(&lock);
	*last_work = work;
	last_work = &work->next;
	loam__unlock(&lock);
	look_up();
	return true;
}

bool irq_work_queue(struct irq_work *work)
{
	return irq_work_queue_on(work, (int)loam_hot.cpu);
}

void irq_work_sync(struct irq_work *work)
{
	check_gfp(GFP_KERNEL, "irq_work_sync");
	while (__atomic_load_n(&work->pending, __ATOMIC_ACQUIRE)) {
		kernel_enter();
		schedule_timeout_uninterruptible(1);
	}
}

static struct irq_work *next_work(void)
{
	struct irq_work *work;

	loam__lock(&lock);
	work = works;
	if (work)
		works = work->next;
	if (!works)
		last_work = &works;
	loam__unlock(&lock);
	return work;
}

/* ---- timers ---- */

void timer_setup(struct timer_list *timer, void (*function)(struct timer_list *timer), unsigned int flags)
{
	*timer = (struct timer_list){ .function = function, .flags = flags };
}

int timer_pending(const struct timer_list *timer)
{
	return timer->entry.next != NULL;
}

/* Under the lock. */
static int unlink_timer(struct timer_list *timer)
{
	if (!timer->entry.next)
		return 0;
	list_del(&timer->entry);
	timer->entry.next = NULL;
	return 1;
}

int mod_timer(struct timer_list *timer, unsigned long expires)
{
	struct list_head *pos;
	int pending;

	kernel_enter();
	loam__lock(&lock);
	pending = unlink_timer(timer);
	timer->expires = expires;
	list_for_each (pos, &timers)
		if (time_before(expires, list_entry(pos, struct timer_list, entry)->expires))
			break;
	list_add_tail(&timer->entry, pos);
	loam__unlock(&lock);
	look_up();
	return pending;
}

void add_timer(struct timer_list *timer)
{
	mod_timer(timer, timer->expires);
}

int del_timer(struct timer_list *timer)
{
	int pending;

	kernel_enter();
	loam__lock(&lock);
	pending = unlink_timer(timer);
	loam__unlock(&lock);
	return pending;
}

static bool timer_runs(const struct timer_list *timer)
{
	bool found = false;

	loam__lock(&lock);
	for (unsigned i = 0; i < cpu_count(); i++)
		found |= softs[i].running == timer;
	loam__unlock(&lock);
	return found;
}

int del_timer_sync(struct timer_list *timer)
{
	int pending = del_timer(timer);

	while (timer_runs(timer)) {
		kernel_enter();
		if (!loam_hot.atomic)
			schedule_timeout_uninterruptible(1);
	}
	return pending;
}

/* What has expired goes to the CPU's pending softirqs: in the interrupt. */
static void expire(void *arg)
{
	struct soft *soft = &softs[loam_hot.cpu];
	unsigned long now = loam_jiffies();

	(void)arg;
	loam__lock(&lock);
	while (!list_empty(&timers) && time_after_eq(now, list_first_entry(&timers, struct timer_list, entry)->expires))
		list_move_tail(timers.next, &soft->timers);
	loam__unlock(&lock);
}

/* ---- the thread ---- */

static void nothing(void *arg)
{
	(void)arg;
}

static bool timer_due(struct timespec *next, bool *any)
{
	bool due = false;

	loam__lock(&lock);
	*any = !list_empty(&timers);
	if (*any) {
		unsigned long expires = list_first_entry(&timers, struct timer_list, entry)->expires;

		due = time_after_eq(loam_jiffies(), expires);
		*next = kernel_time(expires);
	}
	loam__unlock(&lock);
	return due;
}

static bool kicked(unsigned cpu)
{
	bool kick;

	loam__lock(&lock);
	kick = softs[cpu].kick;
	softs[cpu].kick = false;
	loam__unlock(&lock);
	return kick;
}

static void run_works(void)
{
	struct irq_work *work;

	while ((work = next_work()))
		cpu_interrupt(work->cpu, run_work, work);
}

static void run_kicked(void)
{
	for (unsigned i = 0; i < cpu_count(); i++)
		if (kicked(i))
			cpu_interrupt(i, nothing, NULL);
}

static void *source(void *arg)
{
	struct task *task = task_enter("irq");
	unsigned timer_cpu = 0;

	(void)arg;
	if (!task)
		return NULL;
	__atomic_store_n(&task->service, true, __ATOMIC_RELAXED);
	while (!__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) {
		uint32_t seen = __atomic_load_n(&changed, __ATOMIC_ACQUIRE);
		struct timespec next;
		bool any;

		run_works();
		run_kicked();
		if (timer_due(&next, &any))
			cpu_interrupt(timer_cpu++ % cpu_count(), expire, NULL);
		else
			futex_sleep(&changed, seen, any ? &next : NULL);
	}
	/* What was queued until now: vfree in an interrupt, or in a softirq, frees by it. */
	run_kicked();
	run_works();
	task_leave();
	return NULL;
}

int irq_boot(void)
{
	int error = 0;

	clock_gettime(CLOCK_MONOTONIC, &booted);
	INIT_LIST_HEAD(&timers);
	works = NULL;
	last_work = &works;
	stopping = false;
	memset(softs, 0, sizeof(softs));
	for (unsigned i = 0; i < cpu_count() && !error; i++) {
		softs[i].last = &softs[i].tasklets;
		INIT_LIST_HEAD(&softs[i].timers);
		error = kstack_make(&softs[i].hard_stack, "hardirq");
		if (!error)
			error = kstack_make(&softs[i].soft_stack, "softirq");
	}
	if (!error)
		error = -pthread_create(&thread, NULL, source, NULL);
	if (error)
		for (unsigned i = 0; i < cpu_count(); i++) {
			kstack_free(&softs[i].hard_stack);
			kstack_free(&softs[i].soft_stack);
		}
	return error;
}

void irq_halt(void)
{
	__atomic_store_n(&stopping, true, __ATOMIC_RELEASE);
	look_up();
	pthread_join(thread, NULL);
	for (unsigned i = 0; i < cpu_count(); i++) {
		kstack_free(&softs[i].hard_stack);
		kstack_free(&softs[i].soft_stack);
	}
}
