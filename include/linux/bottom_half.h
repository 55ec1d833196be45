/* SPDX-License-Identifier: MIT */
/* linux/bottom_half.h: softirqs off and on, on the calling CPU. Enabling runs what was raised meanwhile. */
#ifndef LOAM_LINUX_BOTTOM_HALF_H
#define LOAM_LINUX_BOTTOM_HALF_H

#include <loam/base.h>

LOAM_BEGIN_DECLS

void local_bh_disable(void);
void local_bh_enable(void);

LOAM_END_DECLS
#endif
