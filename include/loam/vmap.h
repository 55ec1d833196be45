/* SPDX-License-Identifier: MIT */
#ifndef LOAM_VMAP_H
#define LOAM_VMAP_H
#include <loam/plugin.h>
#endif
