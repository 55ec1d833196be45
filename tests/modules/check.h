/* SPDX-License-Identifier: MIT */
/* check.h: what the test modules share. A module whose init returns 0 has found everything as it should be. */
#ifndef CHECK_H
#define CHECK_H

#include <linux/errno.h>
#include <linux/module.h>

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			pr_err("not ok: %s, line %d: %s\n", __func__, __LINE__, #condition);                           \
			return -EINVAL;                                                                                \
		}                                                                                                      \
	} while (0)
/* Run one part; its error is the module's. */
#define PART(fn)                                                                                                       \
	do {                                                                                                           \
		int error_ = fn();                                                                                     \
		if (error_)                                                                                            \
			return error_;                                                                                 \
	} while (0)
/* A module with parts only. */
#define TEST_MODULE(fn)                                                                                                \
	static void __exit test_exit(void)                                                                             \
	{                                                                                                              \
		pr_info("unloaded\n");                                                                                 \
	}                                                                                                              \
	module_init(fn);                                                                                               \
	module_exit(test_exit);                                                                                        \
	MODULE_LICENSE("GPL")

#endif
