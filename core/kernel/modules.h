/* SPDX-License-Identifier: MIT */
/* modules.h: kernel code over a machine, for the program loam and tests: start, load modules, unload them, stop. */
#ifndef LOAM_CORE_KERNEL_MODULES_H
#define LOAM_CORE_KERNEL_MODULES_H

#include "machine.h"

struct kmodule;

/** What the library offers the program that loads it, by one symbol. */
struct loam__kernel_api {
	/**
	 * Open a module's file and read its parameters from @params ("name=value", @n of them), which live as long as the module.
	 * Before boot: what it has for the time before the page allocator runs then. NULL with a message in @diag.
	 */
	struct kmodule *(*open)(const char *path, char *const *params, unsigned n, struct loam_diag *diag);
	/** Forget it. It is not running. */
	void (*close)(struct kmodule *module);
	/** Run its init. 0, or what it returned, or a negative errno with a message in @diag. */
	int (*start)(struct kmodule *module, struct loam_diag *diag);
	/** Run its exit and report what it left behind: how many places leaked. */
	unsigned (*stop)(struct kmodule *module);
	/** Kernel code may run: after boot, from the thread that calls down. 0 or a negative errno with a message in @diag. */
	int (*up)(struct loam_diag *diag);
	/**
	 * No more kernel code: before halt. Threads that still run are told: how many; then the machine must not be halted. Into
	 * *@frames: how many frames more are in use than when kernel code started, with nothing kept in vain.
	 */
	unsigned (*down)(long *frames);
	/** The areas of vmalloc, vmap and ioremap that there are, in the format of /proc/vmallocinfo. */
	void (*vmallocinfo)(FILE *out);
};
LOAM_EXPORT extern const struct loam__kernel_api loam__kernel_api;

#endif
