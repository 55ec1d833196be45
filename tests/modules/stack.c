/* SPDX-License-Identifier: MIT */
/* stack.c: row T1: kernel threads run on their own small stack; how=deep overflows it, which must end in a crash that says so. */
#include "check.h"

#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/string.h>

static char *how = "fine";
module_param(how, charp, 0);

static unsigned long here;
static DECLARE_COMPLETION(done);

static __attribute__((noinline)) int deeper(int n)
{
	volatile char frame[200];

	memset((void *)frame, n, sizeof(frame));
	return n ? deeper(n - 1) + frame[3] : frame[0];
}

static int thread(void *data)
{
	char on_stack;

	(void)data;
	here = (unsigned long)&on_stack;
	pr_info("a line of log from a kernel stack, %d and %s\n", 42, "text");
	deeper(!strcmp(how, "deep") ? 1000 : 5);
	complete(&done);
	return 3;
}

static int __init stack_init(void)
{
	struct task_struct *task = kthread_run(thread, NULL, "stacked");
	char on_stack;

	CHECK(!IS_ERR(task));
	wait_for_completion(&done);
	CHECK(kthread_stop(task) == 3);
	CHECK(here - (unsigned long)&on_stack > 1 << 20 && (unsigned long)&on_stack - here > 1 << 20);
	return 0;
}

TEST_MODULE(stack_init);
