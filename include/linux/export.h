/* SPDX-License-Identifier: MIT */
/* linux/export.h: what a module offers others. Every symbol that is not static is visible. */
#ifndef LOAM_LINUX_EXPORT_H
#define LOAM_LINUX_EXPORT_H

struct module;
#define EXPORT_SYMBOL(sym)
#define EXPORT_SYMBOL_GPL(sym)
#define EXPORT_PER_CPU_SYMBOL(sym)
#define EXPORT_PER_CPU_SYMBOL_GPL(sym)

#endif
