/* SPDX-License-Identifier: MIT */
/*
 * linux/errno.h: the error numbers: the system's own, which the C library takes from a header of this name too; those that only
 * the kernel has come on top.
 */
#include_next <linux/errno.h>

#if defined(__KERNEL__) && !defined(LOAM_LINUX_ERRNO_H)
#define LOAM_LINUX_ERRNO_H

#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ENOIOCTLCMD 515
#define EPROBE_DEFER 517
#define ENOTSUPP 524

#endif
