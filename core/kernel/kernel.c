/* SPDX-License-Identifier: MIT */
/* kernel.c: start and stop of kernel code on a machine that is up. */
#include "kernel.h"
#include "modules.h"

#include <linux/cpumask.h>
#include <linux/mm.h>
#include <linux/printk.h>

#include <errno.h>
#include <string.h>

unsigned int loam_nr_cpus(void)
{
	return cpu_count();
}

/* ---- what the host asks of kernel code ---- */

static void sleep_now(void)
{
	struct task *task = this_task();

	if (!task)
		return;
	__atomic_store_n(&task->waits_for_memory, true, __ATOMIC_RELAXED);
	cpu_give(task);
}

static void wake_now(void)
{
	struct task *task = this_task();

	if (!task)
		return;
	cpu_take(task);
	__atomic_store_n(&task->waits_for_memory, false, __ATOMIC_RELAXED);
}

static void park(void)
{
	if (this_task())
		cpu_park(this_task());
}

static void unpark(void)
{
	if (this_task())
		cpu_unpark(this_task());
}

static bool others(void)
{
	return this_task() && task_others();
}

static const char *comm(void)
{
	return loam_hot.task ? loam_hot.task->comm : NULL;
}

static void set_hooks(void)
{
	loam__kernel = (struct loam__kernel_hooks){ .sleep = sleep_now,
						    .wake = wake_now,
						    .park = park,
						    .unpark = unpark,
						    .others = others,
						    .comm = comm,
						    .dump_stack = dump_stack,
						    .pageset = pages_set,
						    .shrink = reclaim_shrink,
						    .wake_reclaimer = reclaim_wake,
						    .describe = kstack_describe };
}

/* ---- start and stop ---- */

static unsigned long used_at_start; /* frames */

static int start(void)
{
	int error = cpu_boot(loam__machine.cpus);

	if (!error)
		error = kstack_boot();
	if (!error)
		error = task_boot();
	if (!error)
		error = percpu_boot();
	used_at_start = loam__frames_used();
	if (!error)
		error = irq_boot();
	if (!error && !task_enter("loam"))
		error = -ENOMEM;
	return error;
}

static int kernel_up(struct loam_diag *diag)
{
	int error;

	if (!loam__machine.graph->frames) {
		loam__diag_add(diag, NULL, 0,
			       "kernel code needs a page allocator: a section whose plugin has the role pages");
		return -EINVAL;
	}
	pages_boot();
	kernel_tracking = loam__machine.graph->settings[LOAM_K_TRACK].b;
	slab_boot();
	pool_boot();
	vmalloc_boot();
	kmap_boot();
	error = start();
	if (error) {
		loam__diag_add(diag, NULL, 0, "kernel code cannot start: %s", strerror(-error));
		return error;
	}
	cpu_take(this_task());
	set_hooks();
	loam__crash_boot();
	error = reclaim_boot();
	if (error)
		loam__diag_add(diag, NULL, 0, "the reclaimer does not start: %s", strerror(-error));
	return error;
}

static unsigned kernel_down(long *frames)
{
	unsigned left;

	*frames = 0;
	reclaim_halt();
	cpu_give(this_task());
	task_leave();
	irq_halt();
	left = task_left();
	if (left) {
		task_report_left();
		return left;
	}
	memset(&loam__kernel, 0, sizeof(loam__kernel));
	pages_halt();
	track_halt();
	kstack_halt();
	cpu_halt();
	loam__reclaim_instances(~0ul);
	*frames = (long)(loam__frames_used() - used_at_start);
	memset(&loam_kernel_map, 0, sizeof(loam_kernel_map));
	return 0;
}

const struct loam__kernel_api loam__kernel_api = { .open = module_open,
						   .close = module_close,
						   .start = module_start,
						   .stop = module_stop,
						   .up = kernel_up,
						   .down = kernel_down,
						   .vmallocinfo = vmalloc_info };
