/* SPDX-License-Identifier: MIT */
#ifndef LOAM_DMA_H
#define LOAM_DMA_H
#include <loam/plugin.h>
#endif
