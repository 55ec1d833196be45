/* SPDX-License-Identifier: MIT */
/*
 * linux/percpu-defs.h: variables of which each logical CPU has its own.
 *
 * A per-CPU pointer is no address that could be followed: the copy of a CPU lies at a distance from it that is the same for all
 * of them. For this CPU's the distance is at hand in the thread, so this_cpu_* is a load and a plain instruction: kernel code
 * gives its CPU up only inside calls. Semantics: Linux 6.1.
 */
#ifndef LOAM_LINUX_PERCPU_DEFS_H
#define LOAM_LINUX_PERCPU_DEFS_H

#include <asm/loam.h>
#include <linux/preempt.h>

LOAM_BEGIN_DECLS

#define __percpu

/** How far the copies of each CPU are from per-CPU pointers. Constant while the machine is up. */
extern unsigned long loam_percpu_offset[];

#define DECLARE_PER_CPU(type, name) extern __attribute__((section("loam_percpu"))) __typeof__(type) name
#define DEFINE_PER_CPU(type, name) __attribute__((section("loam_percpu"))) __typeof__(type) name
#define DECLARE_PER_CPU_ALIGNED(type, name) DECLARE_PER_CPU(type, name) __attribute__((aligned(64)))
#define DEFINE_PER_CPU_ALIGNED(type, name) DEFINE_PER_CPU(type, name) __attribute__((aligned(64)))
#define DEFINE_PER_CPU_SHARED_ALIGNED DEFINE_PER_CPU_ALIGNED
#define DEFINE_PER_CPU_READ_MOSTLY DEFINE_PER_CPU

#define loam_percpu_at(ptr, off)                                                                                       \
	({                                                                                                             \
		unsigned long at__;                                                                                    \
		/* Not the array that the compiler sees: the copy is another object. */                                \
		__asm__("" : "=r"(at__) : "0"((unsigned long)(ptr)));                                                  \
		(__typeof__(*(ptr)) *)(at__ + (off));                                                                  \
	})
/* Read each time: any call may have come back on another CPU. */
#define loam_percpu_here() (*(const volatile unsigned long *)&loam_hot.percpu)

#define per_cpu_ptr(ptr, cpu) loam_percpu_at(ptr, loam_percpu_offset[cpu])
#define per_cpu(var, cpu) (*per_cpu_ptr(&(var), cpu))
#define this_cpu_ptr(ptr) loam_percpu_at(ptr, loam_percpu_here())
#define raw_cpu_ptr(ptr) this_cpu_ptr(ptr)
#define __this_cpu_ptr(ptr) this_cpu_ptr(ptr)

/** Keep the CPU, and this CPU's copy; until put_cpu_var one may not sleep. */
#define get_cpu_var(var)                                                                                               \
	(*({                                                                                                           \
		preempt_disable();                                                                                     \
		this_cpu_ptr(&(var));                                                                                  \
	}))
#define put_cpu_var(var) ((void)&(var), preempt_enable())
#define get_cpu_ptr(ptr)                                                                                               \
	({                                                                                                             \
		preempt_disable();                                                                                     \
		this_cpu_ptr(ptr);                                                                                     \
	})
#define put_cpu_ptr(ptr) ((void)(ptr), preempt_enable())

#define this_cpu_read(var) (*(const volatile __typeof__(var) *)this_cpu_ptr(&(var)))
#define this_cpu_write(var, value) ((void)(*(volatile __typeof__(var) *)this_cpu_ptr(&(var)) = (value)))
#define this_cpu_add(var, value) ((void)(*this_cpu_ptr(&(var)) += (value)))
#define this_cpu_sub(var, value) ((void)(*this_cpu_ptr(&(var)) -= (value)))
#define this_cpu_and(var, value) ((void)(*this_cpu_ptr(&(var)) &= (value)))
#define this_cpu_or(var, value) ((void)(*this_cpu_ptr(&(var)) |= (value)))
#define this_cpu_inc(var) this_cpu_add(var, 1)
#define this_cpu_dec(var) this_cpu_sub(var, 1)
#define this_cpu_add_return(var, value) (*this_cpu_ptr(&(var)) += (value))
#define this_cpu_sub_return(var, value) (*this_cpu_ptr(&(var)) -= (value))
#define this_cpu_inc_return(var) this_cpu_add_return(var, 1)
#define this_cpu_dec_return(var) this_cpu_sub_return(var, 1)
#define this_cpu_xchg(var, value)                                                                                      \
	({                                                                                                             \
		__typeof__(var) *xchg__ = this_cpu_ptr(&(var));                                                        \
		__typeof__(var) was__ = *xchg__;                                                                       \
		*xchg__ = (value);                                                                                     \
		was__;                                                                                                 \
	})
#define this_cpu_cmpxchg(var, expected, value)                                                                         \
	({                                                                                                             \
		__typeof__(var) *cmp__ = this_cpu_ptr(&(var));                                                         \
		__typeof__(var) was__ = *cmp__;                                                                        \
		if (was__ == (expected))                                                                               \
			*cmp__ = (value);                                                                              \
		was__;                                                                                                 \
	})

#define __this_cpu_read(var) this_cpu_read(var)
#define __this_cpu_write(var, value) this_cpu_write(var, value)
#define __this_cpu_add(var, value) this_cpu_add(var, value)
#define __this_cpu_sub(var, value) this_cpu_sub(var, value)
#define __this_cpu_inc(var) this_cpu_inc(var)
#define __this_cpu_dec(var) this_cpu_dec(var)
#define __this_cpu_add_return(var, value) this_cpu_add_return(var, value)
#define __this_cpu_sub_return(var, value) this_cpu_sub_return(var, value)
#define __this_cpu_inc_return(var) this_cpu_inc_return(var)
#define __this_cpu_dec_return(var) this_cpu_dec_return(var)
#define raw_cpu_read(var) this_cpu_read(var)
#define raw_cpu_write(var, value) this_cpu_write(var, value)
#define raw_cpu_add(var, value) this_cpu_add(var, value)

LOAM_END_DECLS
#endif
