/* SPDX-License-Identifier: MIT */
#ifndef LOAM_BOOT_H
#define LOAM_BOOT_H
#include <loam/plugin.h>
#endif
