/* SPDX-License-Identifier: MIT */
/*
 * linux/module.h: modules: shared objects that `loam run CONFIG MODULE.so name=value...` loads. module_init's function runs in
 * process context; what it returns below 0 refuses the module. At unload what the module did not free is reported, by the place
 * that allocated it, when [kernel] has track = on.
 */
#ifndef LOAM_LINUX_MODULE_H
#define LOAM_LINUX_MODULE_H

#include <linux/bug.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/init.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/moduleparam.h>
#include <linux/percpu.h>
#include <linux/printk.h>

LOAM_BEGIN_DECLS

#define MODULE_NAME_LEN 56

struct module {
	const char *name; /* set by the loader */
	int refcount;     /* atomic */
};

/* One for each shared object, however many sources it has. */
extern struct module __this_module __attribute__((visibility("hidden")));
#define THIS_MODULE (&__this_module)

/** What the loader reads of a module. */
struct loam_module_info {
	unsigned int size;
	struct module *module;
	int (*init)(void);
	const struct loam_module_param *params, *params_end;
	char *percpu, *percpu_end; /* the initial values of its static per-CPU variables */
};

/* The bounds of sections: the linker makes them when something refers to them. */
extern const struct loam_module_param __start_loam_params[] __attribute__((weak, visibility("hidden")));
extern const struct loam_module_param __stop_loam_params[] __attribute__((weak, visibility("hidden")));
extern char __start_loam_percpu[] __attribute__((weak, visibility("hidden")));
extern char __stop_loam_percpu[] __attribute__((weak, visibility("hidden")));

#define module_init(fn)                                                                                                \
	struct module __this_module __attribute__((visibility("hidden")));                                             \
	extern LOAM_EXPORT const struct loam_module_info loam_module_info;                                             \
	const struct loam_module_info loam_module_info = { sizeof(struct loam_module_info),                            \
							   &__this_module,                                             \
							   fn,                                                         \
							   __start_loam_params,                                        \
							   __stop_loam_params,                                         \
							   __start_loam_percpu,                                        \
							   __stop_loam_percpu }
#define module_exit(fn)                                                                                                \
	LOAM_EXPORT void loam_module_exit(void);                                                                       \
	void loam_module_exit(void)                                                                                    \
	{                                                                                                              \
		fn();                                                                                                  \
	}                                                                                                              \
	typedef int loam_module_exit_ends_here

#define MODULE_LICENSE(text) LOAM_STATIC_ASSERT(sizeof(text), "a text")
#define MODULE_AUTHOR(text) LOAM_STATIC_ASSERT(sizeof(text), "a text")
#define MODULE_DESCRIPTION(text) LOAM_STATIC_ASSERT(sizeof(text), "a text")
#define MODULE_VERSION(text) LOAM_STATIC_ASSERT(sizeof(text), "a text")
#define MODULE_ALIAS(text) LOAM_STATIC_ASSERT(sizeof(text), "a text")
#define MODULE_PARM_DESC(name, text) LOAM_STATIC_ASSERT(sizeof(text), "a text")

static inline bool try_module_get(struct module *module)
{
	if (module)
		__atomic_fetch_add(&module->refcount, 1, __ATOMIC_RELAXED);
	return true;
}
static inline void __module_get(struct module *module)
{
	try_module_get(module);
}
static inline void module_put(struct module *module)
{
	if (module)
		__atomic_fetch_sub(&module->refcount, 1, __ATOMIC_RELAXED);
}

LOAM_END_DECLS
#endif
