/* SPDX-License-Identifier: MIT */
/* linux/container_of.h: from a member to the struct that has it. */
#ifndef LOAM_LINUX_CONTAINER_OF_H
#define LOAM_LINUX_CONTAINER_OF_H

#include <loam/base.h>

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#endif
