/* SPDX-License-Identifier: MIT */
/*
 * cpu.c: logical CPUs, and who runs on them.
 *
 * A thread runs kernel code while it holds one of the machine's CPUs: its local areas and its per-CPU data are that CPU's. It
 * gives the CPU up where it sleeps, in cond_resched, and while it spins for a lock; nowhere else, so what it does between two
 * calls is as exact as with preemption off. Who wants a CPU stands in one queue, in the order in which it was woken, and who
 * lets a CPU go hands it to the first there: on one CPU a run depends on nothing but what the threads do.
 *
 * An interrupt has a thread of its own that wants one certain CPU. When nobody holds it, it takes it. Otherwise it asks by
 * writing 0 to the holder's limit; the holder sees that at its next call, lets the interrupt run in its place, and goes on. The
 * holder may be writing its limit at that moment, so the interrupt asks again each millisecond.
 *
 * One lock for all of it: sections are short, and a switch costs a futex anyway.
 */
#include "kernel.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/** An interrupt that waits for a CPU. */
struct interrupt {
	struct list_head queue;
	struct task *task;
	struct task *interrupted; /* the holder that lets it run, or NULL */
	uint32_t done;            /* futex: of the interrupted */
};

struct cpu {
	struct task *holder;
	char *area;
	unsigned long percpu;
	struct list_head interrupts; /* struct interrupt.queue */
	uint32_t pending;            /* atomic: how many are there */
	void (*work)(unsigned cpu);  /* atomic: what the holder is to run when it looks up */
};

__thread struct loam_hot loam_hot __attribute__((tls_model("initial-exec")));
size_t kernel_limit;

static struct loam__mutex lock;
static struct cpu cpus[LOAM_MAX_CPUS];
static unsigned nr_cpus;
static struct list_head ready;
static uint32_t nr_ready; /* atomic: read without the lock, where a stale one does no harm */

/* ---- futexes ---- */

bool futex_sleep(uint32_t *word, uint32_t value, const struct timespec *deadline)
{
	long error = syscall(SYS_futex, word, FUTEX_WAIT_BITSET_PRIVATE, value, deadline, NULL, FUTEX_BITSET_MATCH_ANY);

	return !error || errno != ETIMEDOUT;
}

