/* SPDX-License-Identifier: MIT */
/*
 * task.c: threads that run kernel code. A kernel thread is a thread of the host that runs its function on a kernel stack; main
 * and others enter kernel code for a while on their own stack.
 */
#include "kernel.h"

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/printk.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HOST_STACK (1u << 20) /* of a kernel thread's thread: for what enters the C library */
#define SIGNAL_STACK (64u << 10)

static struct loam__mutex lock; /* of the list */
static struct list_head tasks;
static int next_pid;

static void task_init(struct task *task)
{
	task->pinned = -1;
	INIT_LIST_HEAD(&task->queue);
	task->pub.__state = TASK_RUNNING;
	loam__lock(&lock);
	task->pub.pid = ++next_pid;
	list_add_tail(&task->all, &tasks);
	loam__unlock(&lock);
}

static void task_forget(struct task *task)
{
	loam__lock(&lock);
	list_del_init(&task->all);
	loam__unlock(&lock);
}

/* The calling thread is @task from here on, without a CPU. */
static void become(struct task *task)
{
	loam_hot.task = &task->pub;
	loam_hot.atomic = 0;
	loam_set_limit(0);
	task->hot = &loam_hot;
}

struct task *task_enter(const char *name)
{
	struct task *task = calloc(1, sizeof(*task));

	if (!task)
		return NULL;
	snprintf(task->pub.comm, sizeof(task->pub.comm), "%s", name);
	task_init(task);
	become(task);
	return task;
}

void task_leave(void)
{
	struct task *task = this_task();

	loam_hot.task = NULL;
	loam_set_limit(0);
	task_forget(task);
	free(task);
}

bool task_others(void)
{
	const struct task *self = this_task();
	bool found = false;

	loam__lock(&lock);
	for (struct list_head *pos = tasks.next; pos != &tasks && !found; pos = pos->next) {
		const struct task *task = list_entry(pos, struct task, all);

		found = task != self && !__atomic_load_n(&task->service, __ATOMIC_RELAXED) &&
			!__atomic_load_n(&task->waits_for_memory, __ATOMIC_RELAXED);
	}
	loam__unlock(&lock);
	return found;
}

/* ---- kernel threads ---- */

static void put_task(struct task *task)
{
	if (__atomic_sub_fetch(&task->users, 1, __ATOMIC_ACQ_REL))
		return;
	free(task);
}

static void run_function(void *arg)
{
	struct task *task = arg;

	task->result = task->fn(task->data);
}

/* A stack for signals: when the kernel stack has overflowed there is no room to say so. */
static void *signal_stack(void)
{
	void *at = mmap(NULL, SIGNAL_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t stack = { .ss_sp = at, .ss_size = SIGNAL_STACK };

	if (at == MAP_FAILED || sigaltstack(&stack, NULL))
		return NULL;
	return at;
}

static void no_signal_stack(void *at)
{
	const stack_t none = { .ss_flags = SS_DISABLE };

	sigaltstack(&none, NULL);
	if (at)
		munmap(at, SIGNAL_STACK);
}

static void *thread_main(void *arg)
{
	struct task *task = arg;
	void *signals = signal_stack();

	become(task);
	__atomic_store_n(&task->began, 1, __ATOMIC_RELEASE);
	futex_wake(&task->began);
	cpu_start(task);
	if (!__atomic_load_n(&task->should_stop, __ATOMIC_ACQUIRE))
		kstack_call(&task->stack, run_function, task);
	else
		task->result = -EINTR;
	cpu_give(task);
	loam_hot.task = NULL;
	task_forget(task);
	no_signal_stack(signals);
	kstack_free(&task->stack);
	__atomic_store_n(&task->end, 1, __ATOMIC_RELEASE);
	futex_wake(&task->end);
	put_task(task);
	return NULL;
}

static int start_thread(struct task *task)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int error;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, HOST_STACK);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	/* Signals are for the host's threads; a small stack is no place for a handler. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, thread_main, task);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return -error;
}

/** What kthread_create hands over to the thread's own stack. */
struct creation {
	struct task *task;
	const char *fmt;
	va_list *args;
	int error;
};

