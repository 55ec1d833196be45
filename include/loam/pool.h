/* SPDX-License-Identifier: MIT */
#ifndef LOAM_POOL_H
#define LOAM_POOL_H
#include <loam/plugin.h>
#endif
