/* SPDX-License-Identifier: MIT */
/*
 * use-NAME.c: kernel code with per-CPU memory: threads count without a lock and without an atomic instruction, and lose
 * nothing.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/percpu.h>

#define ROUNDS 200000

static int threads = 6;
module_param(threads, int, 0);

static DEFINE_PER_CPU(int, begun); /* a variable of the module: reserve_first made room for it */
static unsigned long __percpu *hits;
static DECLARE_COMPLETION(done);

static int count(void *data)
{
	(void)data;
	this_cpu_inc(begun);
	for (int i = 0; i < ROUNDS; i++) {
		this_cpu_inc(*hits);
		if (i % 100 == 0)
			cond_resched(); /* it may go on on another CPU */
	}
	complete(&done);
	return 0;
}

static int __init use_init(void)
{
	struct task_struct *tasks[32];
	unsigned long sum = 0;
	int cpu, started = 0;

	hits = alloc_percpu(unsigned long);
	if (!hits)
		return -ENOMEM;
	for (; started < threads && started < 32; started++)
		if (IS_ERR(tasks[started] = kthread_run(count, NULL, "count/%d", started)))
			break;
	for (int i = 0; i < started; i++)
		wait_for_completion(&done);
	for (int i = 0; i < started; i++)
		kthread_stop(tasks[i]);
	for_each_possible_cpu (cpu) {
		pr_info("CPU %d: %d threads begun, %lu hits\n", cpu, per_cpu(begun, cpu), *per_cpu_ptr(hits, cpu));
		sum += *per_cpu_ptr(hits, cpu);
	}
	pr_info("%lu hits of %d threads\n", sum, started);
	free_percpu(hits);
	return sum == (unsigned long)started * ROUNDS ? 0 : -EIO;
}

static void __exit use_exit(void)
{
	pr_info("all given back\n");
}

module_init(use_init);
module_exit(use_exit);
MODULE_LICENSE("Dual MIT/GPL");