static void create(void *arg)
{
	struct creation *c = arg;
	struct task *task = calloc(1, sizeof(*task));

	c->error = -ENOMEM;
	if (!task)
		return;
	vsnprintf(task->pub.comm, sizeof(task->pub.comm), c->fmt, *c->args);
	task_init(task);
	/* It waits to be woken: whoever does that gives it its first turn. */
	task->blocked = true;
	task->pub.__state = TASK_UNINTERRUPTIBLE;
	task->users = 2; /* the thread itself, and who made it */
	c->error = kstack_make(&task->stack, task->pub.comm);
	if (!c->error)
		c->error = start_thread(task);
	/* Others may want to look at it as soon as it has a CPU: it must know itself by then. */
	while (!c->error && !__atomic_load_n(&task->began, __ATOMIC_ACQUIRE))
		futex_sleep(&task->began, 0, NULL);
	if (!c->error) {
		c->task = task;
		return;
	}
	task_forget(task);
	kstack_free(&task->stack);
	free(task);
}

struct task_struct *kthread_create_on_node(int (*fn)(void *data), void *data, int node, const char *fmt, ...)
{
	struct creation c = { .fmt = fmt };
	va_list args;

	(void)node;
	kernel_enter();
	check_gfp(GFP_KERNEL, "kthread_create");
	va_start(args, fmt);
	c.args = &args;
	loam__on_host_stack(create, &c);
	va_end(args);
	if (c.error)
		return ERR_PTR(c.error);
	c.task->fn = fn;
	c.task->data = data;
	return &c.task->pub;
}

void kthread_bind(struct task_struct *pub, unsigned int cpu)
{
	((struct task *)pub)->pinned = (int)cpu;
}

int wake_up_process(struct task_struct *pub)
{
	return cpu_wake((struct task *)pub);
}

bool kthread_should_stop(void)
{
	kernel_enter();
	return this_task() && __atomic_load_n(&this_task()->should_stop, __ATOMIC_ACQUIRE);
}

/* Wait for the end without the CPU. */
static void join(struct task *task)
{
	struct task *self = this_task();

	cpu_give(self);
	while (!__atomic_load_n(&task->end, __ATOMIC_ACQUIRE))
		futex_sleep(&task->end, 0, NULL);
	cpu_take(self);
}

int kthread_stop(struct task_struct *pub)
{
	struct task *task = (struct task *)pub;
	int result;

	kernel_enter();
	check_gfp(GFP_KERNEL, "kthread_stop");
	__atomic_store_n(&task->should_stop, true, __ATOMIC_RELEASE);
	cpu_wake(task);
	join(task);
	result = task->result;
	put_task(task);
	return result;
}

void get_task_struct(struct task_struct *pub)
{
	__atomic_fetch_add(&((struct task *)pub)->users, 1, __ATOMIC_RELAXED);
}

void put_task_struct(struct task_struct *pub)
{
	put_task((struct task *)pub);
}

/* ---- set-up ---- */

int task_boot(void)
{
	INIT_LIST_HEAD(&tasks);
	next_pid = 0;
	return 0;
}

unsigned task_left(void)
{
	unsigned n = 0;

	loam__lock(&lock);
	for (struct list_head *pos = tasks.next; pos != &tasks; pos = pos->next)
		n++;
	loam__unlock(&lock);
	return n;
}

void task_report_left(void)
{
	loam__lock(&lock);
	for (struct list_head *pos = tasks.next; pos != &tasks; pos = pos->next) {
		const struct task *task = list_entry(pos, struct task, all);

		loam__log(LOAM_LOG_ERROR, "kernel thread %s, pid %d, still runs: its module did not stop it",
			  task->pub.comm, task->pub.pid);
	}
	loam__unlock(&lock);
}
