/* SPDX-License-Identifier: MIT */
/* contexts.c: row G3: contexts, and what is reported in the wrong one. The test looks for the reports. */
#include "check.h"

#include <linux/completion.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/timer.h>
#include <linux/vmalloc.h>

static DEFINE_SPINLOCK(lock);
static DECLARE_COMPLETION(hard_done);
static DECLARE_COMPLETION(soft_done);
static DECLARE_COMPLETION(timer_done);
static bool hard_right, soft_right, timer_right;

static void hard(struct irq_work *work)
{
	void *p = kmalloc(40, GFP_ATOMIC);

	(void)work;
	hard_right = in_irq() && in_interrupt() && irqs_disabled() && !in_task() && p;
	kfree(p);
	complete(&hard_done);
}
static DEFINE_IRQ_WORK(work, hard);

static void soft(struct tasklet_struct *t)
{
	void *p = kmalloc(40, GFP_ATOMIC);

	(void)t;
	soft_right = in_softirq() && in_interrupt() && !in_irq() && !irqs_disabled() && p;
	kfree(p);
	complete(&soft_done);
}
static DECLARE_TASKLET(tasklet, soft);

static void late(struct timer_list *timer)
{
	(void)timer;
	timer_right = in_softirq() && !in_irq();
	complete(&timer_done);
}
static DEFINE_TIMER(timer, late);

static int interrupts(void)
{
	CHECK(in_task() && !in_interrupt() && !in_atomic() && !irqs_disabled());
	irq_work_queue(&work);
	wait_for_completion(&hard_done);
	tasklet_schedule(&tasklet);
	wait_for_completion(&soft_done);
	mod_timer(&timer, jiffies + 5);
	wait_for_completion(&timer_done);
	CHECK(hard_right && soft_right && timer_right);
	tasklet_kill(&tasklet);
	irq_work_sync(&work);
	CHECK(!del_timer_sync(&timer));
	return 0;
}

/* Interrupts that are off come in when they are on again. */
static int held_off(void)
{
	unsigned long flags;

	reinit_completion(&hard_done);
	local_irq_save(flags);
	irq_work_queue_on(&work, smp_processor_id());
	CHECK(irqs_disabled() && !try_wait_for_completion(&hard_done));
	local_irq_restore(flags);
	wait_for_completion(&hard_done);
	local_bh_disable();
	reinit_completion(&soft_done);
	tasklet_schedule(&tasklet);
	CHECK(in_softirq() && !try_wait_for_completion(&soft_done));
	local_bh_enable();
	CHECK(try_wait_for_completion(&soft_done));
	return 0;
}

static DEFINE_PER_CPU(int, mine);
static DEFINE_MUTEX(mutex);

/* Each of these is reported. */
static int wrong(void)
{
	void *p, *v = vmalloc(100);

	spin_lock(&lock);
	p = kmalloc(10, GFP_KERNEL);
	spin_unlock(&lock);
	kfree(p);
	get_cpu_var(mine)++;
	might_sleep();
	put_cpu_var(mine);
	local_irq_disable();
	free_page(__get_free_page(GFP_KERNEL));
	local_irq_enable();
	spin_lock(&lock);
	vfree(v);
	spin_unlock(&lock);
	mutex_unlock(&mutex);
	/* And this is not. */
	spin_lock(&lock);
	p = kmalloc(10, GFP_ATOMIC);
	spin_unlock(&lock);
	kfree(p);
	return 0;
}

static int __init contexts_init(void)
{
	PART(interrupts);
	PART(held_off);
	PART(wrong);
	return 0;
}

TEST_MODULE(contexts_init);
