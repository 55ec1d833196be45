/* SPDX-License-Identifier: MIT */
/* fuzz-elfnote.c: the reader of a plugin file's ELF note, on files of any contents. */
#include "loader.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static int fd = -1;
	uint32_t major, minor, host_minor;
	char why[64];
	int error;

	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size)
		abort();
	memset(why, 0, sizeof(why));
	error = loam__elfnote_read(fd, &major, &minor, &host_minor, why, sizeof(why));
	/* Either a note, or a reason. */
	if (error && !why[0])
		abort();
	return 0;
}
