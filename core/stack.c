/* SPDX-License-Identifier: MIT */
/*
 * stack.c: change the stack. A kernel thread runs its own code on a stack of one or two pages; what enters the C library, which
 * promises nothing about its depth, runs on the stack that the thread was born with.
 */
#include "internal.h"

__thread void *loam__host_stack __attribute__((tls_model("initial-exec")));

/* The frame pointer keeps the old stack, which is what unwinders are told. */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".globl loam__switch_and_call\n"
	".hidden loam__switch_and_call\n"
	".type loam__switch_and_call, @function\n"
	"loam__switch_and_call:\n"
	".cfi_startproc\n"
	"pushq %rbp\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset %rbp, -16\n"
	"movq %rsp, %rbp\n"
	".cfi_def_cfa_register %rbp\n"
	"testq %rcx, %rcx\n"
	"jz 1f\n"
	"movq %rsp, (%rcx)\n"
	"1:\n"
	"movq %rdi, %rsp\n"
	"movq %rdx, %rdi\n"
	"call *%rsi\n"
	"leave\n"
	".cfi_def_cfa %rsp, 8\n"
	"ret\n"
	".cfi_endproc\n"
	".size loam__switch_and_call, . - loam__switch_and_call\n"
	".popsection\n");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
	".globl loam__switch_and_call\n"
	".hidden loam__switch_and_call\n"
	".type loam__switch_and_call, %function\n"
	"loam__switch_and_call:\n"
	".cfi_startproc\n"
	"stp x29, x30, [sp, #-16]!\n"
	".cfi_def_cfa_offset 16\n"
	".cfi_offset x29, -16\n"
	".cfi_offset x30, -8\n"
	"mov x29, sp\n"
	".cfi_def_cfa_register x29\n"
	"cbz x3, 1f\n"
	"str x29, [x3]\n"
	"1:\n"
	"mov sp, x0\n"
	"mov x0, x2\n"
	"blr x1\n"
	"mov sp, x29\n"
	".cfi_def_cfa_register sp\n"
	"ldp x29, x30, [sp], #16\n"
	".cfi_def_cfa_offset 0\n"
	"ret\n"
	".cfi_endproc\n"
	".size loam__switch_and_call, . - loam__switch_and_call\n"
	".popsection\n");
#else
#error "loam changes stacks on x86-64 and aarch64"
#endif
/* Where the old stack goes on is written to *@saved, unless that is NULL: below it nothing is in use. */
void loam__switch_and_call(void *top, void (*fn)(void *arg), void *arg, void **saved);

void loam__on_kernel_stack(void *top, void (*fn)(void *arg), void *arg)
{
	/* From one kernel stack to another the thread's own stays as it is: where it goes on is known. */
	void *before = loam__host_stack;

	loam__switch_and_call(top, fn, arg, before ? NULL : &loam__host_stack);
	loam__host_stack = before;
}

void loam__on_host_stack(void (*fn)(void *arg), void *arg)
{
	void *top = loam__host_stack;

	if (loam_likely(!top)) {
		fn(arg);
		return;
	}
	loam__host_stack = NULL;
	loam__switch_and_call(top, fn, arg, NULL);
	loam__host_stack = top;
}