void futex_wake(uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

/* ---- under the lock ---- */

static void grant(struct task *task, unsigned cpu)
{
	cpus[cpu].holder = task;
	task->cpu = cpu;
	/* Release: what the last holder did on this CPU is seen by the next one. */
	__atomic_store_n(&task->turn, 1, __ATOMIC_RELEASE);
	futex_wake(&task->turn);
}

static bool will_do(const struct task *task, unsigned cpu)
{
	return task->pinned < 0 || task->pinned == (int)cpu;
}

static void enqueue(struct task *task)
{
	for (unsigned i = 0; i < nr_cpus; i++)
		if (!cpus[i].holder && will_do(task, i)) {
			grant(task, i);
			return;
		}
	list_add_tail(&task->queue, &ready);
	__atomic_fetch_add(&nr_ready, 1, __ATOMIC_RELAXED);
}

static struct task *first_ready(unsigned cpu)
{
	for (struct list_head *pos = ready.next; pos != &ready; pos = pos->next) {
		struct task *task = list_entry(pos, struct task, queue);

		if (!will_do(task, cpu))
			continue;
		list_del_init(&task->queue);
		__atomic_fetch_sub(&nr_ready, 1, __ATOMIC_RELAXED);
		return task;
	}
	return NULL;
}

static struct interrupt *first_interrupt(struct cpu *cpu)
{
	struct interrupt *interrupt;

	if (list_empty(&cpu->interrupts))
		return NULL;
	interrupt = list_entry(cpu->interrupts.next, struct interrupt, queue);
	list_del_init(&interrupt->queue);
	__atomic_fetch_sub(&cpu->pending, 1, __ATOMIC_RELAXED);
	return interrupt;
}

/* The CPU has no holder any more: an interrupt, or who waits longest, gets it. */
static void release(unsigned cpu)
{
	struct interrupt *interrupt = first_interrupt(&cpus[cpu]);
	struct task *next = interrupt ? interrupt->task : first_ready(cpu);

	cpus[cpu].holder = NULL;
	if (next)
		grant(next, cpu);
}

/* ---- taking and giving ---- */

static void set_limit(void)
{
	loam_set_limit(loam_hot.atomic || this_task()->block ? 0 : kernel_limit);
}

static void bind(struct task *task)
{
	const struct cpu *cpu = &cpus[task->cpu];

	task->own_area = loam__area_block;
	loam__area_block = task->block && !task->parked ? task->block : cpu->area;
	loam_hot.cpu = task->cpu;
	loam_hot.percpu = cpu->percpu;
	loam_hot.pages = pages_of_cpu(task->cpu);
	if (loam_unlikely(task->nr_kmaps))
		kmap_restore(task);
	set_limit();
}

static void unbind(struct task *task)
{
	if (loam_unlikely(task->nr_kmaps))
		kmap_save(task);
	loam_set_limit(0);
	loam__area_block = task->own_area;
}

static void wait_turn(struct task *task)
{
	while (!__atomic_load_n(&task->turn, __ATOMIC_ACQUIRE))
		futex_sleep(&task->turn, 0, NULL);
	task->turn = 0;
	bind(task);
	cpu_poll();
}

void cpu_start(struct task *task)
{
	wait_turn(task);
}

void cpu_take(struct task *task)
{
	loam__lock(&lock);
	enqueue(task);
	loam__unlock(&lock);
	wait_turn(task);
}

void cpu_give(struct task *task)
{
	unbind(task);
	loam__lock(&lock);
	release(task->cpu);
	loam__unlock(&lock);
}

void cpu_yield(struct task *task)
{
	if (!__atomic_load_n(&nr_ready, __ATOMIC_RELAXED))
		return;
	unbind(task);
	loam__lock(&lock);
	list_add_tail(&task->queue, &ready);
	__atomic_fetch_add(&nr_ready, 1, __ATOMIC_RELAXED);
	release(task->cpu);
	loam__unlock(&lock);
	wait_turn(task);
}

/* Nobody woke the task in time: it wakes itself. */
static bool wake_late(struct task *task)
{
	bool late;

	loam__lock(&lock);
	late = task->blocked;
	if (late) {
		task->blocked = false;
		__atomic_store_n(&task->pub.__state, TASK_RUNNING, __ATOMIC_SEQ_CST);
		enqueue(task);
	}
	loam__unlock(&lock);
	return late;
}

bool cpu_block(struct task *task, const struct timespec *deadline)
{
	bool late = false;

	unbind(task);
	loam__lock(&lock);
	if (__atomic_load_n(&task->pub.__state, __ATOMIC_SEQ_CST) == TASK_RUNNING) {
		/* Woken already: only behind those who wait. */
		list_add_tail(&task->queue, &ready);
		__atomic_fetch_add(&nr_ready, 1, __ATOMIC_RELAXED);
	} else {
		task->blocked = true;
	}
	release(task->cpu);
	loam__unlock(&lock);
	while (deadline && !late && !__atomic_load_n(&task->turn, __ATOMIC_ACQUIRE))
		if (!futex_sleep(&task->turn, 0, deadline))
			late = wake_late(task);
	wait_turn(task);
	return !late;
}

bool cpu_wake(struct task *task)
{
	bool slept;

	loam__lock(&lock);
	slept = __atomic_exchange_n(&task->pub.__state, TASK_RUNNING, __ATOMIC_SEQ_CST) != TASK_RUNNING;
	if (task->blocked) {
		task->blocked = false;
		enqueue(task);
	}
	loam__unlock(&lock);
	return slept;
}

/* ---- ops that stand still ---- */

void cpu_park(struct task *task)
{
	struct cpu *cpu = &cpus[task->cpu];

	if (!task->block) {
		loam__area_cpu_move(&cpu->area, &task->block);
		/* Without memory for another one whoever runs here does without: the slow way, which needs none. */
		loam__area_cpu_open(&cpu->area);
	}
	task->parked = true;
	loam__area_block = cpu->area;
}

void cpu_unpark(struct task *task)
{
	task->parked = false;
	loam__area_block = task->block;
	loam_set_limit(0);
}

/* The op has ended: what it left in its areas goes back. */
static void settle(struct task *task)
{
	char *block = NULL;

	loam__area_block = cpus[task->cpu].area;
	loam__area_cpu_move(&task->block, &block);
	loam__area_cpu_close(&block);
}

/* ---- interrupts ---- */

/* The holder lets an interrupt run in its place. */
static void let_run(struct cpu *cpu)
{
	struct task *task = this_task();
	struct interrupt *interrupt;

	loam__lock(&lock);
	interrupt = first_interrupt(cpu);
	if (interrupt) {
		interrupt->interrupted = task;
		interrupt->task->cpu = task->cpu;
		interrupt->task->kmap_base = task->kmap_base + task->nr_kmaps;
		__atomic_store_n(&interrupt->task->turn, 1, __ATOMIC_RELEASE);
		futex_wake(&interrupt->task->turn);
	}
	loam__unlock(&lock);
	while (interrupt && !__atomic_load_n(&interrupt->done, __ATOMIC_ACQUIRE))
		futex_sleep(&interrupt->done, 0, NULL);
	if (interrupt)
		__atomic_store_n(&interrupt->done, 2, __ATOMIC_RELEASE); /* its thread may go */
}

void cpu_poll(void)
{
	const unsigned barred = LOAM_IRQS_OFF | HARDIRQ_MASK;
	struct cpu *cpu = &cpus[loam_hot.cpu];

	if (!loam_hot.task)
		return;
	if (this_task()->block && !this_task()->parked && !loam__reclaiming)
		settle(this_task());
	if (loam_unlikely(__atomic_load_n(&cpu->work, __ATOMIC_RELAXED))) {
		void (*work)(unsigned cpu) = __atomic_exchange_n(&cpu->work, NULL, __ATOMIC_ACQUIRE);

		if (work)
			work(loam_hot.cpu);
	}
	while (__atomic_load_n(&cpu->pending, __ATOMIC_RELAXED) && !(loam_hot.atomic & barred))
		let_run(cpu);
	set_limit();
}

void cpu_each(void (*fn)(unsigned cpu))
{
	if (loam_hot.task)
		fn(loam_hot.cpu);
	for (unsigned i = 0; i < nr_cpus; i++) {
		struct cpu *cpu = &cpus[i];

		if (loam_hot.task && i == loam_hot.cpu)
			continue;
		loam__lock(&lock);
		if (!cpu->holder) {
			fn(i);
		} else {
			__atomic_store_n(&cpu->work, fn, __ATOMIC_RELEASE);
			__atomic_store_n(&cpu->holder->hot->limit, 0, __ATOMIC_RELAXED);
		}
		loam__unlock(&lock);
	}
}

void loam_atomic_ends(void)
{
	if (loam_hot.task)
		cpu_poll();
}

/* Wait until the CPU is the interrupt's. */
static void ask(struct cpu *cpu, struct task *task)
{
	while (!__atomic_load_n(&task->turn, __ATOMIC_ACQUIRE)) {
		struct timespec soon;

		loam__lock(&lock);
		if (cpu->holder && cpu->holder != task)
			__atomic_store_n(&cpu->holder->hot->limit, 0, __ATOMIC_RELAXED);
		loam__unlock(&lock);
		clock_gettime(CLOCK_MONOTONIC, &soon);
		soon.tv_nsec += 1000000;
		if (soon.tv_nsec >= 1000000000) {
			soon.tv_nsec -= 1000000000;
			soon.tv_sec++;
		}
		futex_sleep(&task->turn, 0, &soon);
	}
	task->turn = 0;
}

void cpu_interrupt(unsigned n, void (*fn)(void *arg), void *arg)
{
	struct task *task = this_task();
	struct interrupt interrupt = { .task = task };
	struct cpu *cpu = &cpus[n];

	loam__lock(&lock);
	task->kmap_base = 0;
	if (cpu->holder) {
		list_add_tail(&interrupt.queue, &cpu->interrupts);
		__atomic_fetch_add(&cpu->pending, 1, __ATOMIC_RELAXED);
	} else {
		grant(task, n);
	}
	loam__unlock(&lock);
	ask(cpu, task);
	loam_hot.atomic = HARDIRQ_OFFSET | LOAM_IRQS_OFF;
	bind(task);
	irq_handler(n, fn, arg);
	loam_hot.atomic = SOFTIRQ_OFFSET;
	/* Not into the middle of other softirqs, nor where the interrupted has them off. */
	if (!interrupt.interrupted || !(interrupt.interrupted->hot->atomic & SOFTIRQ_MASK))
		irq_softirqs(n);
	loam_hot.atomic = 0;
	if (!interrupt.interrupted) {
		cpu_give(task);
		return;
	}
	unbind(task);
	__atomic_store_n(&interrupt.done, 1, __ATOMIC_RELEASE);
	futex_wake(&interrupt.done);
	/* It lies on this stack: until the interrupted has seen it. */
	while (__atomic_load_n(&interrupt.done, __ATOMIC_ACQUIRE) != 2)
		sched_yield();
}

/* ---- set-up ---- */

unsigned cpu_count(void)
{
	return nr_cpus;
}

void cpu_set_percpu(unsigned cpu, unsigned long offset)
{
	cpus[cpu].percpu = offset;
}

int cpu_boot(unsigned n)
{
	INIT_LIST_HEAD(&ready);
	for (nr_cpus = 0; nr_cpus < n && nr_cpus < LOAM_MAX_CPUS; nr_cpus++) {
		struct cpu *cpu = &cpus[nr_cpus];

		memset(cpu, 0, sizeof(*cpu));
		INIT_LIST_HEAD(&cpu->interrupts);
		if (!loam__area_cpu_open(&cpu->area))
			return -ENOMEM;
	}
	return 0;
}

void cpu_halt(void)
{
	while (nr_cpus)
		loam__area_cpu_close(&cpus[--nr_cpus].area);
}
