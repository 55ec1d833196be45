/* SPDX-License-Identifier: MIT */
/* linux/io.h: see asm/io.h. */
#ifndef LOAM_LINUX_IO_H
#define LOAM_LINUX_IO_H

#include <asm/io.h>

#endif
