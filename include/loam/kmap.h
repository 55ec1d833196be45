/* SPDX-License-Identifier: MIT */
#ifndef LOAM_KMAP_H
#define LOAM_KMAP_H
#include <loam/plugin.h>
#endif
