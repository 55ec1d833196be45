/* SPDX-License-Identifier: MIT */
/* percpu.c: row C1: static and dynamic variables of each CPU. */
#include "check.h"

#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/percpu.h>
#include <linux/slab.h>

struct pair {
	long a, b;
};

static DEFINE_PER_CPU(int, initial) = 7;
DEFINE_PER_CPU(struct pair, pair);
static DEFINE_PER_CPU_ALIGNED(u64, aligned);

static int statics(void)
{
	int cpu;

	for_each_possible_cpu (cpu) {
		CHECK(per_cpu(initial, cpu) == 7 && !per_cpu(pair, cpu).a);
		CHECK((unsigned long)per_cpu_ptr(&aligned, cpu) % 64 == 0);
		per_cpu(pair, cpu).b = cpu * 10;
	}
	for_each_possible_cpu (cpu)
		CHECK(per_cpu(pair, cpu).b == cpu * 10);
	CHECK(num_possible_cpus() < 2 || per_cpu_ptr(&initial, 0) != per_cpu_ptr(&initial, 1));
	cpu = get_cpu();
	get_cpu_var(pair).a = 5;
	CHECK(per_cpu(pair, cpu).a == 5);
	put_cpu_var(pair);
	this_cpu_add(initial, 3);
	this_cpu_inc(initial);
	CHECK(this_cpu_read(initial) == 11 && this_cpu_sub_return(initial, 4) == 7 && per_cpu(initial, cpu) == 7);
	CHECK(this_cpu_xchg(initial, 9) == 7 && this_cpu_cmpxchg(initial, 9, 7) == 9 && this_cpu_read(initial) == 7);
	put_cpu();
	return 0;
}

static int dynamic(void)
{
	u64 *counters[200];
	int i, cpu;

	for (i = 0; i < 200; i++) {
		counters[i] = alloc_percpu(u64);
		CHECK(counters[i]);
		for_each_possible_cpu (cpu) {
			CHECK(!*per_cpu_ptr(counters[i], cpu));
			*per_cpu_ptr(counters[i], cpu) = i * 100 + cpu;
		}
	}
	for (i = 0; i < 200; i++) {
		for_each_possible_cpu (cpu)
			CHECK(*per_cpu_ptr(counters[i], cpu) == (u64)(i * 100 + cpu));
		free_percpu(counters[i]);
	}
	free_percpu(NULL);
	CHECK(!__alloc_percpu(0, 8) && !__alloc_percpu((32 << 10) + 1, 8) && !__alloc_percpu(8, 2 * PAGE_SIZE));
	return 0;
}

static DEFINE_PER_CPU(unsigned long, hits);
static DECLARE_COMPLETION(hit_done);

static int hit(void *data)
{
	long i;

	(void)data;
	for (i = 0; i < 20000; i++) {
		this_cpu_inc(hits);
		if (i % 100 == 0)
			cond_resched();
	}
	complete(&hit_done);
	return 0;
}

/* Many threads, fewer CPUs, no lock, and not one is lost. */
static int exact(void)
{
	struct task_struct *tasks[6];
	unsigned long sum = 0;
	int i;

	for (i = 0; i < 6; i++) {
		tasks[i] = kthread_run(hit, NULL, "hit/%d", i);
		CHECK(!IS_ERR(tasks[i]));
	}
	for (i = 0; i < 6; i++)
		wait_for_completion(&hit_done);
	for (i = 0; i < 6; i++)
		kthread_stop(tasks[i]);
	for_each_possible_cpu (i)
		sum += per_cpu(hits, i);
	CHECK(sum == 120000);
	return 0;
}

static int __init percpu_init(void)
{
	PART(statics);
	PART(dynamic);
	PART(exact);
	return 0;
}

TEST_MODULE(percpu_init);
